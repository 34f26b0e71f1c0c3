// What several limits say together: each row is a policy, what the store holds, and the whole verdict.
import assert from 'node:assert/strict';
import { type DatabaseSync, StatementSync } from 'node:sqlite';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import {
  type EntryRules, evaluate, evaluateAll, type GroupRules, type LimitPolicy, type Verdict,
} from '../../lib/modules/limits/limits.ts';
import { TestFolder } from '../support/folder.ts';
import { balance, override } from '../support/limits.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const today = '2026-11-21'; // a Saturday
const tomorrow = '2026-11-22';
const now = new Date(`${today}T17:00:00Z`);
const open = [{ from: '08:00', to: '20:00' }];
const shut = [{ from: '08:00', to: '16:00' }];
const on = (day: string, time = '00:00'): Date => new Date(`${day}T${time}:00Z`);
const inMs = (ms: number): Date => new Date(now.getTime() + ms);

/** A session of an entry that was started and saved so many minutes ago. */
function runs(store: SqliteStore, entryId: string, startedMinutes: number, savedMinutes = 0): void {
  store.saveSnapshot({
    timestamp: inMs(-savedMinutes * minuteMs),
    activeSession: { sessionId: 's', entryId, startedAt: inMs(-startedMinutes * minuteMs), warningsIssued: [] },
  });
}

interface Row {
  /** Of the entry `a`. */
  rules?: EntryRules;
  /** Of the group `games`. */
  games?: GroupRules;
  weekStartsOn?: number;
  /** Another entry than `a`. */
  entryId?: string;
  given?: (store: SqliteStore, db: DatabaseSync) => void;
  expected: Partial<Verdict>;
}

const inGames = { groups: ['games'] };
const rows: Record<string, Row> = {
  'no rule at all': { expected: {} },
  'an entry that the policy does not have': {
    entryId: 'b', expected: { reasons: [{ code: 'unknown_entry', subject: 'b' }] },
  },
  'unknown, denied and in cooldown': {
    entryId: 'b',
    given: (store, db) => {
      override(db, 'b', today, hourMs, 'denied');
      store.setCooldownUntil('b', inMs(hourMs));
    },
    expected: {
      reasons: [
        { code: 'unknown_entry', subject: 'b' }, { code: 'denied', subject: 'b', until: on(tomorrow) },
        { code: 'cooldown', subject: 'b', until: inMs(hourMs) },
      ],
    },
  },
  'denied and granted': {
    rules: { dailyMs: hourMs },
    given: (_, db) => override(db, 'a', today, hourMs, 'denied'),
    expected: { reasons: [{ code: 'denied', subject: 'a', until: on(tomorrow) }], changesAt: on(tomorrow) },
  },
  'denied today and tomorrow': {
    given: (_, db) => [today, tomorrow].forEach((day) => override(db, 'a', day, 0, 'denied')),
    expected: { reasons: [{ code: 'denied', subject: 'a', until: on(tomorrow) }], changesAt: on('2026-11-23') },
  },
  'denied tomorrow': {
    given: (_, db) => override(db, 'a', tomorrow, 0, 'denied'),
    expected: { remainingMs: 7 * hourMs },
  },
  'the group denied and the entry allowed': {
    rules: { ...inGames, windows: shut },
    given: (_, db) => {
      override(db, 'group:games', today, 0, 'denied');
      override(db, 'a', today, 0, 'allowed');
    },
    expected: {
      reasons: [{ code: 'denied', subject: 'group:games', until: on(tomorrow) }],
      changesAt: on(tomorrow, '08:00'),
    },
  },
  'the quota used up to the millisecond': {
    rules: { dailyMs: hourMs },
    given: (store) => store.addUsage('a', today, hourMs),
    expected: { reasons: [{ code: 'daily_quota', subject: 'a', until: on(tomorrow) }], changesAt: on(tomorrow) },
  },
  'a millisecond left': {
    rules: { dailyMs: hourMs },
    given: (store) => store.addUsage('a', today, hourMs - 1),
    expected: { remainingMs: 1 },
  },
  'the quota used up and time granted': {
    rules: { dailyMs: hourMs },
    given: (store, db) => {
      store.addUsage('a', today, hourMs);
      override(db, 'a', today, 30 * minuteMs);
    },
    expected: { remainingMs: 30 * minuteMs },
  },
  'more taken away than there is, today and tomorrow': {
    rules: { dailyMs: hourMs },
    given: (_, db) => [today, tomorrow].forEach((day) => override(db, 'a', day, -2 * hourMs)),
    expected: {
      reasons: [{ code: 'daily_quota', subject: 'a', until: on('2026-11-23') }],
      changesAt: on('2026-11-23'),
    },
  },
  'no time a day, but for a grant of Monday': {
    rules: { dailyMs: 0 },
    given: (_, db) => override(db, 'a', '2026-11-23', hourMs),
    expected: {
      reasons: [{ code: 'daily_quota', subject: 'a', until: on('2026-11-23') }],
      changesAt: on('2026-11-23'),
    },
  },
  'no time a day': { rules: { dailyMs: 0 }, expected: { reasons: [{ code: 'daily_quota', subject: 'a' }] } },
  'a grant without a quota': { given: (_, db) => override(db, 'a', today, -hourMs), expected: {} },
  'a grant of the entry does not extend the quota of its group': {
    rules: { ...inGames, dailyMs: hourMs }, games: { dailyMs: hourMs },
    given: (store, db) => {
      store.addUsage('b', today, 50 * minuteMs);
      override(db, 'a', today, 5 * hourMs);
    },
    expected: { remainingMs: 10 * minuteMs },
  },
  'the group used up and the entry not': {
    rules: { ...inGames, dailyMs: hourMs }, games: { dailyMs: hourMs },
    given: (store) => store.addUsage('b', today, 2 * hourMs),
    expected: {
      reasons: [{ code: 'daily_quota', subject: 'group:games', until: on(tomorrow) }], changesAt: on(tomorrow),
    },
  },
  'the entry used up and the group not': {
    rules: { ...inGames, dailyMs: hourMs }, games: { dailyMs: 3 * hourMs },
    given: (store) => store.addUsage('a', today, hourMs),
    expected: { reasons: [{ code: 'daily_quota', subject: 'a', until: on(tomorrow) }], changesAt: on(tomorrow) },
  },
  'the week used up, which ends before a day with time left': {
    rules: { dailyMs: hourMs, weeklyMs: 2 * hourMs },
    given: (store) => ['2026-11-16', today].forEach((day) => store.addUsage('a', day, hourMs)),
    expected: {
      reasons: [
        { code: 'daily_quota', subject: 'a', until: on(tomorrow) },
        { code: 'weekly_quota', subject: 'a', until: on('2026-11-23') },
      ],
      changesAt: on('2026-11-23'),
    },
  },
  'last week does not count': {
    rules: { weeklyMs: hourMs }, given: (store) => store.addUsage('a', '2026-11-15', hourMs),
    expected: { remainingMs: hourMs },
  },
  'a week that begins on Sunday': {
    rules: { weeklyMs: hourMs }, weekStartsOn: 7, given: (store) => store.addUsage('a', '2026-11-15', hourMs),
    expected: { reasons: [{ code: 'weekly_quota', subject: 'a', until: on(tomorrow) }], changesAt: on(tomorrow) },
  },
  'no time a week': { rules: { weeklyMs: 0 }, expected: { reasons: [{ code: 'weekly_quota', subject: 'a' }] } },
  'outside its window and in cooldown': {
    rules: { windows: shut },
    given: (store) => store.setCooldownUntil('a', on(tomorrow, '09:30')),
    expected: {
      reasons: [
        { code: 'outside_window', subject: 'a', until: on(tomorrow, '08:00') },
        { code: 'cooldown', subject: 'a', until: on(tomorrow, '09:30') },
      ],
      changesAt: on(tomorrow, '09:30'),
    },
  },
  'a cooldown that ends when the window has closed': {
    rules: { windows: open },
    given: (store) => store.setCooldownUntil('a', inMs(4 * hourMs)),
    expected: {
      reasons: [{ code: 'cooldown', subject: 'a', until: inMs(4 * hourMs) }],
      changesAt: on(tomorrow, '08:00'),
    },
  },
  'a cooldown that is just over': { given: (store) => store.setCooldownUntil('a', now), expected: {} },
  'a cooldown of the group': {
    rules: inGames, given: (store) => store.setCooldownUntil('group:games', inMs(1)),
    expected: { reasons: [{ code: 'cooldown', subject: 'group:games', until: inMs(1) }], changesAt: inMs(1) },
  },
  'the window closes before the quota is used up': {
    rules: { windows: open, dailyMs: 5 * hourMs }, expected: { remainingMs: 3 * hourMs },
  },
  'two windows that touch, and one over midnight': {
    rules: {
      windows: [{ from: '16:00', to: '18:00' }, { from: '18:00', to: '24:00' }, { from: '23:00', to: '02:00' }],
    },
    expected: { remainingMs: 9 * hourMs },
  },
  'a window over midnight belongs to the day on which it began': {
    rules: { windows: [{ days: [5], from: '18:00', to: '17:30' }, { days: [6], from: '20:00', to: '04:00' }] },
    expected: { remainingMs: 30 * minuteMs },
  },
  'a window that is open all day, every day': { rules: { windows: [{ from: '00:00', to: '24:00' }] }, expected: {} },
  'a list without a window': {
    rules: { windows: [] }, expected: { reasons: [{ code: 'outside_window', subject: 'a' }] },
  },
  'allowed lifts windows, those of the group too': {
    rules: { ...inGames, windows: shut }, games: { windows: shut },
    given: (_, db) => override(db, 'a', today, 0, 'allowed'),
    expected: { remainingMs: 7 * hourMs },
  },
  'allowed for the group lifts its windows only': {
    rules: { ...inGames, windows: shut }, games: { windows: shut },
    given: (_, db) => override(db, 'group:games', today, 0, 'allowed'),
    expected: {
      reasons: [{ code: 'outside_window', subject: 'a', until: on(tomorrow, '08:00') }],
      changesAt: on(tomorrow, '08:00'),
    },
  },
  'allowed lifts no quota': {
    rules: { windows: shut, dailyMs: hourMs },
    given: (store, db) => {
      override(db, 'a', today, 0, 'allowed');
      store.addUsage('a', today, hourMs);
    },
    expected: {
      reasons: [{ code: 'daily_quota', subject: 'a', until: on(tomorrow) }],
      changesAt: on(tomorrow, '08:00'),
    },
  },
  'allowed tomorrow': {
    rules: { windows: [] },
    given: (_, db) => override(db, 'a', tomorrow, 0, 'allowed'),
    expected: { reasons: [{ code: 'outside_window', subject: 'a', until: on(tomorrow) }], changesAt: on(tomorrow) },
  },
  'a balance of nothing, and allowed': {
    rules: { usesBalance: true },
    given: (_, db) => override(db, 'a', today, 0, 'allowed'),
    expected: { reasons: [{ code: 'no_balance', subject: 'a' }], balance: 'a' },
  },
  'a balance, and a quota that is used up': {
    rules: { usesBalance: true, dailyMs: hourMs },
    given: (store, db) => {
      balance(db, 'a', hourMs);
      store.addUsage('a', today, hourMs);
    },
    expected: {
      reasons: [{ code: 'daily_quota', subject: 'a', until: on(tomorrow) }], changesAt: on(tomorrow), balance: 'a',
    },
  },
  'a balance that several entries share': {
    rules: { usesBalance: 'group:games' },
    given: (store, db) => {
      balance(db, 'group:games', hourMs);
      runs(store, 'b', 20);
    },
    expected: { remainingMs: 40 * minuteMs, balance: 'group:games' },
  },
  'the running session counts for its entry, up to now': {
    rules: { dailyMs: hourMs },
    given: (store) => {
      store.addUsage('a', today, 10 * minuteMs);
      runs(store, 'a', 30, 5);
    },
    expected: { remainingMs: 20 * minuteMs },
  },
  'the running session counts for its group': {
    rules: inGames, games: { dailyMs: hourMs },
    given: (store) => runs(store, 'b', 60),
    expected: {
      reasons: [{ code: 'daily_quota', subject: 'group:games', until: on(tomorrow) }], changesAt: on(tomorrow),
    },
  },
  'the running session of an entry in no group': {
    rules: { ...inGames, dailyMs: hourMs }, games: { dailyMs: hourMs },
    given: (store) => runs(store, 'c', 60),
    expected: { remainingMs: hourMs },
  },
  'the part of yesterday counts for the week only': {
    rules: { dailyMs: 18 * hourMs, weeklyMs: 20 * hourMs },
    given: (store) => runs(store, 'a', 19 * 60),
    expected: { remainingMs: hourMs },
  },
  'a session that the log says has ended': {
    rules: { dailyMs: hourMs },
    given: (store) => {
      runs(store, 'a', 60);
      const reason = { type: 'user_stop' } as const;
      const ended = { type: 'session_ended', sessionId: 's', entryId: 'a', reason, durationMs: 0 } as const;
      store.appendAudit(ended, { eventId: 'session_ended:s' });
    },
    expected: { remainingMs: hourMs },
  },
  'a session that was saved when the clock was ahead': {
    rules: { dailyMs: hourMs },
    given: (store) => runs(store, 'a', -10, -30),
    expected: { remainingMs: 40 * minuteMs },
  },
  'everything at once': {
    rules: { ...inGames, windows: shut, dailyMs: 0, weeklyMs: 0, usesBalance: true },
    games: { windows: [], dailyMs: 0 },
    given: (store, db) => {
      for (const subject of ['a', 'group:games']) {
        override(db, subject, today, 0, 'denied');
        store.setCooldownUntil(subject, inMs(hourMs));
      }
    },
    expected: {
      reasons: [
        { code: 'denied', subject: 'a', until: on(tomorrow) },
        { code: 'denied', subject: 'group:games', until: on(tomorrow) },
        { code: 'outside_window', subject: 'a', until: on(tomorrow, '08:00') },
        { code: 'outside_window', subject: 'group:games' },
        { code: 'daily_quota', subject: 'a' },
        { code: 'daily_quota', subject: 'group:games' },
        { code: 'weekly_quota', subject: 'a' },
        { code: 'cooldown', subject: 'a', until: inMs(hourMs) },
        { code: 'cooldown', subject: 'group:games', until: inMs(hourMs) },
        { code: 'no_balance', subject: 'a' },
      ],
      balance: 'a',
    },
  },
};

/** The whole verdict: it is allowed where no reason is given, and the deadline follows from what remains. */
function whole({ reasons = [], remainingMs, ...rest }: Partial<Verdict>): Verdict {
  const remaining = remainingMs === undefined ? {} : { remainingMs, deadline: inMs(remainingMs) };
  return { allowed: reasons.length === 0, reasons, ...remaining, ...rest };
}

for (const [name, { rules = {}, games = {}, weekStartsOn, entryId = 'a', given, expected }] of Object.entries(rows)) {
  test(`limits together: ${name}`, (t) => {
    const folder = new TestFolder(t, { inMemory: true });
    const store = folder.open({ clock: () => now });
    given?.(store, folder.raw());
    const b = entryId === 'b' ? {} : { b: { ...inGames, usesBalance: 'group:games' } };
    const policy: LimitPolicy = { entries: { a: rules, ...b }, groups: { games }, weekStartsOn };
    assert.deepEqual(evaluate(store, policy, entryId, { timeZone: 'UTC' }), whole(expected));
  });
}

test('an instant may be asked about, and nothing is recorded of it', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock: () => now });
  store.setCooldownUntil('a', inMs(hourMs));
  const policy = { entries: { a: { windows: open } } };
  const ask = (at: Date): Verdict => evaluate(store, policy, 'a', { at, timeZone: 'UTC' });
  assert.deepEqual(ask(on(today, '07:00')).reasons.map(({ code }) => code), ['outside_window', 'cooldown']);
  assert.equal(ask(on(today, '18:30')).remainingMs, 1.5 * hourMs);
  store.addUsage('a', today, 1);
  const [row] = folder.raw().prepare('SELECT * FROM cooldowns').all();
  assert.equal(row!['clock_behind_at'], null);
});

test('a cooldown that was set by a clock that was ahead lasts as long as it was set for', (t) => {
  let clock = new Date('2031-01-01T00:00:00Z');
  const store = new TestFolder(t).open({ clock: () => clock });
  store.setCooldownUntil('a', new Date(clock.getTime() + hourMs));
  clock = now;
  const { reasons } = evaluate(store, { entries: { a: {} } }, 'a');
  assert.deepEqual(reasons, [{ code: 'cooldown', subject: 'a', until: inMs(hourMs) }]);
});

test('ids and names that every object has are ids and names like any other', (t) => {
  const store = new TestFolder(t).open({ clock: () => now });
  const ids = ['__proto__', 'constructor', 'toString'];
  for (const entryId of ids) assert.equal(evaluate(store, { entries: {} }, entryId).reasons[0]!.code, 'unknown_entry');
  const named = <T>(value: T): Record<string, T> => Object.fromEntries(ids.map((id) => [id, value]));
  const policy = { entries: named({ groups: ids, dailyMs: hourMs }), groups: named({ dailyMs: hourMs }) };
  store.addUsage('__proto__', today, hourMs);
  const verdicts = evaluateAll(store, policy, ids, { timeZone: 'UTC' });
  assert.deepEqual(verdicts.map(({ reasons }) => reasons.length), [4, 3, 3]);
});

test('many entries take as many queries as one, and are given in the order in which they are asked for', (t) => {
  const store = new TestFolder(t).open({ clock: () => now });
  const ids = Array.from({ length: 50 }, (_, number) => `entry-${number}`);
  const rules = (number: number): EntryRules => ({ groups: [`g${number % 5}`], dailyMs: hourMs, usesBalance: true });
  const policy: LimitPolicy = {
    entries: Object.fromEntries(ids.map((id, number) => [id, rules(number)])),
    groups: Object.fromEntries([0, 1, 2, 3, 4].map((number) => [`g${number}`, { weeklyMs: hourMs, windows: open }])),
  };
  const queriesOf = (entryIds: readonly string[]): number => {
    let queries = 0;
    for (const name of ['all', 'get'] as const) {
      const original = StatementSync.prototype[name];
      t.mock.method(StatementSync.prototype, name, function (this: StatementSync, ...values: never[]) {
        queries++;
        return Reflect.apply(original, this, values) as never;
      });
    }
    const verdicts = evaluateAll(store, policy, entryIds);
    t.mock.restoreAll();
    assert.deepEqual(verdicts.map(({ entryId }) => entryId), entryIds);
    return queries;
  };
  assert.equal(queriesOf(['entry-7', ...ids, 'unknown']), queriesOf(['entry-7']));
  assert.deepEqual(evaluateAll(store, policy, []), []);
});

test('a store that is only read, and an open transaction, are asked like any other', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock: () => now });
  runs(store, 'a', 20);
  const policy = { entries: { a: { dailyMs: hourMs } } };
  const ask = (asked: SqliteStore): number | undefined => evaluate(asked, policy, 'a', { timeZone: 'UTC' }).remainingMs;
  store.transaction(() => {
    store.addUsage('a', today, 10 * minuteMs);
    assert.equal(ask(store), 30 * minuteMs);
  });
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file(), { clock: () => now }));
  assert.equal(ask(reader), 30 * minuteMs);
  store.close();
  assert.throws(() => ask(store), { code: 'ERR_STORE_CLOSED' });
});

test('a window goes on over a day that its zone left out, on which nothing can be denied', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  override(folder.raw(), 'a', '2011-12-30', 0, 'denied');
  const policy = { entries: { a: { windows: [{ days: [4], from: '22:00', to: '02:00' }] } } };
  const options = { at: new Date('2011-12-30T09:00:00Z'), timeZone: 'Pacific/Apia' }; // 23:00 on Thursday the 29th
  assert.equal(evaluate(store, policy, 'a', options).remainingMs, 3 * hourMs);
});
