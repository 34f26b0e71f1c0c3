-- The current schema, applied whole to a new file. lib/migrations/ leads an older file here step by step; a test
-- compares the results. Columns of the first four tables that other readers know keep their names and meaning.

-- Versions ---------------------------------------------------------------------------------------------------------

-- One row for each version that this file has gone through, without a gap; the highest is the one it has.
CREATE TABLE schema_version (
  version INTEGER PRIMARY KEY CHECK (version > 0),
  description TEXT NOT NULL,
  applied_at TEXT NOT NULL
);

-- What the store knows of itself. uuid: the first link of the chain is made from it, and it ties the snapshot file to
-- this database. adopted_id: the row of audit_log that says up to where ids may have gaps. last_day, previous_day: the
-- two days whose usage was written last, whatever the clock says.
CREATE TABLE store_meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  uuid TEXT NOT NULL CHECK (length(uuid) = 36),
  created_at TEXT NOT NULL,
  has_ledger INTEGER NOT NULL DEFAULT 0 CHECK (has_ledger IN (0, 1)),
  adopted_id INTEGER,
  last_day TEXT,
  previous_day TEXT
);

-- Audit log --------------------------------------------------------------------------------------------------------

-- Append-only. id is the position. event_data holds the event's fields without its type, as JSON; event_meta its
-- attributes, as JSON; event_hash chains the row to the one before (lib/chain.ts).
CREATE TABLE audit_log (
  id INTEGER PRIMARY KEY,
  timestamp TEXT NOT NULL,
  event_type TEXT NOT NULL,
  event_data TEXT NOT NULL,
  event_meta TEXT CHECK (event_meta IS NULL OR json_valid(event_meta)),
  event_hash TEXT NOT NULL,
  signature TEXT
);

-- An event id given by the caller is recorded once. Only rows that have one are in the index.
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

-- INSERT OR REPLACE deletes without firing the delete trigger, unless the connection asked for recursive triggers: the
-- row with the same id, and the one with the same event id.
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

-- Usage ------------------------------------------------------------------------------------------------------------

-- One row per entry and day: whole seconds where every reader expects them, and the 0 to 999 ms beside them, so that
-- many short sessions add up.
CREATE TABLE usage (
  entry_id TEXT NOT NULL,
  day TEXT NOT NULL,
  duration_secs INTEGER NOT NULL,
  carry_ms INTEGER NOT NULL DEFAULT 0 CHECK (typeof(carry_ms) = 'integer' AND carry_ms BETWEEN 0 AND 999),
  PRIMARY KEY (entry_id, day)
);

-- All entries of one day: the plain snapshot carries two to four days, and must not read years to find them.
CREATE INDEX usage_day ON usage (day);

-- Cooldowns --------------------------------------------------------------------------------------------------------

CREATE TABLE cooldowns (
  entry_id TEXT PRIMARY KEY,
  until TEXT NOT NULL
);

-- Snapshot ---------------------------------------------------------------------------------------------------------

-- The state to resume from, and the number of the save that wrote it; the file beside the database has the same.
CREATE TABLE snapshot (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  data TEXT NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0 CHECK (typeof(generation) = 'integer' AND generation >= 0)
);
