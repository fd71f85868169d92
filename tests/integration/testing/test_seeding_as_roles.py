"""Who may seed under forced row level security: the migrator, and not the application."""

from dataclasses import replace

import pytest

from shippyard.setup.seed import SeedFailed, load_seeds
from shippyard.setup.volume.filling import FillFailed, fill
from shippyard.setup.volume.shape import Shape
from shippyard.testing.databases import ShippyarDatabase


def test_the_migrator_loads_seeds_again_and_again(shippyar_database: ShippyarDatabase) -> None:
    migrator = replace(shippyar_database.target, user="shippyar_migrator")
    assert all(each.rows for each in load_seeds(migrator, "development")[1:])
    assert [each.rows for each in load_seeds(migrator, "development")] == [0, 0, 0]


def test_the_migrator_makes_volume_and_everything_stays_the_owners(
    shippyar_database: ShippyarDatabase,
) -> None:
    migrator = replace(shippyar_database.target, user="shippyar_migrator")
    load_seeds(migrator, "staging")
    fill(migrator, Shape(scale=0.01))
    owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname ~ 'shipments'"
    with shippyar_database.connect() as connection:
        assert connection.execute(owners).fetchall() == [("shippyar_owner",)]


def test_who_is_held_to_policies_is_told_so_and_writes_nothing(
    shippyar_database: ShippyarDatabase,
) -> None:
    app = replace(shippyar_database.target, user="shippyar_app")
    load_seeds(shippyar_database.target, "staging")
    with pytest.raises(SeedFailed, match=r"permission denied|row-level security") as refused:
        load_seeds(app, "development")
    assert "\n" not in str(refused.value)
    with pytest.raises(FillFailed, match=r"row-level security|must be owner"):
        fill(app, Shape(scale=0.01))
