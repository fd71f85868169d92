"""Owns the time from a block to the page, and from its end to the resolve, on every channel.

The daemon at its defaults, by all its routes; beside it, on the same server and of the same blocks,
Prometheus with Alertmanager's defaults behind it. It scrapes and evaluates each 15 s, as many set
it up; its own default is 60 s (`--every 60`). Blocks begin at any moment between two scrapes. A
block ends as soon as everybody has paged, so that the usual way's resolve waits for a whole
`group_interval`; what it takes at another moment is anything up to that.
`python -m bench.page [--times 3] [--every 15]`.
"""

import argparse
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.prometheus import ALERT, prometheus
from proofs.paging.alertmanager import DEFAULTS, alertmanager, example_grouping
from proofs.paging.arrivals import read_alertmanager
from proofs.paging.receivers import Kept, desk, door
from proofs.paging.stage import linger, page_by
from proofs.rig import Block, Rig, rig
from proofs.table import ROOT, Context

RULE = "blocked"
OURS_WITHIN_S = 60.0
THEIRS_WITHIN_S = 600.0
EVERY_S = 15
SEED = 5
"""An Alertmanager at its defaults tells of a group once in five minutes."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Times:
    """How long one channel took, once for each block."""

    channel: str
    page_s: Sequence[float]
    resolve_s: Sequence[float]

    def __str__(self) -> str:
        return f"{self.channel}: page {_told(self.page_s)}, resolve {_told(self.resolve_s)}"


@dataclass(frozen=True)
class Compared:
    """Ours, channel by channel, and the usual way's when it was beside."""

    ours: Sequence[Times]
    usual: Times | None

    @property
    def slowest(self) -> Times:
        """What the slowest of our channels took, block by block."""
        return Times(
            "our slowest",
            [max(all_s) for all_s in zip(*(each.page_s for each in self.ours), strict=True)],
            [max(all_s) for all_s in zip(*(each.resolve_s for each in self.ours), strict=True)],
        )

    @property
    def ratios(self) -> tuple[float, float] | None:
        """What part of the usual way's time our slowest channel takes: page, resolve."""
        if self.usual is None:
            return None
        ours, usual = self.slowest, self.usual
        return (
            statistics.median(ours.page_s) / statistics.median(usual.page_s),
            statistics.median(ours.resolve_s) / statistics.median(usual.resolve_s),
        )


def measure(
    folder: Path, times: int, say: Say, *, beside: bool = True, every_s: int = EVERY_S
) -> Compared:
    """As many blocks as asked for; each ends when everybody has paged.

    Raises:
        CouldNotRun: a program is missing on this machine.
    """
    context = Context(quick=False, root=ROOT, folder=folder, say=say)
    with rig(context) as made, _listening(made) as ours, ExitStack() as undo:
        made.start()
        usual = undo.enter_context(_usual(made, every_s)) if beside else {}
        chance, rounds = random.Random(SEED), []
        for _ in range(times):
            linger(chance.uniform(0, every_s if beside else 1))
            rounds.append(_round(made, ours, usual, say))
    told = [
        Times(name, [each[name][0] for each in rounds], [each[name][1] for each in rounds])
        for name in (*ours, *usual)
    ]
    return Compared(told[: len(ours)], told[-1] if beside else None)


@contextmanager
def _listening(made: Rig) -> Iterator[Mapping[str, Kept]]:
    """Every channel that the daemon can tell by, the Alertmanager as our example has it."""
    with (
        desk() as tools,
        alertmanager(made.folder, tools.alerts.url, example_grouping(), "ours") as other,
    ):
        page_by(made, tools.routes(other.url), tools.secrets())
        yield tools.channels


@contextmanager
def _usual(made: Rig, every_s: int) -> Iterator[Mapping[str, Kept]]:
    """The usual way: Prometheus asks, an Alertmanager at its defaults tells."""
    port = made.document["http"]["port"]
    with (
        door(read_alertmanager) as end,
        alertmanager(made.folder, end.url, DEFAULTS, "usual") as other,
        prometheus(made.folder, port, other.port, every_s),
    ):
        yield {"Prometheus": end.kept}


def _round(
    made: Rig, ours: Mapping[str, Kept], usual: Mapping[str, Kept], say: Say
) -> dict[str, tuple[float, float]]:
    """One block: seconds to the page and to the resolve, by channel."""
    block = Block(made)
    try:
        paged = _heard(ours, RULE, "trigger", block.begun, OURS_WITHIN_S)
        paged |= _heard(usual, ALERT, "trigger", block.begun, THEIRS_WITHIN_S)
    finally:
        ended = block.end()
    over = _heard(ours, RULE, "resolve", ended, OURS_WITHIN_S)
    over |= _heard(usual, ALERT, "resolve", ended, THEIRS_WITHIN_S)
    say(", ".join(f"{name} {paged[name]:.1f} s and {over[name]:.1f} s" for name in paged))
    return {name: (paged[name], over[name]) for name in paged}


def _heard(
    channels: Mapping[str, Kept], rule: str, event: str, since: float, within_s: float
) -> dict[str, float]:
    return {
        name: kept.wait_for(rule, event, since, within_s).at - since
        for name, kept in channels.items()
    }


def _told(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f} s (at most {max(seconds):.1f})"


def main() -> None:
    """Print what each channel took, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--every", type=int, default=EVERY_S, help="seconds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shippyard-bench-") as folder:
        Path(folder).chmod(0o755)
        found = measure(Path(folder), asked.times, print, every_s=asked.every)
    for each in (*found.ours, found.slowest, found.usual):
        print(each)
    if found.ratios is not None:
        page, resolve = found.ratios
        print(f"our slowest channel takes {page:.3f} of the usual page, {resolve:.3f} of its end")


if __name__ == "__main__":
    main()
