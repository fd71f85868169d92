"""Owns secrets: where they are read from, and the list of values that must never be shown.

A secret is named in config and read from `$CREDENTIALS_DIRECTORY` (systemd.exec(5)) or, outside
systemd, from the folder that `SHIPPYARD_CREDENTIALS` names. Every value read here is remembered,
so that logs and Sentry can replace it.
"""

import os
import threading
from pathlib import Path

MASK = "[secret]"
MAX_BYTES = 64 * 1024
SHORTEST_MASKED = 4  # shorter ones would mask ordinary words

_lock = threading.Lock()
_known: set[str] = set()


class SecretMissing(Exception):
    """A credential that config names can't be read."""


def credentials_folder() -> Path | None:
    """Where credentials are, or None when nobody gave any."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY") or os.environ.get("SHIPPYARD_CREDENTIALS")
    return Path(folder) if folder else None


def read_secret(name: str) -> str:
    """The credential `name`, without its trailing newline.

    Raises:
        SecretMissing: no credentials folder, or no such file in it; says what to do.
    """
    folder = credentials_folder()
    if folder is None:
        raise SecretMissing(
            f"credential {name!r} is needed but no credentials folder is given; "
            "use LoadCredential= in the unit, or set SHIPPYARD_CREDENTIALS"
        )
    try:
        value = (folder / name).read_bytes()[:MAX_BYTES].decode().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretMissing(f"credential {name!r} can't be read from {folder}: {error}") from None
    remember(value)
    return value


def remember(value: str) -> None:
    """Keep `value` out of everything that is shown from now on."""
    if len(value) >= SHORTEST_MASKED:
        with _lock:
            _known.add(value)


def mask(text: str) -> str:
    """`text` with every known secret replaced."""
    with _lock:
        known = sorted(_known, key=len, reverse=True)
    for value in known:
        text = text.replace(value, MASK)
    return text
