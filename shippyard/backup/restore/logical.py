"""Owns restoring a dump: all of it into an empty database, or one table or schema beside others.

The files are read again and compared with the manifest before anything is written to the target.
The manifest itself comes from `Seal`, which is what makes its hashes worth comparing.
"""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from shippyard.backup.compression import Undecodable, decompressed
from shippyard.backup.manifest import Environment, Manifest
from shippyard.backup.restore import archive
from shippyard.backup.restore.archive import (
    Hands,
    Progress,
    RestoreFailed,
    RestoreInterrupted,
)
from shippyard.backup.restore.contents import (
    Chosen,
    Item,
    Selection,
    choose,
    weights,
)
from shippyard.backup.restore.globals import (
    GlobalsFailed,
    apply_globals,
    in_default_tablespace,
    script_of,
)
from shippyard.backup.restore.handback import BY_HAND
from shippyard.backup.restore.loading import Archive, Load, load, opened
from shippyard.backup.restore.place import (
    apply_settings,
    drop_database,
    look_at,
    maintenance_of,
    make_database,
    only_restore_into,
    refuse_taken,
)
from shippyard.backup.restore.soundness import artifact_of, check_files, refuse_absent
from shippyard.host.clock import Clock, SystemClock
from shippyard.host.process import Processes, ProcessesStopped
from shippyard.postgres.session import QueryFailed, Unreachable, one_line
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools
from shippyard.postgres.writing import quoted_name, writing_session

GLOBALS = ("globals.sql", "globals.sql.zst")
SCRIPT = "schema.sql"
FAILURES = (RestoreFailed, Undecodable, GlobalsFailed, QueryFailed, Unreachable, OSError)
RENAME_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Restored:
    """What a restore did. `notes` are what a person should know: roles, keys, views left out."""

    database: str
    objects: int
    elapsed_s: float
    made_database: bool
    notes: tuple[str, ...] = ()


def restore_dump(
    folder: Path,
    manifest: Manifest,
    into: Target,
    *,
    processes: Processes,
    tools: Tools,
    jobs: int,
    timeout_s: float,
    only: Selection | None = None,
    with_globals: bool = True,
    progress: Progress = lambda _: None,
    scratch: Path | None = None,
    clock: Clock | None = None,
) -> Restored:
    """Restore a published dump, or `only` a part of it, into a database that has nothing of it.

    `manifest` has been read by `Seal`. The database is made when it isn't there. `scratch` is where
    its beginning is unpacked to; by default the system's folder for temporary files.

    Raises:
        TargetNotEmpty: there is something in the way; nothing was changed.
        RestoreInterrupted: it was asked to end; says what is left.
        RestoreFailed: it did not succeed; says what is left.
        Unreachable, QueryFailed: the server gave no answer.
    """
    clock = clock or SystemClock()
    hands = Hands(processes, tools, into, clock)
    began = clock.monotonic()
    work = _Work(hands, folder, manifest, only, jobs, timeout_s, progress, scratch)
    with only_restore_into(into):
        work.check()
        objects = work.do(with_globals=with_globals)
    return Restored(into.dbname, objects, clock.monotonic() - began, work.made, tuple(work.notes))


@dataclass
class _Work:
    """One restore, from the first look to the last statement."""

    hands: Hands
    folder: Path
    manifest: Manifest
    only: Selection | None
    jobs: int
    timeout_s: float
    progress: Progress
    scratch: Path | None

    def __post_init__(self) -> None:
        self.made = False
        self.beside = False
        self.stands = False
        self.began = False
        self.notes: list[str] = []

    def check(self) -> None:
        """Everything that can refuse, before anything is changed."""
        self.progress({"phase": "looking"})
        found = look_at(self.hands.into)
        refuse_taken(self.hands.into, found, self.only)
        self.made, self.beside = not found.exists, not found.is_empty
        check_files(self.folder, self.manifest, self.progress)
        if self.only:
            refuse_absent(self.hands, self.folder, self.manifest, self.only, self.scratch)

    def do(self, *, with_globals: bool) -> int:
        """Change the server; gives how many objects were restored."""
        try:
            if with_globals and not self.beside:
                self._globals()
            if self.made:
                make_database(self.hands.into, self.manifest.environment)
                self.stands = True
            # What goes aside first touches the target last.
            self.began = self.only is None or self.only.into_schema is None
            return self._fill()
        except (KeyboardInterrupt, ProcessesStopped):
            raise RestoreInterrupted(f"stopped; {self._left()}") from None
        except FAILURES as error:
            kind = RestoreInterrupted if isinstance(error, RestoreInterrupted) else RestoreFailed
            raise kind(f"{one_line(error)}; {self._left()}") from None

    def _globals(self) -> None:
        environment = self.manifest.environment
        file = next((self.folder / n for n in GLOBALS if (self.folder / n).is_file()), None)
        if file is None and environment is None:
            self.notes.append("the backup has no globals: make roles that are missing yourself")
            return
        self.progress({"phase": "globals"})
        # Encrypted ones hold passwords, which are never set: the manifest knows all else.
        script = _text_of(file) if file else script_of(environment or Environment())
        self.notes.extend(apply_globals(script, maintenance_of(self.hands.into)))

    def _fill(self) -> int:
        if self.manifest.kind == "schema":
            self.progress({"phase": "restoring", "message": "schema"})
            self._run_script(self.folder / SCRIPT)
            return self.manifest.source.table_count
        dump = artifact_of(self.folder, self.manifest)
        with opened(self.hands, dump, self.scratch) as file:
            items = archive.contents_of(self.hands.processes, self.hands.tools, file.file)
            if self.only is None:
                objects = self._load(self.hands, file, items, None)
                settings = self.manifest.source.dbname, self.manifest.environment
                self.notes.extend(apply_settings(self.hands.into, *settings))
                return objects
            return self._part(file, items, self.only)

    def _run_script(self, script: Path) -> None:
        """Run it as it is, or with what the server lacks taken out."""
        absent = self._absent_tablespaces(self.hands)
        if not absent:
            archive.run_script(self.hands, script, self.timeout_s)
            return
        with tempfile.TemporaryDirectory(prefix="shippyard-restore-", dir=self.scratch) as folder:
            mended = Path(folder) / SCRIPT
            mended.write_text(in_default_tablespace(script.read_text(), absent))
            archive.run_script(self.hands, mended, self.timeout_s)

    def _part(self, file: Archive, items: list[Item], only: Selection) -> int:
        aside = only.into_schema is not None
        chosen = choose(items, only, with_needs=aside or not self.beside)
        self._say_left_out(file, chosen)
        if not aside:
            return self._load(self.hands, file, items, chosen.ids)
        return self._renamed(file, items, chosen)

    def _renamed(self, file: Archive, items: list[Item], chosen: Chosen) -> int:
        """By way of a database of its own: only the server can rename a schema and all in it."""
        assert self.only is not None, "a part"
        aside = replace(self.hands.into, dbname=f"shippyard_restore_{self.manifest.id[-6:]}")
        hands = replace(self.hands, into=aside)
        drop_database(aside)
        with ExitStack() as undo:
            make_database(aside, self.manifest.environment)
            undo.callback(drop_database, aside)
            self._load(hands, file, items, chosen.ids)
            _rename_schema(aside, self.only.schema, str(self.only.into_schema))
            folder = undo.enter_context(
                tempfile.TemporaryDirectory(prefix="shippyard-restore-", dir=self.scratch)
            )
            moved = Path(folder) / "renamed.dump"
            archive.dump_schema(hands, str(self.only.into_schema), moved, self.timeout_s)
            found = archive.contents_of(hands.processes, hands.tools, moved)
            self.began = True
            return self._load(self.hands, Archive(moved), found, None)

    def _load(
        self, hands: Hands, file: Archive, items: list[Item], ids: frozenset[int] | None
    ) -> int:
        rows = _rows(self.manifest)
        task = Load(
            file,
            tuple(items),
            weights(items, rows),
            self.jobs,
            self.timeout_s,
            ids,
            in_default=bool(self._absent_tablespaces(hands)),
        )
        return load(hands, task, self.progress)

    def _absent_tablespaces(self, hands: Hands) -> list[str]:
        environment = self.manifest.environment
        known = environment.tablespaces if environment else {}
        absent = archive.absent_tablespaces(hands.into, known)
        note = f"all is in the default tablespace: there is no {', '.join(absent)}"
        if absent and note not in self.notes:
            self.notes.append(note)
        return absent

    def _say_left_out(self, file: Archive, chosen: Chosen) -> None:
        if chosen.keys and self.only and self.only.into_schema:
            self.notes.append(f"foreign keys left out: {', '.join(k.text for k in chosen.keys)}")
        elif chosen.keys:
            hands = self.hands
            said = archive.statements_for(hands.processes, hands.tools, file.file, chosen.keys)
            self.notes.extend(f"add the foreign key {BY_HAND}{key}" for key in _keys_in(said))
        if chosen.views:
            self.notes.append(f"views on it were not restored: {', '.join(chosen.views)}")

    def _what(self) -> str:
        """What is being put into the target, by the name it has there."""
        if self.only is None:
            return "what was restored"
        return f"schema {self.only.into_schema}" if self.only.into_schema else str(self.only)

    def _left(self) -> str:
        """What a person finds on the server now, and the command that takes it away."""
        into = self.hands.into
        if self.stands:
            return (
                f"database {into.dbname} was made and is not whole; "
                f"drop it: DROP DATABASE {quoted_name(into.dbname)}"
            )
        if not self.began:
            return "the target is as it was, but for roles that were missing"
        what = self._what()
        return f"{what} is in database {into.dbname} and not whole; drop it before the next try"


def _text_of(file: Path) -> str:
    if file.suffix != ".zst":
        return file.read_text()
    with decompressed(file) as stream:
        return stream.read().decode()


def _rows(manifest: Manifest) -> Mapping[str, int]:
    content = manifest.content
    return {f"{t.schema} {t.name}": t.rows for t in content.tables} if content else {}


def _keys_in(said: str) -> list[str]:
    """The ALTER TABLE statements of a script, each as one line."""
    statements = (" ".join(each.split()) for each in said.split(";\n"))
    found = (each[each.find("ALTER TABLE") :] for each in statements if "FOREIGN KEY" in each)
    return [f"{each};" for each in found]


def _rename_schema(into: Target, old: str, new: str) -> None:
    with writing_session(into, "restore") as opened:
        opened.query(
            f"ALTER SCHEMA {quoted_name(old)} RENAME TO {quoted_name(new)}",
            timeout_s=RENAME_TIMEOUT_S,
        )
