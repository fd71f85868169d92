-- Something of everything that is hard to write the same way twice.
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN counted AS int CHECK (value > 0);
CREATE TABLE everything (
    id serial PRIMARY KEY, f4 float4, f8 float8, n numeric, m money, i interval, ts timestamp,
    tz timestamptz, d date, b bytea, j json, jb jsonb, a text[], e mood, p counted, u uuid, x xml,
    r int4range, c "char", t text, cls regclass, g int GENERATED ALWAYS AS (id * 2) STORED,
    tsv tsvector, bits bit varying, inetv inet, pt point
);
INSERT INTO everything
    (f4, f8, n, m, i, ts, tz, d, b, j, jb, a, e, p, u, x, r, c, t, cls, tsv, bits, inetv, pt)
SELECT n / 3.0::float4, n / 7.0::float8, n * 1.10, n::numeric / 100, n * interval '1 day 2.5 sec',
       '2024-01-01'::timestamp + n * interval '1h', '2024-01-01Z'::timestamptz + n * interval '1h',
       '2024-01-01'::date - n, decode(md5(n::text), 'hex'), '{"a":  1}', '{"b": [1, 2.50]}',
       ARRAY['a "q"', NULL, 'c,d'], 'ok', n, md5(n::text)::uuid, '<a>1</a>', int4range(n, n + 3),
       'x', E'tab\t\\ü"quote"', 'everything'::regclass, to_tsvector('simple', 'a b c'), B'1010',
       '10.0.0.1/24', '(1.5,2)'
FROM generate_series(1, 1000) n;
INSERT INTO everything (f8, f4) VALUES ('NaN', 'Infinity'), (-0.0, NULL);
CREATE TABLE dup (a int, gone int, b text);
INSERT INTO dup VALUES (1, 0, 'x'), (1, 0, 'x'), (2, 0, NULL), (2, 0, ''), (NULL, 0, NULL);
ALTER TABLE dup DROP COLUMN gone;
CREATE TABLE "We ird.{x}%s" ("co""l {a}" int, "sel ect" text);
INSERT INTO "We ird.{x}%s" VALUES (1, 'a');
CREATE TABLE parent (z int, id int);
CREATE TABLE child (own text, id int, z int);
ALTER TABLE child INHERIT parent;
INSERT INTO child VALUES ('o', 1, 2);
INSERT INTO parent VALUES (8, 9);
CREATE TABLE part (k int, v text) PARTITION BY LIST (k);
CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
INSERT INTO part VALUES (1, 'x');
CREATE UNLOGGED TABLE unlogged (a int);
INSERT INTO unlogged VALUES (3);
CREATE TABLE no_column ();
INSERT INTO no_column DEFAULT VALUES;
INSERT INTO no_column DEFAULT VALUES;
CREATE MATERIALIZED VIEW moment AS SELECT now() AS t;
CREATE VIEW looked AS SELECT * FROM dup;
CREATE SEQUENCE down INCREMENT -1;
SELECT nextval('down');
CREATE SEQUENCE around MAXVALUE 2 CYCLE;
SELECT nextval('around');
CREATE SEQUENCE unused;
CREATE SCHEMA s2;
CREATE TABLE s2.t (a int, b text);
INSERT INTO s2.t SELECT n, 'row ' || n FROM generate_series(1, 10) n;
