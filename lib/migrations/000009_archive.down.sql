-- 000009_archive.down.sql, SHA-256 below: 2c8f31a91feeecb6123509a4d1c976fdff7ddd6742acd65efd47c8e1c6cff4ca
DROP TRIGGER IF EXISTS audit_log_no_return;
DROP TRIGGER IF EXISTS audit_log_no_delete;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: no row is deleted');
END;
UPDATE store_meta SET writable_from = 6;
ALTER TABLE store_meta DROP COLUMN archived_hash;
ALTER TABLE store_meta DROP COLUMN archived_id;
