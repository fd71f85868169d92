"""A store that counts what is asked of it, and fails or lies when told to."""

import threading
from collections.abc import Callable, Sequence

from shippyard.backup.offsite.objects import Found, Kept, OffsiteFailed, Store


class WatchedStore:
    """Passes on to another store; `on_put` may raise, `locked` refuses deletes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.put_keys: list[str] = []
        self.put_bytes = 0
        self.got_keys: list[str] = []
        self.on_put: Callable[[str, bytes], bytes] = lambda _, data: data
        self.locked: Callable[[str], Kept | None] = lambda _: None
        self.deleted_keys: list[str] = []

    @property
    def place(self) -> str:
        return self._store.place

    @property
    def deletes_versions(self) -> bool:
        return self._store.deletes_versions

    def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        stored = self.on_put(key, data)
        with self._lock:
            self.put_keys.append(key)
            self.put_bytes += len(data)
        self._store.put(key, stored, only_new=only_new)

    def get(self, key: str, *, first_bytes: int | None = None) -> bytes:
        with self._lock:
            self.got_keys.append(key)
        return self._store.get(key, first_bytes=first_bytes)

    def below(self, folder: str) -> Sequence[Found]:
        return self._store.below(folder)

    def folders(self, folder: str) -> Sequence[str]:
        return self._store.folders(folder)

    def delete(self, key: str) -> Kept | None:
        if kept := self.locked(key):
            return kept
        self.deleted_keys.append(key)
        return self._store.delete(key)

    def close(self) -> None:
        self._store.close()

    def cut_after(self, puts: int) -> None:
        """The line breaks once so many parts have gone through."""
        left = iter(range(puts))

        def broken(key: str, data: bytes) -> bytes:
            if "/parts/" in key and next(left, None) is None:
                raise OffsiteFailed("the line is cut")
            return data

        self.on_put = broken
