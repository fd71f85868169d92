"""Gate: the plan was tried on a restored backup of this schema, and lately."""

from datetime import timedelta

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Answer, Verdict
from shippyard.migration.rehearsal.report import Report

WRITES_BLOCKED_TIMES = 5
"""So many times `lock_timeout_ms` may writers of one table wait: queue and work together."""


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
    if report.content_hash != facts.plan.content_hash:
        return f"rehearsal {report.id} is of another plan"
    if facts.system_identifier not in (None, report.system_identifier):
        return "another server was rehearsed than this one"
    if facts.now > report.finished_at + timedelta(seconds=facts.policy.rehearsal_max_age_s):
        hours = (facts.now - report.finished_at).total_seconds() / 3600
        return f"the rehearsal is {hours:.0f} h old"
    moved = facts.fingerprint is not None and facts.fingerprint != report.fingerprint
    if moved and not facts.goes_on:
        return "the schema is another one than was rehearsed"
    return None


def _judged(facts: Facts, report: Report) -> Verdict:
    until = report.finished_at + timedelta(seconds=facts.policy.rehearsal_max_age_s)
    worries = [*_slower(report), *_blocked_for_long(facts, report)]
    evidence = {
        "id": report.id,
        "backup": report.backup_id,
        "comes_back": report.comes_back,
        "worries": worries,
    }
    if facts.fingerprint is None or facts.system_identifier is None:
        return Verdict("rehearsal", "unknown", "the schema can't be read now", evidence)
    if not report.comes_back:
        said = f"the way back was not proven: {_not_proven(report)}"
        answer: Answer = "block" if facts.environment == "production" else "warn"
        return Verdict("rehearsal", answer, said, evidence, until, override="approver")
    if worries:
        return Verdict("rehearsal", "warn", worries[0], evidence, expires_at=until)
    said = f"{report.id}: up, down and up again on backup {report.backup_id}"
    return Verdict("rehearsal", "pass", said, evidence, expires_at=until)


def _not_proven(report: Report) -> str:
    found = [*report.losses, *report.schema_differences, *report.unproven]
    return found[0] if found else "it was not gone"


def _slower(report: Report) -> list[str]:
    return [f"slower afterwards: {each}" for each in report.slower]


def _blocked_for_long(facts: Facts, report: Report) -> list[str]:
    """Tables whose writers would have waited for much longer than for a lock."""
    limit_ms = WRITES_BLOCKED_TIMES * facts.policy.lock_timeout_ms
    return [
        f"nobody could write {each.relation} for {each.writes_ms:.0f} ms (limit {limit_ms} ms)"
        for passage in report.passages
        if passage.way == "up"
        for each in passage.recorded.blocked
        if each.writes_ms > limit_ms
    ]


def _missing(facts: Facts, why: str) -> Verdict:
    said = f"{why}; run `shippyard ctl migrate rehearse {facts.plan.target}`"
    return Verdict("rehearsal", "block", said, override="emergency")


def _verdict(answer: str, said: str) -> Verdict:
    assert answer in ("pass", "warn", "unknown")
    return Verdict("rehearsal", answer, said, override="emergency")  # type: ignore[arg-type]
