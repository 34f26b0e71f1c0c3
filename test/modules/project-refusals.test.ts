// What every method of ProjectStore refuses: a row for each argument. A method or parameter without a row fails the
// first test.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore, type StoreErrorCode } from '../../lib/index.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { TestFolder } from '../support/folder.ts';
import { checkTable, codeOf } from '../support/refusals.ts';
import {
  badCounts, badDurations, badInstants, badJson, badOptions, badTextLists, badTexts, given, throwing,
} from '../support/values.ts';

type Projects = ProjectStore;
type Table = [name: string, value: unknown][];

interface Argument {
  name: string;
  bad: Table;
  call: (projects: Projects, value: never) => unknown;
  code?: StoreErrorCode;
}

interface Method {
  call: (projects: Projects) => unknown;
  writes?: true;
  arguments?: Argument[];
}

const now = new Date('2026-11-21T09:00:00Z');
const record = { startedAt: now, status: 'success' } as const;
const task = { taskId: 't', project: '/a', taskType: 'lint' };
const hostile = (property: string): Table => [...badOptions, ['a getter that throws', throwing(property)]];
const missing: Table = [['undefined', undefined], ['nothing in it', {}]];
const badIntervals: Table = [...badDurations, ['0', 0]];
const badPaths: Table = [
  ...badTexts,
  ['a path that is too long', 'a/'.repeat(5_000)],
  ['a name that is too long', `/${'a'.repeat(300)}`],
];
const badUuids: Table = [
  ...given(badTexts),
  ['no UUID', 'run-1'],
  ['a UUID with more', '4ffd1e00-0000-4000-8000-00000000000a '],
  ['one in braces', '{4ffd1e00-0000-4000-8000-00000000000a}'],
];

/** What is no options object for its names alone is as good as any other object of types and intervals. */
const isIntervals = (value: unknown): boolean =>
  ['{"unknown":1}', '{"busyTimeoutMS":1}', '{"__proto__":1}'].includes(stringify(value));
const stringify = (value: unknown): string => {
  try {
    return JSON.stringify(value);
  } catch {
    return '';
  }
};

/** One row: an argument, what is bad there and a call that passes it. */
const row = (name: string, bad: Table, call: Argument['call']): Argument => ({ name, bad, call });
/** The rows of a path that comes first, and of what follows it. */
const path = (call: Argument['call'], ...more: Argument[]): Argument[] => [row('path', badPaths, call), ...more];
const byId = (call: Argument['call']): Argument[] => [row('id', badTexts, call)];

const runFields: [string, Table][] = [
  ['id', badUuids], ['startedAt', badInstants], ['endedAt', given(badInstants)], ['provider', given(badTexts)],
  ['projects', given(badTextLists)], ['tasks', given(badTextLists)], ['tokensUsed', given(badCounts)],
  ['status', [...badTexts, ['another word', 'succeeded'], ['an array with one', ['success']]]],
  ['error', given(badTexts)], ['branch', given(badTexts)],
];
const taskFields: [string, Table][] = [['taskId', badTexts], ['project', badPaths], ['taskType', badTexts]];

const methods: Record<string, Method> = {
  getProject: {
    call: (projects) => projects.getProject('/a'),
    arguments: path((projects, value) => projects.getProject(value)),
  },
  listProjects: { call: (projects) => projects.listProjects() },
  getTaskHistory: {
    call: (projects) => projects.getTaskHistory('/a'),
    arguments: path((projects, value) => projects.getTaskHistory(value)),
  },
  recordTaskRun: {
    call: (projects) => projects.recordTaskRun('/a', 'lint'), writes: true,
    arguments: path(
      (projects, value) => projects.recordTaskRun(value, 'lint'),
      row('taskType', badTexts, (projects, value) => projects.recordTaskRun('/a', value)),
    ),
  },
  lastTaskRun: {
    call: (projects) => projects.lastTaskRun('/a', 'lint'),
    arguments: path(
      (projects, value) => projects.lastTaskRun(value, 'lint'),
      row('taskType', badTexts, (projects, value) => projects.lastTaskRun('/a', value)),
    ),
  },
  daysSinceLastRun: {
    call: (projects) => projects.daysSinceLastRun('/a'),
    arguments: path(
      (projects, value) => projects.daysSinceLastRun(value),
      row('taskType', given(badTexts), (projects, value) => projects.daysSinceLastRun('/a', value)),
    ),
  },
  staleness: {
    call: (projects) => projects.staleness('/a', 'lint', 1),
    arguments: path(
      (projects, value) => projects.staleness(value, 'lint', 1),
      row('taskType', badTexts, (projects, value) => projects.staleness('/a', value, 1)),
      row('intervalMs', badIntervals, (projects, value) => projects.staleness('/a', 'lint', value)),
    ),
  },
  due: {
    call: (projects) => projects.due({ intervals: { lint: 1 } }),
    arguments: [
      row('options', [...hostile('intervals'), ...missing], (projects, value) => projects.due(value)),
      {
        name: 'options.intervals', call: (projects, value) => projects.due({ intervals: value }),
        bad: [
          ...hostile('lint').filter(([, value]) => !isIntervals(value)), ['undefined', undefined],
          ['an empty type', { '': 1 }], ['half a character', { '\ud800': 1 }], ['NUL', { 'a\0': 1 }],
        ],
      },
      row('options.intervals.lint', badIntervals, (projects, value) => {
        return projects.due({ intervals: { docs: 1, lint: value } });
      }),
    ],
  },
  wasProcessedToday: {
    call: (projects) => projects.wasProcessedToday('/a'),
    arguments: path(
      (projects, value) => projects.wasProcessedToday(value),
      row('taskType', given(badTexts), (projects, value) => projects.wasProcessedToday('/a', value)),
    ),
  },
  claimProjectRun: {
    call: (projects) => projects.claimProjectRun('/a'), writes: true,
    arguments: path(
      (projects, value) => projects.claimProjectRun(value),
      row('options', hostile('force'), (projects, value) => projects.claimProjectRun('/a', value)),
      row('options.windowMs', given(badDurations), (projects, value) => {
        return projects.claimProjectRun('/a', { windowMs: value });
      }),
      row('options.force', [['null', null], ['1', 1], ['a string', 'true']], (projects, value) => {
        return projects.claimProjectRun('/a', { force: value });
      }),
    ),
  },
  recordProjectRun: {
    call: (projects) => projects.recordProjectRun('/a'), writes: true,
    arguments: path((projects, value) => projects.recordProjectRun(value)),
  },
  releaseProjectClaim: {
    call: (projects) => projects.releaseProjectClaim('/a'), writes: true,
    arguments: path((projects, value) => projects.releaseProjectClaim(value)),
  },
  addRunRecord: {
    call: (projects) => projects.addRunRecord(record), writes: true,
    arguments: [
      row('record', [...hostile('id'), ...missing], (projects, value) => projects.addRunRecord(value)),
      ...runFields.map(([name, bad]) => row(`record.${name}`, bad, (projects, value) => {
        return projects.addRunRecord({ ...record, [name]: value });
      })),
    ],
  },
  getRunRecords: {
    call: (projects) => projects.getRunRecords(5),
    arguments: [row('limit', badCounts, (projects, value) => projects.getRunRecords(value))],
  },
  pruneRunRecords: {
    call: (projects) => projects.pruneRunRecords({ keep: 5 }), writes: true,
    arguments: [
      row('options', [...hostile('keep'), ['undefined', undefined]], (projects, value) => {
        return projects.pruneRunRecords(value);
      }),
      row('options.keep', badCounts, (projects, value) => projects.pruneRunRecords({ keep: value })),
    ],
  },
  todaySummary: { call: (projects) => projects.todaySummary() },
  assignTask: {
    call: (projects) => projects.assignTask(task), writes: true,
    arguments: [
      row('task', [...hostile('taskId'), ['undefined', undefined]], (projects, value) => projects.assignTask(value)),
      ...taskFields.map(([name, bad]) => row(`task.${name}`, bad, (projects, value) => {
        return projects.assignTask({ ...task, [name]: value });
      })),
    ],
  },
  isAssigned: {
    call: (projects) => projects.isAssigned('t'),
    arguments: [row('taskId', badTexts, (projects, value) => projects.isAssigned(value))],
  },
  listAssigned: { call: (projects) => projects.listAssigned() },
  clearAssigned: {
    call: (projects) => projects.clearAssigned('t'), writes: true,
    arguments: [row('taskId', badTexts, (projects, value) => projects.clearAssigned(value))],
  },
  clearStaleAssignments: {
    call: (projects) => projects.clearStaleAssignments(1), writes: true,
    arguments: [row('maxAgeMs', badDurations, (projects, value) => projects.clearStaleAssignments(value))],
  },
  captureProject: {
    call: (projects) => projects.captureProject('/a', 'x'), writes: true,
    arguments: path(
      (projects, value) => projects.captureProject(value, 'x'),
      row('label', badTexts, (projects, value) => projects.captureProject('/a', value)),
      {
        name: 'value', bad: badJson, code: 'ERR_STORE_SERIALIZATION',
        call: (projects, value) => projects.captureProject('/a', 'x', value),
      },
    ),
  },
  listProjectSnapshots: {
    call: (projects) => projects.listProjectSnapshots('/a'),
    arguments: path((projects, value) => projects.listProjectSnapshots(value)),
  },
  getProjectSnapshot: {
    call: (projects) => projects.getProjectSnapshot('x'),
    arguments: byId((projects, value) => projects.getProjectSnapshot(value)),
  },
  restoreProjectSnapshot: {
    call: (projects) => projects.restoreProjectSnapshot('x'), writes: true,
    arguments: byId((projects, value) => projects.restoreProjectSnapshot(value)),
  },
  deleteProjectSnapshot: {
    call: (projects) => projects.deleteProjectSnapshot('x'), writes: true,
    arguments: byId((projects, value) => projects.deleteProjectSnapshot(value)),
  },
};

test('every method and parameter has a row in this table', () => {
  checkTable(ProjectStore.prototype, methods);
});

for (const [name, { arguments: rows = [] }] of Object.entries(methods)) {
  if (rows.length === 0) continue;
  test(`${name} refuses every bad value of every argument, and nothing is written`, async (t) => {
    const folder = new TestFolder(t);
    const projects = new ProjectStore(folder.open());
    const db = folder.raw();
    const version = (): unknown => db.prepare('PRAGMA data_version').get();
    const before = version();
    for (const { name: argument, bad, call, code = 'ERR_STORE_INVALID_ARGUMENT' } of rows) {
      for (const [what, value] of bad)
        assert.equal(await codeOf(() => call(projects, value as never)), code, `${argument}: ${what}`);
    }
    assert.deepEqual(version(), before);
    projects.recordProjectRun('/a'); // and it goes on working
  });
}

test('what is no store and no time zone is refused', (t) => {
  const store = new TestFolder(t).open();
  const refused = { code: 'ERR_STORE_INVALID_ARGUMENT' };
  for (const [name, value] of [...badOptions, ['undefined', undefined]] as Table)
    assert.throws(() => new ProjectStore(value as SqliteStore), refused, `store: ${name}`);
  for (const [name, value] of badOptions)
    assert.throws(() => new ProjectStore(store, value as object), refused, `options: ${name}`);
  for (const [name, value] of [...given(badTexts), ['a place that is not', 'Mars/Olympus']] as Table)
    assert.throws(() => new ProjectStore(store, { timeZone: value as string }), refused, `timeZone: ${name}`);
});

test('every method of a closed store says that it is closed', async (t) => {
  const store = new TestFolder(t).open();
  const projects = new ProjectStore(store);
  store.close();
  for (const [name, { call }] of Object.entries(methods))
    assert.equal(await codeOf(() => call(projects)), 'ERR_STORE_CLOSED', name);
});

test('every writing method of a read-only store says so, and the others work', async (t) => {
  const folder = new TestFolder(t);
  const writer = folder.open();
  new ProjectStore(writer).recordTaskRun('/a', 'lint');
  writer.close();
  const projects = new ProjectStore(folder.closing(SqliteStore.openReadOnly(folder.file())));
  for (const [name, { call, writes }] of Object.entries(methods)) {
    assert.equal(
      await codeOf(() => call(projects)),
      writes ? 'ERR_STORE_READ_ONLY' : name === 'getProjectSnapshot' ? 'ERR_STORE_NOT_FOUND' : undefined,
      name,
    );
  }
});
