// A lunchboxd.db: the store of the first source's service under its newer name, whose limits belong to groups as well.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type ImportReport, importStore } from '../../lib/import/index.ts';
import type { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase } from '../../lib/ledger/index.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { TestFolder } from '../support/folder.ts';
import { loosen } from '../support/import.ts';
import { change, dump, makeSource, toLunchbox } from '../support/shepherdd.ts';

const none = { events: 0, usage: 0, cooldowns: 0, snapshots: 0, facts: 0, overrides: 0, balances: 0 };
const all = { events: 24, usage: 9, cooldowns: 3, snapshots: 1, facts: 2, overrides: 2, balances: 2 };
const noPlace = ['audio_outputs alsa:hdmi-0'];

const day = '2026-03-14';

const listed = ({ skipped }: ImportReport): string[] => skipped.map(({ table, row }) => `${table} ${row}`).toSorted();

interface Imported {
  folder: TestFolder;
  source: string;
  report: ImportReport;
  store: SqliteStore;
  facts: FactStore;
}

async function importLunchbox(t: TestContext, sql = ''): Promise<Imported> {
  const folder = new TestFolder(t);
  const source = makeSource(folder, toLunchbox + sql, 'lunchboxd.db');
  const report = await importStore(source, folder.file());
  const store = folder.open();
  return { folder, source, report, store, facts: new FactStore(store) };
}

/** The settings that the store has as facts. */
function settingsOf(facts: FactStore): Record<string, unknown> {
  return Object.fromEntries(facts.listFacts({ targetId: 'settings' }).map(({ key, value }) => [key, value]));
}

test('what this package knows is taken, limits too, and each row of another table is listed', async (t) => {
  const { report, store, facts } = await importLunchbox(t);
  assert.deepEqual([report.kind, report.taken, report.alreadyThere], ['lunchbox', all, none]);
  assert.deepEqual(listed(report), noPlace);
  assert.equal(store.getUsage('minecraft', '2026-03-14'), 903_000);
  assert.deepEqual(store.getCooldownUntil('group:games'), new Date('2026-03-14T18:00:00.500Z'));
  assert.deepEqual(store.getCooldownUntil('minecraft'), new Date('2026-03-14T15:19:28.535Z'));
  assert.equal(store.loadSnapshot()?.activeSession?.entryId, 'minecraft');
  assert.deepEqual(settingsOf(facts), { auto_brightness_enabled: 'true', pin: 'secret-4711' });
  assert.deepEqual(store.listOverrides(), [
    { subject: 'group:games', day, grantedMs: 0, availability: 'denied' },
    { subject: 'minecraft', day, grantedMs: 1_800_000 },
  ]);
  assert.deepEqual(store.listBalances(), [
    { subject: 'group:games', balanceMs: 60_000 }, { subject: 'minecraft', balanceMs: 600_000 },
  ]);
  const changes = store.getRecentAudits(100, { source: 'import' }).map(({ event }) => event.type).toSorted();
  assert.deepEqual(changes, ['availability_set', 'balance_adjusted', 'balance_adjusted', 'time_granted']);
  assert.ok((await store.verifyAudit()).ok);
});

test('no value of a setting stands in a report, or in the log', async (t) => {
  const { folder, report } = await importLunchbox(t);
  assert.ok(!JSON.stringify([report, dump(folder.file())['audit_log']]).includes('secret-4711'));
});

test('a second import adds nothing at all and lists the same', async (t) => {
  const { folder, source, report, store } = await importLunchbox(t);
  store.close();
  const before = dump(folder.file());
  assert.deepEqual(await importStore(source, folder.file()), { ...report, taken: none, alreadyThere: all });
  assert.deepEqual(dump(folder.file()), before);
});

test('a take-over goes on when the service was updated between two imports', async (t) => {
  const folder = new TestFolder(t);
  const source = makeSource(folder);
  const first = await importStore(source, folder.file());
  assert.equal(first.kind, 'shepherdd');
  change(source, `${toLunchbox} UPDATE usage SET duration_secs = duration_secs + 60 WHERE entry_id = 'minecraft';
    INSERT INTO audit_log (timestamp, event_json) VALUES ('2026-03-15T10:00:00Z', '{"type":"screen_unlocked"}')`);
  const second = await importStore(source, folder.file());
  assert.equal(second.kind, 'lunchbox');
  assert.deepEqual([second.taken, second.alreadyThere], [
    { events: 1, usage: 3, cooldowns: 1, snapshots: 0, facts: 2, overrides: 2, balances: 2 },
    { events: 24, usage: 6, cooldowns: 2, snapshots: 1, facts: 0, overrides: 0, balances: 0 },
  ]);
  assert.deepEqual(listed(second), noPlace);
  const store = folder.open();
  assert.equal(store.getUsage('minecraft', '2026-03-14'), 963_000);
  store.clearCooldown('minecraft');
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
  assert.equal(store.getCooldownUntil('minecraft'), undefined);
});

test('a service that is updated during an import is refused, and taken over by the next one', async (t) => {
  const folder = new TestFolder(t);
  for (const share of [0.2, 0.9]) {
    const source = makeSource(folder, '', `${share}.db`);
    let isUpdated = false;
    const onProgress = ({ done, total }: { done: number; total: number }): void => {
      if (isUpdated || done < total * share) return;
      isUpdated = true;
      change(source, toLunchbox);
    };
    const to = folder.file(`store-${share}.db`);
    await assert.rejects(importStore(source, to, { onProgress }), { code: 'ERR_STORE_BUSY' });
    assert.deepEqual((await importStore(source, to)).taken, all);
  }
});

test('a service that was updated, but has no groups yet, is taken over with its settings', async (t) => {
  const folder = new TestFolder(t);
  const table = 'CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)';
  const source = makeSource(folder, `${table}; INSERT INTO settings VALUES ('a', '1')`);
  const report = await importStore(source, folder.file());
  const taken = { events: 24, usage: 9, cooldowns: 2, snapshots: 1, facts: 1 };
  assert.deepEqual([report.kind, report.taken, report.skipped], ['shepherdd', taken, []]);
  change(source, "ALTER TABLE cooldowns RENAME COLUMN entry_id TO subject; UPDATE settings SET value = '2'");
  const { overrides: _, balances: __, ...noLimits } = none;
  assert.deepEqual((await importStore(source, folder.file())).taken, { ...noLimits, facts: 1 });
  assert.deepEqual(settingsOf(new FactStore(folder.open())), { a: '2' });
});

test('a setting follows its source, also back to what it was, until it is changed or deleted here', async (t) => {
  const { folder, source, facts } = await importLunchbox(t);
  const name = ['settings', 'lunchbox', 'auto_brightness_enabled'] as const;
  const set = async (value: string): Promise<number> => {
    change(source, `UPDATE settings SET value = '${value}' WHERE key = 'auto_brightness_enabled'`);
    const { taken, alreadyThere } = await importStore(source, folder.file());
    assert.equal(taken.facts! + alreadyThere.facts!, 2);
    return taken.facts!;
  };
  for (const value of ['false', 'true', 'false']) {
    assert.equal(await set(value), 1);
    assert.equal(facts.getFact(...name)?.value, value);
  }
  facts.upsertFact({ targetId: name[0], namespace: name[1], key: name[2], value: 'own' });
  assert.equal(await set('true'), 0);
  assert.equal(facts.getFact(...name)?.value, 'own');
  facts.deleteFact(...name);
  assert.deepEqual([await set('true'), await set('false')], [0, 0]);
  assert.equal(facts.getFact(...name), undefined);
});

test('a setting that the store has with another value, from elsewhere, stays, and the row is listed', async (t) => {
  const folder = new TestFolder(t);
  const facts = new FactStore(folder.open());
  for (const [key, value] of [['pin', 'own'], ['auto_brightness_enabled', 'true']] as const) {
    facts.upsertFact({ targetId: 'settings', namespace: 'lunchbox', key, value });
  }
  const source = makeSource(folder, toLunchbox);
  const report = await importStore(source, folder.file());
  assert.deepEqual([report.taken.facts, report.alreadyThere.facts], [0, 1]);
  assert.deepEqual(listed(report), [...noPlace, 'settings pin'].toSorted());
  assert.equal(facts.getFact('settings', 'lunchbox', 'pin')?.value, 'own');
  assert.deepEqual((await importStore(source, folder.file())).skipped, report.skipped);
});

const badSettings: [why: string, values: string, row: string][] = [
  ['an empty key', "('', 'a')", 'settings '],
  ['a key with NUL', "(CAST(x'610062' AS TEXT), 'a')", 'settings a\\u0000b'],
  ['a value that is no UTF-8', "('k', CAST(x'80' AS TEXT))", 'settings k'],
  ['a value with NUL', "('k', x'6100')", 'settings k'],
  ['a number beyond 2^53', "('k', 9007199254740993)", 'settings k'],
  ['no number', "('k', 9e999)", 'settings k'],
];

/** The table without its constraints and types. */
const anySettings = `DROP TABLE settings; CREATE TABLE settings (key, value);
  INSERT INTO settings VALUES ('auto_brightness_enabled', 'true'), ('pin', 'secret-4711');`;

for (const [why, values, row] of badSettings) {
  test(`a setting with ${why} is listed, and the others are taken`, async (t) => {
    const { report } = await importLunchbox(t, `${anySettings} INSERT INTO settings VALUES ${values}`);
    assert.deepEqual(listed(report).filter((name) => name.startsWith('settings')), [row]);
    assert.deepEqual(report.taken, all);
  });
}

test('of two settings with one key the first is taken and the second listed, at each import', async (t) => {
  const rows = "INSERT INTO settings VALUES ('k', 1), ('k', 2), (NULL, 3), ('k2', NULL)";
  const { folder, source, report, facts } = await importLunchbox(t, anySettings + rows);
  assert.deepEqual([report.taken.facts, settingsOf(facts)], [
    4, { auto_brightness_enabled: 'true', k: 1, k2: null, pin: 'secret-4711' },
  ]);
  assert.deepEqual(listed(report), [...noPlace, 'settings k', 'settings null'].toSorted());
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

test('cooldowns that cannot be read are listed row by row', async (t) => {
  const rows = "('group:a', 'later'), ('', '2026-03-14T18:00:00Z')";
  const { report } = await importLunchbox(t, `INSERT INTO cooldowns VALUES ${rows}`);
  assert.deepEqual(listed(report), [...noPlace, 'cooldowns ', 'cooldowns group:a'].toSorted());
  assert.deepEqual(report.taken, all);
});

/** Imports once more, after `sql` on the source, and says how many overrides and balances were taken and were there. */
async function again({ folder, source }: Imported, sql: string): Promise<[number, number, number, number]> {
  change(source, sql);
  const { taken, alreadyThere } = await importStore(source, folder.file());
  return [taken.overrides!, alreadyThere.overrides!, taken.balances!, alreadyThere.balances!];
}

test('a later import adds to a balance, or takes off it, what the source has changed since', async (t) => {
  const imported = await importLunchbox(t);
  const { store } = imported;
  const setBalance = (secs: number): string => {
    return `UPDATE token_balances SET balance_secs = ${secs} WHERE subject = 'minecraft'`;
  };
  store.adjustBalance({ subject: 'minecraft', durationMs: -100_000 });
  assert.deepEqual(await again(imported, setBalance(900)), [0, 2, 1, 1]);
  assert.equal(store.getBalance('minecraft'), 800_000);
  assert.deepEqual(await again(imported, setBalance(700)), [0, 2, 1, 1]);
  assert.equal(store.getBalance('minecraft'), 600_000);
  assert.deepEqual(await again(imported, ''), [0, 2, 0, 2]);
  // What is spent on both sides is gone, and not below nothing.
  store.adjustBalance({ subject: 'minecraft', durationMs: -550_000 });
  assert.deepEqual(await again(imported, setBalance(0)), [0, 2, 1, 1]);
  assert.equal(store.getBalance('minecraft'), 0);
  const added = "INSERT INTO token_balances VALUES ('tux-math', 30, '2026-03-15'), ('empty', 0, '2026-03-15')";
  assert.deepEqual(await again(imported, added), [0, 2, 1, 3]);
  assert.deepEqual(store.listBalances().map(({ subject, balanceMs }) => [subject, balanceMs]), [
    ['group:games', 60_000], ['minecraft', 0], ['tux-math', 30_000],
  ]);
});

test('a later import grants what the source has granted since, or takes it away', async (t) => {
  const imported = await importLunchbox(t);
  const { store } = imported;
  const set = (secs: number | null): string => {
    return `UPDATE daily_overrides SET quota_delta_seconds = ${secs} WHERE subject = 'minecraft'`;
  };
  store.grantTime({ subject: 'minecraft', day, durationMs: 5_000 });
  for (const [secs, grantedMs] of [[2400, 2_405_000], [-600, -595_000], [null, 5_000], [60, 65_000]] as const) {
    assert.deepEqual(await again(imported, set(secs)), [1, 1, 0, 2]);
    assert.equal(store.getOverride('minecraft', day).grantedMs, grantedMs);
    assert.deepEqual(await again(imported, ''), [0, 2, 0, 2]);
  }
  const rows = `INSERT INTO daily_overrides VALUES
    ('minecraft', '2026-03-15', 1, -60, '', ''), ('a', '${day}', NULL, NULL, '', '')`;
  assert.deepEqual(await again(imported, rows), [1, 3, 0, 2]);
  assert.deepEqual(store.listOverrides({ day: '2026-03-15' }), [
    { subject: 'minecraft', day: '2026-03-15', grantedMs: -60_000, availability: 'allowed' },
  ]);
});

test('an availability follows its source until it is set here, and time is granted all the same', async (t) => {
  const imported = await importLunchbox(t);
  const { store } = imported;
  const set = (availability: number | null, secs: number | null = null): string => {
    const values = `availability = ${availability}, quota_delta_seconds = ${secs}`;
    return `UPDATE daily_overrides SET ${values} WHERE subject = 'group:games'`;
  };
  for (const [value, availability] of [[1, 'allowed'], [null, undefined], [0, 'denied']] as const) {
    assert.deepEqual(await again(imported, set(value)), [1, 1, 0, 2]);
    assert.equal(store.getOverride('group:games', day).availability, availability);
  }
  store.setAvailability({ subject: 'group:games', day, availability: undefined });
  assert.deepEqual(await again(imported, ''), [0, 2, 0, 2]);
  assert.deepEqual(await again(imported, set(1)), [0, 2, 0, 2]);
  assert.deepEqual(await again(imported, set(1, 60)), [1, 1, 0, 2]);
  assert.deepEqual(store.getOverride('group:games', day), { grantedMs: 60_000 });
  // What was left out then was not taken, so the source has taken nothing back now.
  store.setAvailability({ subject: 'group:games', day, availability: 'allowed' });
  assert.deepEqual(await again(imported, set(0, 60)), [0, 2, 0, 2]);
  assert.deepEqual(store.getOverride('group:games', day), { grantedMs: 60_000, availability: 'allowed' });
  // Where both say the same again, it follows once more.
  assert.deepEqual(await again(imported, set(1, 60)), [0, 2, 0, 2]);
  assert.deepEqual(await again(imported, set(0, 60)), [1, 1, 0, 2]);
  assert.equal(store.getOverride('group:games', day).availability, 'denied');
});

test('an availability that the store has otherwise, from elsewhere, stays, and the row is listed', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.setAvailability({ subject: 'group:games', day, availability: 'allowed' });
  const source = makeSource(folder, `${toLunchbox} UPDATE daily_overrides SET quota_delta_seconds = 60`);
  const report = await importStore(source, folder.file());
  assert.deepEqual(listed(report), [...noPlace, `daily_overrides group:games ${day}`]);
  assert.deepEqual(report.taken, { ...all, overrides: 1 });
  assert.deepEqual(store.getOverride('group:games', day), { grantedMs: 0, availability: 'allowed' });
  assert.deepEqual((await importStore(source, folder.file())).skipped, report.skipped);
});

/** The tables of limits without their constraints and types. */
const anyLimits = loosen('token_balances', 'daily_overrides');

const badLimits: [why: string, table: string, values: string, row: string][] = [
  ['an empty subject', 'token_balances', "('', 5, '')", ''],
  ['a subject with NUL', 'token_balances', "(CAST(x'610062' AS TEXT), 5, '')", 'a\\u0000b'],
  ['a subject that is no UTF-8', 'token_balances', "(CAST(x'80' AS TEXT), 5, '')", '?'],
  ['no subject', 'token_balances', "(NULL, 5, '')", 'null'],
  ['a negative balance', 'token_balances', "('a', -5, '')", 'a'],
  ['half a second', 'token_balances', "('a', 0.5, '')", 'a'],
  ['a balance that is a text', 'token_balances', "('a', 'five', '')", 'a'],
  ['no balance', 'token_balances', "('a', NULL, '')", 'a'],
  ['a balance beyond 2^53 ms', 'token_balances', "('a', 9007199254741, '')", 'a'],
  ['the subject of another balance', 'token_balances', "('minecraft', 5, '')", 'minecraft'],
  ['no day', 'daily_overrides', "('a', NULL, 0, 5, '', '')", 'a null'],
  ['a day that is none', 'daily_overrides', "('a', '2026-02-30', NULL, NULL, '', '')", 'a 2026-02-30'],
  ['an unknown availability', 'daily_overrides', `('a', '${day}', 2, 5, '', '')`, `a ${day}`],
  ['an availability that is a text', 'daily_overrides', `('a', '${day}', 'no', 5, '', '')`, `a ${day}`],
  ['an availability that is a BLOB', 'daily_overrides', `('a', '${day}', x'00', 5, '', '')`, `a ${day}`],
  ['a grant beyond 2^53 ms', 'daily_overrides', `('a', '${day}', 1, -9007199254741, '', '')`, `a ${day}`],
  ['a grant that is no number', 'daily_overrides', `('a', '${day}', 1, 'much', '', '')`, `a ${day}`],
  ['an empty subject on a day', 'daily_overrides', `('', '${day}', 1, 5, '', '')`, ` ${day}`],
  ['the day of another override', 'daily_overrides', `('minecraft', '${day}', 1, 5, '', '')`, `minecraft ${day}`],
];

for (const [why, table, values, row] of badLimits) {
  test(`a row with ${why} is listed at each import, and the others are taken`, async (t) => {
    const sql = `${anyLimits} INSERT INTO ${table} VALUES ${values}`;
    const { folder, source, report, store } = await importLunchbox(t, sql);
    assert.deepEqual(listed(report), [...noPlace, `${table} ${row}`]);
    assert.deepEqual(report.taken, all);
    assert.deepEqual([store.listOverrides().length, store.listBalances().length], [2, 2]);
    assert.deepEqual(await importStore(source, folder.file()), { ...report, taken: none, alreadyThere: all });
  });
}

test('a damaged override or balance of the store is listed, and the others are taken', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.grantTime({ subject: 'minecraft', day, durationMs: 1 });
  store.adjustBalance({ subject: 'minecraft', durationMs: 1 });
  const db = folder.raw();
  db.exec(`PRAGMA ignore_check_constraints = ON; UPDATE balances SET balance_ms = -1;
    UPDATE overrides SET availability = 'perhaps'`);
  const report = await importStore(makeSource(folder, toLunchbox), folder.file());
  assert.deepEqual(listed(report), [...noPlace, `daily_overrides minecraft ${day}`, 'token_balances minecraft']);
  assert.deepEqual(report.taken, { ...all, overrides: 1, balances: 1 });
  assert.throws(() => store.getBalance('minecraft'), { code: 'ERR_STORE_CORRUPT' });
  db.exec("DELETE FROM balances WHERE balance_ms < 0; DELETE FROM overrides WHERE availability = 'perhaps'");
});

test('what was taken is rebuilt from a ledger as the store has it', async (t) => {
  const { folder, source, store } = await importLunchbox(t);
  store.close();
  const tables = ['audit_log', 'overrides', 'balances', 'usage'] as const;
  const openLedger = (): Ledger => Ledger.open(folder.file('audit.jsonl'));
  for (const round of [1, 2]) {
    const withLedger = folder.open({ ledger: openLedger() });
    withLedger.detachLedger();
    withLedger.close();
    const file = folder.file(`rebuilt-${round}.db`);
    await rebuildDatabase(openLedger(), file);
    const [own, rebuilt] = [dump(folder.file()), dump(file)];
    for (const table of tables) assert.deepEqual(rebuilt[table], own[table], table);
    change(source, `UPDATE token_balances SET balance_secs = balance_secs + 5;
      UPDATE daily_overrides SET quota_delta_seconds = -5, availability = 1`);
    const { taken } = await importStore(source, folder.file());
    assert.deepEqual([taken.overrides, taken.balances], round === 1 ? [2, 2] : [0, 2]);
  }
});
