"""Owns the rows on copies off the machine, against a real S3: faults, and restores from it.

The store is Ceph's gateway, the line to it one that can be cut; what is restored is compared with
the database that it is of, from outside.
"""

import atexit
import contextlib
import functools
import hashlib
import os
import random
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyrage

from proofs.backup.s3 import KEYS, S3, s3
from proofs.backup.shelf import DATABASE, Shelf, servers, shelf
from proofs.backup.wire import Wire
from proofs.program import Program, last_line
from proofs.rig import toml
from proofs.table import Context, CouldNotRun, Outcome, Row
from shippyard.backup.manifest import FileEntry, Made, Manifest, Source, Verification
from shippyard.backup.model import new_id
from shippyard.backup.offsite.age import key_id_of
from shippyard.backup.offsite.objects import Kept, OffsiteFailed
from shippyard.backup.offsite.offsite import Copy, Offsite, open_offsite
from shippyard.backup.offsite.store import open_store
from shippyard.backup.seal import Seal
from shippyard.config.models import Offsite as Settings
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.host.signing import signer_in

BUCKET, LOCKED = "vault", "locked"
MB = 1_000_000
RESTORE_TIMEOUT_S = 900.0
REQUEST_BYTES = 4096
"""What the headers of one request may take on the line, and more."""


@dataclass(frozen=True)
class Vault:
    """A store with two buckets, credentials for it, and two age keys."""

    server: S3
    folder: Path
    seal: Seal
    recipients: tuple[str, str]
    mark: str
    """What the names of its credentials begin with."""

    def settings(self, prefix: str, **more: object) -> Settings:
        """Settings for a place of its own in the store."""
        wanted = {
            "url": f"s3://{BUCKET}/{prefix}",
            "endpoint": self.server.endpoint,
            "allow_http": True,
            "access_key_credential": f"{self.mark}-access",
            "secret_key_credential": f"{self.mark}-secret",
            "retry_max": 1,
            "timeout_s": 30.0,
            **more,
        }
        return Settings.model_validate(wanted)

    @contextlib.contextmanager
    def place(self, prefix: str, **more: object) -> Iterator[Offsite]:
        """That place, reached."""
        opened = open_offsite(self.settings(prefix, **more), self.seal, SystemClock())
        try:
            yield opened
        finally:
            opened.close()


@contextlib.contextmanager
def vault(context: Context) -> Iterator[Vault]:
    """A running store, with credentials for it."""
    folder = context.folder / "vault"
    folder.mkdir()
    pairs = [pyrage.x25519.Identity.generate() for _ in range(2)]
    first, second = (str(pair.to_public()) for pair in pairs)
    secrets = {
        "access": KEYS.access_key,
        "secret": KEYS.secret_key,
        "wrong": "not-the-secret",
        "first": str(pairs[0]),
        "second": str(pairs[1]),
    }
    mark = uuid.uuid4().hex
    for name, value in secrets.items():
        (_credentials() / f"{mark}-{name}").write_text(value)
    signer = signer_in(folder / "keys")
    seal = Seal(signer, frozenset({signer.public_key}))
    with s3(folder / "ceph") as server:
        server.make_bucket(BUCKET)
        server.make_bucket(LOCKED, locked=True)
        yield Vault(server, folder, seal, (first, second), mark)


@functools.cache
def _credentials() -> Path:
    """One folder for the whole process, as the variable that names it is: rows run side by side."""
    folder = Path(tempfile.mkdtemp(prefix="shippyard-proof-credentials-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["SHIPPYARD_CREDENTIALS"] = str(folder)
    return folder


def s3_faults(context: Context) -> Outcome:
    """Everything that goes wrong between a machine and its bucket, and what is said and kept."""
    size_bytes = context.count(full=200, quick=4) * MB
    part_bytes = context.count(full=8 * MB, quick=256 * 1024)
    with vault(context) as kept:
        folder, manifest = _backup(context.folder / "backups", kept.seal, size_bytes)
        context.say(f"a store after {kept.server.elapsed_s:.0f} s")
        said = [_refusals(kept, folder, manifest)]
        for recipients in ((), kept.recipients):
            said.append(_cut(kept, folder, manifest, recipients, part_bytes))
            context.say(said[-1])
        said += [
            _changed(kept, folder, manifest, context.folder / "back"),
            _locked(kept, folder, manifest),
        ]
    return Outcome("; ".join(said), ok=True)


def _refusals(kept: Vault, folder: Path, manifest: Manifest) -> str:
    """Each is one line that says what to mend, and soon."""
    faults = {
        "wrong secret": (
            {"secret_key_credential": f"{kept.mark}-wrong"},
            "secret_key_credential hold",
        ),
        "no bucket": ({"url": "s3://nowhere/x"}, "there is no bucket nowhere"),
        "nobody there": ({"endpoint": "http://127.0.0.1:9"}, "can't be reached at"),
    }
    slowest_s = 0.0
    for name, (changed, wanted) in faults.items():
        began = time.monotonic()
        with kept.place("refused", **changed) as place:
            error = _failure(lambda at=place: at.send(folder, manifest))  # type: ignore[misc]  # bound now
        slowest_s = max(slowest_s, time.monotonic() - began)
        assert wanted in error, f"{name}: {error}"
        assert "\n" not in error, f"{name}: {error!r}"
        assert KEYS.secret_key not in error, f"{name} tells the secret"
    return f"{', '.join(faults)}: one line each within {slowest_s:.1f} s"


def _cut(
    kept: Vault,
    folder: Path,
    manifest: Manifest,
    recipients: tuple[str, ...],
    part_bytes: int,
) -> str:
    """Cut the line half-way; what is there is not sent again, counted on the line itself."""
    wire = Wire(kept.server.port)
    more = {
        "endpoint": f"http://127.0.0.1:{wire.port}",
        "recipients": recipients,
        "part_bytes": part_bytes,
    }
    prefix = "encrypted" if recipients else "plain"
    try:
        wire.cut_after(manifest.size_bytes // 2)
        with kept.place(prefix, **more) as place:
            _failure(lambda: place.send(folder, manifest))
        there = _stored_parts(kept, prefix, manifest)
        wire.mend()
        before, began = wire.sent_bytes, time.monotonic()
        with kept.place(prefix, **more) as place:
            copy = place.send(folder, manifest)
        elapsed_s, sent_bytes = time.monotonic() - began, wire.sent_bytes - before
    finally:
        wire.close()
    missing = copy.parts - there
    allowed = copy.sent_bytes + REQUEST_BYTES * (2 * copy.parts + 20) + 64 * 1024
    assert 0 < there < copy.parts, f"{there} of {copy.parts} parts were there after the cut"
    assert copy.kept_parts == there, f"{there} parts were there, {copy.kept_parts} were kept"
    assert copy.sent_bytes <= missing * (part_bytes + REQUEST_BYTES), f"sent {copy.sent_bytes}"
    assert sent_bytes <= allowed, f"{sent_bytes} bytes on the line, {allowed} expected"
    _refuse_unlike(kept, prefix, folder, manifest, recipients)
    return (
        f"{prefix}, cut half-way: {there} of {copy.parts} parts kept, "
        f"{sent_bytes / MB:.1f} MB sent for the rest, all read back in {elapsed_s:.1f} s"
    )


def _refuse_unlike(
    kept: Vault, prefix: str, folder: Path, manifest: Manifest, recipients: tuple[str, ...]
) -> None:
    """Fetched with one of the two keys, it is what was published."""
    into = kept.folder / f"fetched-{prefix}"
    with kept.place(
        prefix, identity_credential=f"{kept.mark}-second" if recipients else None
    ) as place:
        back = place.fetch(manifest.id, into)
    for entry in manifest.files:
        same = (back / entry.name).read_bytes() == (folder / entry.name).read_bytes()
        assert same, f"{entry.name} came back as something else"
    shutil.rmtree(into)


def _changed(kept: Vault, folder: Path, manifest: Manifest, into: Path) -> str:
    """One byte of one object changes in the bucket: a fetch refuses it, a look mends it."""
    prefix = f"/{BUCKET}/plain/{manifest.database}/{manifest.id}/"
    with kept.place("plain") as place:
        index = place.find(manifest.id).index
        assert index is not None, "there is no copy"
        part = index.parts[len(index.parts) // 2].stored.name
        data = bytearray(kept.server.get(prefix + part))
        data[len(data) // 2] ^= 1
        kept.server.put(prefix + part, bytes(data))
        error = _failure(lambda: place.fetch(manifest.id, into))
        assert f"{part} was changed or cut" in error, error
    with kept.place("plain", part_bytes=index.part_bytes) as place:
        copy = place.send(folder, manifest)
        assert (copy.mended_parts, copy.kept_parts) == (1, copy.parts - 1), str(copy)
        place.fetch(manifest.id, into)
        assert place.delete(manifest.id) is None, "a copy without a lock was kept"
        assert not place.list(), "a deleted copy is still listed"
    return "a byte changed in the bucket: found by read-back and by fetch, 1 part sent again"


def _locked(kept: Vault, folder: Path, manifest: Manifest) -> str:
    """Under the bucket's default retention a delete is refused, which is no error."""
    with kept.place("x", url=f"s3://{LOCKED}/x", recipients=kept.recipients) as place:
        copy: Copy = place.send(folder, manifest)
        refused = place.delete(manifest.id)
        assert copy.protection.state == "proven", copy.protection.detail
        assert isinstance(refused, Kept), "a locked copy could be deleted"
        assert refused.until is not None, "it is not said until when"
        assert [found.problem for found in place.list()] == [None], "a locked copy is damaged"
        hours = (refused.until - datetime.now(UTC)).total_seconds() / 3600
    assert 23 < hours <= 24, f"kept for {hours:.1f} h of 24"
    return "under object lock the delete of a version was refused, the copy is whole"


def s3_restore(context: Context) -> Outcome:
    """Restore from the bucket alone, by the command of a machine that has lost everything."""
    rows = context.count(full=1_500_000, quick=20_000)
    processes = Processes()
    try:
        tools = next(iter(servers(processes).values()), None)
    finally:
        processes.end_all()
    if tools is None:
        raise CouldNotRun("no PostgreSQL server here; install postgresql, or `shippyard[embedded]`")
    with vault(context) as kept, shelf(context.folder / "shelf", tools) as origin:
        origin.execute(
            "CREATE TABLE bulk AS SELECT n, md5(n::text) || md5((n + 1)::text) AS body, "
            f"now() + n * interval '1 second' AS at FROM generate_series(1, {rows}) n"
        )
        folder = origin.take("dump")
        manifest = origin.seal.read(folder)
        _send_both(kept, origin, folder, manifest)
        before = _digests(origin, DATABASE)
        shutil.rmtree(origin.config.backup.dir)
        machine = NewMachine(context, kept, origin)
        took = {
            way: machine.restored(way, identity, before)
            for way, identity in (("plain", None), ("encrypted", f"{kept.mark}-second"))
        }
        lost = machine.refused_without_key()
    said = ", ".join(f"{way} in {elapsed_s:.1f} s" for way, elapsed_s in took.items())
    return Outcome(
        f"{manifest.size_bytes / MB:.1f} MB, {len(before)} tables equal: {said}; "
        f"without a key: {lost}",
        ok=True,
    )


def _send_both(kept: Vault, origin: Shelf, folder: Path, manifest: Manifest) -> None:
    for way, recipients in (("plain", ()), ("encrypted", kept.recipients)):
        settings = kept.settings(way, recipients=recipients)
        place = open_offsite(settings, origin.seal, SystemClock())
        try:
            place.send(folder, manifest)
        finally:
            place.close()


@dataclass(frozen=True)
class NewMachine:
    """One that has the program, an empty server, credentials, and nothing else of the old one."""

    context: Context
    kept: Vault
    origin: Shelf

    def restored(self, way: str, identity: str | None, before: dict[str, str]) -> float:
        """How long `shippyard restore` took; what it restored is what there was."""
        dbname = f"back_{way}"
        began = time.monotonic()
        program = self._run(way, identity, dbname)
        elapsed_s = time.monotonic() - began
        assert program.wait(1) == 0, f"restore of {way}: {last_line(program.said())}"
        after = _digests(self.origin, dbname)
        unlike = [name for name in before if after.get(name) != before[name]]
        assert not unlike, f"{way}: {', '.join(unlike)} came back as something else"
        self.context.say(f"{way} restored in {elapsed_s:.1f} s")
        return elapsed_s

    def refused_without_key(self) -> str:
        """The keys that are named when there is none."""
        refused = self._run("encrypted", None, "back_blind")
        assert refused.wait(1) != 0, "an encrypted copy was restored without a key"
        said = refused.said() + self._run("encrypted", None, "back_blind", "--list").said()
        needed = [key_id_of(recipient) for recipient in self.kept.recipients]
        assert all(key in said for key in needed), f"the keys are not named: {last_line(said)}"
        return f"refused, keys {' and '.join(needed)} named"

    def _run(self, way: str, identity: str | None, dbname: str, *more: str) -> Program:
        settings = self.kept.settings(way, identity_credential=identity)
        target = self.origin.target
        config = self._configured(dbname, settings)
        argv = [sys.executable, "-m", "shippyard", "restore", "--config", str(config)]
        argv += ["--from", settings.url, "--of", DATABASE, "--dbname", dbname, "--yes", "--json"]
        argv += ["--host", str(target.host), "--port", str(target.port), "--user", "postgres"]
        argv += ["--trust", self.origin.seal.signer.key_id, *more]
        scratch = self.context.folder / f"scratch-{dbname}"
        scratch.mkdir(exist_ok=True)
        env = {"SHIPPYARD_CREDENTIALS": str(_credentials()), "TMPDIR": str(scratch)}
        program = Program(argv, self.context.folder, f"restore-{dbname}", env)
        try:
            program.wait(RESTORE_TIMEOUT_S)
        finally:
            program.end()
        return program

    def _configured(self, dbname: str, settings: Settings) -> Path:
        home = self.context.folder / f"new-machine-{dbname}"
        home.mkdir(exist_ok=True)
        target, login = self.origin.target, {"user": "postgres"}
        at = {"host": target.host, "port": target.port, "dbname": DATABASE}
        document = {
            "environment": "testing",
            "daemon": {"state_dir": str(home / "state")},
            "tools_dirs": [str(self.origin.tools.bin_dir)],
            "backup": {
                "dir": str(home / "backups"),
                "offsite": settings.model_dump(exclude_none=True, exclude_defaults=True),
            },
            "databases": [{"name": DATABASE, **at, "monitor": login, "backup": login}],
        }
        config = home / "shippyard.toml"
        config.write_text(toml(document))
        return config


def _digests(origin: Shelf, dbname: str) -> dict[str, str]:
    """Every table's rows and their hash, in an order of its own, asked of the server itself."""
    with psycopg.connect(**origin.cluster.target(dbname).conninfo(), autocommit=True) as link:
        tables = link.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE c.relkind = 'r' "
            "AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        return {name: _digest(link, name) for (name,) in tables}


def _digest(link: "psycopg.Connection[tuple[object, ...]]", table: str) -> str:
    question = (
        "SELECT count(*), sum(hashtextextended(t::text, 0)), sum(hashtextextended(t::text, 7)) "
        f"FROM ONLY {table} t"
    )
    return str(link.execute(question.encode()).fetchone())


def _backup(root: Path, seal: Seal, size_bytes: int) -> tuple[Path, Manifest]:
    """A published backup of random bytes: two files, so that parts of both are seen."""
    now = datetime.now(UTC)
    backup_id = new_id("dump", now)
    folder = root / DATABASE / backup_id
    folder.mkdir(parents=True)
    entries = []
    for name, share in (("shop.dump", 0.9), ("globals.sql", 0.1)):
        data = random.Random(name).randbytes(int(size_bytes * share))
        (folder / name).write_bytes(data)
        entries.append(FileEntry(name, len(data), hashlib.sha256(data).hexdigest()))
    manifest = Manifest(
        id=backup_id,
        database=DATABASE,
        kind="dump",
        reason="manual",
        held_by=None,
        started_at=now,
        finished_at=now,
        duration_s=0.0,
        source=Source("1", "15.0", DATABASE, None, None, 1),
        made=Made("pg_dump (PostgreSQL) 15.0", 15, ("pg_dump",)),
        files=tuple(entries),
        verification=Verification("sha256", now, 0.0),
    )
    seal.write(folder, manifest)
    return folder, manifest


def _stored_parts(kept: Vault, prefix: str, manifest: Manifest) -> int:
    """Parts that lie in the store, asked over a line that was not cut."""
    store = open_store(kept.settings(prefix), SystemClock())
    try:
        return len(store.below(f"{manifest.database}/{manifest.id}/parts"))
    finally:
        store.close()


def _failure(work: Callable[[], object]) -> str:
    """What is said when it fails, which it must."""
    try:
        work()
    except OffsiteFailed as error:
        return str(error)
    raise AssertionError("it did not fail")


ROWS: tuple[Row, ...] = (
    Row(
        "s3",
        "A copy off the machine survives what happens to lines and buckets",
        "one line that says what to mend; a cut upload goes on and sends nothing twice; a changed "
        "object is found; object lock proven",
        s3_faults,
    ),
    Row(
        "s3-restore",
        "With the local disk emptied the bucket alone is enough, encrypted or not",
        "every table equal; without a key the needed ones are named",
        s3_restore,
    ),
)
