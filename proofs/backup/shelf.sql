-- Something of everything that a dump must carry, small enough to be dumped a thousand times.
CREATE TABLE users (id serial PRIMARY KEY, email text NOT NULL UNIQUE, born date);
CREATE TABLE orders (
    id int PRIMARY KEY, buyer int REFERENCES users, what jsonb, at timestamptz, price numeric
);
CREATE TABLE alembic_version (version_num text PRIMARY KEY);
CREATE VIEW buyers AS SELECT DISTINCT buyer FROM orders;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE feelings (id uuid, how mood, since interval, much float8, bytes bytea, tags text[])
    PARTITION BY LIST (how);
CREATE TABLE feelings_sad PARTITION OF feelings FOR VALUES IN ('sad');
CREATE TABLE feelings_ok PARTITION OF feelings FOR VALUES IN ('ok');
INSERT INTO users (email, born)
SELECT n || '@é.example', '2000-01-01'::date + n FROM generate_series(1, 2000) n;
INSERT INTO orders
SELECT n, 1 + n % 2000, jsonb_build_object('n', n, 'x', md5(n::text)),
       '2026-01-01Z'::timestamptz + n * interval '1 min', n * 1.10
FROM generate_series(1, 5000) n;
INSERT INTO feelings
SELECT md5(n::text)::uuid, (ARRAY['sad', 'ok'])[1 + n % 2]::mood, n * interval '1 h', n / 7.0,
       decode(md5(n::text), 'hex'), ARRAY['a', NULL, n::text]
FROM generate_series(1, 3000) n;
INSERT INTO alembic_version VALUES ('0003');
SELECT lo_from_bytea(4711, 'a large object');
