"""Owns asking for what must be refused, through the control socket, by real users."""

import grp
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from proofs.gate.approved_world import BEGUN, DATABASE, Approved, Hand, World, world_in
from proofs.table import Context, CouldNotRun, Outcome
from shippyard.config.models import Control
from shippyard.control.server import ControlServer
from shippyard.host.clock import SystemClock
from shippyard.host.signing import Signer, signer_in
from shippyard.migration import attest_methods
from shippyard.migration.approvals import methods as approval_methods
from shippyard.migration.approvals.book import Subject
from shippyard.migration.approvals.methods import Described, Desk
from shippyard.migration.attest import HOLDS_FOR, Record, signed
from shippyard.migration.attestations import Attestations, here_of
from shippyard.migration.audit import Audit
from shippyard.migration.journal import Journal
from shippyard.migration.order import Requester
from shippyard.state.database import State, open_state
from shippyard.telemetry.metrics import Metrics

GROUP = "users"
ANA, BEN, CLEO = 20002, 20003, 20004
ROOT, OVERFLOW = 0, 65534
ANSWER_TIMEOUT_S = 20.0

SPEAK = """
import json, os, socket, sys
path, uid, gid, method, params = sys.argv[1:6]
os.setgroups([int(gid)]); os.setgid(int(gid)); os.setuid(int(uid))
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(path)
asked = {"id": "1", "method": method, "params": json.loads(params)}
s.sendall(json.dumps(asked).encode() + b"\\n")
print(s.makefile("rb").readline().decode())
"""


@dataclass
class Office:
    """A control server with the desk of approvals, and the words of other environments."""

    world: World
    socket: Path
    approved: Approved
    attestations: Attestations
    staging: Signer

    def described(self, _database: str, _revision: str) -> Described:
        """The plan as it is, in the place of who makes plans."""
        known = self.world.known
        content = known.prepared.plan.content_hash
        return Described(Subject(DATABASE, known.plan_hash, content), self.world.policy, {})

    def ask(self, uid: int, method: str, **params: Any) -> dict[str, Any]:
        """The first frame that a user gets."""
        group = str(grp.getgrnam(GROUP).gr_gid)
        argv = [str(self.socket), str(uid), group, f"migrate.{method}", json.dumps(params)]
        done = subprocess.run(
            [sys.executable, "-c", SPEAK, *argv],
            capture_output=True,
            text=True,
            check=True,
            timeout=ANSWER_TIMEOUT_S,
        )
        return dict(json.loads(done.stdout))

    def is_refused(self, uid: int, method: str, **params: Any) -> bool:
        """Whether a user is refused, in one line."""
        said = self.ask(uid, method, **params)
        is_refusal = said.get("code") in ("blocked", "not_permitted", "usage")
        return is_refusal and "\n" not in str(said.get("message", ""))

    @property
    def plan(self) -> str:
        """What approvers type."""
        return self.world.known.plan_hash[:12]

    def blocks(self, runner: int = ANA) -> bool:
        """Whether the gate of approvals blocks what `runner` would run now."""
        return self.approved.verdict(self.world, Requester(runner, str(runner))).verdict == "block"


def refusals(context: Context) -> Outcome:
    """What must be refused, and beside it what must be taken: no refusal is for free."""
    if os.geteuid() != 0:
        raise CouldNotRun("needs root, to speak as several users")
    tried: dict[str, bool] = {}
    with open_state(context.folder) as state, _office(context.folder, state) as office:
        tried |= _of_people(office)
        tried |= _of_time(office)
        tried |= _of_words(office)
    let_through = [name for name, refused in tried.items() if not refused]
    return Outcome(
        f"{len(tried) - len(let_through)} of {len(tried)} as they must be",
        ok=not let_through,
        note="; ".join(let_through),
    )


def _of_people(office: Office) -> dict[str, bool]:
    tried = {"a request by nobody in particular": office.is_refused(OVERFLOW, "request", **_ALL)}
    tried["a viewer's request"] = office.is_refused(CLEO + 1, "request", **_ALL)
    tried["taken: an operator's request"] = not office.is_refused(ANA, "request", **_ALL)
    plan = {"plan_hash": office.plan}
    for name, uid in (("the requester", ANA), ("root", ROOT), ("uid 65534", OVERFLOW)):
        tried[f"approval by {name}"] = office.is_refused(uid, "approve", **plan)
        why = {**plan, "reason": "it burns, really", "emergency": True}
        tried[f"emergency by {name}"] = office.is_refused(uid, "approve", **why)
    tried["approval of a plan nobody asked for"] = office.is_refused(
        BEN, "approve", plan_hash="0" * 12
    )
    tried["approval by a short hash"] = office.is_refused(BEN, "approve", plan_hash=office.plan[:6])
    tried["an override without a reason"] = office.is_refused(
        BEN, "approve", **plan, overrides=["disk"]
    )
    tried["a run that nobody approved"] = office.blocks()
    tried["taken: another person's approval"] = not office.is_refused(BEN, "approve", **plan)
    tried["taken: the run that he approved"] = not office.blocks()
    tried["a run by who approved it"] = office.blocks(BEN)
    return tried


def _of_time(office: Office) -> dict[str, bool]:
    clock, book = office.approved.clock, office.approved.book
    age = timedelta(seconds=office.world.policy.approval_max_age_s)
    tried = {}
    clock.at = BEGUN + age
    tried["an expired approval"] = office.blocks()
    clock.at = BEGUN
    tried["taken: it is not expired yet"] = not office.blocks()
    office.ask(BEN, "reject", plan_hash=office.plan)
    tried["a rejected one"] = office.blocks()
    office.ask(ANA, "request", **_ALL)
    tried["one from before it was rejected"] = office.blocks()
    office.ask(BEN, "approve", plan_hash=office.plan)
    tried["taken: approved anew"] = not office.blocks()
    book.spend(DATABASE, office.world.known.plan_hash, "a-run")
    tried["a used one, replayed"] = office.blocks()
    return tried


def _of_words(office: Office) -> dict[str, bool]:
    now = SystemClock().now()
    content = office.world.plan.content_hash
    ran = now - timedelta(hours=1)
    record = Record(content, "staging", DATABASE, "001", "003", "r1", ran, ran + HOLDS_FOR, 1, None)
    other = signer_in(office.socket.parent / "other")
    word = signed(record, office.staging)
    changed = {**word.envelope, "record": {**record.document(), "content_hash": "d" * 64}}
    long_ago = now - HOLDS_FOR - timedelta(hours=1)
    wrong = {
        "forged": json.dumps(changed),
        "no word": "{}",
        "too large": " " * 20_000,
        "of a key not configured": signed(record, other).to_bytes().decode(),
        "this daemon's own": signed(record, office.attestations.signer).to_bytes().decode(),
    }
    for name, changes in (
        ("expired", {"finished_at": long_ago, "expires_at": long_ago + HOLDS_FOR}),
        ("of this environment", {"environment": "production"}),
        ("of another database", {"database": "other"}),
        ("from the future", {"finished_at": now + timedelta(hours=1)}),
    ):
        wrong[name] = signed(replace(record, **changes), office.staging).to_bytes().decode()
    tried = {
        f"staging's word: {name}": office.is_refused(ANA, "attest.import", envelope=text)
        for name, text in wrong.items()
    }
    good = word.to_bytes().decode()
    tried["a viewer brings one"] = office.is_refused(CLEO + 1, "attest.import", envelope=good)
    tried["none counts so far"] = not office.attestations.attested(DATABASE)
    elsewhere = replace(record, content_hash="e" * 64)
    office.ask(ANA, "attest.import", envelope=signed(elsewhere, office.staging).to_bytes().decode())
    tried["staging's word on other content"] = not _counts(office, content)
    tried["taken: a good one"] = not office.is_refused(ANA, "attest.import", envelope=good)
    tried["taken: it counts"] = _counts(office, content)
    return tried


def _counts(office: Office, content: str) -> bool:
    known = office.attestations.attested(DATABASE)
    return any(each.content_hash == content for each in known)


@contextmanager
def _office(folder: Path, state: State) -> Iterator[Office]:
    world = world_in(folder / "tree")
    clock, system = Hand(), SystemClock()
    audit = Audit(state, clock)
    own, staging = signer_in(folder / "own"), signer_in(folder / "staging")
    here = here_of("production", frozenset({DATABASE}), own, (staging.public_key,))
    words = Attestations(state, system, audit, Journal(state, system), own, here)
    approved = Approved(state, world)
    office = Office(world, folder / "run" / "control.sock", approved, words, staging)
    desk = Desk(approved.book, office, world.policy, lambda: None)
    people = (ANA, BEN, CLEO, ROOT, OVERFLOW)
    config = Control(
        socket=office.socket,
        group=GROUP,
        operators=tuple(map(str, people)),
        approvers=tuple(map(str, people)),
    )
    server = ControlServer(
        config,
        [*approval_methods.build(desk), *attest_methods.build(words)],
        clock=system,
        metrics=Metrics(),
        beat=lambda: None,
        environment="production",
    )
    server.start()
    try:
        yield office
    finally:
        server.stop()


_ALL = {"database": DATABASE, "revision": "head", "reason": ""}
