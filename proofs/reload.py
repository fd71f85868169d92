"""Proves that SIGHUP applies a good configuration, and keeps the old one when the new is bad."""

import copy
import json
import signal
import time

from proofs.rig import Document, Rig, database, rig
from proofs.table import Context, Outcome
from proofs.waiting import seconds_until

GOAL_S = 10.0
SUCCESS = "shippyard_config_last_reload_successful"
MISSPELT = "dump_schedul"


def reload(context: Context) -> Outcome:
    """A misspelt key, then a second database, each followed by SIGHUP."""
    with rig(context) as stage:
        daemon = stage.start()
        good = copy.deepcopy(stage.document)
        stage.document["backup"][MISSPELT] = "5 4 * * *"
        refused_s = _hangup(stage, 0)
        reason = _reason(daemon.said())
        kept = stage.up() == 1
        stage.document = _with_second(good, stage)
        applied_s = _hangup(stage, 1)
        seen_s = seconds_until(lambda: stage.up("second") == 1, 15, "the second database polled")
        told = stage.manager.times_of("RELOADING=1")
        claims = {
            f"refused within {GOAL_S:g} s": refused_s <= GOAL_S,
            "the log names the key and the right one": MISSPELT in reason
            and "did you mean 'dump_schedule'" in reason,
            "the old one was kept": kept,
            f"applied within {GOAL_S:g} s": applied_s + seen_s <= GOAL_S,
            "systemd was told both times": len(told) == 2,
            "the same daemon": daemon.running,
        }
    broken = [f"not so: {claim}" for claim, holds in claims.items() if not holds]
    measured = (
        f"bad: refused in {refused_s:.1f} s; good: read in {applied_s:.1f} s, "
        f"polled by it {seen_s:.1f} s later"
    )
    return Outcome(measured, ok=not broken, note="; ".join([*broken, f"log: {reason}"]))


def _with_second(document: Document, stage: Rig) -> Document:
    second = database("second", str(stage.cluster.socket_dir))
    return {**document, "databases": [*document["databases"], second]}


def _hangup(stage: Rig, success: int) -> float:
    """Seconds from SIGHUP to ready again, with the metric saying how it went."""
    assert stage.daemon is not None
    stage.write()
    begun = time.monotonic()
    stage.daemon.send(signal.SIGHUP)
    seconds_until(lambda: stage.manager.times_of("READY=1", begun), 30, "ready after SIGHUP")
    seconds_until(lambda: stage.scrape().value(SUCCESS) == success, 5, f"{SUCCESS} {success}")
    return time.monotonic() - begun


def _reason(said: str) -> str:
    """Why the log says it was refused."""
    lines = [line for line in said.splitlines() if "config.reload_refused" in line]
    return str(json.loads(lines[-1])["reason"]) if lines else "nothing"
