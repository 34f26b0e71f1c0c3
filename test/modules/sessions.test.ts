import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { SessionEndReason, SqliteStore } from '../../lib/index.ts';
import { type SessionStart, SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { Clocks } from '../support/clocks.ts';
import { TestFolder } from '../support/folder.ts';
import { badDurations, badFunctions, badInstants, badOptions, badTexts, throwing } from '../support/values.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

const utc = { timeZone: 'UTC' };

function lastEvent(store: SqliteStore): unknown {
  return store.getRecentAudits(1)[0]?.event;
}

test('a session is recorded, charged and followed by a cooldown', (t) => {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const store = new TestFolder(t).open(clocks.options);
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  const deadline = new Date('2026-11-21T11:00:00Z');
  tracker.start({ entryId: 'minecraft', sessionId: 's1', label: 'Minecraft', deadline });
  assert.deepEqual(lastEvent(store), {
    type: 'session_started',
    sessionId: 's1',
    entryId: 'minecraft',
    label: 'Minecraft',
    deadline: '2026-11-21T11:00:00.000Z',
  });

  clocks.pass(30 * minuteMs);
  tracker.touch({ warningsIssued: [300] });
  assert.deepEqual(store.loadSnapshot(), {
    timestamp: new Date('2026-11-21T10:30:00Z'),
    activeSession: {
      sessionId: 's1',
      entryId: 'minecraft',
      startedAt: new Date('2026-11-21T10:00:00Z'),
      deadline,
      warningsIssued: [300],
      elapsedMs: 30 * minuteMs,
      days: [{ day: '2026-11-21', durationMs: 30 * minuteMs }],
    },
  });
  assert.equal(store.auditHead()?.id, 1, 'a touch writes no event');
  clocks.pass(500);
  assert.equal(tracker.active?.elapsedMs, 30 * minuteMs + 500);

  const ended = tracker.end({ type: 'expired' }, { cooldownMs: 10 * minuteMs });
  assert.deepEqual(ended.charged, [{ day: '2026-11-21', durationMs: 30 * minuteMs + 500 }]);
  assert.equal(store.getUsage('minecraft', '2026-11-21'), 30 * minuteMs + 500);
  assert.deepEqual(store.getCooldownUntil('minecraft'), new Date('2026-11-21T10:40:00.500Z'));
  assert.deepEqual(lastEvent(store), {
    type: 'session_ended',
    sessionId: 's1',
    entryId: 'minecraft',
    reason: { type: 'expired' },
    durationMs: 30 * minuteMs + 500,
  });
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date('2026-11-21T10:30:00.500Z') });
  assert.equal(tracker.active, undefined);
});

test('a session across midnight is charged to both days', (t) => {
  const clocks = new Clocks('2026-11-21T23:30:00Z');
  const store = new TestFolder(t).open(clocks.options);
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  tracker.start({ entryId: 'minecraft' });
  clocks.pass(hourMs);
  tracker.end({ type: 'user_stop' });
  assert.deepEqual(store.getUsageRange('minecraft', '2026-01-01', '2026-12-31'), [
    { day: '2026-11-21', durationMs: 30 * minuteMs },
    { day: '2026-11-22', durationMs: 30 * minuteMs },
  ]);
});

test('days are those of the time zone that the tracker was given', (t) => {
  const clocks = new Clocks('2026-11-21T22:30:00Z');
  const store = new TestFolder(t).open(clocks.options);
  const tracker = new SessionTracker(store, { timeZone: 'Europe/Berlin', ...clocks.forTracker });
  tracker.start({ entryId: 'a' });
  clocks.pass(hourMs);
  assert.deepEqual(tracker.end({ type: 'user_stop' }).charged.map(({ day }) => day), ['2026-11-21', '2026-11-22']);
  assert.throws(() => new SessionTracker(store, { timeZone: 'Mars/Olympus' }), { code: 'ERR_STORE_INVALID_ARGUMENT' });
});

test('a wall clock that jumps changes the day and not the duration', (t) => {
  for (const jump of [-300 * 24 * hourMs, -hourMs, 25 * hourMs, 20_000 * 24 * hourMs]) {
    const clocks = new Clocks('2026-11-21T10:00:00Z');
    const store = new TestFolder(t).open(clocks.options);
    const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
    tracker.start({ entryId: 'a' });
    clocks.pass(10 * minuteMs);
    clocks.wall += jump;
    tracker.touch();
    clocks.pass(5 * minuteMs);
    const ended = tracker.end({ type: 'user_stop' });
    assert.equal(ended.durationMs, 15 * minuteMs);
    assert.equal(ended.charged.reduce((sum, { durationMs }) => sum + durationMs, 0), 15 * minuteMs);
    assert.deepEqual(store.getRecentAudits(9).map(({ id }) => id), [2, 1]);
  }
});

test('after a crash the session is charged up to the last touch, once', (t) => {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const folder = new TestFolder(t);
  const before = folder.open(clocks.options);
  const crashed = new SessionTracker(before, { ...utc, ...clocks.forTracker });
  crashed.start({ entryId: 'minecraft', sessionId: 's1' });
  clocks.pass(20 * minuteMs);
  crashed.touch({ warningsIssued: [60] });
  clocks.pass(7 * minuteMs); // lost: nobody wrote it down
  before.close();

  clocks.pass(3 * hourMs);
  const store = folder.open(clocks.options);
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  assert.throws(() => tracker.start({ entryId: 'minecraft' }), { code: 'ERR_STORE_CONFLICT' });
  assert.deepEqual(tracker.recover(), {
    sessionId: 's1', entryId: 'minecraft', reason: { type: 'service_crashed' }, durationMs: 20 * minuteMs,
    charged: [{ day: '2026-11-21', durationMs: 20 * minuteMs }], uncharged: [],
  });
  assert.equal(tracker.recover(), undefined);
  assert.equal(new SessionTracker(store, { ...utc, ...clocks.forTracker }).recover(), undefined);
  assert.equal(store.getUsage('minecraft', '2026-11-21'), 20 * minuteMs);
  assert.deepEqual(lastEvent(store), {
    type: 'session_ended',
    sessionId: 's1',
    entryId: 'minecraft',
    reason: { type: 'service_crashed' },
    durationMs: 20 * minuteMs,
  });
  tracker.start({ entryId: 'minecraft' });
});

test('a session that a crash left is followed by its cooldown as one that was ended, and nothing else is', (t) => {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const folder = new TestFolder(t);
  const store = folder.open(clocks.options);
  const next = (): SessionTracker => new SessionTracker(store, { ...utc, ...clocks.forTracker });
  assert.equal(next().recover({ cooldownMs: 10 * minuteMs }), undefined);
  const running = next();
  const session = running.start({ entryId: 'minecraft', sessionId: 's1' });
  assert.throws(() => running.recover({ cooldownMs: 10 * minuteMs }), { code: 'ERR_STORE_CONFLICT' });
  assert.deepEqual(store.listCooldowns(), []);

  clocks.pass(3 * hourMs);
  assert.throws(() => store.transaction(() => {
    next().recover({ cooldownMs: 10 * minuteMs });
    throw new Error('boom');
  }), /boom/);
  assert.deepEqual(store.listCooldowns(), []);
  assert.equal(next().recover({ cooldownMs: 10 * minuteMs })?.sessionId, 's1');
  assert.deepEqual(store.getCooldownUntil('minecraft'), new Date('2026-11-21T13:10:00Z'));

  // The log says that the session has ended, so there is nothing to recover and nothing to block.
  store.clearCooldown('minecraft');
  store.saveSnapshot({ timestamp: new Date(clocks.wall), activeSession: session });
  assert.equal(next().recover({ cooldownMs: 10 * minuteMs }), undefined);
  assert.equal(store.getCooldownUntil('minecraft'), undefined);

  // Absent options set none, and a longer cooldown stands.
  for (const options of [undefined, {}, { cooldownMs: undefined }]) {
    next().start({ entryId: 'tuxmath' });
    assert.equal(next().recover(options)?.entryId, 'tuxmath');
    assert.equal(store.getCooldownUntil('tuxmath'), undefined);
  }
  const later = new Date('2026-11-22T10:00:00Z');
  store.setCooldownUntil('tuxmath', later);
  next().start({ entryId: 'tuxmath' });
  next().recover({ cooldownMs: minuteMs });
  assert.deepEqual(store.getCooldownUntil('tuxmath'), later);
});

test('an older snapshot that comes back does not charge its session again', (t) => {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const store = new TestFolder(t).open(clocks.options);
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  const session = tracker.start({ entryId: 'a', sessionId: 's1' });
  clocks.pass(minuteMs);
  tracker.end({ type: 'user_stop' });
  store.saveSnapshot({ timestamp: new Date(clocks.wall), activeSession: { ...session, elapsedMs: minuteMs } });
  assert.equal(new SessionTracker(store, { ...utc, ...clocks.forTracker }).recover(), undefined);
  assert.equal(store.getUsage('a', '2026-11-21'), minuteMs);
  assert.equal(store.loadSnapshot()?.activeSession, undefined);
});

test('a snapshot that another program wrote is charged by its wall clock', (t) => {
  const clocks = new Clocks('2026-11-21T12:00:00Z');
  const store = new TestFolder(t).open(clocks.options);
  const session = { sessionId: 's1', entryId: 'a', startedAt: new Date('2026-11-21T10:00:00Z'), warningsIssued: [] };
  store.saveSnapshot({ timestamp: new Date('2026-11-21T10:30:00Z'), activeSession: session });
  assert.equal(new SessionTracker(store, { ...utc, ...clocks.forTracker }).recover()?.durationMs, 30 * minuteMs);
  // One that ended before it began had its clock set back: nothing can be charged.
  store.saveSnapshot({ timestamp: new Date('2026-11-21T09:00:00Z'), activeSession: { ...session, sessionId: 's2' } });
  assert.equal(new SessionTracker(store, { ...utc, ...clocks.forTracker }).recover()?.durationMs, 0);
  // One of decades is booked where it ended, instead of on every day since.
  store.saveSnapshot({
    timestamp: new Date('2026-11-21T10:00:00Z'),
    activeSession: { ...session, sessionId: 's3', startedAt: new Date(0) },
  });
  const recovered = new SessionTracker(store, { ...utc, ...clocks.forTracker }).recover();
  assert.deepEqual(recovered?.charged.map(({ day }) => day), ['2026-11-21']);
});

test('a damaged total stays as it is and the session ends all the same', (t) => {
  const clocks = new Clocks('2026-11-21T23:59:00Z');
  const folder = new TestFolder(t);
  const store = folder.open(clocks.options);
  store.addUsage('a', '2026-11-21', 1_000);
  folder.raw().exec("UPDATE usage SET duration_secs = 'many'");
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  tracker.start({ entryId: 'a', sessionId: 's1' });
  clocks.pass(2 * minuteMs);
  const ended = tracker.end({ type: 'user_stop' });
  assert.deepEqual(
    [ended.charged, ended.uncharged],
    [[{ day: '2026-11-22', durationMs: minuteMs }], [{ day: '2026-11-21', durationMs: minuteMs }]],
  );
  assert.deepEqual(store.getRecentAudits(1)[0]?.tags, ['uncharged:2026-11-21']);
  assert.throws(() => store.getUsage('a', '2026-11-21'), { code: 'ERR_STORE_CORRUPT' });
  assert.equal(store.loadSnapshot()?.activeSession, undefined);
});

test('a total that is full does not keep the session from ending', (t) => {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const store = new TestFolder(t).open(clocks.options);
  store.addUsage('a', '2026-11-21', Number.MAX_SAFE_INTEGER);
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  tracker.start({ entryId: 'a' });
  clocks.pass(minuteMs);
  assert.equal(tracker.end({ type: 'user_stop' }).uncharged.length, 1);
});

test('the end of a session shortens no cooldown and replaces none that cannot be read', (t) => {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const folder = new TestFolder(t);
  const store = folder.open(clocks.options);
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  store.setCooldownUntil('a', new Date('2026-11-22T10:00:00Z'));
  tracker.start({ entryId: 'a' });
  tracker.end({ type: 'admin_stop' }, { cooldownMs: minuteMs });
  assert.deepEqual(store.getCooldownUntil('a'), new Date('2026-11-22T10:00:00Z'));
  folder.raw().exec("UPDATE cooldowns SET until = 'soon'");
  tracker.start({ entryId: 'a' });
  tracker.end({ type: 'admin_stop' }, { cooldownMs: minuteMs });
  assert.throws(() => store.getCooldownUntil('a'), { code: 'ERR_STORE_CORRUPT' });
});

test('a session that another process has ended is not charged a second time', (t) => {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const folder = new TestFolder(t);
  const store = folder.open(clocks.options);
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  tracker.start({ entryId: 'a' });
  clocks.pass(minuteMs);
  tracker.touch();
  new SessionTracker(folder.open(clocks.options), { ...utc, ...clocks.forTracker }).recover();
  assert.throws(() => tracker.end({ type: 'user_stop' }), { code: 'ERR_STORE_CONFLICT' });
  assert.equal(store.getUsage('a', '2026-11-21'), minuteMs);
  assert.equal(tracker.active, undefined);
  assert.throws(() => tracker.touch(), { code: 'ERR_STORE_CONFLICT' });
});

test('one session is active at a time, and a session id is used once', (t) => {
  const store = new TestFolder(t).open();
  const tracker = new SessionTracker(store, utc);
  assert.throws(() => tracker.end({ type: 'user_stop' }), { code: 'ERR_STORE_CONFLICT' });
  tracker.start({ entryId: 'a', sessionId: 's1' });
  assert.throws(() => tracker.start({ entryId: 'b' }), { code: 'ERR_STORE_CONFLICT' });
  assert.throws(() => tracker.recover(), { code: 'ERR_STORE_CONFLICT' });
  tracker.end({ type: 'process_exited', exitCode: 0 });
  assert.throws(() => tracker.start({ entryId: 'a', sessionId: 's1' }), { code: 'ERR_STORE_CONFLICT' });
  assert.equal(tracker.active, undefined);
});

test('a start, touch or end that is rolled back with a transaction around it has not happened', (t) => {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const store = new TestFolder(t).open(clocks.options);
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  const failing = (fn: () => void): void =>
    assert.throws(
      () =>
        store.transaction(() => {
          fn();
          throw new Error('boom');
        }),
      /boom/,
    );
  failing(() => tracker.start({ entryId: 'a', sessionId: 's1' }));
  assert.equal(store.auditHead(), undefined);
  assert.equal(tracker.active, undefined);

  tracker.start({ entryId: 'a', sessionId: 's1' });
  clocks.pass(minuteMs);
  failing(() => tracker.touch({ warningsIssued: [60] }));
  assert.deepEqual(store.loadSnapshot()?.activeSession?.warningsIssued, []);
  failing(() => tracker.end({ type: 'user_stop' }));
  assert.equal(store.getUsage('a', '2026-11-21'), 0);
  assert.partialDeepStrictEqual(tracker.active, { sessionId: 's1', elapsedMs: minuteMs });
  clocks.pass(minuteMs);
  assert.equal(tracker.end({ type: 'user_stop' }).durationMs, 2 * minuteMs);
});

test('a tracker goes on with its session where a transaction that replaced it is undone', (t) => {
  const clocks = new Clocks('2026-11-21T10:00:00Z');
  const store = new TestFolder(t).open(clocks.options);
  const tracker = new SessionTracker(store, { ...utc, ...clocks.forTracker });
  const replace = (sessionId: string): void => {
    tracker.end({ type: 'user_stop' });
    tracker.start({ entryId: 'b', sessionId });
    clocks.pass(minuteMs);
  };
  const boom = new Error('boom');
  tracker.start({ entryId: 'a', sessionId: 's1' });
  clocks.pass(minuteMs);
  assert.throws(() => store.transaction(() => {
    replace('s2');
    assert.throws(() => store.transaction(() => {
      replace('s3');
      replace('s4');
      throw boom;
    }), boom);
    assert.deepEqual([tracker.active?.sessionId, tracker.active?.elapsedMs], ['s2', 3 * minuteMs]);
    throw boom;
  }), boom);
  assert.deepEqual([tracker.active?.sessionId, tracker.active?.elapsedMs], ['s1', 4 * minuteMs]);
  store.transaction(() => replace('s2'));
  assert.equal(tracker.active?.elapsedMs, minuteMs);
  tracker.touch();
  assert.equal(tracker.end({ type: 'user_stop' }).durationMs, minuteMs);
  assert.deepEqual(store.getUsageForDay('2026-11-21'), [
    { entryId: 'a', durationMs: 4 * minuteMs }, { entryId: 'b', durationMs: minuteMs },
  ]);
});

test('bad values are refused before anything is written', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const tracker = new SessionTracker(store);
  const refused = { code: 'ERR_STORE_INVALID_ARGUMENT' };
  for (const [name, value] of badTexts) {
    assert.throws(() => tracker.start({ entryId: value as string }), refused, `entryId: ${name}`);
    if (value === undefined) continue;
    assert.throws(() => tracker.start({ entryId: 'a', sessionId: value as string }), refused, `sessionId: ${name}`);
    assert.throws(() => tracker.start({ entryId: 'a', label: value as string }), refused, `label: ${name}`);
    assert.throws(() => new SessionTracker(store, { timeZone: value as string }), refused, `timeZone: ${name}`);
  }
  for (const [name, value] of badInstants) {
    if (value !== undefined)
      assert.throws(() => tracker.start({ entryId: 'a', deadline: value as Date }), refused, `deadline: ${name}`);
  }
  for (const [name, value] of badOptions) {
    assert.throws(() => tracker.start(value as SessionStart), refused, `start options: ${name}`);
    assert.throws(() => tracker.touch(value as object), refused, `touch options: ${name}`);
    assert.throws(() => tracker.end({ type: 'expired' }, value as object), refused, `end options: ${name}`);
    assert.throws(() => tracker.recover(value as object), refused, `recover options: ${name}`);
    assert.throws(() => new SessionTracker(store, value as object), refused, `tracker options: ${name}`);
  }
  assert.equal(store.auditHead(), undefined);
  tracker.start({ entryId: 'a' });
  for (const [name, value] of badDurations) {
    assert.throws(() => tracker.touch({ warningsIssued: [value as number] }), refused, `warningsIssued: ${name}`);
    if (value === undefined) continue;
    const options = { cooldownMs: value as number };
    assert.throws(() => tracker.end({ type: 'expired' }, options), refused, `cooldownMs: ${name}`);
    assert.throws(() => tracker.recover(options), refused, `cooldownMs of recover: ${name}`);
  }
  assert.throws(() => tracker.touch({ warningsIssued: 5 as unknown as number[] }), refused);
  const badReasons = [
    undefined,
    null,
    'expired',
    {},
    { type: 'unknown' },
    { type: 'expired', exitCode: 0 },
    { type: 'expired', error: 'x' },
    { type: 'expired', because: 'x' },
    throwing('type'),
    ...['0', 1.5, NaN, 2 ** 53, null].map((exitCode) => ({ type: 'process_exited', exitCode })),
    ...[undefined, null, 5].map((error) => ({ type: 'launch_failed', error })),
  ];
  for (const [index, reason] of badReasons.entries())
    assert.throws(() => tracker.end(reason as SessionEndReason), refused, `reason ${index}`);
  for (const [name, value] of badOptions)
    assert.throws(() => new SessionTracker(value as SqliteStore), refused, `store: ${name}`);
  assert.throws(() => new SessionTracker(undefined as unknown as SqliteStore), refused);
  assert.equal(store.auditHead()?.id, 1);
  const broken = new SessionTracker(folder.open(), { monotonicMs: () => NaN });
  assert.throws(() => broken.start({ entryId: 'b' }), refused);
  for (const [name, value] of badFunctions) {
    const options = { monotonicMs: value as () => number };
    assert.throws(() => new SessionTracker(store, options), refused, `monotonicMs: ${name}`);
  }
});

test('every method on a closed store is refused', (t) => {
  const store = new TestFolder(t).open();
  const tracker = new SessionTracker(store);
  tracker.start({ entryId: 'a' });
  const idle = new SessionTracker(store);
  store.close();
  const closed = { code: 'ERR_STORE_CLOSED' };
  assert.throws(() => idle.start({ entryId: 'a' }), closed);
  assert.throws(() => tracker.touch(), closed);
  assert.throws(() => tracker.end({ type: 'expired' }), closed);
  assert.throws(() => idle.recover(), closed);
});

test('a process killed in mid-session loses no more than the time since its last touch', (t) => {
  const folder = new TestFolder(t);
  const lib = new URL('../../lib/', import.meta.url).href;
  const script = `
    import { SqliteStore } from '${lib}index.ts';
    import { SessionTracker } from '${lib}modules/sessions/sessions.ts';
    let elapsed = 0;
    const tracker = new SessionTracker(SqliteStore.open(process.argv[1]), { monotonicMs: () => elapsed });
    tracker.start({ entryId: 'a', sessionId: 's1' });
    elapsed = 90_000; tracker.touch();
    elapsed = 95_000; process.kill(process.pid, 'SIGKILL');`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script, folder.file()], { encoding: 'utf8' });
  assert.equal(child.signal, 'SIGKILL', child.stderr);
  const store = folder.open();
  assert.equal(new SessionTracker(store).recover()?.durationMs, 90_000);
});
