-- email_v2, the strategy's step 4.
ALTER TABLE users DROP COLUMN email;
