"""A loop that stopped turning is found; one that ended on purpose is not looked for."""

from shippyard.host.pulse import Pulse
from tests.conftest import FakeClock


def test_a_loop_is_stuck_after_its_limit_and_fresh_again_after_a_beat(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    beat = pulse.register("poller", 5)
    beat()
    pulse.register("scheduler", 60)()
    clock.advance(5.1)
    assert pulse.stuck() == ["poller"]
    beat()
    assert pulse.stuck() == []


def test_a_forgotten_loop_is_not_stuck(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    pulse.register("poller", 5)()
    pulse.forget("poller")
    clock.advance(1000)
    assert pulse.stuck() == []


def test_a_loop_that_never_turned_is_not_looked_for(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    pulse.register("of a configuration that was refused", 5)
    clock.advance(1000)
    assert pulse.stuck() == []
