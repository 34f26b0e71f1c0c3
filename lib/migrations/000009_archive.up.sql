-- 000009_archive.up.sql, SHA-256 below: 5dc30fd7e1e1d1acb517ebc85291a284c13a2d050707b3e61baa11feed6d2b62
-- Raises writable_from: version 8 takes a log that begins behind an archive for one that has lost its first rows.
-- archived_id, archived_hash: the last row that went into an archive, so that the log begins behind it
-- (lib/core/log.ts). Only rows up to there may be deleted, and none may come back.

ALTER TABLE store_meta ADD COLUMN archived_id INTEGER;
ALTER TABLE store_meta ADD COLUMN archived_hash TEXT;

DROP TRIGGER audit_log_no_delete;
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
