// An OpenFroyo database: what becomes of each of its rows, once, again, and where the store has rows already.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { type ImportReport, importStore } from '../../lib/import/index.ts';
import type { SqliteStore } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';
import { loosen, makeFrom } from '../support/import.ts';
import { change, dump } from '../support/shepherdd.ts';

const core = { usage: 0, cooldowns: 0, snapshots: 0 };
const none = { events: 0, ...core, runs: 0, planUnits: 0, runEvents: 0, resourceStates: 0, facts: 0 };
const all = { events: 2, ...core, runs: 5, planUnits: 15, runEvents: 10, resourceStates: 1, facts: 2 };
const badFact = ['facts', 'fact-003'];

type Rows = Record<string, unknown>[];

/** An import of the fixture, changed by `sql`, into the folder's store. */
async function importFixture(
  t: TestContext,
  sql = '',
): Promise<{
  folder: TestFolder;
  source: string;
  report: ImportReport;
  store: SqliteStore;
  rows: (query: string) => Rows;
}> {
  const folder = new TestFolder(t);
  const source = makeFrom(folder, 'openfroyo.db', sql);
  const report = await importStore(source, folder.file());
  return { folder, source, report, store: folder.open(), rows: rowsIn(folder) };
}

function rowsIn(folder: TestFolder): (query: string) => Rows {
  const raw = folder.raw();
  return (query) => raw.prepare(query).all().map((row) => ({ ...row }));
}

const listed = ({ skipped }: ImportReport): string[][] => skipped.map(({ table, row }) => [table, row]);

test('every row is taken but the fact whose value is no JSON, which is listed with the reason', async (t) => {
  const { report, store, rows } = await importFixture(t);
  assert.deepEqual(
    { ...report, skipped: listed(report) },
    { kind: 'openfroyo', taken: all, alreadyThere: none, skipped: [badFact] },
  );
  assert.match(report.skipped[0]!.reason, /value must be JSON/);
  for (const [table, count] of [
    ['runs', 5],
    ['plan_units', 15],
    ['run_events', 10],
    ['resource_state', 1],
    ['facts', 2],
  ])
    assert.deepEqual(rows(`SELECT count(*) AS n FROM ${table}`), [{ n: count }]);
  assert.ok((await store.verifyAudit()).ok);
});

test('runs, units, events, states and facts are what the service has, in this store\'s columns', async (t) => {
  const { rows } = await importFixture(t);
  assert.deepEqual(rows("SELECT * FROM runs WHERE id IN ('run-002', 'run-004')"), [
    {
      position: 2,
      id: 'run-002',
      plan_path: '/plans/deploy-1.json',
      status: 'failed',
      started_at: '2025-10-16T09:01:29.123Z',
      completed_at: '2025-10-16T09:01:59.000Z',
      error: 'apt exited 100: "käse"',
      metadata: '{"environment": "production", "n": 1}',
      created_at: '2025-10-16T09:01:29.000Z',
      updated_at: '2025-10-16T09:01:29.000Z',
    },
    {
      position: 4,
      id: 'run-004',
      plan_path: '/plans/deploy-3.json',
      status: 'pending',
      started_at: '2025-10-16T09:03:29.123Z',
      completed_at: null,
      error: null,
      metadata: '{"environment": "production", "n": 3}',
      created_at: '2025-10-16T09:03:29.000Z',
      updated_at: '2025-10-16T09:03:29.000Z',
    },
  ]);
  assert.deepEqual(rows("SELECT * FROM plan_units WHERE id = 'pu-001-1'"), [
    {
      position: 2,
      id: 'pu-001-1',
      run_id: 'run-001',
      resource_type: 'linux.service',
      resource_name: 'apache2',
      action: 'update',
      status: 'completed',
      dependencies: '["pu-001-0"]',
      desired_state: '{"state": "present", "version": "2.4"}',
      actual_state: '{"installed": true}',
      diff: null,
      error: null,
      retries: 1,
      started_at: '2025-10-16T09:00:30.000Z',
      completed_at: null,
      created_at: '2025-10-16T09:00:29.000Z',
      updated_at: '2025-10-16T09:00:30.000Z',
    },
  ]);
  assert.deepEqual(rows('SELECT * FROM run_events WHERE id < 3'), [
    {
      id: 1,
      run_id: 'run-001',
      plan_unit_id: 'pu-001-0',
      level: 'info',
      message: 'Starting package installation',
      details: '{"package":"apache2"}',
      timestamp: '2025-10-16T09:00:30.000Z',
    },
    {
      id: 2,
      run_id: 'run-001',
      plan_unit_id: null,
      level: 'warning',
      message: 'retry',
      details: null,
      timestamp: '2026-11-21T07:47:24.000Z',
    },
  ]);
  const state = '{"installed":true,"version":"2.4.41"}';
  assert.deepEqual(rows('SELECT * FROM resource_state'), [
    {
      id: 'rs-001',
      resource_type: 'linux.pkg',
      resource_name: 'apache2',
      state,
      hash: hash('sha256', state),
      last_run_id: 'run-001',
      last_applied: '2025-10-16T09:00:59.000Z',
      created_at: '2025-10-16T09:00:59.000Z',
      updated_at: '2025-10-16T09:00:59.000Z',
    },
  ]);
  assert.deepEqual(rows('SELECT id, value, ttl_seconds, expires_at, updated_at FROM facts'), [
    { id: 'fact-001', value: '"debian"', ttl_seconds: 0, expires_at: null, updated_at: '2025-10-16T09:00:29.000Z' },
    {
      id: 'fact-002',
      value: '4',
      ttl_seconds: 3600,
      expires_at: '2025-10-16T10:00:29.000Z',
      updated_at: '2025-10-16T09:00:29.000Z',
    },
  ]);
});

test('the audit trail becomes events of the log: who, what, whom, from where and when', async (t) => {
  const { store, source } = await importFixture(t);
  const [imported, , updated, created] = store.getRecentAudits(9);
  const { eventId, ...first } = created!;
  assert.match(String(eventId), /^openfroyo:audit:1:[0-9a-f]{32}$/);
  const at = new Date('2025-10-16T09:00:29Z');
  assert.deepEqual(first, {
    id: 1,
    timestamp: at,
    observedAt: at,
    event: { type: 'run.created', plan: '/plans/deploy.json' },
    source: 'system',
    target: 'run-001',
    ipAddress: '192.0.2.7',
  });
  assert.deepEqual(
    [updated!.event, updated!.source, updated!.target, updated!.observedAt],
    [{ type: 'state.updated' }, 'admin', undefined, new Date('2026-11-21T07:47:24Z')],
  );
  assert.deepEqual(imported!.event, {
    type: 'store_imported',
    kind: 'openfroyo',
    from: source,
    sourceId: 'openfroyo',
    ...all,
    skipped: 1,
  });
});

test('details that are no object, or would hide the action, become one field', async (t) => {
  const { store, report } = await importFixture(t, `INSERT INTO audit (action, actor, details, timestamp) VALUES
    ('a', 'x', '[1]', '2026-01-01 00:00:00'),
    ('b', 'x', '{"type":"c","n":1.0}', '2026-01-01 00:00:00'),
    ('d', '', '', '2026-01-01 00:00:00')`);
  assert.deepEqual(listed(report), [badFact]);
  const events = store.getRecentAudits(5).slice(2).map(({ event, source }) => [event, source]).reverse();
  assert.deepEqual(events, [
    [{ type: 'a', details: [1] }, 'x'],
    [{ type: 'b', details: { type: 'c', n: 1 } }, 'x'],
    [{ type: 'd' }, undefined],
  ]);
});

test('a second import adds nothing at all, and lists again what cannot be taken', async (t) => {
  const { folder, source, store, report } = await importFixture(t);
  store.close();
  const before = dump(folder.file());
  assert.deepEqual(await importStore(source, folder.file()), { ...report, taken: none, alreadyThere: all });
  assert.deepEqual(dump(folder.file()), before);
});

test('a source that has gone on brings its new rows, and the later state of those that were taken', async (t) => {
  const { folder, source, rows } = await importFixture(t);
  change(source, `UPDATE runs SET status = 'completed', completed_at = CURRENT_TIMESTAMP WHERE id = 'run-003';
    UPDATE plan_units SET retries = 9 WHERE id = 'pu-001-0';
    UPDATE facts SET value = '8' WHERE id = 'fact-002';
    UPDATE facts SET value = '1024' WHERE id = 'fact-003';
    UPDATE resource_state SET state = '[]', last_run_id = 'run-002';
    INSERT INTO runs
      SELECT 'run-006', plan_path, status, started_at, completed_at, error, metadata, created_at, updated_at
      FROM runs WHERE id = 'run-001';
    INSERT INTO events (run_id, level, message) VALUES ('run-006', 'debug', 'new'), ('run-001', 'debug', 'late');
    INSERT INTO audit (action, actor) VALUES ('run.created', 'system')`);
  const report = await importStore(source, folder.file());
  assert.deepEqual(report.taken, {
    events: 1,
    ...core,
    runs: 2,
    planUnits: 1,
    runEvents: 2,
    resourceStates: 1,
    facts: 2,
  });
  assert.deepEqual(report.skipped, []);
  assert.deepEqual(rows("SELECT status, completed_at IS NULL AS open FROM runs WHERE id = 'run-003'"), [
    { status: 'completed', open: 0 },
  ]);
  assert.deepEqual(rows('SELECT value FROM facts'), [{ value: '"debian"' }, { value: '8' }, { value: '1024' }]);
  assert.deepEqual(rows('SELECT id, state, hash, last_run_id FROM resource_state'), [
    { id: 'rs-001', state: '[]', hash: hash('sha256', '[]'), last_run_id: 'run-002' },
  ]);
  assert.deepEqual(rows('SELECT count(*) AS n FROM run_events'), [{ n: 12 }]);
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

test("a change in the same second is a change, though the source's trigger cuts its time to the second", async (t) => {
  const created = "'2025-10-16 13:00:29.9 +0400 +04'";
  const { folder, source, rows } = await importFixture(t, `
    DROP TRIGGER update_runs_timestamp;
    UPDATE runs SET created_at = ${created}, updated_at = ${created} WHERE id = 'run-003'`);
  change(source, "UPDATE runs SET status = 'failed', updated_at = '2025-10-16 09:00:29' WHERE id = 'run-003'");
  assert.deepEqual((await importStore(source, folder.file())).taken, { ...none, runs: 1 });
  assert.deepEqual(rows("SELECT status FROM runs WHERE id = 'run-003'"), [{ status: 'failed' }]);
});

test('an older copy of the source takes nothing back', async (t) => {
  const { folder, source, rows } = await importFixture(
    t,
    "UPDATE runs SET status = 'completed' WHERE id = 'run-003'; UPDATE facts SET value = '8' WHERE id = 'fact-002'",
  );
  const older = makeFrom(folder, 'openfroyo.db', '', 'older.db');
  assert.deepEqual((await importStore(older, folder.file())).taken, none);
  assert.deepEqual(
    rows("SELECT status FROM runs WHERE id = 'run-003' UNION ALL SELECT value FROM facts WHERE id = 'fact-002'"),
    [{ status: 'completed' }, { status: '8' }],
  );
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

test('what was deleted here, or changed here since, stays so at the next import', async (t) => {
  const { folder, source, rows } = await importFixture(t);
  const raw = folder.raw();
  raw.exec(`
    DELETE FROM runs WHERE id = 'run-002';
    DELETE FROM facts WHERE id = 'fact-002';
    UPDATE runs SET status = 'failed', updated_at = '2026-11-21T00:00:00.000Z' WHERE id = 'run-003'`);
  change(
    source,
    "INSERT INTO events (run_id, level, message) VALUES ('run-002', 'info', 'of a run that is gone here')",
  );
  const report = await importStore(source, folder.file());
  assert.deepEqual([report.taken, report.alreadyThere.runEvents], [none, 11]);
  assert.deepEqual(listed(report), [badFact]);
  assert.deepEqual(rows("SELECT id, status FROM runs WHERE id IN ('run-002', 'run-003')"), [
    { id: 'run-003', status: 'failed' },
  ]);
  assert.deepEqual(rows('SELECT count(*) AS units FROM plan_units'), [{ units: 12 }]);
});

const deleted = `
  DELETE FROM resource_state;
  DELETE FROM runs WHERE id IN ('run-002', 'run-003');
  DELETE FROM facts WHERE id = 'fact-001';
  DELETE FROM plan_units WHERE id = 'pu-004-2'`;
/** What the service does with each of these and what belongs to them. */
const wentOn = `
  UPDATE runs SET status = 'completed', completed_at = CURRENT_TIMESTAMP WHERE id = 'run-003';
  UPDATE plan_units SET retries = 9 WHERE id IN ('pu-003-0', 'pu-004-2');
  UPDATE resource_state SET state = '[]', last_run_id = 'run-003';
  UPDATE facts SET value = '"changed"' WHERE id = 'fact-001';
  INSERT INTO plan_units (id, run_id, resource_type, resource_name, action, status, desired_state)
    SELECT 'pu-new', run_id, resource_type, resource_name, action, status, desired_state
    FROM plan_units WHERE id = 'pu-002-0';
  INSERT INTO events (run_id, plan_unit_id, level, message) VALUES ('run-002', NULL, 'info', 'a'),
    ('run-003', NULL, 'info', 'b'), (NULL, 'pu-new', 'info', 'c'), ('run-004', 'pu-004-2', 'info', 'd');`;
const afterDeletion = { runs: 5, planUnits: 16, runEvents: 14, resourceStates: 1, facts: 2 };

test('what was deleted here stays so when the source changes it, and so does what comes to belong to it', async (t) => {
  const { folder, source, store, rows } = await importFixture(t);
  folder.raw().exec(deleted);
  change(source, `${wentOn} UPDATE facts SET value = '1024' WHERE id = 'fact-003'`);
  const counts = ['runs', 'plan_units', 'run_events', 'resource_state', 'facts']
    .map((table) => `(SELECT count(*) FROM ${table})`)
    .join();
  const before = rows(`SELECT ${counts}`);
  const report = await importStore(source, folder.file());
  assert.deepEqual(
    [report.taken, report.alreadyThere, report.skipped],
    [{ ...none, facts: 1 }, { ...none, ...afterDeletion, events: 2 }, []],
  );
  folder.raw().exec("DELETE FROM facts WHERE id = 'fact-003'");
  assert.deepEqual(rows(`SELECT ${counts}`), before);
  store.close();
  const dumped = dump(folder.file());
  assert.deepEqual((await importStore(source, folder.file())).alreadyThere, {
    ...none,
    ...afterDeletion,
    facts: 3,
    events: 2,
  });
  assert.deepEqual(dump(folder.file()), dumped);
});

test('a state that was changed here after it was taken is still known when it is deleted then', async (t) => {
  const { folder, source } = await importFixture(t);
  change(source, "UPDATE runs SET status = 'running' WHERE id = 'run-003'");
  assert.equal((await importStore(source, folder.file())).taken.runs, 1);
  folder.raw().exec("DELETE FROM runs WHERE id = 'run-003'");
  change(source, "UPDATE runs SET status = 'completed' WHERE id = 'run-003'");
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

test('a fact that expires and was cleared away here comes back when the source has it anew', async (t) => {
  const { folder, source, rows } = await importFixture(t);
  folder.raw().exec("DELETE FROM facts WHERE id = 'fact-002'");
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
  change(source, "UPDATE facts SET value = '8', expires_at = '2027-01-01 00:00:00' WHERE id = 'fact-002'");
  assert.deepEqual((await importStore(source, folder.file())).taken, { ...none, facts: 1 });
  assert.deepEqual(rows("SELECT value FROM facts WHERE id = 'fact-002'"), [{ value: '8' }]);
});

test('another run under the id of one that was deleted here is taken with all that belongs to it', async (t) => {
  const { folder, source, rows } = await importFixture(t);
  folder.raw().exec("DELETE FROM runs WHERE id = 'run-003'");
  change(
    source,
    "DROP TRIGGER update_runs_timestamp; UPDATE runs SET created_at = '2026-11-01 00:00:00' WHERE id = 'run-003'",
  );
  const { taken, skipped } = await importStore(source, folder.file());
  assert.deepEqual([taken, skipped.length], [{ ...none, runs: 1, planUnits: 3, runEvents: 2 }, 1]);
  assert.deepEqual(rows("SELECT count(*) AS n FROM run_events WHERE run_id = 'run-003'"), [{ n: 2 }]);
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

test('what names a run that was deleted here, and is not deleted with it, is listed', async (t) => {
  const { folder, source, rows } = await importFixture(t);
  folder.raw().exec("DELETE FROM runs WHERE id = 'run-002'");
  change(source, "UPDATE resource_state SET state = '[]', last_run_id = 'run-002'");
  const { taken, skipped } = await importStore(source, folder.file());
  assert.deepEqual(
    [taken, skipped[0]],
    [none, { table: 'resource_state', row: 'rs-001', reason: 'it names the run "run-002", which was deleted here' }],
  );
  change(source, "UPDATE resource_state SET last_run_id = 'run-003'");
  assert.deepEqual((await importStore(source, folder.file())).taken, { ...none, resourceStates: 1 });
  assert.deepEqual(rows('SELECT state, last_run_id FROM resource_state'), [{ state: '[]', last_run_id: 'run-003' }]);
});

/**
 * Leaves of what was recorded what earlier versions of this package recorded: what each row held, and not which it was.
 */
function forgetThings(folder: TestFolder): void {
  const raw = folder.raw();
  const { sql } = raw.prepare("SELECT sql FROM sqlite_schema WHERE name = 'audit_log_no_update'").get() as {
    sql: string;
  };
  raw.exec(`
    DROP TRIGGER audit_log_no_update;
    UPDATE audit_log SET event_data = json_remove(event_data, '$.things') WHERE event_type = 'store_import_taken';
    ${sql}`);
}

test('a store imported by an earlier version learns at the next what it has, and keeps deleted what was', async (t) => {
  const folder = new TestFolder(t, { checked: false }); // the log is changed
  const source = makeFrom(folder, 'openfroyo.db');
  await importStore(source, folder.file());
  forgetThings(folder);
  folder.raw().exec(deleted);
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
  change(source, wentOn);
  const { taken, skipped } = await importStore(source, folder.file());
  assert.deepEqual([taken, skipped.length], [none, 1]);
});

test('a state that the source made anew after it was deleted there and here is another, and is taken', async (t) => {
  const { folder, source } = await importFixture(t);
  folder.raw().exec('DELETE FROM resource_state');
  change(source, "UPDATE resource_state SET id = 'rs-002'");
  assert.deepEqual((await importStore(source, folder.file())).taken, { ...none, resourceStates: 1 });
});

test('a fact of the store that the source had later was taken too, and stays deleted', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  folder.raw().exec(`
    INSERT INTO facts VALUES ('own', 'host-001', 'os.basic', 'os_family', '1', 0, NULL,
      '2020-01-01T00:00:00.000Z', '2020-01-01T00:00:00.000Z')`);
  const source = makeFrom(folder, 'openfroyo.db');
  assert.deepEqual((await importStore(source, folder.file())).taken, all);
  folder.raw().exec("DELETE FROM facts WHERE id = 'own'");
  change(source, "UPDATE facts SET value = '8' WHERE id = 'fact-001'");
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

test('a store imported by an earlier version takes a changed run that was deleted here back whole, once', async (t) => {
  const folder = new TestFolder(t, { checked: false }); // the log is changed
  const source = makeFrom(folder, 'openfroyo.db', "UPDATE resource_state SET last_run_id = 'run-003'");
  await importStore(source, folder.file());
  forgetThings(folder);
  folder.raw().exec("DELETE FROM resource_state; DELETE FROM runs WHERE id IN ('run-002', 'run-003')");
  change(source, `
    UPDATE runs SET status = 'completed' WHERE id = 'run-003';
    INSERT INTO events (run_id, level, message) VALUES ('run-002', 'info', 'a'), ('run-003', 'info', 'b')`);
  const { taken, skipped } = await importStore(source, folder.file());
  assert.deepEqual([taken, skipped.length], [{ ...none, runs: 1, planUnits: 3, runEvents: 3 }, 1]);
  folder.raw().exec("DELETE FROM runs WHERE id = 'run-003'");
  change(source, "UPDATE runs SET status = 'failed' WHERE id = 'run-003'");
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

const own = `
  INSERT INTO runs (id, plan_path, status, metadata, created_at, updated_at)
    VALUES ('run-001', 'own', 'running', '{}', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z');
  INSERT INTO run_events (run_id, level, message, timestamp)
    VALUES ('run-001', 'info', 'own', '2026-01-01T00:00:00.000Z');
  INSERT INTO facts VALUES ('own-1', 'host-001', 'os.basic', 'os_family', '"own"', 0, NULL,
    '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z');
  INSERT INTO facts VALUES ('own-2', 'host-001', 'hw.cpu', 'cpu_count', '1', 0, NULL,
    '2020-01-01T00:00:00.000Z', '2020-01-01T00:00:00.000Z');`;

test('a store with own rows keeps them: another run of that id, its children, the later of two facts', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const raw = folder.raw();
  raw.exec(own);
  const report = await importStore(makeFrom(folder, 'openfroyo.db'), folder.file());
  assert.deepEqual(listed(report), [
    ['runs', 'run-001'],
    ['plan_units', 'pu-001-0'],
    ['plan_units', 'pu-001-1'],
    ['plan_units', 'pu-001-2'],
    ['events', '1'],
    ['events', '2'],
    ['resource_state', 'rs-001'],
    badFact,
  ]);
  assert.deepEqual(report.taken, {
    events: 2,
    ...core,
    runs: 4,
    planUnits: 12,
    runEvents: 8,
    resourceStates: 0,
    facts: 1,
  });
  assert.deepEqual(report.alreadyThere, { ...none, facts: 1 });
  const rows = rowsIn(folder);
  assert.deepEqual(rows("SELECT plan_path FROM runs WHERE id = 'run-001'"), [{ plan_path: 'own' }]);
  assert.deepEqual(rows('SELECT id, value, created_at FROM facts ORDER BY id'), [
    { id: 'own-1', value: '"own"', created_at: '2026-01-01T00:00:00.000Z' },
    { id: 'own-2', value: '4', created_at: '2020-01-01T00:00:00.000Z' },
  ]);
  assert.deepEqual(rows('SELECT id, message FROM run_events LIMIT 2'), [
    { id: 1, message: 'own' },
    { id: 2, message: 'Starting package installation' },
  ]);
  const again = await importStore(folder.file('openfroyo.db'), folder.file());
  assert.deepEqual([again.taken, again.skipped], [none, report.skipped]);
});

test('an id of another row of the store, and a row of the same time, are contradictions and listed', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  folder.raw().exec(`
    INSERT INTO facts VALUES ('fact-001', 'other', 'n', 'k', '1', 0, NULL,
      '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z');
    INSERT INTO facts VALUES ('own', 'host-001', 'hw.cpu', 'cpu_count', '1', 0, NULL,
      '2025-10-16T09:00:29.000Z', '2025-10-16T09:00:29.000Z')`);
  const report = await importStore(makeFrom(folder, 'openfroyo.db'), folder.file());
  assert.deepEqual(listed(report), [['facts', 'fact-001'], ['facts', 'fact-002'], badFact]);
  assert.deepEqual(report.taken, { ...all, facts: 0 });
});

const loose = loosen('runs', 'plan_units', 'events', 'resource_state', 'facts', 'audit');
type Row = [table: string, row: string];
const unit: Row = ['plan_units', 'pu-005-2'];
const ofRun: Row[] = [['plan_units', 'pu-005-0'], ['plan_units', 'pu-005-1'], unit, ['events', '9'], ['events', '10']];
const bad: [why: string, sql: string, row: Row, children?: Row[]][] = [
  ['a unit with an unknown status', "UPDATE plan_units SET status = 'done' WHERE id = 'pu-005-2'", unit],
  ['a unit with an unknown action', "UPDATE plan_units SET action = 'destroy' WHERE id = 'pu-005-2'", unit],
  ['a unit with a negative count', "UPDATE plan_units SET retries = -1 WHERE id = 'pu-005-2'", unit],
  ['a unit with a count beyond 2^53', "UPDATE plan_units SET retries = 9007199254740993 WHERE id = 'pu-005-2'", unit],
  ['a unit without a state to reach', "UPDATE plan_units SET desired_state = '' WHERE id = 'pu-005-2'", unit],
  ['a unit whose dependencies are no ids', "UPDATE plan_units SET dependencies = '[1]' WHERE id = 'pu-005-2'", unit],
  ['a unit of a run that is not there', "UPDATE plan_units SET run_id = 'run-009' WHERE id = 'pu-005-2'", unit],
  ['a unit that ended at no time', "UPDATE plan_units SET completed_at = 5 WHERE id = 'pu-005-2'", unit],
  ['a unit whose name is a BLOB', "UPDATE plan_units SET resource_name = x'61' WHERE id = 'pu-005-2'", unit],
  [
    'a unit whose name has a NUL',
    "UPDATE plan_units SET resource_name = CAST(x'610062' AS TEXT) WHERE id = 'pu-005-2'",
    unit,
  ],
  ['an event of a unit that is not there', "UPDATE events SET plan_unit_id = 'pu-9' WHERE id = 2", ['events', '2']],
  ['an event of an unknown level', "UPDATE events SET level = 'fatal' WHERE id = 2", ['events', '2']],
  ['an event at no time', 'UPDATE events SET timestamp = NULL WHERE id = 2', ['events', '2']],
  ['an event whose details are no JSON', "UPDATE events SET details = '{' WHERE id = 2", ['events', '2']],
  ['a state that is no JSON', "UPDATE resource_state SET state = 'installed'", ['resource_state', 'rs-001']],
  [
    'a state of a run that is not there',
    "UPDATE resource_state SET last_run_id = 'run-009'",
    ['resource_state', 'rs-001'],
  ],
  ['a fact without a key', "UPDATE facts SET key = '' WHERE id = 'fact-001'", ['facts', 'fact-001']],
  [
    'a fact that is deeper than can be read',
    `UPDATE facts SET value = '${'['.repeat(600)}${']'.repeat(600)}' WHERE id = 'fact-001'`,
    ['facts', 'fact-001'],
  ],
  [
    'a fact that expires and never does',
    "UPDATE facts SET expires_at = '2027-01-01 00:00:00' WHERE id = 'fact-001'",
    ['facts', 'fact-001'],
  ],
  [
    'a fact that should expire and has lost when',
    "UPDATE facts SET expires_at = NULL WHERE id = 'fact-002'",
    ['facts', 'fact-002'],
  ],
  ['a fact with an id that is no text', "UPDATE facts SET id = x'00ff' WHERE id = 'fact-001'", ['facts', '?']],
  ['an action of the store itself', "UPDATE audit SET action = 'usage_added' WHERE id = 1", ['audit', '1']],
  ['an action of nothing', "UPDATE audit SET action = '' WHERE id = 1", ['audit', '1']],
  ['an audit entry with a name twice', `UPDATE audit SET details = '{"a":1,"a":2}' WHERE id = 1`, ['audit', '1']],
  [
    'an audit entry with a number that is none here',
    `UPDATE audit SET details = '{"a":1e400}' WHERE id = 1`,
    ['audit', '1'],
  ],
  ['an audit entry at no time', "UPDATE audit SET timestamp = 'now' WHERE id = 1", ['audit', '1']],
  ['an actor with a NUL', "UPDATE audit SET actor = CAST(x'610062' AS TEXT) WHERE id = 1", ['audit', '1']],
  ['a run with an unknown status', "UPDATE runs SET status = 'done' WHERE id = 'run-005'", ['runs', 'run-005'], ofRun],
  [
    'a run created at no time',
    "UPDATE runs SET created_at = '2026-02-30 00:00:00' WHERE id = 'run-005'",
    ['runs', 'run-005'],
    ofRun,
  ],
  [
    'a run whose metadata are no JSON',
    "UPDATE runs SET metadata = 'x' WHERE id = 'run-005'",
    ['runs', 'run-005'],
    ofRun,
  ],
];

for (const [why, sql, row, children = []] of bad) {
  test(`${why} is listed with what belongs to it, and everything else is taken`, async (t) => {
    const { report } = await importFixture(t, `${loose} ${sql}`);
    const expected = [row, ...children, ...(row[1] === 'fact-003' ? [] : [badFact])];
    assert.deepEqual(listed(report).sort(), expected.sort());
    assert.ok(report.skipped.every(({ reason }) => reason !== ''));
    const sum = (counts: object): number =>
      Object.values(counts).reduce((total: number, count: number) => total + count, 0);
    assert.equal(sum(report.taken), sum(all) - expected.length + 1);
  });
}

test('a cycle of dependencies, an unknown one, and what Go leaves empty are taken as they are', async (t) => {
  const { report, rows } = await importFixture(t, `
    PRAGMA foreign_keys = OFF;
    UPDATE plan_units SET dependencies = '["pu-001-1","pu-9"]' WHERE id = 'pu-001-0';
    UPDATE plan_units SET dependencies = '' WHERE id = 'pu-001-2';
    UPDATE plan_units SET dependencies = 'null' WHERE id = 'pu-002-0';
    UPDATE runs SET metadata = '', error = '', completed_at = '0001-01-01 00:00:00 +0000 UTC' WHERE id = 'run-001';
    INSERT INTO events (run_id, level, message, details) VALUES ('', 'info', '', '')`);
  assert.deepEqual(listed(report), [badFact]);
  assert.deepEqual(
    rows("SELECT dependencies FROM plan_units WHERE id IN ('pu-001-0', 'pu-001-2', 'pu-002-0')").map(
      ({ dependencies }) => dependencies,
    ),
    ['["pu-001-1","pu-9"]', '[]', '[]'],
  );
  assert.deepEqual(rows("SELECT metadata, error, completed_at FROM runs WHERE id = 'run-001'"), [
    { metadata: '{}', error: null, completed_at: null },
  ]);
  assert.deepEqual(rows('SELECT run_id, message, details FROM run_events WHERE id = 11'), [
    { run_id: null, message: '', details: null },
  ]);
});

test('a key that the file has twice is taken once, the first import like the second', async (t) => {
  const { folder, source, report } = await importFixture(t, `${loose}
    INSERT INTO runs
      SELECT id, 'other', status, started_at, completed_at, error, metadata, created_at, updated_at
      FROM runs WHERE id = 'run-001';
    DELETE FROM resource_state`);
  assert.equal(report.skipped.filter(({ table }) => table === 'runs').length, 1);
  const again = await importStore(source, folder.file());
  assert.deepEqual([again.taken, again.skipped], [none, report.skipped]);
});

test('two events that are the same in all but their numbers are two events', async (t) => {
  const { folder, source, report } = await importFixture(t, `
    INSERT INTO events (level, message, timestamp)
    VALUES ('info', 'tick', '2026-01-01 00:00:00'), ('info', 'tick', '2026-01-01 00:00:00')`);
  assert.equal(report.taken.runEvents, 12);
  assert.equal((await importStore(source, folder.file())).alreadyThere.runEvents, 12);
});

test('columns and tables that are not known are listed', async (t) => {
  const { report } = await importFixture(t, `
    ALTER TABLE runs ADD COLUMN owner TEXT;
    UPDATE runs SET owner = 'x' WHERE id = 'run-001';
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT);
    INSERT INTO secrets VALUES ('pin', '4711')`);
  assert.deepEqual(listed(report), [badFact, ['runs', 'column owner'], ['secrets', 'pin']]);
  assert.ok(!JSON.stringify(report).includes('4711'));
});
