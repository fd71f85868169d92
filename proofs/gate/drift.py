"""Proves that what is changed by hand in a schema is found, and named, whatever kind it is of.

Each change is made on a copy of the Shippyar database at head, whose schema is expected as a run
left it. Plain `alembic check` looks at the very same copies in the same run.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from proofs.table import Context, Outcome, Row
from shippyard.host.clock import SystemClock
from shippyard.host.process import Processes
from shippyard.migration.audit import Audit
from shippyard.migration.drift import Drift, Drifts
from shippyard.postgres.embedded import EmbeddedCluster, embedded_cluster
from shippyard.postgres.target import Target
from shippyard.postgres.tools import server_tools
from shippyard.setup.schema import make_policy_roles, upgrade, url_of
from shippyard.state.database import open_state
from shippyard.telemetry.metrics import Metrics

HEAD = "head"
UNTOUCHED = "untouched"
CHECK_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Made:
    """Something that somebody changed by hand, and the object that must be named."""

    kind: str
    statements: tuple[str, ...]
    named: str


MADE = (
    Made("column added", ("ALTER TABLE users ADD nickname text",), "column public.users.nickname"),
    Made("type", ("ALTER TABLE users ALTER phone TYPE varchar(20)",), "column public.users.phone"),
    Made(
        "not null",
        ("ALTER TABLE users ALTER full_name DROP NOT NULL",),
        "column public.users.full_name",
    ),
    Made(
        "default",
        ("ALTER TABLE payments ALTER status SET DEFAULT 'captured'",),
        "column public.payments.status",
    ),
    Made(
        "check",
        ("ALTER TABLE payments DROP CONSTRAINT ck_payments_amount",),
        "constraint public.payments.ck_payments_amount",
    ),
    Made(
        "check not valid",
        (
            "ALTER TABLE reviews DROP CONSTRAINT ck_reviews_rating",
            (
                "ALTER TABLE reviews ADD CONSTRAINT ck_reviews_rating"
                " CHECK (rating >= 1 AND rating <= 5) NOT VALID"
            ),
        ),
        "constraint public.reviews.ck_reviews_rating",
    ),
    Made(
        "collation",
        ('ALTER TABLE countries ALTER name TYPE text COLLATE "C"',),
        "column public.countries.name",
    ),
    Made(
        "predicate of an index",
        (
            "DROP INDEX ix_shipments_open",
            "CREATE INDEX ix_shipments_open ON shipments (created_at DESC) WHERE status = 'draft'",
        ),
        "index public.ix_shipments_open",
    ),
    Made(
        "invalid index",
        (
            (
                "UPDATE pg_index SET indisvalid = false"
                " WHERE indexrelid = 'ix_users_company_id'::regclass"
            ),
        ),
        "index public.ix_users_company_id",
    ),
    Made("policy", ("DROP POLICY own_rows ON users",), "policy public.users.own_rows"),
    Made(
        "row level security",
        ("ALTER TABLE users NO FORCE ROW LEVEL SECURITY",),
        "table public.users",
    ),
    Made(
        "function",
        (
            (
                "CREATE OR REPLACE FUNCTION account_of(address text) RETURNS uuid LANGUAGE sql"
                " AS 'SELECT NULL::uuid'"
            ),
        ),
        "function public.account_of(address text)",
    ),
    Made(
        "trigger",
        (
            (
                "CREATE TRIGGER quiet BEFORE UPDATE ON users FOR EACH ROW"
                " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            ),
        ),
        "trigger public.users.quiet",
    ),
    Made("view", ("CREATE VIEW people AS SELECT id FROM users",), "view public.people"),
    Made("unlogged table", ("ALTER TABLE reviews SET UNLOGGED",), "table public.reviews"),
)


@dataclass(frozen=True)
class Found:
    """What was found of each change, in order, and whether the copy as it was is called clean."""

    fingerprints: int
    named: tuple[str, ...]
    by_alembic: tuple[str, ...]
    clean: bool


def drift(context: Context) -> Outcome:
    """Make each change on a copy of its own, and have both look."""
    with copies(context.folder) as (targets, drifts, processes):
        for name in targets:
            drifts.expect_what_is(name)
        for name, made in zip(targets, MADE, strict=False):
            run(targets[name], made.statements)
        seen = [drifts.look(name) for name in targets]
        said = alembic_check(processes, list(targets.values()))
    return told(found_of(seen, said))


@contextmanager
def copies(folder: Path) -> Iterator[tuple[dict[str, Target], Drifts, Processes]]:
    """A copy of the database for each change and one more, and what watches them."""
    processes, clock = Processes(), SystemClock()
    with ExitStack() as undo:
        undo.callback(processes.end_all)
        cluster = undo.enter_context(embedded_cluster(server_tools(processes), processes))
        targets = copied(cluster, processes)
        state = undo.enter_context(open_state(folder / "state"))
        audit = Audit(state, clock)
        yield (
            targets,
            Drifts(targets, state, clock, audit, metrics=Metrics(), tell=lambda _: None),
            processes,
        )


def copied(cluster: EmbeddedCluster, processes: Processes) -> dict[str, Target]:
    """Databases at head: one for each change, in order, and one that stays as it is."""
    make_policy_roles(cluster.target())
    names = [*(f"copy{number}" for number in range(len(MADE))), UNTOUCHED]
    with psycopg.connect(**cluster.target().conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(HEAD)))
        upgrade(cluster.target(HEAD), processes)
        for name in names:
            copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            admin.execute(copy.format(sql.Identifier(name), sql.Identifier(HEAD)))
    return {name: cluster.target(name) for name in names}


def run(target: Target, statements: Sequence[str]) -> None:
    """What somebody types."""
    with psycopg.connect(**target.conninfo(), autocommit=True) as hand:
        for statement in statements:
            hand.execute(statement.encode())


def alembic_check(processes: Processes, targets: Sequence[Target]) -> list[str]:
    """What plain Alembic says of each database."""
    asked = [sys.executable, "-m", "proofs.gate.drift_child", *map(url_of, targets)]
    done = processes.run(asked, timeout_s=CHECK_TIMEOUT_S)
    assert done.returncode == 0, done.reason()
    said: list[str] = json.loads(done.stdout)
    return said


def found_of(seen: Sequence[Drift], said: Sequence[str]) -> Found:
    """Who found what; the last one is the copy as it was."""
    *changed, untouched = seen
    named = [
        made.kind
        for made, look in zip(MADE, changed, strict=True)
        if made.named in {each.name for each in look.differences}
    ]
    return Found(
        sum(look.found != look.expected for look in changed),
        tuple(named),
        tuple(made.kind for made, text in zip(MADE, said, strict=False) if text),
        clean=untouched.found == untouched.expected and not untouched.differences and not said[-1],
    )


def told(found: Found) -> Outcome:
    """The figure."""
    count = len(MADE)
    missed = [made.kind for made in MADE if made.kind not in found.named]
    return Outcome(
        f"fingerprint {found.fingerprints} of {count}, named {len(found.named)}; "
        f"alembic check {len(found.by_alembic)}; untouched {'clean' if found.clean else 'drifted'}",
        ok=not missed and found.fingerprints == count and found.clean,
        note=f"alembic check finds: {', '.join(found.by_alembic)}"
        + (f"; not named: {', '.join(missed)}" if missed else ""),
    )


ROWS = (
    Row(
        "drift",
        "whatever is changed by hand in a schema is found and named",
        f"{len(MADE)} kinds of {len(MADE)}, none where nothing was changed",
        drift,
    ),
)
