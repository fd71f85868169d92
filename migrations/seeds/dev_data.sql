-- Something to look at while developing: companies, people, carriers, and shipments in every state
-- with their items, events, quotes, bookings, payments and reviews. Invented; addresses of e-mail
-- and telephone numbers are of those kept free for examples.
-- Needs countries.sql and cities.sql. The same rows every time: ids, words and moments are made from
-- counters. May be loaded again and again: rows that are there, changed or not, are left alone.

INSERT INTO companies (id, country_code, registration_number, name, created_at, vat_number)
SELECT
    md5('company:' || n)::uuid,
    (ARRAY['DE', 'NL', 'FR', 'PL', 'TR', 'AE'])[1 + n % 6],
    'DEV-' || lpad(n::text, 4, '0'),
    (ARRAY['Nordlicht', 'Blue Anchor', 'Vistula', 'Meridian'])[1 + n % 4]
    || ' ' || (ARRAY['Trading', 'Furniture', 'Machines'])[1 + n % 3] || ' ' || n,
    timestamptz '2026-01-05 08:00+00' + n * interval '1 day',
    CASE
        WHEN n % 5 <> 0
            THEN (ARRAY['DE', 'NL', 'FR', 'PL', 'TR', 'AE'])[1 + n % 6] || lpad(n::text, 9, '0')
    END
FROM generate_series(1, 30) AS n
ON CONFLICT DO NOTHING;

-- One in three belongs to a company.
INSERT INTO users
    (
        id, company_id, email_v2, full_name, phone, status, created_at, updated_at,
        subscription_tier, country_code
    )
SELECT
    md5('user:' || n)::uuid,
    CASE WHEN n % 3 = 0 THEN md5('company:' || 1 + n / 3 % 30)::uuid END,
    'person' || n || '@example.com',
    (ARRAY['Ada', 'Bilal', 'Chloé', 'Deniz', 'Emeka', 'Freya', 'Goran'])[1 + n % 7]
    || ' ' || (ARRAY['Novak', 'Okafor', 'Petit', 'Richter', 'Sato'])[1 + n % 5],
    CASE WHEN n % 2 = 0 THEN '+120255501' || lpad((n % 100)::text, 2, '0') END,
    CASE n % 20 WHEN 7 THEN 'invited' WHEN 13 THEN 'suspended' ELSE 'active' END,
    timestamptz '2026-01-10 09:00+00' + n * interval '1 hour',
    timestamptz '2026-01-10 09:00+00' + n * interval '1 hour',
    CASE WHEN n % 3 = 0 THEN 'business' WHEN n % 7 = 0 THEN 'plus' ELSE 'basic' END,
    CASE WHEN n % 4 <> 1 THEN (ARRAY['DE', 'NL', 'FR', 'PL', 'TR', 'AE', 'GB', 'US'])[1 + n % 8] END
FROM generate_series(1, 300) AS n
ON CONFLICT DO NOTHING;

INSERT INTO user_preferences
    (user_id, language, currency, units, notify_by_email, notify_by_sms, updated_at)
SELECT
    md5('user:' || n)::uuid,
    (ARRAY['en', 'de', 'fr', 'pl', 'tr'])[1 + n % 5],
    (ARRAY['EUR', 'EUR', 'PLN', 'USD'])[1 + n % 4],
    CASE WHEN n % 4 = 3 THEN 'imperial' ELSE 'metric' END,
    n % 6 <> 0,
    n % 5 = 0,
    timestamptz '2026-01-12 09:00+00' + n * interval '1 hour'
FROM generate_series(1, 300, 2) AS n
ON CONFLICT DO NOTHING;

-- Two doors each. The names are of cities.sql, whose ids are made the same way.
INSERT INTO addresses (id, user_id, city_id, label, line1, postal_code, created_at)
SELECT
    md5('address:' || n || ':' || door)::uuid,
    md5('user:' || n)::uuid,
    md5('city:' || (
        ARRAY[
            'DE::Berlin', 'NL::Amsterdam', 'FR::Paris', 'PL::Warsaw', 'TR::Istanbul', 'AE::Dubai',
            'GB::London', 'ES::Madrid', 'IT::Rome', 'US::New York', 'SE::Stockholm', 'GR::Athens'
        ]
    )[1 + (n * 5 + door * 7) % 12])::uuid,
    CASE door WHEN 1 THEN 'home' ELSE 'warehouse' END,
    n || ' ' || (ARRAY['Harbour Street', 'Mill Lane', 'Station Road'])[1 + n % 3],
    lpad((10000 + n * 37 + door)::text, 5, '0'),
    timestamptz '2026-01-12 10:00+00' + n * interval '1 hour'
FROM generate_series(1, 300) AS n, generate_series(1, 2) AS door
ON CONFLICT DO NOTHING;

INSERT INTO carriers (id, country_code, name, contact_email, status, created_at, updated_at)
SELECT
    md5('carrier:' || n)::uuid,
    (ARRAY['DE', 'NL', 'PL', 'TR'])[1 + n % 4],
    (ARRAY['Hanse', 'Polder', 'Tatra', 'Bosporus'])[1 + n % 4] || ' Carriers ' || n,
    'dispatch' || n || '@example.org',
    CASE n WHEN 20 THEN 'applied' ELSE 'approved' END,
    timestamptz '2026-01-06 08:00+00' + n * interval '1 day',
    timestamptz '2026-01-06 08:00+00' + n * interval '1 day'
FROM generate_series(1, 20) AS n
ON CONFLICT DO NOTHING;

-- State by n % 6: 0 draft, 1 open, 2 booked, 3 in transit, 4 delivered, 5 cancelled. All below
-- follows from it.
INSERT INTO shipments
    (
        id, reference, sender_id, origin_address_id, destination_address_id, status,
        pickup_after, deliver_before, declared_value, currency, created_at, updated_at
    )
SELECT
    md5('shipment:' || n)::uuid,
    'SHP-' || lpad(n::text, 6, '0'),
    md5('user:' || 1 + n % 299)::uuid,
    md5('address:' || 1 + n % 299 || ':1')::uuid,
    md5('address:' || 1 + (n + 17) % 299 || ':2')::uuid,
    (ARRAY['draft', 'open', 'booked', 'in_transit', 'delivered', 'cancelled'])[1 + n % 6],
    timestamptz '2026-02-03 08:00+00' + n * interval '3 hours',
    timestamptz '2026-02-10 18:00+00' + n * interval '3 hours',
    50 + n * 13 % 2000,
    'EUR',
    timestamptz '2026-02-01 08:00+00' + n * interval '3 hours',
    timestamptz '2026-02-01 08:00+00' + n * interval '3 hours'
FROM generate_series(1, 1200) AS n
ON CONFLICT DO NOTHING;

INSERT INTO shipment_items
    (
        id, shipment_id, description, quantity, weight_kg, length_cm, width_cm, height_cm,
        is_fragile
    )
SELECT
    md5('item:' || n || ':' || piece)::uuid,
    md5('shipment:' || n)::uuid,
    (ARRAY['Pallet of tiles', 'Crate of glasses', 'Bicycle', 'Box of books'])[1 + (n + piece) % 4],
    1 + n % 4,
    2.5 + (n * 7 + piece) % 90,
    40 + n % 60,
    30 + n % 40,
    20 + n % 50,
    (n + piece) % 4 = 1
FROM generate_series(1, 1200) AS n, generate_series(1, 1 + n % 3) AS piece
ON CONFLICT DO NOTHING;

INSERT INTO shipment_events (id, shipment_id, kind, city_id, note, happened_at, recorded_at)
SELECT
    md5('event:' || n || ':' || step.kind)::uuid,
    md5('shipment:' || n)::uuid,
    step.kind,
    CASE WHEN step.kind IN ('picked_up', 'delivered') THEN address.city_id END,
    CASE step.kind WHEN 'cancelled' THEN 'by the sender' END,
    timestamptz '2026-02-01 08:00+00' + n * interval '3 hours' + step.after,
    timestamptz '2026-02-01 08:05+00' + n * interval '3 hours' + step.after
FROM generate_series(1, 1200) AS n
JOIN
    (
        VALUES
        ('created', interval '0', ARRAY[0, 1, 2, 3, 4, 5]),
        ('opened', interval '2 hours', ARRAY[1, 2, 3, 4, 5]),
        ('cancelled', interval '20 hours', ARRAY[5]),
        ('booked', interval '1 day', ARRAY[2, 3, 4]),
        ('picked_up', interval '2 days 4 hours', ARRAY[3, 4]),
        ('delivered', interval '5 days', ARRAY[4])
    ) AS step (kind, after, states) ON n % 6 = ANY(step.states)
JOIN
    addresses AS address
    ON address.id = CASE step.kind
        WHEN 'delivered' THEN md5('address:' || 1 + (n + 17) % 299 || ':2')::uuid
        ELSE md5('address:' || 1 + n % 299 || ':1')::uuid
    END
ON CONFLICT DO NOTHING;

-- Three carriers offer; once it is booked, the first is accepted and the others are declined.
INSERT INTO quotes
    (id, shipment_id, carrier_id, amount, currency, status, valid_until, created_at)
SELECT
    md5('quote:' || n || ':' || offer)::uuid,
    md5('shipment:' || n)::uuid,
    md5('carrier:' || 1 + (n + offer) % 19)::uuid,
    80 + n * 11 % 400 + offer * 9.5,
    'EUR',
    CASE
        WHEN n % 6 = 1 THEN 'offered'
        WHEN n % 6 = 5 THEN 'expired'
        WHEN offer = 1 THEN 'accepted'
        ELSE 'declined'
    END,
    timestamptz '2026-02-03 08:00+00' + n * interval '3 hours',
    timestamptz '2026-02-01 12:00+00' + n * interval '3 hours' + offer * interval '20 minutes'
FROM generate_series(1, 1200) AS n, generate_series(1, 3) AS offer
WHERE n % 6 <> 0
ON CONFLICT DO NOTHING;

INSERT INTO bookings (id, quote_id, shipment_id, status, booked_at)
SELECT
    md5('booking:' || n)::uuid,
    md5('quote:' || n || ':1')::uuid,
    md5('shipment:' || n)::uuid,
    CASE n % 6 WHEN 4 THEN 'completed' ELSE 'confirmed' END,
    timestamptz '2026-02-02 08:00+00' + n * interval '3 hours'
FROM generate_series(1, 1200) AS n
WHERE n % 6 IN (2, 3, 4)
ON CONFLICT DO NOTHING;

INSERT INTO payments
    (id, booking_id, amount, currency, method, status, provider_reference, created_at, captured_at)
SELECT
    md5('payment:' || n)::uuid,
    md5('booking:' || n)::uuid,
    80 + n * 11 % 400 + 9.5,
    'EUR',
    (ARRAY['card', 'transfer', 'invoice'])[1 + n % 3],
    CASE n % 6 WHEN 2 THEN 'pending' ELSE 'captured' END,
    'dev-' || lpad(n::text, 6, '0'),
    timestamptz '2026-02-02 08:10+00' + n * interval '3 hours',
    CASE WHEN n % 6 <> 2 THEN timestamptz '2026-02-02 08:15+00' + n * interval '3 hours' END
FROM generate_series(1, 1200) AS n
WHERE n % 6 IN (2, 3, 4)
ON CONFLICT DO NOTHING;

INSERT INTO reviews (id, booking_id, author_id, rating, comment, created_at)
SELECT
    md5('review:' || n)::uuid,
    md5('booking:' || n)::uuid,
    md5('user:' || 1 + n % 299)::uuid,
    5 - n / 6 % 4,
    (ARRAY['On time and friendly.', 'A day late, nothing broken.', NULL])[1 + n / 6 % 3],
    timestamptz '2026-02-07 08:00+00' + n * interval '3 hours'
FROM generate_series(1, 1200) AS n
WHERE n % 6 = 4
ON CONFLICT DO NOTHING;
