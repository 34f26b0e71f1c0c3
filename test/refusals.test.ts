// What every method refuses: a row for each argument. A method or parameter without a row fails the first test.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import {
  type AuditFilter, type EventBase, localDay, splitByDay, SqliteStore, StoreError, type StoreErrorCode,
} from '../lib/index.ts';
import { TestFolder } from './support/folder.ts';
import { checkArity, checkTable, codeOf } from './support/refusals.ts';
import {
  badCounts, badDays, badDurations, badFunctions, badInstants, badJson, badOptions, badPaths, badTextLists, badTexts,
  given, hostileObjects, throwing,
} from './support/values.ts';

type Loose = EventBase & { [field: string]: unknown };
type Store = SqliteStore<Loose>;
type Table = [name: string, value: unknown][];

interface Argument {
  /** The parameter's name, and what of it is bad. */
  name: string;
  bad: Table;
  call: (store: Store, value: never) => unknown;
  codes?: StoreErrorCode[];
}

interface Method {
  call: (store: Store) => unknown;
  writes?: true;
  /** What it gives on a closed store, where it does not throw. */
  whenClosed?: unknown;
  arguments?: Argument[];
}

/** Where nothing is ever made: in a folder that is not there. */
const unmade = join(tmpdir(), `shepherd-store-unmade-${process.pid}`, 'store.db');
const day = '2026-11-21';
const now = new Date('2026-11-21T09:00:00Z');
const event = { type: 'x' };
const session = { sessionId: 's', entryId: 'a', startedAt: now, warningsIssued: [] };
const serialization: StoreErrorCode[] = ['ERR_STORE_SERIALIZATION'];
// Of an event, what JSON cannot carry is refused before its type and fields are looked at.
const either: StoreErrorCode[] = ['ERR_STORE_SERIALIZATION', 'ERR_STORE_INVALID_ARGUMENT'];

const badEvents: Table = [...badOptions, ...badJson, ['undefined', undefined], ['no type', {}]];
const reservedTypes: Table = [
  'store_adopted',
  'store_recovered',
  'store_',
  'usage_added',
  'cooldown_set',
  'cooldown_cleared',
  'signing_started',
  'time_granted',
  'availability_set',
  'balance_adjusted',
  'usage_corrected',
].map((type) => [type, type]);
const attributeArguments: Argument[] = [
  {
    name: 'attributes',
    bad: [...badOptions, ['a getter that throws', throwing('source')]],
    call: (store, value) => store.appendAudit(event, value),
  },
  ...['eventId', 'source', 'target', 'traceId', 'ipAddress'].map((name): Argument => ({
    name: `attributes.${name}`,
    bad: given(badTexts),
    call: (store, value) => store.appendAudit(event, { [name]: value }),
  })),
  {
    name: 'attributes.observedAt',
    bad: given(badInstants),
    call: (store, value) => store.appendAudit(event, { observedAt: value }),
  },
  {
    name: 'attributes.tags',
    bad: given(badTextLists),
    call: (store, value) => store.appendAudit(event, { tags: value }),
  },
];
const eventArguments: Argument[] = [
  { name: 'event', bad: badEvents, call: (store, value) => store.appendAudit(value), codes: either },
  {
    name: 'event.type',
    bad: [...badTexts, ...reservedTypes],
    call: (store, value) => store.appendAudit({ type: value }),
    codes: either,
  },
  {
    name: 'event.field',
    bad: badJson,
    call: (store, value) => store.appendAudit({ type: 'x', field: value }),
    codes: serialization,
  },
  {
    name: 'event.field of a field',
    bad: badJson,
    call: (store, value) => store.appendAudit({ type: 'x', field: [{ a: [value] }] }),
    codes: serialization,
  },
  ...(
    [
      ['policy_loaded', 'entryCount'],
      ['session_ended', 'durationMs'],
      ['warning_issued', 'thresholdSecs'],
    ] as const
  ).map(([type, name]): Argument => ({
    name: `event.${name}`,
    bad: given(badDurations),
    call: (store, value) => store.appendAudit({ type, [name]: value }),
    codes: either,
  })),
  ...(
    [
      ['session_started', 'sessionId'],
      ['session_started', 'entryId'],
      ['session_ended', 'sessionId'],
      ['session_ended', 'entryId'],
      ['warning_issued', 'sessionId'],
      ['launch_denied', 'entryId'],
    ] as const
  ).map(([type, name]): Argument => ({
    name: `event.${name}`,
    bad: given(badTexts),
    call: (store, value) => store.appendAudit({ type, [name]: value }),
    codes: either,
  })),
];
const badItems: Table = [
  ['undefined', undefined],
  ['null', null],
  ['an event', event],
  ['a string', 'a'],
  ['a Set', new Set([{ event }])],
  ['an array-like', { length: 1, 0: { event } }],
  ['a hole', [, { event }]],
  ['a bad one behind a good one', [{ event }, { event: 5 }]],
  ['an unknown name', [{ event, attribute: {} }]],
  ['null attributes', [{ event, attributes: null }]],
  ['an event as an item', [event]],
  ['a getter that throws', [throwing('event')]],
  ...hostileObjects().map(([name, value]): [string, unknown] => [`an array with ${name}`, [value]]),
];
const filterArguments = (ask: (store: Store, filter: AuditFilter) => unknown): Argument[] => [
  { name: 'filter', bad: [...badOptions, ['a getter that throws', throwing('type')]], call: ask },
  ...['type', 'source', 'target', 'sessionId'].map((name): Argument => ({
    name: `filter.${name}`,
    bad: given(badTexts),
    call: (store, value) => ask(store, { [name]: value }),
  })),
  ...['since', 'until'].map((name): Argument => ({
    name: `filter.${name}`,
    bad: given(badInstants),
    call: (store, value) => ask(store, { [name]: value }),
  })),
  { name: 'filter.beforeId', bad: given(badCounts), call: (store, value) => ask(store, { beforeId: value }) },
];
const hash = 'a'.repeat(64);
const badHashes: Table = [
  ...badTexts,
  ['63 digits', hash.slice(1)],
  ['65 digits', `${hash}a`],
  ['capitals', hash.toUpperCase()],
  ['a newline', `${hash}\n`],
  ['no hexadecimal', 'g'.repeat(64)],
];
const badSignals: Table = [
  ['null', null],
  ['a controller', new AbortController()],
  ['an object like one', { aborted: false }],
];
const verifyArguments: Argument[] = [
  {
    name: 'options',
    bad: [...badOptions, ['a getter that throws', throwing('anchor')]],
    call: (store, value) => store.verifyAudit(value),
  },
  {
    name: 'options.anchor',
    bad: [...badOptions, ['nothing in it', {}], ['a getter that throws', throwing('id')]],
    call: (store, value) => store.verifyAudit({ anchor: value }),
  },
  {
    name: 'options.anchor.id',
    bad: [...badCounts, ['0', 0]],
    call: (store, value) => store.verifyAudit({ anchor: { id: value, hash } }),
  },
  {
    name: 'options.anchor.hash',
    bad: badHashes,
    call: (store, value) => store.verifyAudit({ anchor: { id: 1, hash: value } }),
  },
  { name: 'options.signal', bad: badSignals, call: (store, value) => store.verifyAudit({ signal: value }) },
  { name: 'options.onProgress', bad: badFunctions, call: (store, value) => store.verifyAudit({ onProgress: value }) },
];
const snapshotArguments: Argument[] = [
  {
    name: 'snapshot',
    bad: [
      ...badOptions,
      ['undefined', undefined],
      ['nothing in it', {}],
      ['a getter that throws', throwing('timestamp')],
    ],
    call: (store, value) => store.saveSnapshot(value),
  },
  { name: 'snapshot.timestamp', bad: badInstants, call: (store, value) => store.saveSnapshot({ timestamp: value }) },
  {
    name: 'snapshot.activeSession',
    bad: [...badOptions, ['nothing in it', {}], ['a getter that throws', throwing('entryId')]],
    call: (store, value) => store.saveSnapshot({ timestamp: now, activeSession: value }),
  },
  ...(
    [
      ['sessionId', badTexts],
      ['entryId', badTexts],
      ['startedAt', badInstants],
      ['deadline', given(badInstants)],
      ['elapsedMs', given(badDurations)],
      [
        'warningsIssued',
        [
          ['undefined', undefined],
          ['null', null],
          ['a number', 60],
          ['a hole', [, 60]],
          ...badCounts.map(([name, value]): [string, unknown] => [`an array with ${name}`, [60, value]]),
        ],
      ],
    ] as [string, Table][]
  ).map(([name, bad]): Argument => ({
    name: `snapshot.activeSession.${name}`,
    bad,
    call: (store, value) => store.saveSnapshot({ timestamp: now, activeSession: { ...session, [name]: value } }),
  })),
];
const badTransactions: Table = [
  ...badFunctions,
  ['undefined', undefined],
  ['an async function', async () => {}],
  ['an async generator', async function* () {}],
  ['a function that returns a promise', () => Promise.resolve()],
  ['a function that returns a thenable', () => ({ then: () => {} })],
];

const forceArguments = (call: Argument['call']): Argument[] => [
  { name: 'options', bad: [...badOptions, ['a getter that throws', throwing('force')]], call },
  {
    name: 'options.force',
    bad: [
      ['null', null],
      ['1', 1],
      ['a string', 'yes'],
    ],
    call: (store, value) => call(store, { force: value } as never),
  },
];

const methods: Record<string, Method> = {
  appendAudit: {
    call: (store) => store.appendAudit(event),
    writes: true,
    arguments: [...eventArguments, ...attributeArguments],
  },
  appendAudits: {
    call: (store) => store.appendAudits([{ event }]),
    writes: true,
    arguments: [{ name: 'items', bad: badItems, call: (store, value) => store.appendAudits(value) }],
  },
  getRecentAudits: {
    call: (store) => store.getRecentAudits(5),
    arguments: [
      { name: 'limit', bad: badCounts, call: (store, value) => store.getRecentAudits(value) },
      ...filterArguments((store, value) => store.getRecentAudits(5, value)),
    ],
  },
  findAudits: {
    call: (store) => store.findAudits(),
    arguments: [
      ...filterArguments((store, value) => store.findAudits(value)),
      {
        name: 'options',
        bad: [...badOptions, ['a getter that throws', throwing('signal')]],
        call: (store, value) => store.findAudits({}, value),
      },
      { name: 'options.signal', bad: badSignals, call: (store, value) => store.findAudits({}, { signal: value }) },
    ],
  },
  iterateAudits: {
    call: (store) => store.iterateAudits(),
    arguments: [
      {
        name: 'range',
        bad: [...badOptions, ['a getter that throws', throwing('fromId')]],
        call: (store, value) => store.iterateAudits(value),
      },
      { name: 'range.fromId', bad: given(badCounts), call: (store, value) => store.iterateAudits({ fromId: value }) },
      { name: 'range.toId', bad: given(badCounts), call: (store, value) => store.iterateAudits({ toId: value }) },
    ],
  },
  verifyAudit: { call: (store) => store.verifyAudit(), arguments: verifyArguments },
  auditHead: { call: (store) => store.auditHead() },
  addUsage: {
    call: (store) => store.addUsage('a', day, 1),
    writes: true,
    arguments: [
      { name: 'entryId', bad: badTexts, call: (store, value) => store.addUsage(value, day, 1) },
      { name: 'day', bad: badDays, call: (store, value) => store.addUsage('a', value, 1) },
      { name: 'durationMs', bad: badDurations, call: (store, value) => store.addUsage('a', day, value) },
    ],
  },
  getUsage: {
    call: (store) => store.getUsage('a', day),
    arguments: [
      { name: 'entryId', bad: badTexts, call: (store, value) => store.getUsage(value, day) },
      { name: 'day', bad: badDays, call: (store, value) => store.getUsage('a', value) },
    ],
  },
  getUsageRange: {
    call: (store) => store.getUsageRange('a', day, day),
    arguments: [
      { name: 'entryId', bad: badTexts, call: (store, value) => store.getUsageRange(value, day, day) },
      { name: 'from', bad: badDays, call: (store, value) => store.getUsageRange('a', value, day) },
      { name: 'to', bad: badDays, call: (store, value) => store.getUsageRange('a', day, value) },
    ],
  },
  getUsageForDay: {
    call: (store) => store.getUsageForDay(day),
    arguments: [{ name: 'day', bad: badDays, call: (store, value) => store.getUsageForDay(value) }],
  },
  getStatus: {
    call: (store) => store.getStatus(['a'], day),
    arguments: [
      { name: 'entryIds', bad: badTextLists, call: (store, value) => store.getStatus(value, day) },
      { name: 'day', bad: badDays, call: (store, value) => store.getStatus(['a'], value) },
    ],
  },
  setCooldownUntil: {
    call: (store) => store.setCooldownUntil('a', now),
    writes: true,
    arguments: [
      { name: 'entryId', bad: badTexts, call: (store, value) => store.setCooldownUntil(value, now) },
      { name: 'until', bad: badInstants, call: (store, value) => store.setCooldownUntil('a', value) },
    ],
  },
  getCooldownUntil: {
    call: (store) => store.getCooldownUntil('a'),
    arguments: [{ name: 'entryId', bad: badTexts, call: (store, value) => store.getCooldownUntil(value) }],
  },
  clearCooldown: {
    call: (store) => store.clearCooldown('a'),
    writes: true,
    arguments: [{ name: 'entryId', bad: badTexts, call: (store, value) => store.clearCooldown(value) }],
  },
  listCooldowns: { call: (store) => store.listCooldowns() },
  saveSnapshot: { call: (store) => store.saveSnapshot({ timestamp: now }), writes: true, arguments: snapshotArguments },
  loadSnapshot: { call: (store) => store.loadSnapshot() },
  transaction: {
    call: (store) => store.transaction(() => 1),
    writes: true,
    arguments: [{ name: 'fn', bad: badTransactions, call: (store, value) => store.transaction(value) }],
  },
  detachLedger: {
    call: (store) => store.detachLedger(),
    writes: true,
    arguments: forceArguments((store, value) => store.detachLedger(value)),
  },
  isHealthy: { call: (store) => store.isHealthy(), whenClosed: false },
  health: { call: (store) => store.health() },
  close: { call: (store) => store.close(), whenClosed: undefined },
  recovery: { call: (store) => store.recovery, whenClosed: undefined },
  isReadOnly: { call: (store) => store.isReadOnly, whenClosed: false },
};

const openArguments = (call: (path: never, options?: never) => unknown, names: string[]): Argument[] => {
  const tables: Record<string, Table> = {
    clock: badFunctions,
    busyTimeoutMs: [...given(badCounts), ['2^31', 2 ** 31]],
    snapshotPath: given(badTexts),
    recover: [
      ['null', null],
      ['1', 1],
      ['a string', 'true'],
    ],
    ledger: [
      ['null', null],
      ['a path', 'audit.jsonl'],
      ['an object', {}],
    ],
  };
  return [
    {
      name: 'options',
      bad: [...badOptions, ['a getter that throws', throwing('clock')]],
      call: (_store, value) => call(unmade as never, value),
    },
    ...Object.entries(tables).map(([name, bad]): Argument => ({
      name: `options.${name}`,
      // An option that this way of opening does not have is refused whatever its value.
      bad: names.includes(name)
        ? bad
        : [
            ...bad,
            ['its default', undefined],
            [
              'a good value',
              {
                clock: () => now,
                busyTimeoutMs: 1,
                snapshotPath: 'x',
                recover: true,
                ledger: undefined,
              }[name],
            ],
          ],
      call: (_store, value) => call(unmade as never, { [name]: value } as never),
    })),
  ];
};

const statics: Record<string, Argument[]> = {
  open: [
    { name: 'path', bad: badPaths, call: (_store, value) => SqliteStore.open(value) },
    ...openArguments(
      (path, options) => SqliteStore.open(path, options),
      ['clock', 'busyTimeoutMs', 'snapshotPath', 'recover', 'ledger'],
    ),
  ],
  inMemory: openArguments((_path, options) => SqliteStore.inMemory(options), ['clock']),
  openReadOnly: [
    { name: 'path', bad: badPaths, call: (_store, value) => SqliteStore.openReadOnly(value) },
    ...openArguments(
      (path, options) => SqliteStore.openReadOnly(path, options),
      ['clock', 'busyTimeoutMs', 'snapshotPath'],
    ),
  ],
  migrate: [
    { name: 'path', bad: badPaths, call: (_store, value) => SqliteStore.migrate(value, 1) },
    { name: 'version', bad: badCounts, call: (_store, value) => SqliteStore.migrate(unmade, value) },
    ...forceArguments((_store, value) => SqliteStore.migrate(unmade, 1, value)),
  ],
};

const badZones: Table = [
  ...given(badTexts),
  ['a place that is not', 'Mars/Olympus'],
  ['an array with a zone', ['UTC']],
  ['an object that says a zone', { toString: () => 'UTC' }],
];
const functions: Record<string, Argument[]> = {
  localDay: [
    { name: 'instant', bad: badInstants, call: (_store, value) => localDay(value) },
    { name: 'timeZone', bad: badZones, call: (_store, value) => localDay(now, value) },
  ],
  splitByDay: [
    { name: 'start', bad: badInstants, call: (_store, value) => splitByDay(value, now) },
    {
      name: 'end',
      bad: [...badInstants, ['before the start', new Date(now.getTime() - 1)]],
      call: (_store, value) => splitByDay(now, value),
    },
    { name: 'timeZone', bad: badZones, call: (_store, value) => splitByDay(now, now, value) },
  ],
};

/** No change by whole milliseconds. */
const badChanges: Table = [
  ['0', 0], ['-0', -0], ['-2^53', -(2 ** 53)], ...badDurations.filter(([name]) => name !== 'negative'),
];
const badAvailabilities: Table = [['null', null], ['another word', 'open'], ['a list', ['denied']], ['a number', 1]];

/** What a method of limits refuses: its options as such, and each bad value of one of them. */
function optionArguments(call: Argument['call'], good: object, bad: Record<string, Table>): Argument[] {
  const withOption = (name: string): Argument => ({
    name: `options.${name}`,
    bad: bad[name]!,
    call: (store, value) => call(store, { ...good, [name]: value } as never),
  });
  const unknown: Table = [
    ['an option of no method', { ...good, unknown: 1 }], ['a getter that throws', throwing('day')],
  ];
  return [{ name: 'options', bad: [...badOptions, ...unknown], call }, ...Object.keys(bad).map(withOption)];
}

const grant = { subject: 'a', day, durationMs: 1 };
const correction = { entryId: 'a', day, durationMs: 1, reason: 'r' };
const told = { source: given(badTexts), reason: given(badTexts) };
const toldOnce = { ...told, id: given(badTexts) };

const limitMethods: Record<string, Method> = {
  grantTime: {
    call: (store) => store.grantTime(grant),
    writes: true,
    arguments: optionArguments((store, value) => store.grantTime(value), grant, {
      subject: badTexts, day: badDays, durationMs: badChanges, ...toldOnce,
    }),
  },
  setAvailability: {
    call: (store) => store.setAvailability({ subject: 'a', day, availability: 'denied' }),
    writes: true,
    arguments: optionArguments((store, value) => store.setAvailability(value), { subject: 'a', day }, {
      subject: badTexts, day: badDays, availability: badAvailabilities, ...told, id: [['a text', 'a']],
    }),
  },
  getOverride: {
    call: (store) => store.getOverride('a', day),
    arguments: [
      { name: 'subject', bad: badTexts, call: (store, value) => store.getOverride(value, day) },
      { name: 'day', bad: badDays, call: (store, value) => store.getOverride('a', value) },
    ],
  },
  listOverrides: {
    call: (store) => store.listOverrides(),
    arguments: optionArguments((store, value) => store.listOverrides(value), {}, {
      subject: given(badTexts), day: given(badDays),
    }),
  },
  adjustBalance: {
    call: (store) => store.adjustBalance({ subject: 'a', durationMs: 1 }),
    writes: true,
    arguments: optionArguments((store, value) => store.adjustBalance(value), { subject: 'a', durationMs: 1 }, {
      subject: badTexts, durationMs: badChanges, capMs: given(badDurations), ...toldOnce,
    }),
  },
  getBalance: {
    call: (store) => store.getBalance('a'),
    arguments: [{ name: 'subject', bad: badTexts, call: (store, value) => store.getBalance(value) }],
  },
  listBalances: { call: (store) => store.listBalances() },
  correctUsage: {
    call: (store) => store.correctUsage(correction),
    writes: true,
    arguments: optionArguments((store, value) => store.correctUsage(value), correction, {
      entryId: badTexts, day: badDays, durationMs: [...badChanges, ['more than there is', -1]], ...toldOnce,
      reason: badTexts,
    }),
  },
};
const everyMethod = { ...methods, ...limitMethods };

test('every method and parameter has a row in these tables', () => {
  checkTable(SqliteStore.prototype, methods);
  checkTable(Object.getPrototypeOf(SqliteStore.prototype) as object, limitMethods);
  assert.deepEqual(
    Object.keys(statics).sort(),
    Object.getOwnPropertyNames(SqliteStore)
      // The last one is for the command alone, which checks its arguments, and in no declaration that is shipped.
      .filter((name) => !['length', 'name', 'prototype', 'openAsGuest'].includes(name))
      .sort(),
  );
  for (const [name, rows] of Object.entries(statics)) checkArity(name, Reflect.get(SqliteStore, name), rows);
  checkArity('localDay', localDay, functions['localDay']);
  checkArity('splitByDay', splitByDay, functions['splitByDay']);
});

for (const [name, { arguments: rows = [] }] of Object.entries(everyMethod)) {
  if (rows.length === 0) continue;
  test(`${name} refuses every bad value of every argument, and nothing is written`, async (t) => {
    const folder = new TestFolder(t);
    const store = folder.open<Loose>();
    store.saveSnapshot({ timestamp: now });
    const db = folder.raw();
    const version = (): unknown => db.prepare('PRAGMA data_version').get();
    const files = (): unknown => [
      readdirSync(folder.path).sort(),
      readFileSync(folder.file('store.snapshot.json'), 'utf8'),
    ];
    const before = [version(), files()];
    for (const row of rows) {
      for (const [what, value] of row.bad) {
        const code = await codeOf(() => row.call(store, value as never));
        assert.ok(
          (row.codes ?? ['ERR_STORE_INVALID_ARGUMENT']).includes(code as StoreErrorCode),
          `${row.name}: ${what} → ${code}`,
        );
      }
      assert.deepEqual([version(), files()], before, row.name);
    }
    assert.equal(store.isHealthy(), true);
    assert.equal(store.addUsage('a', day, 1), 1); // and it goes on working
  });
}

for (const [name, rows] of [...Object.entries(statics), ...Object.entries(functions)]) {
  test(`${name} refuses every bad value of every argument, and makes nothing`, async (t) => {
    const store = new TestFolder(t).open<Loose>();
    for (const row of rows) {
      for (const [what, value] of row.bad) {
        assert.equal(
          await codeOf(() => row.call(store, value as never)),
          'ERR_STORE_INVALID_ARGUMENT',
          `${row.name}: ${what}`,
        );
      }
    }
    assert.ok(!existsSync(dirname(unmade)));
  });
}

test('an unknown option is refused by its name', () => {
  for (const call of [
    () => SqliteStore.open(unmade, { busyTimeoutMS: 1 } as object),
    () => SqliteStore.inMemory({ busyTimeoutMS: 1 } as object),
    () => SqliteStore.openReadOnly(unmade, { busyTimeoutMS: 1 } as object),
    () => SqliteStore.migrate(unmade, 1, { busyTimeoutMS: 1 } as object),
  ]) {
    assert.throws(
      call,
      (error) =>
        error instanceof StoreError &&
        error.code === 'ERR_STORE_INVALID_ARGUMENT' &&
        error.message.includes('busyTimeoutMS'),
    );
  }
});

test('every method on a closed store says that it is closed; closing again is fine', async (t) => {
  const store = new TestFolder(t).open<Loose>();
  store.close();
  store.close();
  store[Symbol.dispose]();
  for (const [name, method] of Object.entries(everyMethod)) {
    if ('whenClosed' in method) assert.equal(method.call(store), method.whenClosed, name);
    else assert.equal(await codeOf(() => method.call(store)), 'ERR_STORE_CLOSED', name);
  }
});

test('every writing method of a read-only store says so, and the others work', async (t) => {
  const folder = new TestFolder(t);
  const writer = folder.open<Loose>();
  writer.appendAudit(event);
  writer.saveSnapshot({ timestamp: now });
  writer.close();
  const bytes = (): unknown =>
    readdirSync(folder.path)
      .sort()
      .map((name) => [name, statSync(folder.file(name)).size, statSync(folder.file(name)).mtimeMs]);
  const before = bytes();

  const store = folder.closing(SqliteStore.openReadOnly<Loose>(folder.file()));
  for (const [name, method] of Object.entries(everyMethod)) {
    if (name === 'close') continue;
    assert.equal(await codeOf(() => method.call(store)), method.writes ? 'ERR_STORE_READ_ONLY' : undefined, name);
  }
  store.close();
  assert.deepEqual(bytes(), before);
});

test('a getter is read once: what was checked is what is used', (t) => {
  const store = new TestFolder(t).open<Loose>();
  store.appendAudit({ type: 'x' }, { source: 'a' });
  const turning = (name: string, first: unknown, then: unknown): object => {
    let reads = 0;
    return Object.defineProperty({}, name, { enumerable: true, get: () => (reads++ === 0 ? first : then) });
  };
  assert.equal(store.getRecentAudits(5, turning('source', 'a', { toString: () => 'b' })).length, 1);
  store.saveSnapshot({
    timestamp: now,
    activeSession: Object.assign(turning('entryId', 'a', 5), {
      sessionId: 's',
      startedAt: now,
      warningsIssued: [],
    }) as never,
  });
  assert.equal(store.appendAudit({ type: 'x' }, turning('source', 'a', 'a\0b')).source, 'a');
  assert.deepEqual(store.appendAudit(Object.assign(turning('field', 1, NaN), { type: 'x' })).event, {
    type: 'x',
    field: 1,
  });
});

test('a Date whose methods lie is stored at its own time', (t) => {
  const store = new TestFolder(t).open({ clock: () => now });
  const liar = Object.assign(new Date(now), { toISOString: () => 'never', getTime: () => NaN, toJSON: () => 'never' });
  store.setCooldownUntil('a', liar);
  assert.deepEqual(store.getCooldownUntil('a'), now);
  store.saveSnapshot({ timestamp: liar });
  assert.deepEqual(store.loadSnapshot(), { timestamp: now });
  assert.deepEqual(store.appendAudit({ type: 'service_started' }, { observedAt: liar }).observedAt, now);
  assert.equal(store.getRecentAudits(5, { since: liar }).length, 1);
  assert.equal(store.getRecentAudits(5, { until: liar }).length, 0);
});
