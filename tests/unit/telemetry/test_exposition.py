"""What a scrape shows: the newest of every publisher, and nothing of one that withdrew."""

import gzip
import math
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as text_to_families

from shippyard.telemetry.exposition import Exposition
from shippyard.telemetry.formats import Format, Wanted, wanted, written
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


def test_openmetrics_is_read_by_its_own_parser(exposition: Exposition) -> None:
    counter = Family("shippyard_y_total", 'Y "so".', "counter", (Sample({"a": 'b"\\\n'}, 3),))
    exposition.publish("a", [family(1, database="one"), counter])
    body = exposition.render(Wanted(Format.OPENMETRICS)).decode()
    found = {each.name: each for each in _parsed(body)}
    assert found["shippyard_y"].samples[0].labels == {"a": 'b"\\\n'}
    assert found["shippyard_y"].type == "counter"
    assert found["shippyard_x"].samples[0].value == 1
    assert body.endswith("# EOF\n")


def test_the_daemons_own_metrics_are_what_the_library_would_write() -> None:
    metrics = Metrics()
    metrics.check_duration.labels('a"\\b', "c\nd").set(0.1)
    metrics.job_runs.labels("dump", "ok").inc(3)
    metrics.config_reload_time.set(math.inf)
    metrics.loops_stuck.set(math.nan)
    theirs = generate_latest(metrics.registry).decode()
    assert _meant(written(metrics.registry, Format.TEXT).decode()) == _meant(theirs)


def _meant(body: str) -> list[tuple[str, ...]]:
    """Every sample with what is said of its family. What it is by itself never stands still."""
    return [
        (each.type, each.documentation, one.name, str(sorted(one.labels.items())), _said(one))
        for each in text_to_families(body)
        for one in each.samples
        if not each.name.startswith("process_")
    ]


def _said(sample: Any) -> str:
    return str(float(sample.value))


def test_a_zipped_body_is_the_same_and_is_not_older(exposition: Exposition) -> None:
    zipped = Wanted(zipped=True)
    exposition.publish("a", [family(1)])
    assert b"\nshippyard_x 1\n" in gzip.decompress(exposition.render(zipped))
    exposition.publish("a", [family(2)])
    assert b"\nshippyard_x 2\n" in gzip.decompress(exposition.render(zipped))
    exposition.withdraw("a")
    assert b"\nshippyard_x" not in gzip.decompress(exposition.render(zipped))


@pytest.mark.parametrize(
    ("accept", "encoding", "expected"),
    [
        ("", "", Wanted()),
        ("text/plain", "gzip, deflate", Wanted(zipped=True)),
        ("*/*", "gzip;q=0", Wanted()),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "identity",
         Wanted(Format.OPENMETRICS)),
    ],
)  # fmt: skip
def test_a_reader_gets_what_it_says_it_takes(accept: str, encoding: str, expected: Wanted) -> None:
    assert wanted({"accept": accept, "accept-encoding": encoding}) == expected


def _parsed(body: str) -> Iterator[Metric]:
    yield from text_string_to_metric_families(body)  # type: ignore[no-untyped-call]
