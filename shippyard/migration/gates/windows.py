"""Gate: it is time for changes. Windows and freezes are the calendar's; a freeze beats a window."""

from datetime import datetime, timedelta

from shippyard.calendar.windows import closes_at, frozen_by, next_opening, open_now
from shippyard.config.calendar import Use
from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict

BREAKING_HAZARDS = frozenset({"H30", "H31", "H32", "H33", "H34", "H35", "H47"})
BREAKING_KINDS = frozenset({"breaking", "data_losing"})
ROUNDS = 8
"""How often each window is asked for the next time at which all of them may be open."""


def windows(facts: Facts) -> Verdict:
    """Block outside a window and in a freeze; warn when it may not end before the window does."""
    breaking = breaks_running_code(facts)
    uses: tuple[Use, ...] = ("migration", "breaking") if breaking else ("migration",)
    evidence = {"breaking": breaking}
    if freeze := frozen_by(facts.calendar, facts.now):
        said = f"freeze {freeze.name}: {freeze.reason}; {_opens(facts, uses)}"
        return Verdict("windows", "block", said, evidence, override="emergency")
    closed = [use for use in uses if not open_now(facts.calendar, use, facts.now)]
    if closed:
        said = f"no window for {closed[0]} is open; {_opens(facts, uses)}"
        return Verdict("windows", "block", said, evidence, override="approver")
    ends = [at for use in uses if (at := closes_at(facts.calendar, use, facts.now))]
    return _while_open(facts, min(ends, default=None), evidence)


def breaks_running_code(facts: Facts) -> bool:
    """Whether running code fails or data is lost on the way up, as text or rehearsal show."""
    named = {each.id for each in facts.hazards or () if each.way == "up"}
    ups = [each for each in facts.rehearsal.passages if each.way == "up"] if facts.rehearsal else []
    kinds = {kind for each in ups for kind in each.kinds}
    return bool(named & BREAKING_HAZARDS or kinds & BREAKING_KINDS)


def _while_open(facts: Facts, ends: datetime | None, evidence: dict[str, bool]) -> Verdict:
    if ends is None:
        return Verdict("windows", "pass", "changes may happen at any time", evidence)
    took_s = sum(facts.rehearsal.revision_elapsed_s.values()) if facts.rehearsal else 0.0
    if facts.now + timedelta(seconds=took_s) > ends:
        said = f"the rehearsal took {took_s:.0f} s, and it closes at {_said(ends)}"
        return Verdict("windows", "warn", said, evidence, expires_at=ends)
    return Verdict("windows", "pass", f"open until {_said(ends)}", evidence, expires_at=ends)


def _opens(facts: Facts, uses: tuple[Use, ...]) -> str:
    """When all of it is open; each may open when another one is closed."""
    at: datetime | None = facts.now
    for _ in range(ROUNDS):
        for use in uses:
            at = next_opening(facts.calendar, use, at) if at else None
    if at is None or not all(open_now(facts.calendar, use, at) for use in uses):
        return "none is in sight; see [calendar]"
    return f"it opens at {_said(at)}"


def _said(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
