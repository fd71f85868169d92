"""Owns the row that damages artifacts: single bits flipped and files cut, in backups of every kind.

Each is shown to what Shippyard itself asks before a restore: signature, sizes, hashes, and a full
decode. Beside it stands what decoding alone would have found.
"""

import contextlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proofs.backup.shelf import Shelf, server, servers, shelf
from proofs.table import Context, Outcome, Row
from shippyard.backup.compression import undecodable
from shippyard.backup.engines.choice import engine_for
from shippyard.backup.engines.engine import EngineFailed
from shippyard.backup.manifest import FILE_NAME, Manifest, ManifestUnusable
from shippyard.backup.model import subject_of_cluster
from shippyard.backup.verify import absent_files, content_problems
from shippyard.backup.wal.archive import WalArchive
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes

SEED = 20261122
CLUSTER = "main"
OLD, NEW = 15, 17
# So many flips of each sort are also shown to a decoder alone, for the ratio.
DECODED_ALONE = 20


@dataclass(frozen=True)
class Artifact:
    """Files of one sort that are proven together."""

    sort: str
    files: tuple[Path, ...]
    problems: Callable[[], list[str]]
    """What Shippyard says against them now."""
    undecodable: Callable[[], list[str]]
    """What decoding alone says."""


def flips(context: Context) -> Outcome:
    """Flip a bit, look, flip it back; then cut files, and look."""
    with ExitStack() as stack:
        artifacts = [*_artifacts(context, stack)]
        context.say(f"{len(artifacts)} sorts of files: {', '.join(a.sort for a in artifacts)}")
        healthy = [
            f"{a.sort} is refused as it is: {said}" for a in artifacts for said in a.problems()
        ]
        chance = random.Random(SEED)
        flipped = _damaged(artifacts, context.count(full=1000, quick=34), chance, _flip)
        cut = _damaged(artifacts, context.count(full=200, quick=17), chance, _cut)
        healthy += [
            f"{a.sort} is not as before: {said}" for a in artifacts for said in a.problems()
        ]
    measured = (
        f"{flipped.caught} of {flipped.tried} flips caught, {cut.caught} of {cut.tried} cuts, "
        f"in {len(artifacts)} sorts of files"
    )
    return Outcome(
        measured,
        ok=not healthy and not flipped.missed and not cut.missed,
        note="; ".join([*healthy, *flipped.missed, *cut.missed, *_ratios(flipped)]),
    )


@dataclass(frozen=True)
class Tally:
    """What became of all damage of one way.

    `by_decoding` counts, by sort, what a decode alone found of those that were shown to it.
    """

    tried: int
    caught: int
    missed: tuple[str, ...]
    shown: Mapping[str, int]
    by_decoding: Mapping[str, int]


Damage = Callable[[bytes, random.Random], tuple[bytes, str]]


def _damaged(
    artifacts: Sequence[Artifact], count: int, chance: random.Random, damage: Damage
) -> Tally:
    """Each sort of file in turn, a random file of it, and there a random place."""
    missed: list[str] = []
    tried: Counter[str] = Counter()
    decoded: Counter[str] = Counter()
    for number in range(count):
        artifact = artifacts[number % len(artifacts)]
        file = chance.choice(artifact.files)
        with _with_other_content(file, chance, damage) as what:
            if damage is _flip and tried[artifact.sort] < DECODED_ALONE:
                tried[artifact.sort] += 1
                decoded[artifact.sort] += bool(artifact.undecodable())
            if not artifact.problems():
                missed.append(f"{artifact.sort}: {file.name}, {what}, was not noticed")
    return Tally(count, count - len(missed), tuple(missed), tried, decoded)


@contextlib.contextmanager
def _with_other_content(file: Path, chance: random.Random, damage: Damage) -> Iterator[str]:
    before = file.read_bytes()
    after, what = damage(before, chance)
    file.write_bytes(after)
    try:
        yield what
    finally:
        file.write_bytes(before)


def _flip(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    at, bit = chance.randrange(len(data)), chance.randrange(8)
    flipped = bytearray(data)
    flipped[at] ^= 1 << bit
    return bytes(flipped), f"bit {bit} of byte {at}"


def _cut(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    length = chance.randrange(len(data))
    return data[:length], f"cut to {length} of {len(data)} bytes"


def _ratios(flipped: Tally) -> list[str]:
    said = [f"{sort} {flipped.by_decoding[sort]}/{tried}" for sort, tried in flipped.shown.items()]
    return [f"decoding alone caught: {', '.join(said)}"]


def _artifacts(context: Context, stack: ExitStack) -> Iterator[Artifact]:
    """Everything that is published here, by sort; what a server can't make is not there."""
    processes = Processes()
    old = stack.enter_context(
        shelf(context.folder / "old", server(processes, OLD), clusters={CLUSTER: {}})
    )
    folders = [old.take("dump"), old.take("schema"), old.take("base", subject_of_cluster(CLUSTER))]
    yield from _of_folders(old, folders)
    yield from _of_wal(old)
    if NEW in servers(processes):
        new = stack.enter_context(shelf(context.folder / "new", servers(processes)[NEW]))
        yield from _of_folders(new, [new.take("dump")])


def _of_folders(of: Shelf, folders: Sequence[Path]) -> Iterator[Artifact]:
    for folder in folders:
        manifest = of.seal.read(folder)
        check = _Check(of, folder, manifest)
        for sort, files in _sorted(folder, manifest).items():
            yield Artifact(
                f"{of.tools.major} {sort}", tuple(files), check.problems, check.undecodable
            )
        name = f"{of.tools.major} {manifest.kind} {FILE_NAME}"
        yield Artifact(name, (folder / FILE_NAME,), check.problems, check.unparsable)


def _sorted(folder: Path, manifest: Manifest) -> dict[str, list[Path]]:
    """The files of a backup by what they are; those of a directory go by their suffix."""
    found: dict[str, list[Path]] = defaultdict(list)
    for entry in manifest.files:
        if entry.size_bytes:
            head, _, inside = entry.name.partition("/")
            what = f"{head}/*{Path(inside).suffix}" if inside else head
            found[f"{manifest.kind} {what}"].append(folder / entry.name)
    return found


class _Check:
    """What is asked of one published folder before anything is restored from it."""

    def __init__(self, of: Shelf, folder: Path, manifest: Manifest) -> None:
        self._of = of
        self._folder = folder
        self._manifest = manifest
        self._engine = engine_for(
            manifest.kind,
            of.target,
            of.config,
            of.processes,
            SystemClock(),
            cluster=manifest.cluster,
            parent=lambda: None,
        )

    def problems(self) -> list[str]:
        """Signature and form of the manifest, then sizes, hashes, and all of it decoded."""
        try:
            manifest = self._of.seal.read(self._folder)
        except ManifestUnusable as error:
            return [str(error)]
        if absent := absent_files(self._folder, manifest):
            return absent
        try:
            return content_problems(self._folder, manifest, self._engine)
        except EngineFailed as error:
            return [str(error)]

    def undecodable(self) -> list[str]:
        """What the engine says that decodes it."""
        try:
            return self._engine.verify(self._folder, self._manifest.files)[1]
        except EngineFailed as error:
            return [str(error)]

    def unparsable(self) -> list[str]:
        """Whether the manifest reads as JSON of its form, without its signature."""
        with contextlib.suppress(ValueError):
            json.loads((self._folder / FILE_NAME).read_bytes())
            return []
        return ["not JSON"]


def _of_wal(of: Shelf) -> Iterator[Artifact]:
    """Segments of the server's own WAL, kept as an archive keeps them."""
    archive = WalArchive(of.config.backup.dir, subject_of_cluster(CLUSTER))
    archive.prepare()
    of.execute("SELECT pg_switch_wal()", "CREATE TABLE more (a int)", "SELECT pg_switch_wal()")
    segments = sorted(p for p in (of.cluster.data_dir / "pg_wal").iterdir() if len(p.name) == 24)
    names = [segment.name for segment in segments[:2]]
    for segment in segments[:2]:
        archive.put(segment, datetime.now(UTC))
    yield Artifact(
        "WAL segment",
        tuple(archive.path(name) for name in names),
        lambda: [said for name in names if (said := archive.problem(name))],
        lambda: [said for name in names if (said := undecodable(archive.path(name)))],
    )


ROWS = (
    Row(
        "flips",
        "A flipped bit or a cut file in a backup of any kind is found before a restore",
        "every one of 1,000 flips and 200 cuts",
        flips,
    ),
)
