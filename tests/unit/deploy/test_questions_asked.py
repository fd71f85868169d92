"""What dashboards and rules ask is found whole, and nothing hides a metric that is gone."""

from dataclasses import replace

from proofs.know.questions import (
    Question,
    expected_empty,
    known_metrics,
    questions,
    unanswered,
)

ASKED = questions("15s")


def test_every_kind_of_question_is_there() -> None:
    assert {each.source for each in ASKED} == {"panel", "variable", "annotation", "rule"}
    assert len(ASKED) > 150
    assert not [each for each in ASKED if "$" in each.expr]
    assert not [each for each in ASKED if not each.metrics]


def test_every_metric_asked_for_is_one_that_is_declared() -> None:
    assert {name for each in ASKED for name in each.metrics} <= known_metrics()


def test_a_renamed_metric_is_seen_wherever_it_is_asked_for() -> None:
    why, known = expected_empty(), known_metrics()
    assert unanswered(ASKED, ASKED, why, known) == []
    for name in {name for each in ASKED for name in each.metrics}:
        renamed = [replace(e, expr=e.expr.replace(name, f"{name}_gone")) for e in ASKED]
        answered = [each for each in renamed if f"{name}_gone" not in each.expr]
        assert unanswered(renamed, answered, why, known), name


def test_what_is_silent_needs_a_reason() -> None:
    silent = Question("panel", "a page: a panel", "shippyard_health_blocked_sessions")
    excused = Question("panel", "a page: another", "shippyard_health_table_bloat_ratio")
    assert unanswered([silent, excused], [], expected_empty(), known_metrics()) == [silent]


def test_only_metrics_and_panels_that_exist_are_excused() -> None:
    places = {each.where for each in ASKED}
    assert set(expected_empty()) <= known_metrics() | places
