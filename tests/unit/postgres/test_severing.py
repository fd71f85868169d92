"""What outlives its limit is cut once, by another thread; what ends in time never is."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from shippyard.postgres import severing
from shippyard.postgres.severing import Severing

Eventually = Callable[[Callable[[], Any]], Any]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(severing, "LOOK_EVERY_S", 0.005)


def test_what_takes_too_long_is_cut_once_and_nothing_beside_it() -> None:
    watch, cut, wrong = Severing(), threading.Event(), threading.Event()
    times: list[None] = []

    def strike() -> None:
        times.append(None)
        cut.set()

    with watch.after(60, wrong.set), watch.after(0, strike):
        assert cut.wait(10)
        looked = threading.Event()
        with watch.after(0, looked.set):
            assert looked.wait(10)
    assert len(times) == 1
    assert not wrong.is_set()


def test_what_ends_in_time_is_not_cut_later() -> None:
    watch, wrong, looked = Severing(), threading.Event(), threading.Event()
    with watch.after(0.02, wrong.set):
        pass
    with watch.after(0.05, looked.set):
        assert looked.wait(10)
    assert not wrong.is_set()


def test_with_nothing_to_watch_the_thread_ends_and_another_begins(eventually: Eventually) -> None:
    watch, cut = Severing(), threading.Event()
    before = threading.active_count()
    with watch.after(60, cut.set):
        assert threading.active_count() == before + 1
    eventually(lambda: threading.active_count() <= before)
    with watch.after(0, cut.set):
        assert cut.wait(10)
