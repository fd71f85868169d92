"""An engine that does what a test says, so that nothing but the job around it is looked at."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shippyard.backup.engines.engine import Preflight, Product
from shippyard.backup.manifest import FileEntry, Made, Manifest, Source
from shippyard.backup.verify import measure

SOURCE = Source("7", "15.1", "shop", "0/1", None, 1)


@dataclass
class ByHand:
    """Writes one file. It goes on from `begun` to the end when `go_on` is set."""

    content: bytes = b"all of it"
    expected_bytes: int | None = None
    parent: str | None = None
    problems: list[str] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    spoil: Callable[[Path], None] = lambda _: None
    parents: list[tuple[Path, Manifest] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.go_on.set()

    def __call__(self, *_: Any, **how: Any) -> "ByHand":
        """As a factory it gives itself."""
        self.parents.append(how["parent"]())
        return self

    def preflight(self) -> Preflight:
        return Preflight(SOURCE, 15, self.expected_bytes)

    def make(self, folder: Path, _: Preflight, on_size: Callable[[int], None]) -> Product:
        inner = folder / "data"
        inner.mkdir()
        (inner / "1.dat").write_bytes(self.content)
        (inner / "1.dat").chmod(0o644)
        entry = measure(folder, "data/1.dat")
        self.begun.set()
        while not self.go_on.wait(0.02):
            on_size(len(self.content))
        self.spoil(inner / "1.dat")
        return Product(
            Made("by hand 1", 15, ("hand",)), SOURCE, {entry.name: entry}, parent=self.parent
        )

    def verify(self, _: Path, files: tuple[FileEntry, ...]) -> tuple[str, list[str]]:
        assert [file.name for file in files] == ["data/1.dat"]
        return "looked at", self.problems
