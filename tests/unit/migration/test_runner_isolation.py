"""What is missing of a run's isolation is said with what to do, never taken for granted."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from shippyard.migration.launch import LaunchFailed
from shippyard.migration.launch_isolation import isolation
from shippyard.migration.launch_socket import SocketLauncher

SOCKET = Path("/run/shippyard-runner.sock")
GUARDED = {"the daemon's state": Path("/var/lib/shippyard")}

Answers = Callable[[Any], None]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What the runner says of itself from now on."""

    def say(answer: Any) -> None:
        def ask(_: SocketLauncher, __: Mapping[str, str]) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(SocketLauncher, "ask", ask)

    return say


def test_without_a_socket_everything_is_missing() -> None:
    found = isolation(None, GUARDED)
    assert "with the daemon's rights" in found.said
    assert "systemctl enable --now shippyard-runner.socket" in found.remedy
    assert not found.broken


def test_a_socket_that_gives_no_answer_breaks_every_run(answers: Answers) -> None:
    answers(LaunchFailed("no runner answers"))
    found = isolation(SOCKET, GUARDED)
    assert found.broken
    assert "no runner answers" in found.said


def test_a_runner_that_is_us_is_no_second_user(answers: Answers) -> None:
    answers({"uid": os.geteuid(), "reached": []})
    assert "not another than ours" in isolation(SOCKET, GUARDED).said
    answers({"uid": 0, "reached": []})
    assert isolation(SOCKET, GUARDED).remedy


def test_what_it_reaches_is_named(answers: Answers) -> None:
    answers({"uid": 64123, "reached": ["the daemon's state"]})
    found = isolation(SOCKET, GUARDED)
    assert "can open the daemon's state" in found.said
    assert found.remedy


def test_nothing_is_to_be_done_when_it_reaches_nothing(answers: Answers) -> None:
    answers({"uid": 64123, "reached": []})
    found = isolation(SOCKET, GUARDED)
    assert "can open nothing" in found.said
    assert not found.remedy
