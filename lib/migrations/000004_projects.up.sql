-- 000004_projects.up.sql, SHA-256 below: ba4419c22ccf07894a4d7ad94112d3cbadaa827a443f1367ae85154f7d3bacb4
-- Additive: tables of its own.
-- Projects, what was last done in each, what is being done, and what was kept of them (lib/modules/projects/).

CREATE TABLE projects (
  path TEXT PRIMARY KEY NOT NULL,
  last_run_at TEXT,
  run_count INTEGER NOT NULL DEFAULT 0 CHECK (run_count >= 0),
  claimed_at TEXT,
  clock_behind_at TEXT
) STRICT;

CREATE TABLE task_history (
  project_path TEXT NOT NULL REFERENCES projects (path),
  task_type TEXT NOT NULL,
  last_run_at TEXT NOT NULL,
  PRIMARY KEY (project_path, task_type)
) STRICT;

CREATE TABLE assigned_tasks (
  position INTEGER PRIMARY KEY,
  task_id TEXT NOT NULL UNIQUE,
  project_path TEXT NOT NULL REFERENCES projects (path),
  task_type TEXT NOT NULL,
  assigned_at TEXT NOT NULL CHECK (assigned_at IS strftime('%Y-%m-%dT%H:%M:%fZ', assigned_at))
) STRICT;

CREATE INDEX assigned_tasks_project ON assigned_tasks (project_path);
CREATE INDEX assigned_tasks_assigned_at ON assigned_tasks (assigned_at);

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

CREATE INDEX run_records_started_at ON run_records (started_at);

CREATE TABLE project_snapshots (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  project_path TEXT NOT NULL REFERENCES projects (path),
  label TEXT NOT NULL,
  captured_at TEXT NOT NULL,
  state TEXT NOT NULL CHECK (json_valid(state)),
  value TEXT CHECK (value IS NULL OR json_valid(value))
) STRICT;

CREATE INDEX project_snapshots_project ON project_snapshots (project_path);
