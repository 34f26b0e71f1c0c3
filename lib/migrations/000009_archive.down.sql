-- 000009_archive.down.sql, SHA-256 below: 612e2031f85fbd099f4eab235cbcd68346c6197619defd6de2cba5a4827317ae
DROP TRIGGER audit_log_no_return;
DROP TRIGGER audit_log_no_delete;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: no row is deleted');
END;
UPDATE store_meta SET writable_from = 6;
ALTER TABLE store_meta DROP COLUMN archived_hash;
ALTER TABLE store_meta DROP COLUMN archived_id;
