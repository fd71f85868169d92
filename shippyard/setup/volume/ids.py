"""Owns keys: a uuid for every (table, number), scattered over the index as random ones are.

Made from the number, so that a row that points at another needs no memory of it.
"""

import hashlib
from collections.abc import Callable

# An odd factor visits every value once before it comes back to the first.
STEP = 0x9E3779B97F4A7C15F39CC0605CEDC835
# Version 4, variant 1: what gen_random_uuid() gives looks the same.
KEEP = 0xFFFFFFFFFFFF0FFF3FFFFFFFFFFFFFFF
MARK = 0x00000000000040008000000000000000


def keys_of(table: str, seed: int) -> Callable[[int], str]:
    """What gives the key of a number in this table: 32 hexadecimal digits."""
    start = int.from_bytes(hashlib.sha256(f"{seed}:{table}".encode()).digest()[:16])

    def key(number: int) -> str:
        return f"{(start + number * STEP) & KEEP | MARK:032x}"

    return key
