"""Owns the hazards of a tree on disk: planned from a revision, without a database, and rendered."""

import tempfile
from pathlib import Path

from shippyard.host.process import Processes
from shippyard.migration.hazards import Hazard, find_hazards, find_one_by_one
from shippyard.migration.hazards.squawk import find_squawk, with_advice
from shippyard.migration.plan import (
    HEAD,
    Plan,
    heads_of,
    read_revisions,
    resolve_target,
    select_revisions,
)
from shippyard.migration.spec import RenderSpec, Step
from shippyard.migration.supervise import Supervisor
from shippyard.migration.tree import Tree, publish_copy


def find_in_tree(tree: Tree, since: str | None, processes: Processes) -> tuple[Hazard, ...]:
    """All hazards of the revisions after `since`, as one plan; squawk's beside them.

    Without it every revision is taken by itself, as if those before it were in use.

    Raises:
        PlanRefused: the revisions can't be planned from there.
        RenderFailed: the child that renders gave no answer.
    """
    plan = _plan(tree, since, processes)
    found = (find_hazards if since else find_one_by_one)(plan, tree.files)
    program = find_squawk()
    return with_advice(found, plan, processes, program) if program else found


def _plan(tree: Tree, since: str | None, processes: Processes) -> Plan:
    revisions = read_revisions(tree)
    target = resolve_target(revisions, HEAD)
    current = resolve_target(revisions, since) if since else None
    selected = select_revisions(revisions, current, target)
    steps = tuple(Step(each.revision, each.down[0] if each.down else None) for each in selected)
    with tempfile.TemporaryDirectory() as folder:
        copy = publish_copy(tree, Path(folder) / "copies", list)
        said = Supervisor(processes).render(RenderSpec(str(copy), tree.ini, tree.scripts, steps))
    return Plan(
        "", current, target, heads_of(revisions), selected, tree.hashes(), said.up, said.down
    )
