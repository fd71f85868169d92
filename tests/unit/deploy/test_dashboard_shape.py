"""Dashboards are what Grafana can import, and what a person can read."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.source.build import built

GRAFANA = Path(__file__).parents[3] / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
BUILT_IN = {"__rate_interval", "__all"}


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(request.param.read_text())
    return loaded


def drawn(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Panels that show something, so not rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    columns, lines = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
    return set(itertools.product(columns, lines))


def test_is_named_and_of_a_schema_that_grafana_11_writes(dashboard: dict[str, Any]) -> None:
    assert dashboard["uid"]
    assert dashboard["title"]
    assert dashboard["schemaVersion"] == 41
    assert dashboard.get("id") is None  # Grafana gives it on import


def test_ids_and_letters_are_used_once(dashboard: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in drawn(dashboard):
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert len(letters) == len(set(letters))


def test_everything_asks_the_datasource_that_is_chosen(dashboard: dict[str, Any]) -> None:
    variables = dashboard["templating"]["list"]
    assert variables[0]["name"] == "datasource"
    asked = [panel["datasource"] for panel in drawn(dashboard)]
    asked += [target["datasource"] for panel in drawn(dashboard) for target in panel["targets"]]
    asked += [variable["datasource"] for variable in variables[1:]]
    asked += [note["datasource"] for note in dashboard["annotations"]["list"]]
    assert all(source == DATASOURCE for source in asked)


def test_only_known_variables_are_used(dashboard: dict[str, Any]) -> None:
    known = {variable["name"] for variable in dashboard["templating"]["list"]} | BUILT_IN
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) <= known


def test_panels_fit_the_grid_and_each_other(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        mine = cells(panel)
        assert all(0 <= column < 24 for column, _ in mine), panel["title"]
        assert taken.isdisjoint(mine), panel["title"]
        taken |= mine


def test_every_panel_says_what_it_shows_and_in_which_unit(dashboard: dict[str, Any]) -> None:
    for panel in drawn(dashboard):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_lights_come_first_and_are_never_green_without_data(dashboard: dict[str, Any]) -> None:
    kinds = [panel["type"] for panel in drawn(dashboard)]
    lights = [panel for panel in drawn(dashboard) if panel["type"] == "stat"]
    assert kinds[: len(lights)] == ["stat"] * len(lights)
    if dashboard["uid"] == "shippyard-overview":
        titles = " ".join(panel["title"].lower() for panel in lights)
        assert all(word in titles for word in ("shippyard", "databases", "backups", "migrations"))
    for panel in lights:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert len(steps) > 1 or steps[0]["color"] == "text"
        assert panel["fieldConfig"]["defaults"]["noValue"]
        assert "vector(" not in panel["targets"][0]["expr"]


@pytest.mark.parametrize("kind", ["dashboards", "datasources"])
def test_provisioning_files_are_of_the_form_that_grafana_reads(kind: str) -> None:
    files = sorted((GRAFANA / "provisioning" / kind).glob("*.yml"))
    assert files
    key = "providers" if kind == "dashboards" else "datasources"
    for file in files:
        loaded = yaml.safe_load(file.read_text())
        assert loaded["apiVersion"] == 1
        assert all(entry["name"] and entry["type"] for entry in loaded[key])


@pytest.mark.parametrize("name", built())
def test_what_is_committed_is_what_the_code_gives(name: str) -> None:
    assert (GRAFANA / "dashboards" / name).read_text() == built()[name], "make docs"


def test_there_is_no_other_dashboard() -> None:
    assert {file.name for file in FILES} == set(built())


def test_a_reader_keeps_time_and_choice_from_page_to_page(dashboard: dict[str, Any]) -> None:
    (link,) = dashboard["links"]
    assert (link["keepTime"], link["includeVars"], link["type"]) == (True, True, "dashboards")
    assert set(link["tags"]) <= set(dashboard["tags"])
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "database"]
    marked = {note["name"] for note in dashboard["annotations"]["list"]}
    assert marked == {"Restarts", "Backups", "Migrations", "Incidents"}
