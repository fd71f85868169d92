"""Owns how revisions are numbered and their files called: 001_initial_schema.py, 002_….

Pure. Refuses to know Alembic, databases and what is in a revision. The gate, the tree's env.py and
`shippyard migration` all ask here.
"""

import re
from collections.abc import Iterable

GENERATED_ID = re.compile(r"[0-9a-f]{12}")  # what Alembic makes up when no id is given
MAX_SLUG_CHARS = 60  # alembic.ini's truncate_slug_length
SLUG = r"[a-z0-9][a-z0-9_]*"  # Alembic leaves a "_" at the end of what it cuts


def next_number(taken: Iterable[str]) -> str:
    """The number after the highest that is taken, three digits at least."""
    return f"{max((int(each) for each in taken if each.isdigit()), default=0) + 1:03d}"


def slug_of(description: str) -> str:
    """The words of a description as they stand in a file name."""
    words = re.findall(r"[a-z0-9]+", description.lower())
    slug = words[0][:MAX_SLUG_CHARS] if words else ""
    for word in words[1:]:
        if len(slug) + 1 + len(word) > MAX_SLUG_CHARS:
            break
        slug += f"_{word}"
    return slug


def problem_with_id(given: str, taken: Iterable[str]) -> str | None:
    """What is wrong with an id that an author chose, or None."""
    expected = next_number(taken)
    if given == expected:
        return None
    return f"the next revision is {expected}, not {given}; leave --rev-id out"


def right_name(revision: str, description: str) -> str:
    """What a revision's file should be called."""
    return f"{revision}_{slug_of(description) or 'what_it_does'}.py"


def is_well_named(file: str, revision: str) -> bool:
    """True when a file's name begins with its revision's id and goes on in words."""
    return re.fullmatch(rf"{re.escape(revision)}_{SLUG}\.py", file) is not None


def problem_with_file(file: str, revision: str, description: str) -> str | None:
    """What is wrong with a numbered revision's file name, or None; names the right one."""
    if not re.fullmatch(r"\d{3,}", revision):
        return f"{file}: its revision is {revision!r}; revisions are numbered: 001, 002, …"
    if is_well_named(file, revision):
        return None
    return f"{file}: rename it to {right_name(revision, description)}"
