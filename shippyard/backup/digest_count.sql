-- Rows of one table. The words in braces are made by digest_tables.sql, names quoted.
SELECT count(*) AS rows FROM ONLY {relation} {condition}
