// A shortened log and its cut ledger against older copies of either, damage, keys, and made anew from each other.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import * as system from 'node:fs';
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { type OpenOptions, SqliteStore, type StoreError } from '../../lib/index.ts';
import { LedgerFile } from '../../lib/ledger/file.ts';
import { Ledger, mirrorEvent, rebuildDatabase, rebuildLedger, replay } from '../../lib/ledger/index.ts';
import { type LedgerReport, verifyFile } from '../../lib/ledger/verify.ts';
import { archiveAudits, forgetUsage, listArchives, verifyArchives } from '../../lib/modules/archive/archive.ts';
import {
  archiveUpTo, checkParity, idsOf, kindsIn, kindsOfAll, type Kiosk, kioskIn, runFor,
} from '../support/archive.ts';
import { TestFolder } from '../support/folder.ts';
import { dump, ledgerIn } from '../support/ledger.ts';

const parityFault = { code: 'ERR_STORE_PARITY' };

/** A kiosk whose store has a ledger, balances of each kind, and rows up to 40 in an archive. */
async function shortened(folder: TestFolder, options: Parameters<typeof kioskIn>[1] = {}): Promise<Kiosk> {
  const kiosk = kioskIn(folder, { ledger: ledgerIn(folder), ...options });
  fill(kiosk);
  await archiveUpTo(kiosk, 40);
  return kiosk;
}

/** Usage in the order in which it was written, cooldowns and limits. */
function fill({ store, clocks }: Kiosk): void {
  for (const [entryId, day] of [['b', 12], ['a', 12], ['a', 10], ['ä "\n', 11]] as const) {
    store.addUsage(entryId, `2026-01-${day}`, 90_501);
  }
  store.addUsage('a', '2026-01-01', 90_501);
  store.setCooldownUntil('a', new Date(clocks.wall + 5_000));
  store.setCooldownUntil('b', new Date(clocks.wall - 5_000));
  store.grantTime({ subject: 'a', day: '2026-01-12', durationMs: 60_000 });
  store.grantTime({ subject: 'b', day: '2026-01-12', durationMs: -60_000 });
  store.setAvailability({ subject: 'group:games', day: '2026-01-12', availability: 'denied' });
  store.setAvailability({ subject: 'a', day: '2026-01-12', availability: 'allowed' });
  store.setAvailability({ subject: 'a', day: '2026-01-12', availability: undefined });
  store.adjustBalance({ subject: 'a', durationMs: 5_000 });
  store.adjustBalance({ subject: 'b', durationMs: 5_000 });
  store.adjustBalance({ subject: 'b', durationMs: -5_000 });
}

function again(folder: TestFolder, { clocks }: Kiosk, options: OpenOptions = {}): SqliteStore {
  return folder.open({ ...clocks.options, ...options, ledger: options.ledger ?? ledgerIn(folder) });
}

/** The tables that follow from events, as SQLite has them; of usage the order as well, which readers go by. */
function tablesOf(path: string): unknown[] {
  using db = new DatabaseSync(path, { readOnly: true });
  return [
    'SELECT id, timestamp, event_type, event_data, event_meta, event_hash, signature FROM audit_log ORDER BY id',
    'SELECT entry_id, day, duration_secs, carry_ms FROM usage ORDER BY entry_id, day',
    'SELECT * FROM cooldowns ORDER BY entry_id',
    'SELECT * FROM overrides ORDER BY subject, day',
    'SELECT * FROM balances ORDER BY subject',
    'SELECT uuid, created_at, has_ledger, limits_id, archived_id, archived_hash, adopted_id FROM store_meta',
  ].map((sql) => db.prepare(sql).all());
}

test('an old copy of the ledger that ends before the log begins is refused, with what to do', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { ledger: ledgerIn(folder) });
  kiosk.store.close();
  const path = folder.file('audit.jsonl');
  copyFileSync(path, folder.file('old.jsonl'));
  kiosk.store = again(folder, kiosk);
  runFor(kiosk.store, kiosk.clocks, 10, 10);
  await archiveUpTo(kiosk, 150);
  kiosk.store.close();
  copyFileSync(folder.file('old.jsonl'), path);
  for (const options of [{}, { recover: true }]) {
    assert.throws(() => again(folder, kiosk, options), (error: StoreError) => {
      assert.equal(error.code, 'ERR_STORE_PARITY');
      assert.match(error.message, /row 121\b.*row 150\b.*move it away/);
      return true;
    });
  }
  assert.deepEqual(readFileSync(path), readFileSync(folder.file('old.jsonl')), 'it is as it was');
  rmSync(path);
  kiosk.store = again(folder, kiosk);
  await checkParity(kiosk.store, ledgerIn(folder));
  assert.equal([...ledgerIn(folder).iterate()][0]?.id, 151);
});

test('an old copy of the ledger that reaches into the log is completed, and cut by the next archiving', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { ledger: ledgerIn(folder) });
  kiosk.store.close();
  const path = folder.file('audit.jsonl');
  copyFileSync(path, folder.file('old.jsonl'));
  kiosk.store = again(folder, kiosk);
  await archiveUpTo(kiosk, 40);
  kiosk.store.close();
  renameSync(folder.file('old.jsonl'), path);
  kiosk.store = again(folder, kiosk);
  await checkParity(kiosk.store, ledgerIn(folder));
  assert.equal([...ledgerIn(folder).iterate()][0]?.id, 1);
  assert.equal(await archiveAudits(kiosk.store, { folder: kiosk.archives, upTo: { id: 40 } }), undefined);
  assert.equal([...ledgerIn(folder).iterate()][0]?.id, 41);
  await checkParity(kiosk.store, ledgerIn(folder));
});

test('an old copy of the database that ends before the ledger begins is refused, with what to do', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { ledger: ledgerIn(folder) });
  kiosk.store.close();
  copyFileSync(folder.file(), folder.file('old.db'));
  kiosk.store = again(folder, kiosk);
  runFor(kiosk.store, kiosk.clocks, 10, 10);
  await archiveUpTo(kiosk, 150);
  const before = dump(kiosk.store);
  kiosk.store.close();
  copyFileSync(folder.file('old.db'), folder.file());
  assert.throws(() => again(folder, kiosk), (error: StoreError) => {
    assert.equal(error.code, 'ERR_STORE_PARITY');
    assert.match(error.message, /row 121\b.*row 150\b.*rebuild it from the archives/);
    return true;
  });
  rmSync(folder.file());
  await rebuildDatabase(ledgerIn(folder), folder.file());
  kiosk.store = again(folder, kiosk);
  assert.deepEqual(dump(kiosk.store), before);
  assert.equal(await kindsOfAll(kiosk), 'ok');
});

test('an old copy of the database that reaches into the ledger goes on, without a second archive', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { ledger: ledgerIn(folder) });
  fill(kiosk);
  kiosk.store.close();
  copyFileSync(folder.file(), folder.file('old.db'));
  kiosk.store = again(folder, kiosk);
  await archiveUpTo(kiosk, 40);
  kiosk.store.addUsage('a', '2026-01-12', 7);
  kiosk.store.close();
  const before = tablesOf(folder.file());
  renameSync(folder.file('old.db'), folder.file());
  kiosk.store = again(folder, kiosk);
  assert.equal(idsOf(kiosk.store)[0], 1);
  await checkParity(kiosk.store, ledgerIn(folder));
  assert.equal(await kindsOfAll(kiosk), 'ok');
  const archived = await archiveAudits(kiosk.store, { folder: kiosk.archives, upTo: { keepDays: 365 } });
  assert.deepEqual([archived?.from, archived?.to, listArchives(kiosk.archives).length], [1, 40, 1]);
  kiosk.store.close();
  assert.deepEqual(tablesOf(folder.file()), before);
});

test('torn ends, a lost first page and damage are what they are in a ledger that was not cut', async (t) => {
  for (const [name, damage, isMended] of [
    ['a torn line', (bytes) => bytes.subarray(0, -7), true],
    ['a lost line', (bytes) => bytes.subarray(0, bytes.lastIndexOf('\n', -2) + 1), true],
    ['a zeroed end', (bytes) => Buffer.from(bytes).fill(0, bytes.length - 100), true],
    ['only a part of the header', (bytes) => bytes.subarray(0, 30), true],
    ['a zeroed first page', (bytes) => Buffer.from(bytes).fill(0, 0, 4096), false],
    ['a damaged line in the middle', (bytes) => Buffer.from(bytes).fill('x', 6_000, 6_010), false],
  ] satisfies [string, (bytes: Buffer) => Buffer, boolean][]) {
    const folder = new TestFolder(t);
    const kiosk = await shortened(folder);
    const path = folder.file('audit.jsonl');
    kiosk.store.close();
    const whole = readFileSync(path);
    const before = tablesOf(folder.file());
    writeFileSync(path, damage(whole));
    const refused = { code: /^ERR_STORE_(PARITY|CORRUPT|NOT_A_STORE|CONFLICT)$/ };
    if (!isMended) assert.throws(() => again(folder, kiosk), refused, name);
    kiosk.store = again(folder, kiosk, { ledger: ledgerIn(folder, { recover: !isMended }), recover: !isMended });
    await checkParity(kiosk.store, ledgerIn(folder));
    kiosk.store.close();
    const text = readFileSync(path, 'utf8').replaceAll(',"more":true', '');
    assert.ok(text.startsWith(whole.toString().replaceAll(',"more":true', '')), name);
    const rows = tablesOf(folder.file())[0] as unknown[];
    assert.deepEqual(rows.slice(0, (before[0] as unknown[]).length), before[0], name);
  }
});

test('signing goes on over archiving with the same key alone, and all of it verifies by that key', async (t) => {
  const folder = new TestFolder(t);
  const { privateKey: signingKey, publicKey } = generateKeyPairSync('ed25519');
  const others = generateKeyPairSync('ed25519');
  const kiosk = kioskIn(folder, { ledger: ledgerIn(folder, { signingKey }) });
  for (const id of [40, 80]) {
    await archiveUpTo(kiosk, id);
    assert.deepEqual((await kiosk.store.verifyAudit({ publicKey })).findings, []);
    assert.deepEqual((await ledgerIn(folder).verify({ publicKey })).findings, []);
    assert.equal(kindsIn(await verifyArchives(kiosk.store, kiosk.archives, { publicKey })), 'ok');
    const byAnother = await verifyArchives(kiosk.store, kiosk.archives, { publicKey: others.publicKey });
    assert.match(kindsIn(byAnother), /bad-signature/);
  }
  kiosk.store.close();
  const told = kiosk.clocks.options;
  const conflict = { code: 'ERR_STORE_CONFLICT' };
  for (const options of [{}, { signingKey: others.privateKey }]) {
    assert.throws(() => folder.open({ ...told, ledger: ledgerIn(folder, options) }), conflict);
  }
  kiosk.store = folder.open({ ...told, ledger: ledgerIn(folder, { signingKey }) });
  kiosk.store.appendAudit({ type: 'service_started' });
  assert.equal(kindsIn(await verifyArchives(kiosk.store, kiosk.archives, { publicKey })), 'ok');
  assert.deepEqual((await kiosk.store.verifyAudit({ publicKey })).findings, []);
  for (const { path } of listArchives(kiosk.archives)) {
    assert.equal([...Ledger.open(path).iterate()].filter(({ id, sig }) => id > 2 && !sig).length, 0);
  }
});

test('of a store that began to sign late, what was unsigned before is no finding after archiving', async (t) => {
  const folder = new TestFolder(t);
  const { privateKey: signingKey, publicKey } = generateKeyPairSync('ed25519');
  const kiosk = kioskIn(folder, { ledger: ledgerIn(folder) });
  kiosk.store.close();
  kiosk.store = folder.open({ ...kiosk.clocks.options, ledger: ledgerIn(folder, { signingKey }) });
  runFor(kiosk.store, kiosk.clocks, 5, 10);
  await archiveUpTo(kiosk, 60);
  assert.deepEqual((await kiosk.store.verifyAudit({ publicKey })).findings, []);
  await archiveUpTo(kiosk, 140);
  assert.deepEqual((await kiosk.store.verifyAudit({ publicKey })).findings, []);
  assert.equal(kindsIn(await verifyArchives(kiosk.store, kiosk.archives, { publicKey })), 'ok');
});

test('a ledger that is detached, and attached again after archiving, begins anew behind the archives', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await shortened(folder);
  kiosk.store.detachLedger();
  kiosk.store.addUsage('a', '2026-01-12', 9);
  await archiveUpTo(kiosk, 60);
  assert.equal(headerOf(folder).after?.id, 40, 'a ledger that is detached is left alone');
  kiosk.store.close();
  kiosk.store = again(folder, kiosk);
  assert.equal(kiosk.store.getUsage('a', '2026-01-12'), 90_510);
  await checkParity(kiosk.store, ledgerIn(folder));
  kiosk.store.detachLedger();
  runFor(kiosk.store, kiosk.clocks, 8, 30);
  const { to } = await archiveUpTo(kiosk, kiosk.store.auditHead()!.id - 50);
  kiosk.store.close();
  assert.throws(() => again(folder, kiosk), parityFault, 'rows between the two are in archives alone');
  rmSync(folder.file('audit.jsonl'));
  kiosk.store = again(folder, kiosk);
  assert.equal(headerOf(folder).after?.id, to);
  await checkParity(kiosk.store, ledgerIn(folder));
  assert.equal(await kindsOfAll(kiosk), 'ok');
});

test('the first ledger of a log that was shortened begins behind the archives, and is all that it takes', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  fill(kiosk);
  await archiveUpTo(kiosk, 40);
  kiosk.store.close();
  kiosk.store = again(folder, kiosk);
  assert.equal(headerOf(folder).after?.id, 40);
  await checkParity(kiosk.store, ledgerIn(folder));
  kiosk.store.close();
  await rebuildDatabase(ledgerIn(folder), folder.file('rebuilt.db'));
  assert.deepEqual(tablesOf(folder.file('rebuilt.db')), tablesOf(folder.file()));
});

/** What a store holds, of its log the last events. */
function endOf(dumped: object): object {
  const { audits, ...rest } = dumped as { audits: unknown[] };
  return { ...rest, audits: audits.slice(-10) };
}

function headerOf(folder: TestFolder): { after?: { id: number } } {
  return JSON.parse(readFileSync(folder.file('audit.jsonl'), 'utf8').split('\n')[0]!) as { after?: { id: number } };
}

test('the cut ledger alone rebuilds the tables as they are, and with the archives all of the log too', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await shortened(folder);
  kiosk.store.addUsage('b', '2026-01-12', 7);
  kiosk.store.correctUsage({ entryId: 'b', day: '2026-01-12', durationMs: -60_000, reason: 'mistaken' });
  kiosk.store.clearCooldown('b');
  await archiveUpTo(kiosk, 60, true);
  kiosk.store.setAvailability({ subject: 'group:games', day: '2026-01-12', availability: undefined });
  kiosk.store.adjustBalance({ subject: 'a', durationMs: 5 });
  assert.equal(forgetUsage(kiosk.store, { before: '2026-01-02' }), 1);
  await checkParity(kiosk.store, ledgerIn(folder));
  const { store: whole } = kiosk;
  const state = dump(whole);
  whole.close();
  const tables = tablesOf(folder.file());
  await rebuildDatabase(ledgerIn(folder), folder.file('alone.db'));
  assert.deepEqual(tablesOf(folder.file('alone.db')), tables);
  const archives = listArchives(kiosk.archives).map(({ path }) => Ledger.open(path));
  const files = [...archives, ledgerIn(folder)];
  for (const [at, order] of [[0, 1, 2], [2, 1, 0], [1, 2, 0]].entries()) {
    const path = folder.file(`all-${at}.db`);
    const { events } = await rebuildDatabase(order.map((index) => files[index]!), path);
    const all = tablesOf(path);
    assert.deepEqual(all.slice(1, 5), tables.slice(1, 5), String(order));
    assert.equal(events, (all[0] as unknown[]).length);
    assert.deepEqual((all[0] as unknown[]).slice(60), tables[0]);
  }
  await rebuildDatabase([archives[1]!, ledgerIn(folder)], folder.file('half.db'));
  const half = tablesOf(folder.file('half.db'));
  assert.deepEqual(half.slice(1, 5), tables.slice(1, 5));
  assert.deepEqual((half[0] as unknown[]).slice(20), tables[0]);
  // What was made anew is a store as any other: it verifies with the archives, and goes on.
  for (const name of ['alone.db', 'all-0.db', 'half.db']) {
    rmSync(folder.file());
    rmSync(folder.file('audit.jsonl.copy'), { force: true });
    copyFileSync(folder.file(name), folder.file());
    copyFileSync(folder.file('audit.jsonl'), folder.file('audit.jsonl.copy'));
    kiosk.store = again(folder, kiosk);
    assert.equal(kiosk.store.recovery, undefined, name);
    assert.deepEqual(endOf(dump(kiosk.store)), endOf(state));
    assert.equal(await kindsOfAll(kiosk), 'ok', name);
    await checkParity(kiosk.store, ledgerIn(folder));
    kiosk.store.close();
    renameSync(folder.file('audit.jsonl.copy'), folder.file('audit.jsonl'));
  }
});

test('a gap between files is named, another store\'s is refused, and what two have is taken once', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await shortened(folder);
  await archiveUpTo(kiosk, 60);
  await archiveUpTo(kiosk, 80);
  const [first, second, third] = listArchives(kiosk.archives).map(({ path }) => Ledger.open(path));
  const target = folder.file('rebuilt.db');
  await assert.rejects(rebuildDatabase([first!, third!], target), (error: StoreError) => {
    assert.equal(error.code, 'ERR_STORE_PARITY');
    assert.match(error.message, /rows 41 to 60 .*1-40\.jsonl.*61-80\.jsonl/);
    return true;
  });
  await assert.rejects(rebuildDatabase([first!, ledgerIn(folder)], target), parityFault);
  const other = new TestFolder(t);
  const theirs = kioskIn(other, { ledger: ledgerIn(other) });
  const conflict = { code: 'ERR_STORE_CONFLICT' };
  await assert.rejects(rebuildDatabase([first!, second!, third!, ledgerIn(other)], target), conflict);
  await assert.rejects(rebuildDatabase([], target), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  const none = Ledger.open(folder.file('none'));
  await assert.rejects(rebuildDatabase([first!, none], target), { code: 'ERR_STORE_NOT_FOUND' });
  assert.equal(existsSync(target), false);
  theirs.store.close();
  // A whole copy of the log, as after a crash between the archive and the cut.
  await rebuildDatabase([first!, first!, second!, third!, ledgerIn(folder)], target);
  await rebuildLedger(kiosk.store, folder.file('whole.jsonl'));
  await rebuildDatabase([ledgerIn(folder), Ledger.open(folder.file('whole.jsonl'))], folder.file('twice.db'));
  kiosk.store.close();
  const tables = tablesOf(folder.file());
  assert.deepEqual(tablesOf(folder.file('twice.db')), tables);
  assert.deepEqual(tablesOf(target).slice(1, 5), tables.slice(1, 5));
});

test('a file of the list that contradicts the one before it is refused, and no database is made', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await shortened(folder);
  await archiveUpTo(kiosk, 60);
  const [first, second] = listArchives(kiosk.archives).map(({ path }) => path);
  const text = readFileSync(second!, 'utf8');
  const at = text.indexOf('\\"');
  for (const changed of [text.slice(0, at - 30), text.replace('policy_loaded', 'policy_laoded')]) {
    writeFileSync(second!, changed);
    const files = [first!, second!].map((path) => Ledger.open(path));
    const rebuilding = rebuildDatabase([...files, ledgerIn(folder)], folder.file('rebuilt.db'));
    await assert.rejects(rebuilding, { code: /^ERR_STORE_(PARITY|CORRUPT)$/ });
    assert.equal(existsSync(folder.file('rebuilt.db')), false);
  }
});

test('rows that are in an archive are neither replayed nor mirrored into the log again', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await shortened(folder);
  const [archive] = listArchives(kiosk.archives).map(({ path }) => Ledger.open(path));
  const [line] = archive!.iterate();
  kiosk.store.detachLedger();
  assert.equal(mirrorEvent(kiosk.store, line!), 'already-present');
  const before = idsOf(kiosk.store);
  const { replayed, parity } = await replay(kiosk.store, archive!);
  assert.deepEqual([replayed, parity.missingInSqlite, idsOf(kiosk.store)], [0, [], before]);
});

test('a ledger that is made from a shortened log is the cut one, but for the marks of groups', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await shortened(folder);
  const { events } = await rebuildLedger(kiosk.store, folder.file('rebuilt.jsonl'));
  assert.equal(events, idsOf(kiosk.store).length);
  const text = readFileSync(folder.file('audit.jsonl'), 'utf8').replaceAll(',"more":true', '');
  assert.equal(readFileSync(folder.file('rebuilt.jsonl'), 'utf8'), text);
});

test('a header that names another row than the one before the first line is found by verifying', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = await shortened(folder);
  const path = folder.file('audit.jsonl');
  const text = readFileSync(path, 'utf8');
  for (const [changed, kinds] of [
    [text.replace('"after":{"id":40', '"after":{"id":41'), ['gap']],
    [text.replace(/"hash":"./, '"hash":"x'), ['not-a-ledger']],
    [text.replace(/(?<="after":.*"hash":")[0-9a-f]{64}/, '0'.repeat(64)), ['gap']],
    [text.replace(/,"after":\{.*?\}/, ''), ['gap']],
    [text.replace('"after":{"id":40', '"after":{"id":0'), ['not-a-ledger']],
  ] as const) {
    assert.notEqual(changed, text);
    writeFileSync(path, changed);
    const { findings } = await verifyAt(path);
    assert.deepEqual(findings.map(({ kind }) => kind), kinds);
  }
  writeFileSync(path, text);
  await checkParity(kiosk.store, ledgerIn(folder));
});

/** Verifies a file that may be no ledger, which `Ledger.open` refuses. */
function verifyAt(path: string): Promise<LedgerReport> {
  return verifyFile(new LedgerFile(path, system), {});
}
