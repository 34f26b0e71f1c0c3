// Projects, their task history, runs and tasks in progress. Every operation of the first kind of service that this was
// made for, which keeps repositories in order at night, has a test that says it.
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { chdir, cwd } from 'node:process';
import { test, type TestContext } from 'node:test';
import type { SqliteStore } from '../../lib/index.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { connect } from '../../lib/store.ts';
import { assertRefused, damage, type Damages } from '../support/damage.ts';
import { TestFolder } from '../support/folder.ts';
import { nobody, run } from '../support/process.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const conflict = { code: 'ERR_STORE_CONFLICT' };
const corrupt = { code: 'ERR_STORE_CORRUPT' };

interface World {
  folder: TestFolder;
  store: SqliteStore;
  projects: ProjectStore;
  /** Sets the clock. */
  at: (time: string | number) => void;
  pass: (ms: number) => void;
}

/** A store whose clock a test moves. */
function world(t: TestContext, start = '2026-11-21T12:00:00Z', timeZone = 'UTC'): World {
  let now = Date.parse(start);
  const folder = new TestFolder(t);
  const store = folder.open({ clock: () => new Date(now) });
  return {
    folder, store, projects: new ProjectStore(store, { timeZone }),
    at: (time) => (now = new Date(time).getTime()),
    pass: (ms) => (now += ms),
  };
}

test('a project is known by its canonical path, with its last successful run and its run count', (t) => {
  const { projects, pass } = world(t);
  assert.equal(projects.getProject('/srv/a'), undefined);
  assert.deepEqual(projects.listProjects(), []);
  projects.recordProjectRun('/srv/b/');
  pass(hourMs);
  projects.recordProjectRun('/srv//x/../b');
  projects.recordProjectRun('/srv/a');
  assert.deepEqual(projects.getProject('/srv/b/.'), {
    path: '/srv/b',
    lastRunAt: new Date('2026-11-21T13:00:00Z'),
    runCount: 2,
  });
  assert.deepEqual(
    projects.listProjects().map(({ path, runCount }) => [path, runCount]),
    [
      ['/srv/a', 1],
      ['/srv/b', 2],
    ],
  );
});

test('a path is made canonical: the home folder, the working folder, links as far as it exists, the root', (t) => {
  const { folder, projects } = world(t);
  const real = join(folder.path, 'real');
  mkdirSync(join(real, 'project'), { recursive: true });
  symlinkSync(real, folder.file('link'));
  symlinkSync('nowhere', folder.file('dangling'));
  writeFileSync(folder.file('file'), '');
  const pathOf = (path: string): string => {
    projects.recordProjectRun(path);
    return projects.getProject(path)!.path;
  };
  assert.equal(pathOf(folder.file('link/project/')), join(real, 'project'));
  assert.equal(pathOf(folder.file('link/not/there')), join(real, 'not/there'));
  assert.equal(pathOf(folder.file('file/below')), folder.file('file/below'));
  assert.equal(pathOf(folder.file('dangling')), folder.file('dangling'));
  assert.equal(pathOf('/'), '/');
  assert.equal(pathOf('~/not there'), join(homedir(), 'not there'));
  assert.equal(pathOf('~'), pathOf(homedir()));
  const before = cwd();
  t.after(() => chdir(before));
  chdir(real);
  assert.equal(pathOf('project'), join(real, 'project'));
  assert.equal(pathOf('~other'), join(real, '~other'));
  // A project keeps its name when its folder goes.
  rmSync(join(real, 'project'), { recursive: true });
  assert.equal(projects.getProject(folder.file('link/project'))?.runCount, 2);
});

test('a project keeps the path it is known by: its folder was moved behind a link, or it came from elsewhere', (t) => {
  const { folder, store, projects, pass } = world(t);
  mkdirSync(folder.file('old/project'), { recursive: true });
  projects.recordProjectRun(folder.file('old/project'));
  renameSync(folder.file('old'), folder.file('new'));
  symlinkSync('new', folder.file('old'));
  // As an import brings them.
  const { prepare, write } = connect(store);
  const foreign = ['~/src', 'relative/project', folder.file('old/from-elsewhere')];
  write('test', 'take over', () =>
    foreign.forEach((path) => prepare('INSERT INTO projects (path, run_count) VALUES (?, 7)').run(path)),
  );
  const intervals = { lint: hourMs };
  const known = projects.due({ intervals }).map(({ path }) => path);
  assert.deepEqual(known, [folder.file('old/from-elsewhere'), folder.file('old/project'), 'relative/project', '~/src']);
  for (const path of known) {
    assert.equal(projects.claimProjectRun(path), path !== folder.file('old/project'), path);
    projects.recordTaskRun(path, 'lint');
    projects.recordProjectRun(path);
    projects.addRunRecord({ startedAt: new Date(0), status: 'success', projects: [path] });
    assert.equal(projects.getProject(path)?.path, path);
    assert.deepEqual(projects.getRunRecords(1)[0]?.projects, [path]);
  }
  assert.equal(projects.getProject(`${folder.file('old/project')}/`)?.runCount, 2);
  assert.deepEqual(projects.due({ intervals }), []);
  pass(2 * hourMs);
  assert.deepEqual(
    projects.due({ intervals }).map(({ path }) => path),
    known,
  );
  assert.equal(projects.getProject(folder.file('new/project')), undefined);
  projects.recordProjectRun(folder.file('old/another'));
  assert.equal(projects.getProject(folder.file('new/another'))?.runCount, 1);
});

test('a path that cannot be followed is refused, and names no project', (t) => {
  const { folder, projects } = world(t);
  symlinkSync('loop', folder.file('loop'));
  assert.throws(() => projects.recordProjectRun(folder.file('loop')), { code: 'ERR_STORE_PERMISSION' });
  assert.throws(() => projects.recordProjectRun(`/${'a'.repeat(300)}`), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  assert.throws(() => projects.recordProjectRun('a/'.repeat(100_000)), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  // As text, the names of these two folders are the same.
  for (const byte of [0xfe, 0xff]) {
    const name = Buffer.concat([Buffer.from(`${folder.path}/`), Buffer.from([byte])]);
    mkdirSync(name);
    symlinkSync(name, folder.file(`to-${byte}`));
    assert.throws(() => projects.recordProjectRun(folder.file(`to-${byte}`)), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  }
  assert.deepEqual(projects.listProjects(), []);

  const shut = folder.file('shut');
  mkdirSync(join(shut, 'project'), { recursive: true, mode: 0o700 });
  const module = new URL('../../lib/modules/projects/projects.ts', import.meta.url).href;
  const code = `
    const { ProjectStore } = await import('${module}');
    become(${nobody});
    const projects = new ProjectStore(SqliteStore.inMemory());
    report(codeOf(() => projects.recordProjectRun(path)));`;
  if (process.getuid?.() === 0) assert.deepEqual(run(join(shut, 'project'), code), ['ERR_STORE_PERMISSION']);
});

test('any record of a project makes it known, and a question does not', (t) => {
  const { projects } = world(t);
  const ways: ((path: string) => unknown)[] = [
    (path) => projects.recordTaskRun(path, 'lint'),
    (path) => projects.recordProjectRun(path),
    (path) => projects.claimProjectRun(path),
    (path) => projects.assignTask({ taskId: path, project: path, taskType: 'lint' }),
    (path) => projects.captureProject(path, 'before'),
    (path) => projects.addRunRecord({ startedAt: new Date(), status: 'success', projects: [`${path}/`] }),
  ];
  for (const [index, way] of ways.entries()) {
    way(`/p${index}`);
    assert.equal(projects.getProject(`/p${index}`)?.path, `/p${index}`);
  }
  projects.releaseProjectClaim('/asked');
  projects.daysSinceLastRun('/asked');
  projects.listProjectSnapshots('/asked');
  assert.equal(projects.getProject('/asked'), undefined);
  assert.equal(projects.listProjects().length, ways.length);
});

test('task history is kept by project and task type, the last run of each', (t) => {
  const { projects, at } = world(t);
  assert.deepEqual(projects.getTaskHistory('/a'), []);
  assert.equal(projects.lastTaskRun('/a', 'lint'), undefined);
  projects.recordTaskRun('/a', 'lint');
  projects.recordTaskRun('/b', 'lint');
  at('2026-11-22T12:00:00Z');
  projects.recordTaskRun('/a', 'lint');
  projects.recordTaskRun('/a', 'docs');
  assert.deepEqual(projects.getTaskHistory('/a'), [
    { taskType: 'docs', lastRunAt: new Date('2026-11-22T12:00:00Z') },
    { taskType: 'lint', lastRunAt: new Date('2026-11-22T12:00:00Z') },
  ]);
  assert.deepEqual(projects.lastTaskRun('/b', 'lint'), new Date('2026-11-21T12:00:00Z'));
  // With the clock set back, now is still when it was done.
  at('2026-11-20T12:00:00Z');
  projects.recordTaskRun('/b', 'lint');
  assert.deepEqual(projects.lastTaskRun('/b', 'lint'), new Date('2026-11-20T12:00:00Z'));
  assert.equal(projects.getProject('/a')?.lastRunAt, undefined);
});

test('a run record keeps its id, times, provider, projects, tasks, tokens, status, error and branch', (t) => {
  const { folder, projects } = world(t);
  mkdirSync(folder.file('real'));
  symlinkSync('real', folder.file('link'));
  const whole = {
    id: '4FFD1E00-0000-4000-8000-00000000000A',
    startedAt: new Date('2026-11-21T02:00:00Z'),
    endedAt: new Date('2026-11-21T02:30:00Z'),
    provider: 'codex',
    projects: [folder.file('link'), '/srv/b/', folder.file('real')],
    tasks: ['lint', 'docs', 'lint'],
    tokensUsed: 12_345,
    status: 'partial',
    error: 'out of tokens\n',
    branch: 'night/lint',
  } as const;
  assert.equal(
    projects.addRunRecord({ ...whole, projects: [...whole.projects], tasks: [...whole.tasks] }),
    whole.id.toLowerCase(),
  );
  const bare = projects.addRunRecord({ startedAt: new Date('2026-11-20T02:00:00Z'), status: 'failed' });
  assert.match(bare, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/);
  // By their start: what is taken over from elsewhere may be older than what is there.
  assert.deepEqual(projects.getRunRecords(5), [
    { ...whole, id: whole.id.toLowerCase(), projects: [folder.file('real'), '/srv/b'] },
    { id: bare, startedAt: new Date('2026-11-20T02:00:00Z'), projects: [], tasks: [], tokensUsed: 0, status: 'failed' },
  ]);
  assert.deepEqual(projects.getRunRecords(1).map(({ branch }) => branch), ['night/lint']);
  assert.deepEqual(projects.getRunRecords(0), []);
  assert.throws(
    () =>
      projects.addRunRecord({ id: bare.toUpperCase(), startedAt: new Date(), status: 'success', projects: ['/never'] }),
    conflict,
  );
  assert.equal(projects.getProject('/never'), undefined);
  assert.equal(projects.getProject('/srv/b')?.runCount, 0);
});

test('old run records are pruned, and an event says how many', (t) => {
  const { store, projects } = world(t);
  for (let number = 1; number <= 10; number++)
    projects.addRunRecord({ startedAt: new Date(0), status: 'success', tokensUsed: number });
  const tokens = (): number[] => projects.getRunRecords(99).map(({ tokensUsed }) => tokensUsed);
  assert.equal(projects.pruneRunRecords({ keep: 10 }), 0);
  assert.equal(store.auditHead(), undefined);
  assert.equal(projects.pruneRunRecords({ keep: 3 }), 7);
  assert.deepEqual(tokens(), [10, 9, 8]);
  assert.deepEqual(store.getRecentAudits(9).map(({ event }) => event), [{ type: 'run_records_pruned', removed: 7 }]);
  projects.addRunRecord({ startedAt: new Date(-1), status: 'success', tokensUsed: 11 });
  assert.deepEqual(tokens(), [10, 9, 8, 11]);
  assert.equal(projects.pruneRunRecords({ keep: 0 }), 4);
  assert.deepEqual(tokens(), []);
});

test('the summary of today counts the runs that started on the local day', (t) => {
  const { projects, at } = world(t, '2026-11-21T23:30:00+01:00', 'Europe/Berlin');
  const ran = (
    startedAt: string,
    status: 'success' | 'failed' | 'partial',
    paths: string[],
    tasks: string[],
    tokensUsed: number,
  ): unknown => projects.addRunRecord({ startedAt: new Date(startedAt), status, projects: paths, tasks, tokensUsed });
  ran('2026-11-20T23:59:59.999+01:00', 'failed', ['/yesterday'], ['lint'], 1_000);
  ran('2026-11-21T00:00:00+01:00', 'success', ['/a', '/b'], ['lint', 'docs'], 1);
  ran('2026-11-21T12:00:00+01:00', 'partial', ['/a'], ['lint'], 10);
  ran('2026-11-21T23:59:59.999+01:00', 'failed', [], [], 100);
  ran('2026-11-22T00:00:00+01:00', 'success', ['/tomorrow'], ['lint'], 1_000);
  assert.deepEqual(projects.todaySummary(), {
    day: '2026-11-21',
    runs: 3,
    succeeded: 1,
    failed: 1,
    partial: 1,
    tokensUsed: 111,
    projects: 2,
    tasks: 3,
  });
  at('2026-11-25T12:00:00Z');
  assert.deepEqual(projects.todaySummary(), {
    day: '2026-11-25',
    runs: 0,
    succeeded: 0,
    failed: 0,
    partial: 0,
    tokensUsed: 0,
    projects: 0,
    tasks: 0,
  });
});

test('the summary of a day of 25 hours has all of them', (t) => {
  const { projects } = world(t, '2026-10-25T12:00:00Z', 'Europe/Berlin');
  for (const startedAt of [
    '2026-10-24T21:59:59Z',
    '2026-10-24T22:00:00Z',
    '2026-10-25T22:59:59Z',
    '2026-10-25T23:00:00Z',
  ])
    projects.addRunRecord({ startedAt: new Date(startedAt), status: 'success' });
  assert.equal(projects.todaySummary().runs, 2);
});

test('a task in progress is assigned once, listed in order, and cleared', (t) => {
  const { projects, pass, at } = world(t);
  assert.equal(projects.isAssigned('t1'), false);
  projects.assignTask({ taskId: 't1', project: '/b', taskType: 'lint' });
  at('2026-11-20T00:00:00Z'); // the order is that of assignment also where the clock was set back
  projects.assignTask({ taskId: 't0', project: '/a/', taskType: 'docs' });
  assert.equal(projects.isAssigned('t1'), true);
  assert.throws(() => projects.assignTask({ taskId: 't1', project: '/c', taskType: 'lint' }), conflict);
  assert.equal(projects.getProject('/c'), undefined);
  assert.deepEqual(projects.listAssigned(), [
    { taskId: 't1', project: '/b', taskType: 'lint', assignedAt: new Date('2026-11-21T12:00:00Z') },
    { taskId: 't0', project: '/a', taskType: 'docs', assignedAt: new Date('2026-11-20T00:00:00Z') },
  ]);
  projects.clearAssigned('t1');
  projects.clearAssigned('t1');
  assert.equal(projects.isAssigned('t1'), false);
  pass(1);
  projects.assignTask({ taskId: 't1', project: '/b', taskType: 'lint' });
  assert.deepEqual(projects.listAssigned().map(({ taskId }) => taskId), ['t0', 't1']);
});

test('assignments older than an age are cleared, and how many is told', (t) => {
  const { projects, pass, at } = world(t);
  projects.assignTask({ taskId: 'old', project: '/a', taskType: 'lint' });
  pass(1);
  projects.assignTask({ taskId: 'edge', project: '/a', taskType: 'lint' });
  pass(hourMs);
  projects.assignTask({ taskId: 'new', project: '/a', taskType: 'lint' });
  assert.equal(projects.clearStaleAssignments(Number.MAX_SAFE_INTEGER), 0);
  assert.equal(projects.clearStaleAssignments(hourMs), 1);
  assert.deepEqual(projects.listAssigned().map(({ taskId }) => taskId), ['edge', 'new']);
  // Assigned while the clock was years ahead: it ages from the first look that finds it so, instead of staying for
  // years.
  at('2099-01-01T00:00:00Z');
  projects.assignTask({ taskId: 'ahead', project: '/a', taskType: 'lint' });
  at('2026-11-21T13:00:00Z');
  assert.equal(projects.clearStaleAssignments(2 * hourMs), 0);
  pass(2 * hourMs + 1);
  assert.equal(projects.clearStaleAssignments(2 * hourMs), 3);
  assert.deepEqual(projects.listAssigned(), []);
});

test('staleness is the time since the last run over the interval', (t) => {
  const { projects, pass, at } = world(t);
  assert.equal(projects.staleness('/a', 'lint', dayMs), Infinity);
  projects.recordTaskRun('/a', 'lint');
  assert.equal(projects.staleness('/a', 'lint', dayMs), 0);
  assert.equal(projects.staleness('/a', 'docs', dayMs), Infinity);
  assert.equal(projects.staleness('/b', 'lint', dayMs), Infinity);
  pass(6 * hourMs);
  assert.equal(projects.staleness('/a', 'lint', dayMs), 0.25);
  assert.equal(projects.staleness('/a', 'lint', hourMs), 6);
  pass(0.5);
  at('2026-11-23T12:00:00Z');
  assert.equal(projects.staleness('/a', 'lint', dayMs), 2);
});

test('staleness and days go by elapsed time across midnight and a change to daylight saving time', (t) => {
  const { projects, at } = world(t, '2026-03-28T23:30:00+01:00', 'Europe/Berlin');
  projects.recordTaskRun('/a', 'lint');
  projects.recordProjectRun('/a');
  at('2026-03-29T00:30:00+01:00');
  assert.equal(projects.staleness('/a', 'lint', dayMs), 1 / 24);
  assert.deepEqual([projects.daysSinceLastRun('/a'), projects.daysSinceLastRun('/a', 'lint')], [0, 0]);
  at('2026-03-29T23:30:00+02:00'); // a day later by the wall, 23 hours by the clock
  assert.equal(projects.staleness('/a', 'lint', dayMs), 1, 'which a nightly timer takes for a day');
  assert.equal(projects.staleness('/a', 'lint', 23.5 * hourMs), 23 / 23.5);
  assert.equal(projects.daysSinceLastRun('/a'), 0);
  at('2026-03-30T00:30:00+02:00');
  assert.equal(projects.staleness('/a', 'lint', dayMs), 1);
  assert.deepEqual(
    [
      projects.daysSinceLastRun('/a'),
      projects.daysSinceLastRun('/a', 'lint'),
      projects.daysSinceLastRun('/a', 'docs'),
      projects.daysSinceLastRun('/b'),
    ],
    [1, 1, undefined, undefined],
  );
});

test('a last run in the future counts as just now, for staleness, days and today', (t) => {
  const { projects, at } = world(t);
  projects.recordTaskRun('/a', 'lint');
  projects.recordProjectRun('/a');
  for (const time of ['2026-11-21T11:59:59.999Z', '2026-11-20T23:59:00Z', '1970-01-01T00:00:00Z']) {
    at(time);
    assert.equal(projects.staleness('/a', 'lint', 1), 0);
    assert.deepEqual(projects.due({ intervals: { lint: 1 } }), []);
    assert.deepEqual([projects.daysSinceLastRun('/a'), projects.daysSinceLastRun('/a', 'lint')], [0, 0]);
    assert.deepEqual([projects.wasProcessedToday('/a'), projects.wasProcessedToday('/a', 'lint')], [true, true]);
  }
});

test('was it processed today: by the local day, across midnight and both changes of daylight saving time', (t) => {
  const { store, projects, at } = world(t, '2026-11-21T23:59:59.999+01:00', 'Europe/Berlin');
  assert.equal(projects.wasProcessedToday('/a'), false);
  projects.recordProjectRun('/a');
  assert.deepEqual([projects.wasProcessedToday('/a'), projects.wasProcessedToday('/a', 'lint')], [true, false]);
  at('2026-11-22T00:00:00+01:00');
  assert.equal(projects.wasProcessedToday('/a'), false);
  assert.equal(new ProjectStore(store, { timeZone: 'UTC' }).wasProcessedToday('/a'), true);
  // 25 hours, with the hour from two to three twice; and 23.
  for (const [first, last, next] of [
    ['2026-10-25T00:00:00+02:00', '2026-10-25T23:59:59+01:00', '2026-10-26T00:00:00+01:00'],
    ['2026-03-29T00:00:00+01:00', '2026-03-29T23:59:59+02:00', '2026-03-30T00:00:00+02:00'],
  ] as const) {
    at(first);
    projects.recordTaskRun('/a', 'lint');
    assert.equal(projects.wasProcessedToday('/a', 'lint'), true);
    at(last);
    assert.equal(projects.wasProcessedToday('/a', 'lint'), true);
    at(next);
    assert.equal(projects.wasProcessedToday('/a', 'lint'), false);
  }
});

test('due tasks of all known projects, the most stale first, ties by path and type', (t) => {
  const { projects, pass } = world(t);
  const odd = ['a"b', '\\', '__proto__', '🎮', '{"a":1}', '0', "'; --"];
  assert.deepEqual(projects.due({ intervals: { lint: 1 } }), []);
  for (const path of ['/c', '/b', '/a']) projects.recordProjectRun(path);
  projects.recordTaskRun('/b', 'lint');
  projects.recordTaskRun('/a', 'lint');
  projects.recordTaskRun('/b', 'docs');
  pass(hourMs);
  projects.recordTaskRun('/c', 'lint');
  projects.recordTaskRun('/c', 'docs');
  pass(hourMs - 1);
  assert.deepEqual(
    projects.due({ intervals: { lint: 2 * hourMs, docs: hourMs } }).map(({ path, taskType }) => [path, taskType]),
    [
      ['/a', 'docs'],
      ['/b', 'docs'],
    ],
  );
  pass(1);
  assert.deepEqual(projects.due({ intervals: { lint: 2 * hourMs, docs: hourMs } }), [
    { path: '/a', taskType: 'docs', staleness: Infinity },
    { path: '/b', taskType: 'docs', staleness: 2 },
    { path: '/a', taskType: 'lint', staleness: 1 },
    { path: '/b', taskType: 'lint', staleness: 1 },
    { path: '/c', taskType: 'docs', staleness: 1 },
  ]);
  assert.deepEqual(projects.due({ intervals: {} }), []);
  for (const taskType of odd) projects.recordTaskRun('/a', taskType);
  const intervals = Object.fromEntries(odd.map((taskType) => [taskType, hourMs]));
  assert.equal(projects.due({ intervals }).length, 2 * odd.length);
  assert.deepEqual(
    new Set(projects.due({ intervals }).map(({ path, taskType }) => (path === '/b' ? taskType : path))),
    new Set([...odd, '/c']),
  );
  pass(hourMs);
  assert.deepEqual(
    new Set(
      projects
        .due({ intervals })
        .filter(({ path }) => path === '/a')
        .map(({ taskType, staleness }) => `${taskType} ${staleness}`),
    ),
    new Set(odd.map((taskType) => `${taskType} 1`)),
  );
});

test('due agrees with staleness for every project and type', (t) => {
  const { store, projects, pass } = world(t);
  store.transaction(() => {
    for (let number = 0; number < 300; number++) {
      projects.recordTaskRun(`/p${number % 17}`, `type ${number % 5}`);
      pass(37 * minuteMs); // one reading of the clock a transaction: all of it is at one time
    }
  });
  for (let number = 0; number < 40; number++) {
    projects.recordTaskRun(`/p${(number * 7) % 17}`, `type ${number % 3}`);
    pass(37 * minuteMs);
  }
  const intervals = Object.fromEntries(
    Array.from({ length: 6 }, (_, type) => [`type ${type}`, (type + 1) * 3 * hourMs]),
  );
  const expected = projects
    .listProjects()
    .flatMap(({ path }) =>
      Object.entries(intervals).map(([taskType, ms]) => ({
        path,
        taskType,
        staleness: projects.staleness(path, taskType, ms),
      })),
    );
  const due = projects.due({ intervals });
  assert.deepEqual(
    new Set(due.map((task) => JSON.stringify(task))),
    new Set(expected.filter(({ staleness }) => staleness >= 1).map((task) => JSON.stringify(task))),
  );
  for (const [index, { staleness }] of due.slice(1).entries()) assert.ok(staleness <= due[index]!.staleness);
});

test('values that cannot be read are errors, and never read as "never run"', (t) => {
  const { folder, store, projects } = world(t);
  projects.recordProjectRun('/a');
  projects.claimProjectRun('/b');
  projects.recordTaskRun('/a', 'lint');
  projects.assignTask({ taskId: 't1', project: '/a', taskType: 'lint' });
  projects.addRunRecord({ startedAt: new Date('2026-11-21T12:00:00Z'), status: 'success' });
  const id = projects.captureProject('/a', 'whole', { kept: true });
  const db = folder.raw();
  for (const sql of [
    "UPDATE assigned_tasks SET assigned_at = 'soon'",
    "UPDATE run_records SET started_at = '2026-11-21T09:00:00Z'",
  ])
    assert.throws(() => db.exec(sql), { errcode: 275 });
  db.exec('PRAGMA ignore_check_constraints = ON');
  const damaged = (sql: string, ...calls: (() => unknown)[]): void => {
    db.exec(sql);
    for (const call of calls) assert.throws(call, corrupt, `${sql}: ${String(call)}`);
  };
  damaged(
    "UPDATE task_history SET last_run_at = 'soon'",
    () => projects.getTaskHistory('/a'),
    () => projects.lastTaskRun('/a', 'lint'),
    () => projects.staleness('/a', 'lint', 1),
    () => projects.due({ intervals: { lint: 1 } }),
    () => projects.wasProcessedToday('/a', 'lint'),
  );
  damaged(
    "UPDATE projects SET last_run_at = 'soon' WHERE path = '/a'",
    () => projects.getProject('/a'),
    () => projects.listProjects(),
    () => projects.daysSinceLastRun('/a'),
    () => projects.wasProcessedToday('/a'),
    () => projects.claimProjectRun('/a'),
  );
  damaged(
    "UPDATE projects SET claimed_at = '' WHERE path = '/b'",
    () => projects.getProject('/b'),
    () => projects.claimProjectRun('/b'),
  );
  damaged("UPDATE assigned_tasks SET assigned_at = 'soon'", () => projects.listAssigned());
  damaged("UPDATE run_records SET tasks = '[1]'", () => projects.getRunRecords(1), () => projects.todaySummary());
  damaged("UPDATE run_records SET tasks = '[]', ended_at = 'x'", () => projects.getRunRecords(1));
  // What is damaged can be kept as it is, and be rolled back; force claims it all the same.
  const damagedId = projects.captureProject('/a', 'damaged');
  assert.throws(() => projects.getProjectSnapshot(damagedId), corrupt);
  assert.throws(() => projects.restoreProjectSnapshot(damagedId), corrupt);
  projects.restoreProjectSnapshot(id);
  assert.equal(projects.getProject('/a')?.runCount, 1);
  assert.equal(projects.claimProjectRun('/b', { force: true }), true);
  for (const state of [
    '{}',
    '[]',
    'null',
    '{"lastRunAt":null,"runCount":"x","claimedAt":null,"taskHistory":[],"assignments":[]}',
    '{"lastRunAt":null,"runCount":1,"claimedAt":null,"taskHistory":[[1,2]],"assignments":[]}',
  ]) {
    db.prepare('UPDATE project_snapshots SET state = ? WHERE id = ?').run(state, id);
    assert.throws(() => projects.restoreProjectSnapshot(id), corrupt, state);
  }
  assert.equal(store.isHealthy(), true);
  // Whole again, for the check of every folder at the end.
  db.exec(`
    DELETE FROM assigned_tasks;
    INSERT INTO assigned_tasks (task_id, project_path, task_type, assigned_at)
    VALUES ('t1', '/a', 'lint', '0000-01-01T00:00:00.000Z'), ('t2', '/a', 'lint', '9999-12-31T23:59:59.999Z')`);
  assert.equal(projects.clearStaleAssignments(0), 1);
});

const damages: Record<string, Damages<ProjectStore>> = {
  projects: {
    columns: { last_run_at: 'optional instant', run_count: 'count', claimed_at: 'optional instant' },
    where: "path = '/a'",
    calls: {
      getProject: (projects) => projects.getProject('/a'),
      listProjects: (projects) => projects.listProjects(),
      daysSinceLastRun: (projects) => projects.daysSinceLastRun('/a'),
    },
  },
  'projects by path': {
    columns: { path: 'text' },
    where: "path = '/a'",
    calls: {
      listProjects: (projects) => projects.listProjects(),
      due: (projects) => projects.due({ intervals: { lint: 1, docs: 1 } }),
    },
  },
  task_history: {
    columns: { last_run_at: 'instant' },
    calls: {
      getTaskHistory: (projects) => projects.getTaskHistory('/a'),
      lastTaskRun: (projects) => projects.lastTaskRun('/a', 'lint'),
      staleness: (projects) => projects.staleness('/a', 'lint', 1),
      daysSinceLastRun: (projects) => projects.daysSinceLastRun('/a', 'lint'),
      wasProcessedToday: (projects) => projects.wasProcessedToday('/a', 'lint'),
      due: (projects) => projects.due({ intervals: { lint: 1 } }),
    },
  },
  'task_history by project': {
    columns: { task_type: 'text' },
    calls: { getTaskHistory: (projects) => projects.getTaskHistory('/a') },
  },
  assigned_tasks: {
    columns: { task_id: 'text', project_path: 'text', task_type: 'text', assigned_at: 'instant' },
    calls: { listAssigned: (projects) => projects.listAssigned() },
  },
  run_records: {
    columns: {
      id: 'text',
      ended_at: 'optional instant',
      provider: 'optional text',
      projects: 'texts',
      tasks: 'texts',
      tokens_used: 'count',
      status: 'word',
      error: 'optional text',
      branch: 'optional text',
    },
    calls: {
      getRunRecords: (projects) => projects.getRunRecords(1),
      todaySummary: (projects) => projects.todaySummary(),
    },
  },
};

for (const [how, table] of Object.entries(damages)) {
  for (const column of Object.keys(table.columns)) {
    test(`${column} of ${how} that cannot be right is an error for whoever meets it, and nothing is written`, (t) => {
      assertRefused(how.split(' ')[0]!, column, table, () => {
        const folder = new TestFolder(t, { checked: false, inMemory: true });
        const store = folder.open();
        const projects = new ProjectStore(store);
        projects.recordTaskRun('/a', 'lint');
        projects.assignTask({ taskId: 't', project: '/a', taskType: 'lint' });
        projects.addRunRecord({ startedAt: new Date(), status: 'success' });
        return { path: folder.file(), store, modules: projects };
      });
    });
  }
}

test('a damaged run count is not gone on from, and a damaged claim holds nobody off but by its error', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const projects = new ProjectStore(folder.open());
  projects.recordProjectRun('/a');
  for (const count of ['-3', '-1', 'NULL']) {
    damage(folder.file(), 'projects', `run_count = ${count}`);
    const before = folder.raw().prepare('SELECT * FROM projects').all();
    assert.throws(() => projects.recordProjectRun('/a'), corrupt, count);
    assert.deepEqual(folder.raw().prepare('SELECT * FROM projects').all(), before);
  }
  damage(
    folder.file(),
    'projects',
    "run_count = 1, last_run_at = '2999-01-01T00:00:00.000Z', clock_behind_at = 'soon'",
  );
  assert.throws(() => projects.claimProjectRun('/a'), {
    ...corrupt,
    message: /project "\/a": clock_behind_at cannot be read: 'soon'/,
  });
  damage(folder.file(), 'projects', "clock_behind_at = NULL, claimed_at = 'soon'");
  assert.throws(() => projects.claimProjectRun('/a'), { ...corrupt, message: /claimed_at cannot be read/ });
});

test('tokens of a day past 2^53 - 1 are an error, as usage of a day is, and no number that is nearly right', (t) => {
  const { projects, at } = world(t);
  const record = { startedAt: new Date('2026-11-21T12:00:00Z'), status: 'success' } as const;
  projects.addRunRecord({ ...record, tokensUsed: Number.MAX_SAFE_INTEGER - 1 });
  projects.addRunRecord({ ...record, tokensUsed: 1 });
  assert.equal(projects.todaySummary().tokensUsed, Number.MAX_SAFE_INTEGER);
  projects.addRunRecord({ ...record, tokensUsed: 1 });
  assert.throws(() => projects.todaySummary(), { ...corrupt, message: /2026-11-21/ });
  assert.equal(projects.getRunRecords(9).length, 3);
  at('2026-11-25T12:00:00Z');
  assert.equal(projects.todaySummary().tokensUsed, 0);
});
