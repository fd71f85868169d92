"""Owns one way through a plan in a sandbox: the runner's own child, recorded while it goes.

Says what happened; what that means is decided elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from shippyard.migration.planner import Prepared
from shippyard.migration.recording import record
from shippyard.migration.rehearsal.report import Recorded
from shippyard.migration.spec import RunSpec, Step
from shippyard.migration.supervise import Ending, Event, Supervisor
from shippyard.postgres.target import Target

VERSION_TABLE = ".alembic_version"

OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class Ground:
    """The sandbox's database as its superuser, and as the role that migrates."""

    superuser: Target
    migrator: Target
    server_version: int


@dataclass(frozen=True)
class Went:
    """One way as it was: `error` is None when it went through; seconds of each revision."""

    recorded: Recorded
    revision_elapsed_s: Mapping[str, float]
    error: str | None
    interrupted: bool


class Passing:
    """Takes a plan's revisions through a sandbox."""

    def __init__(self, supervisor: Supervisor, prepared: Prepared, ground: Ground) -> None:
        self._supervisor = supervisor
        self._prepared = prepared
        self._ground = ground

    def up(self, name: str, steps: tuple[Step, ...], timeout_s: float, on_event: OnEvent) -> Went:
        """Upwards, each step from its `down` to its `revision`.

        Raises:
            RecordingFailed: what happened was not seen.
        """
        spec = self._prepared.run_spec(name, steps=steps)
        return self._go(spec, timeout_s, on_event)

    def down(self, name: str, steps: tuple[Step, ...], timeout_s: float, on_event: OnEvent) -> Went:
        """The same steps backwards, the last one first.

        Raises:
            RecordingFailed: what happened was not seen.
        """
        spec = self._prepared.run_spec(name, way="down", steps=tuple(reversed(steps)))
        return self._go(spec, timeout_s, on_event)

    def bring_to(self, steps: tuple[Step, ...], timeout_s: float, on_event: OnEvent) -> Ending:
        """Upwards without a record: to where production is."""
        spec = self._on_sandbox(self._prepared.run_spec("rehearsal-before", steps=steps))
        return self._supervisor.run(spec, timeout_s, on_event)

    def _on_sandbox(self, spec: RunSpec) -> RunSpec:
        return replace(
            spec,
            conninfo=self._ground.migrator.conninfo(),
            server_version=self._ground.server_version,
        )

    def _go(self, spec: RunSpec, timeout_s: float, on_event: OnEvent) -> Went:
        elapsed_s: dict[str, float] = {}
        with record(self._ground.superuser) as recording:

            def heard(event: Event) -> None:
                revision = event.get("revision")
                match event.get("event"):
                    case "revision_started":
                        recording.revision(str(revision))
                    case "revision_done":
                        recording.revision(None)
                        elapsed_s[str(revision)] = float(event.get("elapsed_s", 0.0))
                on_event(event)

            ending = self._supervisor.run(self._on_sandbox(spec), timeout_s, heard)
            recorded = _without_the_version(recording.result())
        went = ending.outcome == "applied"
        return Went(
            recorded, elapsed_s, None if went else ending.message, ending.outcome == "interrupted"
        )


def _without_the_version(found: Recorded) -> Recorded:
    """Every way reads and writes the one row that says where it is: nobody waits for that."""
    scans = tuple(each for each in found.scans if not each.endswith(VERSION_TABLE))
    return replace(found, scans=scans)
