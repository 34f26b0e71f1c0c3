// A lunchboxd.db: the store of the first source's service under its newer name, whose limits belong to groups as well.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type ImportReport, importStore } from '../../lib/import/index.ts';
import type { SqliteStore } from '../../lib/index.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { TestFolder } from '../support/folder.ts';
import { change, dump, makeSource, toLunchbox } from '../support/shepherdd.ts';

const none = { events: 0, usage: 0, cooldowns: 0, snapshots: 0, facts: 0 };
const all = { events: 24, usage: 9, cooldowns: 3, snapshots: 1, facts: 2 };
const noPlace = [
  'audio_outputs alsa:hdmi-0', 'daily_overrides group:games 2026-03-14', 'daily_overrides minecraft 2026-03-14',
  'token_balances group:games', 'token_balances minecraft',
];

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

test('events, usage, cooldowns, state and settings are taken, and each row of another table is listed', async (t) => {
  const { report, store, facts } = await importLunchbox(t);
  assert.deepEqual([report.kind, report.taken, report.alreadyThere], ['lunchbox', all, none]);
  assert.deepEqual(listed(report), noPlace);
  assert.equal(store.getUsage('minecraft', '2026-03-14'), 903_000);
  assert.deepEqual(store.getCooldownUntil('group:games'), new Date('2026-03-14T18:00:00.500Z'));
  assert.deepEqual(store.getCooldownUntil('minecraft'), new Date('2026-03-14T15:19:28.535Z'));
  assert.equal(store.loadSnapshot()?.activeSession?.entryId, 'minecraft');
  assert.deepEqual(settingsOf(facts), { auto_brightness_enabled: 'true', pin: 'secret-4711' });
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
    { events: 1, usage: 3, cooldowns: 1, snapshots: 0, facts: 2 },
    { events: 24, usage: 6, cooldowns: 2, snapshots: 1, facts: 0 },
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
  assert.deepEqual([report.kind, report.taken, report.skipped], ['shepherdd', { ...all, cooldowns: 2, facts: 1 }, []]);
  change(source, "ALTER TABLE cooldowns RENAME COLUMN entry_id TO subject; UPDATE settings SET value = '2'");
  assert.deepEqual((await importStore(source, folder.file())).taken, { ...none, facts: 1 });
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
