-- 000008_limits.down.sql, SHA-256 below: 811ad3c0bada0b2ada1039d2623d6261b376b270ed72bd69a6904c9ec7cf951f
DROP INDEX audit_log_limits;
ALTER TABLE store_meta DROP COLUMN ledger_path;
ALTER TABLE store_meta DROP COLUMN limits_id;
DROP TABLE balances;
DROP TABLE overrides;
