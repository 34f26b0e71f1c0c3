// The state of a project before maintenance: kept, looked at, rolled back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonValue, SqliteStore } from '../../lib/index.ts';
import { verifyParity } from '../../lib/ledger/index.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { assertRefused } from '../support/damage.ts';
import { TestFolder } from '../support/folder.ts';
import { ledgerIn, openBoth } from '../support/ledger.ts';
import { seededRandom } from '../support/random.ts';
import { escapedKeys } from '../support/values.ts';

const notFound = { code: 'ERR_STORE_NOT_FOUND' };

/** All that a snapshot keeps of a project but its claim. */
function stateOf(projects: ProjectStore, path: string): unknown {
  const { claimedAt: _claim, ...project } = projects.getProject(path)!;
  return {
    project,
    tasks: projects.getTaskHistory(path),
    assigned: projects.listAssigned().filter(({ project }) => project === path),
  };
}

function open(store: SqliteStore): ProjectStore {
  return new ProjectStore(store, { timeZone: 'UTC' });
}

test('a project is captured before maintenance, looked at, rolled back and captured again by that', (t) => {
  let now = new Date('2026-11-21T12:00:00Z');
  const store = new TestFolder(t).open({ clock: () => now });
  const projects = open(store);
  projects.recordProjectRun('/a');
  projects.recordTaskRun('/a', 'lint');
  projects.assignTask({ taskId: 't2', project: '/a', taskType: 'docs' });
  projects.assignTask({ taskId: 't1', project: '/a', taskType: 'lint' });
  projects.claimProjectRun('/a', { force: true });
  const value = { branch: 'main', files: [1, 2.5, null, 'ü'] };
  const id = projects.captureProject('/a/', 'before the update', value);
  const before = stateOf(projects, '/a');

  assert.deepEqual(projects.getProjectSnapshot(id), {
    id,
    path: '/a',
    label: 'before the update',
    capturedAt: now,
    value,
    project: { path: '/a', lastRunAt: now, runCount: 1, claimedAt: now },
    taskHistory: [{ taskType: 'lint', lastRunAt: now }],
    assignments: [
      { taskId: 't2', project: '/a', taskType: 'docs', assignedAt: now },
      { taskId: 't1', project: '/a', taskType: 'lint', assignedAt: now },
    ],
  });

  now = new Date('2026-11-22T12:00:00Z');
  projects.recordProjectRun('/a');
  projects.recordTaskRun('/a', 'lint');
  projects.recordTaskRun('/a', 'new');
  projects.clearAssigned('t1');
  projects.assignTask({ taskId: 't3', project: '/a', taskType: 'new' });
  projects.addRunRecord({ startedAt: now, status: 'failed', projects: ['/a'] });
  projects.recordTaskRun('/b', 'lint');
  const after = stateOf(projects, '/a');

  const replacedId = projects.restoreProjectSnapshot(id);
  assert.deepEqual(stateOf(projects, '/a'), before);
  assert.equal(projects.getRunRecords(9).length, 1);
  assert.deepEqual(projects.getTaskHistory('/b').length, 1);
  assert.deepEqual(store.getRecentAudits(1)[0]?.event, {
    type: 'project_restored',
    path: '/a',
    snapshotId: id,
    replacedId,
  });
  assert.deepEqual(projects.listProjectSnapshots('/a'), [
    { id: replacedId, path: '/a', label: `before the restore of ${id}`, capturedAt: now },
    { id, path: '/a', label: 'before the update', capturedAt: new Date('2026-11-21T12:00:00Z') },
  ]);
  projects.restoreProjectSnapshot(replacedId);
  assert.deepEqual(stateOf(projects, '/a'), after);
});

test('a snapshot is listed for its project, deleted once, and one that is not there is not found', (t) => {
  const projects = open(new TestFolder(t).open());
  assert.deepEqual(projects.listProjectSnapshots('/a'), []);
  const ids = ['one', 'two'].map((label) => projects.captureProject('/a', label));
  projects.captureProject('/b', 'other');
  assert.deepEqual(projects.listProjectSnapshots('/a').map(({ label }) => label), ['two', 'one']);
  projects.deleteProjectSnapshot(ids[1]!);
  assert.deepEqual(projects.listProjectSnapshots('/a').map(({ id }) => id), [ids[0]]);
  for (const id of [ids[1]!, 'nothing']) {
    assert.throws(() => projects.getProjectSnapshot(id), notFound);
    assert.throws(() => projects.restoreProjectSnapshot(id), notFound);
    assert.throws(() => projects.deleteProjectSnapshot(id), notFound);
  }
  assert.equal(projects.listProjectSnapshots('/a').length, 1);
});

test('a snapshot without a value has none, and every JSON value comes back as it was', (t) => {
  const projects = open(new TestFolder(t).open());
  assert.equal('value' in projects.getProjectSnapshot(projects.captureProject('/a', 'none')), false);
  for (const value of [
    null,
    false,
    0,
    1.5e-7,
    '',
    'a\u0000b',
    [],
    {},
    JSON.parse('{"__proto__":{"a":1}}') as JsonValue,
  ]) {
    assert.deepEqual(projects.getProjectSnapshot(projects.captureProject('/a', 'some', value)).value, value);
  }
});

test('a restore leaves the claim to who holds it', (t) => {
  const projects = open(new TestFolder(t).open());
  const unclaimed = projects.captureProject('/a', 'unclaimed');
  projects.claimProjectRun('/a');
  const claimed = projects.captureProject('/a', 'claimed');
  projects.restoreProjectSnapshot(unclaimed);
  assert.equal(projects.claimProjectRun('/a'), false);
  projects.releaseProjectClaim('/a');
  projects.restoreProjectSnapshot(claimed);
  assert.equal(projects.getProject('/a')?.claimedAt, undefined);
});

test('a task now assigned in another project keeps a snapshot from being restored, and nothing is changed', (t) => {
  const projects = open(new TestFolder(t).open());
  projects.assignTask({ taskId: 't1', project: '/a', taskType: 'lint' });
  const id = projects.captureProject('/a', 'before');
  projects.clearAssigned('t1');
  projects.recordTaskRun('/a', 'lint');
  projects.assignTask({ taskId: 't1', project: '/b', taskType: 'lint' });
  const before = [stateOf(projects, '/a'), stateOf(projects, '/b'), projects.listProjectSnapshots('/a')];
  assert.throws(() => projects.restoreProjectSnapshot(id), { code: 'ERR_STORE_CONFLICT' });
  assert.deepEqual([stateOf(projects, '/a'), stateOf(projects, '/b'), projects.listProjectSnapshots('/a')], before);
});

test('whatever happened since, a restore gives back what was captured', (t) => {
  let now = Date.parse('2026-11-21T12:00:00Z');
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const below = (count: number): number => Math.floor(random() * count);
  const store = new TestFolder(t).open({ clock: () => new Date(now) });
  const projects = open(store);
  const paths = ['/a', '/b', '/c'];
  const kept: { id: string; path: string; state: unknown }[] = [];
  const step = (): void => {
    now += below(5 * 3_600_000) - 3_600_000;
    const path = paths[below(3)]!;
    const taskId = `${path} ${below(6)}`; // no task moves to another project
    [
      () => projects.recordProjectRun(path),
      () => projects.recordTaskRun(path, `type ${below(4)}`),
      () => projects.claimProjectRun(path),
      () =>
        projects.isAssigned(taskId)
          ? projects.clearAssigned(taskId)
          : projects.assignTask({ taskId, project: path, taskType: 'x' }),
      () => kept.push({ id: projects.captureProject(path, 'kept'), path, state: stateOf(projects, path) }),
    ][below(5)]!();
  };
  store.transaction(() => {
    for (const path of paths) projects.captureProject(path, 'first');
    for (let round = 0; round < 60; round++) {
      for (let steps = below(12); steps >= 0; steps--) step();
      const one = kept[below(kept.length)];
      if (!one) continue;
      const others = paths.filter((path) => path !== one.path);
      const untouched = others.map((path) => stateOf(projects, path));
      const replaced = stateOf(projects, one.path);
      kept.push({ id: projects.restoreProjectSnapshot(one.id), path: one.path, state: replaced });
      assert.deepEqual(stateOf(projects, one.path), one.state);
      assert.deepEqual(others.map((path) => stateOf(projects, path)), untouched);
    }
  });
});

test('everything is a part of the transaction around it, with a ledger too', async (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const projects = open(store);
  const all = (): void => {
    projects.claimProjectRun('/a', { force: true });
    projects.recordTaskRun('/a', 'lint');
    projects.assignTask({ taskId: 't1', project: '/a', taskType: 'lint' });
    projects.restoreProjectSnapshot(projects.captureProject('/a', 'x', { a: 1 }));
    projects.recordProjectRun('/a');
    for (let number = 0; number < 3; number++)
      projects.addRunRecord({ startedAt: new Date(0), status: 'success', projects: ['/a'] });
    projects.pruneRunRecords({ keep: 1 });
  };
  assert.throws(() => store.transaction(() => {
    all();
    throw new RangeError('undone');
  }), RangeError);
  assert.deepEqual([projects.listProjects(), projects.listAssigned(), projects.getRunRecords(9)], [[], [], []]);
  store.transaction(() => {
    assert.throws(() => store.transaction(() => {
      all();
      throw new RangeError('undone');
    }), RangeError);
    all();
  });
  assert.equal(projects.getProject('/a')?.runCount, 1);
  assert.equal(projects.listAssigned().length, 1);
  assert.equal(projects.getRunRecords(9).length, 1);
  assert.deepEqual(store.getRecentAudits(9, { type: 'project_restored' }).length, 1);
  assert.ok((await store.verifyAudit()).ok);
  const parity = await verifyParity(store, folder.closing(ledgerIn(folder)));
  assert.deepEqual([parity.isConsistent, store.auditHead()?.id], [true, 4]);
});

test('keys of a captured value that need an escape in JSON come back as they are', (t) => {
  const folder = new TestFolder(t);
  const projects = new ProjectStore(folder.open());
  for (let round = 0; round < 200; round++) {
    const value = { type: 'x', [escapedKeys[round % escapedKeys.length]!]: round };
    assert.deepEqual(projects.getProjectSnapshot(projects.captureProject('/srv/a', 'before', value)).value, value);
  }
});

for (const [column, kind] of Object.entries({
  project_path: 'text',
  label: 'text',
  captured_at: 'instant',
  state: 'json',
  value: 'optional json',
} as const)) {
  test(`${column} of a snapshot that cannot be right is an error for whoever meets it, and nothing is written`, (t) => {
    const table = {
      columns: { [column]: kind },
      calls: {
        getProjectSnapshot: (projects: ProjectStore) => projects.getProjectSnapshot(id),
        restoreProjectSnapshot: (projects: ProjectStore) => projects.restoreProjectSnapshot(id),
        ...(column === 'label' || column === 'captured_at'
          ? { listProjectSnapshots: (projects: ProjectStore) => projects.listProjectSnapshots('/a') }
          : undefined),
      },
    };
    let id = '';
    assertRefused('project_snapshots', column, table, () => {
      const folder = new TestFolder(t, { checked: false, inMemory: true });
      const store = folder.open();
      const modules = open(store);
      id = modules.captureProject('/a', 'before', { kept: true });
      return { path: folder.file(), store, modules };
    });
  });
}

test('a state that is JSON and none of a project is an error, and nothing of it is put back', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const projects = open(folder.open());
  projects.recordProjectRun('/a');
  projects.recordProjectRun('/b');
  const id = projects.captureProject('/a', 'before');
  const at = '2026-11-21T09:00:00.000Z';
  const whole = {
    lastRunAt: at,
    runCount: 1,
    claimedAt: null,
    taskHistory: [['lint', at]],
    assignments: [['t', '/a', 'lint', at]],
  };
  const wrong: object[] = [
    { runCount: -1 },
    { runCount: '1' },
    { lastRunAt: 5 },
    { taskHistory: null },
    { taskHistory: [['lint']] },
    { taskHistory: [['lint', at, at]] },
    { taskHistory: ['ab'] },
    { taskHistory: [[1, at]] },
    { assignments: {} },
    { assignments: [['t', '/a', 'lint']] },
    { assignments: [['t', '/a', 'lint', at, at]] },
    { assignments: [['t', '/b', 'lint', at]] },
    { assignments: [['t', '/a', null, at]] },
  ];
  const before = [stateOf(projects, '/a'), stateOf(projects, '/b')];
  const set = folder.raw().prepare('UPDATE project_snapshots SET state = ? WHERE id = ?');
  for (const part of wrong) {
    set.run(JSON.stringify({ ...whole, ...part }), id);
    for (const call of [() => projects.getProjectSnapshot(id), () => projects.restoreProjectSnapshot(id)]) {
      assert.throws(
        call,
        { code: 'ERR_STORE_CORRUPT', message: /^project snapshot "[^"]+": state cannot be read/ },
        JSON.stringify(part),
      );
    }
  }
  assert.deepEqual([stateOf(projects, '/a'), stateOf(projects, '/b')], before);
  set.run(JSON.stringify(whole), id);
  projects.restoreProjectSnapshot(id);
  assert.deepEqual(projects.listAssigned().map(({ taskId }) => taskId), ['t']);
});
