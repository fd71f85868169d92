-- What step 3 signs people in by. A plain build, as it is when nobody thinks of CONCURRENTLY.
CREATE UNIQUE INDEX uq_users_lower_email_v2 ON users (lower(email_v2));
