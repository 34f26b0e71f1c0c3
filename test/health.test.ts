import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import fs, { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { StatementSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { schemaVersion } from '../lib/core/schema.ts';
import { type Fault, type HealthFinding, type OpenOptions, SqliteStore } from '../lib/index.ts';
import { archiveAudits } from '../lib/modules/archive/archive.ts';
import { SessionTracker } from '../lib/modules/sessions/sessions.ts';
import { TestFolder } from './support/folder.ts';
import { makeDatabase } from './support/foreign.ts';

const now = new Date('2026-11-21T09:00:00Z');
const options: OpenOptions = { clock: () => now };

const kinds = (store: SqliteStore): string[] => store.health().findings.map(({ kind }) => kind).sort();

/** The faults of one store, as they are published. */
function publishedBy(t: TestContext, path: string): Fault[] {
  const faults: Fault[] = [];
  const listen = (message: unknown): void => {
    if ((message as Fault).path === path) faults.push(message as Fault);
  };
  subscribe('shepherd-store:fault', listen);
  t.after(() => unsubscribe('shepherd-store:fault', listen));
  return faults;
}

/** Overwrites a file from another process: closing a descriptor of the database in this one would drop its locks. */
function overwrite(path: string, from: number, to: number): void {
  const code = `
    const fs = require('fs');
    const fd = fs.openSync(process.argv[1], 'r+');
    fs.writeSync(fd, Buffer.alloc(process.argv[3] - process.argv[2], 0xa5), 0, undefined, +process.argv[2]);
    fs.fsyncSync(fd)`;
  const { status, stderr } = spawnSync(process.execPath, ['-e', code, path, String(from), String(to)], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
}

test('a sound store says everything an operator would ask', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open(options);
  const fresh = store.health();
  assert.ok((fresh.freeBytes ?? 0) > 0 && fresh.databaseBytes >= 4096);
  assert.match(fresh.sqliteVersion, /^3\.\d+\.\d+$/);
  assert.deepEqual(fresh, {
    ok: true,
    findings: [],
    schemaVersion,
    sqliteVersion: fresh.sqliteVersion,
    journalMode: 'wal',
    databaseBytes: fresh.databaseBytes,
    walBytes: 0,
    freePageBytes: 0,
    freeBytes: fresh.freeBytes,
    snapshot: { row: { state: 'absent' }, file: { state: 'absent' } },
    timeZone: fresh.timeZone,
  });
  assert.equal(store.isHealthy(), true);

  store.saveSnapshot({ timestamp: new Date(now.getTime() - 5000) });
  store.appendAudit({ type: 'service_started' });
  const later = store.health();
  assert.equal(later.walBytes, statSync(`${folder.file()}-wal`).size);
  assert.deepEqual(later.snapshot, {
    row: { state: 'whole', generation: 1, ageMs: 5000 },
    file: { state: 'whole', generation: 1, ageMs: 5000 },
  });
  assert.deepEqual([later.ok, later.findings, later.clockBehindMs, later.lastError], [true, [], undefined, undefined]);
});

test('a log that was shortened says where it begins, and how much of the database is free', async (t) => {
  const folder = new TestFolder(t);
  let at = now.getTime() - 10 * 86_400_000;
  const store = folder.open({ clock: () => new Date(at) });
  store.appendAudits(Array.from({ length: 500 }, () => ({ event: { type: 'service_started' } })));
  at = now.getTime();
  assert.deepEqual([store.health().archivedId, store.health().freePageBytes], [undefined, 0]);
  await archiveAudits(store, { folder: folder.file('archives'), upTo: { id: 400 } });
  const { archivedId, freePageBytes, databaseBytes } = store.health();
  assert.equal(archivedId, 400);
  assert.ok(freePageBytes >= 4096 && freePageBytes % 4096 === 0 && freePageBytes < databaseBytes);
  using reader = SqliteStore.openReadOnly(folder.file());
  assert.deepEqual([reader.health().archivedId, reader.health().freePageBytes], [400, freePageBytes]);
});

test('a store in memory has no file to tell of', () => {
  using store = SqliteStore.inMemory(options);
  store.saveSnapshot({ timestamp: now });
  const health = store.health();
  assert.ok(health.databaseBytes > 0);
  assert.deepEqual(health, {
    ok: true,
    findings: [],
    schemaVersion,
    sqliteVersion: health.sqliteVersion,
    journalMode: 'memory',
    databaseBytes: health.databaseBytes,
    walBytes: 0,
    freePageBytes: 0,
    snapshot: { row: { state: 'whole', generation: 1, ageMs: 0 }, file: { state: 'absent' } },
    timeZone: health.timeZone,
  });
  assert.equal(store.isHealthy(), true);
});

test('a store that is only read says how it is written: with a WAL, whether a service has it open or not', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  const modeRead = (): string => {
    using reader = SqliteStore.openReadOnly(folder.file());
    return reader.health().journalMode;
  };
  assert.equal(modeRead(), 'wal');
  store.close();
  assert.equal(modeRead(), 'wal');
  const again = folder.open();
  assert.equal(modeRead(), 'wal');
  again.close();
  makeDatabase(folder.file(), 'PRAGMA journal_mode = DELETE');
  assert.equal(modeRead(), 'delete');
});

test('a read-only store tells the same', (t) => {
  const folder = new TestFolder(t);
  const writer = folder.open(options);
  writer.saveSnapshot({ timestamp: now });
  const live = folder.closing(SqliteStore.openReadOnly(folder.file(), options));
  assert.equal(live.isHealthy(), true);
  // Others use the disk meanwhile.
  assert.deepEqual({ ...live.health(), freeBytes: 0 }, { ...writer.health(), freeBytes: 0 });
  writer.close();
  assert.deepEqual([live.isHealthy(), live.health().findings, live.health().snapshot.file.generation], [true, [], 1]);
});

test('asking writes nothing and holds nothing', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open(options);
  const db = folder.raw();
  const version = { ...db.prepare('PRAGMA data_version').get() };
  for (let count = 0; count < 3; count++) {
    store.health();
    store.isHealthy();
  }
  assert.deepEqual({ ...db.prepare('PRAGMA data_version').get() }, version);
  db.exec('BEGIN EXCLUSIVE; COMMIT');
  assert.deepEqual({ ...db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() }, { busy: 0, log: 0, checkpointed: 0 });
});

test('the last error is told, with its time by the store\'s clock, and health itself goes on', (t) => {
  const store = new TestFolder(t).open(options);
  store.appendAudit({ type: 'service_started' }, { eventId: 'e' });
  assert.throws(() => store.appendAudit({ type: 'service_started' }, { eventId: 'e' }));
  const { ok, lastError } = store.health();
  assert.deepEqual([ok, lastError?.code, lastError?.at], [true, 'ERR_STORE_CONFLICT', now]);
  assert.ok((lastError?.message.length ?? 0) > 10);
});

test('a damaged snapshot file is a finding until the next snapshot replaces it', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open(options);
  const faults = publishedBy(t, folder.file());
  const path = folder.file('store.snapshot.json');
  store.saveSnapshot({ timestamp: now });
  for (const [harm, kind, state] of [
    [() => writeFileSync(path, readFileSync(path, 'utf8').replace('2026', '2025')), 'snapshot-file-damaged', 'damaged'],
    [() => writeFileSync(path, ''), 'snapshot-file-damaged', 'damaged'],
    [() => rmSync(path), 'snapshot-file-missing', 'absent'],
    [
      () => {
        rmSync(path);
        mkdirSync(path);
      },
      'snapshot-file-damaged',
      'damaged',
    ],
  ] as const) {
    harm();
    faults.length = 0;
    assert.deepEqual([kinds(store), kinds(store)], [[kind], [kind]]);
    assert.deepEqual([store.health().ok, store.health().snapshot.file.state], [false, state]);
    assert.deepEqual(
      faults.map((fault) => fault.kind),
      [kind],
    ); // once
    assert.equal(store.isHealthy(), true); // the row is there
    assert.deepEqual(store.loadSnapshot(), { timestamp: now });
    rmSync(path, { recursive: true, force: true });
    store.saveSnapshot({ timestamp: now });
    assert.deepEqual(kinds(store), []);
  }
});

test('a damaged snapshot row is a finding until the next snapshot replaces it', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open(options);
  store.saveSnapshot({ timestamp: now });
  for (const data of [
    "'{'",
    "''",
    "'null'",
    "'{}'",
    '\'{"timestamp":"never"}\'',
    "x'00'",
    '\'{"timestamp":"2026-11-21T09:00:00Z","activeSession":{}}\'',
    '\'{"timestamp":"2026-11-21T09:00:00Z","activeSession":0}\'',
  ]) {
    folder.raw().exec(`UPDATE snapshot SET data = ${data}`);
    assert.deepEqual(
      [kinds(store), store.health().snapshot.row],
      [['snapshot-row-damaged'], { state: 'damaged', generation: store.health().snapshot.row.generation }],
      data,
    );
    assert.equal(store.isHealthy(), true);
    store.saveSnapshot({ timestamp: now });
    assert.deepEqual(kinds(store), []);
  }
});

test('a snapshot that cannot be put in place is a finding until one can', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open(options);
  const faults = publishedBy(t, folder.file());
  mkdirSync(folder.file('store.snapshot.json'));
  store.saveSnapshot({ timestamp: now }); // the row is durable
  store.saveSnapshot({ timestamp: now });
  assert.ok(kinds(store).includes('snapshot-not-placed'));
  assert.deepEqual(store.loadSnapshot(), { timestamp: now });
  assert.equal(faults.filter(({ kind }) => kind === 'snapshot-not-placed').length, 1);
  assert.ok(faults.every(({ error, kind }) => kind !== 'snapshot-not-placed' || error instanceof Error));
  rmSync(folder.file('store.snapshot.json'), { recursive: true });
  store.saveSnapshot({ timestamp: now });
  assert.deepEqual(kinds(store), []);
});

test('a clock behind the newest event is a finding until it has caught up', (t) => {
  const folder = new TestFolder(t);
  let time = now;
  const store = folder.open({ clock: () => time });
  const faults = publishedBy(t, folder.file());
  store.appendAudit({ type: 'service_started' });
  for (let round = 0; round < 2; round++) {
    time = new Date(now.getTime() - 90_000);
    assert.deepEqual([kinds(store), store.health().clockBehindMs], [['clock-behind'], 90_000]);
    assert.equal(store.isHealthy(), true);
    time = now;
    assert.deepEqual([kinds(store), store.health().clockBehindMs], [[], undefined]);
  }
  assert.deepEqual(faults.map(({ kind }) => kind), ['clock-behind', 'clock-behind']); // once each time
});

test('an event that another process appends while health looks is none that is still to come', (t) => {
  const folder = new TestFolder(t);
  const writer = folder.open();
  const store = folder.open({
    clock: () => {
      const now = new Date();
      writer.appendAudit({ type: 'service_started' });
      writer.saveSnapshot({ timestamp: new Date() });
      return now;
    },
  });
  for (let count = 0; count < 20; count++) {
    assert.equal(store.health().clockBehindMs, undefined);
    assert.deepEqual(kinds(store), []);
  }
});

test('a finding keeps the time at which it was first seen, and can be changed by nobody', (t) => {
  const folder = new TestFolder(t);
  let time = now;
  const store = folder.open({ clock: () => time });
  store.saveSnapshot({ timestamp: now });
  rmSync(folder.file('store.snapshot.json'));
  const [first] = store.health().findings as [HealthFinding];
  time = new Date(now.getTime() + 60_000);
  first.kind = 'stopped';
  assert.deepEqual(store.health().findings.map(({ kind, since }) => [kind, since]), [['snapshot-file-missing', now]]);
});

test('a folder that everybody may write to is a finding', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open(options);
  chmodSync(folder.path, 0o777);
  assert.deepEqual(kinds(store), ['folder-shared']);
  assert.equal(store.isHealthy(), true);
  chmodSync(folder.path, 0o700);
  assert.deepEqual(kinds(store), []);
});

test('a database that went away is noticed without a write, and one that came back too', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open(options);
  const faults = publishedBy(t, folder.file());
  renameSync(folder.file(), folder.file('away.db'));
  assert.deepEqual([store.isHealthy(), store.isHealthy()], [false, false]);
  assert.deepEqual(kinds(store), ['replaced']);
  writeFileSync(folder.file(), 'another file');
  assert.deepEqual([store.isHealthy(), kinds(store)], [false, ['replaced']]);
  renameSync(folder.file('away.db'), folder.file());
  assert.deepEqual([store.isHealthy(), kinds(store)], [true, []]);
  assert.deepEqual(faults.map(({ kind }) => kind), ['replaced']);
  assert.equal(store.addUsage('a', '2026-11-21', 1), 1);
});

test('health still tells when the whole folder is gone', (t) => {
  const folder = new TestFolder(t, { checked: false });
  mkdirSync(folder.file('deep'));
  const store = folder.closing(SqliteStore.open(folder.file('deep/store.db'), options));
  store.saveSnapshot({ timestamp: now });
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file('deep/store.db'), options));
  rmSync(folder.file('deep'), { recursive: true });
  assert.equal(store.isHealthy(), false);
  assert.ok(kinds(store).includes('replaced'));
  assert.equal(reader.isHealthy(), false);
  assert.ok(kinds(reader).includes('unreadable'));
});

for (const [what, from, to] of [['first page', 0, 4096], ['whole file', 0, 40_960]] as const) {
  test(`a database whose ${what} was overwritten is not healthy, and health says why`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    folder.open(options).appendAudit({ type: 'service_started' });
    folder.open(options).close();
    const store = folder.open(options);
    folder.raw().exec('PRAGMA wal_checkpoint(TRUNCATE)');
    overwrite(folder.file(), from, to);
    assert.equal(store.isHealthy(), false);
    const { ok, findings } = store.health();
    assert.deepEqual([ok, findings.map(({ kind }) => kind)], [false, ['unreadable']]);
    assert.equal(store.isHealthy(), false);
  });
}

test('a subscriber may use the store that a fault is of, wherever the fault was found', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<{ type: 'fault_seen'; kind: string }>(options);
  const listen = (message: unknown): void => {
    if ((message as Fault).path !== folder.file()) return;
    assert.equal(typeof store.isHealthy(), 'boolean');
    store.appendAudit({ type: 'fault_seen', kind: (message as Fault).kind });
  };
  subscribe('shepherd-store:fault', listen);
  t.after(() => unsubscribe('shepherd-store:fault', listen));
  store.saveSnapshot({ timestamp: now });

  writeFileSync(folder.file('store.snapshot.json'), 'torn');
  assert.deepEqual(store.loadSnapshot(), { timestamp: now });
  assert.equal(store.auditHead()?.id, 1);
  rmSync(folder.file('store.snapshot.json'));
  assert.equal(store.transaction(() => store.loadSnapshot())?.timestamp.getTime(), now.getTime());
  mkdirSync(folder.file('store.snapshot.json'));
  store.saveSnapshot({ timestamp: now });
  store.health();
  const seen = store.getRecentAudits(9).map(({ event }) => ('kind' in event ? event.kind : event.type)).reverse();
  assert.deepEqual(seen, [
    'snapshot-file-damaged',
    'snapshot-file-missing',
    'snapshot-not-placed',
    'snapshot-file-damaged',
  ]);
});

test('a clock that fails hides no fault, and does not make the store unhealthy', (t) => {
  const folder = new TestFolder(t);
  let broken = false;
  const store = folder.open({ clock: () => (broken ? new Date(NaN) : now) });
  store.saveSnapshot({ timestamp: now });
  broken = true;
  rmSync(folder.file('store.snapshot.json'));
  assert.deepEqual(store.loadSnapshot(), { timestamp: now });
  assert.equal(store.isHealthy(), true);
  assert.throws(() => store.health(), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  broken = false;
  const [finding] = store.health().findings;
  assert.equal(finding?.kind, 'snapshot-file-missing');
  assert.ok(Number.isFinite(finding?.since.getTime()));
});

test('a system that cannot tell which files are there makes the store unhealthy, and throws nothing', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open(options);
  store.appendAudit({ type: 'service_started' });
  const { accessSync } = fs;
  t.after(() => {
    fs.accessSync = accessSync;
    syncBuiltinESMExports();
  });
  fs.accessSync = (path, mode) => {
    if (path !== folder.file('store.db-wal')) return accessSync(path, mode);
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE', syscall: 'access' });
  };
  syncBuiltinESMExports();
  assert.equal(store.isHealthy(), false);
  assert.deepEqual(kinds(store), ['unreadable']);
  fs.accessSync = accessSync;
  syncBuiltinESMExports();
  assert.deepEqual(kinds(store), []);
});

test('a clock that throws an error of the system is refused, and does not stop the store like a failing disk', (t) => {
  const folder = new TestFolder(t);
  let broken = false;
  const askSystem = (): void => {
    if (broken) throw Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT', syscall: 'connect' });
  };
  const clock = (): Date => (askSystem(), now);
  const store = folder.open({ clock });
  const tracker = new SessionTracker(store, { monotonicMs: () => (askSystem(), 0) });
  tracker.start({ entryId: 'a' });
  broken = true;
  const refused = { code: 'ERR_STORE_INVALID_ARGUMENT' };
  assert.throws(() => store.appendAudit({ type: 'service_started' }), refused);
  assert.throws(() => store.transaction(() => store.saveSnapshot({ timestamp: now })), refused);
  assert.throws(() => tracker.touch(), refused);
  assert.throws(() => folder.open({ clock, busyTimeoutMs: 0 }), refused);
  broken = false;
  store.appendAudit({ type: 'service_started' });
  tracker.touch();
  assert.deepEqual(kinds(store), []);
});

for (const [what, harm] of [
  ['dropped a table', 'PRAGMA foreign_keys = OFF; DROP TABLE usage'],
  ['added a column', 'ALTER TABLE usage ADD COLUMN colour TEXT'],
  ['dropped a trigger', 'DROP TRIGGER audit_log_no_delete'],
] as const) {
  test(`a store is not healthy when another process has ${what}, whether it writes or reads only`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    const store = folder.open(options);
    store.appendAudit({ type: 'service_started' });
    const live = folder.closing(SqliteStore.openReadOnly(folder.file(), options));
    const db = folder.raw();
    db.exec('VACUUM; ANALYZE');
    assert.deepEqual([store.isHealthy(), live.isHealthy()], [true, true]);
    db.exec(harm);
    assert.deepEqual([store.isHealthy(), live.isHealthy()], [false, false]);
    assert.ok(kinds(store).includes('schema-changed'));
  });
}

test('a failing checkpoint is published and a finding until one works; one at close is published too', (t) => {
  const folder = new TestFolder(t);
  const faults = publishedBy(t, folder.file());
  const store = folder.open(options);
  const { get } = StatementSync.prototype;
  const failing = t.mock.method(StatementSync.prototype, 'get', function (this: StatementSync, ...values: never[]) {
    if (this.sourceSQL === 'PRAGMA wal_checkpoint(PASSIVE)')
      throw Object.assign(new Error('disk I/O error'), { code: 'ERR_SQLITE_ERROR', errcode: 1034 });
    return get.apply(this, values as never);
  });
  const fill = (): void =>
    store.transaction(() => {
      for (let count = 0; count < 400; count++)
        store.appendAudit({ type: 'launch_denied', entryId: 'a', reasons: ['x'.repeat(10_000)] });
    });
  fill();
  assert.deepEqual(kinds(store), ['checkpoint-failed']);
  assert.equal(store.isHealthy(), true);
  assert.deepEqual(
    faults.map(({ kind }) => kind),
    ['checkpoint-failed'],
  );
  failing.mock.restore();
  for (let count = 0; count < 2; count++) fill();
  assert.deepEqual(kinds(store), []);
  const again = t.mock.method(StatementSync.prototype, 'get', function (this: StatementSync, ...values: never[]) {
    if (this.sourceSQL === 'PRAGMA wal_checkpoint(PASSIVE)')
      throw Object.assign(new Error('disk I/O error'), { code: 'ERR_SQLITE_ERROR', errcode: 1034 });
    return get.apply(this, values as never);
  });
  store.close();
  again.mock.restore();
  assert.deepEqual(
    faults.map(({ kind }) => kind),
    ['checkpoint-failed', 'checkpoint-failed'],
  );
});
