"""Owns keeping out of the daemon's memory what a library loads and the daemon never uses."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without(*modules: str) -> Iterator[None]:
    """While the block imports, these can't be: a library that can do without them does.

    Only what nobody has imported yet is kept out, and it can be imported again after.
    """
    kept_out = [name for name in modules if name not in sys.modules]
    for name in kept_out:
        # An entry that is None makes `import` say that there is no such module.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in kept_out:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)
