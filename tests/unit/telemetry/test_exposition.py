"""What a scrape shows: the newest of every publisher, and nothing of one that withdrew."""

import pytest

from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.metrics import Metrics
from shippyard.telemetry.samples import Family, Sample


@pytest.fixture
def exposition() -> Exposition:
    return Exposition(Metrics())


def lines(exposition: Exposition, name: str) -> list[str]:
    return [line for line in exposition.render().decode().splitlines() if line.startswith(name)]


def family(value: float, **labels: str) -> Family:
    return Family("shippyard_x", "X.", "gauge", (Sample(labels, value),))


def test_publishing_again_replaces(exposition: Exposition) -> None:
    exposition.publish("a", [family(1, database="one")])
    exposition.publish("a", [family(2, database="one")])
    assert lines(exposition, "shippyard_x") == ['shippyard_x{database="one"} 2']


def test_series_of_one_metric_stand_together_under_one_head(exposition: Exposition) -> None:
    exposition.publish("a", [family(1, database="one")])
    exposition.publish("b", [family(2, database="two")])
    body = exposition.render().decode()
    assert body.count("# TYPE shippyard_x gauge") == 1
    assert 'shippyard_x{database="one"} 1\nshippyard_x{database="two"} 2\n' in body


def test_a_withdrawn_publisher_leaves_nothing(exposition: Exposition) -> None:
    exposition.publish("a", [family(1)])
    exposition.withdraw("a")
    assert "shippyard_x" not in exposition.render().decode()


def test_label_values_are_escaped(exposition: Exposition) -> None:
    exposition.publish("a", [family(1, database='a"b\\c\nd')])
    assert lines(exposition, "shippyard_x{") == [r'shippyard_x{database="a\"b\\c\nd"} 1']


def test_the_daemons_own_metrics_are_there(exposition: Exposition) -> None:
    assert lines(exposition, "shippyard_build_info")


def test_a_gauge_without_a_value_is_absent(exposition: Exposition) -> None:
    assert not lines(exposition, "shippyard_backup_last_success_timestamp_seconds{")
