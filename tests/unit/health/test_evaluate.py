"""From rows to samples and findings."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from shippyard.health.evaluate import ROWS_MAX, AnswerUnusable, evaluate
from shippyard.health.model import AlertSpec, Check, MetricSpec, Row
from shippyard.health.when import Condition

HERE = {"database": "shippyar"}
METRIC = MetricSpec("lag_bytes", "Lag.", "gauge", "lag", ("name",))
ALERT = AlertSpec("lagging", Condition("lag", ">", 10.0), 5, "ticket", "{name}: {lag:.0f} bytes")
CHECK = Check(
    "lag", "Lag", "instance", "rows", (), 5, 2, 14, 99, {}, (METRIC,), ALERT
)  # fmt: skip


def test_each_row_is_a_sample_and_null_is_absent() -> None:
    rows: list[Row] = [{"name": "a", "lag": Decimal("1.5")}, {"name": "b", "lag": None}]
    (family,) = evaluate(CHECK, rows, HERE).families
    assert [(dict(s.labels), s.value) for s in family.samples] == [
        ({"database": "shippyar", "name": "a"}, 1.5)
    ]


def test_a_null_label_is_empty_and_a_truth_is_one() -> None:
    (family,) = evaluate(CHECK, [{"name": None, "lag": True}], HERE).families
    assert (family.samples[0].labels["name"], family.samples[0].value) == ("", 1.0)


def test_a_family_without_samples_is_not_shown() -> None:
    assert evaluate(CHECK, [], HERE).families == ()


def test_rows_can_be_counted() -> None:
    check = replace(CHECK, metrics=(MetricSpec("n", "N.", "gauge", "rows", ()),), alert=None)
    assert evaluate(check, [{"a": 1}, {"a": 2}], HERE).families[0].samples[0].value == 2
    assert evaluate(check, [], HERE).families[0].samples[0].value == 0


def test_a_finding_speaks_of_the_first_row_found_and_shows_all_found() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "a", "lag": 3},
        {"name": "b", "lag": 30, "at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"name": "c", "lag": 40},
    ]
    finding = evaluate(CHECK, rows, HERE).finding
    assert finding is not None
    assert finding.summary == "b: 30 bytes"
    assert [row["name"] for row in finding.evidence["rows"]] == ["b", "c"]
    assert finding.evidence["rows"][0]["at"] == "2026-01-01 00:00:00+00:00"


def test_all_is_well() -> None:
    assert evaluate(CHECK, [{"name": "a", "lag": 10}], HERE).finding is None


def test_value_means_the_first_metrics_column() -> None:
    check = replace(CHECK, alert=replace(ALERT, when=Condition("value", ">", 10.0)))
    assert evaluate(check, [{"name": "a", "lag": 11}], HERE).finding is not None


def test_rows_can_be_the_condition() -> None:
    alert = replace(ALERT, when=Condition("rows", ">", 1.0), summary="{rows} of them")
    check = replace(CHECK, alert=alert)
    assert evaluate(check, [{"name": "a", "lag": 1}], HERE).finding is None
    finding = evaluate(check, [{"name": "a", "lag": 1}, {"name": "b", "lag": 1}], HERE).finding
    assert finding is not None
    assert finding.summary == "2 of them"


def test_an_absent_value_is_said_to_be_unknown() -> None:
    check = replace(CHECK, alert=replace(ALERT, summary="{lag:.0f} by {who:.0f}"))
    finding = evaluate(check, [{"name": "a", "lag": 12, "who": None}], HERE).finding
    assert finding is not None
    assert finding.summary == "12 by unknown"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"name": "a"}], "no column 'lag'"),
        ([{"lag": 1}], "no column 'name'"),
        ([{"name": "a", "lag": "much"}], "'lag' is not a number but str"),
        ([{"name": "a", "lag": 1}, {"name": "a", "lag": 2}], "the same labels"),
        ([{"name": str(n), "lag": 1} for n in range(ROWS_MAX + 1)], "add a LIMIT"),
    ],
)
def test_what_was_not_promised_is_refused(rows: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(AnswerUnusable, match=reason):
        evaluate(CHECK, rows, HERE)


def test_words_that_can_not_be_said_are_refused() -> None:
    check = replace(CHECK, alert=replace(ALERT, summary="{name:.0f}"))
    with pytest.raises(AnswerUnusable, match="can't be said"):
        evaluate(check, [{"name": "a", "lag": 11}], HERE)


def test_sessions_are_told_with_the_command_that_ends_them() -> None:
    metric = MetricSpec("long", "Long.", "gauge", "sessions", ())
    alert = AlertSpec("long", Condition("sessions", ">", 0.0), 0, "page", "{sessions}: {action}")
    check = replace(CHECK, shape="sessions", metrics=(metric,), alert=alert)
    row = {
        "total": 70,
        "pid": 7,
        "backend_start": datetime(2026, 1, 1, tzinfo=UTC),
        "datname": "shippyar",
        "usename": "app",
        "application_name": "web",
        "state": "active",
        "age_s": 301.5,
        "query": "SELECT 1",
    }
    answer = evaluate(check, [row], HERE)
    assert answer.families[0].samples[0].value == 70
    assert answer.finding is not None
    (told,) = answer.finding.evidence["sessions"]
    assert told["action"].startswith("SELECT pg_cancel_backend(pid) FROM pg_stat_activity")
    assert (told["pid"], told["user"], told["age_s"], told["query"]) == (
        7,
        "app",
        301.5,
        "SELECT 1",
    )
    assert answer.finding.summary == f"70: {told['action']}"
    calm = evaluate(check, [], HERE)
    assert (calm.families[0].samples[0].value, calm.finding) == (0, None)
