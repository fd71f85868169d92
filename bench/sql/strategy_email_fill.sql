-- email_v2, the strategy's step 2. Nothing keeps the columns in step afterwards.
UPDATE users SET email_v2 = email WHERE email_v2 IS NULL;
