"""Owns the database that is measured: pgbench's tables, and one of uuid, jsonb and text."""

from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

BUILD_TIMEOUT_S = 1800.0
ORDERS_PER_SCALE = 6_250  # 500,000 at scale 80, which together is about 2.3 GB

# Keys, numbers, words that recur, and many that don't: no compression gets far with those.
ORDERS = """
CREATE TABLE orders AS
SELECT gen_random_uuid() AS id,
       jsonb_build_object(
           'number', n, 'buyer', md5(n::text), 'paid', n % 3 = 0,
           'lines', (SELECT jsonb_agg(jsonb_build_object(
                                'sku', substr(md5((n + i)::text), 1, 10), 'count', i,
                                'price', n % 977))
                       FROM generate_series(1, 8) i)) AS what,
       (SELECT string_agg(md5((n * 100 + i)::text), ' ')
          FROM generate_series(1, 32) i) AS note,
       '2026-01-01Z'::timestamptz + n * interval '1 s' AS at,
       n * 1.10 AS price
FROM generate_series(1, {rows}) n;
ALTER TABLE orders ADD PRIMARY KEY (id);
CREATE INDEX ON orders (at);
"""


def build(processes: Processes, tools: Tools, target: Target, scale: int) -> None:
    """Fill an empty database; about 29 MB for each of `scale`.

    Raises:
        AssertionError: a program failed.
    """
    place = [f"--host={target.host}", f"--port={target.port}", f"--username={target.user}"]
    pgbench = [tools.path("pgbench"), "--initialize", "--quiet", f"--scale={scale}"]
    _must(processes, [*pgbench, *place, target.dbname], target)
    orders = ORDERS.format(rows=ORDERS_PER_SCALE * scale)
    psql = [tools.path("psql"), "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
    last = ["--command=VACUUM ANALYZE", "--command=CHECKPOINT"]
    _must(processes, [*psql, *target.arguments(), f"--command={orders}", *last], target)


def _must(processes: Processes, argv: list[str], target: Target) -> None:
    done = processes.run(argv, timeout_s=BUILD_TIMEOUT_S, env=target.environment())
    assert done.returncode == 0, done.reason()
