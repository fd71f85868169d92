"""Owns restoring base backups and WAL into a data folder, as one course: look to hand back."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from shippyard.backup.engines.repository import Repository
from shippyard.backup.lock import Busy, exclusive
from shippyard.backup.manifest import Manifest
from shippyard.backup.restore.archive import Progress, RestoreFailed, RestoreInterrupted
from shippyard.backup.restore.assess import Assessment, Situation, Wanted, subject_for
from shippyard.backup.restore.bringup import Bench, Bringup, Recovered, disable_subscriptions
from shippyard.backup.restore.compare import environment_differences
from shippyard.backup.restore.course import Done, Means
from shippyard.backup.restore.coverage import cover, kept_of
from shippyard.backup.restore.dumps import writes
from shippyard.backup.restore.elsewhere import (
    RepositoryWal,
    lay_out_elsewhere,
    repository_holding,
)
from shippyard.backup.restore.feeder import Fed, WalFeeder
from shippyard.backup.restore.ground import Wished, free_bytes, state_of, unfit
from shippyard.backup.restore.handback import after_files
from shippyard.backup.restore.line import HistoryUnusable
from shippyard.backup.restore.physical import (
    BaseFiles,
    LaidOut,
    RestoreRefused,
    WalSource,
    WalUnusable,
    content_of,
    lay_out,
    recovery_settings,
)
from shippyard.backup.restore.plan import Plan, plan_recovery
from shippyard.backup.restore.point import (
    Point,
    PointInvalid,
    PointUnreachable,
    choose_base,
    options_of,
)
from shippyard.backup.restore.shelf import NothingHere, Shelved, strangers
from shippyard.backup.restore.unpack import make_parents
from shippyard.backup.source import environment_of
from shippyard.backup.wal.names import format_lsn
from shippyard.host.accounts import account_for_postgres
from shippyard.host.process import ProcessesStopped
from shippyard.postgres.session import QueryFailed, Unreachable, one_line, session
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools, installed_tools

CHAIN_MAX = 1000
PREFETCH_SINCE = 15
NOT_REACHED = "before configured recovery target was reached"
REFUSALS = (
    PointUnreachable,
    PointInvalid,
    HistoryUnusable,
    WalUnusable,
    RestoreRefused,
    NothingHere,
)


class IntoFolder:
    """An empty folder that becomes a data folder. `watched` is where its server is to answer.

    `heir` is who is to start it when files of ours are given away.
    """

    def __init__(
        self,
        data_dir: Path,
        means: Means,
        *,
        tablespaces: Path | None = None,
        watched: Target | None = None,
        heir: str | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._means = means
        self._tablespaces = tablespaces or data_dir.with_name(f"{data_dir.name}.tablespaces")
        self._watched = watched
        self._heir = heir
        self._plan: Plan | None = None
        self._chain: tuple[Manifest, ...] = ()
        self._source: WalSource | None = None

    @property
    def name(self) -> str:
        """See `Place`."""
        return str(self._data_dir)

    @property
    def address(self) -> str:
        """See `Place`."""
        return str(self._data_dir)

    def look(self, wanted: Wanted, shelved: Shelved) -> Situation:
        """See `Place`."""
        state = state_of(self._data_dir)
        bases = shelved.of(wanted.subject, ("base",))
        seen = Situation(self._means.clock.now(), bases, shelved.unusable, target_state=state)
        seen = replace(seen, free_bytes=free_bytes(self._data_dir))
        try:
            seen = self._choose(wanted, shelved, seen)
            assert seen.chosen is not None, "a base"
            self._tools(seen.chosen)
        except REFUSALS as error:
            return replace(seen, why_none=f"{error}{strangers(shelved, wanted.subject)}")
        except RestoreFailed as error:
            return replace(seen, in_the_way=str(error))
        if why := unfit(self._wished(wanted, seen.chosen)):
            return replace(seen, in_the_way=why)
        if there := content_of(self._data_dir):
            refused = f"{self._data_dir} is not empty: {there}; name an empty folder"
            return replace(seen, in_the_way=refused)
        return seen

    def restore(self, assessment: Assessment, progress: Progress) -> Done:
        """See `Place`."""
        assert self._plan is not None, "looked at before"
        assert assessment.chosen == self._chain[-1], "looked at for this very restore"
        lock = self._data_dir.with_name(f".{self._data_dir.name}.restore.lock")
        try:
            make_parents(self._data_dir)
            with exclusive(lock, "restoring"):
                return self._restore(self._plan, progress)
        except Busy as busy:
            raise RestoreFailed(
                f"a restore into {self._data_dir} is under way ({busy}); wait for its end"
            ) from None
        except (RestoreInterrupted, ProcessesStopped, KeyboardInterrupt):
            raise RestoreInterrupted(f"stopped; {self._left()}") from None
        except REFUSALS as error:
            raise RestoreFailed(f"{one_line(error)}; {self._left()}") from None
        except (RestoreFailed, Unreachable, QueryFailed, OSError) as error:
            raise RestoreFailed(f"{one_line(error)}; {self._left()}") from None
        finally:
            lock.unlink(missing_ok=True)

    def answers(self) -> bool:
        """See `Place`: it was seen to write before it was stopped, unless it is watched."""
        return self._watched is None or writes(self._watched)

    def _wished(self, wanted: Wanted, chosen: Manifest) -> Wished:
        command = ["shippyard", "restore", "--from", self._means.place, "--of", chosen.database]
        command += ["--backup", chosen.id] if wanted.backup_id else []
        command += ["--accept-loss"] if wanted.accept_loss else []
        command += options_of(wanted.point)
        return Wished(self._data_dir, self._tablespaces, command, self._heir)

    def _choose(self, wanted: Wanted, shelved: Shelved, seen: Situation) -> Situation:
        subject = subject_for(wanted, shelved.manifests, shelved.unusable)
        bases = shelved.of(subject, ("base",))
        named = [base for base in bases if base.id == wanted.backup_id]
        source = self._wal(subject, (named or bases)[-1]) if bases else None
        kept = kept_of(source)
        chosen = named[0] if named else choose_base(bases, wanted.point, kept)
        if chosen.made.engine != (named or bases)[-1].made.engine:
            source = self._wal(subject, chosen)
            kept = kept_of(source)
        self._chain, self._source = _chain_of(chosen, bases), source
        names = source.segments() if source else ()
        coverage = cover(chosen, names, kept, wanted.point)
        forecast_s = self._means.forecast(chosen)
        seen = replace(seen, backups=bases, chosen=chosen, coverage=coverage, forecast_s=forecast_s)
        if not coverage.refuses(wanted.point) or wanted.accept_loss:
            self._plan = plan_recovery(chosen, source, wanted.point, accept_loss=wanted.accept_loss)
        return seen

    def _wal(self, subject: str, base: Manifest) -> WalSource | None:
        """The WAL that goes with a base backup: whoever keeps the one keeps the other."""
        if repository := self._repository(base):
            return RepositoryWal(repository, self._data_dir)
        return self._means.shelf.wal(subject)

    def _repository(self, base: Manifest) -> Repository | None:
        return repository_holding(base, self._means.repository_of)

    def _tools(self, base: Manifest) -> Tools:
        """The server's own programs: files of one major are for that major alone."""
        wanted = int(base.source.server_version.split(".")[0])
        found = installed_tools(self._means.processes, self._means.tools_dirs, program="postgres")
        fit = [tools for tools in found if tools.major == wanted]
        if not fit:
            have = ", ".join(str(tools.major) for tools in found) or "none"
            raise RestoreFailed(
                f"{base.id} is of PostgreSQL {wanted} and there is no server of that major here "
                f"(found: {have}); install postgresql-{wanted}"
            )
        return fit[0]

    def _restore(self, plan: Plan, progress: Progress) -> Done:
        means, clock = self._means, self._means.clock
        account, tools = account_for_postgres(), self._tools(self._chain[-1])
        bench = Bench(self._data_dir, account)
        began = clock.monotonic()
        files = self._fetched(progress)
        fetched = clock.monotonic()
        with bench.made():
            if repository := self._repository(self._chain[-1]):
                laid = self._laid_out_by(repository, account, progress)
            else:
                laid = self._laid_out(files, tools, account, progress)
            unpacked = clock.monotonic()
            superuser = _superuser(self._chain[-1])
            bringup = Bringup(
                laid, bench, tools, account, superuser, means.processes, clock, means.timeout_s
            )
            done = self._recover(bringup, plan, progress)
        before = {"fetch": fetched - began, "unpack": unpacked - fetched}
        return replace(done, phases=before | done.phases)

    def _fetched(self, progress: Progress) -> BaseFiles:
        folders = []
        for manifest in self._chain:
            progress({"phase": "fetching", "message": manifest.id})
            folders.append(self._means.shelf.folder(manifest, self._means.scratch))
        return BaseFiles(tuple(folders), self._chain)

    def _laid_out(
        self, files: BaseFiles, tools: Tools, account: str | None, progress: Progress
    ) -> LaidOut:
        def on_size(size_bytes: int) -> None:
            progress({"phase": "unpacking", "size_bytes": size_bytes})

        return lay_out(
            files,
            self._data_dir,
            self._tablespaces,
            processes=self._means.processes,
            tools=tools,
            account=account,
            jobs=self._means.jobs,
            on_size=on_size,
            timeout_s=self._means.timeout_s,
        )

    def _laid_out_by(
        self, repository: Repository, account: str | None, progress: Progress
    ) -> LaidOut:
        base = self._chain[-1]
        progress({"phase": "unpacking", "message": f"{base.external} by {repository.name}"})
        return lay_out_elsewhere(
            repository, base, self._data_dir, self._tablespaces, account=account
        )

    def _recover(self, bringup: Bringup, plan: Plan, progress: Progress) -> Done:
        settings = recovery_settings(plan.point, bringup.bench.spool)
        if plan.coverage.missing and bringup.tools.major >= PREFETCH_SINCE:
            # It would ask for the segment that is missing before the point is reached.
            settings["recovery_prefetch"] = "off"
        with ExitStack() as undo:
            feeder = undo.enter_context(
                WalFeeder(
                    self._source, bringup.bench.spool, plan, bringup.laid, account=bringup.account
                )
            )

            def tick() -> None:
                total = max(0, plan.last - plan.first + 1)
                message = f"{feeder.segments} of {total} WAL segments"
                progress({"phase": "replaying", "message": message})

            try:
                recovered = undo.enter_context(bringup.recovered(settings, tick))
            except RestoreFailed as error:
                raise RestoreFailed(feeder.refused or _named(plan.point, str(error))) from None
            fed = feeder.check()
            progress({"phase": "comparing"})
            return self._looked_at(bringup, recovered, fed)

    def _looked_at(self, bringup: Bringup, recovered: Recovered, fed: Fed) -> Done:
        """What came of it, while it runs."""
        if not writes(recovered.target):
            raise RestoreFailed("the restored cluster does not take writes")
        notes = disable_subscriptions(recovered.target)
        if not bringup.laid.has_settings:
            notes.append("postgresql.conf was kept outside of the data folder and is not in it")
        if bringup.laid.tablespaces:
            places = ", ".join(f"{oid} in {p}" for oid, p in bringup.laid.tablespaces.items())
            notes.append(f"tablespaces have places of their own: {places}")
        with session(recovered.target, "restore-compare") as opened:
            here = environment_of(opened)
        base = self._chain[-1]
        # Databases come as files; roles are what a person would miss first.
        wanted = replace(here, roles=base.environment.roles if base.environment else {})
        ended = format_lsn(fed.ended) if fed.ended is not None else "the end of the base backup"
        last = f", last commit {recovered.last_at.isoformat()}" if recovered.last_at else ""
        return Done(
            handback=after_files(
                bringup.laid, bringup.tools, bringup.account, base.database, notes
            ),
            compared="every file with the server's own manifest, where WAL ended, that it writes",
            surroundings=tuple(environment_differences(wanted, here, "", "")),
            notes=tuple(notes),
            reached=f"{ended}{last}, {fed.segments} WAL files replayed",
            phases={"replay": recovered.server_s},
        )

    def _left(self) -> str:
        """What a person finds in the folder now."""
        bench = Bench(self._data_dir, None).folder
        there = content_of(self._data_dir)
        log = f"; its log is in {bench}" if (bench / "server.log").is_file() else ""
        if not there:
            return f"{self._data_dir} is empty as before{log}"
        return (
            f"{self._data_dir} holds files that are not whole: empty it and {self._tablespaces} "
            f"before the next try{log}"
        )


def _chain_of(base: Manifest, bases: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """The backup and what it was made on, oldest first.

    Raises:
        PointUnreachable: a parent isn't here.
    """
    by_id = {each.id: each for each in bases}
    chain = [base]
    while (parent := chain[0].parent) and len(chain) < CHAIN_MAX:
        if parent not in by_id:
            raise PointUnreachable(
                f"{chain[0].id} needs {parent}, which is not here; choose another with --backup"
            )
        chain.insert(0, by_id[parent])
    return tuple(chain)


def _superuser(base: Manifest) -> str:
    """A role that may do everything in the restored cluster."""
    roles = base.environment.roles if base.environment else {}
    supers = sorted(role for role, may in roles.items() if "superuser" in may)
    return "postgres" if "postgres" in supers or not supers else supers[0]


def _named(point: Point, said: str) -> str:
    """What PostgreSQL said, and where its target is looked up when it was not met."""
    if NOT_REACHED not in said:
        return said
    return (
        f"{point} is not in the WAL that is kept; `shippyard ctl backup timeline` shows from when "
        f"to when there is any, and the moment of it is as good: --at TIME ({said})"
    )
