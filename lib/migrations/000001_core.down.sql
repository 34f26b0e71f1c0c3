-- 000001_core.down.sql, SHA-256 below: 026bc30e76dc368e9439955cb51e32059211cfedfe23d93df378f7d6e0755c48
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

INSERT INTO audit_log SELECT id, timestamp, event_type, event_data FROM core_audit_log ORDER BY id;
INSERT INTO usage SELECT entry_id, day, duration_secs FROM core_usage ORDER BY rowid;
INSERT INTO cooldowns SELECT entry_id, until FROM core_cooldowns ORDER BY rowid;
INSERT INTO snapshot SELECT id, data FROM core_snapshot;

DROP TABLE core_audit_log;
DROP TABLE core_usage;
DROP TABLE core_cooldowns;
DROP TABLE core_snapshot;
DROP TABLE store_meta;
DROP TABLE schema_version;
