-- 000002_runs.up.sql, SHA-256 below: d76311dbd316a048430413b32f50d4180cdfb7d817894b790461e5ad257e7f01
-- Additive: tables of its own.
-- Runs, their plan units and events, and what is known of each resource (lib/modules/runs/).

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

CREATE INDEX runs_status ON runs (status);

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

CREATE INDEX plan_units_run ON plan_units (run_id);

CREATE TABLE run_events (
  id INTEGER PRIMARY KEY,
  run_id TEXT REFERENCES runs (id) ON DELETE CASCADE,
  plan_unit_id TEXT REFERENCES plan_units (id) ON DELETE CASCADE,
  level TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
  message TEXT NOT NULL,
  details TEXT CHECK (details IS NULL OR json_valid(details)),
  timestamp TEXT NOT NULL
) STRICT;

CREATE INDEX run_events_run ON run_events (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX run_events_plan_unit ON run_events (plan_unit_id) WHERE plan_unit_id IS NOT NULL;
CREATE INDEX run_events_level ON run_events (level);

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

CREATE INDEX resource_state_last_run ON resource_state (last_run_id);
