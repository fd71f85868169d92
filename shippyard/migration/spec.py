"""Owns what the daemon tells its children, and how: one JSON document on stdin.

A password travels here and nowhere else: not in an argument, not in the environment.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Way = Literal["up", "down"]
"""Which way a runner goes."""

SPEC_MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Step:
    """One revision, and the one that the database is at without it (None: empty)."""

    revision: str
    down: str | None

    def between(self, way: Way) -> tuple[str | None, str | None]:
        """Where the database must be before it is taken, and where it is afterwards."""
        return (self.down, self.revision) if way == "up" else (self.revision, self.down)


@dataclass(frozen=True)
class Guard:
    """`question` has a row when going back `loses`; `table` is locked before it is asked for good.

    It is asked in the step that takes back `revision`, in every step when that is None.
    """

    table: str
    question: str
    loses: str
    revision: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Expected:
    """What a rehearsal measured, by revision; empty where there was none.

    `elapsed_s` is how long it took, `locks` the strongest mode in which it locks each relation
    (both names as SQL has them), `may_block_ms` how long others may wait for it, as was approved.
    """

    elapsed_s: Mapping[str, float] = field(default_factory=dict)
    locks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    may_block_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RenderSpec:
    """Whose SQL to render: `ini` and `scripts` are paths in the folder `copy`."""

    copy: str
    ini: str
    scripts: str
    steps: tuple[Step, ...]

    def to_json(self) -> bytes:
        """For the child's stdin."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "RenderSpec":
        """What the parent said."""
        return cls(**_with_steps(json.loads(data)))


@dataclass(frozen=True)
class RunSpec:
    """What to run, where and how politely. `hashes` is what `copy` must hold, no more, no less.

    `steps` stand in the order in which they are taken: going down, the newest revision first, and
    each asks its `guards` again in its own transaction. A lock is asked for between
    `lock_timeout_min_ms` and `lock_timeout_ms`; what others wait for `watchdog_ms` is cancelled.
    """

    run_id: str
    copy: str
    ini: str
    scripts: str
    hashes: Mapping[str, str]
    steps: tuple[Step, ...]
    server_version: int
    lock_timeout_ms: int
    statement_timeout_s: float
    lock_attempts: int
    retry_pause_s: float
    conninfo: Mapping[str, Any] = field(repr=False)
    way: Way = "up"
    guards: tuple[Guard, ...] = ()
    lock_timeout_min_ms: int = 50
    watchdog_ms: float = 300.0
    expected: Expected = Expected()

    def guards_of(self, step: Step) -> tuple[Guard, ...]:
        """What must not be lost when one step is taken."""
        return tuple(each for each in self.guards if each.revision in (None, step.revision))

    def to_json(self) -> bytes:
        """For the child's stdin."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "RunSpec":
        """What the parent said."""
        document = _with_steps(json.loads(data))
        guards = tuple(Guard(**each) for each in document["guards"])
        expected = Expected(**document["expected"])
        return cls(**{**document, "guards": guards, "expected": expected})


def _with_steps(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "steps": tuple(Step(**step) for step in document["steps"])}
