"""Proves that a flood of tables and query ids adds no series beyond the budget.

Beside the daemon's own checks stand an operator's that show one series for each of what floods.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg

from bench.crowd import DATABASE as CROWDED
from bench.crowd import Crowd, connect, crowd, watcher
from proofs.rig import DATABASE, Rig, Scrape, configuration
from proofs.table import Context, Outcome, Row
from proofs.waiting import until
from proofs.witness import Pager, ServiceManager
from shippyard.config.models import Health
from shippyard.health.loader import load_checks
from shippyard.host.process import Processes
from shippyard.postgres.embedded import EmbeddedCluster

TABLES, QUICK_TABLES = 5_000, 600
QUERIES_OF_A_TABLE = 2
AT_ONCE = 50
BUDGET = 3_000
OWN_BUDGET = 300
ANSWERED_WITHIN_S = 60.0
MONITOR = "watcher"

LAST_SUCCESS = "shippyard_health_check_last_success_timestamp_seconds"
FOLDED = "shippyard_health_check_folded_samples"
ERRORS = "shippyard_health_check_errors_total"
OF_TABLES, OF_QUERIES, OF_ALL = "flooding_tables", "flooding_queries", "flooding_unbounded"

TOML = """
summary = "One series for each"
cadence = "fast"
every_s = 1
timeout_s = 2
scope = "database"
{more}
[metric]
name = "{name}_seen"
labels = ["each"]
"""
TABLES_SQL = """
SELECT oid::text AS each, 1 AS value FROM pg_catalog.pg_class WHERE relkind = 'r' ORDER BY oid DESC
"""
QUERIES_SQL = """
SELECT queryid::text AS each, sum(calls) AS value FROM {extension_schema}.pg_stat_statements
GROUP BY queryid LIMIT 1500
"""


def flood(context: Context) -> Outcome:
    """Series before, after, and of a daemon that starts when all is there."""
    tables = context.count(full=TABLES, quick=QUICK_TABLES)
    with _watched(context) as (stage, cluster):
        with connect(cluster.target(CROWDED)) as asking:
            server_version = asking.info.server_version
        stage.start()
        before = _settled(stage, server_version)
        with connect(cluster.target(CROWDED)) as application:
            queries = _flood(application, tables)
        until(lambda: _is_flooded(stage.scrape()), ANSWERED_WITHIN_S, "the flood is seen")
        after = stage.scrape()
        stage.stop()
        stage.start()
        anew = _settled(stage, server_version)
    shown = {name: _shown(scrape) for name, scrape in (("after", after), ("anew", anew))}
    folded = sum(_values(anew, FOLDED))
    claims = {
        f"at most {BUDGET} series in all": max(shown.values()) <= BUDGET,
        f"at most {OWN_BUDGET} of one check": max(map(_of_floods, (after, anew))) <= OWN_BUDGET,
        "what is folded is counted": folded > 0,
        "only the check that has no LIMIT fails": not _harmed(anew),
    }
    measured = (
        f"{tables:,} tables and {queries:,} query ids more: {_shown(before)} series before, "
        f"{shown['after']} after, {shown['anew']} of a daemon started then; {folded:,.0f} folded"
    )
    broken = [claim for claim, held in claims.items() if not held]
    return Outcome(measured, not broken, "; ".join([*broken, *_harmed(anew)]))


@contextlib.contextmanager
def _watched(context: Context) -> Iterator[tuple[Rig, EmbeddedCluster]]:
    """A daemon ready to be started, with checks that show a series for each table and query id."""
    processes = Processes()
    with contextlib.ExitStack() as undo:
        undo.callback(processes.end_all)
        small = Crowd(tables=10, indexes=10, sessions=0)
        cluster = undo.enter_context(crowd(context.folder / "postgres", processes, small))
        watcher(cluster, MONITOR)
        pager = Pager()
        undo.callback(pager.close)
        manager = ServiceManager(context.folder / "notify.sock")
        undo.callback(manager.close)
        document = configuration(context.folder, cluster, pager)
        document["databases"][0] |= {"dbname": CROWDED, "monitor": {"user": MONITOR}}
        document["health"] = {"checks_dir": str(_checks(context.folder / "checks.d"))}
        made = Rig(context.folder, cluster, pager, manager, document)
        undo.callback(made.stop)
        yield made, cluster


def _checks(folder: Path) -> Path:
    folder.mkdir()
    for name, sql, more in (
        (OF_TABLES, f"{TABLES_SQL} LIMIT 2000", ""),
        (OF_QUERIES, QUERIES_SQL, 'extension = "pg_stat_statements"'),
        (OF_ALL, f"{TABLES_SQL}", "series_max = 2000"),
    ):
        (folder / f"{name}.toml").write_text(TOML.format(name=name, more=more))
        (folder / f"{name}.sql").write_text(sql)
    return folder


def _flood(application: psycopg.Connection[object], tables: int) -> int:
    """Makes the tables, and asks each one in two ways; gives how many ids these are."""
    for first in range(0, tables, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, tables))
        _run(application, [f"CREATE TABLE flood{n} (id int)" for n in numbers])
        _run(application, [f"SELECT id FROM flood{n}" for n in numbers])
        _run(application, [f"SELECT count(*) FROM flood{n}" for n in numbers])
    return tables * QUERIES_OF_A_TABLE


def _run(application: psycopg.Connection[object], statements: list[str]) -> None:
    application.execute(";".join(statements).encode())


def _settled(stage: Rig, server_version: int) -> Scrape:
    """A scrape after every check has answered that there is for this server."""
    ours = {check.name for check in load_checks(Health()) if check.applies_to(server_version)}
    asked = ours | {OF_TABLES, OF_QUERIES}

    until(lambda: asked <= _answered(stage.scrape()), ANSWERED_WITHIN_S, "every check answered")
    return stage.scrape()


def _answered(scrape: Scrape) -> set[str]:
    lines = scrape.series(LAST_SUCCESS, f'database="{DATABASE}"')
    return {line.split('check="', 1)[1].split('"', 1)[0] for line in lines}


def _is_flooded(scrape: Scrape) -> bool:
    """Whether it shows both floods."""
    names = (OF_TABLES, OF_QUERIES)
    return all(scrape.value(FOLDED, f'check="{name}"') for name in names)


def _shown(scrape: Scrape) -> int:
    """Series that checks show; the daemon's own bookkeeping is not among them."""
    own = ("shippyard_health_check_", "shippyard_health_database_up", "shippyard_health_alert_")
    lines = scrape.series("shippyard_health_") + scrape.series("flooding_")
    return sum(not line.startswith(own) for line in lines)


def _of_floods(scrape: Scrape) -> int:
    return max(len(scrape.series(f"{name}_seen")) for name in (OF_TABLES, OF_QUERIES))


def _values(scrape: Scrape, name: str) -> list[float]:
    return [float(line.rsplit(" ", 1)[1]) for line in scrape.series(f"{name}{{")]


def _harmed(scrape: Scrape) -> list[str]:
    """Checks that failed, but for the one that asks for everything."""
    lines = [line for line in scrape.series(f"{ERRORS}{{") if f'check="{OF_ALL}"' not in line]
    return [line for line in lines if float(line.rsplit(" ", 1)[1]) > 0]


ROWS = (
    Row(
        "flood",
        "10,000 new query ids and 5,000 new tables, with checks that show each of them",
        f"≤ {BUDGET:,} series in all, ≤ {OWN_BUDGET} of a check, the rest folded and counted",
        flood,
    ),
)
