-- email_v2, the strategy's step 5.
ALTER TABLE users RENAME COLUMN email_v2 TO email;
