// How SQLite finds the rows of projects: each index serves a statement, and nothing reads a whole table that does not
// list it.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { TestFolder } from '../support/folder.ts';

const tables = ['projects', 'task_history', 'assigned_tasks', 'run_records', 'project_snapshots'];

/** Every statement on these tables that the methods of ProjectStore prepare. */
function statementsOf(folder: TestFolder): string[] {
  const store = folder.open();
  const projects = new ProjectStore(store);
  const prepared: string[] = [];
  const prepare = DatabaseSync.prototype.prepare;
  DatabaseSync.prototype.prepare = function (sql, ...rest) {
    prepared.push(sql);
    return prepare.call(this, sql, ...rest);
  };
  try {
    projects.assignTask({ taskId: 't1', project: '/a', taskType: 'lint' });
    projects.isAssigned('t1');
    projects.recordTaskRun('/a', 'lint');
    const id = projects.captureProject('/a', 'x');
    projects.getProjectSnapshot(id);
    projects.restoreProjectSnapshot(id);
    projects.listProjectSnapshots('/a');
    projects.deleteProjectSnapshot(id);
    projects.clearAssigned('t1');
    projects.clearStaleAssignments(1);
    projects.listAssigned();
    projects.claimProjectRun('/a');
    projects.recordProjectRun('/a');
    projects.releaseProjectClaim('/a');
    projects.getTaskHistory('/a');
    projects.lastTaskRun('/a', 'lint');
    projects.due({ intervals: { lint: 1 } });
    projects.listProjects();
    projects.addRunRecord({ startedAt: new Date(), status: 'success' });
    projects.getRunRecords(1);
    projects.todaySummary();
    projects.pruneRunRecords({ keep: 1 });
  } finally {
    DatabaseSync.prototype.prepare = prepare;
  }
  return prepared.filter((sql) => tables.some((table) => new RegExp(`\\b${table}\\b`).test(sql)));
}

/** The only statements that read a table from one end: they list it, or stop at a limit. */
const listing = [
  /FROM projects ORDER BY path$/,
  /FROM projects CROSS JOIN/,
  /FROM assigned_tasks ORDER BY position$/,
  /FROM run_records ORDER BY started_at DESC, position DESC LIMIT (\?|-1 OFFSET \?\))$/,
];

test('each index of the tables of projects serves a statement, and only what lists a table reads all of it', (t) => {
  const folder = new TestFolder(t);
  const statements = statementsOf(folder);
  assert.ok(statements.length >= 25, `${statements.length} statements`);
  const db = folder.raw();
  const used = new Set<string>();
  for (const sql of statements) {
    const plan = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all().map(({ detail }) => String(detail));
    for (const step of plan) for (const match of step.matchAll(/USING (?:COVERING )?INDEX (\w+)/g)) used.add(match[1]!);
    if (plan.some((step) => /^SCAN \w+(?! VIRTUAL)/.test(step) && !step.includes('VIRTUAL TABLE')))
      assert.ok(listing.some((known) => known.test(sql.trim())), `${sql}: ${plan.join('; ')}`);
  }
  const indexes = db
    .prepare(
      `SELECT name FROM sqlite_schema WHERE type = 'index'
      AND tbl_name IN (SELECT value FROM json_each(?)) AND name NOT LIKE 'sqlite_autoindex%'`,
    )
    .all(JSON.stringify(tables));
  assert.ok(indexes.length >= 4);
  for (const { name } of indexes) assert.ok(used.has(String(name)), `no statement uses ${String(name)}`);
  // The order of a listing comes from an index or the table itself, but for the few types of task that are asked for.
  const sorting = statements.filter((sql) =>
    db
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .some(({ detail }) => /TEMP B-TREE FOR ORDER BY/.test(String(detail))),
  );
  assert.deepEqual(sorting, []);
});
