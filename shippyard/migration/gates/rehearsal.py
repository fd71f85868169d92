"""Gate: the plan was tried on a restored backup of this schema, and lately."""

from datetime import timedelta

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.rehearsal.report import Report


def rehearsal(facts: Facts) -> Verdict:
    """Block without a fresh rehearsal of this content on this schema, where policy asks for one."""
    if not facts.rehearsal_known:
        return _verdict("unknown", "what was rehearsed can't be read")
    report = facts.rehearsal
    if report is None:
        answer = "it was not rehearsed"
        return _missing(facts, answer) if facts.policy.rehearsal else _verdict("pass", answer)
    wrong = _what_is_wrong(facts, report)
    if wrong:
        return _missing(facts, wrong) if facts.policy.rehearsal else _verdict("warn", wrong)
    return _judged(facts, report)


def _what_is_wrong(facts: Facts, report: Report) -> str | None:
    if report.outcome != "passed":
        return f"rehearsal {report.id} {report.outcome}: {report.error}"
    if facts.now > report.finished_at + timedelta(seconds=facts.policy.rehearsal_max_age_s):
        hours = (facts.now - report.finished_at).total_seconds() / 3600
        return f"the rehearsal is {hours:.0f} h old"
    moved = facts.fingerprint is not None and facts.fingerprint != report.fingerprint
    if moved and not facts.goes_on:
        return "the schema is another one than was rehearsed"
    return None


def _judged(facts: Facts, report: Report) -> Verdict:
    until = report.finished_at + timedelta(seconds=facts.policy.rehearsal_max_age_s)
    evidence = {"id": report.id, "backup": report.backup_id, "comes_back": report.comes_back}
    if facts.fingerprint is None:
        return Verdict("rehearsal", "unknown", "the schema can't be read now", evidence)
    if not report.comes_back:
        lost = [*report.losses, *report.schema_differences]
        said = f"the way back was not proven: {lost[0] if lost else 'it failed'}"
        return Verdict("rehearsal", "warn", said, evidence, expires_at=until)
    if report.slower:
        said = f"slower afterwards: {report.slower[0]}"
        return Verdict("rehearsal", "warn", said, evidence, expires_at=until)
    answer = f"{report.id}: up, down and up again on backup {report.backup_id}"
    return Verdict("rehearsal", "pass", answer, evidence, expires_at=until)


def _missing(facts: Facts, why: str) -> Verdict:
    said = f"{why}; run `shippyard ctl migrate rehearse {facts.plan.target}`"
    return Verdict("rehearsal", "block", said, override="emergency")


def _verdict(answer: str, said: str) -> Verdict:
    assert answer in ("pass", "warn", "unknown")
    return Verdict("rehearsal", answer, said, override="emergency")  # type: ignore[arg-type]
