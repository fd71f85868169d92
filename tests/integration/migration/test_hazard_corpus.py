"""What each case of the corpus says of itself is true of PostgreSQL; no rule of ours is asked."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bench.hazard_cases import Case, load_cases, write_tree
from bench.hazard_witness import shows, witness
from shippyard.postgres.embedded import EmbeddedCluster
from shippyard.postgres.target import Target

CASES = load_cases()


@pytest.fixture
def database(cluster: EmbeddedCluster) -> Iterator[Callable[[], Target]]:
    made: list[str] = []

    def make() -> Target:
        name = f"h_{uuid.uuid4().hex[:12]}"
        _tell(cluster, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return replace(cluster.target(), dbname=name)

    yield make
    for name in made:
        _tell(cluster, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _tell(cluster: EmbeddedCluster, statement: sql.Composed) -> None:
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_is_what_it_says(case: Case, database: Callable[[], Target], tmp_path: Path) -> None:
    write_tree(case, tmp_path / "tree")

    seen = witness(case, tmp_path / "tree", database())

    assert shows(case, seen), f"says {case.proof}, did {sorted(seen.effects)}"
    if case.label == "failing":
        assert any(each.startswith("fails ") for each in case.proof)
