// Sessions beside limits: a deadline that is set anew while a session runs, and the balance that a session spends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { rebuildDatabase } from '../../lib/ledger/index.ts';
import { type EndedSession, type SessionStart, SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { Clocks } from '../support/clocks.ts';
import { TestFolder } from '../support/folder.ts';
import { ledgerIn, openBoth } from '../support/ledger.ts';
import { badInstants, badOptions, badTexts, given, throwing } from '../support/values.ts';

const minuteMs = 60_000;
const conflict = { code: 'ERR_STORE_CONFLICT' };
const refused = { code: 'ERR_STORE_INVALID_ARGUMENT' };
const day = '2026-11-21';

function clocksAtTen(): Clocks {
  return new Clocks(`${day}T10:00:00Z`);
}

function trackerOf(store: SqliteStore, clocks: Clocks): SessionTracker {
  return new SessionTracker(store, { timeZone: 'UTC', ...clocks.forTracker });
}

/** The events of the log, oldest first, without those of the ledger itself. */
function eventsOf(store: SqliteStore): unknown[] {
  const events = [...store.iterateAudits()].map(({ event }) => event);
  return events.filter(({ type }) => type !== 'ledger_attached');
}

test('the deadline of a running session is set anew, later or earlier, by an event and in the snapshot', (t) => {
  const clocks = clocksAtTen();
  const store = new TestFolder(t).open(clocks.options);
  const tracker = trackerOf(store, clocks);
  tracker.start({ entryId: 'a', sessionId: 's1', deadline: new Date(`${day}T11:00:00Z`) });
  tracker.touch({ warningsIssued: [300] });
  for (const time of ['11:30:00', '10:20:00']) {
    clocks.pass(10 * minuteMs);
    const deadline = new Date(`${day}T${time}Z`);
    const session = tracker.extend({ deadline });
    assert.partialDeepStrictEqual(session, { sessionId: 's1', entryId: 'a', deadline, warningsIssued: [300] });
    assert.deepEqual(store.loadSnapshot(), { timestamp: new Date(clocks.wall), activeSession: session });
    assert.deepEqual(tracker.active, session);
    assert.deepEqual(eventsOf(store).at(-1), {
      type: 'session_extended', sessionId: 's1', entryId: 'a', deadline: deadline.toISOString(),
    });
  }
  // The save counts like a touch: a crash loses no time before it.
  assert.equal(trackerOf(store, clocks).recover()?.durationMs, 20 * minuteMs);
});

test('a session that had no deadline gets one, and an undone extension leaves the one before', (t) => {
  const clocks = clocksAtTen();
  const store = new TestFolder(t).open(clocks.options);
  const tracker = trackerOf(store, clocks);
  tracker.start({ entryId: 'a' });
  const deadline = new Date(`${day}T11:00:00Z`);
  tracker.extend({ deadline });
  assert.throws(() => store.transaction(() => {
    tracker.extend({ deadline: new Date(`${day}T12:00:00Z`) });
    throw new Error('boom');
  }), /boom/);
  assert.deepEqual(tracker.active?.deadline, deadline);
  assert.equal(eventsOf(store).length, 2);
});

test('without an active session nothing is extended', (t) => {
  const clocks = clocksAtTen();
  const store = new TestFolder(t).open(clocks.options);
  const tracker = trackerOf(store, clocks);
  const extend = (): unknown => tracker.extend({ deadline: new Date(`${day}T11:00:00Z`) });
  assert.throws(extend, conflict);
  assert.equal(store.auditHead(), undefined);
  tracker.start({ entryId: 'a' });
  trackerOf(store, clocks).recover(); // as another process would
  assert.throws(extend, conflict);
  assert.equal(eventsOf(store).length, 2);
  store.close();
  assert.throws(extend, { code: 'ERR_STORE_CLOSED' });
});

test('bad deadlines and balances are refused before anything is written', (t) => {
  const clocks = clocksAtTen();
  const store = new TestFolder(t).open(clocks.options);
  const tracker = trackerOf(store, clocks);
  for (const [name, value] of given(badTexts)) {
    assert.throws(() => tracker.start({ entryId: 'a', balance: value as string }), refused, `balance: ${name}`);
  }
  assert.throws(() => tracker.start(throwing('balance') as SessionStart), refused);
  assert.equal(store.auditHead(), undefined);
  const session = tracker.start({ entryId: 'a' });
  for (const [name, value] of badInstants) {
    assert.throws(() => tracker.extend({ deadline: value as Date }), refused, `deadline: ${name}`);
  }
  for (const [name, value] of [['none', undefined], ...badOptions]) {
    assert.throws(() => tracker.extend(value as { deadline: Date }), refused, `options: ${name as string}`);
  }
  for (const [name, value] of given(badTexts)) {
    const activeSession = { ...session, balance: value as string };
    const save = (): void => store.saveSnapshot({ timestamp: new Date(clocks.wall), activeSession });
    assert.throws(save, refused, `balance of a state: ${name}`);
  }
  assert.deepEqual(eventsOf(store).length, 1);
  assert.deepEqual(tracker.active?.deadline, undefined);
  for (const value of ['', 5, null]) {
    const sessionId = 's2';
    const started = { type: 'session_started' as const, sessionId, entryId: 'a', balance: value as string };
    assert.throws(() => store.appendAudit(started), refused);
    const extended = { type: 'session_extended' as const, sessionId: value as string, entryId: 'a', deadline: '' };
    assert.throws(() => store.appendAudit(extended), refused);
  }
});

/** Ways to open a store, each of which must keep balances right. */
const modes: [name: string, open: (folder: TestFolder, options: OpenOptions) => SqliteStore][] = [
  ['without a ledger', (folder, options) => folder.open(options)],
  ['with a ledger', (folder, options) => openBoth(folder, options)],
];

/** Ways to end a session that ran for 20 minutes up to its last touch. */
const ends: [name: string, end: (store: SqliteStore, tracker: SessionTracker, clocks: Clocks) => EndedSession][] = [
  ['that ends', (_, tracker) => tracker.end({ type: 'user_stop' })],
  ['that a crash left', (store, _, clocks) => trackerOf(store, clocks).recover()!],
];

for (const [mode, open] of modes) {
  for (const [how, end] of ends) {
    test(`a session ${how} takes its time off its balance, ${mode}`, async (t) => {
      const clocks = clocksAtTen();
      const folder = new TestFolder(t);
      const store = open(folder, clocks.options);
      store.adjustBalance({ subject: 'group:games', durationMs: 60 * minuteMs });
      store.adjustBalance({ subject: 'a', durationMs: minuteMs });
      const tracker = trackerOf(store, clocks);
      const started = tracker.start({ entryId: 'a', sessionId: 's1', balance: 'group:games' });
      assert.equal(started.balance, 'group:games');
      clocks.pass(20 * minuteMs);
      tracker.touch();
      assert.equal(store.loadSnapshot()?.activeSession?.balance, 'group:games');
      const ended = end(store, tracker, clocks);
      assert.deepEqual([ended.durationMs, ended.spentMs], [20 * minuteMs, 20 * minuteMs]);
      assert.deepEqual(store.listBalances(), [
        { subject: 'a', balanceMs: minuteMs }, { subject: 'group:games', balanceMs: 40 * minuteMs },
      ]);
      assert.equal(store.getUsage('a', day), 20 * minuteMs);
      const [spent] = store.getRecentAudits(1, { type: 'balance_adjusted' });
      assert.deepEqual([spent?.event, spent?.eventId, spent?.source], [
        {
          type: 'balance_adjusted', subject: 'group:games', durationMs: -20 * minuteMs,
          appliedMs: -20 * minuteMs, balanceMs: 40 * minuteMs,
        },
        'balance_adjusted:session_ended:s1', 'session',
      ]);
      assert.equal(store.getRecentAudits(1)[0]?.tags, undefined);
      assert.ok((await store.verifyAudit()).ok);
    });
  }
}

test('a balance in a ledger is rebuilt as the sessions have left it', async (t) => {
  const clocks = clocksAtTen();
  const folder = new TestFolder(t);
  const store = openBoth(folder, clocks.options);
  store.adjustBalance({ subject: 'a', durationMs: 60 * minuteMs });
  const tracker = trackerOf(store, clocks);
  for (const entryId of ['a', 'b']) {
    tracker.start({ entryId, balance: 'a' });
    clocks.pass(20 * minuteMs);
    tracker.extend({ deadline: new Date(clocks.wall) });
    tracker.end({ type: 'expired' });
  }
  store.close();
  await rebuildDatabase(ledgerIn(folder), folder.file('rebuilt.db'));
  using rebuilt = SqliteStore.openReadOnly(folder.file('rebuilt.db'));
  assert.deepEqual(rebuilt.listBalances(), [{ subject: 'a', balanceMs: 20 * minuteMs }]);
});

test('the event of the start names the balance, and one that used none says nothing of it', (t) => {
  const clocks = clocksAtTen();
  const store = new TestFolder(t).open(clocks.options);
  const tracker = trackerOf(store, clocks);
  tracker.start({ entryId: 'a', sessionId: 's1', balance: 'a' });
  tracker.end({ type: 'user_stop' });
  const session = tracker.start({ entryId: 'a', sessionId: 's2' });
  const ended = tracker.end({ type: 'user_stop' });
  assert.deepEqual([Object.hasOwn(session, 'balance'), Object.hasOwn(ended, 'spentMs')], [false, false]);
  const started = eventsOf(store).filter((event) => (event as { type: string }).type === 'session_started');
  assert.deepEqual(started, [
    { type: 'session_started', sessionId: 's1', entryId: 'a', balance: 'a' },
    { type: 'session_started', sessionId: 's2', entryId: 'a' },
  ]);
});

test('a balance that is smaller than the session goes to 0, and a session without time takes nothing', (t) => {
  const clocks = clocksAtTen();
  const store = new TestFolder(t).open(clocks.options);
  const tracker = trackerOf(store, clocks);
  tracker.start({ entryId: 'a', balance: 'a' });
  assert.equal(tracker.end({ type: 'user_stop' }).spentMs, 0);
  assert.deepEqual(store.listBalances(), []);
  store.adjustBalance({ subject: 'a', durationMs: 5 * minuteMs });
  for (const spentMs of [5 * minuteMs, 0]) {
    tracker.start({ entryId: 'a', balance: 'a' });
    clocks.pass(20 * minuteMs);
    const ended = tracker.end({ type: 'user_stop' });
    assert.deepEqual([ended.spentMs, ended.durationMs], [spentMs, 20 * minuteMs]);
    assert.ok(Object.is(store.getBalance('a'), 0));
  }
});

test('a balance is spent once, whatever is repeated', (t) => {
  const clocks = clocksAtTen();
  const folder = new TestFolder(t);
  const store = folder.open(clocks.options);
  store.adjustBalance({ subject: 'a', durationMs: 60 * minuteMs });
  const tracker = trackerOf(store, clocks);
  const session = tracker.start({ entryId: 'a', sessionId: 's1', balance: 'a' });
  clocks.pass(20 * minuteMs);
  tracker.touch();
  // An end that is undone spends nothing, and the session goes on.
  assert.throws(() => store.transaction(() => {
    tracker.end({ type: 'user_stop' });
    throw new Error('boom');
  }), /boom/);
  assert.equal(store.getBalance('a'), 60 * minuteMs);
  // Another process ends it first.
  const other = folder.open(clocks.options);
  assert.equal(trackerOf(other, clocks).recover()?.spentMs, 20 * minuteMs);
  assert.throws(() => tracker.end({ type: 'user_stop' }), conflict);
  // An older snapshot comes back.
  store.saveSnapshot({ timestamp: new Date(clocks.wall), activeSession: session });
  assert.equal(trackerOf(store, clocks).recover(), undefined);
  assert.equal(store.getBalance('a'), 40 * minuteMs);
});

test('a session that only the snapshot knows of spends the balance that it names there', (t) => {
  const clocks = clocksAtTen();
  const store = new TestFolder(t).open(clocks.options);
  store.adjustBalance({ subject: 'a', durationMs: 60 * minuteMs });
  const startedAt = new Date(clocks.wall - 20 * minuteMs);
  const activeSession = { sessionId: 's1', entryId: 'a', startedAt, warningsIssued: [], balance: 'a' };
  store.saveSnapshot({ timestamp: new Date(clocks.wall), activeSession });
  assert.equal(trackerOf(store, clocks).recover()?.spentMs, 20 * minuteMs);
  assert.equal(store.getBalance('a'), 40 * minuteMs);
});

test('a session starts and ends beside an override that cannot be read', (t) => {
  const clocks = clocksAtTen();
  const folder = new TestFolder(t);
  const store = folder.open(clocks.options);
  store.grantTime({ subject: 'a', day, durationMs: minuteMs });
  folder.raw().exec('PRAGMA ignore_check_constraints = ON; UPDATE overrides SET granted_ms = 9007199254740992');
  const tracker = trackerOf(store, clocks);
  tracker.start({ entryId: 'a' });
  tracker.end({ type: 'user_stop' });
  assert.throws(() => store.getOverride('a', day), { code: 'ERR_STORE_CORRUPT' });
  folder.raw().exec('DELETE FROM overrides');
});

test('a session whose id was used for another change of a balance ends, and takes nothing', (t) => {
  const clocks = clocksAtTen();
  const store = new TestFolder(t).open(clocks.options);
  store.adjustBalance({ subject: 'a', durationMs: 60 * minuteMs, id: 'session_ended:s1' });
  const tracker = trackerOf(store, clocks);
  tracker.start({ entryId: 'a', sessionId: 's1', balance: 'a' });
  clocks.pass(minuteMs);
  assert.deepEqual([tracker.end({ type: 'user_stop' }).spentMs, store.getBalance('a')], [0, 60 * minuteMs]);
  assert.deepEqual(store.getRecentAudits(1)[0]?.tags, ['unspent:a']);
});

for (const damage of ['-1', '9007199254740992']) {
  test(`a damaged balance of ${damage} ms stays as it is and the session ends all the same`, (t) => {
    const clocks = clocksAtTen();
    const folder = new TestFolder(t);
    const store = folder.open(clocks.options);
    store.adjustBalance({ subject: 'group:games', durationMs: minuteMs });
    folder.raw().exec(`PRAGMA ignore_check_constraints = ON; UPDATE balances SET balance_ms = ${damage}`);
    const stored = folder.raw().prepare('SELECT subject, CAST(balance_ms AS TEXT) FROM balances').all();
    for (const [how, end] of ends) {
      const tracker = trackerOf(store, clocks);
      tracker.start({ entryId: 'a', balance: 'group:games' });
      clocks.pass(minuteMs);
      tracker.touch();
      const ended = end(store, tracker, clocks);
      assert.deepEqual([ended.durationMs, ended.spentMs], [minuteMs, 0], how);
      assert.deepEqual(store.getRecentAudits(1)[0]?.tags, ['unspent:group:games']);
      assert.equal(store.loadSnapshot()?.activeSession, undefined);
      assert.throws(() => store.getBalance('group:games'), { code: 'ERR_STORE_CORRUPT' });
    }
    assert.deepEqual(folder.raw().prepare('SELECT subject, CAST(balance_ms AS TEXT) FROM balances').all(), stored);
    assert.equal(store.getUsage('a', day), 2 * minuteMs);
    folder.raw().exec('DELETE FROM balances');
  });
}
