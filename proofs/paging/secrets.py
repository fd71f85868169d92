"""Proves that a secret which was given to the daemon is nowhere that it says anything.

Every secret is planted as a credential; then all is done that could spill one: pages, refusals,
failures, an exception that holds them all.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from proofs.paging.receivers import Desk, Door, Kept, Mood, desk, door
from proofs.paging.stage import RULE, make_table, page_by, troubles, watch_troubles
from proofs.program import Program, last_line
from proofs.rig import Block, Rig, free_port, rig
from proofs.rig import database as guarded
from proofs.table import Context, Outcome, Row
from proofs.waiting import until
from shippyard.host.secrets import MASK

PASSWORD = "PASSWORD-of-the-monitor-5e55"
DSN_KEY = "0d5ec0de0d5ec0de0d5ec0de0d5ec0de"
AWAY = "away"
HEARD_WITHIN_S = 30.0

RAISES = """
import logging, sys
from shippyard.config.models import Sentry
from shippyard.host.secrets import read_secret
from shippyard.telemetry.logging import configure_logging
from shippyard.telemetry.sentry import configure_sentry
configure_logging("info", "json")
names = sys.argv[1:]
secrets = [read_secret(name) for name in names]
assert configure_sentry(Sentry(dsn_credential="sentry-dsn"), "testing")
import sentry_sdk
logging.getLogger("proof").warning("a crumb with %s", secrets)
sentry_sdk.set_context("proof", {"held": secrets})
try:
    held = {"locals": secrets}
    raise RuntimeError("planted: " + " ".join(secrets))
except RuntimeError as error:
    sentry_sdk.capture_exception(error)
try:
    raise ValueError(secrets)
except ValueError:
    logging.getLogger("proof").exception("planted %s", secrets)
sentry_sdk.flush(10)
"""

TALKS: Sequence[Sequence[str]] = (
    ("status",),
    ("status", "--json"),
    ("alerts", "list", "--json"),
    ("alerts", "history", "--json"),
    ("alerts", "history"),
    ("alerts", "test", "hook"),
    ("alerts", "test", "duty"),
    ("alerts", "test", "chat"),
    ("alerts", "silence", "--for", "1m", "--match", "rule=nothing", "--why", "proof"),
    ("health", "--json"),
    ("jobs", "--json"),
    ("backup", "run", AWAY),
    ("backup", "list", "--json"),
)
PATHS = ("/metrics", "/readyz", "/healthz")


def secrets(context: Context) -> Outcome:
    """Plant, do all that could spill, and look everywhere."""
    with desk() as tools, door() as sentry, rig(context) as made:
        planted = {**tools.secrets(), **_own_secrets(sentry)}
        _prepare(made, tools, planted)
        made.start()
        said = _live(made, tools)
        by_daemon = len(_events(sentry))
        said["a raised exception"] = _raise(made, planted)
        until(lambda: len(_events(sentry)) >= by_daemon + 2, HEARD_WITHIN_S, "Sentry told")
        made.stop()
        said |= _written(made, tools, sentry)
    spilt = _spilt(said, planted)
    events = _events(sentry)
    masked = sum(MASK in event for event in events)
    claims = {
        "Sentry was told": masked >= 2,
        "every place said something": all(said.values()),
    }
    characters = sum(map(len, said.values()))
    measured = (
        f"{len(planted)} secrets planted, {len(spilt)} found, in {len(said)} places with "
        f"{characters:,} characters; {len(events)} events at Sentry ({by_daemon} of the daemon), "
        f"{masked} with something masked"
    )
    broken = [claim for claim, holds in claims.items() if not holds]
    return Outcome(measured, not spilt and not broken, "; ".join([*broken, *spilt]))


def _own_secrets(sentry: Door) -> Mapping[str, str]:
    return {
        "db-password": PASSWORD,
        "sentry-dsn": f"http://{DSN_KEY}@127.0.0.1:{sentry.port}/1",
    }


def _prepare(made: Rig, tools: Desk, planted: Mapping[str, str]) -> None:
    """A daemon that knows all of them, and a database that it can't reach."""
    page_by(made, tools.routes(), planted)
    watch_troubles(made)
    make_table(made)
    made.document["sentry"] = {"dsn_credential": "sentry-dsn"}
    login = {"user": "postgres", "password_credential": "db-password"}
    away = guarded(AWAY, "127.0.0.1", port=free_port(), **login)
    made.document["databases"][0]["monitor"] = login
    made.document["databases"].append(away)


def _live(made: Rig, tools: Desk) -> dict[str, str]:
    """A page, a refusal, an end; all that people and programs ask for meanwhile."""
    hook = tools.hook
    hook.turn(Mood.BROKEN)
    with troubles(made) as wrong:
        wrong.begin("alpha")
        tools.duty.kept.wait_for(RULE, "trigger", 0.0, HEARD_WITHIN_S)
        hook.turn(Mood.GARBAGE)
        block = Block(made)
        said = {f"ctl {' '.join(words)}": _spoken(made, words) for words in TALKS}
        tools.duty.kept.wait_for("blocked", "trigger", block.begun, HEARD_WITHIN_S)
        first = made.call("alerts")["incidents"][0]["id"]
        said["ctl alerts show"] = _spoken(made, ("alerts", "show", first, "--json"))
        said |= {path: made.scrape(path).body for path in PATHS}
        hook.turn(Mood.WELL)
        ended = block.end()
        wrong.end_all()
    for kept in (tools.duty.kept, hook.kept, tools.chat.kept):
        kept.wait_for("blocked", "resolve", ended, HEARD_WITHIN_S)
    return said


def _spoken(made: Rig, words: Sequence[str]) -> str:
    ran = made.ctl(*words)
    return f"{ran.stdout}\n{ran.stderr}"


def _raise(made: Rig, planted: Mapping[str, str]) -> str:
    """What a program of ours says that raises with every secret in its hands."""
    argv = [sys.executable, "-c", RAISES, *planted]
    child = Program(argv, made.folder, "raising", made.env)
    try:
        status = child.wait(30)
    finally:
        child.end()
    said = f"{child.out.read_text()}\n{child.err.read_text()}"
    assert status == 0, f"it could not raise: {last_line(said)}"
    return said


def _written(made: Rig, tools: Desk, sentry: Door) -> dict[str, str]:
    """What is in files, and what arrived. What a receiver is told to know it by does not count."""
    assert made.daemon is not None
    texts = {"the daemon's log": _text(made.daemon.err) + _text(made.daemon.out)}
    texts["the state database"] = _state(Path(made.document["daemon"]["state_dir"]))
    known_by = f'"public_key":"{DSN_KEY}"'
    texts["Sentry"] = "\n".join(sentry.kept.bodies).replace(known_by, "")
    own = tools.secrets()["duty-key"]
    for name, kept in (("webhook", tools.hook.kept), ("Slack", tools.chat.kept)):
        texts[name] = _all(kept)
    texts["PagerDuty"] = _all(tools.duty.kept).replace(f'"routing_key": "{own}"', "")
    texts["SMTP"] = _all(tools.mail.kept)
    return texts


def _events(sentry: Door) -> Sequence[str]:
    """Errors that it was told; a program also tells how many it did not send."""
    return [body for body in sentry.kept.bodies if '"type":"event"' in body]


def _all(kept: Kept) -> str:
    return "\n".join([*kept.heads, *kept.bodies])


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _state(folder: Path) -> str:
    found = []
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):
            if path.is_file():
                found.append(path.read_bytes().decode(errors="replace"))
    return "\n".join(found)


def _spilt(said: Mapping[str, str], planted: Mapping[str, str]) -> list[str]:
    """Each secret that stands somewhere; of an address its token, of a DSN its key too."""
    parts = {**planted, "sentry-dsn's key": DSN_KEY}
    for name in ("hook-url", "slack-url"):
        parts[f"{name}'s token"] = planted[name].rsplit("/", 1)[1]
    return [
        f"{name} in {place}"
        for place, text in said.items()
        for name, value in parts.items()
        if value in text
    ]


ROWS = (
    Row(
        "page-secrets",
        "A planted password, DSN, token and keys, when all is done that could spill one",
        "in no log, metric, Sentry event, payload or ctl output",
        secrets,
    ),
)
