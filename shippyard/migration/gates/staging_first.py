"""Gate: the very same content ran in another environment before, on that one's signed word."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from shippyard.migration.facts import Attested, Facts
from shippyard.migration.gates.verdict import Verdict


def staging_first(facts: Facts) -> Verdict:
    """Block without a word that still counts, where policy knows whose word does."""
    if not facts.policy.staging_keys:
        return Verdict("staging_first", "pass", "none is asked for")
    if facts.attested is None:
        return Verdict("staging_first", "unknown", "what ran elsewhere can't be read")
    same = [each for each in facts.attested if _is_of(each, facts)]
    newest = max(same, key=lambda each: _counts_until(each, facts), default=None)
    if newest is None or _counts_until(newest, facts) <= facts.now:
        said = f"{_why(same)}; there: shippyard ctl migrate attest export, here: … attest import"
        return Verdict("staging_first", "block", said, override="emergency")
    evidence = {"environment": newest.environment, "key": newest.key_id}
    said = f"it ran in {newest.environment} at {newest.finished_at:%Y-%m-%d %H:%M} UTC"
    until = _counts_until(newest, facts)
    return Verdict("staging_first", "pass", said, evidence, expires_at=until)


def _is_of(each: Attested, facts: Facts) -> bool:
    same = each.content_hash == facts.plan.content_hash
    return same and each.environment != facts.environment


def _counts_until(each: Attested, facts: Facts) -> datetime:
    aged = each.finished_at + timedelta(seconds=facts.policy.staging_max_age_s)
    return min(each.expires_at, aged)


def _why(same: Sequence[Attested]) -> str:
    return "what ran elsewhere is too old" if same else "this content ran nowhere else"
