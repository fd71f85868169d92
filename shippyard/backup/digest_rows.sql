-- Rows of one table, and two sums over 64-bit hashes of each row's text: whatever the order, and a
-- row that is there twice counts twice. A sum is numeric and never overflows. OFFSET 0 makes the
-- text once for both hashes. The words in braces are made by digest_tables.sql, names quoted.
SELECT count(*) AS rows,
       coalesce(sum(hashtextextended(x, 0)), 0) AS one,
       coalesce(sum(hashtextextended(x, 1)), 0) AS two
FROM (SELECT ({all_columns})::text COLLATE "C" AS x
        FROM (SELECT * FROM ONLY {relation} {condition}) AS t
       WHERE {sample}
      OFFSET 0) AS r
