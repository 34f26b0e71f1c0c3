// The figures of a report: usage as `usage` shows it, quotas, and what is told in the place of what cannot be read.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { readUsage } from '../../lib/cli/rows.ts';
import { type SessionSnapshot, SqliteStore } from '../../lib/index.ts';
import { checkPolicy, type LimitPolicy } from '../../lib/modules/limits/limits.ts';
import type { Usage } from '../../lib/modules/report/contents.ts';
import { connect } from '../../lib/store.ts';
import { packageVersion } from '../../lib/values/package-version.ts';
import { snapshotPathOf } from '../../lib/values/paths.ts';
import { damage } from '../support/damage.ts';
import { TestFolder } from '../support/folder.ts';
import { manifest } from '../support/project.ts';
import { readable, reportOf, usageIn } from '../support/report-figures.ts';
import { randomNumbers } from '../support/values.ts';

const hourMs = 3_600_000;
const now = new Date('2026-11-21T12:00:00Z');
const clock = (): Date => now;
const week = { from: '2026-11-15', to: '2026-11-21', timeZone: 'UTC' };

/** The days from the first to the last one. */
function daysFrom(first: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    return new Date(Date.parse(first) + index * 24 * hourMs).toISOString().slice(0, 10);
  });
}

/** What a report shows of usage, as the rows that `usage` has. */
function rowsOf({ entries, unreadable }: Usage, days: readonly string[]): unknown[] {
  const rows = entries.flatMap(({ entryId, byDay }) => {
    return byDay.map((durationMs, index) => ({ entryId, day: days[index]!, durationMs }));
  });
  const failed = unreadable.map(({ entryId, day, message }) => ({ entryId, day, message }));
  return sorted([...rows.filter(({ durationMs }) => durationMs), ...failed]);
}

function sorted(rows: { entryId: string; day: string }[]): unknown[] {
  return rows.sort((a, b) => (a.day + a.entryId < b.day + b.entryId ? -1 : 1));
}

/** The same of the command. */
function shownBy(store: SqliteStore, from: string, to: string, entries?: readonly string[]): unknown[] {
  const rows = readUsage(store, from, to).filter(({ entryId }) => entries?.includes(entryId) ?? true);
  return sorted(rows.filter(({ durationMs }) => durationMs !== 0).map(({ entryId, day, durationMs, error }) => {
    return error ? { entryId, day, message: error.message } : { entryId, day, durationMs };
  }));
}

test('the totals of a report are those of usage, to the millisecond, on stores at random', async (t) => {
  const { seed, between, pick } = randomNumbers();
  t.diagnostic(`SEED=${seed}`);
  for (let round = 0; round < 12; round++) {
    const folder = new TestFolder(t, { checked: false, inMemory: true });
    const store = folder.open({ clock });
    const days = daysFrom('2026-09-01', 100);
    const names = ['a', 'ä', '<b>', '=1+1', '__proto__'];
    const ids = Array.from({ length: between(1, 12) }, (_, index) => pick(names) + pick(['', index]));
    store.transaction(() => {
      for (let count = between(0, 400); count > 0; count--) {
        store.addUsage(pick(ids), pick(days), pick([0, 1, 999, between(0, 86_400_000), between(0, 2 ** 40)]));
      }
    });
    for (let count = round % 2 === 0 ? 0 : between(1, 4); count > 0; count--) {
      const bad = pick(["duration_secs = 'x'", 'duration_secs = -1', 'carry_ms = 1000', 'duration_secs = 9e15']);
      damage(folder.file(), 'usage', `${bad} WHERE day = '${pick(days)}'`);
    }
    const [from, to] = [pick(days), pick(days)].sort() as [string, string];
    const entryIds = round % 3 === 0 ? [pick(ids), pick(ids), 'never used'] : undefined;
    const contents = await reportOf(store, { from, to, timeZone: 'UTC', entryIds });
    const usage = readable(contents.usage);
    const context = `SEED=${seed} round ${round}`;
    const ofDays = { ...usage, unreadable: usage.unreadable.filter(({ day }) => day >= from) };
    assert.deepEqual(rowsOf(ofDays, contents.days), shownBy(store, from, to, entryIds), context);
    // Of the week before, days before the first one are shown too.
    const before = new Date(Date.parse(from) - 7 * 24 * hourMs).toISOString().slice(0, 10);
    const isWanted = ({ entryId }: { entryId: string }): boolean => entryIds?.includes(entryId) ?? true;
    const failed = readUsage(store, before, to).filter((row) => row.error && isWanted(row));
    assert.deepEqual(usage.unreadable.map(({ day }) => day).sort(), failed.map(({ day }) => day).sort(), context);
    const sums = contents.days.map((day) => {
      return readUsage(store, day, day).filter(isWanted).reduce((sum, { durationMs = 0 }) => sum + durationMs, 0);
    });
    assert.deepEqual(usage.dayTotals, sums, context);
    assert.equal(usage.total, sums.reduce((sum, ms) => sum + ms, 0), context);
    assert.deepEqual(usage.weekBefore.slice(7), usage.dayTotals.slice(0, -7), context);
    const totals = usage.entries.map(({ total }) => total);
    assert.deepEqual(totals, totals.toSorted((a, b) => b - a), context);
  }
});

test('the week before a report is that of the same entries', async () => {
  using store = SqliteStore.inMemory({ clock });
  store.addUsage('a', '2026-11-08', 5);
  store.addUsage('b', '2026-11-08', 7);
  store.addUsage('a', '2026-11-14', 11);
  store.addUsage('a', '2026-11-07', 100);
  assert.deepEqual((await usageIn(store, week)).weekBefore, [12, 0, 0, 0, 0, 0, 11]);
  assert.deepEqual((await usageIn(store, { ...week, entryIds: ['a'] })).weekBefore, [5, 0, 0, 0, 0, 0, 11]);
  assert.deepEqual((await usageIn(store, week)).entries, []);
});

test('a session that runs is in no total, because it is charged when it ends', async () => {
  using store = SqliteStore.inMemory({ clock });
  const startedAt = new Date('2026-11-21T10:00:00Z');
  const activeSession: SessionSnapshot = { sessionId: 's', entryId: 'a', startedAt, warningsIssued: [] };
  store.saveSnapshot({ timestamp: now, activeSession });
  assert.equal((await usageIn(store, week)).total, 0);
});

const policy: LimitPolicy = {
  entries: { a: { dailyMs: hourMs, groups: ['g'] }, b: { groups: ['g'] }, c: { weeklyMs: hourMs }, d: { dailyMs: 0 } },
  groups: { g: { dailyMs: 2 * hourMs }, 'of nobody': { dailyMs: hourMs }, h: {} },
};

/** A store with usage and grants on the last two days. */
function limited(t: TestContext): { folder: TestFolder; store: SqliteStore } {
  const folder = new TestFolder(t, { checked: false, inMemory: true });
  const store = folder.open({ clock });
  for (const [index, entryId] of ['a', 'b', 'c', 'd'].entries()) {
    store.addUsage(entryId, '2026-11-20', (index + 1) * 1_000);
    store.addUsage(entryId, '2026-11-21', (index + 1) * 10_000);
  }
  store.grantTime({ subject: 'a', day: '2026-11-20', durationMs: 500 });
  store.grantTime({ subject: 'a', day: '2026-11-21', durationMs: -2 * hourMs });
  store.grantTime({ subject: 'group:g', day: '2026-11-21', durationMs: 1 });
  return { folder, store };
}

const lastDays = { from: '2026-11-20', to: '2026-11-21', timeZone: 'UTC' };

test('a quota is that of the policy with what was granted, and never less than nothing', async (t) => {
  const { store } = limited(t);
  for (const given of [policy, checkPolicy(policy)]) {
    const { quotas } = await reportOf(store, { ...lastDays, policy: given });
    assert.deepEqual(readable(quotas!), [
      { subject: 'a', members: ['a'], dailyMs: hourMs, allowedMs: [hourMs + 500, 0], usedMs: [1_000, 10_000] },
      {
        subject: 'group:g', members: ['a', 'b'], dailyMs: 2 * hourMs, allowedMs: [2 * hourMs, 2 * hourMs + 1],
        usedMs: [3_000, 30_000],
      },
      { subject: 'd', members: ['d'], dailyMs: 0, allowedMs: [0, 0], usedMs: [4_000, 40_000] },
    ]);
  }
  assert.equal((await reportOf(store, lastDays)).quotas, undefined);
});

test('of a group that an entry of the report belongs to, the time of all members is used', async (t) => {
  const { store } = limited(t);
  const contents = await reportOf(store, { ...lastDays, policy, entryIds: ['b'] });
  assert.deepEqual(readable(contents.quotas!).map(({ subject, usedMs }) => [subject, usedMs]), [
    ['group:g', [3_000, 30_000]],
  ]);
  assert.deepEqual(readable(contents.usage).entries.map(({ entryId }) => entryId), ['b']);
  assert.deepEqual(contents.entryIds, ['b']);
});

test('a total or a grant that cannot be read leaves a gap in its quota, and in no other', async (t) => {
  const { folder, store } = limited(t);
  damage(folder.file(), 'usage', "duration_secs = 'x' WHERE entry_id = 'b' AND day = '2026-11-20'");
  damage(folder.file(), 'overrides', "granted_ms = 0.5 WHERE subject = 'a' AND day = '2026-11-21'");
  const { quotas, usage } = await reportOf(store, { ...lastDays, policy });
  assert.deepEqual(readable(quotas!).map(({ subject, allowedMs, usedMs }) => [subject, allowedMs, usedMs]), [
    ['a', [hourMs + 500, undefined], [1_000, 10_000]],
    ['group:g', [2 * hourMs, 2 * hourMs + 1], [undefined, 30_000]],
    ['d', [0, 0], [4_000, 40_000]],
  ]);
  assert.deepEqual(readable(usage).unreadable.map(({ entryId, day }) => [entryId, day]), [['b', '2026-11-20']]);
  assert.match(readable(usage).unreadable[0]!.message, /usage of 'b' on '2026-11-20' cannot be read/);
});

test('a day that cannot be read may be any, of a total and of a grant', async (t) => {
  const { folder, store } = limited(t);
  const db = folder.raw();
  db.exec("UPDATE usage SET day = '2026-11-20x' WHERE entry_id = 'b' AND day = '2026-11-20'");
  db.exec("UPDATE overrides SET day = '2026-11-20x' WHERE subject = 'a' AND day = '2026-11-20'");
  const { quotas, usage } = await reportOf(store, { ...lastDays, policy });
  assert.deepEqual(readable(quotas!).slice(0, 2).map(({ allowedMs, usedMs }) => [allowedMs, usedMs]), [
    [[undefined, undefined], [1_000, 10_000]],
    [[2 * hourMs, 2 * hourMs + 1], [undefined, undefined]],
  ]);
  assert.deepEqual(readable(usage).unreadable.map(({ entryId }) => entryId), ['b']);
});

test('a report says what it is of', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  store.appendAudit({ type: 'service_started' });
  const contents = await reportOf(store, {});
  assert.deepEqual(contents.days, daysFrom('2026-10-25', 28));
  assert.equal(contents.madeAt.getTime(), now.getTime());
  assert.equal(contents.timeZone, new Intl.DateTimeFormat().resolvedOptions().timeZone);
  assert.equal(contents.uuid, connect(store).uuid);
  const [sqlite] = Object.values(folder.raw().prepare('SELECT sqlite_version()').get()!);
  assert.deepEqual(contents.versions, {
    package: manifest.version, schema: store.health().schemaVersion, node: process.versions.node, sqlite,
  });
  assert.equal(packageVersion, manifest.version);
  assert.deepEqual(readable(contents.proof), {
    ok: true, checkedRows: 1, anchor: store.auditHead(), problems: [],
  });
});

test('without a last day a report goes to today, without a first one it has 28 days', async () => {
  using store = SqliteStore.inMemory({ clock });
  const daysOf = async (options: object): Promise<string[]> => (await reportOf(store, options)).days;
  assert.deepEqual(await daysOf({ from: '2026-11-20', timeZone: 'UTC' }), ['2026-11-20', '2026-11-21']);
  assert.deepEqual(await daysOf({ to: '2026-03-28' }), daysFrom('2026-03-01', 28));
  assert.equal((await daysOf({ timeZone: 'Pacific/Kiritimati' })).at(-1), '2026-11-22');
  assert.deepEqual(await daysOf({ from: '0000-01-01', to: '0000-01-02' }), ['0000-01-01', '0000-01-02']);
  assert.deepEqual(await daysOf({ from: '9999-12-30', to: '9999-12-31' }), ['9999-12-30', '9999-12-31']);
});

test('a report can be read from a store that is only read, inside a transaction, and beside a writer', async (t) => {
  const folder = new TestFolder(t);
  const writer = folder.open({ clock });
  writer.addUsage('a', '2026-11-21', 5);
  using reader = SqliteStore.openReadOnly(folder.file(), { clock });
  assert.equal((await usageIn(reader, week)).total, 5);
  writer.addUsage('a', '2026-11-21', 5);
  assert.equal((await usageIn(reader, week)).total, 10);
  const pending = writer.transaction(() => {
    writer.addUsage('a', '2026-11-21', 5);
    return { report: usageIn(writer, week) };
  });
  assert.equal((await pending.report).total, 15);
});

test('where nobody can read what runs, the report goes on', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open({ clock });
  store.appendAudit({ type: 'session_started', sessionId: 's', entryId: 'a' });
  const activeSession: SessionSnapshot = { sessionId: 's', entryId: 'a', startedAt: now, warningsIssued: [] };
  store.saveSnapshot({ timestamp: now, activeSession });
  store.close();
  damage(folder.file(), 'snapshot', "data = '{'");
  rmSync(snapshotPathOf(folder.file()));
  using reader = SqliteStore.openReadOnly(folder.file(), { clock });
  const { history } = await reportOf(reader, week);
  assert.deepEqual(readable(history).sessions, [{ sessionId: 's', entryId: 'a', from: now }]);
});
