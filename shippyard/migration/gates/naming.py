"""Gate: revision files are called `{version}_{description}.py`, so that a listing is a history.

The tree that we ship says the same by itself, in its own naming.py: neither can import the other.
"""

import re
from pathlib import PurePosixPath

from shippyard.migration.facts import Facts
from shippyard.migration.gates.verdict import Verdict
from shippyard.migration.plan import Revision

MAX_SLUG_CHARS = 60
SLUG = r"[a-z0-9][a-z0-9_]*"


def naming(facts: Facts) -> Verdict:
    """Block a misnamed file and say its right name."""
    wrong = {r.file: right_name(r) for r in facts.plan.revisions if not _well_named(r)}
    if not wrong:
        return Verdict("naming", "pass", "files are named {version}_{description}.py")
    said = ", ".join(f"{PurePosixPath(file).name} should be {name}" for file, name in wrong.items())
    return Verdict("naming", "block", f"{said}; rename it", {"right_names": wrong})


def right_name(revision: Revision) -> str:
    """What a revision's file should be called."""
    return f"{revision.revision}_{_slug_of(revision.doc) or 'what_it_does'}.py"


def _slug_of(description: str) -> str:
    words = re.findall(r"[a-z0-9]+", description.lower())
    slug = words[0][:MAX_SLUG_CHARS] if words else ""
    for word in words[1:]:
        if len(slug) + 1 + len(word) > MAX_SLUG_CHARS:
            break
        slug += f"_{word}"
    return slug


def _well_named(revision: Revision) -> bool:
    pattern = rf"{re.escape(revision.revision)}_{SLUG}\.py"
    return re.fullmatch(pattern, PurePosixPath(revision.file).name) is not None
