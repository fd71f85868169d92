"""Gate: there is a way back. A fresh verified full backup exists, or one is taken first."""

from shippyard.migration.facts import BackupFacts, Facts
from shippyard.migration.gates.verdict import Verdict


def backup(facts: Facts) -> Verdict:
    """Block without a fresh full backup, unless the run takes one before anything else."""
    if facts.backup_promised:
        return Verdict("backup", "pass", "a full backup is taken and verified first")
    if not facts.backup_known:
        return Verdict("backup", "unknown", "the backup catalog can't be read")
    return _judge_age(facts, facts.backup)


def _judge_age(facts: Facts, newest: BackupFacts | None) -> Verdict:
    limit_s = facts.policy.backup_max_age_s
    take_one = f"run `shippyard ctl backup run {facts.database}`"
    if newest is None:
        return Verdict("backup", "block", f"no verified backup of {facts.database}; {take_one}")
    age_s = (facts.now - newest.finished_at).total_seconds()
    evidence = {"id": newest.id, "age_s": age_s, "size_bytes": newest.size_bytes}
    if age_s > limit_s:
        said = (
            f"the newest verified backup is {age_s / 3600:.1f} h old (limit {limit_s / 3600:g} h)"
        )
        return Verdict("backup", "block", f"{said}; {take_one}", evidence)
    return Verdict("backup", "pass", f"backup {newest.id} is {age_s / 3600:.1f} h old", evidence)
