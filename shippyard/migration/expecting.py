"""Owns what a rehearsal lets a runner expect: how long revisions take, and what they lock. Pure.

Refuses to know whether the rehearsal is fresh, or who approved what: that is the gates' business.
"""

from collections.abc import Iterable, Mapping

from shippyard.migration.recording.modes import CONFLICTS, WRITER, blocks
from shippyard.migration.rehearsal.report import LockHeld, Passage, Report
from shippyard.migration.spec import Expected, Way

HELD_TIMES = 2.0
"""Production is busier than a sandbox: what was measured there may take so many times as long."""


def expected(report: Report | None, way: Way, *, may_block: bool) -> Expected:
    """What each revision is going to do on one of the ways; nothing without a rehearsal of it.

    With `may_block`, a revision may make others wait as long as was measured, and some more.
    """
    passage = _passage(report, way)
    if report is None or passage is None:
        return Expected()
    elapsed_s = dict(report.revision_elapsed_s) if way == "up" else _elapsed_s(passage)
    held = [each for each in passage.recorded.locks if each.revision is not None]
    return Expected(elapsed_s, _strongest(held), _blocking_ms(held) if may_block else {})


def stronger(mode: str, other: str | None) -> str:
    """The one of two modes that is in the way of more."""
    return mode if other is None or len(CONFLICTS[mode]) >= len(CONFLICTS[other]) else other


def _passage(report: Report | None, way: Way) -> Passage | None:
    found = [each for each in report.passages if each.way == way] if report else []
    return found[0] if found and found[0].error is None else None


def _elapsed_s(passage: Passage) -> dict[str, float]:
    took: dict[str, float] = {}
    for each in passage.recorded.statements:
        if each.revision is not None:
            took[each.revision] = took.get(each.revision, 0.0) + each.elapsed_ms / 1000
    return took


def _strongest(held: Iterable[LockHeld]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for each in held:
        if each.mode in CONFLICTS:
            modes = found.setdefault(str(each.revision), {})
            modes[each.relation] = stronger(each.mode, modes.get(each.relation))
    return found


def _blocking_ms(held: Iterable[LockHeld]) -> Mapping[str, float]:
    """The longest that each revision held a lock which stops writers."""
    found: dict[str, float] = {}
    for each in held:
        if each.mode in CONFLICTS and blocks(each.mode, WRITER):
            name = str(each.revision)
            found[name] = max(found.get(name, 0.0), HELD_TIMES * each.held_ms)
    return found
