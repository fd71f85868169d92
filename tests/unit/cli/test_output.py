"""How figures are told to a person."""

import pytest

from shippyard.cli.output import Progress, duration, print_table, size


@pytest.mark.parametrize(
    ("size_bytes", "told"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_316_000_000, "2.3 GB")],
)
def test_sizes(size_bytes: int | None, told: str) -> None:
    assert size(size_bytes) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "-"),
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (400_000, "4 d 15 h"),
    ],
)
def test_durations(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


def test_a_pipe_gets_tab_separated_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [("x", None), ("y", 3)], "nothing")
    assert capsys.readouterr().out == "x\t-\ny\t3\n"


def test_nothing_is_said_on_stderr_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a",), [], "no backups")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no backups\n")


def test_progress_in_a_pipe_says_each_phase_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=False)
    for size_bytes in (1_000, 2_000, 3_000):
        progress.show({"phase": "running", "size_bytes": size_bytes, "expected_bytes": 9_000})
    progress.show({"phase": "verified"})
    assert capsys.readouterr().err == "  running · 1.0 kB of about 9.0 kB\n  verified\n"


def test_progress_with_json_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(quiet=True).show({"phase": "running"})
    assert capsys.readouterr().err == ""
