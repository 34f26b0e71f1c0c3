// Damage that the random runs of test/faults/corruption.test.ts found to mislead the store, each by itself.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, verifyParity } from '../../lib/ledger/index.ts';
import { namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { makeDatabase } from '../support/foreign.ts';
import { checkBoth } from '../support/ledger.ts';
import { run } from '../support/process.ts';

const day = '2026-11-21';
const clock = (): Date => new Date(`${day}T12:00:00Z`);

function fill(store: SqliteStore): void {
  for (let number = 0; number < 30; number++) store.appendAudit({ type: 'policy_loaded', entryCount: number });
  for (const entryId of ['film', 'minecraft', 'tuxpaint']) store.addUsage(entryId, day, 10_000);
  store.setCooldownUntil('minecraft', new Date(`${day}T13:00:00Z`));
  store.saveSnapshot({ timestamp: clock() });
}

/** Writes over the first page of a table or index, which nobody has open. */
function spoil(path: string, name: string, contents: (page: Buffer) => Buffer): void {
  const db = new DatabaseSync(path);
  const root = Number(db.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').get(name)!['rootpage']);
  db.close();
  const file = readFileSync(path);
  contents(file.subarray((root - 1) * 4096, root * 4096)).copy(file, (root - 1) * 4096);
  writeFileSync(path, file);
}

for (const name of [
  'usage',
  'sqlite_autoindex_usage_1',
  'usage_day',
  'cooldowns',
  'sqlite_autoindex_cooldowns_1',
  'audit_log_event_id',
  'store_meta',
  'snapshot',
  'audit_log',
  'schema_version',
]) {
  test(`a damaged page of ${name}, without which the service cannot go on, is found by recover`, async (t) => {
    const folder = new TestFolder(t);
    const store = folder.open({ clock });
    fill(store);
    store.close();
    spoil(folder.file(), name, (page) => page.fill(0xa5));
    const again = folder.open({ clock, recover: true });
    assert.equal(again.recovery?.found, 'damaged');
    assert.equal(again.addUsage('minecraft', day, 5), 10_005);
    again.setCooldownUntil('film', clock());
    again.appendAudit({ type: 'service_started' }, { eventId: 'one' });
    again.saveSnapshot({ timestamp: clock() });
    assert.ok((await again.verifyAudit()).ok);
  });
}

for (const [table, column] of [
  ['snapshot', 'generation'],
  ['usage', 'carry_ms'],
  ['cooldowns', 'until'],
  ['store_meta', 'has_ledger'],
  ['audit_log', 'event_hash'],
] as const) {
  test(`a damaged letter in the name of ${table}.${column} is a damaged database, and found by recover`, (t) => {
    const folder = new TestFolder(t);
    const store = folder.open({ clock });
    fill(store);
    store.close();
    const db = new DatabaseSync(folder.file(), { defensive: false });
    db.exec(
      `PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '${column}', 'X${column.slice(1)}') `
        + `WHERE name = '${table}'`,
    );
    db.close();
    const again = folder.open({ clock, recover: true });
    assert.equal(again.recovery?.found, 'damaged');
    assert.equal(again.addUsage('film', day, 1), 10_001);
  });
}

test('a rehearsal leaves nothing behind', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  fill(store);
  store.close();
  const before = readFileSync(folder.file());
  folder.open({ clock, recover: true }).close();
  assert.ok(readFileSync(folder.file()).equals(before));
});

test('numbers and NULLs where the log has texts are tampering, not a crash of the check', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open({ clock });
  fill(store);
  store.close();
  // Another page, with rows of other types, stands where rows of the log stood.
  makeDatabase(folder.file(), 'CREATE TABLE other (id INTEGER PRIMARY KEY, a, b, c, d, e, f); INSERT INTO other '
    + 'VALUES (1, 5, 6, 7, 8, 9, NULL), (2, NULL, NULL, NULL, NULL, NULL, NULL)');
  const db = new DatabaseSync(folder.file());
  const root = Number(db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'other'").get()!['rootpage']);
  db.close();
  const other = readFileSync(folder.file()).subarray((root - 1) * 4096, root * 4096);
  spoil(folder.file(), 'audit_log', () => other);
  const { ok, findings } = await folder.closing(SqliteStore.openReadOnly(folder.file(), { clock })).verifyAudit();
  assert.equal(ok, false);
  assert.deepEqual(findings.map(({ id, kind }) => [id, kind]), [[1, 'tampered'], [2, 'tampered']]);
});

test('rows of a damaged page that were not asked for do not send a walk round and round', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const open = (): SqliteStore => folder.open({ clock, ledger: Ledger.open(folder.file('audit.jsonl')) });
  const store = open();
  for (let group = 0; group < 7; group++)
    store.appendAudits(Array.from({ length: 100 }, () => ({ event: { type: 'service_started' } })));
  store.close();
  // Every leaf of the table has only cells of one row, whose id is 0: a cell of zeros is such a row.
  const file = readFileSync(folder.file());
  const db = new DatabaseSync(folder.file());
  const leaves = db
    .prepare("SELECT pageno FROM dbstat WHERE name = 'audit_log' AND pagetype = 'leaf'")
    .all()
    .map(({ pageno }) => Number(pageno));
  db.close();
  for (const leaf of leaves) {
    const page = file.subarray((leaf - 1) * 4096, leaf * 4096);
    const cells = page.readUInt16BE(3);
    page.fill(0, 8 + 2 * cells);
    for (let cell = 0; cell < cells; cell++) page.writeUInt16BE(4_000, 8 + 2 * cell);
  }
  writeFileSync(folder.file(), file);
  using reader = SqliteStore.openReadOnly(folder.file(), { clock });
  await assert.rejects(reader.verifyAudit(), { code: 'ERR_STORE_CORRUPT' });
  const ledger = Ledger.open(folder.file('audit.jsonl'));
  t.after(() => ledger.close());
  await assert.rejects(verifyParity(reader, ledger), { code: 'ERR_STORE_CORRUPT' });
});

test('an index that gives other rows than its table is told by the comparison of both files', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const open = (): SqliteStore => folder.open({ clock, ledger: Ledger.open(folder.file('audit.jsonl')) });
  const store = open();
  fill(store);
  store.close();
  // A page of zeros but for its type is an index without rows.
  spoil(folder.file(), 'usage_day', (page) => Buffer.from([0x0a, 0, 0, 0, 0, 0x10, 0, 0, ...page.subarray(8).fill(0)]));
  const again = open();
  assert.deepEqual(again.getUsageForDay(day), []);
  const ledger = Ledger.open(folder.file('audit.jsonl'));
  t.after(() => ledger.close());
  await assert.rejects(verifyParity(again, ledger), { code: 'ERR_STORE_CORRUPT' });
});

for (const [what, damage] of [
  ['a changed letter', (header: string) => header.replace('format', 'fOrmat')],
  [
    'another UUID',
    (header: string) =>
      header.replace(/"store":"./, (start) => `${start.slice(0, -1)}${start.endsWith('0') ? '1' : '0'}`),
  ],
  ['nothing of the header', (header: string) => '\0'.repeat(header.length)],
] as const) {
  test(`a ledger with ${what} is refused, and with recover set aside and made anew from the database`, (t) => {
    const folder = new TestFolder(t);
    const path = folder.file('audit.jsonl');
    const store = folder.open({ clock, ledger: Ledger.open(path) });
    fill(store);
    store.close();
    const [header = '', ...lines] = readFileSync(path, 'utf8').split('\n');
    assert.notEqual(damage(header), header);
    writeFileSync(path, [damage(header), ...lines].join('\n'));
    assert.throws(
      () => folder.open({ clock, ledger: Ledger.open(path) }),
      (error: { code?: string }) => /^ERR_STORE_(NOT_A_STORE|CONFLICT)$/.test(error.code ?? ''),
    );
    assert.equal(
      folder.open({ clock, recover: true, ledger: Ledger.open(path, { recover: true }) }).addUsage('film', day, 1),
      10_001,
    );
    assert.deepEqual(namesIn(folder.path).filter((name) => name.startsWith('audit.jsonl.damaged-')).length, 1);
  });
}

test('a table that only reading overlooks is refused before the -wal goes into the database', (t) => {
  const folder = new TestFolder(t);
  folder.open({ clock }).close();
  run(folder.file(), "const store = SqliteStore.open(path); store.addUsage('film', '2026-11-21', 5); die();");
  const file = readFileSync(folder.file());
  const column = file.lastIndexOf('json_valid(value)');
  assert.ok(column > 0);
  file.write('json_valid(valum)', column);
  writeFileSync(folder.file(), file);
  const before = picture(folder.path);
  assert.throws(() => folder.open({ clock }), { code: 'ERR_STORE_CORRUPT' });
  assert.deepEqual(picture(folder.path), before);
  file.write('json_valid(value)', column);
  writeFileSync(folder.file(), file);
  assert.equal(folder.open({ clock }).getUsage('film', '2026-11-21'), 5);
});

test('recover leaves a ledger alone that is none, and that of another store', (t) => {
  const folder = new TestFolder(t);
  const [mine, theirs, text] = ['mine.jsonl', 'theirs.jsonl', 'text'].map((name) => folder.file(name)) as [
    string,
    string,
    string,
  ];
  const store = folder.open({ clock, ledger: Ledger.open(mine) });
  fill(store);
  store.close();
  const other = new TestFolder(t);
  const stranger = other.open({ clock, ledger: Ledger.open(theirs) });
  fill(stranger);
  stranger.close();
  writeFileSync(text, 'Shopping list\n'.repeat(1_000));
  const before = readFileSync(theirs);
  assert.throws(() => folder.open({ clock, recover: true, ledger: Ledger.open(theirs, { recover: true }) }), {
    code: 'ERR_STORE_CONFLICT',
  });
  assert.throws(() => Ledger.open(text, { recover: true }), { code: 'ERR_STORE_NOT_A_STORE' });
  assert.ok(readFileSync(theirs).equals(before));
  checkBoth(folder.file(), mine);
});
