-- The roles of the demo: one to look, one to back up, one that owns the schema, and no more rights.
-- pg_read_all_data lets the backup role read every table and sequence, BYPASSRLS every row.
CREATE ROLE shippyard_monitor LOGIN IN ROLE pg_monitor;
CREATE ROLE backup_user LOGIN BYPASSRLS IN ROLE pg_read_all_data;
CREATE ROLE shippyar_owner LOGIN;
CREATE DATABASE shippyar_dev OWNER shippyar_owner;
