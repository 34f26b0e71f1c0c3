// Nightshift's database and its state.json: what becomes of each row, once, again, and where the store has rows
// already.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { type ImportReport, importStore } from '../../lib/import/index.ts';
import type { SqliteStore } from '../../lib/index.ts';
import { hasCode } from '../../lib/values/errors.ts';
import { TestFolder } from '../support/folder.ts';
import { loosen, makeFrom } from '../support/import.ts';
import { change, dump } from '../support/shepherdd.ts';

const core = { usage: 0, cooldowns: 0, snapshots: 0 };
const none = { events: 0, ...core, projects: 0, taskHistory: 0, assignedTasks: 0, runRecords: 0 };
const all = { events: 1, ...core, projects: 3, taskHistory: 3, assignedTasks: 1, runRecords: 3 };
const allOfState = { events: 0, ...core, projects: 2, taskHistory: 2, assignedTasks: 1, runRecords: 2 };

interface Imported {
  folder: TestFolder;
  source: string;
  report: ImportReport;
  store: SqliteStore;
  rows: (query: string) => Record<string, unknown>[];
}

async function importFile(folder: TestFolder, source: string): Promise<Imported> {
  const report = await importStore(source, folder.file());
  const store = folder.open();
  const raw = folder.raw();
  return { folder, source, report, store, rows: (query) => raw.prepare(query).all().map((row) => ({ ...row })) };
}

/** An import of the database, changed by `sql`. */
async function importFixture(t: TestContext, sql = ''): Promise<Imported> {
  const folder = new TestFolder(t);
  return importFile(folder, makeFrom(folder, 'nightshift.db', sql));
}

/** What a test does to a state; of no type, because it also sets what a state may not hold. */
type Edit = (state: any) => void;

/** The fixture's state.json as a text, after `edit`. */
function stateText(edit: Edit): string {
  const state = JSON.parse(
    readFileSync(new URL('../fixtures/nightshift-state.json', import.meta.url), 'utf8'),
  ) as object;
  edit(state);
  return JSON.stringify(state);
}

async function importState(t: TestContext, edit: Edit = () => {}, text = stateText(edit)): Promise<Imported> {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('state.json'), text);
  return importFile(folder, folder.file('state.json'));
}

const listed = ({ skipped }: ImportReport): string[][] => skipped.map(({ table, row }) => [table, row]);

test('projects, tasks, assignments and runs of the database are what the service has', async (t) => {
  const { report, store, rows } = await importFixture(t);
  assert.deepEqual(report, { kind: 'nightshift', taken: all, alreadyThere: none, skipped: [] });
  assert.deepEqual(rows('SELECT * FROM projects'), [
    {
      path: '/home/kiosk/src/launcher',
      last_run_at: '2026-07-20T09:10:47.112Z',
      run_count: 0,
      claimed_at: null,
      clock_behind_at: null,
    },
    {
      path: '/srv/repo two',
      last_run_at: '2026-07-21T09:11:47.112Z',
      run_count: 3,
      claimed_at: null,
      clock_behind_at: null,
    },
    { path: '/home/kiosk/never-run', last_run_at: null, run_count: 6, claimed_at: null, clock_behind_at: null },
  ]);
  assert.deepEqual(rows('SELECT * FROM task_history'), [
    { project_path: '/home/kiosk/src/launcher', task_type: 'lint', last_run_at: '2026-07-20T09:10:47.500Z' },
    { project_path: '/home/kiosk/src/launcher', task_type: 'docs-backfill', last_run_at: '2026-07-01T06:59:59.999Z' },
    { project_path: '/srv/repo two', task_type: 'lint', last_run_at: '2026-07-21T09:11:00.000Z' },
  ]);
  assert.deepEqual(rows('SELECT * FROM assigned_tasks'), [
    {
      position: 1,
      task_id: 'lint:/home/kiosk/src/launcher',
      project_path: '/home/kiosk/src/launcher',
      task_type: 'lint',
      assigned_at: '2026-07-22T09:00:00.250Z',
    },
  ]);
  assert.deepEqual(rows('SELECT * FROM run_records WHERE position > 1'), [
    {
      position: 2,
      id: 'run-1784512233638000',
      started_at: '2026-07-21T09:01:00.100Z',
      ended_at: '2026-07-21T09:31:00.000Z',
      provider: 'codex',
      projects: '["/srv/repo two"]',
      tasks: '["lint","docs-backfill"]',
      tokens_used: 1200,
      status: 'failed',
      error: 'exit status 1: käse "quoted"',
      branch: null,
    },
    {
      position: 3,
      id: 'run-1784522233638000',
      started_at: '2026-07-22T09:02:00.100Z',
      ended_at: null,
      provider: null,
      projects: '["/home/kiosk/never-run"]',
      tasks: '["lint","docs-backfill"]',
      tokens_used: 2400,
      status: 'partial',
      error: null,
      branch: 'nightshift/lint',
    },
  ]);
  assert.ok((await store.verifyAudit()).ok);
});

test('measurements, which have no table here, are events of the log', async (t) => {
  const { store, report } = await importFixture(t, `
    INSERT INTO bus_factor_results (component, timestamp, metrics, contributors, risk_level)
    VALUES ('core', '2026-07-22 02:00:00 -0700 PDT', '{"n":1}', '[]', 'high')`);
  assert.equal(report.taken.events, 2);
  const [busFactor, snapshot] = store.getRecentAudits(4).slice(2);
  assert.deepEqual(snapshot!.event, {
    type: 'nightshift_snapshot',
    id: 1,
    provider: 'claude',
    week_start: '2026-07-20 00:00:00 -0700 PDT',
    local_tokens: 120000,
    local_daily: 9000,
    scraped_pct: 37.5,
    inferred_budget: 320000,
    day_of_week: 3,
    hour_of_day: 2,
    week_number: 30,
    year: 2026,
    session_reset_time: '5pm',
    weekly_reset_time: 'Jul 27',
  });
  assert.deepEqual(snapshot!.observedAt, new Date('2026-07-22T09:00:00.100Z'));
  assert.deepEqual(busFactor!.event, {
    type: 'nightshift_bus_factor_result',
    id: 1,
    component: 'core',
    metrics: '{"n":1}',
    contributors: '[]',
    risk_level: 'high',
  });
});

test('state.json is read as its service does: a name for an empty path or id, the zero time for never', async (t) => {
  const { report, rows } = await importState(t);
  assert.deepEqual(report, { kind: 'nightshift-state', taken: allOfState, alreadyThere: none, skipped: [] });
  assert.deepEqual(rows('SELECT path, last_run_at, run_count FROM projects'), [
    { path: '/home/kiosk/src/launcher', last_run_at: '2026-03-14T09:15:09.123Z', run_count: 7 },
    { path: '/srv/repo two', last_run_at: null, run_count: 0 },
  ]);
  assert.deepEqual(rows('SELECT task_type, last_run_at FROM task_history'), [
    { task_type: 'lint', last_run_at: '2026-03-14T09:15:09.000Z' },
    { task_type: 'docs-backfill', last_run_at: '2026-02-01T08:00:00.500Z' },
  ]);
  assert.deepEqual(rows('SELECT * FROM assigned_tasks'), [
    {
      position: 1,
      task_id: 'task-1',
      project_path: '/home/kiosk/src/launcher',
      task_type: 'lint',
      assigned_at: '2026-03-14T09:00:00.000Z',
    },
  ]);
  assert.deepEqual(rows('SELECT * FROM run_records'), [
    {
      position: 1,
      id: 'run-1',
      started_at: '2026-03-14T09:00:00.000Z',
      ended_at: '2026-03-14T09:15:09.000Z',
      provider: null,
      projects: '["/home/kiosk/src/launcher"]',
      tasks: '["lint"]',
      tokens_used: 1200,
      status: 'success',
      error: null,
      branch: null,
    },
    {
      position: 2,
      id: 'run-2',
      started_at: '2026-03-13T09:00:00.000Z',
      ended_at: null,
      provider: null,
      projects: '["/srv/repo two"]',
      tasks: '[]',
      tokens_used: 0,
      status: 'failed',
      error: 'no such project',
      branch: null,
    },
  ]);
});

test('what was taken is recorded in one event', async (t) => {
  for (const { source, report, store } of [await importFixture(t), await importState(t)]) {
    assert.deepEqual(store.getRecentAudits(9, { type: 'store_imported' }).map(({ event }) => event), [
      { type: 'store_imported', kind: report.kind, from: source, sourceId: 'nightshift', ...report.taken, skipped: 0 },
    ]);
  }
});

test('a second import adds nothing at all', async (t) => {
  for (const { folder, source, report, store } of [await importFixture(t), await importState(t)]) {
    store.close();
    const before = dump(folder.file());
    assert.deepEqual(await importStore(source, folder.file()), { ...report, taken: none, alreadyThere: report.taken });
    assert.deepEqual(dump(folder.file()), before);
  }
});

test('a source that has gone on brings the rest: the later run, the larger count, what is new', async (t) => {
  const { folder, source, rows } = await importFixture(t);
  change(source, `
    UPDATE projects SET last_run = '2026-07-23 02:00:00.5 -0700 PDT m=+1.5', run_count = run_count + 1
      WHERE path = '/srv/repo two';
    UPDATE task_history SET last_run = '2026-07-23 02:00:00 -0700 PDT' WHERE project_path = '/srv/repo two';
    INSERT INTO task_history VALUES ('/srv/new', 'lint', '2026-07-23 02:00:00 -0700 PDT');
    DELETE FROM assigned_tasks;
    INSERT INTO assigned_tasks VALUES ('t', '/srv/repo two', 'lint', '2026-07-23 02:00:00 -0700 PDT');
    DELETE FROM run_history WHERE status = 'success';
    INSERT INTO run_history
      VALUES ('run-9', '2026-07-23 02:00:00 -0700 PDT', NULL, '', '[]', 0, 'success', '', '', '');
    UPDATE run_history SET end_time = '2026-07-23 02:00:00 -0700 PDT', status = 'success' WHERE status = 'partial'`);
  const report = await importStore(source, folder.file());
  assert.deepEqual(
    [report.taken, report.skipped],
    [{ events: 0, ...core, projects: 1, taskHistory: 2, assignedTasks: 1, runRecords: 2 }, []],
  );
  assert.deepEqual(rows("SELECT last_run_at, run_count FROM projects WHERE path = '/srv/repo two'"), [
    { last_run_at: '2026-07-23T09:00:00.500Z', run_count: 4 },
  ]);
  // Tasks need no project that has been run.
  assert.deepEqual(rows("SELECT last_run_at, run_count FROM projects WHERE path = '/srv/new'"), [
    { last_run_at: null, run_count: 0 },
  ]);
  assert.deepEqual(rows("SELECT last_run_at FROM task_history WHERE project_path LIKE '/srv%' ORDER BY 1"), [
    { last_run_at: '2026-07-23T09:00:00.000Z' },
    { last_run_at: '2026-07-23T09:00:00.000Z' },
  ]);
  assert.deepEqual(rows('SELECT id, ended_at, status, projects FROM run_records WHERE position > 2'), [
    {
      id: 'run-1784522233638000',
      ended_at: '2026-07-23T09:00:00.000Z',
      status: 'success',
      projects: '["/home/kiosk/never-run"]',
    },
    { id: 'run-9', ended_at: null, status: 'success', projects: '[]' },
  ]);
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

test('a store that has the projects keeps the later run and the larger count, and adds nothing up', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  folder.raw().exec(`
    INSERT INTO projects (path, last_run_at, run_count, claimed_at) VALUES
      ('/home/kiosk/src/launcher', '2026-11-01T00:00:00.000Z', 2, '2026-11-02T00:00:00.000Z'),
      ('/srv/repo two', '2020-01-01T00:00:00.000Z', 9, NULL),
      ('/home/kiosk/never-run', '2026-11-01T00:00:00.000Z', 8, NULL);
    INSERT INTO task_history VALUES ('/srv/repo two', 'lint', '2026-11-01T00:00:00.000Z');
    INSERT INTO run_records (id, started_at, projects, tasks, status)
      VALUES ('run-1784502233638000', '2026-11-01T00:00:00.000Z', '[]', '[]', 'failed')`);
  const { report, rows } = await importFile(folder, makeFrom(folder, 'nightshift.db'));
  assert.deepEqual(
    [report.taken, report.alreadyThere],
    [
      { ...all, projects: 1, taskHistory: 2, runRecords: 2 },
      { ...none, projects: 2, taskHistory: 1 },
    ],
  );
  assert.deepEqual(listed(report), [['run_history', 'run-1784502233638000']]);
  assert.deepEqual(rows('SELECT * FROM projects ORDER BY path'), [
    {
      path: '/home/kiosk/never-run',
      last_run_at: '2026-11-01T00:00:00.000Z',
      run_count: 8,
      claimed_at: null,
      clock_behind_at: null,
    },
    {
      path: '/home/kiosk/src/launcher',
      last_run_at: '2026-11-01T00:00:00.000Z',
      run_count: 2,
      claimed_at: '2026-11-02T00:00:00.000Z',
      clock_behind_at: null,
    },
    {
      path: '/srv/repo two',
      last_run_at: '2026-07-21T09:11:47.112Z',
      run_count: 9,
      claimed_at: null,
      clock_behind_at: null,
    },
  ]);
  assert.deepEqual(rows("SELECT last_run_at FROM task_history WHERE project_path = '/srv/repo two'"), [
    { last_run_at: '2026-11-01T00:00:00.000Z' },
  ]);
});

test('the state.json after the database that grew from it takes nothing back and counts nothing twice', async (t) => {
  const { folder, rows } = await importFixture(t);
  writeFileSync(
    folder.file('state.json'),
    stateText(() => {}),
  );
  const report = await importStore(folder.file('state.json'), folder.file());
  assert.deepEqual([report.taken, report.skipped], [{ ...none, projects: 1, assignedTasks: 1, runRecords: 2 }, []]);
  assert.deepEqual(rows("SELECT last_run_at, run_count FROM projects WHERE path = '/home/kiosk/src/launcher'"), [
    { last_run_at: '2026-07-20T09:10:47.112Z', run_count: 7 },
  ]);
  assert.deepEqual((await importStore(folder.file('nightshift.db'), folder.file())).taken, none);
});

test('an assignment that was cleared here does not come back', async (t) => {
  const { folder, source, rows } = await importFixture(t);
  folder.raw().exec('DELETE FROM assigned_tasks');
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
  assert.deepEqual(rows('SELECT * FROM assigned_tasks'), []);
});

test('a run record pruned here stays so when its run ends, and a task assigned again there comes back', async (t) => {
  const { folder, source } = await importFixture(t);
  folder.raw().exec('DELETE FROM run_records; DELETE FROM assigned_tasks');
  change(source, `
    UPDATE run_history SET end_time = '2026-07-23 02:00:00 -0700 PDT' WHERE status = 'partial';
    UPDATE assigned_tasks SET assigned_at = '2026-07-23 02:00:00 -0700 PDT'`);
  assert.deepEqual((await importStore(source, folder.file())).taken, { ...none, assignedTasks: 1 });
});

test("a path keeps to its text: no other machine's home is looked for, and either end of a path will do", async (t) => {
  const { report, rows } = await importFixture(
    t,
    `INSERT INTO projects VALUES ('/srv/repo two/', '2026-07-23 00:00:00 +0000 UTC', 1), ('~/src', NULL, 0),
      ('C:\\repo', NULL, 0), ('/', NULL, 0);
    UPDATE run_history SET project = '/srv//repo two/' WHERE provider = 'codex';
    UPDATE run_history SET project = '' WHERE provider = 'claude'`,
  );
  assert.deepEqual(report.skipped, []);
  assert.deepEqual(
    rows('SELECT path FROM projects ORDER BY rowid').map(({ path }) => path),
    ['/home/kiosk/src/launcher', '/srv/repo two', '/home/kiosk/never-run', '~/src', 'C:\\repo', '/'],
  );
  assert.deepEqual(rows("SELECT last_run_at, run_count FROM projects WHERE path = '/srv/repo two'"), [
    { last_run_at: '2026-07-23T00:00:00.000Z', run_count: 3 },
  ]);
  assert.deepEqual(
    rows('SELECT projects FROM run_records WHERE position < 3').map(({ projects }) => projects),
    ['[]', '["/srv/repo two"]'],
  );
});

test('the database of an earlier version of the service, which lacks a table and columns, is taken too', async (t) => {
  const { report, rows } = await importFixture(t, `
    DROP TABLE bus_factor_results;
    DROP TABLE snapshots;
    ALTER TABLE run_history DROP COLUMN branch;
    ALTER TABLE run_history DROP COLUMN provider`);
  assert.deepEqual([report.taken, report.skipped], [{ ...all, events: 0 }, []]);
  assert.deepEqual(rows('SELECT provider, branch FROM run_records WHERE position = 1'), [
    { provider: null, branch: null },
  ]);
});

const loose = loosen('projects', 'task_history', 'assigned_tasks', 'run_history', 'snapshots');
const bad: [why: string, sql: string, row: [table: string, row: string]][] = [
  [
    'a project run at no time',
    "UPDATE projects SET last_run = 'soon' WHERE rowid = 1",
    ['projects', '/home/kiosk/src/launcher'],
  ],
  [
    'a project with a negative count',
    'UPDATE projects SET run_count = -1 WHERE rowid = 1',
    ['projects', '/home/kiosk/src/launcher'],
  ],
  [
    'a project with a count of a fraction',
    'UPDATE projects SET run_count = 1.5 WHERE rowid = 1',
    ['projects', '/home/kiosk/src/launcher'],
  ],
  [
    'a project with a count beyond 2^53',
    'UPDATE projects SET run_count = 9223372036854775807 WHERE rowid = 1',
    ['projects', '/home/kiosk/src/launcher'],
  ],
  ['a project that is nowhere', "UPDATE projects SET path = '' WHERE rowid = 1", ['projects', '']],
  [
    'a project whose path is no UTF-8',
    "UPDATE projects SET path = CAST(x'80' AS TEXT) WHERE rowid = 1",
    ['projects', '?'],
  ],
  [
    'a project whose path has a NUL',
    "UPDATE projects SET path = CAST(x'2f6100' AS TEXT) WHERE rowid = 1",
    ['projects', '/a\\u0000'],
  ],
  ['a project whose path is NULL', 'UPDATE projects SET path = NULL WHERE rowid = 1', ['projects', 'null']],
  [
    'a task last done never',
    "UPDATE task_history SET last_run = '0001-01-01 00:00:00 +0000 UTC' WHERE rowid = 1",
    ['task_history', '/home/kiosk/src/launcher lint'],
  ],
  [
    'a task of no type',
    "UPDATE task_history SET task_type = '' WHERE rowid = 1",
    ['task_history', '/home/kiosk/src/launcher '],
  ],
  [
    'an assignment at no time',
    'UPDATE assigned_tasks SET assigned_at = NULL',
    ['assigned_tasks', 'lint:/home/kiosk/src/launcher'],
  ],
  [
    'an assignment of no project',
    "UPDATE assigned_tasks SET project = ''",
    ['assigned_tasks', 'lint:/home/kiosk/src/launcher'],
  ],
  [
    'a run with an unknown status',
    "UPDATE run_history SET status = '' WHERE rowid = 1",
    ['run_history', 'run-1784502233638000'],
  ],
  [
    'a run whose tasks are no list',
    `UPDATE run_history SET tasks = '"lint"' WHERE rowid = 1`,
    ['run_history', 'run-1784502233638000'],
  ],
  [
    'a run that spent less than nothing',
    'UPDATE run_history SET tokens_used = -1 WHERE rowid = 1',
    ['run_history', 'run-1784502233638000'],
  ],
  [
    'a run that ended at no time',
    "UPDATE run_history SET end_time = x'00' WHERE rowid = 1",
    ['run_history', 'run-1784502233638000'],
  ],
  ['a measurement at no time', "UPDATE snapshots SET timestamp = ''", ['snapshots', '1']],
  ['a measurement that is a BLOB', "UPDATE snapshots SET provider = x'00'", ['snapshots', '1']],
  ['a measurement that is no number', 'UPDATE snapshots SET scraped_pct = 9e999', ['snapshots', '1']],
  [
    'a measurement with a column that would hide what it is',
    'ALTER TABLE snapshots ADD COLUMN type TEXT',
    ['snapshots', '1'],
  ],
];

for (const [why, sql, row] of bad) {
  test(`${why} is listed, and everything else is taken`, async (t) => {
    const { report } = await importFixture(t, `${loose} ${sql}`);
    assert.deepEqual(listed(report), [row]);
    const sum = (counts: object): number =>
      Object.values(counts).reduce((total: number, count: number) => total + count, 0);
    assert.equal(sum(report.taken), sum(all) - 1);
  });
}

const launcher = '/home/kiosk/src/launcher';
const badEntries: [why: string, edit: Edit, rows: [table: string, row: string][], taken: Partial<typeof none>][] = [
  [
    'a project that is no object',
    (state) => (state.projects[launcher] = 5),
    [['projects', launcher]],
    { projects: 1, taskHistory: 0 },
  ],
  [
    'a project run at no time',
    (state) => (state.projects[launcher].last_run = 'soon'),
    [['projects', launcher]],
    { projects: 1 },
  ],
  [
    'a project whose path is a number',
    (state) => (state.projects[launcher].path = 5),
    [
      ['projects', '5'],
      ['task_history', '5 lint'],
      ['task_history', '5 docs-backfill'],
    ],
    { projects: 1, taskHistory: 0 },
  ],
  [
    'a task history that is a list',
    (state) => (state.projects[launcher].task_history = []),
    [['task_history', launcher]],
    { taskHistory: 0 },
  ],
  [
    'a task done at no time',
    (state) => (state.projects[launcher].task_history.lint = null),
    [['task_history', `${launcher} lint`]],
    { taskHistory: 1 },
  ],
  [
    'an assignment that is null',
    (state) => (state.assigned['task-1'] = null),
    [['assigned', 'task-1']],
    { assignedTasks: 0 },
  ],
  ['a run that is a text', (state) => (state.run_history[0] = 'run-1'), [['run_history', '0']], { runRecords: 1 }],
  ['a run without an id', (state) => delete state.run_history[0].id, [['run_history', 'null']], { runRecords: 1 }],
  [
    'a run whose tasks are no texts',
    (state) => (state.run_history[0].tasks = [5]),
    [['run_history', 'run-1']],
    { runRecords: 1 },
  ],
  [
    'a run whose tasks are a text',
    (state) => (state.run_history[0].tasks = 'lint'),
    [['run_history', 'run-1']],
    { runRecords: 1 },
  ],
  [
    'a second run of one id',
    (state) => state.run_history.push({ ...state.run_history[0], tokens_used: 5 }),
    [['run_history', 'run-1']],
    {},
  ],
  ['a field that is not known', (state) => (state.run_history[0].cost = 5), [['run_history', 'field cost']], {}],
  ['a member that is not known', (state) => (state.budget = {}), [['state.json', 'field budget']], {}],
];

for (const [why, edit, rows, taken] of badEntries) {
  test(`in the state.json ${why} is listed, and everything else is taken, the second time nothing`, async (t) => {
    const { report, folder, source } = await importState(t, edit);
    assert.deepEqual(listed(report), rows);
    assert.deepEqual(report.taken, { ...allOfState, ...taken });
    const again = await importStore(source, folder.file());
    assert.deepEqual([again.taken, again.skipped], [none, report.skipped]);
  });
}

test('names that mean something to JavaScript are names like others', async (t) => {
  const text = stateText((state) => (state.run_history = []))
    .replace('"lint":', '"__proto__":')
    .replace(
      '"projects":{',
      '"projects":{"__proto__":{"__proto__":{},"path":"/proto","run_count":1},"constructor":null,',
    );
  const { report, rows } = await importState(t, undefined, text);
  assert.deepEqual(listed(report), [['projects', 'field __proto__']]);
  assert.deepEqual(rows('SELECT path, run_count FROM projects LIMIT 2'), [
    { path: '/proto', run_count: 1 },
    { path: 'constructor', run_count: 0 },
  ]);
  assert.deepEqual(rows('SELECT count(*) AS n FROM task_history'), [{ n: 2 }]);
});

test('a state with nothing in it is a state, as Go writes an empty one', async (t) => {
  const { report } = await importState(
    t,
    undefined,
    '{"version":1,"projects":null,"assigned":null,"run_history":null,"last_update":"0001-01-01T00:00:00Z"}',
  );
  assert.deepEqual([report.taken, report.skipped], [none, []]);
});

test('entries by the thousand are taken page by page', async (t) => {
  const { report } = await importState(
    t,
    (state) =>
      (state.run_history = Array.from({ length: 1200 }, (_, index) => ({ ...state.run_history[0], id: `r${index}` }))),
  );
  assert.equal(report.taken.runRecords, 1200);
});

test('a state.json with a byte order mark is read', async (t) => {
  const { report } = await importState(t, undefined, `\ufeff${stateText(() => {})}`);
  assert.deepEqual([report.taken, report.skipped], [allOfState, []]);
});

const noState = 'it holds JSON that is no state.json of Nightshift';
for (const [what, text, why] of [
  [
    'another version',
    stateText((state) => (state.version = 2)),
    'it holds JSON of version 2 (of a nightshift-state, only version 1 is known)',
  ],
  [
    'another version as a text',
    stateText((state) => (state.version = '1')),
    "it holds JSON of version '1' (of a nightshift-state, only version 1 is known)",
  ],
  ['no version', stateText((state) => delete state.version), 'it holds JSON without a version'],
  ['no run history', stateText((state) => delete state.run_history), noState],
  ['projects that are a list', stateText((state) => (state.projects = [])), noState],
  ['runs that are an object', stateText((state) => (state.run_history = {})), noState],
  ['an assignment that is a text', stateText((state) => (state.assigned = 'x')), noState],
  ['a list around it', `[${stateText(() => {})}]`, noState],
  ['its end cut off', stateText(() => {}).slice(0, -5), 'it holds neither a SQLite database nor JSON'],
  [
    'a byte that is no UTF-8',
    Buffer.from(stateText(() => {}).replace('lint', '\xff'), 'latin1'),
    'it holds neither a SQLite database nor JSON',
  ],
  [
    'more than its service would ever write',
    stateText(() => {}) + ' '.repeat(16 * 2 ** 20),
    'too large for a JSON file',
  ],
  ['a depth without end', `{"version":1,"projects":${'['.repeat(1e6)}`, 'it holds neither a SQLite database nor JSON'],
] as [string, string | Buffer, string][]) {
  test(`a state.json with ${what} is refused by what it is`, async (t) => {
    const folder = new TestFolder(t);
    writeFileSync(folder.file('state.json'), text);
    await assert.rejects(
      importStore(folder.file('state.json'), folder.file()),
      (error: Error) => hasCode(error, 'ERR_STORE_NOT_A_STORE') && error.message.includes(why),
    );
  });
}
