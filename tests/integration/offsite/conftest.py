"""A published backup, two age keys, and a place off the machine that is a folder."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pyrage
import pytest

from shippyard.backup.manifest import FileEntry, Made, Manifest, Source, Verification
from shippyard.backup.offsite.age import Identities, recipients_of
from shippyard.backup.offsite.folder import FolderStore
from shippyard.backup.offsite.offsite import Offsite
from shippyard.backup.seal import Seal
from shippyard.host.signing import signer_in
from tests.conftest import FakeClock
from tests.integration.offsite.watched_store import WatchedStore

PART_BYTES = 64 * 1024
FILES = {"shop.dump": 5 * PART_BYTES + 77, "data/toc.dat": 12, "globals.sql": 0}


@dataclass(frozen=True)
class Keys:
    """Age keys: two whose private halves we have, by the name of their credential."""

    first: str
    second: str


@dataclass(frozen=True)
class Published:
    """A backup on disk."""

    folder: Path
    manifest: Manifest


Publish = Callable[..., Published]
Places = Callable[..., Offsite]


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    signer = signer_in(tmp_path / "keys")
    return Seal(signer, frozenset({signer.public_key}))


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("SHIPPYARD_CREDENTIALS", str(folder))
    public = []
    for name in ("first", "second"):
        identity = pyrage.x25519.Identity.generate()
        (folder / name).write_text(f"# created: today\n{identity}\n")
        public.append(str(identity.to_public()))
    return Keys(*public)


@pytest.fixture
def publish(tmp_path: Path, seal: Seal, clock: FakeClock) -> Publish:
    def make(
        backup_id: str = "20260304T050607Z-dump-1a2b3c",
        database: str = "shop",
        at: datetime | None = None,
        **fields: object,
    ) -> Published:
        folder = tmp_path / "backups" / database / backup_id
        entries = []
        for name, size_bytes in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(random.Random(backup_id + name).randbytes(size_bytes))
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            entries.append(FileEntry(name, size_bytes, sha256))
        started = at or clock.now()
        manifest = Manifest(
            id=backup_id,
            database=database,
            kind="dump",
            reason="manual",
            held_by=None,
            started_at=started,
            finished_at=started + timedelta(seconds=1),
            duration_s=1.0,
            source=Source("7", "15.18", "shop", None, None, 1),
            made=Made("pg_dump (PostgreSQL) 15.18", 15, ("pg_dump",)),
            files=tuple(entries),
            verification=Verification("sha256, full decode", started, 0.5),
        )
        manifest = replace(manifest, **fields)  # type: ignore[arg-type]  # any field of it
        seal.write(folder, manifest)
        return Published(folder, manifest)

    return make


@pytest.fixture
def published(publish: Publish) -> Published:
    return publish()


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


@pytest.fixture
def store(bucket: Path) -> WatchedStore:
    return WatchedStore(FolderStore(bucket))


@pytest.fixture
def place_of(store: WatchedStore, seal: Seal, clock: FakeClock) -> Places:
    def make(*recipients: str, identity: str | None = None, seal_: Seal = seal) -> Offsite:
        return Offsite(
            store,
            seal_,
            recipients=recipients_of(recipients),
            identities=Identities(identity),
            part_bytes=PART_BYTES,
            clock=clock,
        )

    return make


@pytest.fixture
def place(place_of: Places) -> Offsite:
    return place_of()
