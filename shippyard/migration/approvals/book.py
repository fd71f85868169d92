"""Owns the table `approvals`: who asked for a plan, who said yes or no, and what was used up.

Words are only added; a run that used a yes up is noted on it. Every word is audited. Who may say
what is decided here too, by what the kernel says of them.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import insert, select, update

from shippyard.config.migration import Migration
from shippyard.host.clock import Clock
from shippyard.migration.approvals.model import (
    NOBODYS_UIDS,
    Approval,
    ApprovalKind,
    Standing,
    standing,
)
from shippyard.migration.audit import Audit
from shippyard.migration.order import Requester
from shippyard.state.database import State
from shippyard.state.tables import approvals

BEGINNING_CHARS = 12
REASON_MIN_CHARS = 10
LISTED_MAX = 200


class ApprovalRefused(Exception):
    """Who said it may not, or there is nothing to say it of; one line."""


@dataclass(frozen=True)
class Subject:
    """A plan that words are about, by its hashes."""

    database: str
    plan_hash: str
    content_hash: str


@dataclass(frozen=True)
class Word:
    """What is said of a plan, and why; `overrides` are gates that a yes lets pass."""

    kind: ApprovalKind
    reason: str = ""
    overrides: tuple[str, ...] = ()


class Book:
    """Writes and reads the words on plans. Safe from any thread."""

    def __init__(self, state: State, clock: Clock, audit: Audit) -> None:
        self._state = state
        self._clock = clock
        self._audit = audit

    def ask(self, subject: Subject, by: Requester, reason: str, policy: Migration) -> Approval:
        """Ask for a plan to be approved.

        Raises:
            ApprovalRefused: nobody knows who asks.
        """
        return self._say(Word("request", reason), subject, by, policy)

    def approve(
        self,
        subject: Subject,
        by: Requester,
        reason: str,
        policy: Migration,
        *,
        overrides: Sequence[str] = (),
        emergency: bool = False,
    ) -> Approval:
        """Say yes to a plan; with `overrides` although these gates block.

        Raises:
            ApprovalRefused: who asked for it may not approve it; or a reason is missing.
        """
        if (overrides or emergency) and len(reason.strip()) < REASON_MIN_CHARS:
            raise ApprovalRefused(
                f"say why, in {REASON_MIN_CHARS} characters or more: --reason TEXT"
            )
        self._refuse_own(subject, by)
        kind: ApprovalKind = "emergency" if emergency else "approve"
        return self._say(Word(kind, reason, tuple(overrides)), subject, by, policy)

    def reject(self, subject: Subject, by: Requester, reason: str, policy: Migration) -> Approval:
        """Say no: every yes so far is void, until somebody asks again.

        Raises:
            ApprovalRefused: nobody knows who says it.
        """
        return self._say(Word("reject", reason), subject, by, policy)

    def spend(self, database: str, plan_hash: str, run_id: str) -> None:
        """A run used up what was said of its plan: it lets no other run through."""
        with self._state.write() as connection:
            connection.execute(
                update(approvals)
                .where(
                    approvals.c.database == database,
                    approvals.c.plan_hash == plan_hash,
                    approvals.c.spent_by.is_(None),
                )
                .values(spent_by=run_id)
            )

    def standing(self, database: str, plan_hash: str, runner_uid: int, needed: int) -> Standing:
        """What the words on a plan are worth now."""
        about = self.words(database, plan_hash)
        return standing(about, plan_hash, runner_uid, self._clock.now(), needed)

    def words(self, database: str | None = None, plan_hash: str | None = None) -> list[Approval]:
        """What was said, oldest first: at most the last 200."""
        query = select(approvals).order_by(approvals.c.id.desc()).limit(LISTED_MAX)
        if database is not None:
            query = query.where(approvals.c.database == database)
        if plan_hash is not None:
            query = query.where(approvals.c.plan_hash == plan_hash)
        with self._state.read() as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
        made = [Approval(**{**row, "overrides": tuple(row["overrides"])}) for row in found]
        return list(reversed(made))

    def open_requests(self, database: str | None = None) -> list[Approval]:
        """The newest request of each plan that no run has used up, oldest first."""
        now = self._clock.now()
        newest = {
            each.plan_hash: each
            for each in self.words(database)
            if each.kind == "request" and each.spent_by is None and now < each.expires_at
        }
        return sorted(newest.values(), key=lambda each: each.id)

    def subject_of(self, beginning: str) -> Subject:
        """The plan that was asked for, by its hash or the first 12 characters and more of it.

        Raises:
            ApprovalRefused: too short, unknown, or of several.
        """
        if len(beginning) < BEGINNING_CHARS:
            raise ApprovalRefused(f"give {BEGINNING_CHARS} characters of the plan's hash, or more")
        asked = self.open_requests()
        fit = {each.plan_hash: each for each in asked if each.plan_hash.startswith(beginning)}
        if len(fit) != 1:
            raise ApprovalRefused(_not_one(beginning, fit))
        (found,) = fit.values()
        return Subject(found.database, found.plan_hash, found.content_hash)

    def _refuse_own(self, subject: Subject, by: Requester) -> None:
        asked = [w for w in self.words(subject.database, subject.plan_hash) if w.kind == "request"]
        if any(each.uid == by.uid for each in asked):
            raise ApprovalRefused(f"{by.user} asked for this plan; another person must approve it")

    def _say(self, word: Word, subject: Subject, by: Requester, policy: Migration) -> Approval:
        if by.uid in NOBODYS_UIDS:
            raise ApprovalRefused(f"{by.user} could be anybody; do it as a person, without sudo")
        now = self._clock.now()
        values = {
            "at": now,
            **asdict(subject),
            **asdict(word),
            **asdict(by),
            "overrides": list(word.overrides),
            "expires_at": now + timedelta(seconds=policy.approval_max_age_s),
            "spent_by": None,
        }
        with self._state.write() as connection:
            made = connection.execute(insert(approvals).values(**values)).inserted_primary_key
        assert made is not None, "SQLite gives each row a number"
        said = {"plan_hash", "content_hash", "uid", "reason", "overrides"}
        detail = {name: value for name, value in values.items() if name in said}
        self._audit.record(by.user, f"plan.{word.kind}", subject.database, detail)
        return Approval(**{**values, "id": made[0], "overrides": word.overrides})


def _not_one(beginning: str, fit: Collection[str]) -> str:
    if fit:
        return f"{beginning} begins several plans' hashes; give more of it"
    return f"nobody asked for a plan {beginning}; see `shippyard ctl migrate approvals`"
