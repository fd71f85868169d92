"""What stands in the seed files, and which environment gets which."""

import re
from collections.abc import Callable
from typing import get_args

import pytest

from shippyard.config.base import Environment
from shippyard.setup.seed import FILES, SEEDS

COUNTRY = re.compile(r"^    \('([A-Z]{2})', '([A-Z]{3})', '(\d{3})', '(.+)'\),?$", re.MULTILINE)
CITY = re.compile(
    r"^    \('([A-Z]{2})', '(.+)', (-?\d+\.\d{4}), (-?\d+\.\d{4}), '([A-Za-z_/]+)'\),?$",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def seed() -> Callable[[str], str]:
    return lambda name: (SEEDS / name).read_text(encoding="utf-8")


def test_every_country_of_the_standard_once(seed: Callable[[str], str]) -> None:
    countries = COUNTRY.findall(seed("countries.sql"))
    assert len(countries) == 249
    for column in zip(*countries, strict=True):
        assert len(set(column)) == 249
    assert ("DE", "DEU", "276", "Germany") in countries
    assert ("CI", "CIV", "384", "Côte d''Ivoire") in countries
    assert ("GB", "GBR", "826", "United Kingdom") in countries


def test_cities_are_many_and_in_known_countries(seed: Callable[[str], str]) -> None:
    cities = CITY.findall(seed("cities.sql"))
    codes = {code for code, *_ in COUNTRY.findall(seed("countries.sql"))}
    assert len(cities) >= 100
    assert len({(country, name) for country, name, *_ in cities}) == len(cities)
    assert {country for country, *_ in cities} <= codes
    assert ("DE", "Berlin", "52.5000", "13.3667", "Europe/Berlin") in cities


@pytest.mark.parametrize("name", ["countries.sql", "cities.sql"])
def test_reference_data_names_its_source(seed: Callable[[str], str], name: str) -> None:
    assert "-- Source: " in seed(name)


def test_every_environment_has_its_files_and_only_development_invented_ones() -> None:
    assert set(FILES) == set(get_args(Environment))
    assert [env for env, files in FILES.items() if "dev_data.sql" in files] == ["development"]
    assert {file for files in FILES.values() for file in files} == {
        path.name for path in SEEDS.glob("*.sql")
    }
