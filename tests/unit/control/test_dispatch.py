"""Answering one request: the right method, the right role, and errors of one masked line."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from shippyard.config.models import Role
from shippyard.control.codec import Failure, Request, Result
from shippyard.control.dispatch import Dispatcher
from shippyard.control.method import Call, Document, Method, MethodError, Peer
from shippyard.host.secrets import remember
from shippyard.telemetry.metrics import Metrics
from tests.conftest import FakeClock

SECRET = "correct-horse-battery"


class Silent:
    def progress(self, fields: Document) -> None: ...

    def item(self, fields: Document) -> None: ...


class Asked:
    """A dispatcher with a few methods, and what it counted."""

    def __init__(self, clock: FakeClock) -> None:
        remember(SECRET)
        self.metrics = Metrics()
        methods = [
            Method("status", "viewer", lambda call: {"params": call.params, "by": call.peer.user}),
            Method("backup.run", "operator", lambda _: {"backups": []}),
            Method("migrate.approve", "approver", lambda _: {}),
            Method("migrate.run", "viewer", _blocked),
            Method("broken", "viewer", _broken),
        ]
        self.dispatcher = Dispatcher(methods, clock=clock, metrics=self.metrics)

    def __call__(self, method: str, *roles: Role, **params: Any) -> Result | Failure:
        peer = Peer(1000, "bob", frozenset(roles))
        return self.dispatcher.answer(Request("9", method, params), peer, Silent())

    def counted(self, method: str, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "shippyard_control_requests_total", {"method": method, "outcome": outcome}
        )


def _blocked(_: Call) -> Document:
    raise MethodError("blocked", f"gate says\nno to {SECRET}", {"gate": "backup"})


def _broken(_: Call) -> Document:
    raise RuntimeError(f"password={SECRET}\nand more")


@pytest.fixture
def ask(clock: FakeClock) -> Asked:
    return Asked(clock)


def test_a_method_gets_its_params_and_its_caller(ask: Asked) -> None:
    assert ask("status", "viewer", a=1) == Result("9", {"params": {"a": 1}, "by": "bob"})
    assert ask.counted("status", "ok") == 1


@pytest.mark.parametrize("method", ["status", "backup.run", "migrate.approve"])
def test_without_a_role_nothing_is_answered(ask: Asked, method: str) -> None:
    answer = ask(method)
    assert isinstance(answer, Failure)
    assert answer.code == "not_permitted"
    assert ask.counted(method, "not_permitted") == 1


def test_one_role_does_not_stand_for_another(ask: Asked) -> None:
    answer = ask("backup.run", "viewer", "approver")
    assert answer == Failure(
        "9",
        "not_permitted",
        "backup.run is for operators and user 'bob' is none; ask for a place in control.operators",
    )
    assert isinstance(ask("migrate.approve", "viewer", "operator"), Failure)
    assert isinstance(ask("backup.run", "viewer", "operator"), Result)


def test_an_unknown_method_is_a_usage_error_that_names_the_nearest(ask: Asked) -> None:
    answer = ask("backup.rnu", "viewer")
    assert answer == Failure("9", "usage", "no method 'backup.rnu'; did you mean 'backup.run'?")
    assert ask.counted("unknown", "usage") == 1
    assert ask.counted("backup.rnu", "usage") is None


def test_a_refusal_keeps_its_code_and_details_in_one_masked_line(ask: Asked) -> None:
    assert ask("migrate.run", "viewer") == Failure(
        "9", "blocked", "gate says no to [secret]", {"gate": "backup"}
    )


def test_a_broken_method_fails_with_one_masked_line_and_its_traceback_is_logged(ask: Asked) -> None:
    with capture_logs() as logs:
        answer = ask("broken", "viewer")
    assert answer == Failure(
        "9", "failed", "broken failed: RuntimeError: password=[secret] and more"
    )
    assert [log["event"] for log in logs] == ["control.method_failed", "control.request"]
    assert logs[0]["exc_info"]
    assert ask.counted("broken", "failed") == 1


def test_each_request_is_one_log_line(ask: Asked) -> None:
    with capture_logs() as logs:
        ask("status", "viewer")
    assert logs == [
        {
            "event": "control.request",
            "log_level": "info",
            "method": "status",
            "user": "bob",
            "uid": 1000,
            "outcome": "ok",
            "elapsed_s": 0.0,
        }
    ]
