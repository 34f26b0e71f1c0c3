// How SQLite finds the rows of runs: no operation reads a whole table, and no index is there for nothing.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { TestFolder } from '../support/folder.ts';

const tables = ['runs', 'plan_units', 'run_events', 'resource_state'];
const unit = { runId: 'r', resourceType: 't', resourceName: 'n', action: 'create', desiredState: 1 } as const;
const resource = { id: 's', resourceType: 't', resourceName: 'n', state: 1, lastRunId: 'r' };

/** Every method, with every combination of filters that has a query of its own. */
const operations: Record<string, (runs: RunStore) => void> = {
  createRun: (runs) => runs.createRun({ id: 'r', planPath: 'a' }),
  getRun: (runs) => runs.getRun('r'),
  updateRunStatus: (runs) => runs.updateRunStatus('r', 'running'),
  listRuns: (runs) => [runs.listRuns(), runs.listRuns({ status: 'running' })],
  interruptedRuns: (runs) => runs.interruptedRuns(),
  createPlanUnit: (runs) => [
    runs.createPlanUnit({ ...unit, id: 'a' }),
    runs.createPlanUnit({ ...unit, id: 'b', dependencies: ['a'] }),
  ],
  getPlanUnit: (runs) => runs.getPlanUnit('a'),
  updatePlanUnitStatus: (runs) => runs.updatePlanUnitStatus('a', 'running'),
  incrementPlanUnitRetries: (runs) => runs.incrementPlanUnitRetries('a'),
  listPlanUnits: (runs) => runs.listPlanUnits('r'),
  readyPlanUnits: (runs) => runs.readyPlanUnits('r'),
  appendRunEvent: (runs) => runs.appendRunEvent({ runId: 'r', planUnitId: 'a', level: 'info', message: 'm' }),
  getRunEvents: (runs) => {
    for (const runId of [{}, { runId: 'r' }])
      for (const planUnitId of [{}, { planUnitId: 'a' }])
        for (const level of [{}, { level: 'info' as const }]) runs.getRunEvents({ ...runId, ...planUnitId, ...level });
  },
  upsertResourceState: (runs) => runs.upsertResourceState(resource),
  getResourceState: (runs) => runs.getResourceState('t', 'n'),
  listResourceStates: (runs) => [runs.listResourceStates(), runs.listResourceStates({ resourceType: 't' })],
  deleteResourceState: (runs) => runs.deleteResourceState('t', 'n'),
  deletePlanUnit: (runs) => runs.deletePlanUnit('b'),
  deleteRun: (runs) => runs.deleteRun('r'),
} satisfies Record<string, (runs: RunStore) => unknown>;

/**
 * The plan of every statement about these tables that each operation prepares, on a store where all were prepared anew.
 */
function plansOf(t: TestContext): [operation: string, sql: string, plan: string[]][] {
  const folder = new TestFolder(t);
  const prepared: [operation: string, sql: string][] = [];
  const runs = new RunStore(folder.open());
  let operation = '';
  const prepare = t.mock.method(DatabaseSync.prototype, 'prepare', function (this: DatabaseSync, sql: string) {
    if (new RegExp(`\\b(${tables.join('|')})\\b`).test(sql)) prepared.push([operation, sql]);
    return original.call(this, sql);
  });
  for (const [name, run] of Object.entries(operations)) {
    operation = name;
    run(runs);
  }
  prepare.mock.restore();
  const db = folder.raw();
  db.exec('PRAGMA foreign_keys = ON');
  return prepared.map(([name, sql]) => [
    name,
    sql,
    db
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(({ detail }) => String(detail)),
  ]);
}

const original = DatabaseSync.prototype.prepare;

test('every method of a RunStore is among the operations', () => {
  assert.deepEqual(
    Object.keys(operations).sort(),
    Object.getOwnPropertyNames(RunStore.prototype)
      .filter((name) => name !== 'constructor')
      .sort(),
  );
});

test('no operation reads a whole table, even to sort: only a list of everything does, in order, to its limit', (t) => {
  const plans = plansOf(t);
  assert.ok(plans.length >= 25, `${plans.length} statements`);
  const lists: string[] = [];
  for (const [operation, sql, plan] of plans) {
    assert.doesNotMatch(plan.join('\n'), /TEMP B-TREE|AUTOMATIC/, `${operation}: ${sql}\n${plan.join('\n')}`);
    // What json_each gives is as long as one unit's dependencies.
    const scans = plan.filter((step) => /\bSCAN\b/.test(step) && !/VIRTUAL TABLE/.test(step));
    if (scans.length === 0) continue;
    assert.match(
      sql,
      /^SELECT [\w, ]+ FROM \w+\s+ORDER BY [\w, ]+ LIMIT \? OFFSET \?$/,
      `${operation}: ${sql}\n${plan.join('\n')}`,
    );
    lists.push(operation);
  }
  assert.deepEqual(lists, ['listRuns', 'getRunEvents', 'listResourceStates']);
});

test('an index that would find nearly every row is not taken where another finds few', (t) => {
  const plans = plansOf(t);
  const stepsOf = (pattern: RegExp): string[] =>
    plans.filter(([, sql]) => pattern.test(sql)).flatMap(([, , plan]) => plan);
  // Of all events most have one of four levels; a unit is found by its id, and not among all of its run.
  const narrow = stepsOf(/FROM run_events WHERE (plan_unit|run)_id/);
  assert.equal(narrow.length, 6);
  for (const step of narrow) assert.doesNotMatch(step, /run_events_level/);
  const ofUnits = stepsOf(/FROM run_events WHERE plan_unit_id/);
  for (const step of ofUnits) assert.match(step, /run_events_plan_unit/);
  const joined = stepsOf(/JOIN plan_units/).filter((step) => /LEFT-JOIN/.test(step));
  assert.equal(joined.length, 1);
  for (const step of joined) assert.match(step, /sqlite_autoindex_plan_units_1 \(id=\?\)/);
});

test('every index of these tables is used by an operation', (t) => {
  const plans = plansOf(t);
  const folder = new TestFolder(t);
  folder.open().close();
  const names = tables.map((name) => `'${name}'`).join();
  const sql = `SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name IN (${names})`;
  const indexes = folder.raw().prepare(sql).all().map(({ name }) => String(name));
  assert.ok(indexes.length >= 10, indexes.join());
  const steps = plans.flatMap(([, , plan]) => plan).join('\n');
  for (const name of indexes) assert.match(steps, new RegExp(`INDEX ${name}\\b`), `${name} is used by nothing`);
});
