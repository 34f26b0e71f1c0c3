// Limits beyond the rules: what each change gives and leaves, what is refused, and what a damaged row does.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';
import { TestFolder } from '../support/folder.ts';
import { ledgerIn } from '../support/ledger.ts';
import { Companion } from '../support/process.ts';

const day = '2026-11-21';
const conflict = { code: 'ERR_STORE_CONFLICT' };
const invalid = { code: 'ERR_STORE_INVALID_ARGUMENT' };
const corrupt = { code: 'ERR_STORE_CORRUPT' };
const most = Number.MAX_SAFE_INTEGER;

/** The folder's store without or with a ledger: limits are the same in both. */
function openIn(folder: TestFolder, withLedger: boolean): SqliteStore {
  return folder.open(withLedger ? { ledger: ledgerIn(folder) } : {});
}

/** What the store's events of limits say, with whatever stands beside them. */
function eventsOf(store: SqliteStore): object[] {
  const types: string[] = ['time_granted', 'availability_set', 'balance_adjusted', 'usage_corrected'];
  return [...store.iterateAudits()].filter(({ event }) => types.includes(event.type))
    .map(({ id: _id, timestamp: _timestamp, ...rest }) => rest);
}

test('the message of a conflict begins with the values of the id, and holds no reason of any length', (t) => {
  const store = new TestFolder(t).open();
  const grant = { subject: 'game', day, durationMs: 60, id: 'tap' };
  store.grantTime({ ...grant, reason: 'r'.repeat(1_000_000) });
  assert.throws(() => store.grantTime({ ...grant, durationMs: 61 }), (error: Error) => {
    assert.ok(error.message.includes('"subject":"game"') && error.message.length < 300, error.message.slice(0, 300));
    return true;
  });
});

for (const withLedger of [false, true]) {
  const mode = withLedger ? ' with a ledger' : '';

  test(`grants of one day add up, each subject and day by itself, and may take away${mode}`, (t) => {
    const folder = new TestFolder(t);
    const store = openIn(folder, withLedger);
    const grant = (subject: string, on: string, durationMs: number): unknown =>
      store.grantTime({ subject, day: on, durationMs });
    assert.deepEqual(store.getOverride('game', day), { grantedMs: 0 });
    assert.deepEqual(grant('game', day, 1_800_000), { applied: true, grantedMs: 1_800_000 });
    assert.deepEqual(grant('game', day, 600_001), { applied: true, grantedMs: 2_400_001 });
    assert.deepEqual(grant('game', '2026-11-22', 5), { applied: true, grantedMs: 5 });
    assert.deepEqual(grant('group:games', day, -7), { applied: true, grantedMs: -7 });
    assert.deepEqual(grant('game', day, -2_400_002), { applied: true, grantedMs: -1 });
    store.close();
    const again = openIn(folder, withLedger);
    assert.deepEqual(again.getOverride('game', day), { grantedMs: -1 });
    assert.deepEqual(again.listOverrides(), [
      { subject: 'game', day, grantedMs: -1 },
      { subject: 'group:games', day, grantedMs: -7 },
      { subject: 'game', day: '2026-11-22', grantedMs: 5 },
    ]);
  });

  test(`each change is an event with what was asked for and what came of it${mode}`, (t) => {
    const store = openIn(new TestFolder(t), withLedger);
    store.addUsage('game', day, 3_600_000);
    store.grantTime({ subject: 'game', day, durationMs: 10, source: 'admin', reason: 'birthday' });
    store.grantTime({ subject: 'game', day, durationMs: 5, id: 'tap' });
    store.setAvailability({ subject: 'game', day, availability: 'denied', reason: 'ill' });
    store.setAvailability({ subject: 'game', day, availability: undefined });
    store.adjustBalance({ subject: 'game', durationMs: 100, capMs: 60, id: 'tap', source: 'tablet' });
    store.adjustBalance({ subject: 'game', durationMs: -100 });
    store.correctUsage({ entryId: 'game', day, durationMs: -3_600_000, reason: 'not played' });
    assert.deepEqual(eventsOf(store), [
      { event: { type: 'time_granted', subject: 'game', day, durationMs: 10, grantedMs: 10, reason: 'birthday' },
        source: 'admin' },
      { event: { type: 'time_granted', subject: 'game', day, durationMs: 5, grantedMs: 15 },
        eventId: 'time_granted:tap' },
      { event: { type: 'availability_set', subject: 'game', day, availability: 'denied', reason: 'ill' } },
      { event: { type: 'availability_set', subject: 'game', day, availability: null } },
      { event: { type: 'balance_adjusted', subject: 'game', durationMs: 100, capMs: 60, appliedMs: 60, balanceMs: 60 },
        eventId: 'balance_adjusted:tap', source: 'tablet' },
      { event: { type: 'balance_adjusted', subject: 'game', durationMs: -100, appliedMs: -60, balanceMs: 0 } },
      { event: { type: 'usage_corrected', entryId: 'game', day, durationMs: -3_600_000, totalMs: 0,
        reason: 'not played' } },
    ]);
  });

  test(`a repeated id changes nothing and gives the state; with other values it is a conflict${mode}`, (t) => {
    const store = openIn(new TestFolder(t), withLedger);
    store.addUsage('game', day, 1_000);
    const grant = { subject: 'game', day, durationMs: 10, id: 'tap' };
    const adjust = { subject: 'game', durationMs: 100, capMs: 60, id: 'tap' };
    const correct = { entryId: 'game', day, durationMs: -1_000, id: 'tap', reason: 'r' };
    assert.deepEqual(store.grantTime(grant), { applied: true, grantedMs: 10 });
    assert.deepEqual(store.adjustBalance(adjust), { applied: true, appliedMs: 60, balanceMs: 60 });
    assert.deepEqual(store.correctUsage(correct), { applied: true, totalMs: 0 });
    store.grantTime({ subject: 'game', day, durationMs: 1 });
    store.adjustBalance({ subject: 'game', durationMs: -20 });
    const head = store.auditHead();
    // The state of now, and not that of then; a correction that would go below 0 now was made already.
    assert.deepEqual(store.grantTime({ ...grant, reason: 'again' }), { applied: false, grantedMs: 11 });
    assert.deepEqual(store.adjustBalance(adjust), { applied: false, appliedMs: 60, balanceMs: 40 });
    assert.deepEqual(store.correctUsage({ ...correct, source: 'other' }), { applied: false, totalMs: 0 });
    for (const other of [{ subject: 'other' }, { day: '2026-11-22' }, { durationMs: 11 }]) {
      assert.throws(() => store.grantTime({ ...grant, ...other }), conflict);
    }
    for (const other of [{ subject: 'other' }, { durationMs: 11 }, { capMs: 61 }, { capMs: undefined }]) {
      assert.throws(() => store.adjustBalance({ ...adjust, ...other }), conflict);
    }
    for (const other of [{ entryId: 'other' }, { day: '2026-11-22' }, { durationMs: 1 }]) {
      assert.throws(() => store.correctUsage({ ...correct, ...other }), conflict);
    }
    assert.deepEqual(store.auditHead(), head);
    assert.deepEqual(store.grantTime({ ...grant, id: 'tap 2' }), { applied: true, grantedMs: 21 });
  });

  test(`a correction takes back what was charged, and no more${mode}`, (t) => {
    const store = openIn(new TestFolder(t), withLedger);
    store.addUsage('game', day, 3_600_500);
    const correct = (durationMs: number, entryId = 'game'): unknown =>
      store.correctUsage({ entryId, day, durationMs, reason: 'mistake' });
    assert.deepEqual(correct(-600), { applied: true, totalMs: 3_599_900 });
    assert.equal(store.getUsage('game', day), 3_599_900);
    const head = store.auditHead();
    assert.throws(() => correct(-3_599_901), invalid);
    assert.throws(() => correct(-1, 'never'), invalid);
    assert.throws(() => correct(most), invalid);
    assert.deepEqual([store.auditHead(), store.getUsage('game', day)], [head, 3_599_900]);
    assert.deepEqual(correct(-3_599_900), { applied: true, totalMs: 0 });
    assert.deepEqual(correct(most), { applied: true, totalMs: most });
    assert.deepEqual(correct(1, 'never'), { applied: true, totalMs: 1 });
    assert.deepEqual(store.getUsageForDay(day), [
      { entryId: 'game', durationMs: most }, { entryId: 'never', durationMs: 1 },
    ]);
  });

  test(`what a transaction has changed is gone when it is undone, and its ids are free again${mode}`, (t) => {
    const store = openIn(new TestFolder(t), withLedger);
    const change = (): void => {
      store.addUsage('game', day, 5);
      store.grantTime({ subject: 'game', day, durationMs: 10, id: 'tap' });
      store.setAvailability({ subject: 'game', day, availability: 'allowed' });
      store.adjustBalance({ subject: 'game', durationMs: 20, id: 'tap' });
      store.correctUsage({ entryId: 'game', day, durationMs: -5, id: 'tap', reason: 'r' });
    };
    const undone = (): void => {
      change();
      throw new RangeError('undone');
    };
    assert.throws(() => store.transaction(undone), RangeError);
    store.transaction(() => assert.throws(() => store.transaction(undone), RangeError));
    assert.deepEqual([store.listOverrides(), store.listBalances(), eventsOf(store)], [[], [], []]);
    store.transaction(change);
    assert.deepEqual(store.listOverrides(), [{ subject: 'game', day, grantedMs: 10, availability: 'allowed' }]);
    assert.deepEqual(store.listBalances(), [{ subject: 'game', balanceMs: 20 }]);
    assert.equal(store.getUsage('game', day), 0);
  });
}

test('a grant beyond what is exact is refused, either way', (t) => {
  const store = new TestFolder(t).open();
  assert.deepEqual(store.grantTime({ subject: 'a', day, durationMs: most }), { applied: true, grantedMs: most });
  assert.throws(() => store.grantTime({ subject: 'a', day, durationMs: 1 }), invalid);
  assert.deepEqual(store.grantTime({ subject: 'a', day, durationMs: -most }), { applied: true, grantedMs: 0 });
  assert.deepEqual(store.grantTime({ subject: 'a', day, durationMs: -most }), { applied: true, grantedMs: -most });
  assert.throws(() => store.grantTime({ subject: 'a', day, durationMs: -1 }), invalid);
});

test('a balance stays between 0 and its cap, and what could not be applied is told', (t) => {
  const store = new TestFolder(t).open();
  const adjust = (durationMs: number, capMs?: number): number[] => {
    const { applied, appliedMs, balanceMs } = store.adjustBalance({ subject: 'a', durationMs, capMs });
    assert.ok(applied && !Object.is(appliedMs, -0));
    return [appliedMs, balanceMs];
  };
  assert.equal(store.getBalance('a'), 0);
  assert.deepEqual(adjust(-5), [0, 0]);
  assert.deepEqual(adjust(50), [50, 50]);
  assert.deepEqual(adjust(50, 60), [10, 60]);
  assert.deepEqual(adjust(50, 60), [0, 60]);
  assert.deepEqual(adjust(50, 30), [0, 60]); // earned under another cap
  assert.deepEqual(adjust(-10, 30), [-10, 50]);
  assert.deepEqual(adjust(1, 0), [0, 50]);
  assert.deepEqual(adjust(-51), [-50, 0]);
  assert.deepEqual(adjust(most), [most, most]);
  assert.deepEqual(adjust(1), [0, most]);
  store.adjustBalance({ subject: 'group:games', durationMs: 1 });
  assert.deepEqual(store.listBalances(), [{ subject: 'a', balanceMs: most }, { subject: 'group:games', balanceMs: 1 }]);
});

test('availability is what was set last, beside a grant, and neither of the two once it is ended', (t) => {
  const store = new TestFolder(t).open();
  const set = (availability: 'allowed' | 'denied' | undefined): unknown => {
    store.setAvailability({ subject: 'a', day, availability });
    return store.getOverride('a', day);
  };
  assert.deepEqual(set('denied'), { grantedMs: 0, availability: 'denied' });
  store.grantTime({ subject: 'a', day, durationMs: 5 });
  assert.deepEqual(set('allowed'), { grantedMs: 5, availability: 'allowed' });
  assert.deepEqual(set(undefined), { grantedMs: 5 });
  store.grantTime({ subject: 'a', day, durationMs: -5 });
  assert.deepEqual(store.listOverrides(), []);
});

test('overrides are listed by day and subject: all, those of a day, of a subject, of both', (t) => {
  const store = new TestFolder(t).open();
  for (const on of ['2026-11-22', day]) {
    for (const subject of ['b', 'a']) store.setAvailability({ subject, day: on, availability: 'denied' });
  }
  const listed = (options?: { day?: string; subject?: string }): string[] =>
    store.listOverrides(options).map(({ subject, day: of }) => `${of} ${subject}`);
  assert.deepEqual(listed(), [`${day} a`, `${day} b`, '2026-11-22 a', '2026-11-22 b']);
  assert.deepEqual(listed({ day }), [`${day} a`, `${day} b`]);
  assert.deepEqual(listed({ subject: 'a' }), [`${day} a`, '2026-11-22 a']);
  assert.deepEqual(listed({ day: '2026-11-22', subject: 'b' }), ['2026-11-22 b']);
  assert.deepEqual(listed({ day: '2026-11-23' }), []);
  assert.deepEqual(listed({ subject: "' OR 1=1" }), []);
});

test('a store in memory has limits, and one that only reads shows them', (t) => {
  using memory = SqliteStore.inMemory();
  memory.grantTime({ subject: 'a', day, durationMs: 5 });
  memory.adjustBalance({ subject: 'a', durationMs: 5 });
  assert.deepEqual([memory.getOverride('a', day), memory.getBalance('a')], [{ grantedMs: 5 }, 5]);
  const folder = new TestFolder(t);
  const store = folder.open();
  store.grantTime({ subject: 'a', day, durationMs: 5 });
  store.adjustBalance({ subject: 'a', durationMs: 7 });
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
  assert.deepEqual(reader.listOverrides(), [{ subject: 'a', day, grantedMs: 5 }]);
  assert.deepEqual([reader.getOverride('a', day), reader.getBalance('a')], [{ grantedMs: 5 }, 7]);
  assert.throws(() => reader.grantTime({ subject: 'a', day, durationMs: 5 }), { code: 'ERR_STORE_READ_ONLY' });
});

test('an id of one kind is free for the others, and one that an event of the service has is a conflict', (t) => {
  const store = new TestFolder(t).open();
  store.appendAudit({ type: 'service_started' }, { eventId: 'time_granted:theirs' });
  store.appendAudit({ type: 'service_started' }, { eventId: 'tap' });
  store.grantTime({ subject: 'a', day, durationMs: 1, id: 'tap' });
  store.adjustBalance({ subject: 'a', durationMs: 1, id: 'tap' });
  assert.throws(() => store.grantTime({ subject: 'a', day, durationMs: 1, id: 'theirs' }), conflict);
  assert.deepEqual(store.getOverride('a', day), { grantedMs: 1 });
});

/** A store with an override and a balance of "a" that SQL has damaged, and of "b"; `rows` gives them as they stand. */
function damaged(
  t: TestContext, table: 'overrides' | 'balances', sql: string,
): { store: SqliteStore; rows: () => unknown } {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open({ clock: () => new Date(`${day}T12:00:00Z`) });
  for (const subject of ['a', 'b']) {
    store.grantTime({ subject, day, durationMs: 5 });
    store.adjustBalance({ subject, durationMs: 5 });
  }
  {
    using db = new DatabaseSync(folder.file(), { defensive: false });
    // A STRICT table takes any value where a column's type is ANY; open stores do not notice.
    db.exec(`PRAGMA writable_schema = ON; UPDATE sqlite_schema
      SET sql = replace(replace(replace(sql, ' INTEGER', ' ANY'), ' TEXT', ' ANY'), ' NOT NULL', '')
      WHERE name IN ('overrides', 'balances')`);
  }
  const loose = folder.raw();
  loose.exec(`PRAGMA ignore_check_constraints = ON; UPDATE ${table} SET ${sql} WHERE subject = 'a'`);
  const rows = (): unknown => {
    const statement = loose.prepare(`SELECT * FROM ${table} WHERE subject = 'a'`);
    statement.setReadBigInts(true);
    return statement.all().map((row) => ({ ...row }));
  };
  return { store, rows };
}

for (const sql of ["granted_ms = 'many'", "granted_ms = x'01'", 'granted_ms = 0.5', 'granted_ms = 9007199254740992',
  'granted_ms = -9007199254740992', 'granted_ms = NULL', "availability = 'open'", "availability = ''",
  'availability = 0', "availability = x'64656e696564'"]) {
  test(`a damaged override is an error to whoever reads or grants, and stays as it is: ${sql}`, (t) => {
    const { store, rows } = damaged(t, 'overrides', sql);
    const before = rows();
    assert.throws(() => store.getOverride('a', day), corrupt);
    assert.throws(() => store.listOverrides(), corrupt);
    assert.throws(() => store.listOverrides({ day }), corrupt);
    assert.throws(() => store.listOverrides({ subject: 'a' }), corrupt);
    for (const durationMs of [1, -1]) assert.throws(() => store.grantTime({ subject: 'a', day, durationMs }), corrupt);
    assert.deepEqual(rows(), before);
    // The others go on, and the plain file is none the worse for it.
    assert.deepEqual(store.grantTime({ subject: 'b', day, durationMs: 1 }), { applied: true, grantedMs: 6 });
    store.saveSnapshot({ timestamp: new Date() });
    assert.equal(store.health().snapshot.file.state, 'whole');
    assert.throws(() => store.getOverride('a', day), corrupt);
  });
}

for (const sql of ["balance_ms = 'many'", "balance_ms = x'01'", 'balance_ms = 0.5', 'balance_ms = -1',
  'balance_ms = 9007199254740992', 'balance_ms = NULL']) {
  test(`a damaged balance is an error to whoever reads or adjusts, and stays as it is: ${sql}`, (t) => {
    const { store, rows } = damaged(t, 'balances', sql);
    const before = rows();
    assert.throws(() => store.getBalance('a'), corrupt);
    assert.throws(() => store.listBalances(), corrupt);
    for (const durationMs of [1, -1]) assert.throws(() => store.adjustBalance({ subject: 'a', durationMs }), corrupt);
    assert.deepEqual(rows(), before);
    assert.equal(store.adjustBalance({ subject: 'b', durationMs: 1 }).balanceMs, 6);
    store.saveSnapshot({ timestamp: new Date() });
    assert.equal(store.health().snapshot.file.state, 'whole');
    assert.throws(() => store.getBalance('a'), corrupt);
  });
}

test('a damaged total is corrected by nobody, and stays as it is', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  store.addUsage('a', day, 1_500);
  folder.raw().exec("PRAGMA ignore_check_constraints = ON; UPDATE usage SET carry_ms = 5000 WHERE entry_id = 'a'");
  assert.throws(() => store.correctUsage({ entryId: 'a', day, durationMs: -1, reason: 'r' }), corrupt);
  assert.deepEqual([...store.iterateAudits()], []);
});

for (const withLedger of [false, true]) {
  test(`two processes that tap at once with the same ids add once, and without ids each call counts${
    withLedger ? ', with a ledger' : ''}`, async (t) => {
    const folder = new TestFolder(t);
    const count = 40;
    const store = openIn(folder, withLedger);
    store.addUsage('a', day, 1_000_000);
    store.close();
    const code = `
      const { Ledger } = await import('${new URL('../../lib/ledger/index.ts', import.meta.url).href}');
      const ledger = ${withLedger} ? Ledger.open(path.replace('store.db', 'audit.jsonl')) : undefined;
      const store = SqliteStore.open(path, { busyTimeoutMs: 60_000, ledger });
      report('ready');
      await told();
      let applied = 0;
      for (let number = 0; number < ${count}; number++) {
        const id = 'tap ' + number;
        applied += store.grantTime({ subject: 'a', day: '${day}', durationMs: 10, id }).applied;
        applied += store.adjustBalance({ subject: 'a', durationMs: 10, id }).applied;
        applied += store.correctUsage({ entryId: 'a', day: '${day}', durationMs: -10, id, reason: 'r' }).applied;
        store.grantTime({ subject: 'each', day: '${day}', durationMs: 10 });
        store.adjustBalance({ subject: 'each', durationMs: 10 });
      }
      store.close();
      report(applied);`;
    const both = [1, 2].map(() => new Companion(t, folder.file(), code));
    for (const each of both) await each.next();
    for (const each of both) each.tell('go');
    const applied = await Promise.all(both.map((each) => each.next()));
    for (const each of both) await each.end();
    assert.equal(Number(applied[0]) + Number(applied[1]), 3 * count, 'each change is applied by one of them');
    const after = openIn(folder, withLedger);
    assert.deepEqual(after.getOverride('a', day), { grantedMs: 10 * count });
    assert.deepEqual(after.getOverride('each', day), { grantedMs: 20 * count });
    assert.deepEqual([after.getBalance('a'), after.getBalance('each')], [10 * count, 20 * count]);
    assert.equal(after.getUsage('a', day), 1_000_000 - 10 * count);
    assert.equal(eventsOf(after).length, 3 * count + 4 * count);
    assert.equal(connect(after).get<[number]>('SELECT limits_id FROM store_meta')![0], after.auditHead()!.id);
  });
}
