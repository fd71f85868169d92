"""Owns what a plan is: the exact revisions from one to another, and the hash that names it.

Pure: files come in as bytes, nothing is executed, no database is asked. Revision files are read
as syntax, because importing them would run user code inside the daemon.
"""

import ast
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shippyard.migration.tree import Tree

HEAD = "head"


class PlanRefused(Exception):
    """What was asked can't be planned; one line that says what to do."""


@dataclass(frozen=True)
class Revision:
    """One revision file. `file` is its path in the tree; `reversible` means it says how to undo."""

    revision: str
    down: tuple[str, ...]
    depends: tuple[str, ...]
    file: str
    doc: str
    reversible: bool


@dataclass(frozen=True)
class Rendered:
    """A revision's SQL, or why it can't be known before it runs."""

    sql: str
    unrendered: str | None = None


@dataclass(frozen=True)
class Plan:
    """The way from `current` (None: an empty database) to `target`, oldest revision first.

    `files` maps every file that takes part to its SHA-256; `rendered` and `undo` have one entry per
    revision, its way up and its way down.
    """

    database: str
    current: str | None
    target: str
    heads: tuple[str, ...]
    revisions: tuple[Revision, ...]
    files: Mapping[str, str]
    rendered: Mapping[str, Rendered]
    undo: Mapping[str, Rendered] = field(default_factory=dict)

    @property
    def content_hash(self) -> str:
        """Names the content: same revisions, same files, same SQL, same hash, on any server."""
        content = {
            "from": self.current,
            "target": self.target,
            "files": dict(self.files),
            "sql": {name: rendered.sql for name, rendered in self.rendered.items()},
            "undo": {name: rendered.sql for name, rendered in self.undo.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_revisions(tree: Tree) -> dict[str, Revision]:
    """Every revision of the tree by its id.

    Raises:
        PlanRefused: a file is not Python, has no literal `revision`, or two share an id.
    """
    found: dict[str, Revision] = {}
    for path in tree.version_files():
        revision = read_revision(path, tree.files[path])
        twin = found.get(revision.revision)
        if twin:
            raise PlanRefused(
                f"{twin.file} and {path} are both revision {revision.revision!r}; rename one"
            )
        found[revision.revision] = revision
    return found


def read_revision(path: str, source: bytes) -> Revision:
    """One revision file, read without running it.

    Raises:
        PlanRefused: not Python, or its ids are not literals.
    """
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise PlanRefused(f"{path} is not Python: {error}; mend the file") from None
    names = _assignments(module)
    revision = _literal(path, names, "revision")
    if not isinstance(revision, str):
        raise PlanRefused(f"{path} has no literal revision = '...'; add it")
    doc = ast.get_docstring(module) or ""
    return Revision(
        revision,
        _ids(_literal(path, names, "down_revision")),
        _ids(_literal(path, names, "depends_on")),
        path,
        doc.split("\n", 1)[0].strip(),
        _says_how_to_undo(module),
    )


def heads_of(revisions: Mapping[str, Revision]) -> tuple[str, ...]:
    """Revisions that no other builds on, sorted."""
    built_on = {down for revision in revisions.values() for down in revision.down}
    return tuple(sorted(set(revisions) - built_on))


def resolve_target(revisions: Mapping[str, Revision], wanted: str) -> str:
    """The exact id that was asked for.

    Raises:
        PlanRefused: unknown, a prefix, relative, or `head` of a tree with several.
    """
    if wanted == HEAD:
        return _only_head(heads_of(revisions))
    if wanted not in revisions:
        raise PlanRefused(f"unknown revision {wanted!r}{_nearest(wanted, revisions)}")
    return wanted


def select_revisions(
    revisions: Mapping[str, Revision], current: str | None, target: str
) -> tuple[Revision, ...]:
    """What has to run to come from `current` to `target`, oldest first.

    Raises:
        PlanRefused: it would go down, sideways, or over a gap or a merge.
    """
    if current is not None and current not in revisions:
        raise PlanRefused(
            f"the database is at revision {current!r}, which the tree does not have; "
            "use the tree that made it"
        )
    path: list[Revision] = []
    at: str | None = target
    while at != current:
        if at is None:
            raise PlanRefused(_why_not_up(revisions, current, target))
        path.append(_present(revisions, at, path))
        at = _single_down(path[-1])
    return tuple(reversed(path))


def history_of(revisions: Mapping[str, Revision], target: str) -> tuple[Revision, ...]:
    """`target` and all that it builds on: what Alembic must find to run it."""
    known: dict[str, Revision] = {}
    waiting = [target]
    while waiting:
        name = waiting.pop()
        if name not in known and name in revisions:
            known[name] = revisions[name]
            waiting += [*revisions[name].down, *revisions[name].depends]
    return tuple(known.values())


def _only_head(heads: tuple[str, ...]) -> str:
    if not heads:
        raise PlanRefused(
            "the tree has no revisions; write one: shippyard migration new DESCRIPTION"
        )
    if len(heads) > 1:
        raise PlanRefused(
            f"the tree has several heads ({', '.join(heads)}); rebase one onto another"
        )
    return heads[0]


def _present(revisions: Mapping[str, Revision], name: str, path: list[Revision]) -> Revision:
    if name not in revisions:
        raise PlanRefused(f"{path[-1].file} builds on {name!r}, which the tree does not have")
    if any(revision.revision == name for revision in path):
        raise PlanRefused(f"revision {name!r} builds on itself; mend its down_revision")
    return revisions[name]


def _single_down(revision: Revision) -> str | None:
    if len(revision.down) > 1 or revision.depends:
        raise PlanRefused(
            f"{revision.file} joins branches; only a straight chain of revisions is run"
        )
    return revision.down[0] if revision.down else None


def _why_not_up(revisions: Mapping[str, Revision], current: str | None, target: str) -> str:
    assert current is not None  # every walk reaches an empty database
    if any(revision.revision == target for revision in history_of(revisions, current)):
        return (
            f"the database is at {current!r}, which is past {target!r}; "
            "going down is not done by a run, write a revision that goes forward"
        )
    return f"{target!r} does not build on {current!r}, where the database is; rebase it"


def _nearest(wanted: str, known: Iterable[str]) -> str:
    names = sorted(known)
    begins = [name for name in names if wanted and name.startswith(wanted)]
    close = begins or difflib.get_close_matches(wanted, names, n=1, cutoff=0.0)
    return (
        f"; ids are given in full: did you mean {close[0]!r}?" if close else "; the tree is empty"
    )


def _assignments(module: ast.Module) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for node in module.body:
        if isinstance(node, ast.Assign):
            found |= {t.id: node.value for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
    return found


def _literal(path: str, names: Mapping[str, ast.expr], name: str) -> object:
    try:
        return ast.literal_eval(names[name]) if name in names else None
    except ValueError:
        raise PlanRefused(f"{path}: {name} is computed; write it as a literal") from None


def _ids(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list | tuple | set) else (str(value),)


def _says_how_to_undo(module: ast.Module) -> bool:
    downs = [
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef) and node.name == "downgrade"
    ]
    return bool(downs) and any(_does_something(statement) for statement in downs[-1].body)


def _does_something(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return False  # a docstring or an ellipsis
    return not isinstance(statement, ast.Pass | ast.Raise)
