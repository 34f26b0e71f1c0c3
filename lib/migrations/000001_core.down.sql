-- 000001_core.down.sql, SHA-256 below: a40e3eaee4910c17a25dc55321cddb1dfac997673f9eb9057f79b344e198abd6
-- Back to the four tables alone. What they have no column for is lost: attributes, the chain, signatures, the
-- milliseconds beside the seconds, the store's identity.

ALTER TABLE audit_log RENAME TO core_audit_log;
ALTER TABLE usage RENAME TO core_usage;
ALTER TABLE cooldowns RENAME TO core_cooldowns;
ALTER TABLE snapshot RENAME TO core_snapshot;

CREATE TABLE audit_log (
  id INTEGER PRIMARY KEY,
  timestamp TEXT NOT NULL,
  event_type TEXT NOT NULL,
  event_data TEXT NOT NULL
);

CREATE TABLE usage (
  entry_id TEXT NOT NULL,
  day TEXT NOT NULL,
  duration_secs INTEGER NOT NULL,
  PRIMARY KEY (entry_id, day)
);

CREATE TABLE cooldowns (
  entry_id TEXT PRIMARY KEY,
  until TEXT NOT NULL
);

CREATE TABLE snapshot (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  data TEXT NOT NULL
);

INSERT INTO audit_log (id, timestamp, event_type, event_data)
  SELECT id, timestamp, event_type, event_data FROM core_audit_log ORDER BY id;
INSERT INTO usage (entry_id, day, duration_secs)
  SELECT entry_id, day, duration_secs FROM core_usage ORDER BY rowid;
INSERT INTO cooldowns (entry_id, until) SELECT entry_id, until FROM core_cooldowns ORDER BY rowid;
INSERT INTO snapshot (id, data) SELECT id, data FROM core_snapshot;

DROP TABLE core_audit_log;
DROP TABLE core_usage;
DROP TABLE core_cooldowns;
DROP TABLE core_snapshot;
DROP TABLE store_meta;
DROP TABLE schema_version;
