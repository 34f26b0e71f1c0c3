// Limits of a database that has lost something: what comes back, and which of two values holds.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { type Availability, SqliteStore } from '../../lib/index.ts';
import { snapshotPathOf } from '../../lib/values/paths.ts';
import { limitCall } from '../support/crash-worker.ts';
import { TestFolder } from '../support/folder.ts';
import { makeDatabase } from '../support/foreign.ts';
import { dump, ledgerIn, openBoth } from '../support/ledger.ts';
import { callLimit, LimitModel } from '../support/limits-model.ts';
import { totalsIn } from '../support/plan-model.ts';
import { randomNumbers } from '../support/values.ts';

const day = '2026-11-21';
const clock = (): Date => new Date(`${day}T12:00:00Z`);
const days = ['2026-11-19', '2026-11-20', day, '2026-11-22'];

/** Overrides of days from before yesterday to tomorrow, and balances, one of which is spent. */
function change(store: SqliteStore): void {
  for (const [index, on] of days.entries()) {
    store.grantTime({ subject: 'game', day: on, durationMs: 100 + index });
    store.setAvailability({ subject: 'group:games', day: on, availability: index % 2 === 0 ? 'denied' : 'allowed' });
  }
  store.adjustBalance({ subject: 'game', durationMs: 500 });
  store.adjustBalance({ subject: 'paint', durationMs: 7 });
  store.adjustBalance({ subject: 'paint', durationMs: -7 });
  store.addUsage('game', day, 1_000);
  store.correctUsage({ entryId: 'game', day, durationMs: -400, reason: 'r' });
}

test('a destroyed database gets overrides from yesterday on, and every balance, from the snapshot file', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  change(store);
  store.saveSnapshot({ timestamp: clock() });
  const overrides = store.listOverrides().filter((each) => each.day >= '2026-11-20');
  store.close();
  rmSync(folder.file());
  const again = folder.open({ clock, recover: true });
  assert.equal(again.recovery?.found, 'missing');
  assert.equal(again.recovery.restored.limits, overrides.length + 1);
  assert.deepEqual(again.listOverrides(), overrides);
  assert.deepEqual(again.listBalances(), [{ subject: 'game', balanceMs: 500 }]);
  assert.equal(again.getBalance('paint'), 0);
  assert.equal(again.getUsage('game', day), 600);
  // What came back is in the log of the new database, where a change adds to it.
  const { source, event } = again.getRecentAudits(1, { type: 'balance_adjusted' })[0]!;
  assert.deepEqual([source, event], ['recovery', {
    type: 'balance_adjusted', subject: 'game', durationMs: 500, appliedMs: 500, balanceMs: 500,
  }]);
  assert.deepEqual(again.grantTime({ subject: 'game', day, durationMs: 1 }), { applied: true, grantedMs: 103 });
  again.close();
  assert.equal(folder.open({ clock }).recovery, undefined);
});

test('a destroyed database gets all limits and ids from the ledger', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder, { clock });
  change(store);
  store.grantTime({ subject: 'game', day, durationMs: 1, id: 'tap' });
  store.saveSnapshot({ timestamp: clock() });
  const expected = dump(store);
  store.close();
  rmSync(folder.file());
  const again = folder.open({ clock, recover: true, ledger: ledgerIn(folder) });
  assert.deepEqual(dump(again), expected);
  assert.equal(again.recovery?.restored.limits, undefined);
  assert.equal(again.grantTime({ subject: 'game', day, durationMs: 1, id: 'tap' }).applied, false);
});

/** A store as it was, with the snapshot file of what it became: `before` and `after` change it. */
function setBack(folder: TestFolder, before: (store: SqliteStore) => void, after: (store: SqliteStore) => void): void {
  const store = folder.open({ clock });
  before(store);
  store.saveSnapshot({ timestamp: clock() });
  store.close();
  copyFileSync(folder.file(), folder.file('older.db'));
  const later = folder.open({ clock });
  after(later);
  later.saveSnapshot({ timestamp: clock() });
  later.close();
  copyFileSync(folder.file('older.db'), folder.file());
}

const availabilities = [undefined, 'allowed', 'denied'] as const;
const strictest = (a: Availability | undefined, b: Availability | undefined): Availability | undefined =>
  [a, b].includes('denied') ? 'denied' : a === undefined || b === undefined ? undefined : 'allowed';

test('of two values the stricter one holds: the smaller grant and balance, denied before neither before '
  + 'allowed', (t) => {
  for (const was of availabilities) {
    for (const is of availabilities) {
      for (const [stored, inFile] of [[5, 9], [9, 5], [5, -5]] as const) {
        const folder = new TestFolder(t);
        const set = (granted: number, availability: Availability | undefined) => (store: SqliteStore): void => {
          const { grantedMs } = store.getOverride('game', day);
          store.grantTime({ subject: 'game', day, durationMs: granted - grantedMs });
          store.setAvailability({ subject: 'game', day, availability });
          store.adjustBalance({ subject: 'game', durationMs: Math.max(1, granted) - store.getBalance('game') });
        };
        setBack(folder, set(stored, was), set(inFile, is));
        const store = folder.open({ clock });
        assert.equal(store.recovery?.found, 'behind');
        const { grantedMs, availability } = store.getOverride('game', day);
        assert.deepEqual([grantedMs, availability], [Math.min(stored, inFile), strictest(was, is)], `${was} ${is}`);
        assert.equal(store.getBalance('game'), Math.max(1, Math.min(stored, inFile)));
        store.close();
        assert.equal(folder.open({ clock }).recovery, undefined);
      }
    }
  }
});

test('rows that the database lacks come back, those that are damaged stay as they are, and others are not '
  + 'touched', (t) => {
  const folder = new TestFolder(t, { checked: false });
  setBack(folder, (store) => {
    store.grantTime({ subject: 'kept', day, durationMs: 5 });
    store.adjustBalance({ subject: 'kept', durationMs: 5 });
    store.grantTime({ subject: 'damaged', day, durationMs: 5 });
    store.adjustBalance({ subject: 'damaged', durationMs: 5 });
  }, (store) => {
    store.grantTime({ subject: 'lost', day, durationMs: 7 });
    store.grantTime({ subject: 'less', day, durationMs: -7 });
    store.setAvailability({ subject: 'open', day, availability: 'allowed' });
    store.adjustBalance({ subject: 'lost', durationMs: 7 });
  });
  makeDatabase(folder.file(), `PRAGMA ignore_check_constraints = ON;
    UPDATE overrides SET availability = 'open' WHERE subject = 'damaged';
    UPDATE balances SET balance_ms = -1 WHERE subject = 'damaged';`);
  const store = folder.open({ clock });
  assert.equal(store.recovery?.restored.limits, 4);
  for (const [subject, override] of Object.entries({
    kept: { grantedMs: 5 }, lost: { grantedMs: 7 }, less: { grantedMs: -7 },
    open: { grantedMs: 0, availability: 'allowed' },
  })) assert.deepEqual(store.getOverride(subject, day), override);
  assert.deepEqual([store.getBalance('kept'), store.getBalance('lost')], [5, 7]);
  assert.throws(() => store.getOverride('damaged', day), { code: 'ERR_STORE_CORRUPT' });
  assert.throws(() => store.getBalance('damaged'), { code: 'ERR_STORE_CORRUPT' });
});

test('after any history and loss each limit is the stricter one of the two copies, or that of the one that '
  + 'has it', (t) => {
  const { seed, between } = randomNumbers();
  t.diagnostic(`seed ${seed}`);
  for (let round = 0; round < 40; round++) {
    const folder = new TestFolder(t, { inMemory: true });
    const model = new LimitModel();
    const usage = new Map<string, number>();
    const totals = totalsIn(usage);
    const calls = (count: number) => (store: SqliteStore): void => {
      for (; count > 0; count--) {
        const call = limitCall(between(1, 1e6), between(0, 100));
        assert.deepEqual(callLimit(store, call), model.apply(call, totals).given, `seed ${seed}`);
      }
    };
    let stored: [ReturnType<LimitModel['overrides']>, ReturnType<LimitModel['balances']>] = [[], []];
    setBack(folder, (store) => {
      calls(between(0, 12))(store);
      stored = [model.overrides(), model.balances()];
    }, calls(between(1, 12)));
    const store = folder.open({ clock });
    const [overrides, balances] = stored;
    for (const subject of ['entry-0', 'entry-1', 'group:games']) {
      const inFile = model.overrides().find((each) => each.subject === subject);
      const was = overrides.find((each) => each.subject === subject);
      const found = store.getOverride(subject, day);
      const hasRow = rowOf(folder, subject);
      assert.ok(hasRow || (!inFile && !was));
      const grants = [inFile?.grantedMs ?? 0, was?.grantedMs ?? 0];
      // One that one of the copies has not at all comes from the other.
      assert.ok(grants.includes(found.grantedMs), `seed ${seed}: ${found.grantedMs} of ${grants.join(' and ')}`);
      if (was && inFile) {
        assert.equal(found.grantedMs, Math.min(...grants), `seed ${seed}`);
        assert.equal(found.availability, strictest(was.availability, inFile.availability), `seed ${seed}`);
      }
      const [now, before] = [model.balances(), balances].map((all) => all.find((each) => each.subject === subject));
      const expected = before && now ? Math.min(before.balanceMs, now.balanceMs) : (before ?? now)?.balanceMs ?? 0;
      assert.equal(store.getBalance(subject), expected, `seed ${seed}`);
    }
    store.close();
  }
});

function rowOf(folder: TestFolder, subject: string): boolean {
  using db = new DatabaseSync(folder.file(), { readOnly: true });
  return db.prepare('SELECT 1 FROM overrides WHERE subject = ?').get(subject) !== undefined;
}

/** Changes the content of a snapshot file, which stays whole. */
function editFile(path: string, edit: (content: Record<string, unknown>) => void): void {
  const { format, content } = JSON.parse(readFileSync(path, 'utf8')) as { format: string; content: object };
  edit(content as Record<string, unknown>);
  const text = JSON.stringify(content);
  writeFileSync(path, `{"format":"${format}","checksum":"${hash('sha256', text)}","content":${text}}\n`);
}

test('limits in a file that an older version has written again, after it healed the rest, come back', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  change(store);
  store.saveSnapshot({ timestamp: clock() });
  const [overrides, balances] = [store.listOverrides(), store.listBalances()];
  store.close();
  // Version 7 brings usage and cooldowns into the new database, and writes what it does not know again as it was.
  const file = snapshotPathOf(folder.file());
  let limits: unknown;
  editFile(file, (content) => {
    ({ limits } = content);
    delete content['limits'];
  });
  rmSync(folder.file());
  folder.open({ clock, recover: true }).close();
  editFile(file, (content) => (content['limits'] = limits));
  const again = folder.open({ clock });
  assert.equal(again.recovery?.restored.limits, overrides.filter((each) => each.day >= '2026-11-20').length + 1);
  assert.deepEqual(again.listOverrides(), overrides.filter((each) => each.day >= '2026-11-20'));
  assert.deepEqual(again.listBalances(), balances.filter(({ balanceMs }) => balanceMs > 0));
  again.close();
  assert.equal(folder.open({ clock }).recovery, undefined);
});
