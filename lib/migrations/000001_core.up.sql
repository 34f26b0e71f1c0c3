-- 000001_core.up.sql, SHA-256 below: ed534d72b7b58df828cd7f63c6bec12e9203064dd684067fe82437c5cac8ebc4
-- Raises writable_from and readable_from: code that knows the four tables alone would add rows without a hash.
-- Adopts a database that holds the four tables of version 0 (audit_log, usage, cooldowns, snapshot): the tables are
-- made anew and every row is carried over as it is. chain_hash, readable and adopted_snapshot are functions of
-- lib/migrate/adopt.ts.

ALTER TABLE audit_log RENAME TO adopted_audit_log;
ALTER TABLE usage RENAME TO adopted_usage;
ALTER TABLE cooldowns RENAME TO adopted_cooldowns;
ALTER TABLE snapshot RENAME TO adopted_snapshot;

CREATE TABLE schema_version (
  version INTEGER PRIMARY KEY CHECK (version > 0),
  description TEXT NOT NULL,
  applied_at TEXT NOT NULL
);

CREATE TABLE store_meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  uuid TEXT NOT NULL CHECK (length(uuid) = 36),
  created_at TEXT NOT NULL,
  has_ledger INTEGER NOT NULL DEFAULT 0 CHECK (has_ledger IN (0, 1)),
  adopted_id INTEGER,
  last_day TEXT,
  previous_day TEXT
);

CREATE TABLE audit_log (
  id INTEGER PRIMARY KEY,
  timestamp TEXT NOT NULL,
  event_type TEXT NOT NULL,
  event_data TEXT NOT NULL,
  event_meta TEXT CHECK (event_meta IS NULL OR json_valid(event_meta)),
  event_hash TEXT NOT NULL,
  signature TEXT
);

CREATE UNIQUE INDEX audit_log_event_id ON audit_log (json_extract(event_meta, '$.eventId'))
  WHERE json_extract(event_meta, '$.eventId') IS NOT NULL;

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: no row is changed');
END;

CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: no row is deleted');
END;

CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: the id is taken');
END;

CREATE TRIGGER audit_log_no_replace_event_id BEFORE INSERT ON audit_log
WHEN json_extract(NEW.event_meta, '$.eventId') IS NOT NULL AND EXISTS (
  SELECT 1 FROM audit_log
  WHERE json_extract(event_meta, '$.eventId') = json_extract(NEW.event_meta, '$.eventId') AND json_extract(event_meta, '$.eventId') IS NOT NULL
)
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: the event id is taken');
END;

CREATE TABLE usage (
  entry_id TEXT NOT NULL,
  day TEXT NOT NULL,
  duration_secs INTEGER NOT NULL,
  carry_ms INTEGER NOT NULL DEFAULT 0 CHECK (typeof(carry_ms) = 'integer' AND carry_ms BETWEEN 0 AND 999),
  PRIMARY KEY (entry_id, day)
);

CREATE INDEX usage_day ON usage (day);

CREATE TABLE cooldowns (
  entry_id TEXT PRIMARY KEY,
  until TEXT NOT NULL
);

CREATE TABLE snapshot (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  data TEXT NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0 CHECK (typeof(generation) = 'integer' AND generation >= 0)
);

-- The order matters: each call of chain_hash takes the hash that the call before it gave. What is no BLOB becomes a
-- text here, as the column would make it, or a BLOB where JavaScript would not read the text as it is stored: what is
-- hashed is what is stored, and what every later reader gets.
INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash)
  SELECT id, timestamp, event_type, event_data, chain_hash(id, timestamp, event_type, event_data)
  FROM (
    SELECT id,
      CASE typeof(timestamp) WHEN 'blob' THEN timestamp ELSE readable(CAST(timestamp AS BLOB)) END AS timestamp,
      CASE typeof(event_type) WHEN 'blob' THEN event_type ELSE readable(CAST(event_type AS BLOB)) END AS event_type,
      CASE typeof(event_data) WHEN 'blob' THEN event_data ELSE readable(CAST(event_data AS BLOB)) END AS event_data
    FROM adopted_audit_log
  ) ORDER BY id;
INSERT INTO usage (entry_id, day, duration_secs) SELECT entry_id, day, duration_secs FROM adopted_usage ORDER BY rowid;
INSERT INTO cooldowns (entry_id, until) SELECT entry_id, until FROM adopted_cooldowns ORDER BY rowid;
-- The bytes of the text, because a function gets one that is no UTF-8 with other characters. NULL where it cannot be
-- read.
INSERT INTO snapshot (id, data, generation)
  SELECT id, coalesce(adopted_snapshot(CASE typeof(data) WHEN 'text' THEN CAST(data AS BLOB) END), data), 1
  FROM adopted_snapshot;

DROP TABLE adopted_audit_log;
DROP TABLE adopted_usage;
DROP TABLE adopted_cooldowns;
DROP TABLE adopted_snapshot;
