"""The first of the two commands: the tour ends well and says so."""

from proofs.program import shippyard

STEPS = 9


def test_the_tour_shows_every_step() -> None:
    ran = shippyard("demo", "--once", "--json")
    assert ran.returncode == 0, ran.stderr
    summary = ran.document
    assert summary["ok"] is True
    assert len(summary["steps"]) == STEPS
    assert {step["verdict"] for step in summary["steps"]} == {"ok"}


def test_a_step_that_fails_is_named_and_the_exit_says_so() -> None:
    ran = shippyard("demo", "--once", "--migrations", "/")
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "step 'migrate through the gate' failed" in ran.stderr
