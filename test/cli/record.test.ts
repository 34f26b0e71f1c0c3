// Backups and verifications that are recorded: at the end, found fast, and no part of what they are about.
import assert from 'node:assert/strict';
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { Args } from '../../lib/cli/args.ts';
import { record } from '../../lib/cli/record.ts';
import { lastRecorded, recordUpkeep } from '../../lib/core/upkeep.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, verifyParity } from '../../lib/ledger/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { backup } from '../../lib/modules/backup/backup.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { connect } from '../../lib/store.ts';
import { type Said, shepherd } from '../support/command.ts';
import { namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { run } from '../support/process.ts';
import { needs } from '../support/tools.ts';

process.env['TZ'] = 'Europe/Berlin';
const now = new Date('2026-11-21T12:00:00Z');
const clock = (): Date => now;
const call = (...argv: string[]): Promise<Said> => shepherd(argv, { clock });

function fill(folder: TestFolder, events = 3): string {
  const store = SqliteStore.open(folder.file(), { clock });
  store.appendAudits(Array.from({ length: events }, () => ({ event: { type: 'service_started' } })));
  store.close();
  return folder.file();
}

const signingKey = (path: string): KeyObject => createPrivateKey(readFileSync(path));

type Loose = { id: number; event: { type: string; [field: string]: unknown }; source?: string; eventId?: string };

function newest(path: string): Loose {
  using store = SqliteStore.openReadOnly(path);
  return store.getRecentAudits(1)[0] as unknown as Loose;
}

test('backup --record says which file and anchor, in the log of the store and not of the copy', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  const made = await call('backup', folder.file('copy.db'), '--db', path, '--record');
  assert.deepEqual([made.code, made.err], [0, '']);
  assert.match(made.out, /\nrecorded {2}row 4, store_backed_up\n/);
  const [, anchor] = /anchor (3:[0-9a-f]{64})\n$/.exec(made.out)!;
  const { id, event, source, eventId } = newest(path);
  assert.ok(source);
  assert.deepEqual([id, eventId], [4, 'store_backed_up:0000000000000004']);
  const bytes = event['bytes'];
  assert.deepEqual(event, { type: 'store_backed_up', file: folder.file('copy.db'), bytes, anchor });
  assert.equal(newest(folder.file('copy.db')).id, 3);
  assert.equal((await call('verify', folder.file('copy.db'), '--anchor', anchor!)).code, 0);
  const again = await call('backup', folder.file('again.db'), '--db', path, '--record', '--json');
  assert.equal((JSON.parse(again.out) as { recorded: number }).recorded, 5);
  assert.match((await call('audit', path)).out, /5 {2}13:00:00 {2}store_backed_up +file=/);
});

test('verify --record writes to no ledger that was only there to be compared', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  const made = folder.file('made.jsonl');
  assert.equal((await call('rebuild-ledger', path, '--ledger', made)).code, 0);
  const before = readFileSync(made);
  const { code, err } = await call('verify', path, '--ledger', made, '--record');
  assert.deepEqual([code, err], [0, '']);
  assert.deepEqual(newest(path).event['parts'], ['pages', 'log', 'ledger']);
  assert.deepEqual(readFileSync(made), before);
});

test('verify --record says what was found right, and each time anew', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  const first = await call('verify', path, '--record');
  assert.deepEqual([first.code, first.err], [0, '']);
  assert.match(first.out, /\nrecorded {2}row 4, store_verified\n/);
  const { id, event } = newest(path);
  assert.deepEqual([id, event['parts']], [4, ['pages', 'log']]);
  assert.match(String(event['anchor']), /^3:/);
  const anchor = String(event['anchor']);
  const { out } = await call('verify', path, '--quick', '--anchor', anchor, '--record', '--json');
  assert.partialDeepStrictEqual(JSON.parse(out) as object, { ok: true, recorded: 5, head: { id: 4 } });
  assert.deepEqual(newest(path).event['parts'], ['log', 'anchor']);
  const shown = await call('status', path);
  assert.match(shown.out, /\nverified {2}0 s ago, log, anchor\n/);
  assert.doesNotMatch(shown.out, /\nbackup /);
});

test('an empty log has no anchor', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder, 0);
  assert.equal((await call('verify', path, '--record')).code, 0);
  assert.deepEqual(newest(path).event, { type: 'store_verified', parts: ['pages', 'log'] });
});

test('a verification that finds something records nothing', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder);
  using db = new DatabaseSync(path);
  db.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '{\"a\":1}' WHERE id = 2");
  db.close();
  const before = picture(folder.path);
  const { code, out } = await call('verify', path, '--record', '--json');
  assert.deepEqual([code, 'recorded' in (JSON.parse(out) as object)], [1, false]);
  assert.deepEqual(picture(folder.path), before);
});

test('it is written beside a running service, which sees it, with the ledger and its signatures', async (t) => {
  const folder = new TestFolder(t);
  const key = folder.file('key');
  assert.equal((await call('keygen', '--key', key)).code, 0);
  fill(folder);
  const open = (): { store: SqliteStore; ledger: Ledger } => {
    const ledger = folder.closing(Ledger.open(folder.file('audit.jsonl'), { signingKey: signingKey(key) }));
    return { store: folder.closing(SqliteStore.open(folder.file(), { ledger, clock })), ledger };
  };
  const { store, ledger } = open();
  const db = ['--db', folder.file()];
  const before = store.auditHead()!.id;

  // Without the key both say that the rest is good.
  const copied = await call('backup', folder.file('copy.db'), ...db, '--record');
  assert.equal(copied.code, 2);
  assert.match(copied.out, /^made: /);
  assert.match(copied.err, /the backup .*copy\.db was made, but that is not recorded: the store signs its events/);
  const verified = await call('verify', ...db, '--record', '--json');
  assert.deepEqual([verified.code, (JSON.parse(verified.out) as { recorded: unknown }).recorded], [2, null]);
  assert.match(verified.err, /all that was verified is right, but that is not recorded/);
  assert.equal(store.auditHead()!.id, before);
  // One that cannot be read is refused before anything is done.
  assert.equal((await call('backup', folder.file('no.db'), ...db, '--record', '--key', folder.file('none'))).out, '');
  assert.ok(!existsSync(folder.file('no.db')));

  assert.equal((await call('backup', folder.file('two.db'), ...db, '--record', '--key', key)).code, 0);
  const both = ['--ledger', folder.file('audit.jsonl'), '--public-key', `${key}.pub`];
  const signed = await call('verify', ...db, ...both, '--record', '--key', key);
  assert.equal(signed.code, 0, signed.err);
  const last = store.getRecentAudits(2).map(({ event }) => event as Loose['event']);
  assert.deepEqual(last[0]!['parts'], ['pages', 'log', 'ledger', 'signatures']);
  assert.equal(last[1]!.type, 'store_backed_up');
  store.appendAudit({ type: 'service_stopped' });
  assert.equal((await verifyParity(store, ledger)).isConsistent, true);
  assert.equal((await call('verify', ...db, ...both)).code, 0);

  // A module's own, with the ledger open here.
  await backup(store, folder.file('three.db'), { record: true });
  assert.equal(lastRecorded(connect(store), 'store_backed_up')!.fields['file'], folder.file('three.db'));
  const head = store.auditHead();
  store.close();
  ledger.close();
  // Each of the two files gives the other its events again.
  renameSync(folder.file(), folder.file('gone.db'));
  await rebuildDatabase(folder.closing(Ledger.open(folder.file('audit.jsonl'))), folder.file());
  using rebuilt = SqliteStore.openReadOnly(folder.file());
  assert.deepEqual(rebuilt.auditHead(), head);
  assert.equal(lastRecorded(connect(rebuilt), 'store_verified')!.at.getTime(), now.getTime());
});

test('a replay brings the events to a database that is behind', async (t) => {
  const folder = new TestFolder(t);
  fill(folder);
  const ledger = Ledger.open(folder.file('audit.jsonl'));
  const store = SqliteStore.open(folder.file(), { ledger, clock });
  store.close();
  ledger.close();
  copyFileSync(folder.file(), folder.file('behind'));
  const db = ['--db', folder.file()];
  assert.equal((await call('verify', ...db, '--record')).code, 0);
  const { id } = newest(folder.file());
  for (const suffix of ['', '-wal', '-shm']) rmSync(folder.file() + suffix, { force: true });
  copyFileSync(folder.file('behind'), folder.file());
  assert.equal((await call('replay', ...db, '--ledger', folder.file('audit.jsonl'))).code, 0);
  assert.deepEqual([newest(folder.file()).id, newest(folder.file()).event.type], [id, 'store_verified']);
});

test('an archive is no ledger to write to, and what went into it is forgotten but for the archive', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  assert.equal((await call('verify', path, '--record')).code, 0);
  using store = SqliteStore.open(path, { clock: () => new Date(now.getTime() + 100 * 86_400_000) });
  await archiveAudits(store, { folder: folder.file('archives'), upTo: { keepDays: 90 } });
  const door = connect(store);
  assert.equal(lastRecorded(door, 'store_verified'), undefined);
  const { at, fields } = lastRecorded(door, 'log_archived')!;
  assert.deepEqual([at.getTime() - now.getTime(), fields['to']], [100 * 86_400_000, 4]);
  const file = folder.file(`archives/${String(fields['file'])}`);
  const { code, err } = await call('verify', path, '--ledger', file, '--record');
  assert.deepEqual([code, err], [0, '']);
  assert.deepEqual(newest(path).event['parts'], ['pages', 'log', 'ledger']);
  assert.equal((await call('verify', path, '--archives', folder.file('archives'), '--record')).code, 0);
  assert.deepEqual(newest(path).event['parts'], ['pages', 'log', 'archives']);
});

test('a store that may not be written to is refused by the module before anything is made', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  using reader = SqliteStore.openReadOnly(path);
  const refused = backup(reader, folder.file('new/copy.db'), { record: true });
  await assert.rejects(refused, { code: 'ERR_STORE_READ_ONLY' });
  assert.deepEqual(namesIn(folder.path), ['store.db']);
  await backup(reader, folder.file('copy.db'), { record: false });
});

test('where the event cannot be written, the module says that the backup was made', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ busyTimeoutMs: 50 });
  store.appendAudit({ type: 'service_started' });
  let closed = false;
  const promise = backup(store, folder.file('copy.db'), {
    record: true,
    onProgress: ({ done, total }) => {
      if (done !== total || closed) return;
      closed = true;
      const other = folder.raw();
      other.exec('BEGIN IMMEDIATE');
    },
  });
  const message = /^the backup .*copy\.db was made, but that is not recorded: /;
  await assert.rejects(promise, { code: 'ERR_STORE_BUSY', message });
  assert.equal(newest(folder.file('copy.db')).id, 1);
});

test('on a file system that is read-only, the command says that the verification is good', needs('mount'), (t) => {
  const folder = new TestFolder(t);
  fill(folder);
  const program = new URL('../../lib/cli/program.ts', import.meta.url).href;
  const said = run(folder.file(), `
    const { execFileSync } = await import('node:child_process');
    const { Writable } = await import('node:stream');
    const { main } = await import(${JSON.stringify(program)});
    const folder = path.replace(/\\/store.db$/, '');
    execFileSync('mount', ['--bind', folder, folder]);
    execFileSync('mount', ['-o', 'remount,ro,bind', folder]);
    const texts = ['', ''];
    const streams = [0, 1].map((n) => new Writable({ write(chunk, _, done) { texts[n] += chunk; done(); } }));
    const code = await main(['verify', path, '--record'], { stdout: streams[0], stderr: streams[1] });
    report([code, texts[0].includes('ok: 3 events'), texts[1]]);`, { unshared: true })[0] as unknown[];
  assert.deepEqual(said.slice(0, 2), [1, true]);
  assert.match(String(said[2]), /all that was verified is right, but that is not recorded: .*read-only/);
});

test('another store at the path by then does not get the event', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  const other = SqliteStore.open(folder.file('other.db'));
  other.appendAudits(Array.from({ length: 9 }, () => ({ event: { type: 'service_started' } })));
  other.close();
  const io = { stdout: new Writable(), stderr: new Writable(), clock };
  const args = new Args({ takes: [], options: { db: { value: 'FILE', help: '' } } }, ['--db', folder.file('other.db')]);
  using store = SqliteStore.openReadOnly(path);
  const { recorded, error } = await record(args, io, {
    done: 'x', event: { type: 'store_verified', parts: [] }, head: store.auditHead(), uuid: connect(store).uuid,
    ledger: undefined,
  });
  assert.equal(recorded, null);
  assert.equal((error as { code: string }).code, 'ERR_STORE_CONFLICT');
  assert.equal(newest(folder.file('other.db')).id, 9);
});

test('the newest is found by the index of event ids, whatever else has ids', (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  const store = folder.open({ clock });
  const door = connect(store);
  const event = { type: 'store_verified', parts: [] } as const;
  for (let row = 0; row < 12; row++) recordUpkeep(door, { ...event, parts: [] });
  for (const eventId of ['store_verified', 'store_verified:z', 'store_verified:0000000000000099', 'store_verifiee:'])
    store.appendAudit({ type: 'service_started' }, { eventId });
  assert.equal(lastRecorded(door, 'store_verified')!.id, 12);
  assert.equal(lastRecorded(door, 'store_backed_up'), undefined);
  const asked: string[] = [];
  const get = ((sql: string) => void asked.push(sql)) as never;
  for (const type of ['store_verified', 'log_archived'] as const) lastRecorded({ get, read: (_, fn) => fn() }, type);
  for (const sql of asked) {
    const plan = folder.raw().prepare(`EXPLAIN QUERY PLAN ${sql}`).all('x').map((row) => String(row['detail']));
    assert.ok(plan.some((line) => line.includes('audit_log_event_id (<expr>>? AND <expr><?)')), plan.join('\n'));
    assert.ok(!plan.some((line) => /SCAN audit_log|TEMP B-TREE/.test(line)), plan.join('\n'));
  }
});

test('an outbox sends the events like any others', async (t) => {
  const folder = new TestFolder(t);
  const path = fill(folder);
  assert.equal((await call('verify', path, '--record')).code, 0);
  using store = SqliteStore.open(path);
  const { text, to } = new Outbox(store, 'centre').read()!;
  assert.equal(to, 4);
  assert.match(text, /store_verified/);
});
