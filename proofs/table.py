"""Owns running rows of claims, the table they end in, and the exit status.

Knows nothing of what a row measures: a row is a function that gives an `Outcome`.
"""

import os
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from itertools import zip_longest
from pathlib import Path

from proofs.evidence import Record, commit_of, machine, merge

ROOT = Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / "docs" / "evidence.md"

QUICK_LIMIT_S = 300.0
FULL_LIMIT_S = 90 * 60.0
TOGETHER = 2
USAGE = 2


class Verdict(StrEnum):
    """What became of a row."""

    PASS = "pass"
    QUICK = "quick"
    FAIL = "fail"
    NOT_RUN = "not run"


class CouldNotRun(Exception):
    """This machine lacks what the row needs; the message says what."""


@dataclass(frozen=True)
class Outcome:
    """What a row found. `ok` is None when it could not be measured; `note` then says why."""

    measured: str
    ok: bool | None
    note: str = ""


@dataclass
class Context:
    """What a row may use: how thorough to be, where the checkout is, and a folder of its own."""

    quick: bool
    root: Path
    folder: Path
    say: Callable[[str], None] = field(default=lambda _: None)

    def count(self, *, full: int, quick: int) -> int:
        """How many trials, or how long: `full` unless a quick look was asked for."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Row:
    """One claim. `name` is how it is selected; `goal` is what makes it true.

    `alone` says that another row beside it would spoil its figure.
    """

    name: str
    claim: str
    goal: str
    run: Callable[[Context], Outcome]
    alone: bool = False


@dataclass(frozen=True)
class Result:
    """A row that was tried."""

    row: Row
    outcome: Outcome
    verdict: Verdict
    elapsed_s: float


def verdict_of(outcome: Outcome, *, quick: bool) -> Verdict:
    """A quick look that found nothing wrong is `quick`, never `pass`."""
    if outcome.ok is None:
        return Verdict.NOT_RUN
    if not outcome.ok:
        return Verdict.FAIL
    return Verdict.QUICK if quick else Verdict.PASS


def select(rows: Sequence[Row], wanted: str) -> list[Row]:
    """The rows that `wanted` names (`a,b`; all when empty), in the order of the table.

    Raises:
        KeyError: a name that no row has.
    """
    names = {name.strip() for name in wanted.split(",") if name.strip()}
    unknown = sorted(names - {row.name for row in rows})
    if unknown:
        known = ", ".join(row.name for row in rows)
        raise KeyError(f"no row is called {unknown[0]!r}; there are: {known}")
    return [row for row in rows if not names or row.name in names]


def exit_status(results: Sequence[Result]) -> int:
    """0 only when every row that was asked for held."""
    held = all(result.verdict in {Verdict.PASS, Verdict.QUICK} for result in results)
    return 0 if held else 1


def main(command: str, rows: Sequence[Row], environ: Mapping[str, str] | None = None) -> int:
    """Run the rows that the environment asks for, print the table, record it if asked.

    `ROWS=a,b` selects, `QUICK=1` looks quickly, `WRITE=1` records the figures of a full run.
    """
    environ = os.environ if environ is None else environ
    quick, write = environ.get("QUICK") == "1", environ.get("WRITE") == "1"
    if quick and write:
        return _refuse("WRITE=1 records full runs only; leave out QUICK=1")
    try:
        chosen = select(rows, environ.get("ROWS", ""))
    except KeyError as error:
        return _refuse(str(error.args[0]))
    begun = time.monotonic()
    results = run_rows(chosen, quick=quick)
    print(f"{drawn(results)} in {time.monotonic() - begun:.0f} s")
    if write:
        _record(command, results)
    return exit_status(results)


def run_rows(rows: Sequence[Row], *, quick: bool) -> list[Result]:
    """Try each row; those that the time is up for are not run, and say so.

    A full run takes one row after the other. A quick one takes two at a time, because most rows
    wait more than they work; rows that measure the machine itself still go alone.
    """
    ends = time.monotonic() + (QUICK_LIMIT_S if quick else FULL_LIMIT_S)
    alone = [row for row in rows if row.alone or not quick]
    together = [row for row in rows if row not in alone]
    attempt = partial(_attempt, quick=quick, ends=ends)
    results = [attempt(row) for row in alone] + _in_parallel(attempt, together)
    return sorted(results, key=lambda result: rows.index(result.row))


def drawn(results: Sequence[Result]) -> str:
    """The table, with what there is to say about a row under it."""
    heads = ("row", "claim", "goal", "measured", "verdict")
    widths = (11, 40, 30, 44, 7)
    lines = [_line(heads, widths), _line(tuple("-" * width for width in widths), widths)]
    for each in results:
        row = each.row
        cells = (row.name, row.claim, row.goal, each.outcome.measured, each.verdict.value)
        lines.append(_line(cells, widths))
        if each.outcome.note:
            lines.extend(_noted(each.outcome.note, sum(widths)))
    return "\n".join(["", *lines, "", _summary(results)])


def _in_parallel(attempt: Callable[[Row], Result], rows: Sequence[Row]) -> list[Result]:
    with ThreadPoolExecutor(TOGETHER) as pool:
        try:
            return list(pool.map(attempt, rows))
        except KeyboardInterrupt:
            print("stopping when the rows under way have ended", file=sys.stderr)
            pool.shutdown(cancel_futures=True)
            raise


def _attempt(row: Row, *, quick: bool, ends: float) -> Result:
    result = _too_late(row) if time.monotonic() > ends else _try(row, quick=quick)
    print(_progress(result), flush=True)
    return result


def _try(row: Row, *, quick: bool) -> Result:
    print(f"{_time()}  {row.name}: {row.claim}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(
        prefix="shippyard-proof-", ignore_cleanup_errors=True
    ) as folder:
        # PostgreSQL runs as another account than root, and must be able to look in.
        Path(folder).chmod(0o755)
        outcome = _outcome(row, Context(quick, ROOT, Path(folder), partial(_say, row.name)))
    return Result(row, outcome, verdict_of(outcome, quick=quick), time.monotonic() - begun)


def _outcome(row: Row, context: Context) -> Outcome:
    try:
        return row.run(context)
    except CouldNotRun as error:
        return Outcome("-", None, str(error))
    except Exception as error:  # noqa: BLE001  one broken row must not hide the others
        return Outcome("-", ok=False, note=f"{type(error).__name__}: {error}")


def _say(name: str, text: str) -> None:
    print(f"{_time()}  {name}: … {text}", flush=True)


def _too_late(row: Row) -> Result:
    outcome = Outcome("-", None, "the minutes for the whole were used up")
    return Result(row, outcome, Verdict.NOT_RUN, 0.0)


def _record(command: str, results: Sequence[Result]) -> None:
    commit, date, where = commit_of(ROOT), f"{datetime.now(UTC):%Y-%m-%d}", machine()
    records = [
        Record(
            row=each.row.name,
            claim=each.row.claim,
            goal=each.row.goal,
            figure=_figure(each),
            verdict=each.verdict.value,
            command=f"{command} ROWS={each.row.name}",
            date=date,
            commit=commit,
            machine=where,
        )
        for each in results
    ]
    before = EVIDENCE.read_text() if EVIDENCE.exists() else ""
    EVIDENCE.parent.mkdir(exist_ok=True)
    EVIDENCE.write_text(merge(before, records))
    print(f"recorded in {EVIDENCE}")


def _figure(result: Result) -> str:
    return result.outcome.note if result.verdict is Verdict.NOT_RUN else result.outcome.measured


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return USAGE


def _progress(result: Result) -> str:
    return (
        f"{_time()}  {result.row.name}: {result.verdict.value} "
        f"({result.elapsed_s:.1f} s) {result.outcome.measured}"
    )


def _time() -> str:
    return f"{datetime.now():%H:%M:%S}"  # noqa: DTZ005  for the person who watches


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One row of the table; what is too long for its column goes on below."""
    columns = [
        textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)
    ]
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
        for parts in zip_longest(*columns, fillvalue="")
    )


def _noted(note: str, width: int) -> list[str]:
    return [f"             {line}" for line in textwrap.wrap(note, width - 4)]


def _summary(results: Sequence[Result]) -> str:
    counts = Counter(result.verdict.value for result in results)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "nothing to do"
