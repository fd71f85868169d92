-- subscription_tier as the strategy has it: column, data and constraint in one transaction.
ALTER TABLE users ADD COLUMN subscription_tier varchar(20);
UPDATE users SET subscription_tier = 'basic' WHERE subscription_tier IS NULL;
ALTER TABLE users ALTER COLUMN subscription_tier SET NOT NULL;
