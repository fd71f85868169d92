"""One test per cell of the delivery table, the impossible ones too; waiting and dropping."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from shippyard.alerting.delivery import (
    TRANSITIONS,
    Answer,
    AnswerKind,
    Delivery,
    Happening,
    IllegalHappening,
    Policy,
    State,
    answered,
    claimed,
    given_up,
    judge_status,
    retry_wait_s,
    select_dropped,
)
from shippyard.alerting.incidents import Event, Moment

NOW = Moment(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), 100.0)
POLICY = Policy(retry_max_s=300.0, attempts_max=5)
STATES: tuple[State, ...] = get_args(State)
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)


def delivery(
    state: State = "queued", attempts: int = 1, n: int = 0, event: Event = "trigger"
) -> Delivery:
    return Delivery(
        fingerprint="f",
        pending_at=NOW.at + timedelta(minutes=n),
        route="oncall",
        event=event,
        message={"idempotency_key": f"{n}.{event}"},
        created_at=NOW.at,
        due_at=NOW.at,
        due_s=NOW.monotonic_s,
        state=state,
        attempts=attempts,
    )


HAPPEN: dict[Happening, Callable[[Delivery], Delivery]] = {
    "claimed": lambda d: claimed(d, NOW, 5.0),
    "accepted": lambda d: answered(d, Answer("sent", "HTTP 200"), NOW, POLICY, 0.5),
    "failed": lambda d: answered(d, Answer("busy", "HTTP 503"), NOW, POLICY, 0.5),
    "given_up": lambda d: given_up(d, "enough"),
}
CELLS: dict[tuple[State, Happening], State] = {
    ("queued", "claimed"): "queued",
    ("queued", "accepted"): "sent",
    ("queued", "failed"): "retrying",
    ("queued", "given_up"): "dead",
    ("retrying", "claimed"): "retrying",
    ("retrying", "accepted"): "sent",
    ("retrying", "failed"): "retrying",
    ("retrying", "given_up"): "dead",
}


@pytest.mark.parametrize("happening", HAPPENINGS)
@pytest.mark.parametrize("state", STATES)
def test_each_cell(state: State, happening: Happening) -> None:
    if (state, happening) in CELLS:
        assert HAPPEN[happening](delivery(state)).state == CELLS[state, happening]
    else:
        with pytest.raises(IllegalHappening, match=state):
            HAPPEN[happening](delivery(state))


def test_the_table_has_these_cells_and_no_others() -> None:
    assert dict(TRANSITIONS) == CELLS


def test_a_claim_counts_the_attempt_and_takes_a_lease() -> None:
    taken = claimed(delivery(attempts=2), NOW, timeout_s=5.0)
    assert taken.attempts == 3
    assert taken.due_s == NOW.monotonic_s + 7.0
    assert taken.due_at == NOW.at + timedelta(seconds=7)


@pytest.mark.parametrize("kind", ["busy", "unreachable", "refused"])
def test_attempts_are_bounded(kind: AnswerKind) -> None:
    tried = [answered(delivery(attempts=n), Answer(kind, "no"), NOW, POLICY, 0.5) for n in (4, 5)]
    assert [d.state for d in tried] == ["retrying", "dead"]
    assert tried[1].error == "no"


def test_a_message_that_is_rejected_does_not_hold_up_the_others_for_long() -> None:
    answer = Answer("rejected", "HTTP 400")
    tried = [answered(delivery(attempts=n), answer, NOW, POLICY, 0.5).state for n in (1, 2, 3)]
    assert tried == ["retrying", "retrying", "dead"]


def test_waits_double_from_one_second_to_the_bound() -> None:
    waits = [retry_wait_s(n, None, 60.0, 0.5) for n in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert retry_wait_s(10_000, None, 60.0, 0.5) == 60


def test_jitter_is_a_fifth_either_way_and_never_beyond_the_bound() -> None:
    assert retry_wait_s(3, None, 300.0, 0.0) == pytest.approx(3.2)
    assert retry_wait_s(3, None, 300.0, 1.0) == pytest.approx(4.8)
    assert retry_wait_s(20, None, 300.0, 1.0) == 300.0


@pytest.mark.parametrize(("asked_s", "waited_s"), [(30.0, 30.0), (0.1, 1.0), (86_400.0, 300.0)])
def test_retry_after_counts_within_the_bound(asked_s: float, waited_s: float) -> None:
    assert retry_wait_s(1, asked_s, 300.0, 0.5) == waited_s
    done = answered(delivery(), Answer("busy", "HTTP 429", asked_s), NOW, POLICY, 0.5)
    assert done.due_s == NOW.monotonic_s + waited_s


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "sent"),
        (204, "sent"),
        (299, "sent"),
        (301, "refused"),
        (307, "refused"),
        (400, "rejected"),
        (401, "refused"),
        (404, "refused"),
        (408, "busy"),
        (413, "rejected"),
        (415, "rejected"),
        (422, "rejected"),
        (425, "busy"),
        (429, "busy"),
        (500, "busy"),
        (503, "busy"),
    ],
)
def test_what_a_status_means(status: int, kind: AnswerKind) -> None:
    assert judge_status(status, None, NOW.at) == Answer(kind, f"HTTP {status}")


@pytest.mark.parametrize(
    ("header", "after_s"),
    [
        ("17", 17.0),
        (" 17 ", 17.0),
        ("Wed, 04 Mar 2026 05:06:37 GMT", 30.0),
        ("Wed, 04 Mar 2026 05:06:37 -0000", 30.0),
        ("Wed, 04 Mar 2020 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, after_s: float | None) -> None:
    assert judge_status(503, header, NOW.at).retry_after_s == after_s


def test_a_full_queue_drops_its_oldest_repeat_first() -> None:
    queue = [
        delivery(n=0),
        delivery(n=1, event="repeat"),
        delivery(n=2, event="repeat"),
    ]
    assert select_dropped(queue) == [queue[1]]


def test_then_an_incident_that_began_and_ended_unheard() -> None:
    queue = [
        delivery(n=0),
        delivery(n=1),
        delivery(n=2),
        delivery(n=2, event="resolve"),
        delivery(n=3),
        delivery(n=3, event="resolve"),
    ]
    assert select_dropped(queue) == [queue[2], queue[3]]


def test_never_the_head_nor_the_resolve_of_what_was_told() -> None:
    queue = [
        delivery(n=0, event="repeat"),
        delivery(n=1, event="resolve"),
        delivery(n=2),
    ]
    assert select_dropped(queue) == []
    assert select_dropped([delivery(n=1), delivery(n=1, event="resolve")]) == []


def test_keys_are_of_route_and_message() -> None:
    assert delivery().key == ("oncall", "0.trigger")
    assert replace(delivery(), route="other").key != delivery().key
