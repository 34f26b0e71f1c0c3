// A store that was copied with the image of a machine: it is found out, and gets an identity of its own.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, rebuildLedger, verifyParity } from '../../lib/ledger/index.ts';
import { headerText, type LedgerHeader, type LedgerLine, parseHeader } from '../../lib/ledger/line.ts';
import { listArchives, verifyArchives } from '../../lib/modules/archive/archive.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { keepIdentity, renewIdentity } from '../../lib/modules/identity/identity.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { connect } from '../../lib/store.ts';
import { archiveUpTo, kioskIn, runFor } from '../support/archive.ts';
import { TestFolder } from '../support/folder.ts';
import { checkBoth, dump, openBoth } from '../support/ledger.ts';
import { codeOf } from '../support/refusals.ts';

const state = { timestamp: new Date('2026-11-21T09:00:00Z') };

/** The kinds of the findings of a store. */
function kinds(store: SqliteStore): string[] {
  return store.health().findings.map(({ kind }) => kind);
}

/** Makes a closed store look as if it came from another machine. */
function fromElsewhere(folder: TestFolder): void {
  const db = folder.raw();
  db.exec(`UPDATE store_meta SET machine_id = '${'0'.repeat(64)}'`);
  db.close();
}

function storeIn(file: string): string {
  return (JSON.parse(readFileSync(file, 'utf8')) as { content: { store: string } }).content.store;
}

test('a renewed store has another UUID, an event says so, and the chain goes on', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  store.saveSnapshot(state);
  const before = connect(store).uuid;
  const { from, to, id } = renewIdentity(store);
  assert.equal(from, before);
  assert.notEqual(to, before);
  assert.equal(connect(store).uuid, to);
  assert.deepEqual([...store.iterateAudits()].at(-1)!.event, { type: 'store_identity_renewed', from, to });
  assert.equal(id, 2);
  store.appendAudit({ type: 'service_stopped' });
  assert.equal((await store.verifyAudit()).ok, true);
  assert.equal(storeIn(folder.file('store.snapshot.json')), to);
  store.close();
  const again = folder.open();
  assert.equal(connect(again).uuid, to);
  assert.deepEqual(again.loadSnapshot(), state);
  assert.deepEqual([kinds(again), again.recovery], [[], undefined]);
});

test('a store that was made on another machine is found, until it is renewed or kept', (t) => {
  for (const end of [renewIdentity, keepIdentity]) {
    const folder = new TestFolder(t);
    folder.open().close();
    fromElsewhere(folder);
    using reader = SqliteStore.openReadOnly(folder.file());
    assert.deepEqual(kinds(reader), ['other-machine']);
    reader.close();
    const store = folder.open();
    assert.deepEqual(kinds(store), ['other-machine']);
    end(store);
    assert.deepEqual(kinds(store), []);
    store.close();
    assert.deepEqual(kinds(folder.open()), []);
  }
});

test('with a ledger the first line names the new UUID and those before, and rebuilds the store', async (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.addUsage('game', '2026-11-21', 1_000);
  store.grantTime({ subject: 'game', day: '2026-11-21', durationMs: 60_000 });
  const first = renewIdentity(store);
  store.addUsage('game', '2026-11-21', 1_000);
  const second = renewIdentity(store);
  store.appendAudit({ type: 'service_stopped' });
  const path = folder.file('audit.jsonl');
  const [header] = readFileSync(path, 'utf8').split('\n');
  const { store: named, renewed } = JSON.parse(header!) as { store: string; renewed: object };
  assert.equal(named, second.to);
  const former = [{ store: first.from, until: first.id }, { store: first.to, until: second.id }];
  assert.deepEqual(renewed, former);
  const ledger = Ledger.open(path);
  assert.deepEqual((await ledger.verify()).findings, []);
  assert.equal((await verifyParity(store, ledger)).isConsistent, true);
  const rows = dump(store);
  store.close();
  await rebuildDatabase(ledger, folder.file('rebuilt.db'));
  using rebuilt = SqliteStore.openReadOnly(folder.file('rebuilt.db'));
  assert.deepEqual(dump(rebuilt), rows);
  assert.equal(connect(rebuilt).uuid, second.to);
  assert.deepEqual(connect(rebuilt).parts.log.formerIdentities(), former);
});

test('each file of the time before a renewal that was cut short is brought up at the next open', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.appendAudit({ type: 'service_started' });
  store.saveSnapshot(state);
  const files = ['audit.jsonl', 'store.snapshot.json'];
  for (const file of files) copyFileSync(folder.file(file), folder.file(`${file}.before`));
  const { to } = renewIdentity(store);
  const rows = dump(store);
  store.close();
  for (const file of files) {
    renameSync(folder.file(`${file}.before`), folder.file(file));
    const again = openBoth(folder);
    assert.deepEqual(dump(again), rows);
    assert.deepEqual(again.loadSnapshot(), state);
    again.close();
    checkBoth(folder.file(), folder.file('audit.jsonl'));
    assert.match(readFileSync(folder.file('audit.jsonl'), 'utf8'), new RegExp(`^.*"store":"${to}"`));
  }
});

test('a ledger of the time before that is damaged at its end is refused, and set aside with recover', async (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.appendAudit({ type: 'service_started' });
  const path = folder.file('audit.jsonl');
  const before = readFileSync(path, 'utf8');
  renewIdentity(store);
  store.close();
  writeFileSync(path, `${before}{"id":`);
  assert.equal(await codeOf(() => openBoth(folder)), 'ERR_STORE_PARITY');
  const [aside] = openBoth(folder, { recover: true }).recovery?.setAside ?? [];
  assert.ok(readFileSync(aside!.path, 'utf8').endsWith('{"id":'));
});

test('a database that is lost behind a renewal is made anew with all identities', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.appendAudit({ type: 'service_started' });
  const { from, to, id } = renewIdentity(store);
  store.close();
  rmSync(folder.file());
  const { log } = connect(openBoth(folder, { recover: true })).parts;
  assert.deepEqual([log.uuid, log.formerIdentities()], [to, [{ store: from, until: id }]]);
});

test('a header is none where its former identities cannot be', () => {
  const uuid = '00000000-0000-4000-8000-000000000001';
  const header = { store: uuid, created: '2026-11-21T09:00:00.000Z' };
  const textWith = (renewed: unknown): Buffer => {
    return Buffer.from(JSON.stringify({ format: 'shepherd-store ledger 1', ...header, renewed }));
  };
  const good = [{ store: uuid, until: 3 }, { store: uuid, until: 4 }];
  assert.deepEqual(parseHeader(textWith(good)), { format: 'shepherd-store ledger 1', ...header, renewed: good });
  assert.equal(headerText({ ...header, renewed: good }), `${textWith(good).toString()}\n`);
  const bad: unknown[] = [
    [], {}, null, 'x', [null], [1], [{ store: uuid }], [{ store: 1, until: 3 }], [{ store: uuid, until: 0 }],
    [{ store: uuid, until: '3' }], [{ until: 3, store: uuid }], [{ store: uuid, until: 3, more: 1 }],
    [{ store: uuid, until: 4 }, { store: uuid, until: 4 }],
  ];
  for (const each of bad) assert.equal(parseHeader(textWith(each)), undefined, JSON.stringify(each));
});

test('a database of the time before a renewal gets the identity back from its ledger', async (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.appendAudit({ type: 'service_started' });
  await backup(store, folder.file('backup.db'));
  const { to } = renewIdentity(store);
  store.appendAudit({ type: 'service_stopped' });
  const rows = dump(store);
  store.close();
  assert.equal((await restore(folder.file('backup.db'), folder.file())).replaced, 'same-store');
  const again = openBoth(folder);
  assert.equal(connect(again).uuid, to);
  assert.deepEqual(dump(again), rows);
});

test('what another copy of the image has written belongs to another store', async (t) => {
  const folder = new TestFolder(t);
  const other = new TestFolder(t);
  const store = openBoth(folder);
  store.appendAudit({ type: 'service_started' });
  store.saveSnapshot(state);
  store.close();
  for (const file of ['store.db', 'audit.jsonl', 'store.snapshot.json']) {
    copyFileSync(folder.file(file), other.file(file));
  }
  const twin = openBoth(other);
  for (let count = 0; count < 9; count++) twin.appendAudit({ type: 'service_stopped' });
  twin.saveSnapshot(state);
  twin.close();
  const renewed = openBoth(folder);
  renewIdentity(renewed);
  renewed.close();
  const refused = { 'audit.jsonl': 'ERR_STORE_PARITY', 'store.snapshot.json': 'ERR_STORE_CONFLICT' };
  for (const [file, code] of Object.entries(refused)) {
    const own = readFileSync(folder.file(file));
    copyFileSync(other.file(file), folder.file(file));
    assert.equal(await codeOf(() => openBoth(folder)), code);
    writeFileSync(folder.file(file), own);
  }
  openBoth(folder).close();
});

test('archives from before a renewal still belong to the store', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  await archiveUpTo(kiosk, 50);
  renewIdentity(kiosk.store);
  await archiveUpTo(kiosk, 80);
  const report = await verifyArchives(kiosk.store, kiosk.archives);
  assert.deepEqual([report.findings, report.archives, report.checked], [[], 2, kiosk.store.auditHead()!.id]);
});

test('archives from both sides of a renewal and the ledger behind them rebuild the store', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('audit.jsonl');
  const kiosk = kioskIn(folder, { ledger: Ledger.open(path) });
  await archiveUpTo(kiosk, 50);
  const { from, id } = renewIdentity(kiosk.store);
  runFor(kiosk.store, kiosk.clocks, 9, 10);
  await archiveUpTo(kiosk, id + 20);
  const files = listArchives(kiosk.archives).map((file) => file.path);
  const headers = [...files, path].map((file) => readFileSync(file, 'utf8').split('\n')[0]!);
  const renewed = `"renewed":[{"store":"${from}","until":${id}}]`;
  assert.deepEqual(headers.map((header) => header.includes(renewed)), [false, true, true]);
  const rows = [...kiosk.store.iterateAudits()];
  const head = kiosk.store.auditHead();
  await rebuildLedger(kiosk.store, folder.file('again.jsonl'));
  assert.equal(readFileSync(folder.file('again.jsonl'), 'utf8').split('\n')[0], headers[2]);
  await rebuildDatabase([...files, path].map((file) => Ledger.open(file)), folder.file('rebuilt.db'));
  using rebuilt = SqliteStore.openReadOnly(folder.file('rebuilt.db'));
  assert.deepEqual([...rebuilt.iterateAudits()].slice(-rows.length), rows);
  assert.deepEqual(rebuilt.auditHead(), head);
  assert.equal((await rebuilt.verifyAudit()).ok, true);
});

test('the outboxes begin behind the renewal, and so does a new one', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  const outbox = new Outbox(store, 'centre');
  const { id } = renewIdentity(store);
  assert.deepEqual([outbox.position.id, outbox.lag, outbox.read()], [id, { events: 0 }, undefined]);
  assert.equal(new Outbox(store, 'second').position.id, id);
  store.appendAudit({ type: 'service_stopped' });
  const lines = outbox.read()!.text.trimEnd().split('\n');
  const [header, line] = lines.map((text) => JSON.parse(text) as LedgerLine & LedgerHeader);
  assert.deepEqual(header!.after, { id, hash: line!.prev });
});

test('with a ledger, what is sent behind a renewal suffices to rebuild usage, cooldowns and limits', async (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const outbox = new Outbox(store, 'centre');
  store.addUsage('game', '2026-11-21', 1_000);
  store.setCooldownUntil('game', new Date('2099-01-01T00:00:00Z'));
  store.grantTime({ subject: 'game', day: '2026-11-21', durationMs: 60_000 });
  store.adjustBalance({ subject: 'game', durationMs: 5_000 });
  renewIdentity(store);
  store.addUsage('game', '2026-11-21', 500);
  writeFileSync(folder.file('sent.jsonl'), outbox.read()!.text);
  await rebuildDatabase(Ledger.open(folder.file('sent.jsonl')), folder.file('rebuilt.db'));
  using rebuilt = SqliteStore.openReadOnly(folder.file('rebuilt.db'));
  const balances = (from: SqliteStore): object => ({ ...dump(from), audits: undefined });
  assert.deepEqual(balances(rebuilt), balances(store));
});

test('a renewal says what an outbox had not sent, and an outbox of before that is ahead stays', async (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  for (const name of ['early', 'late']) new Outbox(store, name);
  store.appendAudit({ type: 'service_started' });
  await backup(store, folder.file('backup.db'));
  const early = new Outbox(store, 'early');
  early.acknowledge(store.auditHead()!);
  assert.deepEqual(renewIdentity(store).unsent, [{ outbox: 'late', events: 2 }]);
  store.appendAudit({ type: 'service_stopped' });
  early.acknowledge(store.auditHead()!);
  const { id } = early.position;
  store.close();
  await restore(folder.file('backup.db'), folder.file());
  assert.equal(new Outbox(openBoth(folder), 'early').position.id, id);
});

test('whoever only reads a store sees the UUID that it has now', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  store.close();
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
  const before = connect(reader).uuid;
  const again = folder.open();
  const { from, to } = renewIdentity(again);
  assert.deepEqual([before, connect(reader).uuid], [from, to]);
  again.appendAudit({ type: 'service_stopped' });
  assert.match(new Outbox(reader, 'centre').read()!.text, new RegExp(`^.*"store":"${to}"`));
});

test('a snapshot file of another copy with rows up to the renewal is refused', async (t) => {
  const folder = new TestFolder(t);
  const other = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  store.close();
  copyFileSync(folder.file(), other.file());
  const twin = other.open();
  twin.appendAudit({ type: 'service_stopped' });
  twin.saveSnapshot(state);
  twin.close();
  const own = folder.open();
  for (let count = 0; count < 5; count++) own.appendAudit({ type: 'service_started' });
  renewIdentity(own);
  own.close();
  copyFileSync(other.file('store.snapshot.json'), folder.file('store.snapshot.json'));
  assert.equal(await codeOf(() => folder.open()), 'ERR_STORE_CONFLICT');
  const mended = folder.open({ recover: true });
  assert.partialDeepStrictEqual(mended.recovery, { found: 'other-file', restored: { snapshot: false } });
  assert.equal(mended.loadSnapshot(), undefined);
});

test('a store that is open elsewhere is not renewed, and stays as it was', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  const other = folder.closing(SqliteStore.open(folder.file(), { busyTimeoutMs: 10 }));
  const { uuid } = connect(other);
  assert.equal(await codeOf(() => renewIdentity(other)), 'ERR_STORE_BUSY');
  assert.equal(connect(other).uuid, uuid);
  other.appendAudit({ type: 'service_stopped' });
  assert.equal([...store.iterateAudits()].length, 2);
});

test('inside a transaction nothing is renewed', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  const { uuid } = connect(store);
  assert.equal(await codeOf(() => store.transaction(() => renewIdentity(store))), 'ERR_STORE_CONFLICT');
  assert.equal(connect(store).uuid, uuid);
  store.appendAudit({ type: 'service_stopped' });
  assert.equal((await store.verifyAudit()).ok, true);
});
