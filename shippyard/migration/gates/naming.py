"""Gate: revision files are called `{version}_{description}.py`, so that a listing is a history."""

from pathlib import PurePosixPath

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.naming import is_well_named, right_name
from shippyard.migration.plan import Revision


def naming(facts: Facts) -> Verdict:
    """Block a misnamed file and say its right name."""
    wrong = {
        r.file: right_name(r.revision, r.doc) for r in facts.plan.revisions if not _well_named(r)
    }
    if not wrong:
        return Verdict("naming", "pass", "files are named {version}_{description}.py")
    said = ", ".join(f"{PurePosixPath(file).name} should be {name}" for file, name in wrong.items())
    return Verdict("naming", "block", f"{said}; rename it", {"right_names": wrong})


def _well_named(revision: Revision) -> bool:
    return is_well_named(PurePosixPath(revision.file).name, revision.revision)
