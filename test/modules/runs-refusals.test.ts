// What every method of a RunStore refuses: a row for each argument. A method or parameter without a row fails the first
// test.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { TestFolder } from '../support/folder.ts';
import { checkTable, codeOf } from '../support/refusals.ts';
import {
  badCounts, badInstants, badJson, badOptions, badTextLists, badTexts, given, throwing,
} from '../support/values.ts';

type Table = [name: string, value: unknown][];

interface Argument {
  /** The parameter's name, and what of it is bad. */
  name: string;
  bad: Table;
  call: (runs: RunStore, value: never) => unknown;
}

interface Method {
  call: (runs: RunStore) => unknown;
  writes?: true;
  arguments?: Argument[];
}

const now = new Date('2026-11-21T09:00:00Z');
const unit = { runId: 'r', resourceType: 't', resourceName: 'n', action: 'create', desiredState: 1 } as const;
const event = { level: 'info', message: 'm' } as const;
const resource = { resourceType: 't', resourceName: 'n', state: 1, lastRunId: 'r' };

const badWords: Table = [
  ...badTexts,
  ['an unknown one', 'done'],
  ['capitals', 'PENDING'],
  ['a property of every object', 'constructor'],
  ['space around', ' pending'],
];
const missing: Table = [['undefined', undefined], ['nothing in it', {}]];

/** One row: an argument, what is bad there and a call that passes it. */
const row = (name: string, bad: Table, call: Argument['call']): Argument => ({ name, bad, call });

/** An object with fields: itself, and each of its fields. */
function fields(
  name: string,
  base: object | undefined,
  call: Argument['call'],
  tables: Record<string, Table>,
): Argument[] {
  const getter: Table[number] = ['a getter that throws', throwing(Object.keys(tables)[0]!)];
  return [
    row(name, [...badOptions, ...(base ? missing : []), getter], call),
    ...Object.entries(tables).map(([field, bad]) => row(`${name}.${field}`, bad, (runs, value) => {
      return call(runs, { ...base, [field]: value } as never);
    })),
  ];
}

const page = { limit: given(badCounts), offset: given(badCounts) };
const id = (call: Argument['call'], name = 'id'): Argument => row(name, badTexts, call);

const methods: Record<string, Method> = {
  createRun: {
    call: (runs) => runs.createRun({ planPath: 'a' }), writes: true,
    arguments: fields('run', { planPath: 'a' }, (runs, value) => runs.createRun(value), {
      id: given(badTexts), planPath: badTexts, status: given(badWords), startedAt: given(badInstants),
      metadata: badJson,
    }),
  },
  getRun: { call: (runs) => runs.getRun('r'), arguments: [id((runs, value) => runs.getRun(value))] },
  updateRunStatus: {
    call: (runs) => runs.updateRunStatus('r', 'running'), writes: true,
    arguments: [
      id((runs, value) => runs.updateRunStatus(value, 'running')),
      row('status', [...badWords, ['of a unit', 'skipped']], (runs, value) => runs.updateRunStatus('r', value)),
      row('error', given(badTexts), (runs, value) => runs.updateRunStatus('r', 'running', value)),
    ],
  },
  listRuns: {
    call: (runs) => runs.listRuns(),
    arguments: fields('options', undefined, (runs, value) => runs.listRuns(value), {
      status: given(badWords), ...page,
    }),
  },
  interruptedRuns: { call: (runs) => runs.interruptedRuns() },
  deleteRun: {
    call: (runs) => runs.deleteRun('r'), writes: true,
    arguments: [id((runs, value) => runs.deleteRun(value))],
  },
  createPlanUnit: {
    call: (runs) => runs.createPlanUnit(unit), writes: true,
    arguments: fields('unit', unit, (runs, value) => runs.createPlanUnit(value), {
      id: given(badTexts), runId: badTexts, resourceType: badTexts, resourceName: badTexts, action: badWords,
      dependencies: given(badTextLists), desiredState: [...badJson, ['undefined', undefined]],
    }),
  },
  getPlanUnit: { call: (runs) => runs.getPlanUnit('u'), arguments: [id((runs, value) => runs.getPlanUnit(value))] },
  updatePlanUnitStatus: {
    call: (runs) => runs.updatePlanUnitStatus('u', 'running'), writes: true,
    arguments: [
      id((runs, value) => runs.updatePlanUnitStatus(value, 'running')),
      row('status', [...badWords, ['of a run', 'cancelled']], (runs, value) => runs.updatePlanUnitStatus('u', value)),
      ...fields('outcome', undefined, (runs, value) => runs.updatePlanUnitStatus('u', 'running', value), {
        actualState: badJson, diff: badJson, error: given(badTexts),
      }),
    ],
  },
  incrementPlanUnitRetries: {
    call: (runs) => runs.incrementPlanUnitRetries('u'), writes: true,
    arguments: [id((runs, value) => runs.incrementPlanUnitRetries(value))],
  },
  listPlanUnits: {
    call: (runs) => runs.listPlanUnits('r'),
    arguments: [id((runs, value) => runs.listPlanUnits(value), 'runId')],
  },
  readyPlanUnits: {
    call: (runs) => runs.readyPlanUnits('r'),
    arguments: [id((runs, value) => runs.readyPlanUnits(value), 'runId')],
  },
  deletePlanUnit: {
    call: (runs) => runs.deletePlanUnit('u'), writes: true,
    arguments: [id((runs, value) => runs.deletePlanUnit(value))],
  },
  appendRunEvent: {
    call: (runs) => runs.appendRunEvent(event), writes: true,
    arguments: fields('event', event, (runs, value) => runs.appendRunEvent(value), {
      runId: given(badTexts), planUnitId: given(badTexts), level: badWords, message: badTexts, details: badJson,
    }),
  },
  getRunEvents: {
    call: (runs) => runs.getRunEvents(),
    arguments: fields('options', undefined, (runs, value) => runs.getRunEvents(value), {
      runId: given(badTexts), planUnitId: given(badTexts), level: given(badWords), ...page,
    }),
  },
  upsertResourceState: {
    call: (runs) => runs.upsertResourceState(resource), writes: true,
    arguments: fields('resource', resource, (runs, value) => runs.upsertResourceState(value), {
      id: given(badTexts), resourceType: badTexts, resourceName: badTexts,
      state: [...badJson, ['undefined', undefined]], lastRunId: badTexts, lastApplied: given(badInstants),
    }),
  },
  getResourceState: {
    call: (runs) => runs.getResourceState('t', 'n'),
    arguments: [
      id((runs, value) => runs.getResourceState(value, 'n'), 'resourceType'),
      id((runs, value) => runs.getResourceState('t', value), 'resourceName'),
    ],
  },
  listResourceStates: {
    call: (runs) => runs.listResourceStates(),
    arguments: fields('options', undefined, (runs, value) => runs.listResourceStates(value), {
      resourceType: given(badTexts), ...page,
    }),
  },
  deleteResourceState: {
    call: (runs) => runs.deleteResourceState('t', 'n'), writes: true,
    arguments: [
      id((runs, value) => runs.deleteResourceState(value, 'n'), 'resourceType'),
      id((runs, value) => runs.deleteResourceState('t', value), 'resourceName'),
    ],
  },
};

/** A run and a unit, so that nothing but the bad value is refused. */
function fill(runs: RunStore): void {
  runs.createRun({ id: 'r', planPath: 'a' });
  runs.createPlanUnit({ ...unit, id: 'u' });
}

test('every method and parameter has a row in this table', () => {
  checkTable(RunStore.prototype, methods);
});

for (const [name, { call, arguments: rows = [] }] of Object.entries(methods)) {
  if (rows.length === 0) continue;
  test(`${name} refuses every bad value of every argument, and nothing is written`, async (t) => {
    const folder = new TestFolder(t);
    const runs = new RunStore(folder.open({ clock: () => now }));
    fill(runs);
    const db = folder.raw();
    const version = (): unknown => db.prepare('PRAGMA data_version').get();
    const before = version();
    for (const row of rows) {
      for (const [what, value] of row.bad) {
        // JSON that cannot be carried has a code of its own.
        const expected =
          badJson === row.bad || /State$|\.state$/.test(row.name)
            ? 'ERR_STORE_SERIALIZATION'
            : 'ERR_STORE_INVALID_ARGUMENT';
        assert.equal(await codeOf(() => row.call(runs, value as never)), expected, `${row.name}: ${what}`);
      }
      assert.deepEqual(version(), before, row.name);
    }
    call(runs); // and it goes on working
  });
}

test('a RunStore is made of a store, and of nothing else', async (t) => {
  const store = new TestFolder(t).open();
  for (const [what, value] of [...badOptions, ['undefined', undefined] as const])
    assert.equal(await codeOf(() => new RunStore(value as SqliteStore)), 'ERR_STORE_INVALID_ARGUMENT', what);
  for (const [what, value] of badOptions)
    assert.equal(await codeOf(() => new RunStore(store, value as object)), 'ERR_STORE_INVALID_ARGUMENT', what);
  for (const [what, value] of given(badTexts)) {
    assert.equal(
      await codeOf(() => new RunStore(store, { source: value as string })),
      'ERR_STORE_INVALID_ARGUMENT',
      `source: ${what}`,
    );
    assert.equal(
      await codeOf(() => new RunStore(store, { ipAddress: value as string })),
      'ERR_STORE_INVALID_ARGUMENT',
      `ipAddress: ${what}`,
    );
  }
});

test('every method on a closed store says that it is closed', async (t) => {
  const store = new TestFolder(t).open();
  const runs = new RunStore(store);
  store.close();
  for (const [name, method] of Object.entries(methods))
    assert.equal(await codeOf(() => method.call(runs)), 'ERR_STORE_CLOSED', name);
});

test('every writing method of a read-only store says so, and the others work', async (t) => {
  const folder = new TestFolder(t);
  const writer = folder.open();
  fill(new RunStore(writer));
  new RunStore(writer).upsertResourceState(resource);
  writer.close();
  const runs = new RunStore(folder.closing(SqliteStore.openReadOnly(folder.file())));
  for (const [name, method] of Object.entries(methods))
    assert.equal(await codeOf(() => method.call(runs)), method.writes ? 'ERR_STORE_READ_ONLY' : undefined, name);
  assert.equal(runs.getResourceState('t', 'n')?.lastRunId, 'r');
});

test('what was checked is what is used, whatever a getter says next', (t) => {
  const runs = new RunStore(new TestFolder(t).open());
  const turning = (name: string, first: unknown, then: unknown): object => {
    let reads = 0;
    return Object.defineProperty({}, name, { enumerable: true, get: () => (reads++ === 0 ? first : then) });
  };
  assert.equal(runs.createRun(turning('planPath', 'a', 5) as { planPath: string }).planPath, 'a');
  assert.equal(runs.listRuns(turning('limit', 1, -1)).length, 1);
});
