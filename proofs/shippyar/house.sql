-- Two people, and of everything one of theirs: Anna's ids end in a, Bo's in b. Of Bo's shipments one
-- is open, and so on the board.
INSERT INTO countries (code, alpha3, numeric_code, name) VALUES ('NO', 'NOR', '578', 'Norway');
INSERT INTO cities (id, country_code, name, latitude, longitude, timezone)
VALUES ('00000000-0000-4000-8000-00000000000c', 'NO', 'Oslo', 59.91, 10.75, 'Europe/Oslo');
INSERT INTO users (id, full_name, email_v2, status) VALUES
    ('00000000-0000-4000-8000-00000000000a', 'Anna', 'Anna@example.com', 'active'),
    ('00000000-0000-4000-8000-00000000000b', 'Bo', 'bo@example.com', 'active');
INSERT INTO user_preferences (user_id) SELECT id FROM users;
INSERT INTO addresses (id, user_id, city_id, label, line1)
SELECT id, id, '00000000-0000-4000-8000-00000000000c', 'home', 'Storgata 1' FROM users;
INSERT INTO shipments (
    reference, sender_id, origin_address_id, destination_address_id, status, pickup_after,
    deliver_before, declared_value, currency)
SELECT 'SY-' || full_name || '-' || status.status, id, id, id, status.status, now(),
    now() + interval '1 day', 10, 'EUR'
FROM users CROSS JOIN (VALUES ('draft'), ('open')) AS status (status);
