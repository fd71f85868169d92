"""Gate: there is room for what the rehearsal took, WAL included, more than once."""

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Answer, Verdict

MIB = 2**20


def disk(facts: Facts) -> Verdict:
    """Block with less room than a multiple of what was measured; unknown where nobody can look."""
    if facts.rehearsal is None:
        answer: Answer = "unknown" if facts.policy.rehearsal else "pass"
        said = "not judged: no rehearsal measured what it takes"
        return Verdict("disk", answer, said, override="emergency")
    needed = int(facts.rehearsal.growth_bytes * facts.policy.disk_factor)
    free = facts.live.disk_free_bytes if facts.live else None
    times = f"{facts.policy.disk_factor:g} times what the rehearsal took"
    if free is None:
        said = f"free space can't be seen from here; look whether {needed / MIB:.0f} MiB are free"
        return Verdict("disk", "unknown", said, {"needed_bytes": needed}, override="approver")
    evidence = {"needed_bytes": needed, "free_bytes": free}
    if free < needed:
        said = f"{free / MIB:.0f} MiB free, {needed / MIB:.0f} needed ({times}); make room"
        return Verdict("disk", "block", said, evidence, override="approver")
    return Verdict("disk", "pass", f"{free / MIB:.0f} MiB free, {times} fits", evidence)
