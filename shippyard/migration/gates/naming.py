"""Gate: revision files are called `{version}_{description}.py`, so that a listing is a history."""

import re
from pathlib import PurePosixPath

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.plan import Revision

SLUG_MAX = 40


def naming(facts: Facts) -> Verdict:
    """Block a misnamed file and say its right name."""
    wrong = {r.file: right_name(r) for r in facts.plan.revisions if not _well_named(r)}
    if not wrong:
        return Verdict("naming", "pass", "files are named {version}_{description}.py")
    said = ", ".join(f"{PurePosixPath(file).name} should be {name}" for file, name in wrong.items())
    return Verdict("naming", "block", f"{said}; rename it", {"right_names": wrong})


def right_name(revision: Revision) -> str:
    """What a revision's file should be called."""
    words = "_".join(re.findall(r"\w+", revision.doc.lower(), re.ASCII)) or "describe_it"
    return f"{revision.revision}_{words[:SLUG_MAX].rstrip('_')}.py"


def _well_named(revision: Revision) -> bool:
    pattern = re.escape(revision.revision) + r"_[a-z0-9][a-z0-9_]*\.py"
    return re.fullmatch(pattern, PurePosixPath(revision.file).name) is not None
