"""Owns the corpus of hazards: its cases as files, each as a tree of revisions, and its score.

A case is a TOML file: what is there before (`setup`), the revisions, what the change does to a
database in use (`proof`, shown by `bench.hazard_witness` on a real server), and whether it is a
hazard. No rule of ours says anything here.
"""

import io
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from alembic import command

from shippyard.migration.child import alembic_config
from shippyard.migration.hazards import Hazard, find_hazards
from shippyard.migration.plan import Plan, Rendered, heads_of, read_revisions, select_revisions
from shippyard.migration.tree import Tree, read_tree

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "corpus" / "hazards"
BEFORE = "001"
EMPTY = "H57"  # says that nobody wrote a downgrade, which many a case has not
GOAL_FOUND, GOAL_FLAGGED = 0.97, 1 / 12

ENV = """
from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(url="postgresql+psycopg://", literal_binds=True)
else:
    context.configure(connection=connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
"""
INI = "[alembic]\nscript_location = %(here)s\npath_separator = os\n"
FILE = '''"""{name}"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shippyard.migration import ops

revision = "{revision}"
down_revision = {down_revision!r}


def upgrade():
{upgrade}


def downgrade():
{downgrade}
'''


@dataclass(frozen=True)
class Change:
    """One revision: what stands in upgrade and in downgrade."""

    up: str
    down: str


@dataclass(frozen=True)
class Case:
    """One case. `proof` is what the witness must see; `needs` says that only data can show it.

    `old_code` is a statement of running code; `meanwhile` what another session has begun before.
    """

    name: str
    label: Literal["hazardous", "failing", "safe"]
    hazard: str
    way: Literal["up", "down"]
    setup: str
    changes: tuple[Change, ...]
    proof: tuple[str, ...]
    needs: str = ""
    old_code: str = ""
    meanwhile: str = ""


@dataclass(frozen=True)
class Score:
    """How well the cases were told apart; `missed` and `flagged` are names."""

    hazards: int
    safe: int
    missed: tuple[str, ...]
    flagged: tuple[str, ...]

    @property
    def found_ratio(self) -> float:
        """The part of the hazardous and failing cases that was found."""
        return 1 - len(self.missed) / self.hazards if self.hazards else 0.0

    @property
    def flagged_ratio(self) -> float:
        """The part of the safe cases that was flagged."""
        return len(self.flagged) / self.safe if self.safe else 0.0

    @property
    def holds(self) -> bool:
        """True when it is as good as it is meant to be."""
        return self.found_ratio >= GOAL_FOUND and self.flagged_ratio <= GOAL_FLAGGED


def load_cases(folder: Path = CORPUS) -> tuple[Case, ...]:
    """Every case, by name. `setup.sql` comes before the setup of each."""
    common = (folder / "setup.sql").read_text()
    return tuple(_case(path, common) for path in sorted(folder.glob("*.toml")))


def _case(path: Path, common: str) -> Case:
    found = tomllib.loads(path.read_text())
    changes = tuple(Change(each["up"], each.get("down", "pass")) for each in found["revisions"])
    return Case(
        name=path.stem,
        label=found["label"],
        hazard=found.get("hazard", ""),
        way=found.get("way", "up"),
        setup=common + found.get("setup", ""),
        changes=changes,
        proof=tuple(found.get("proof", ())),
        needs=found.get("needs", ""),
        old_code=found.get("old_code", ""),
        meanwhile=found.get("meanwhile", ""),
    )


def write_tree(case: Case, folder: Path) -> Tree:
    """The case as an Alembic tree: 001 is what was there before, the others are the change."""
    versions = folder / "versions"
    versions.mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    (folder / "alembic.ini").write_text(INI)
    setup = f"op.execute({case.setup!r})"
    for number, change in enumerate((Change(setup, "pass"), *case.changes), start=1):
        name = f"{number:03d}"
        text = FILE.format(
            name=case.name,
            revision=name,
            down_revision=f"{number - 1:03d}" if number > 1 else None,
            upgrade=_indented(change.up),
            downgrade=_indented(change.down),
        )
        (versions / f"{name}_step.py").write_text(text)
    return read_tree(folder / "alembic.ini")


def plan_of(tree: Tree, folder: Path) -> Plan:
    """The plan from what was there before to the last revision, rendered as text."""
    revisions = read_revisions(tree)
    heads = heads_of(revisions)
    selected = select_revisions(revisions, BEFORE, heads[0])
    names = [BEFORE, *(each.revision for each in selected)]
    up, down = {}, {}
    for before, after in pairwise(names):
        up[after] = _rendered(folder, f"{before}:{after}", "upgrade")
        down[after] = _rendered(folder, f"{after}:{before}", "downgrade")
    return Plan("case", BEFORE, heads[0], heads, selected, tree.hashes(), up, down)


def findings_of(case: Case, folder: Path) -> tuple[Hazard, ...]:
    """What the rules say of a case."""
    tree = write_tree(case, folder)
    return find_hazards(plan_of(tree, folder), tree.files)


def score(
    cases: Sequence[Case],
    findings: Mapping[str, Sequence[Hazard]],
    seen_by_rehearsal: Collection[str] = (),
) -> Score:
    """Cases by what the text showed. Those that need data count where a rehearsal saw them."""
    hazards = [each for each in cases if each.label != "safe"]
    safe = [each for each in cases if each.label == "safe"]
    missed = [each.name for each in hazards if not _seen(each, findings, seen_by_rehearsal)]
    flagged = [each.name for each in safe if _flags(findings[each.name])]
    return Score(len(hazards), len(safe), tuple(missed), tuple(flagged))


def _seen(
    case: Case, findings: Mapping[str, Sequence[Hazard]], seen_by_rehearsal: Collection[str]
) -> bool:
    own = [each for each in findings[case.name] if each.id != EMPTY or case.hazard == EMPTY]
    return _flags(own) or (bool(case.needs) and case.name in seen_by_rehearsal)


def _flags(found: Sequence[Hazard]) -> bool:
    return any(each.flags for each in found)


def _rendered(folder: Path, span: str, way: str) -> Rendered:
    output = io.StringIO()
    config = alembic_config(str(folder), "alembic.ini", ".", output)
    try:
        getattr(command, way)(config, span, sql=True)
    except Exception as error:  # noqa: BLE001  a case that reads data can't be rendered
        return Rendered("", str(error))
    return Rendered(output.getvalue())


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.strip().splitlines())
