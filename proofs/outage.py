"""Proves what the daemon does while PostgreSQL hangs or is gone: answer, say so, come back."""

import json
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Self

from proofs.rig import DATABASE, Block, Rig, Scrape, rig
from proofs.table import Context, Outcome
from proofs.waiting import seconds_until

P99_GOAL_MS = 50.0
STALE_GOAL_S = 10.0
WATCHDOG_S = 30.0
RESUME_GOAL_S = 30.0
PATIENCE_S = 90.0
SCRAPE_PAUSE_S = 0.05


@dataclass
class Scrapes:
    """A Prometheus that never rests: scrapes until told to stop, and keeps how long each took."""

    stage: Rig
    taken_ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(15)

    @property
    def p99_ms(self) -> float:
        """99 of 100 scrapes took at most this."""
        ordered = sorted(self.taken_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]

    def _run(self) -> None:
        while not self._over.wait(SCRAPE_PAUSE_S):
            try:
                scrape = self.stage.scrape()
            except OSError as error:
                self.failed.append(str(error))
                continue
            self.taken_ms.append(scrape.elapsed_ms)
            if scrape.status != 200:
                self.failed.append(f"status {scrape.status}")


def stop_postgres(context: Context) -> Outcome:
    """SIGSTOP to all of PostgreSQL: it neither answers nor refuses. Then SIGCONT."""
    hang_s = context.count(full=65, quick=12)
    with rig(context) as stage:
        daemon = stage.start()
        seconds_until(stage.check_series, 15, "series of the checks")
        stage.cluster.signal_all(signal.SIGSTOP)
        begun = time.monotonic()
        with Scrapes(stage) as scrapes:
            stale_s = seconds_until(lambda: not stage.check_series(), PATIENCE_S, "series gone")
            context.say(f"stale series gone after {stale_s:.1f} s")
            unready_s = seconds_until(lambda: _why_unready(stage), PATIENCE_S, "readyz says no")
            unready_s += stale_s
            why = _why_unready(stage)
            seconds_until(lambda: time.monotonic() > begun + hang_s, PATIENCE_S, "the hang over")
            alive = stage.scrape("/healthz").status
        ended = time.monotonic()
        silence_s = stage.manager.longest_silence_s(begun, ended)
        stage.cluster.signal_all(signal.SIGCONT)
        resumed_s = _resumed(stage)
        claims = {
            f"99 of 100 scrapes within {P99_GOAL_MS:g} ms": scrapes.p99_ms <= P99_GOAL_MS,
            "no scrape failed": not scrapes.failed,
            f"stale series gone within {STALE_GOAL_S:g} s": stale_s <= STALE_GOAL_S,
            "readyz names the database": DATABASE in why,
            "healthz stays good": alive == 200,
            "the watchdog is fed": silence_s < WATCHDOG_S / 2,
            f"resumed within {RESUME_GOAL_S:g} s": resumed_s <= RESUME_GOAL_S,
            "the same daemon": daemon.running,
        }
    measured = (
        f"hung {hang_s} s: {len(scrapes.taken_ms)} scrapes, p99 {scrapes.p99_ms:.1f} ms, longest "
        f"{max(scrapes.taken_ms):.1f} ms; series gone after {stale_s:.1f} s; unready within "
        f"{unready_s:.1f} s; watchdog silent {silence_s:.1f} s at most; "
        f"resumed after {resumed_s:.1f} s"
    )
    return _outcome(measured, claims, f"readyz: {why}")


def outage(context: Context) -> Outcome:
    """PostgreSQL stopped for a minute and started again; nobody touches the daemon."""
    gone_s = context.count(full=60, quick=10)
    with rig(context) as stage:
        daemon = stage.start()
        seconds_until(stage.check_series, 15, "series of the checks")
        stage.cluster.stop()
        begun = time.monotonic()
        down_s = seconds_until(lambda: stage.up() == 0, PATIENCE_S, "seen as down")
        seconds_until(lambda: time.monotonic() > begun + gone_s, PATIENCE_S, "the outage over")
        silence_s = stage.manager.longest_silence_s(begun, time.monotonic())
        stage.cluster.start()
        resumed_s = _resumed(stage)
        context.say(f"down after {down_s:.1f} s, polled again after {resumed_s:.1f} s")
        backups = stage.call("backup.run", {"database": DATABASE, "kind": "all"})["backups"]
        block = Block(stage)
        page = stage.pager.wait_for("blocked", "trigger", block.begun, 30)
        ended = block.end()
        stage.pager.wait_for("blocked", "resolve", ended, 30)
        claims = {
            f"polled again within {RESUME_GOAL_S:g} s": resumed_s <= RESUME_GOAL_S,
            "a dump and a schema are published": [b["state"] for b in backups] == ["published"] * 2,
            "a block pages": page.at - block.begun <= 13,
            "the watchdog is fed": silence_s < WATCHDOG_S / 2,
            "the same daemon": daemon.running,
        }
    measured = (
        f"stopped {gone_s} s: down seen after {down_s:.1f} s; polled and ready again "
        f"{resumed_s:.1f} s after the start; backups and a page ({page.at - block.begun:.1f} s) "
        f"work; watchdog silent {silence_s:.1f} s at most"
    )
    return _outcome(measured, claims, "")


def _resumed(stage: Rig) -> float:
    """Seconds until checks give series again and the daemon says it is ready."""

    def back() -> bool:
        return bool(stage.check_series()) and stage.scrape("/readyz").status == 200

    return seconds_until(back, PATIENCE_S, "series and readiness back")


def _why_unready(stage: Rig) -> str:
    """What `/readyz` says is wrong; empty while it says that nothing is."""
    answer: Scrape = stage.scrape("/readyz")
    return "; ".join(json.loads(answer.body)["problems"]) if answer.status == 503 else ""


def _outcome(measured: str, claims: dict[str, bool], note: str) -> Outcome:
    broken = [f"not so: {claim}" for claim, holds in claims.items() if not holds]
    return Outcome(measured, ok=not broken, note="; ".join([*broken, note] if note else broken))
