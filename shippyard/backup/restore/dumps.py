"""Owns restoring a dump into a database, as one course: look, restore, compare, hand back."""

import shutil
from dataclasses import replace
from pathlib import Path

from shippyard.backup.manifest import Manifest, TableContent
from shippyard.backup.model import LOGICAL
from shippyard.backup.restore.archive import (
    Hands,
    Progress,
    RestoreBlocked,
    RestoreFailed,
    server_major,
)
from shippyard.backup.restore.assess import (
    Assessment,
    Situation,
    Wanted,
    choose_dump,
    subject_for,
)
from shippyard.backup.restore.compare import compare_content, compare_environment
from shippyard.backup.restore.contents import Selection
from shippyard.backup.restore.course import Done, Means
from shippyard.backup.restore.handback import Handback, after_dump, after_part, look_after
from shippyard.backup.restore.logical import Restored, restore_dump
from shippyard.backup.restore.place import Found, look_at, maintenance_of, refuse_taken
from shippyard.backup.restore.point import PointUnreachable
from shippyard.backup.restore.shelf import Shelved, strangers
from shippyard.backup.restore.soundness import refuse_absent, tools_to_restore
from shippyard.postgres.session import QueryFailed, Unreachable, session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, ToolsMissing
from shippyard.postgres.writing import writing_session

# Only a server that writes gives a transaction an id.
_WRITES = "SELECT pg_current_xact_id() AS xid"
_DATA_DIR = "SELECT setting FROM pg_settings WHERE name = 'data_directory'"


class IntoDatabase:
    """A database on a server: new, empty, or with room for the part that is asked for."""

    def __init__(self, into: Target, means: Means) -> None:
        self._into = into
        self._means = means

    @property
    def name(self) -> str:
        """See `Place`."""
        return self._into.dbname

    @property
    def address(self) -> str:
        """See `Place`."""
        return f"{self._into.host}:{self._into.port}/{self._into.dbname}"

    def look(self, wanted: Wanted, shelved: Shelved) -> Situation:
        """See `Place`."""
        seen = self._choose(wanted, shelved)
        try:
            found = look_at(self._into)
            seen = replace(seen, target_state=_said(self._into, found), free_bytes=self._free())
            refuse_taken(self._into, found, wanted.only)
            if seen.chosen:
                self._refuse_unfit(seen.chosen, wanted.only)
        except RestoreFailed as refused:
            return replace(seen, in_the_way=str(refused))
        except (Unreachable, QueryFailed) as error:
            state = f"the server does not answer: {error}"
            return replace(seen, target_state=state, in_the_way=f"{state}; start one, or name it")
        return seen

    def restore(self, assessment: Assessment, progress: Progress) -> Done:
        """See `Place`."""
        chosen, only = assessment.chosen, assessment.wanted.only
        assert chosen is not None, "an assessment without refusals has a choice"
        clock = self._means.clock
        began = clock.monotonic()
        progress({"phase": "fetching", "message": chosen.id})
        folder = self._means.shelf.folder(chosen, self._means.scratch)
        fetched = clock.monotonic()
        restored = self._restore(folder, chosen, only, progress)
        ended = clock.monotonic()
        progress({"phase": "comparing"})
        differences, compared = self._compare(chosen, only)
        phases = {
            "fetch": fetched - began,
            "restore": ended - fetched,
            "compare": clock.monotonic() - ended,
        }
        surroundings = () if only else tuple(compare_environment(chosen, self._into))
        handback = self._handback(chosen, only, restored)
        return Done(
            handback, compared, tuple(differences), surroundings, restored.notes, phases=phases
        )

    def answers(self) -> bool:
        """See `Place`."""
        return writes(self._into)

    def _choose(self, wanted: Wanted, shelved: Shelved) -> Situation:
        means, now = self._means, self._means.clock.now()
        try:
            subject = subject_for(wanted, shelved.manifests, shelved.unusable)
            mine = shelved.of(subject, LOGICAL)
            chosen = _chosen(mine, wanted)
        except PointUnreachable as error:
            every = shelved.of(None, LOGICAL)
            why = f"{error}{strangers(shelved, wanted.subject)}"
            return Situation(now, every, shelved.unusable, why_none=why)
        seen = Situation(now, mine, shelved.unusable, chosen=chosen)
        return replace(seen, forecast_s=None if wanted.only else means.forecast(chosen))

    def _refuse_unfit(self, chosen: Manifest, only: Selection | None) -> None:
        """Nothing, when the programs for it are here, and the part is in it as far as is known.

        What is off the machine is looked into when it was fetched, before anything is changed.
        """
        means, tools = self._means, self._tools(chosen)
        folder = means.shelf.at_hand(chosen) if only else None
        if only and folder:
            hands = Hands(means.processes, tools, self._into, means.clock)
            refuse_absent(hands, folder, chosen, only, means.scratch)

    def _tools(self, chosen: Manifest) -> Tools:
        means = self._means
        try:
            major = server_major(maintenance_of(self._into))
            return tools_to_restore(means.processes, chosen, major, means.tools_dirs)
        except ToolsMissing as error:
            raise RestoreBlocked(str(error)) from None

    def _restore(
        self, folder: Path, chosen: Manifest, only: Selection | None, progress: Progress
    ) -> Restored:
        means, tools = self._means, self._tools(chosen)
        return restore_dump(
            folder,
            chosen,
            self._into,
            processes=means.processes,
            tools=tools,
            jobs=means.jobs,
            timeout_s=means.timeout_s,
            only=only,
            progress=progress,
            scratch=means.scratch,
            clock=means.clock,
        )

    def _compare(self, chosen: Manifest, only: Selection | None) -> tuple[list[str], str]:
        """The differences, and what was compared."""
        if chosen.kind == "schema" or chosen.content is None:
            return [], "nothing was compared: the manifest has no row counts or digests"
        wanted = _part_of(chosen, only) if only else chosen
        assert wanted.content is not None, "content is kept"
        found = compare_content(
            wanted, self._into, self._means.clock, timeout_s=self._means.digest_timeout_s
        )
        if only:
            # What else is in the database is not this restore's.
            found = [line for line in found if not line.endswith("is not in the backup")]
        tables = wanted.content.tables
        digests = sum(1 for table in tables if table.digest)
        return found, f"{len(tables)} tables by row count, {digests} of them by digest"

    def _handback(self, chosen: Manifest, only: Selection | None, restored: Restored) -> Handback:
        notes = [*restored.notes, *look_after(self._into)]
        if only:
            return after_part(self._into, str(only), notes)
        return after_dump(chosen, self._into, notes)

    def _free(self) -> int | None:
        """Free bytes where the server keeps its data, when that is on this machine."""
        if not self._into.host.startswith("/"):
            return None
        with session(maintenance_of(self._into), "restore") as opened:
            rows = opened.query(_DATA_DIR)
        folder = Path(rows[0]["setting"]) if rows and rows[0]["setting"] else None
        return shutil.disk_usage(folder).free if folder and folder.is_dir() else None


def name_before(wanted: Wanted, shelved: Shelved) -> str:
    """What the database was called whose dump would be restored.

    Raises:
        BackupUnknown: no backup has the id that is asked for.
        RestoreFailed: no dump would be.
    """
    try:
        subject = subject_for(wanted, shelved.manifests, shelved.unusable)
        return _chosen(shelved.of(subject, LOGICAL), wanted).source.dbname
    except PointUnreachable as error:
        raise RestoreFailed(f"{error}{strangers(shelved, wanted.subject)}") from None


def _chosen(mine: list[Manifest], wanted: Wanted) -> Manifest:
    named = [manifest for manifest in mine if manifest.id == wanted.backup_id]
    return named[0] if named else choose_dump(mine, wanted)


def writes(target: Target) -> bool:
    """Whether a server takes writes; False while it recovers.

    Raises:
        Unreachable: it does not answer.
    """
    with writing_session(target, "restore-watch") as opened:
        try:
            return bool(opened.query(_WRITES))
        except QueryFailed:
            return False


def _part_of(manifest: Manifest, only: Selection) -> Manifest:
    """The manifest as if only the part had been dumped, under the name that it was given."""
    content = manifest.content
    assert content is not None, "content is kept"
    schema = only.into_schema or only.schema

    def taken(table: TableContent) -> bool:
        return table.schema == only.schema and only.table in (None, table.name)

    tables = tuple(replace(table, schema=schema) for table in content.tables if taken(table))
    return replace(manifest, content=replace(content, tables=tables, sequences=()))


def _said(into: Target, found: Found) -> str:
    if not found.exists:
        return f"database {into.dbname} is not there; it will be made"
    if found.is_empty:
        return f"database {into.dbname} is there and empty"
    return f"database {into.dbname} is there and has {found.count} objects"
