-- 000009_archive.up.sql, SHA-256 below: 6be0336eab2e8709a93427b8d781f7954e4e19561614345d369f9a0c51a3c90c
-- Raises writable_from: version 8 takes a log that begins behind an archive for one that has lost its first rows.
-- archived_id, archived_hash: the last row that went into an archive, so that the log begins behind it
-- (lib/core/log.ts). Only rows up to there may be deleted, and none may come back.

ALTER TABLE store_meta ADD COLUMN archived_id INTEGER;
ALTER TABLE store_meta ADD COLUMN archived_hash TEXT;

DROP TRIGGER IF EXISTS audit_log_no_delete;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
WHEN (OLD.id <= (SELECT archived_id FROM store_meta WHERE id = 1)) IS NOT TRUE
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: no row is deleted that is not archived');
END;

CREATE TRIGGER audit_log_no_return BEFORE INSERT ON audit_log
WHEN NEW.id <= (SELECT archived_id FROM store_meta WHERE id = 1)
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: the id is archived');
END;

UPDATE store_meta SET writable_from = 9;
