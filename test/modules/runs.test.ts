// Runs, their units and events, and resource states: the life cycle of each, and what goes together.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import {
  type NewPlanUnit, type NewResourceState, type PlanUnitStatus, type RunAuditEvent, type RunStatus, RunStore,
} from '../../lib/modules/runs/runs.ts';
import { assertRefused, damage, type Damages } from '../support/damage.ts';
import { TestFolder } from '../support/folder.ts';
import { linesOf, openBoth } from '../support/ledger.ts';
import { run as runProcess } from '../support/process.ts';
import { escapedKeys } from '../support/values.ts';

const conflict = { code: 'ERR_STORE_CONFLICT' };
const notFound = { code: 'ERR_STORE_NOT_FOUND' };
const corrupt = { code: 'ERR_STORE_CORRUPT' };

/** A store whose clock says how often it was asked, in seconds, so that each change has a time of its own. */
function open(t: TestContext): {
  folder: TestFolder;
  store: SqliteStore<RunAuditEvent>;
  runs: RunStore;
  options: OpenOptions;
  last: () => Date;
} {
  const folder = new TestFolder(t);
  let seconds = 0;
  const options = { clock: (): Date => new Date(Date.UTC(2026, 10, 21, 9, 0, seconds++)) };
  const store = folder.open<RunAuditEvent>(options);
  return {
    folder,
    store,
    runs: new RunStore(store),
    options,
    last: () => new Date(Date.UTC(2026, 10, 21, 9, 0, seconds - 1)),
  };
}

const unitOf = (runId: string, id: string, dependencies: string[] = []): NewPlanUnit => ({
  id,
  runId,
  resourceType: 'linux.pkg',
  resourceName: 'apache2',
  action: 'create',
  dependencies,
  desiredState: { state: 'present' },
});
const stateOf = (lastRunId: string, resourceName = 'apache2'): NewResourceState => ({
  resourceType: 'linux.pkg',
  resourceName,
  state: { installed: true },
  lastRunId,
});
const ids = (list: readonly { id: string | number }[]): (string | number)[] => list.map(({ id }) => id);

test('creating a run: it is pending until it runs, and ends once', (t) => {
  const { folder, runs, last, options } = open(t);
  const created = runs.createRun({
    id: 'run-001',
    planPath: '/plans/deploy-apache.json',
    metadata: { environment: 'production', tags: [1, null] },
  });
  const at = last();
  assert.deepEqual(created, {
    id: 'run-001',
    planPath: '/plans/deploy-apache.json',
    status: 'pending',
    metadata: { environment: 'production', tags: [1, null] },
    createdAt: at,
    updatedAt: at,
  });
  assert.deepEqual(runs.getRun('run-001'), created);

  const running = runs.updateRunStatus('run-001', 'running');
  const startedAt = last();
  assert.deepEqual(running, { ...created, status: 'running', startedAt, updatedAt: startedAt });
  const failed = runs.updateRunStatus('run-001', 'failed', 'apt is locked');
  assert.deepEqual(failed, {
    ...running,
    status: 'failed',
    completedAt: last(),
    updatedAt: last(),
    error: 'apt is locked',
  });
  assert.deepEqual(runs.getRun('run-001'), failed);
  assert.deepEqual(new RunStore(folder.open(options)).getRun('run-001'), failed);
});

test('a run gets its own id and empty metadata unless given some, and may start now or have started before', (t) => {
  const { runs, last } = open(t);
  const [first, second] = [runs.createRun({ planPath: 'a' }), runs.createRun({ planPath: 'a', metadata: null })];
  assert.match(first.id, /^[0-9a-f-]{36}$/);
  assert.notEqual(first.id, second.id);
  assert.deepEqual([first.metadata, second.metadata], [{}, null]);
  assert.deepEqual(runs.createRun({ planPath: 'a', status: 'running' }).startedAt, last());
  const startedAt = new Date('2026-11-20T08:00:00.123Z');
  assert.deepEqual(runs.createRun({ planPath: 'a', status: 'running', startedAt }).startedAt, startedAt);
  const planned = runs.createRun({ planPath: 'a', startedAt });
  assert.deepEqual([planned.startedAt, runs.updateRunStatus(planned.id, 'running').startedAt], [startedAt, startedAt]);
  const taken = runs.createRun({ planPath: 'a', status: 'completed', startedAt });
  assert.deepEqual([taken.startedAt, taken.completedAt], [startedAt, last()]);
  assert.equal(runs.createRun({ planPath: 'a', status: 'cancelled' }).startedAt, undefined);
});

const runStatuses: RunStatus[] = ['pending', 'running', 'completed', 'failed', 'cancelled'];
const runChanges = ['pending>running', 'pending>cancelled', 'running>completed', 'running>failed', 'running>cancelled'];

test('a run goes only from pending to running or cancelled, from running to completed, failed or cancelled', (t) => {
  const { store, runs } = open(t);
  for (const from of runStatuses) {
    for (const to of runStatuses) {
      const before = runs.createRun({ planPath: 'a', status: from });
      const head = store.auditHead()?.id;
      if (runChanges.includes(`${from}>${to}`)) {
        const after = runs.updateRunStatus(before.id, to);
        assert.equal(after.status, to);
        assert.equal(after.completedAt !== undefined, to !== 'running');
      } else {
        assert.throws(() => runs.updateRunStatus(before.id, to), conflict, `${from} to ${to}`);
        assert.deepEqual(runs.getRun(before.id), before);
        assert.equal(store.auditHead()?.id, head);
      }
    }
  }
});

test('listing runs: newest first whatever the clock says, by status, page by page', (t) => {
  const folder = new TestFolder(t);
  const times = ['2026-11-21', '2020-01-01', '2026-11-22', '1999-01-01', '2026-11-20'].map(
    (day) => new Date(`${day}T09:00:00Z`),
  );
  let now = times[0]!;
  const runs = new RunStore(folder.open({ clock: () => now }));
  for (const [index, time] of times.entries()) {
    now = time;
    runs.createRun({ id: `run-${index}`, planPath: 'a', status: index % 2 === 0 ? 'pending' : 'running' });
  }
  assert.deepEqual(ids(runs.listRuns()), ['run-4', 'run-3', 'run-2', 'run-1', 'run-0']);
  assert.deepEqual(runs.listRuns()[0], runs.getRun('run-4'));
  assert.deepEqual(ids(runs.listRuns({ limit: 2 })), ['run-4', 'run-3']);
  assert.deepEqual(ids(runs.listRuns({ limit: 2, offset: 3 })), ['run-1', 'run-0']);
  assert.deepEqual(ids(runs.listRuns({ offset: 4 })), ['run-0']);
  assert.deepEqual(runs.listRuns({ offset: Number.MAX_SAFE_INTEGER, limit: Number.MAX_SAFE_INTEGER }), []);
  assert.deepEqual(runs.listRuns({ limit: 0 }), []);
  assert.deepEqual(ids(runs.listRuns({ status: 'pending' })), ['run-4', 'run-2', 'run-0']);
  assert.deepEqual(ids(runs.listRuns({ status: 'pending', limit: 1, offset: 1 })), ['run-2']);
  assert.deepEqual(runs.listRuns({ status: 'failed' }), []);
});

test('creating plan units: each goes from pending through running to its end', (t) => {
  const { runs, last } = open(t);
  runs.createRun({ id: 'run-001', planPath: 'a' });
  const created = runs.createPlanUnit({
    id: 'pu-001',
    runId: 'run-001',
    resourceType: 'linux.pkg',
    resourceName: 'apache2',
    action: 'create',
    dependencies: [],
    desiredState: { state: 'present', version: '2.4' },
  });
  assert.deepEqual(created, {
    id: 'pu-001',
    runId: 'run-001',
    resourceType: 'linux.pkg',
    resourceName: 'apache2',
    action: 'create',
    status: 'pending',
    dependencies: [],
    desiredState: { state: 'present', version: '2.4' },
    retries: 0,
    createdAt: last(),
    updatedAt: last(),
  });
  assert.deepEqual(runs.getPlanUnit('pu-001'), created);
  const running = runs.updatePlanUnitStatus('pu-001', 'running');
  assert.deepEqual(running, { ...created, status: 'running', startedAt: last(), updatedAt: last() });
  const completed = runs.updatePlanUnitStatus('pu-001', 'completed', {
    actualState: { state: 'present', version: '2.4.41' },
    diff: ['version'],
  });
  assert.deepEqual(completed, {
    ...running,
    status: 'completed',
    actualState: { state: 'present', version: '2.4.41' },
    diff: ['version'],
    completedAt: last(),
    updatedAt: last(),
  });
  assert.deepEqual(runs.listPlanUnits('run-001'), [completed]);
  assert.deepEqual(runs.listPlanUnits('run-002'), []);
  assert.match(
    runs.createPlanUnit({ runId: 'run-001', resourceType: 'a', resourceName: 'b', action: 'read', desiredState: null })
      .id,
    /^[0-9a-f-]{36}$/,
  );
});

const unitStatuses: PlanUnitStatus[] = ['pending', 'running', 'completed', 'failed', 'skipped'];
const wayTo: Record<PlanUnitStatus, PlanUnitStatus[]> = {
  pending: [],
  running: ['running'],
  completed: ['running', 'completed'],
  failed: ['running', 'failed'],
  skipped: ['skipped'],
};
const unitChanges = [
  'pending>running',
  'pending>skipped',
  'running>completed',
  'running>failed',
  'running>pending',
  'failed>pending',
];

test('a unit goes only from pending to running or skipped, from running to completed, failed or pending, ' +
  'from failed to pending', (t) => {
  const { store, runs } = open(t);
  runs.createRun({ id: 'r', planPath: 'a' });
  for (const from of unitStatuses) {
    for (const to of unitStatuses) {
      const { id } = runs.createPlanUnit({ ...unitOf('r', `${from}>${to}`) });
      for (const step of wayTo[from]) runs.updatePlanUnitStatus(id, step);
      const before = runs.getPlanUnit(id);
      const head = store.auditHead()?.id;
      if (unitChanges.includes(id)) {
        const after = runs.updatePlanUnitStatus(id, to);
        assert.equal(after.status, to);
        assert.deepEqual(
          [after.startedAt !== undefined, after.completedAt !== undefined],
          [!['pending', 'skipped'].includes(to), !['pending', 'running'].includes(to)],
          id,
        );
      } else {
        assert.throws(() => runs.updatePlanUnitStatus(id, to, { diff: 1 }), conflict, id);
        assert.deepEqual(runs.getPlanUnit(id), before);
        assert.equal(store.auditHead()?.id, head);
      }
    }
  }
});

test('a unit that is tried again waits as a new one does, with its retries and the states last seen', (t) => {
  const { store, runs, last } = open(t);
  runs.createRun({ id: 'r', planPath: 'a' });
  const created = runs.createPlanUnit(unitOf('r', 'u'));
  runs.updatePlanUnitStatus('u', 'running');
  const failed = runs.updatePlanUnitStatus('u', 'failed', { error: 'apt is locked', actualState: null, diff: false });
  assert.deepEqual(
    [failed.error, failed.actualState, failed.diff, failed.completedAt],
    ['apt is locked', null, false, last()],
  );
  assert.equal(runs.incrementPlanUnitRetries('u'), 1);
  assert.equal(runs.incrementPlanUnitRetries('u'), 2);
  assert.deepEqual(runs.updatePlanUnitStatus('u', 'pending'), {
    ...created,
    retries: 2,
    actualState: null,
    diff: false,
    updatedAt: last(),
  });
  const again = runs.updatePlanUnitStatus('u', 'running', { diff: { more: true } });
  assert.deepEqual([again.startedAt, again.actualState, again.diff], [last(), null, { more: true }]);
  assert.deepEqual(
    store
      .getRecentAudits(9, { type: 'plan_unit_status_changed', target: 'u' })
      .map(({ event }) => 'error' in event && event.error),
    [false, false, 'apt is locked', false],
  );
});

test('a unit is ready when it is pending and everything that it depends on is completed', (t) => {
  const { runs } = open(t);
  runs.createRun({ id: 'r', planPath: 'a' });
  runs.createRun({ id: 'other', planPath: 'a' });
  runs.createPlanUnit(unitOf('other', 'x'));
  for (const [id, dependencies] of [
    ['c', []],
    ['b', ['c']],
    ['a', ['c', 'b', 'b']],
    ['d', ['c']],
  ] as [string, string[]][])
    runs.createPlanUnit(unitOf('r', id, dependencies));
  const ready = (): (string | number)[] => ids(runs.readyPlanUnits('r'));
  assert.deepEqual(ready(), ['c']);
  assert.deepEqual(runs.readyPlanUnits('r')[0], runs.getPlanUnit('c'));
  runs.updatePlanUnitStatus('c', 'running');
  assert.deepEqual(ready(), []);
  runs.updatePlanUnitStatus('c', 'completed');
  assert.deepEqual(ready(), ['b', 'd']);
  runs.updatePlanUnitStatus('d', 'skipped');
  runs.updatePlanUnitStatus('b', 'running');
  runs.updatePlanUnitStatus('b', 'failed');
  assert.deepEqual(ready(), []);
  runs.updatePlanUnitStatus('b', 'pending');
  assert.deepEqual(ready(), ['b']);
  assert.deepEqual(ids(runs.listPlanUnits('r')), ['c', 'b', 'a', 'd']);
  assert.throws(() => runs.readyPlanUnits('none'), notFound);
});

test('a dependency that was skipped or that failed is not completed', (t) => {
  const { runs } = open(t);
  runs.createRun({ id: 'r', planPath: 'a' });
  for (const id of ['skipped', 'failed']) runs.createPlanUnit(unitOf('r', id));
  for (const id of ['skipped', 'failed']) runs.createPlanUnit(unitOf('r', `after ${id}`, [id]));
  runs.updatePlanUnitStatus('skipped', 'skipped');
  runs.updatePlanUnitStatus('failed', 'running');
  runs.updatePlanUnitStatus('failed', 'failed');
  assert.deepEqual(runs.readyPlanUnits('r'), []);
});

test('a dependency that somebody removed by hand is not completed', (t) => {
  const { folder, runs } = open(t);
  runs.createRun({ id: 'r', planPath: 'a' });
  runs.createPlanUnit(unitOf('r', 'a'));
  runs.createPlanUnit(unitOf('r', 'b', ['a']));
  folder.raw().exec("DELETE FROM plan_units WHERE id = 'a'");
  assert.deepEqual(runs.readyPlanUnits('r'), []);
});

test('a dependency on a unit that is not in the run, or on itself, is refused', (t) => {
  const { store, runs } = open(t);
  runs.createRun({ id: 'r', planPath: 'a' });
  runs.createRun({ id: 'other', planPath: 'a' });
  runs.createPlanUnit(unitOf('r', 'a'));
  runs.createPlanUnit(unitOf('other', 'x'));
  const head = store.auditHead();
  assert.throws(() => runs.createPlanUnit(unitOf('r', 'b', ['a', 'none'])), notFound);
  assert.throws(() => runs.createPlanUnit(unitOf('r', 'b', ['x'])), notFound);
  assert.throws(() => runs.createPlanUnit(unitOf('r', 'b', ['a', 'b'])), conflict);
  assert.throws(() => runs.createPlanUnit(unitOf('none', 'b')), notFound);
  assert.deepEqual(store.auditHead(), head);
  assert.equal(runs.listPlanUnits('r').length, 1);
});

test('a unit on which others depend cannot be deleted, and the error says which', (t) => {
  const { runs } = open(t);
  runs.createRun({ id: 'r', planPath: 'a' });
  runs.createPlanUnit(unitOf('r', 'base'));
  for (const id of ['b', 'c', 'd', 'e']) runs.createPlanUnit(unitOf('r', id, ['base']));
  assert.throws(() => runs.deletePlanUnit('base'), { ...conflict, message: /"b", "c", "d", others$/ });
  for (const id of ['e', 'd', 'c']) runs.deletePlanUnit(id);
  assert.throws(() => runs.deletePlanUnit('base'), { ...conflict, message: /"b"$/ });
  runs.deletePlanUnit('b');
  const event = runs.appendRunEvent({ planUnitId: 'base', level: 'info', message: 'a' });
  const kept = runs.appendRunEvent({ runId: 'r', level: 'info', message: 'b' });
  assert.deepEqual(ids(runs.getRunEvents()), [kept.id, event.id]);
  runs.deletePlanUnit('base');
  assert.deepEqual(ids(runs.getRunEvents()), [kept.id]);
  assert.deepEqual(runs.listPlanUnits('r'), []);
});

test('logging events: of a run, of a unit and its run, of neither', (t) => {
  const { store, runs, last } = open(t);
  runs.createRun({ id: 'run-001', planPath: 'a' });
  runs.createRun({ id: 'run-002', planPath: 'a' });
  runs.createPlanUnit(unitOf('run-001', 'pu-001'));
  const head = store.auditHead();
  const first = runs.appendRunEvent({
    runId: 'run-001',
    level: 'info',
    message: 'Starting package installation',
    details: { package: 'apache2' },
  });
  assert.deepEqual(first, {
    id: 1,
    runId: 'run-001',
    level: 'info',
    message: 'Starting package installation',
    details: { package: 'apache2' },
    timestamp: last(),
  });
  const second = runs.appendRunEvent({ planUnitId: 'pu-001', level: 'error', message: 'b' });
  assert.deepEqual(second, {
    id: 2,
    runId: 'run-001',
    planUnitId: 'pu-001',
    level: 'error',
    message: 'b',
    timestamp: last(),
  });
  assert.equal(runs.appendRunEvent({ runId: 'run-001', planUnitId: 'pu-001', level: 'debug', message: 'c' }).id, 3);
  assert.deepEqual(runs.appendRunEvent({ level: 'warning', message: 'd', details: null }), {
    id: 4,
    level: 'warning',
    message: 'd',
    details: null,
    timestamp: last(),
  });
  runs.appendRunEvent({ runId: 'run-002', level: 'info', message: 'e' });

  assert.deepEqual(ids(runs.getRunEvents()), [5, 4, 3, 2, 1]);
  assert.deepEqual(runs.getRunEvents({ runId: 'run-001', limit: 2, offset: 1 }), [second, first]);
  const found = (options: Parameters<typeof runs.getRunEvents>[0]): (string | number)[] =>
    ids(runs.getRunEvents(options));
  assert.deepEqual(found({ planUnitId: 'pu-001' }), [3, 2]);
  assert.deepEqual(found({ level: 'info' }), [5, 1]);
  assert.deepEqual(found({ runId: 'run-001', level: 'info' }), [1]);
  assert.deepEqual(found({ runId: 'run-001', planUnitId: 'pu-001', level: 'debug' }), [3]);
  assert.deepEqual(found({ runId: 'run-002', planUnitId: 'pu-001' }), []);
  assert.deepEqual(found({ runId: 'none' }), []);
  assert.deepEqual(found({ limit: 0 }), []);
  assert.throws(() => runs.appendRunEvent({ runId: 'none', level: 'info', message: 'a' }), notFound);
  assert.throws(() => runs.appendRunEvent({ planUnitId: 'none', level: 'info', message: 'a' }), notFound);
  assert.throws(
    () => runs.appendRunEvent({ runId: 'run-002', planUnitId: 'pu-001', level: 'info', message: 'a' }),
    conflict,
  );
  assert.deepEqual(store.auditHead(), head); // a record themselves
});

test('managing resource state: one for each type and name, with its hash and the run that last changed it', (t) => {
  const { runs, last } = open(t);
  runs.createRun({ id: 'run-001', planPath: 'a' });
  runs.createRun({ id: 'run-002', planPath: 'a' });
  assert.equal(runs.getResourceState('linux.pkg', 'apache2'), undefined);
  const state = { version: '2.4.41', installed: true };
  const created = runs.upsertResourceState({
    id: 'rs-001',
    resourceType: 'linux.pkg',
    resourceName: 'apache2',
    state,
    lastRunId: 'run-001',
  });
  const at = last();
  const hash = createHash('sha256').update(JSON.stringify(state)).digest('hex');
  assert.deepEqual(created, {
    id: 'rs-001',
    resourceType: 'linux.pkg',
    resourceName: 'apache2',
    state,
    hash,
    lastRunId: 'run-001',
    lastApplied: at,
    createdAt: at,
    updatedAt: at,
  });
  assert.deepEqual(runs.getResourceState('linux.pkg', 'apache2'), created);

  const lastApplied = new Date('2026-11-20T08:00:00Z');
  const updated = runs.upsertResourceState({
    resourceType: 'linux.pkg',
    resourceName: 'apache2',
    state: null,
    lastRunId: 'run-002',
    lastApplied,
  });
  assert.deepEqual(updated, {
    ...created,
    state: null,
    hash: createHash('sha256').update('null').digest('hex'),
    lastRunId: 'run-002',
    lastApplied,
    updatedAt: last(),
  });
  assert.deepEqual(runs.upsertResourceState({ ...stateOf('run-001'), id: 'rs-001' }).createdAt, at);
  assert.throws(() => runs.upsertResourceState({ ...stateOf('run-001'), id: 'rs-002' }), conflict);
  assert.throws(() => runs.upsertResourceState({ ...stateOf('run-001', 'nginx'), id: 'rs-001' }), {
    ...conflict,
    message: /"linux\.pkg\/apache2"/,
  });
  assert.throws(() => runs.upsertResourceState(stateOf('none')), notFound);
  assert.equal(runs.getResourceState('linux.pkg', 'apache2')?.lastRunId, 'run-001');
  assert.equal(runs.deleteResourceState('linux.pkg', 'apache2'), true);
  assert.equal(runs.deleteResourceState('linux.pkg', 'apache2'), false);
  assert.match(runs.upsertResourceState(stateOf('run-001')).id, /^[0-9a-f-]{36}$/);
});

test('listing resource states: by type and name, of one type, page by page', (t) => {
  const { runs } = open(t);
  runs.createRun({ id: 'r', planPath: 'a' });
  for (const [resourceType, resourceName] of [
    ['b', 'y'],
    ['a', 'z'],
    ['b', 'x'],
    ['a', 'y'],
  ] as const)
    runs.upsertResourceState({ ...stateOf('r'), resourceType, resourceName });
  const found = (options?: Parameters<typeof runs.listResourceStates>[0]): string[] =>
    runs.listResourceStates(options).map(({ resourceType, resourceName }) => resourceType + resourceName);
  assert.deepEqual(found(), ['ay', 'az', 'bx', 'by']);
  assert.deepEqual(found({ resourceType: 'b' }), ['bx', 'by']);
  assert.deepEqual(found({ limit: 2, offset: 1 }), ['az', 'bx']);
  assert.deepEqual(found({ resourceType: 'a', offset: 1 }), ['az']);
  assert.deepEqual(found({ resourceType: 'c' }), []);
});

test('foreign keys: deleting a run takes units and events unless a resource state names it, and says which', (t) => {
  const { runs } = open(t);
  for (const id of ['r', 'kept']) {
    runs.createRun({ id, planPath: 'a', status: 'running' });
    runs.createPlanUnit(unitOf(id, `unit of ${id}`));
    runs.appendRunEvent({ runId: id, level: 'info', message: 'a' });
    runs.appendRunEvent({ planUnitId: `unit of ${id}`, level: 'info', message: 'b' });
  }
  runs.upsertResourceState(stateOf('r'));
  assert.throws(() => runs.deleteRun('r'), { ...conflict, message: /"linux\.pkg\/apache2"$/ });
  assert.equal(runs.getRunEvents({ runId: 'r' }).length, 2);
  runs.upsertResourceState(stateOf('kept'));
  runs.deleteRun('r');
  assert.throws(() => runs.getRun('r'), notFound);
  assert.throws(() => runs.getPlanUnit('unit of r'), notFound);
  assert.throws(() => runs.updatePlanUnitStatus('unit of r', 'running'), notFound);
  assert.deepEqual([runs.listRuns().length, runs.listPlanUnits('r').length, runs.getRunEvents().length], [1, 0, 2]);
  runs.deleteResourceState('linux.pkg', 'apache2');
  runs.deleteRun('kept');
  assert.deepEqual([runs.listRuns(), runs.getRunEvents()], [[], []]);
});

test('error handling: what is not there says what was attempted on what, and an id is taken once', (t) => {
  const { store, runs } = open(t);
  const missing: [attempt: () => unknown, said: RegExp][] = [
    [() => runs.getRun('invalid-id'), /^failed to read the run "invalid-id": /],
    [() => runs.updateRunStatus('invalid-id', 'running'), /^failed to change the run "invalid-id" to running: /],
    [() => runs.deleteRun('invalid-id'), /^failed to delete the run "invalid-id": /],
    [() => runs.getPlanUnit('invalid-id'), /^failed to read the plan unit "invalid-id": /],
    [
      () => runs.updatePlanUnitStatus('invalid-id', 'running'),
      /^failed to change the plan unit "invalid-id" to running: /,
    ],
    [() => runs.incrementPlanUnitRetries('invalid-id'), /^failed to count a retry of the plan unit "invalid-id": /],
    [() => runs.deletePlanUnit('invalid-id'), /^failed to delete the plan unit "invalid-id": /],
  ];
  for (const [attempt, message] of missing) assert.throws(attempt, { ...notFound, message });
  assert.equal(store.auditHead(), undefined);
  runs.createRun({ id: 'a', planPath: 'a' });
  assert.throws(() => runs.createRun({ id: 'a', planPath: 'b' }), conflict);
  runs.createPlanUnit(unitOf('a', 'u'));
  assert.throws(() => runs.createPlanUnit(unitOf('a', 'u')), conflict);
  assert.equal(runs.getRun('a').planPath, 'a');
});

test('audit logging: a change is an event with action, actor, target, details and address, in its transaction', (t) => {
  const { store } = open(t);
  const runs = new RunStore(store, { source: 'anna', ipAddress: '10.0.0.7' });
  runs.createRun({ id: 'r', planPath: 'deploy.json' });
  runs.updateRunStatus('r', 'running');
  runs.createPlanUnit(unitOf('r', 'u'));
  runs.updatePlanUnitStatus('u', 'running');
  runs.updatePlanUnitStatus('u', 'failed', { error: 'why' });
  runs.incrementPlanUnitRetries('u');
  const { hash } = runs.upsertResourceState(stateOf('r'));
  runs.deleteResourceState('linux.pkg', 'apache2');
  runs.deletePlanUnit('u');
  runs.updateRunStatus('r', 'cancelled', 'enough');
  runs.deleteRun('r');
  const unit = { runId: 'r', planUnitId: 'u' };
  const resource = { resourceType: 'linux.pkg', resourceName: 'apache2' };
  const expected: [target: string, event: RunAuditEvent][] = [
    ['r', { type: 'run_created', runId: 'r', planPath: 'deploy.json', status: 'pending' }],
    ['r', { type: 'run_status_changed', runId: 'r', from: 'pending', to: 'running' }],
    ['u', { type: 'plan_unit_created', ...unit, ...resource, action: 'create' }],
    ['u', { type: 'plan_unit_status_changed', ...unit, from: 'pending', to: 'running' }],
    ['u', { type: 'plan_unit_status_changed', ...unit, from: 'running', to: 'failed', error: 'why' }],
    ['u', { type: 'plan_unit_retried', ...unit, retries: 1 }],
    ['linux.pkg/apache2', { type: 'resource_state_set', ...resource, hash, runId: 'r' }],
    ['linux.pkg/apache2', { type: 'resource_state_deleted', ...resource, hash }],
    ['u', { type: 'plan_unit_deleted', ...unit, status: 'failed' }],
    ['r', { type: 'run_status_changed', runId: 'r', from: 'running', to: 'cancelled', error: 'enough' }],
    ['r', { type: 'run_deleted', runId: 'r', planPath: 'deploy.json', status: 'cancelled' }],
  ];
  assert.deepEqual(
    [...store.iterateAudits()].map(({ target, event, source, ipAddress }) => [target, event, source, ipAddress]),
    expected.map((row) => [...row, 'anna', '10.0.0.7']),
  );
  assert.deepEqual(
    store.getRecentAudits(9, { type: 'run_status_changed', source: 'anna', target: 'r' }).map(({ id }) => id),
    [10, 2],
  );
  new RunStore(store).createRun({ planPath: 'a' });
  assert.partialDeepStrictEqual(store.getRecentAudits(1)[0], { source: 'runs' });
});

test('transactions: all of it happens with what is around it, or nothing', (t) => {
  const { store, runs, folder, options } = open(t);
  runs.createRun({ id: 'old', planPath: 'a' });
  runs.createPlanUnit(unitOf('old', 'unit'));
  const before = [store.auditHead(), runs.listRuns(), runs.listPlanUnits('old')];
  assert.throws(() => store.transaction(() => {
    runs.createRun({ id: 'new', planPath: 'a', status: 'running' });
    runs.createPlanUnit(unitOf('new', 'new unit'));
    runs.appendRunEvent({ runId: 'new', level: 'info', message: 'a' });
    runs.upsertResourceState(stateOf('new'));
    runs.updateRunStatus('old', 'running');
    runs.incrementPlanUnitRetries('unit');
    runs.deletePlanUnit('unit');
    assert.equal(runs.getRun('new').status, 'running');
    assert.equal(runs.readyPlanUnits('new').length, 1);
    throw new Error('boom');
  }), /boom/);
  assert.deepEqual([store.auditHead(), runs.listRuns(), runs.listPlanUnits('old')], before);
  assert.deepEqual([runs.getRunEvents(), runs.listResourceStates()], [[], []]);

  store.transaction(() => {
    runs.createRun({ id: 'new', planPath: 'a' });
    assert.throws(() => runs.updateRunStatus('new', 'completed'), conflict); // caught: only this is undone
    store.addUsage('a', '2026-11-21', 1);
    runs.updateRunStatus('new', 'running');
  });
  assert.equal(new RunStore(folder.open(options)).getRun('new').status, 'running');
});

test('a kill leaves what was running to be found, and nothing of a transaction that was not committed', (t) => {
  const folder = new TestFolder(t);
  const module = new URL('../../lib/modules/runs/runs.ts', import.meta.url).href;
  runProcess(folder.file(), `
    const { RunStore } = await import('${module}');
    const store = SqliteStore.open(path);
    const runs = new RunStore(store);
    for (const id of ['a', 'b', 'c']) runs.createRun({ id, planPath: id });
    for (const id of ['a', 'c']) runs.updateRunStatus(id, 'running');
    const resource = { resourceType: 't', resourceName: 'n' };
    runs.createPlanUnit({ id: 'u', runId: 'a', ...resource, action: 'update', desiredState: 1 });
    runs.updatePlanUnitStatus('u', 'running');
    store.transaction(() => { runs.updateRunStatus('a', 'completed'); die(); });`);
  const runs = new RunStore(folder.open());
  assert.deepEqual(ids(runs.interruptedRuns()), ['c', 'a']);
  assert.deepEqual(runs.listPlanUnits('a').map(({ status }) => status), ['running']);
  runs.updatePlanUnitStatus('u', 'pending');
  assert.deepEqual(ids(runs.readyPlanUnits('a')), ['u']);
  runs.updateRunStatus('c', 'failed', 'interrupted');
  assert.deepEqual(ids(runs.interruptedRuns()), ['a']);
});

test('with a ledger the events of runs are lines of it, and both stay equal', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const runs = new RunStore(store);
  store.transaction(() => {
    runs.createRun({ id: 'r', planPath: 'a' });
    runs.updateRunStatus('r', 'running');
  });
  assert.throws(() => store.transaction(() => {
    runs.updateRunStatus('r', 'completed');
    throw new Error('boom');
  }), /boom/);
  runs.appendRunEvent({ runId: 'r', level: 'info', message: 'in the database only' });
  store.close();
  const types = linesOf(folder.file('audit.jsonl')).map((line) => line[2]);
  assert.deepEqual(types, ['ledger_attached', 'run_created', 'run_status_changed']);
  const again = openBoth(folder);
  assert.equal(new RunStore(again).getRun('r').status, 'running');
});

test('runs are there in a store in memory too', () => {
  using store = SqliteStore.inMemory();
  const runs = new RunStore(store);
  runs.createRun({ id: 'r', planPath: 'a' });
  runs.createPlanUnit(unitOf('r', 'u'));
  runs.deleteRun('r');
  assert.deepEqual(runs.listPlanUnits('r'), []);
});

const damages: Record<string, Damages<RunStore>> = {
  runs: {
    columns: {
      plan_path: 'text',
      status: 'word',
      error: 'optional text',
      metadata: 'json',
      started_at: 'optional instant',
      completed_at: 'optional instant',
      created_at: 'instant',
      updated_at: 'instant',
    },
    calls: {
      getRun: (runs) => runs.getRun('r'),
      listRuns: (runs) => runs.listRuns(),
      'listRuns of a status': (runs) => runs.listRuns({ status: 'running', limit: 1 }),
      interruptedRuns: (runs) => runs.interruptedRuns(),
      updateRunStatus: (runs) => runs.updateRunStatus('r', 'completed'),
      deleteRun: (runs) => runs.deleteRun('r'),
    },
  },
  plan_units: {
    columns: {
      resource_type: 'text',
      resource_name: 'text',
      action: 'word',
      status: 'word',
      dependencies: 'texts',
      desired_state: 'json',
      actual_state: 'optional json',
      diff: 'optional json',
      error: 'optional text',
      retries: 'count',
      started_at: 'optional instant',
      completed_at: 'optional instant',
      created_at: 'instant',
      updated_at: 'instant',
    },
    calls: {
      getPlanUnit: (runs) => runs.getPlanUnit('u'),
      listPlanUnits: (runs) => runs.listPlanUnits('r'),
      readyPlanUnits: (runs) => runs.readyPlanUnits('r'),
      updatePlanUnitStatus: (runs) =>
        runs.updatePlanUnitStatus('u', 'running', { error: 'x', diff: 1, actualState: 1 }),
      incrementPlanUnitRetries: (runs) => runs.incrementPlanUnitRetries('u'),
      deletePlanUnit: (runs) => runs.deletePlanUnit('u'),
    },
  },
  run_events: {
    columns: {
      run_id: 'optional text',
      plan_unit_id: 'optional text',
      level: 'word',
      message: 'text',
      details: 'optional json',
      timestamp: 'instant',
    },
    calls: {
      getRunEvents: (runs) => runs.getRunEvents(),
      'getRunEvents of a level': (runs) => runs.getRunEvents({ level: 'info', limit: 1 }),
    },
  },
  resource_state: {
    columns: {
      state: 'json',
      hash: 'text',
      last_run_id: 'text',
      last_applied: 'instant',
      created_at: 'instant',
      updated_at: 'instant',
    },
    calls: {
      getResourceState: (runs) => runs.getResourceState('linux.pkg', 'apache2'),
      listResourceStates: (runs) => runs.listResourceStates(),
    },
  },
  // What names a row is met where rows are listed; by its name it is not there.
  'runs by position': { columns: { id: 'text' }, calls: { listRuns: (runs) => runs.listRuns() } },
  'plan_units by run': { columns: { id: 'text' }, calls: { listPlanUnits: (runs) => runs.listPlanUnits('r') } },
  'plan_units by id': { columns: { run_id: 'text' }, calls: { getPlanUnit: (runs) => runs.getPlanUnit('u') } },
  'resource_state by name': {
    columns: { id: 'text' },
    calls: { getResourceState: (runs) => runs.getResourceState('linux.pkg', 'apache2') },
  },
  'resource_state by type': {
    columns: { resource_type: 'text', resource_name: 'text' },
    calls: { listResourceStates: (runs) => runs.listResourceStates() },
  },
};

/** A store with a row in each table; a run that a resource state names could not be deleted for that alone. */
function openWhole(t: TestContext, withState: boolean): { path: string; store: SqliteStore; modules: RunStore } {
  const folder = new TestFolder(t, { checked: false, inMemory: true });
  const store = folder.open();
  const runs = new RunStore(store);
  runs.createRun({ id: 'r', planPath: 'a', status: 'running' });
  runs.createPlanUnit(unitOf('r', 'u'));
  runs.appendRunEvent({ runId: 'r', level: 'info', message: 'a', details: {} });
  if (withState) runs.upsertResourceState(stateOf('r'));
  return { path: folder.file(), store, modules: runs };
}

for (const [how, table] of Object.entries(damages)) {
  for (const column of Object.keys(table.columns)) {
    const name = how.split(' ')[0]!;
    test(`${column} of ${how} that cannot be right is an error for whoever meets it, and nothing is written`, (t) => {
      assertRefused(name, column, table, () => openWhole(t, name === 'resource_state'));
    });
  }
}

test('a resource state whose hash is another is an error and no friendlier value', (t) => {
  const { path, modules } = openWhole(t, true);
  damage(path, 'resource_state', "state = '{\"installed\":false}'");
  assert.throws(() => modules.getResourceState('linux.pkg', 'apache2'), corrupt);
});

test('a unit is neither started nor deleted past another of its run that cannot be read', (t) => {
  for (const harm of ["status = 'qending'", "dependencies = '[1'", "dependencies = '[1]'"]) {
    const { path, modules } = openWhole(t, false);
    modules.createPlanUnit(unitOf('r', 'v', ['u']));
    damage(path, 'plan_units', `${harm} WHERE id = 'v'`);
    assert.throws(() => modules.readyPlanUnits('r'), { ...corrupt, message: /plan unit "v"/ }, harm);
    assert.throws(() => modules.deletePlanUnit('u'), { ...corrupt, message: /plan unit "v"/ }, harm);
    assert.equal(modules.getPlanUnit('u').status, 'pending');
  }
});

test('keys of JSON values that need an escape come back as they are', (t) => {
  const folder = new TestFolder(t);
  const runs = new RunStore(folder.open());
  for (let round = 0; round < 200; round++) {
    const metadata = { type: 'x', [escapedKeys[round % escapedKeys.length]!]: round };
    const { id } = runs.createRun({ planPath: 'a', metadata });
    assert.deepEqual(runs.getRun(id).metadata, metadata);
  }
});
