// Rows of every table beyond the core's, by SQL alone: two in each, so that one can be made to collide with the other.

const at = "'2026-11-21T09:00:00.000Z'";

/** The rows of each schema version's tables, those that are referred to first. */
export const rowsOfVersion: Record<number, Record<string, string>> = {
  2: {
    runs: `INSERT INTO runs (id, plan_path, status, metadata, created_at, updated_at)
      VALUES ('r1', '/plan', 'running', '{}', ${at}, ${at}), ('r2', '/plan', 'failed', 'null', ${at}, ${at})`,
    plan_units: `INSERT INTO plan_units (id, run_id, resource_type, resource_name, action, status, dependencies,
        desired_state, actual_state, diff, created_at, updated_at)
      VALUES ('u1', 'r1', 'pkg', 'apache2', 'create', 'pending', '[]', '{}', NULL, NULL, ${at}, ${at}),
        ('u2', 'r1', 'pkg', 'nginx', 'read', 'skipped', '["u1"]', '1', '2', '3', ${at}, ${at})`,
    run_events: `INSERT INTO run_events (run_id, plan_unit_id, level, message, details, timestamp)
      VALUES ('r1', 'u1', 'info', 'begun', '{}', ${at}), (NULL, NULL, 'error', 'nowhere', NULL, ${at})`,
    resource_state: `INSERT INTO resource_state (id, resource_type, resource_name, state, hash, last_run_id,
        last_applied, created_at, updated_at)
      VALUES ('s1', 'pkg', 'apache2', '{}', 'h', 'r1', ${at}, ${at}, ${at}),
        ('s2', 'pkg', 'nginx', '{}', 'h', 'r2', ${at}, ${at}, ${at})`,
  },
  3: {
    facts: `INSERT INTO facts (id, target_id, namespace, key, value, ttl_seconds, expires_at, created_at, updated_at)
      VALUES ('f1', 'host', 'os', 'family', '"debian"', 0, NULL, ${at}, ${at}),
        ('f2', 'host', 'hw', 'count', '4', 60, '2026-11-21T09:01:00.000Z', ${at}, ${at})`,
  },
  4: {
    projects: `INSERT INTO projects (path, last_run_at, run_count) VALUES ('/a', ${at}, 1), ('/b', NULL, 0)`,
    task_history: `INSERT INTO task_history (project_path, task_type, last_run_at)
      VALUES ('/a', 'lint', ${at}), ('/a', 'docs', ${at})`,
    assigned_tasks: `INSERT INTO assigned_tasks (task_id, project_path, task_type, assigned_at)
      VALUES ('t1', '/a', 'lint', ${at}), ('t2', '/b', 'lint', ${at})`,
    run_records: `INSERT INTO run_records (id, started_at, projects, tasks, status)
      VALUES ('n1', ${at}, '["/a"]', '[]', 'success'), ('n2', ${at}, '[]', '["lint"]', 'partial')`,
    project_snapshots: `INSERT INTO project_snapshots (id, project_path, label, captured_at, state, value)
      VALUES ('p1', '/a', '', ${at}, '{}', NULL), ('p2', '/b', 'before', ${at}, '{}', '1')`,
  },
  8: {
    overrides: `INSERT INTO overrides (subject, day, granted_ms, availability)
      VALUES ('minecraft', '2026-11-21', 1, NULL), ('group:games', '2026-11-21', 0, 'denied')`,
    balances: `INSERT INTO balances (subject, balance_ms) VALUES ('minecraft', 0), ('group:games', 5)`,
  },
  10: {
    outboxes: `INSERT INTO outboxes (name, id, hash, acknowledged_at, shared_id)
      VALUES ('centre', 0, '', NULL, NULL), ('copy', 1, '', ${at}, 1)`,
    // The chain begins with the first one, so that has to be the store's own.
    former_identities: `INSERT INTO former_identities (uuid, until_id)
      SELECT uuid, 1 FROM store_meta UNION ALL VALUES ('00000000-0000-4000-8000-00000000000b', 2)`,
  },
};

/** The same for all versions, in one script. */
export const allRows = Object.values(rowsOfVersion).flatMap((tables) => Object.values(tables)).join(';\n');
