// What a report tells of the log: sessions, denials, changes, the machine, and of which days there is nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SessionSnapshot, SqliteStore } from '../../lib/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import type { MachineEvent } from '../../lib/modules/report/contents.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { Clocks } from '../support/clocks.ts';
import { TestFolder } from '../support/folder.ts';
import { hostileTexts } from '../support/hostile.ts';
import { historyIn, readable, reportOf } from '../support/report-figures.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const days = { from: '2026-11-20', to: '2026-11-22', timeZone: 'UTC' };
const at = (time: string): Date => new Date(`2026-11-${time}:00Z`);

/** A store in memory whose clock is moved by hand. */
function kept(start = '2026-11-20T08:00:00Z'): { store: SqliteStore; clocks: Clocks; [Symbol.dispose](): void } {
  const clocks = new Clocks(start);
  const store = SqliteStore.inMemory(clocks.options);
  return { store, clocks, [Symbol.dispose]: () => store.close() };
}

/** Appends the event of a session's start or end at a time. */
function session(
  { store, clocks }: { store: SqliteStore; clocks: Clocks }, what: 'started' | 'ended', sessionId: string, time: string,
  fields: object = {},
): void {
  clocks.wall = at(time).getTime();
  const ended = what === 'ended' && { reason: { type: 'expired' }, durationMs: 1_000 };
  store.appendAudit({ type: `session_${what}`, sessionId, entryId: 'a', ...ended, ...fields } as never);
}

test('a session that touches a day of the report is shown, the oldest first, with what is known of it', async () => {
  using made = kept();
  session(made, 'started', 'before', '19T10:00');
  session(made, 'ended', 'before', '19T11:00');
  session(made, 'started', 'over the first midnight', '19T23:50');
  session(made, 'ended', 'over the first midnight', '20T00:10', { reason: { type: 'process_exited', exitCode: 3 } });
  session(made, 'started', 'crashed', '20T09:00');
  session(made, 'ended', 'without a start', '20T10:00', { durationMs: 90_500 });
  session(made, 'started', 'over the last midnight', '22T23:00', { entryId: 'b' });
  session(made, 'ended', 'over the last midnight', '23T01:00', { entryId: 'b', durationMs: 7 });
  session(made, 'ended', 'ran before it', '23T02:00', { durationMs: 3 * hourMs });
  session(made, 'started', 'after', '23T10:00');
  session(made, 'ended', 'after', '23T11:00');
  const { sessions } = await historyIn(made.store, days);
  const expired = { type: 'expired' };
  assert.deepEqual(sessions, [
    {
      sessionId: 'over the first midnight', entryId: 'a', from: at('19T23:50'), to: at('20T00:10'), durationMs: 1_000,
      reason: { type: 'process_exited', exitCode: 3 },
    },
    { sessionId: 'crashed', entryId: 'a', from: at('20T09:00'), isRunning: false },
    { sessionId: 'without a start', entryId: 'a', to: at('20T10:00'), durationMs: 90_500, reason: expired },
    {
      sessionId: 'over the last midnight', entryId: 'b', from: at('22T23:00'), to: at('23T01:00'), durationMs: 7,
      reason: expired,
    },
    { sessionId: 'ran before it', entryId: 'a', to: at('23T02:00'), durationMs: 3 * hourMs, reason: expired },
  ]);
  const ofB = await historyIn(made.store, { ...days, entryIds: ['b', 'c'] });
  assert.deepEqual(ofB.sessions.map(({ entryId }) => entryId), ['b']);
  assert.deepEqual(ofB.hours.flat().filter((ms) => ms > 0), [], 'what of it was on the day was not its last 7 ms');
});

test('the session that the snapshot names runs, also where its start is in no log', async () => {
  using made = kept('2026-11-10T08:00:00Z');
  const { store, clocks } = made;
  const tracker = new SessionTracker(store, { timeZone: 'UTC', ...clocks.forTracker });
  const { sessionId } = tracker.start({ entryId: 'a' });
  clocks.set('2026-11-21T10:00:00Z');
  const running = { sessionId, entryId: 'a', from: at('10T08:00'), isRunning: true };
  assert.deepEqual((await historyIn(store, days)).sessions, [running]);
  assert.deepEqual((await historyIn(store, { ...days, to: '2026-11-20' })).sessions, [running]);
  assert.deepEqual((await historyIn(store, { ...days, from: '2026-11-22' })).sessions, []);
  assert.deepEqual((await historyIn(store, { ...days, entryIds: ['b'] })).sessions, []);
  tracker.end({ type: 'expired' });
  assert.deepEqual((await historyIn(store, days)).sessions.map(({ isRunning, to }) => [isRunning, to]), [
    [undefined, at('21T10:00')],
  ]);
  const startedAt = at('21T09:00');
  const activeSession: SessionSnapshot = { sessionId: 'x', entryId: 'b', startedAt, warningsIssued: [] };
  store.saveSnapshot({ timestamp: at('21T10:00'), activeSession });
  assert.deepEqual((await historyIn(store, { ...days, entryIds: ['b'] })).sessions, [
    { sessionId: 'x', entryId: 'b', from: at('21T09:00'), isRunning: true },
  ]);
});

test('an event of a session that another writer made otherwise hides no other session', async () => {
  using made = kept();
  const { store } = made;
  session(made, 'started', 's', '20T09:00', { label: 'first' });
  session(made, 'started', 's', '20T10:00', { label: '' });
  session(made, 'ended', 's', '20T11:00', { entryId: undefined, durationMs: undefined, reason: 'why not' });
  store.appendAudit({ type: 'session_ended' } as never);
  store.appendAudit({ type: 'session_started', label: 'of nobody' } as never);
  session(made, 'ended', 't', '20T12:00', { reason: { type: 'own', exitCode: 'x', error: 5, more: {} } });
  const { history, labels } = await reportOf(store, days);
  assert.deepEqual(readable(history).sessions, [
    { sessionId: 's', entryId: 'a', from: at('20T09:00'), isRunning: false },
    { sessionId: 's', entryId: 'a', from: at('20T10:00'), to: at('20T11:00') },
    { sessionId: 't', entryId: 'a', to: at('20T12:00'), durationMs: 1_000, reason: { type: 'own' } },
  ]);
  assert.deepEqual([...labels], [['a', 'first']]);
});

test('the name of an entry is its newest one, whatever it is', async () => {
  using made = kept();
  const { store, clocks } = made;
  for (const [index, label] of hostileTexts.entries()) {
    for (const [number, each] of ['older', label].entries()) {
      store.appendAudit({
        type: 'session_started', sessionId: `${index} ${number}`, entryId: `e${index}`, label: each,
      });
    }
  }
  clocks.pass(1);
  store.appendAudit({ type: 'session_started', sessionId: 'without', entryId: 'e0' });
  const ids = hostileTexts.filter((text) => !text.includes('\0'));
  for (const entryId of ids) store.appendAudit({ type: 'launch_denied', entryId, reasons: [entryId] });
  const { history, labels } = await reportOf(store, days);
  assert.deepEqual([...labels.values()], hostileTexts);
  const at = new Date(clocks.wall);
  assert.deepEqual(readable(history).denied, ids.map((entryId) => ({ at, entryId, reasons: [entryId] })));
});

test('launches that were denied are shown with their reasons, of the entries that were asked for', async () => {
  using made = kept();
  const { store, clocks } = made;
  store.appendAudit({ type: 'launch_denied', entryId: 'a', reasons: ['daily_quota', 'cooldown'] });
  store.appendAudit({ type: 'launch_denied', entryId: 'b', reasons: [5, 'x'] as never });
  store.appendAudit({ type: 'launch_denied', entryId: 'b' } as never);
  store.appendAudit({ type: 'launch_denied' } as never);
  clocks.set('2026-11-23T00:00:00Z');
  store.appendAudit({ type: 'launch_denied', entryId: 'a', reasons: [] });
  const first = { at: at('20T08:00'), entryId: 'a', reasons: ['daily_quota', 'cooldown'] };
  const others = [['x'], []].map((reasons) => ({ at: at('20T08:00'), entryId: 'b', reasons }));
  assert.deepEqual((await historyIn(store, days)).denied, [first, ...others]);
  assert.deepEqual((await historyIn(store, { ...days, entryIds: ['a'] })).denied, [first]);
});

test('what was granted, opened, earned and corrected is shown, but not what sessions spent', async () => {
  using made = kept();
  const { store, clocks } = made;
  const told = { reason: 'because', source: 'mum' };
  store.grantTime({ subject: 'a', day: '2026-11-20', durationMs: 5_000, ...told });
  store.grantTime({ subject: 'a', day: '2026-11-20', durationMs: -2_000 });
  store.setAvailability({ subject: 'group:g', day: '2026-12-24', availability: 'denied', ...told });
  store.adjustBalance({ subject: 'tokens', durationMs: 9_000, capMs: 7_000, ...told });
  store.adjustBalance({ subject: 'tokens', durationMs: -4_000, source: 'session' });
  store.addUsage('a', '2026-11-20', 3_000);
  store.correctUsage({ entryId: 'a', day: '2026-11-20', durationMs: -1_000, reason: 'the clock was wrong' });
  clocks.set('2026-11-19T23:59:59Z');
  store.grantTime({ subject: 'a', day: '2026-11-20', durationMs: 1 });
  const when = at('20T08:00');
  const all = [
    { at: when, kind: 'granted', subject: 'a', day: '2026-11-20', durationMs: 5_000, ...told },
    { at: when, kind: 'granted', subject: 'a', day: '2026-11-20', durationMs: -2_000 },
    { at: when, kind: 'availability', subject: 'group:g', day: '2026-12-24', availability: 'denied', ...told },
    { at: when, kind: 'earned', subject: 'tokens', durationMs: 7_000, ...told },
    {
      at: when, kind: 'corrected', subject: 'a', day: '2026-11-20', durationMs: -1_000, reason: 'the clock was wrong',
    },
  ];
  assert.deepEqual((await historyIn(store, days)).changes, all);
  const ofA = await historyIn(store, { ...days, entryIds: ['a'] });
  assert.deepEqual(ofA.changes, all.filter(({ subject }) => subject === 'a'));
  const policy = { entries: { a: { groups: ['g'] } }, groups: { g: {} } };
  const withGroup = await historyIn(store, { ...days, entryIds: ['a'], policy });
  assert.deepEqual(withGroup.changes, all.filter(({ subject }) => ['a', 'group:g'].includes(subject)));
});

/** The machine's part without the times. */
const withoutTimes = (machine: readonly MachineEvent[]): object[] => machine.map(({ at: _at, ...rest }) => rest);

test('a service that starts again without having stopped has crashed', async () => {
  using made = kept();
  const { store, clocks } = made;
  const tell = (type: string): void => {
    clocks.pass(minuteMs);
    store.appendAudit({ type } as never);
  };
  const all = ['started', 'stopped', 'started', 'started', 'stopped', 'stopped', 'started'];
  for (const what of all) tell(`service_${what}`);
  clocks.set('2026-11-23T08:00:00Z');
  tell('service_started');
  assert.deepEqual(withoutTimes((await historyIn(store, days)).machine).map((event) => Object.values(event)[0]), [
    'started', 'stopped', 'started', 'crashed', 'started', 'stopped', 'stopped', 'started',
  ]);
  const [crash, start] = (await historyIn(store, { ...days, from: '2026-11-23', to: '2026-11-23' })).machine;
  assert.deepEqual([crash, start], [
    { at: at('23T08:01'), kind: 'crashed' }, { at: at('23T08:01'), kind: 'started' },
  ]);
  // No entry has a part in it.
  const ofEntry = await historyIn(store, { ...days, entryIds: ['a'] });
  assert.equal(ofEntry.machine.length, 8);
});

test('a clock that was set back is shown with how far, and not the small steps of a time service', async () => {
  using made = kept();
  const { store, clocks } = made;
  const jumps = ['20T10:00:00.000', '20T09:00:00.000', '20T09:00:30.000', '20T09:00:29.001', '20T09:00:28.001'];
  for (const time of jumps) {
    clocks.set(`2026-11-${time}Z`);
    store.appendAudit({ type: 'policy_loaded', entryCount: 1 });
  }
  assert.deepEqual((await historyIn(store, days)).machine, [
    { at: at('20T09:00'), kind: 'clock_back', backMs: hourMs },
    { at: new Date('2026-11-20T09:00:28.001Z'), kind: 'clock_back', backMs: 1_000 },
  ]);
});

test('recoveries are shown with what was found and lost', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  folder.open({ clock: () => at('20T08:00') }).close();
  const db = folder.raw();
  const add = (type: string, data: string): void => {
    const sql = `INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash)
      VALUES ((SELECT coalesce(max(id), 0) + 1 FROM audit_log), '2026-11-20T09:00:00.000Z', ?, ?, 'x')`;
    db.prepare(sql).run(type, data);
  };
  add('store_recovered', '{"found":"damaged","lost":{"from":5,"to":9},"moved":[],"usage":0,"cooldowns":0}');
  add('store_recovered', '{"found":"missing","lost":{"to":9}}');
  add('store_recovered', '{"found":5,"lost":{"from":1,"to":"x"}}');
  add('store_backed_up', '{}');
  add('store_verified', '{"ok":true}');
  add('store_identity_renewed', '{"from":"a","to":"b"}');
  db.close();
  const { history, proof } = await reportOf(folder.open(), days);
  assert.deepEqual(withoutTimes(readable(history).machine), [
    { kind: 'recovered', found: 'damaged', lost: { from: 5, to: 9 } },
    { kind: 'recovered', found: 'missing', lost: { to: 9 } },
    { kind: 'recovered' }, { kind: 'backed_up' }, { kind: 'verified' }, { kind: 'identity' },
  ]);
  const { ok, problems, checkedRows } = readable(proof);
  assert.deepEqual([ok, problems.length, checkedRows], [false, 6, 6]);
});

test('a day without an event is silent, whatever was used on it, and one that is to come is not', async () => {
  using made = kept('2026-11-20T08:00:00Z');
  const { store, clocks } = made;
  store.appendAudit({ type: 'service_started' });
  store.addUsage('a', '2026-11-21', 5);
  clocks.set('2026-11-23T00:00:00Z');
  const contents = await reportOf(store, { from: '2026-11-19', to: '2026-11-24', timeZone: 'UTC' });
  assert.deepEqual(readable(contents.history).recorded, ['silent', 'recorded', 'silent', 'silent', 'silent', 'future']);
  assert.deepEqual(readable(contents.usage).dayTotals, [0, 0, 5, 0, 0, 0]);
});

test('days before the first row of a log that was shortened are archived', async (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-11-01T08:00:00Z');
  const store = folder.open(clocks.options);
  for (const day of ['01', '03', '10', '12']) {
    clocks.set(`2026-11-${day}T08:00:00Z`);
    store.appendAudit({ type: 'session_started', sessionId: day, entryId: 'a' });
  }
  const report = { from: '2026-11-02', to: '2026-11-13', timeZone: 'UTC' };
  const before = await historyIn(store, report);
  assert.deepEqual(before.recorded.slice(0, 2), ['silent', 'recorded']);
  assert.deepEqual(before.recordedBefore, [
    ...Array<string>(6).fill('silent'), 'recorded', 'silent', 'recorded', 'silent', 'silent', 'silent',
  ]);
  clocks.set('2026-11-13T08:00:00Z');
  await archiveAudits(store, { folder: folder.file('archives'), upTo: { keepDays: 5 } });
  const contents = await reportOf(store, report);
  const { recorded, recordedBefore, machine } = readable(contents.history);
  assert.deepEqual(recorded, [
    ...Array<string>(8).fill('archived'), 'recorded', 'silent', 'recorded', 'recorded',
  ]);
  assert.deepEqual(recordedBefore, Array<string>(12).fill('archived'));
  assert.deepEqual(machine, [{ at: at('13T08:00'), kind: 'archived' }]);
  assert.equal(readable(contents.proof).archivedId, 2);
});
