// Ledger and log compared, and each made from the other.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { SqliteStore } from '../lib/index.ts';
import { importStore } from '../lib/import/index.ts';
import { Ledger, mirrorEvent, rebuildDatabase, rebuildLedger, replay, verifyParity } from '../lib/ledger/index.ts';
import type { LedgerLine } from '../lib/ledger/index.ts';
import { badOptions } from './support/values.ts';
import { TestFolder } from './support/folder.ts';

const clock = (): Date => new Date('2026-11-21T10:00:00Z');

/** A closed store with a ledger and something of everything in both. */
function filled(t: TestContext): TestFolder {
  const folder = new TestFolder(t);
  const store = folder.open({ clock, ledger: Ledger.open(folder.file('audit.jsonl')) });
  store.appendAudit({ type: 'service_started' }, { eventId: 'e1', source: 'Zoë', tags: ['1.5e-7'] });
  store.transaction(() => {
    store.addUsage('minecraft', '2026-11-20', 1_500);
    store.addUsage('minecraft', '2026-11-21', 90_500);
    store.setCooldownUntil('minecraft', new Date('2026-11-21T11:00:00Z'));
  });
  store.addUsage('film', '2026-11-21', 0);
  store.setCooldownUntil('film', clock());
  store.clearCooldown('film');
  store.close();
  return folder;
}

function ledgerOf(folder: TestFolder): Ledger {
  return folder.closing(Ledger.open(folder.file('audit.jsonl')));
}

function readerOf(folder: TestFolder, name = 'store.db'): SqliteStore {
  return folder.closing(SqliteStore.openReadOnly(folder.file(name)));
}

/** What a rebuild must not lose. */
function dump(store: SqliteStore): unknown {
  return [[...store.iterateAudits()], ['2026-11-20', '2026-11-21'].map((day) => store.getUsageForDay(day)), store.listCooldowns(), store.auditHead()];
}

test('ledger and log of a store that was used are consistent, and so are the balances', async (t) => {
  const folder = filled(t);
  const progress: number[] = [];
  const report = await verifyParity(readerOf(folder), ledgerOf(folder), { onProgress: ({ done }) => progress.push(done) });
  assert.deepEqual(report, { isConsistent: true, ledgerCount: 8, sqliteCount: 8, missingInSqlite: [], missingInLedger: [], mismatched: [], state: [], more: 0 });
});

test('a database from before is told what it lacks, replay gives it that with its effects, and a second one finds it there', async (t) => {
  const folder = filled(t);
  copyFileSync(folder.file(), folder.file('before.db'));
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  store.addUsage('minecraft', '2026-11-21', 500);
  store.clearCooldown('minecraft');
  const expected = dump(store);
  store.close();

  assert.deepEqual((await verifyParity(readerOf(folder, 'before.db'), ledgerOf(folder))).missingInSqlite, [9, 10]);
  const old = folder.closing(SqliteStore.open(folder.file('before.db'), { clock, ledger: ledgerOf(folder) }));
  assert.deepEqual(dump(old), expected);
  const report = await replay(old, ledgerOf(folder));
  assert.deepEqual([report.replayed, report.skippedExisting, report.parity.isConsistent], [0, 10, true]);
});

test('a ledger from before is told what it lacks', async (t) => {
  const folder = filled(t);
  copyFileSync(folder.file('audit.jsonl'), folder.file('before.jsonl'));
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  store.appendAudit({ type: 'service_stopped' });
  const report = await verifyParity(store, folder.closing(Ledger.open(folder.file('before.jsonl'))));
  assert.deepEqual([report.missingInLedger, report.isConsistent], [[9], false]);
});

for (const column of ['timestamp', 'event_type', 'event_data', 'event_meta', 'event_hash', 'signature']) {
  test(`a row whose ${column} is another one in the database is a mismatch with both hashes`, async (t) => {
    const folder = filled(t);
    const db = folder.raw();
    const value = column === 'event_meta' ? '{"source":"nobody"}' : 'x';
    db.exec('DROP TRIGGER audit_log_no_update');
    db.prepare(`UPDATE audit_log SET ${column} = ? WHERE id = 2`).run(value);
    const report = await verifyParity(readerOf(folder), ledgerOf(folder));
    const line = [...ledgerOf(folder).iterate()].find(({ id }) => id === 2);
    assert.deepEqual(report.mismatched, [{ id: 2, ledgerHash: line?.hash, sqliteHash: column === 'event_hash' ? 'x' : line?.hash }]);
    assert.equal(report.isConsistent, false);
    await assert.rejects(replay(folder.closing(SqliteStore.openReadOnly(folder.file())), ledgerOf(folder)), { code: 'ERR_STORE_READ_ONLY' });
    rmSync(folder.file()); // it was damaged on purpose
  });
}

test('usage and cooldowns that are not what the events add up to are named', async (t) => {
  const folder = filled(t);
  folder.raw().exec("UPDATE usage SET carry_ms = 7 WHERE day = '2026-11-20'; DELETE FROM cooldowns; INSERT INTO usage VALUES ('new', '2026-11-20', 1, 0)");
  const { state, isConsistent } = await verifyParity(readerOf(folder), ledgerOf(folder));
  assert.equal(isConsistent, false);
  assert.deepEqual(state, [
    { entryId: 'minecraft', day: '2026-11-20', expected: 1_500, stored: 1_007 },
    { entryId: 'new', day: '2026-11-20', expected: undefined, stored: 1_000 },
    { entryId: 'minecraft', expected: '2026-11-21T11:00:00.000Z', stored: undefined },
  ]);
});

test('a single line is mirrored once, as a part of the transaction around it', (t) => {
  const folder = filled(t);
  const lines = [...ledgerOf(folder).iterate()];
  copyFileSync(folder.file(), folder.file('other.db'));
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  assert.equal(mirrorEvent(store, lines[0]!), 'already-present');
  const forged: LedgerLine = { ...lines[0]!, data: '{"a":1}' };
  assert.throws(() => mirrorEvent(store, forged), { code: 'ERR_STORE_PARITY' });
  store.addUsage('minecraft', '2026-11-21', 5);
  const line = [...ledgerOf(folder).iterate()].at(-1)!;
  store.close();

  const ledger = folder.file('other.jsonl');
  writeFileSync(ledger, readFileSync(folder.file('audit.jsonl'), 'utf8').split('\n').slice(0, -2).join('\n') + '\n', { mode: 0o600 });
  const other = folder.closing(SqliteStore.open(folder.file('other.db'), { clock, ledger: Ledger.open(ledger) }));
  const before = other.getUsage('minecraft', '2026-11-21');
  assert.throws(() => other.transaction(() => { assert.equal(mirrorEvent(other, line), 'inserted'); throw new Error('boom'); }), /boom/);
  assert.equal(other.getUsage('minecraft', '2026-11-21'), before);
  assert.equal(mirrorEvent(other, line), 'inserted');
  assert.equal(other.getUsage('minecraft', '2026-11-21'), before + 5);
  assert.equal(mirrorEvent(other, line), 'already-present');
  assert.deepEqual(Ledger.open(ledger).head, other.auditHead());
});

test('a line that does not follow the newest row is refused', (t) => {
  const folder = filled(t);
  const lines = [...ledgerOf(folder).iterate()];
  const store = SqliteStore.inMemory({ clock });
  assert.throws(() => mirrorEvent(store, lines[0]!), { code: 'ERR_STORE_PARITY' });
  assert.throws(() => mirrorEvent(store, lines[3]!), { code: 'ERR_STORE_PARITY' });
  assert.equal(store.auditHead(), undefined);
});

test('a lost database is rebuilt from the ledger, and a lost ledger from the database', async (t) => {
  const folder = filled(t);
  const expected = dump(readerOf(folder));
  assert.deepEqual(await rebuildDatabase(ledgerOf(folder), folder.file('rebuilt.db')), { events: 8 });
  const rebuilt = folder.closing(SqliteStore.open(folder.file('rebuilt.db'), { clock, ledger: ledgerOf(folder) }));
  assert.equal(rebuilt.recovery, undefined);
  assert.deepEqual(dump(rebuilt), expected);
  assert.ok((await rebuilt.verifyAudit()).ok);

  assert.deepEqual(await rebuildLedger(readerOf(folder), folder.file('rebuilt.jsonl')), { events: 8 });
  assert.equal(readFileSync(folder.file('rebuilt.jsonl'), 'utf8'), readFileSync(folder.file('audit.jsonl'), 'utf8').replaceAll(',"more":true', ''));
  assert.ok((await verifyParity(readerOf(folder), Ledger.open(folder.file('rebuilt.jsonl')))).isConsistent);
});

test('a rebuild overwrites nothing, and leaves nothing behind when it fails or is aborted', async (t) => {
  const folder = filled(t);
  const names = (): string[] => readdirSync(folder.path).sort();
  const before = names();
  const store = readerOf(folder);
  await assert.rejects(rebuildLedger(store, folder.file('audit.jsonl')), { code: 'ERR_STORE_CONFLICT' });
  await assert.rejects(rebuildDatabase(ledgerOf(folder), folder.file()), { code: 'ERR_STORE_CONFLICT' });
  await assert.rejects(rebuildDatabase(Ledger.open(folder.file('none.jsonl')), folder.file('new.db')), { code: 'ERR_STORE_NOT_FOUND' });
  const reason = new Error('enough');
  await assert.rejects(rebuildLedger(store, folder.file('new.jsonl'), { signal: AbortSignal.abort(reason) }), reason);
  await assert.rejects(rebuildDatabase(ledgerOf(folder), folder.file('new.db'), { signal: AbortSignal.abort(reason) }), reason);
  await assert.rejects(rebuildDatabase(ledgerOf(folder), folder.file('new.db'), { onProgress: () => { throw reason; } }), reason);
  writeFileSync(folder.file('damaged.jsonl'), readFileSync(folder.file('audit.jsonl'), 'utf8').replace('90500', '90501'), { mode: 0o600 });
  await assert.rejects(rebuildDatabase(Ledger.open(folder.file('damaged.jsonl')), folder.file('new.db')), { code: 'ERR_STORE_CORRUPT' });
  assert.deepEqual(names(), [...before, 'damaged.jsonl'].sort());
});

test('comparing is refused with what is no ledger of this store', async (t) => {
  const folder = filled(t);
  const other = filled(t);
  const store = readerOf(folder);
  await assert.rejects(verifyParity(store, ledgerOf(other)), { code: 'ERR_STORE_CONFLICT' });
  await assert.rejects(verifyParity(store, Ledger.open(folder.file('none.jsonl'))), { code: 'ERR_STORE_NOT_FOUND' });
  await assert.rejects(replay(store, Ledger.open(folder.file('none.jsonl'))), { code: 'ERR_STORE_NOT_FOUND' });
  await assert.rejects(verifyParity(store, 'audit.jsonl' as unknown as Ledger), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  for (const [name, value] of badOptions) {
    await assert.rejects(verifyParity(store, ledgerOf(folder), value as object), { code: 'ERR_STORE_INVALID_ARGUMENT' }, name);
    await assert.rejects(rebuildLedger(store, folder.file('new.jsonl'), value as object), { code: 'ERR_STORE_INVALID_ARGUMENT' }, name);
  }
  assert.equal(existsSync(folder.file('new.jsonl')), false);
});

test('a store that was imported gets a ledger: parity holds, and a rebuild loses nothing', async (t) => {
  const folder = new TestFolder(t);
  await importStore(new URL('fixtures/shepherdd-utc.db', import.meta.url).pathname, folder.file());
  const store = folder.open({ clock, ledger: ledgerOf(folder) });
  assert.ok((await verifyParity(store, ledgerOf(folder))).isConsistent);
  const expected = [dump(store), store.getUsageRange('minecraft', '2026-01-01', '2026-12-31')];
  await rebuildDatabase(ledgerOf(folder), folder.file('rebuilt.db'));
  const rebuilt = folder.closing(SqliteStore.open(folder.file('rebuilt.db'), { clock, ledger: ledgerOf(folder) }));
  assert.deepEqual([dump(rebuilt), rebuilt.getUsageRange('minecraft', '2026-01-01', '2026-12-31')], expected);
});

test('a ledger that was detached and attached again accounts for what happened in between', async (t) => {
  const folder = filled(t);
  const first = folder.open({ clock, ledger: ledgerOf(folder) });
  first.detachLedger();
  first.addUsage('minecraft', '2026-11-21', 7);
  first.clearCooldown('minecraft');
  first.close();
  const again = folder.open({ clock, ledger: ledgerOf(folder) });
  const report = await verifyParity(again, ledgerOf(folder));
  assert.deepEqual([report.isConsistent, report.state], [true, []]);
  const expected = dump(again);
  await rebuildDatabase(ledgerOf(folder), folder.file('rebuilt.db'));
  assert.deepEqual(dump(readerOf(folder, 'rebuilt.db')), expected);
});
