"""Owns the database that is measured: pgbench's tables, and one of uuid, jsonb and text."""

from typing import Literal

from shippyard.host.process import Processes
from shippyard.postgres.target import Target
from shippyard.postgres.tools import Tools

BUILD_TIMEOUT_S = 1800.0
ORDERS_PER_SCALE = 8_000  # 640,000 at scale 80, which together is about 2.3 GB

# What a shop keeps: keys and tokens that nothing compresses, numbers, and in `note` what people
# write: words of a vocabulary of 1,440, a few of them often.
ORDERS = """
CREATE TABLE orders AS
WITH vocabulary AS MATERIALIZED (
    SELECT array_agg(a || b || c ORDER BY md5(a || b || c)) AS words
      FROM unnest('{{ba,de,ki,lo,mu,na,pe,ri,so,tu,va,ze}}'::text[]) a,
           unnest('{{l,n,r,s,t,nd,st,m,k,v}}'::text[]) b,
           unnest('{{a,en,er,ing,o,es,ion,um,ly,ed,ic,al}}'::text[]) c)
SELECT gen_random_uuid() AS id,
       jsonb_build_object(
           'number', n, 'buyer', md5(n::text), 'paid', n % 3 = 0,
           'lines', (SELECT jsonb_agg(jsonb_build_object(
                                'sku', substr(md5((n + i)::text), 1, 10), 'count', i,
                                'price', n % 977))
                       FROM generate_series(1, 8) i)) AS what,
       {note} AS note,
       '2026-01-01Z'::timestamptz + n * interval '1 s' AS at,
       n * 1.10 AS price
FROM generate_series(1, {rows}) n, vocabulary;
ALTER TABLE orders ADD PRIMARY KEY (id);
CREATE INDEX ON orders (at);
"""
Text = Literal["prose", "random"]
NOTES: dict[Text, str] = {
    "prose": """(
        SELECT string_agg(words[1 + floor(1440 * power(random(), 2) + 0 * i)::int], ' ')
          FROM generate_series(1, 80) i)""",
    "random": "(SELECT string_agg(md5((n * 100 + i)::text), ' ') FROM generate_series(1, 24) i)",
}


def build(
    processes: Processes, tools: Tools, target: Target, scale: int, text: Text = "prose"
) -> None:
    """Fill an empty database; about 29 MB for each of `scale`.

    `text` is what stands in the notes: words, or hexadecimal digits at random, on which gzip has
    the least to search for, and so is at its fastest.

    Raises:
        AssertionError: a program failed.
    """
    place = [f"--host={target.host}", f"--port={target.port}", f"--username={target.user}"]
    pgbench = [tools.path("pgbench"), "--initialize", "--quiet", f"--scale={scale}"]
    _must(processes, [*pgbench, *place, target.dbname], target)
    orders = ORDERS.format(rows=ORDERS_PER_SCALE * scale, note=NOTES[text])
    psql = [tools.path("psql"), "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
    last = ["--command=VACUUM ANALYZE", "--command=CHECKPOINT"]
    _must(processes, [*psql, *target.arguments(), f"--command={orders}", *last], target)


def _must(processes: Processes, argv: list[str], target: Target) -> None:
    done = processes.run(argv, timeout_s=BUILD_TIMEOUT_S, env=target.environment())
    assert done.returncode == 0, done.reason()
