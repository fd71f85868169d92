"""Owns what is wrong with a tree's revisions as they are written, before any of them runs.

Pure: files come in as bytes, nothing is executed, no database is asked. What a revision's SQL would
do to a table in use is not looked at here.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from shippyard.migration.naming import problem_with_file
from shippyard.migration.plan import PlanRefused, Revision, heads_of, read_revision
from shippyard.migration.tree import Tree

# What the template has where an author says it.
PLACEHOLDER = "say here what the code of before"
SAYS_WHO_SEES = re.compile(r"running code|code of (before|after)", re.IGNORECASE)

# Steps of shippyard.migration.ops that stay in the revision's transaction; all others commit.
IN_TRANSACTION = frozenset({"drop_dual_write", "dual_write", "forget_backfill"})
ASKS = frozenset({"f", "get_bind", "get_context", "require_backfill", "require_roles"})


@dataclass(frozen=True)
class Finding:
    """One thing to mend: in which file of the tree, at which line, by which rule."""

    file: str
    line: int
    rule: str
    message: str


@dataclass(frozen=True)
class Written:
    """A revision and its file's syntax."""

    revision: Revision
    module: ast.Module

    def at(self, name: str) -> int:
        """The line where a name is given its value, or a function defined; 1 where it is not."""
        return next((node.lineno for node in self.module.body if name in _names(node)), 1)

    def finding(self, name: str, rule: str, message: str) -> Finding:
        """A finding where `name` stands."""
        return Finding(self.revision.file, self.at(name), rule, message)

    def function(self, name: str) -> ast.FunctionDef | None:
        """A function of the file."""
        found = (n for n in self.module.body if isinstance(n, ast.FunctionDef) and n.name == name)
        return next(found, None)


def find_faults(tree: Tree) -> tuple[Finding, ...]:
    """All that is wrong, in the order of files and lines."""
    written: dict[str, Written] = {}
    found: list[Finding] = []
    for path in tree.version_files():
        try:
            each = _read(path, tree.files[path])
        except PlanRefused as error:
            said = str(error).removeprefix(path).lstrip(": ")
            found.append(Finding(path, _line_of(tree.files[path]), "readable", said))
            continue
        twin = written.setdefault(each.revision.revision, each)
        if twin is not each:
            said = f"{PurePosixPath(twin.revision.file).name} has this number too; renumber one"
            found.append(each.finding("revision", "number", said))
        found += _faults_of(each)
    if not any(finding.rule == "readable" for finding in found):
        found += _faults_of_order(written)
    return tuple(sorted(found, key=lambda finding: (finding.file, finding.line, finding.rule)))


def _read(path: str, source: bytes) -> Written:
    revision = read_revision(path, source)
    return Written(revision, ast.parse(source))


def _line_of(source: bytes) -> int:
    """Where a file stops being Python; 1 when it is."""
    try:
        ast.parse(source)
    except SyntaxError as error:
        return error.lineno or 1
    except ValueError:  # a null byte
        return 1
    return 1


def _faults_of(written: Written) -> Iterator[Finding]:
    yield from _name(written)
    yield from _docstring(written)
    yield from _downgrade(written)
    yield from _alone(written)


def _name(written: Written) -> Iterator[Finding]:
    revision = written.revision
    file = PurePosixPath(revision.file).name
    problem = problem_with_file(file, revision.revision, revision.doc)
    if problem:
        yield written.finding("revision", "name", problem.removeprefix(f"{file}: "))


def _docstring(written: Written) -> Iterator[Finding]:
    text = " ".join((ast.get_docstring(written.module) or "").split())
    if not text:
        yield Finding(written.revision.file, 1, "docstring", "no docstring; say what it does")
    elif PLACEHOLDER in text or not SAYS_WHO_SEES.search(text):
        said = "the docstring does not say what running code sees; say it"
        yield Finding(written.revision.file, 1, "docstring", said)


def _downgrade(written: Written) -> Iterator[Finding]:
    if not written.revision.reversible:
        said = "downgrade does nothing; write how it is taken back"
        yield written.finding("downgrade", "downgrade", said)


def _alone(written: Written) -> Iterator[Finding]:
    """A step that commits is its revision's only one: what was before it would stay if it fails."""
    upgrade = written.function("upgrade")
    calls = sorted(_calls(upgrade), key=lambda call: call.lineno) if upgrade else []
    steps = [call for call in calls if _verb(call) not in ASKS]
    apart = [call for call in steps if _commits(call)]
    if apart and len(steps) > 1:
        other = next(call for call in steps if call is not apart[0])
        said = f"{_said(apart[0])} commits, and {_said(other)} is beside it; a revision for each"
        yield Finding(written.revision.file, apart[0].lineno, "alone", said)


def _faults_of_order(written: Mapping[str, Written]) -> Iterator[Finding]:
    """One chain, in the order of its numbers: then there is one head too."""
    numbered = sorted((name for name in written if name.isdigit()), key=int)
    heads = heads_of({name: each.revision for name, each in written.items()})
    several = f"; several heads ({', '.join(heads)})" if len(heads) > 1 else ""
    for before, name in zip([None, *numbered], numbered, strict=False):
        problem = _problem_with_down(written[name].revision, before)
        if problem:
            yield written[name].finding("down_revision", "order", problem + several)


def _problem_with_down(revision: Revision, before: str | None) -> str | None:
    if len(revision.down) > 1 or revision.depends:
        return "it joins branches; only a straight chain of revisions is run"
    if revision.down == ((before,) if before else ()):
        return None
    builds_on = repr(revision.down[0]) if revision.down else "nothing"
    return f"it builds on {builds_on}; set down_revision = {before!r}"


def _names(node: ast.stmt) -> tuple[str, ...]:
    if isinstance(node, ast.FunctionDef):
        return (node.name,)
    if isinstance(node, ast.AnnAssign):
        return (ast.unparse(node.target),)
    return tuple(map(ast.unparse, node.targets)) if isinstance(node, ast.Assign) else ()


def _calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """Calls of Alembic's `op` and of our `ops`, wherever they stand in a function."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and _room(node) in {"op", "ops"}:
            yield node


def _said(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _room(call: ast.Call) -> str:
    return _said(call).partition(".")[0]


def _verb(call: ast.Call) -> str:
    return _said(call).partition(".")[2]


def _commits(call: ast.Call) -> bool:
    return _room(call) == "ops" and _verb(call) not in IN_TRANSACTION
