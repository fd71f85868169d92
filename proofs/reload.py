"""Proves that SIGHUP applies a good configuration, and keeps the old one when the new is bad."""

import copy
import json
import signal
import socket
import time

from proofs.rig import Document, Rig, database, rig, toml
from proofs.table import Context, Outcome
from proofs.waiting import seconds_until

GOAL_S = 10.0
SUCCESS = "shippyard_config_last_reload_successful"
MISSPELT = "dump_schedul"


def reload(context: Context) -> Outcome:
    """A misspelt key, an address that is taken, then a second database; SIGHUP after each."""
    with rig(context) as stage, socket.create_server(("127.0.0.1", 0)) as other:
        daemon = stage.start()
        misspelt_s = _hangup(stage, _changed(stage, "backup", MISSPELT, "5 4 * * *"), 0)
        reason = _reason(daemon.said())
        taken_s = _hangup(stage, _changed(stage, "http", "port", other.getsockname()[1]), 0)
        kept = stage.up() == 1
        applied_s = _hangup(stage, _with_second(stage), 1)
        seen_s = seconds_until(lambda: stage.up("second") == 1, 15, "the second database polled")
        told = stage.manager.times_of("RELOADING=1")
        alive = daemon.running
        daemon.send(signal.SIGTERM)
        ended = daemon.wait(20)
        claims = {
            f"refused within {GOAL_S:g} s": max(misspelt_s, taken_s) <= GOAL_S,
            "the log names the key and the right one": MISSPELT in reason
            and "did you mean 'dump_schedule'" in reason,
            "the old one was kept": kept,
            f"applied within {GOAL_S:g} s": applied_s + seen_s <= GOAL_S,
            "systemd was told each time": len(told) == 3,
            "the same daemon, and it stops with 0": alive and ended == 0,
        }
    broken = [f"not so: {claim}" for claim, holds in claims.items() if not holds]
    measured = (
        f"misspelt key: refused in {misspelt_s:.1f} s; address taken: {taken_s:.1f} s; "
        f"good: read in {applied_s:.1f} s, polled by it {seen_s:.1f} s later"
    )
    return Outcome(measured, ok=not broken, note="; ".join([*broken, f"log: {reason}"]))


def _changed(stage: Rig, section: str, key: str, value: object) -> Document:
    document = copy.deepcopy(stage.document)
    document[section][key] = value
    return document


def _with_second(stage: Rig) -> Document:
    second = database("second", str(stage.cluster.socket_dir))
    return {**stage.document, "databases": [*stage.document["databases"], second]}


def _hangup(stage: Rig, document: Document, success: int) -> float:
    """Seconds from SIGHUP to ready again, with the metric saying how it went."""
    assert stage.daemon is not None
    stage.config.write_text(toml(document))
    begun = time.monotonic()
    stage.daemon.send(signal.SIGHUP)
    seconds_until(lambda: stage.manager.times_of("READY=1", begun), 30, "ready after SIGHUP")
    seconds_until(lambda: stage.scrape().value(SUCCESS) == success, 5, f"{SUCCESS} {success}")
    return time.monotonic() - begun


def _reason(said: str) -> str:
    """Why the log says it was refused."""
    lines = [line for line in said.splitlines() if "config.reload_refused" in line]
    reason = str(json.loads(lines[-1])["reason"]) if lines else "nothing"
    # The file is in a folder of this run alone.
    return reason.partition(".toml: ")[2] or reason
