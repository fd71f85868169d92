-- email_v2, the strategy's step 1.
ALTER TABLE users ADD COLUMN email_v2 varchar(320);
