"""Owns asking `squawk`, where it is installed, for its advice on a plan's SQL.

What it says is a note beside ours, and left out where ours says the same of the same statement.
What it says of timeouts and transactions is the runner's business, and not asked for.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shippyard.host.process import Processes, ProcessTimedOut
from shippyard.migration.hazards.model import Hazard, one_line
from shippyard.migration.hazards.reading.sql import Statement, read_sql
from shippyard.migration.plan import Plan

TIMEOUT_S = 20.0
OURS = (
    "require-lock-timeout",
    "require-statement-timeout",
    "require-timeout-settings",
    "transaction-nesting",
    "prefer-robust-stmts",
    "prefer-text-field",
)
SAME: Mapping[str, frozenset[str]] = {
    "adding-field-with-default": frozenset({"H11", "H14"}),
    "adding-foreign-key-constraint": frozenset({"H22", "H23"}),
    "adding-not-nullable-field": frozenset({"H10", "H20"}),
    "adding-required-field": frozenset({"H10"}),
    "adding-serial-primary-key-field": frozenset({"H13", "H28"}),
    "ban-alter-domain-with-add-constraint": frozenset({"H25"}),
    "ban-concurrent-index-creation-in-transaction": frozenset({"H02"}),
    "ban-drop-column": frozenset({"H32"}),
    "ban-drop-table": frozenset({"H33"}),
    "ban-truncate-cascade": frozenset({"H34", "H35"}),
    "changing-column-type": frozenset({"H15", "H16", "H18"}),
    "constraint-missing-not-valid": frozenset({"H22", "H23", "H25", "H27", "H28", "H29"}),
    "disallowed-unique-constraint": frozenset({"H27"}),
    "prefer-big-int": frozenset({"H56"}),
    "prefer-bigint-over-int": frozenset({"H56"}),
    "renaming-column": frozenset({"H30"}),
    "renaming-table": frozenset({"H31"}),
    "require-concurrent-index-creation": frozenset({"H01"}),
    "require-concurrent-index-deletion": frozenset({"H07"}),
}


def find_squawk() -> str | None:
    """The program on PATH, or None."""
    return shutil.which("squawk")


def with_advice(
    found: Sequence[Hazard], plan: Plan, processes: Processes, program: str
) -> tuple[Hazard, ...]:
    """Our hazards, and what `program` has to say beside them of the plan's way up."""
    said = {(each.statement, each.id) for each in found}
    return (*found, *(each for each in _advice(plan, processes, program) if _is_new(each, said)))


def run_squawk(sql: str, processes: Processes, program: str) -> list[dict[str, Any]]:
    """What the program says of a text; nothing when it fails, takes too long, or says too much."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "statements.sql"
        file.write_text(sql)
        exclude = f"--exclude={','.join(OURS)}"
        try:
            done = processes.run(
                [program, "--reporter", "Json", exclude, str(file)], timeout_s=TIMEOUT_S
            )
            answer = json.loads(done.stdout or "[]")
        except (OSError, ValueError, ProcessTimedOut):
            return []
    return [each for each in answer if isinstance(each, dict)] if isinstance(answer, list) else []


def _advice(plan: Plan, processes: Processes, program: str) -> Iterator[Hazard]:
    for revision in plan.revisions:
        rendered = plan.rendered.get(revision.revision)
        if rendered and rendered.sql:
            statements = read_sql(rendered.sql, in_transaction=True)
            for each in run_squawk(rendered.sql, processes, program):
                yield _hazard(each, statements, revision.revision, revision.file)


def _hazard(
    said: Mapping[str, Any], statements: Iterable[Statement], revision: str, file: str
) -> Hazard:
    line = int(said.get("line", 0)) + 1
    before = [each for each in statements if each.line <= line]
    return Hazard(
        str(said.get("rule_name", "squawk")),
        "note",
        revision,
        file,
        1,
        "up",
        one_line(before[-1].text) if before else "",
        str(said.get("message", "")),
        str(said.get("help") or ""),
        source="squawk",
    )


def _is_new(each: Hazard, said: set[tuple[str, str]]) -> bool:
    return not any((each.statement, same) in said for same in SAME.get(each.id, ()))
