// Events of limits that an older version has passed over, which brings them from a ledger or has migrated the store
// down: their effects are taken in, once. Those of other writers are passed over.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { chainedRow, genesisHash, rowHash } from '../../lib/core/chain.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, verifyParity } from '../../lib/ledger/index.ts';
import { evaluateAll } from '../../lib/modules/limits/limits.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { dump, ledgerIn, plantInBoth } from '../support/ledger.ts';
import { Companion } from '../support/process.ts';

const day = '2026-11-21';
const clock = (): Date => new Date('2026-11-21T12:00:00Z');

function openIn(folder: TestFolder, withLedger: boolean): SqliteStore {
  return folder.open({ clock, ...(withLedger ? { ledger: ledgerIn(folder) } : undefined) });
}

/** Something of each kind, with a correction either way. */
function change(store: SqliteStore, on: string): void {
  store.addUsage('game', on, 10_500);
  store.addUsage('paint', on, 700);
  store.grantTime({ subject: 'game', day: on, durationMs: 600 });
  store.grantTime({ subject: 'game', day: on, durationMs: 30, id: 'tap' });
  store.setAvailability({ subject: 'group:games', day: on, availability: 'denied' });
  store.adjustBalance({ subject: 'game', durationMs: 500, capMs: 300 });
  store.adjustBalance({ subject: 'game', durationMs: -100 });
  store.correctUsage({ entryId: 'game', day: on, durationMs: -9_600, reason: 'r' });
  store.correctUsage({ entryId: 'paint', day: on, durationMs: 400, id: 'tap', reason: 'r' });
}

/** What version 7 does not keep: the tables; with a ledger it takes no correction from that either. */
const passedOver = 'DELETE FROM overrides; DELETE FROM balances; UPDATE store_meta SET limits_id = 0;';
const uncorrected = "UPDATE usage SET duration_secs = 10, carry_ms = 500 WHERE entry_id = 'game'; "
  + "UPDATE usage SET duration_secs = 0, carry_ms = 700 WHERE entry_id = 'paint';";

function limitsId(path: string): unknown {
  using db = new DatabaseSync(path);
  return db.prepare('SELECT limits_id FROM store_meta').get()?.['limits_id'];
}

for (const withLedger of [false, true]) {
  const mode = withLedger ? ' from a ledger' : '';
  const sql = withLedger ? passedOver + uncorrected : passedOver;

  test(`what an older version has passed over${mode} is there as soon as the store is open, and stays`, async (t) => {
    const folder = new TestFolder(t);
    const store = openIn(folder, withLedger);
    change(store, day);
    const [expected, head] = [dump(store), store.auditHead()];
    store.close();
    const id = limitsId(folder.file());
    assert.equal(id, head!.id);
    makeDatabase(folder.file(), sql);
    for (let round = 0; round < 3; round++) {
      const again = openIn(folder, withLedger);
      assert.equal(again.recovery, undefined);
      assert.deepEqual([dump(again), again.auditHead()], [expected, head]);
      if (withLedger) assert.ok((await verifyParity(again, ledgerIn(folder))).isConsistent);
      again.close();
      assert.equal(limitsId(folder.file()), id);
    }
    const last = openIn(folder, withLedger);
    assert.deepEqual(last.grantTime({ subject: 'game', day, durationMs: 30, id: 'tap' }), {
      applied: false, grantedMs: 630,
    });
  });

  test(`only what stands behind the last event that the tables have is taken in${mode}`, (t) => {
    const folder = new TestFolder(t);
    const store = openIn(folder, withLedger);
    change(store, day);
    store.close();
    const known = limitsId(folder.file());
    const later = openIn(folder, withLedger);
    later.grantTime({ subject: 'game', day, durationMs: 1 });
    later.adjustBalance({ subject: 'game', durationMs: 7 });
    later.correctUsage({ entryId: 'game', day, durationMs: -900, reason: 'r' });
    later.setAvailability({ subject: 'group:games', day: '2026-11-22', availability: 'allowed' });
    const expected = dump(later);
    later.close();
    // As it was before; only a ledger's correction is not in the total.
    makeDatabase(folder.file(), `UPDATE overrides SET granted_ms = 630 WHERE subject = 'game';
      DELETE FROM overrides WHERE day = '2026-11-22'; UPDATE balances SET balance_ms = 200;
      UPDATE store_meta SET limits_id = ${String(known)};
      ${withLedger ? "UPDATE usage SET duration_secs = 0, carry_ms = 900 WHERE entry_id = 'game';" : ''}`);
    assert.deepEqual(dump(openIn(folder, withLedger)), expected);
  });

  test(`a store that went down to version 7 and up again has its limits${mode}, and no correction twice`, (t) => {
    const folder = new TestFolder(t);
    const store = openIn(folder, withLedger);
    change(store, day);
    const expected = dump(store);
    store.close();
    assert.throws(() => SqliteStore.migrate(folder.file(), 7), { code: 'ERR_STORE_MIGRATION' });
    for (const up of [8, undefined]) {
      SqliteStore.migrate(folder.file(), 7, { force: true });
      if (up !== undefined) SqliteStore.migrate(folder.file(), up);
      const again = openIn(folder, withLedger);
      assert.equal(again.recovery, undefined);
      assert.deepEqual(dump(again), expected);
      again.close();
    }
  });

  test(`a store that is open takes in${mode} what came meanwhile, before it writes`, async (t) => {
    const folder = new TestFolder(t);
    openIn(folder, withLedger).close();
    const other = new Companion(t, folder.file(), `
      const { Ledger } = await import('${new URL('../../lib/ledger/index.ts', import.meta.url).href}');
      const ledger = ${withLedger} ? Ledger.open(path.replace('store.db', 'audit.jsonl')) : undefined;
      const store = SqliteStore.open(path, { clock: () => new Date('2026-11-21T12:00:00Z'), ledger });
      report('open');
      await told();
      (${change.toString()})(store, '${day}');
      store.close();
      new DatabaseSync(path, { timeout: 5000 }).exec(${JSON.stringify(sql)});
      report('done');`);
    assert.equal(await other.next(), 'open');
    const store = openIn(folder, withLedger);
    assert.equal(await other.ask('go'), 'done');
    await other.end();
    assert.deepEqual(store.grantTime({ subject: 'game', day, durationMs: 1 }), { applied: true, grantedMs: 631 });
    assert.deepEqual(store.listOverrides(), [
      { subject: 'game', day, grantedMs: 631 }, { subject: 'group:games', day, grantedMs: 0, availability: 'denied' },
    ]);
    assert.deepEqual(store.listBalances(), [{ subject: 'game', balanceMs: 200 }]);
    assert.deepEqual(store.getUsageForDay(day), [
      { entryId: 'game', durationMs: 900 }, { entryId: 'paint', durationMs: 1_100 },
    ]);
    if (withLedger) assert.ok((await verifyParity(store, ledgerIn(folder))).isConsistent);
  });
}

/** Events as another writer might have appended them with version 7. */
const foreign: [type: string, data: string][] = [
  ['time_granted', 'null'],
  ['time_granted', '[1]'],
  ['time_granted', '"a"'],
  ['time_granted', '{"minutes":30}'],
  ['time_granted', `{"subject":5,"day":"${day}","grantedMs":1}`],
  ['time_granted', '{"subject":"game","day":"2026-02-30","grantedMs":1}'],
  ['time_granted', `{"subject":"game","day":"${day}","grantedMs":"1"}`],
  ['time_granted', `{"subject":"game","day":"${day}","grantedMs":9007199254740992}`],
  ['availability_set', `{"subject":"game","day":"${day}","availability":"open"}`],
  ['availability_set', `{"subject":"game","day":"${day}"}`],
  ['balance_adjusted', '{"subject":"game","balanceMs":-1}'],
  ['balance_adjusted', '{"subject":"","balanceMs":1}'],
  ['usage_corrected', '{"by":"hand"}'],
  ['usage_corrected', `{"entryId":"game","day":"${day}","durationMs":"5"}`],
  ['usage_corrected', `{"entryId":"game","day":"${day}","durationMs":0.5}`],
  ['usage_corrected', `{"entryId":"game","day":"${day}","durationMs":1e300}`],
];

/** Appends a row that is sound, whatever it holds, as SQL alone. */
function plantRow(path: string, type: string, data: string): void {
  using db = new DatabaseSync(path);
  const last = db.prepare('SELECT id, event_hash FROM audit_log ORDER BY id DESC LIMIT 1').get();
  const { uuid } = db.prepare('SELECT uuid FROM store_meta').get() as { uuid: string };
  const row = [Number(last?.['id'] ?? 0) + 1, clock().toISOString(), type, data] as const;
  const hash = rowHash(last ? String(last['event_hash']) : genesisHash(uuid), chainedRow(row));
  const sql = 'INSERT INTO audit_log (id, timestamp, event_type, event_data, event_hash) VALUES (?, ?, ?, ?, ?)';
  db.prepare(sql).run(...row, hash);
}

test('events of these types that another writer has appended keep no store from opening, to no effect', async (t) => {
  const folder = new TestFolder(t);
  const store = openIn(folder, false);
  change(store, day);
  const { audits: _own, ...expected } = dump(store) as { audits: unknown };
  store.close();
  for (const [type, data] of foreign) {
    plantRow(folder.file(), type, data);
    const again = openIn(folder, false);
    const head = again.auditHead();
    const { audits: _all, ...found } = dump(again) as { audits: unknown };
    assert.deepEqual(found, expected, data);
    assert.ok((await again.verifyAudit()).ok);
    again.close();
    assert.equal(limitsId(folder.file()), head!.id);
  }
});

test('with a ledger they are passed over as well, also beside corrections that are taken in', async (t) => {
  const folder = new TestFolder(t);
  const store = openIn(folder, true);
  change(store, day);
  const { audits: _own, ...expected } = dump(store) as { audits: unknown };
  store.close();
  for (const [type, data] of foreign) plantInBoth(folder.file(), folder.file('audit.jsonl'), { type, data });
  makeDatabase(folder.file(), passedOver + uncorrected);
  const again = openIn(folder, true);
  const { audits: _all, ...found } = dump(again) as { audits: unknown };
  assert.deepEqual(found, expected);
  assert.ok((await verifyParity(again, ledgerIn(folder))).isConsistent);
  again.close();
  await rebuildDatabase(Ledger.open(folder.file('audit.jsonl')), folder.file('again.db'));
  using rebuilt = SqliteStore.openReadOnly(folder.file('again.db'));
  const { audits: _rebuilt, ...same } = dump(rebuilt) as { audits: unknown };
  assert.deepEqual(same, expected);
});

test('events of these types in an adopted log are those of another program, also in a ledger made later', async (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), `${fourTables}
    INSERT INTO audit_log VALUES
      (4, '2026-11-20T09:00:00Z', 'time_granted', '{"subject":"minecraft","day":"${day}","grantedMs":5}'),
      (5, '2026-11-20T09:00:00Z', 'balance_adjusted', '{"subject":"minecraft","balanceMs":5}'),
      (6, '2026-11-20T09:00:00Z', 'usage_corrected', '{"entryId":"minecraft","day":"2026-11-20","durationMs":-90000}'),
      (7, '2026-11-20T09:00:00Z', 'availability_set', 'no JSON'),
      (8, '2026-11-20T09:00:00Z', 'usage_corrected', 'no JSON');`);
  const store = openIn(folder, false);
  const none = (each: SqliteStore): void => {
    assert.deepEqual([each.listOverrides(), each.listBalances()], [[], []]);
    assert.equal(each.getUsage('minecraft', '2026-11-20'), 90_000);
  };
  none(store);
  store.close();
  const again = openIn(folder, true);
  none(again);
  again.correctUsage({ entryId: 'minecraft', day: '2026-11-20', durationMs: -1, reason: 'r' });
  assert.ok((await verifyParity(again, ledgerIn(folder))).isConsistent);
  again.close();
  await rebuildDatabase(Ledger.open(folder.file('audit.jsonl')), folder.file('again.db'));
  using rebuilt = SqliteStore.openReadOnly(folder.file('again.db'));
  assert.deepEqual([rebuilt.listOverrides(), rebuilt.listBalances()], [[], []]);
  assert.equal(rebuilt.getUsage('minecraft', '2026-11-20'), 89_999);
});

test('a store that is only read refuses limits that it has not taken in, and lets nothing start by them', (t) => {
  const folder = new TestFolder(t);
  using store = folder.open({ clock });
  change(store, day);
  store.close();
  makeDatabase(folder.file(), passedOver);
  using reader = SqliteStore.openReadOnly(folder.file(), { clock });
  const policy = { entries: { game: {}, paint: { usesBalance: 'game' } } };
  const verdicts = (): string[] => evaluateAll(reader, policy, ['game', 'paint']).flatMap(({ entryId, reasons }) =>
    reasons.map(({ code, subject }) => `${entryId}: ${code} of ${subject}`));
  assert.deepEqual(verdicts(), [
    'game: unreadable of game', 'paint: unreadable of paint', 'paint: unreadable of game',
  ]);
  const corrupt = { code: 'ERR_STORE_CORRUPT' };
  assert.throws(() => reader.getOverride('game', day), corrupt);
  assert.throws(() => reader.listOverrides(), corrupt);
  assert.throws(() => reader.getBalance('game'), corrupt);
  assert.throws(() => reader.listBalances(), corrupt);
  folder.open({ clock }).close();
  assert.deepEqual(verdicts(), []);
  assert.equal(reader.getBalance('game'), 200);
});
