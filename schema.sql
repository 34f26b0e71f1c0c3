-- schema.sql for version 10, SHA-256 below: 61bb26224cc7f42ba95329e0cd69d7b44defa1766d1d08be46677e90283bb55c
-- The current schema, applied whole to a new file. lib/migrations/ leads an older file here step by step; a test
-- compares the results. Columns of the first four tables that other readers know keep their names and meaning.

-- Versions ---------------------------------------------------------------------------------------------------------

-- One row for each version that this file has gone through, without a gap. PRAGMA user_version says the one it has.
CREATE TABLE schema_version (
  version INTEGER PRIMARY KEY CHECK (version > 0),
  description TEXT NOT NULL,
  applied_at TEXT NOT NULL
);

-- What the store knows of itself. uuid: the first link of the chain is made from it, and it ties the snapshot file to
-- this database. adopted_id: the row of audit_log that says up to where ids may have gaps. writable_from,
-- readable_from: the oldest schema versions whose code may write to this file, and read it (lib/reading/newer.ts).
-- limits_id: the last event whose effect overrides and balances have. ledger_path: where the ledger was when it was
-- last attached, relative to the database's folder. archived_id, archived_hash: the last row that went into an archive;
-- the log begins behind it. machine_id: the machine on which the store was made, as a hash.
CREATE TABLE store_meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  uuid TEXT NOT NULL CHECK (length(uuid) = 36),
  created_at TEXT NOT NULL,
  has_ledger INTEGER NOT NULL DEFAULT 0 CHECK (has_ledger IN (0, 1)),
  adopted_id INTEGER,
  writable_from INTEGER NOT NULL DEFAULT 6,
  readable_from INTEGER NOT NULL DEFAULT 6,
  limits_id INTEGER NOT NULL DEFAULT 0,
  ledger_path TEXT,
  archived_id INTEGER,
  archived_hash TEXT,
  machine_id TEXT
);

-- The UUIDs that the store had before, as clones of one image get new ones: each up to the row that gave it the next
-- (lib/core/identity.ts). The chain begins with the first.
CREATE TABLE former_identities (
  uuid TEXT PRIMARY KEY NOT NULL,
  until_id INTEGER NOT NULL CHECK (until_id > 0)
) STRICT;

-- Audit log --------------------------------------------------------------------------------------------------------

-- Append-only. id is the position. event_data holds the event's fields without its type, as JSON; event_meta its
-- attributes, as JSON; event_hash chains the row to the one before (lib/core/chain.ts).
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

-- The events from which overrides and balances follow: those behind store_meta.limits_id are still to be taken in.
CREATE INDEX audit_log_limits ON audit_log (id)
  WHERE event_type IN ('time_granted', 'availability_set', 'balance_adjusted', 'usage_corrected');

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: no row is changed');
END;

CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
WHEN (OLD.id <= (SELECT archived_id FROM store_meta WHERE id = 1)) IS NOT TRUE
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: no row is deleted that is not archived');
END;

-- What is archived stays out: a row there would stand before the beginning of the log.
CREATE TRIGGER audit_log_no_return BEFORE INSERT ON audit_log
WHEN NEW.id <= (SELECT archived_id FROM store_meta WHERE id = 1)
BEGIN
  SELECT RAISE(ABORT, 'audit_log is append-only: the id is archived');
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

-- All entries of one day: the snapshot file carries two to four days, and must not read years to find them.
CREATE INDEX usage_day ON usage (day);

-- Cooldowns --------------------------------------------------------------------------------------------------------

-- set_at: when it was set, by the clock of then; NULL where that is unknown. clock_behind_at: when the clock was first
-- found behind set_at; the time from set_at to until counts from there while it is (lib/core/cooldowns.ts).
CREATE TABLE cooldowns (
  entry_id TEXT PRIMARY KEY,
  until TEXT NOT NULL,
  set_at TEXT,
  clock_behind_at TEXT
);

-- Those that are not over: the snapshot file carries them, and must not read years to find them.
CREATE INDEX cooldowns_until ON cooldowns (until);

-- Limits -----------------------------------------------------------------------------------------------------------

-- What was permitted on a day beyond the rules. A subject is an entry, or a group of them as group:NAME. granted_ms:
-- time beyond the quota of the day, less where it is negative.
CREATE TABLE overrides (
  subject TEXT NOT NULL,
  day TEXT NOT NULL,
  granted_ms INTEGER NOT NULL DEFAULT 0 CHECK (granted_ms BETWEEN -9007199254740991 AND 9007199254740991),
  availability TEXT CHECK (availability IN ('allowed', 'denied')),
  PRIMARY KEY (subject, day)
) STRICT;

-- All subjects of a day; the snapshot file carries those from yesterday on.
CREATE INDEX overrides_day ON overrides (day);

-- Time that a subject has earned and not yet spent.
CREATE TABLE balances (
  subject TEXT PRIMARY KEY NOT NULL,
  balance_ms INTEGER NOT NULL CHECK (balance_ms BETWEEN 0 AND 9007199254740991)
) STRICT;

-- Outboxes (lib/modules/outbox/) ----------------------------------------------------------------------------------

-- For each place that gets the log: the last row that it has acknowledged. shared_id: the last row that the log has as
-- well, where a backup was restored that is behind that one.
CREATE TABLE outboxes (
  name TEXT PRIMARY KEY NOT NULL,
  id INTEGER NOT NULL CHECK (id >= 0),
  hash TEXT NOT NULL,
  acknowledged_at TEXT,
  shared_id INTEGER
) STRICT;

-- Snapshot ---------------------------------------------------------------------------------------------------------

-- The state to resume from, and the number of the save that wrote it; the file beside the database has the same.
CREATE TABLE snapshot (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  data TEXT NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0 CHECK (typeof(generation) = 'integer' AND generation >= 0)
);

-- Runs (lib/modules/runs/) ----------------------------------------------------------------------------------------

-- position is the order of creation, which a clock that jumps does not tell. JSON columns hold values as JSON.
CREATE TABLE runs (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  plan_path TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
  started_at TEXT,
  completed_at TEXT,
  error TEXT,
  metadata TEXT NOT NULL CHECK (json_valid(metadata)),
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

-- Finds the runs of one status, newest first, and those that a crash left running.
CREATE INDEX runs_status ON runs (status);

-- dependencies: an array of ids of units of the same run.
CREATE TABLE plan_units (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  resource_type TEXT NOT NULL,
  resource_name TEXT NOT NULL,
  action TEXT NOT NULL CHECK (action IN ('create', 'update', 'delete', 'read')),
  status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'skipped')),
  dependencies TEXT NOT NULL CHECK (json_valid(dependencies) AND json_type(dependencies) = 'array'),
  desired_state TEXT NOT NULL CHECK (json_valid(desired_state)),
  actual_state TEXT CHECK (actual_state IS NULL OR json_valid(actual_state)),
  diff TEXT CHECK (diff IS NULL OR json_valid(diff)),
  error TEXT,
  retries INTEGER NOT NULL DEFAULT 0 CHECK (retries >= 0),
  started_at TEXT,
  completed_at TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

-- A run's units; without it the deletion of a run would read all of them.
CREATE INDEX plan_units_run ON plan_units (run_id);

-- The newest have the highest ids.
CREATE TABLE run_events (
  id INTEGER PRIMARY KEY,
  run_id TEXT REFERENCES runs (id) ON DELETE CASCADE,
  plan_unit_id TEXT REFERENCES plan_units (id) ON DELETE CASCADE,
  level TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
  message TEXT NOT NULL,
  details TEXT CHECK (details IS NULL OR json_valid(details)),
  timestamp TEXT NOT NULL
) STRICT;

-- One index for each of the three queries; the first two also serve the deletion of a run or a unit.
CREATE INDEX run_events_run ON run_events (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX run_events_plan_unit ON run_events (plan_unit_id) WHERE plan_unit_id IS NOT NULL;
CREATE INDEX run_events_level ON run_events (level);

-- What is known of each resource. hash: SHA-256 of the text in state. The run that last changed it cannot be deleted.
CREATE TABLE resource_state (
  id TEXT NOT NULL UNIQUE,
  resource_type TEXT NOT NULL,
  resource_name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (json_valid(state)),
  hash TEXT NOT NULL,
  last_run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE RESTRICT,
  last_applied TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (resource_type, resource_name)
) STRICT;

-- Tells whether a run that is to be deleted is named here.
CREATE INDEX resource_state_last_run ON resource_state (last_run_id);

-- Facts (lib/modules/facts/) --------------------------------------------------------------------------------------

-- value is JSON. ttl_seconds 0: never expires, and expires_at is NULL. expires_at is compared as a text, so it has one
-- form.
CREATE TABLE facts (
  id TEXT NOT NULL UNIQUE,
  target_id TEXT NOT NULL,
  namespace TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL CHECK (json_valid(value)),
  ttl_seconds INTEGER NOT NULL DEFAULT 0 CHECK (ttl_seconds >= 0),
  expires_at TEXT CHECK (
    (expires_at IS NULL) = (ttl_seconds = 0) AND expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', expires_at)
  ),
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (target_id, namespace, key)
) STRICT;

-- A namespace over all targets; the primary key serves the rest.
CREATE INDEX facts_namespace ON facts (namespace, target_id, key);
-- Those that have expired are deleted without reading the others.
CREATE INDEX facts_expires_at ON facts (expires_at) WHERE expires_at IS NOT NULL;

-- Projects (lib/modules/projects/) --------------------------------------------------------------------------------

-- path is canonical. last_run_at: the last successful run. claimed_at: who processes the project now has said so then.
-- clock_behind_at: when a claim first found the clock behind one of these two.
CREATE TABLE projects (
  path TEXT PRIMARY KEY NOT NULL,
  last_run_at TEXT,
  run_count INTEGER NOT NULL DEFAULT 0 CHECK (run_count >= 0),
  claimed_at TEXT,
  clock_behind_at TEXT
) STRICT;

-- When each type of task was last done in a project.
CREATE TABLE task_history (
  project_path TEXT NOT NULL REFERENCES projects (path),
  task_type TEXT NOT NULL,
  last_run_at TEXT NOT NULL,
  PRIMARY KEY (project_path, task_type)
) STRICT;

-- Tasks in progress, in the order of their assignment. Where instants are compared as texts, they have one form.
CREATE TABLE assigned_tasks (
  position INTEGER PRIMARY KEY,
  task_id TEXT NOT NULL UNIQUE,
  project_path TEXT NOT NULL REFERENCES projects (path),
  task_type TEXT NOT NULL,
  assigned_at TEXT NOT NULL CHECK (assigned_at IS strftime('%Y-%m-%dT%H:%M:%fZ', assigned_at))
) STRICT;

-- Finds what a snapshot of a project keeps of them.
CREATE INDEX assigned_tasks_project ON assigned_tasks (project_path);
-- Finds those that are too old.
CREATE INDEX assigned_tasks_assigned_at ON assigned_tasks (assigned_at);

-- One for each run of the service, whatever projects and tasks it had: JSON arrays of paths and task types.
CREATE TABLE run_records (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  started_at TEXT NOT NULL CHECK (started_at IS strftime('%Y-%m-%dT%H:%M:%fZ', started_at)),
  ended_at TEXT,
  provider TEXT,
  projects TEXT NOT NULL CHECK (json_valid(projects) AND json_type(projects) = 'array'),
  tasks TEXT NOT NULL CHECK (json_valid(tasks) AND json_type(tasks) = 'array'),
  tokens_used INTEGER NOT NULL DEFAULT 0 CHECK (tokens_used >= 0),
  status TEXT NOT NULL CHECK (status IN ('success', 'failed', 'partial')),
  error TEXT,
  branch TEXT
) STRICT;

-- Finds the newest, and those of today.
CREATE INDEX run_records_started_at ON run_records (started_at);

-- state: the row, task history and assignments of a project as JSON (lib/modules/projects/snapshots.ts); value: what
-- the caller gave.
CREATE TABLE project_snapshots (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  project_path TEXT NOT NULL REFERENCES projects (path),
  label TEXT NOT NULL,
  captured_at TEXT NOT NULL,
  state TEXT NOT NULL CHECK (json_valid(state)),
  value TEXT CHECK (value IS NULL OR json_valid(value))
) STRICT;

-- A project's, in the order in which they were taken.
CREATE INDEX project_snapshots_project ON project_snapshots (project_path);
