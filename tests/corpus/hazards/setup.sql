CREATE TABLE users (
    id bigint PRIMARY KEY,
    email varchar(100) NOT NULL,
    name text,
    age int,
    score numeric(10, 2),
    created timestamp NOT NULL DEFAULT now(),
    status text NOT NULL DEFAULT 'new'
);
INSERT INTO users SELECT i, i || '@example.org', 'name ' || i, i % 90, i, '2026-01-01', 'new'
FROM generate_series(1, 3000) i;
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    user_id bigint NOT NULL,
    amount int,
    note varchar(200),
    placed timestamptz NOT NULL DEFAULT '2026-01-01'
);
INSERT INTO orders SELECT i, i % 3000 + 1, i, 'note ' || i FROM generate_series(1, 3000) i;
CREATE INDEX ix_users_name ON users (name);
CREATE INDEX ix_orders_user_id ON orders (user_id);
