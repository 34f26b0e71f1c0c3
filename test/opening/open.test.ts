// What opening makes, with which modes, what it finds and leaves alone, and how the connection is set up.
import assert from 'node:assert/strict';
import {
  chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { SqliteStore } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';
import { modeOf, namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { makeAndDie, makeDatabase } from '../support/foreign.ts';
import { Companion, nobody, run } from '../support/process.ts';

const state = { timestamp: new Date('2026-11-21T09:00:00Z') };

test('an empty file becomes a store', (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file(), '');
  assert.equal(folder.open().appendAudit({ type: 'service_started' }).id, 1);
});

test('a database without tables becomes a store', (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file(), 'CREATE TABLE a (b); DROP TABLE a;');
  assert.equal(folder.open().appendAudit({ type: 'service_started' }).id, 1);
});

for (const [way, options] of [['plainly', {}], ['with recover', { recover: true }]] as const) {
  test(`a database that is exchanged while it is opened ${way} is not written to in its old file`, (t) => {
    const folder = new TestFolder(t);
    for (const name of ['store.db', 'restored.db']) SqliteStore.open(folder.file(name)).close();
    const { exec } = DatabaseSync.prototype;
    let exchanges = 0;
    t.mock.method(DatabaseSync.prototype, 'exec', function (this: DatabaseSync, sql: string) {
      // The handle that will write is open by now, and has looked at nothing but the file that it has opened.
      if (sql.startsWith('PRAGMA synchronous') && exchanges++ === 0) {
        renameSync(folder.file(), folder.file('old.db'));
        renameSync(folder.file('restored.db'), folder.file());
      }
      exec.call(this, sql);
    });
    const store = SqliteStore.open(folder.file(), options);
    store.appendAudit({ type: 'service_started' });
    store.close();
    assert.ok(exchanges > 1);
    using again = SqliteStore.openReadOnly(folder.file());
    assert.equal(again.auditHead()?.id, 1);
    using old = SqliteStore.openReadOnly(folder.file('old.db'));
    assert.equal(old.auditHead(), undefined);
  });
}

test('names that mean something in a URL or in SQL are names of files', (t) => {
  const folder = new TestFolder(t);
  for (const name of [
    'a b?mode=ro&x=1.db',
    'a#b.db',
    'a%41.db',
    "it's.db",
    'ü-日本.db',
    'no-extension',
    'new\nline.db',
    '-wal',
    'a?psow=1.db',
  ]) {
    const path = join(folder.path, 'names', name);
    using store = SqliteStore.open(path);
    store.addUsage('a', '2026-11-21', 5);
    assert.ok(existsSync(path), name);
    using reader = SqliteStore.openReadOnly(path);
    assert.equal(reader.getUsage('a', '2026-11-21'), 5);
  }
});

test('a relative path stays the same file when the process changes its folder', (t) => {
  const folder = new TestFolder(t);
  const [usage] = run(folder.path, `
    process.chdir(path);
    const store = SqliteStore.open('store.db');
    process.chdir('/');
    store.addUsage('a', '2026-11-21', 5);
    store.saveSnapshot({ timestamp: new Date() });
    report(store.isHealthy() && store.getUsage('a', '2026-11-21'));
    store.close();`);
  assert.equal(usage, 5);
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.snapshot.json']);
});

test('closing leaves one file, and the snapshot beside it', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.saveSnapshot(state);
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.db-shm', 'store.db-wal', 'store.snapshot.json']);
  store.close();
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.snapshot.json']);
});

for (const umask of [0o000, 0o077, 0o277]) {
  test(`under the umask ${umask.toString(8).padStart(4, '0')} every folder is 0700 and every file 0600`, (t) => {
    const folder = new TestFolder(t);
    // The user without rights of root needs a copy of the package that it can read.
    for (const part of ['lib', 'schema.sql', 'package.json'])
      cpSync(new URL(`../../${part}`, import.meta.url), folder.file(`package/${part}`), { recursive: true });
    chmodSync(folder.path, 0o755);
    mkdirSync(folder.file('home'));
    if (process.getuid!() === 0) chownSync(folder.file('home'), nobody, nobody);
    const [modes] = run(folder.file('home'), `
      const store = SqliteStore.open(path + '/a/b/store.db', { snapshotPath: path + '/c/d/state.json' });
      store.saveSnapshot({ timestamp: new Date() });
      const names = ['a', 'a/b', 'a/b/store.db', 'a/b/store.db-wal', 'a/b/store.db-shm', 'c', 'c/d', 'c/d/state.json'];
      report(names.map((name) => (fs.statSync(path + '/' + name).mode & 0o7777).toString(8)));
      store.close();`, { umask, uid: nobody, root: pathToFileURL(`${folder.file('package')}/`) });
    assert.deepEqual(modes, ['700', '700', '600', '600', '600', '700', '700', '600']);
  });
}

test('a folder that is there keeps its mode, and so does a file', (t) => {
  const folder = new TestFolder(t);
  chmodSync(folder.path, 0o750);
  writeFileSync(folder.file(), '');
  chmodSync(folder.file(), 0o640);
  folder.open();
  assert.equal(modeOf(folder.path), '750');
  assert.equal(modeOf(folder.file()), '640');
});

test('a link planted under the name of the snapshot is replaced, never followed', (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('victim'), 'precious');
  folder.open().close();
  symlinkSync('victim', folder.file('store.snapshot.json'));
  const store = folder.open();
  assert.deepEqual(store.health().findings.map(({ kind }) => kind), ['snapshot-file-damaged']);
  store.saveSnapshot(state);
  assert.ok(statSync(folder.file('store.snapshot.json')).isFile());
  assert.equal(modeOf(folder.file('store.snapshot.json')), '600');
  assert.equal(readFileSync(folder.file('victim'), 'utf8'), 'precious');
  assert.deepEqual(store.loadSnapshot(), state);
  assert.deepEqual(store.health().findings, []);
});

test('what a killed process left half-written is removed at open, and nothing else', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const uuid = '3e0f9a52-9e0e-4d0b-8b9b-0d6f3a3c1a11';
  const own = `.store.snapshot.json.${uuid}.tmp`;
  const others = [
    `.other.snapshot.json.${uuid}.tmp`,
    '.store.snapshot.json.tmp',
    `store.snapshot.json.${uuid}.tmp`,
    `.store.snapshot.json.${uuid}.tmp.bak`,
    'notes.txt',
  ];
  const folderByThatName = `.store.snapshot.json.${uuid.replace('3', '4')}.tmp`;
  const link = `.store.snapshot.json.${uuid.replace('3', '6')}.tmp`;
  for (const name of [own, ...others]) writeFileSync(folder.file(name), 'x');
  mkdirSync(folder.file(folderByThatName));
  symlinkSync('notes.txt', folder.file(link));
  folder.open().close();
  assert.deepEqual(namesIn(folder.path), ['store.db', folderByThatName, link, ...others].sort());
});

test('a -wal without its database is moved aside, and an event says so', (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('store.db-wal'), 'somebody may still want this');
  const store = folder.open();
  const { found, moved = [] } = store.recovery ?? {};
  assert.equal(found, 'orphan-wal');
  assert.equal(readFileSync(moved[0]!, 'utf8'), 'somebody may still want this');
  assert.deepEqual(
    store.getRecentAudits(5).map(({ event }) => event),
    [{ type: 'store_recovered', found, moved, usage: 0, cooldowns: 0 }],
  );
  store.close();
  assert.equal(folder.open().recovery, undefined);
});

test('a -wal beside an empty database is moved aside as well', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `const store = SqliteStore.open(path); store.appendAudit({ type: 'service_started' }); die();`);
  writeFileSync(folder.file(), '');
  const wal = readFileSync(folder.file('store.db-wal'));
  const store = folder.open();
  assert.deepEqual(readFileSync(store.recovery!.moved[0]!), wal);
  assert.equal(store.getRecentAudits(5).length, 1);
});

test('a crash while the tables are made leaves a file that opens as a new one', (t) => {
  const folder = new TestFolder(t);
  makeAndDie(folder.file(), `PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; `
    + `${readFileSync(new URL('../../schema.sql', import.meta.url), 'utf8')}`);
  assert.ok(namesIn(folder.path).includes('store.db-journal'));
  assert.equal(folder.open().appendAudit({ type: 'service_started' }).id, 1);
});

test('an empty file with a journal, as a power cut leaves it, opens as a new one', (t) => {
  const folder = new TestFolder(t);
  makeAndDie(folder.file(), 'PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; CREATE TABLE a (b); CREATE TABLE '
    + 'b (c); CREATE TABLE c (d); CREATE TABLE d (e);');
  const journal = readFileSync(folder.file('store.db-journal'));
  for (const bytes of [journal, journal.subarray(0, 100), Buffer.alloc(0), Buffer.alloc(512)]) {
    rmSync(folder.file());
    writeFileSync(folder.file(), '');
    writeFileSync(folder.file('store.db-journal'), bytes);
    const store = folder.open();
    assert.equal(store.appendAudit({ type: 'service_started' }).id, 1);
    store.close();
    assert.deepEqual(namesIn(folder.path), ['store.db']);
  }
});

test('a file whose tables were made, but not its WAL, opens', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  makeDatabase(folder.file(), 'PRAGMA journal_mode = DELETE;');
  assert.equal(folder.open().health().journalMode, 'wal');
});

test('ten processes that open a new path at once all get the same store', async (t) => {
  const folder = new TestFolder(t);
  const code = `
    report('ready');
    await told();
    const store = SqliteStore.open(path);
    store.appendAudit({ type: 'service_started' });
    store.saveSnapshot({ timestamp: new Date() });
    report(connect(store).prepare('SELECT uuid FROM store_meta').get()[0]);
    await told();
    store.close();`;
  const all = Array.from({ length: 10 }, () => new Companion(t, folder.file('new/store.db'), code));
  for (const each of all) assert.equal(await each.next(), 'ready');
  for (const each of all) each.tell('go');
  const identities = new Set(await Promise.all(all.map((each) => each.next())));
  assert.equal(identities.size, 1);
  for (const each of all) each.tell('close');
  for (const each of all) await each.end();
  using store = SqliteStore.open(folder.file('new/store.db'));
  assert.equal(store.recovery, undefined);
  assert.equal(store.getRecentAudits(100).length, 10);
  assert.ok((await store.verifyAudit()).ok);
});

test('the connection has every setting that its promises rest on', (t) => {
  const { prepare } = connect(new TestFolder(t).open());
  const values = [
    'synchronous',
    'foreign_keys',
    'recursive_triggers',
    'wal_autocheckpoint',
    'trusted_schema',
    'cell_size_check',
    'journal_mode',
    'temp_store',
    'busy_timeout',
    'page_size',
    'locking_mode',
  ];
  assert.deepEqual(
    Object.fromEntries(values.map((name) => [name, (prepare(`PRAGMA ${name}`).get() as unknown as unknown[])[0]])),
    {
      synchronous: 2,
      foreign_keys: 1,
      recursive_triggers: 1,
      wal_autocheckpoint: 0,
      trusted_schema: 0,
      cell_size_check: 1,
      journal_mode: 'wal',
      temp_store: 2,
      busy_timeout: 5000,
      page_size: 4096,
      locking_mode: 'normal',
    },
  );
});

test('no SQL on the connection can write to the schema table', (t) => {
  const { prepare } = connect(new TestFolder(t).open());
  prepare('PRAGMA writable_schema = 1').run();
  assert.throws(() => prepare("DELETE FROM sqlite_schema WHERE name = 'usage'").run());
});

test('each commit fills whole sectors of the WAL: a page that is written again holds nothing of an earlier '
  + 'commit', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  const before = statSync(folder.file('store.db-wal')).size;
  store.appendAudit({ type: 'service_started' });
  const after = statSync(folder.file('store.db-wal')).size;
  // One page changes, a frame is 24 bytes and the page; the commit is repeated until it ends in another sector.
  assert.equal((after - before) % (24 + 4096), 0);
  assert.ok((after - before) / (24 + 4096) >= 2, `${after - before} bytes`);
});

test('a found -wal is in the database before anything else is written', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `const store = SqliteStore.open(path); store.addUsage('a', '2026-11-21', 7); die();`);
  assert.ok(statSync(folder.file('store.db-wal')).size > 0);
  const store = folder.open();
  assert.equal(statSync(folder.file('store.db-wal')).size, 0);
  assert.equal(store.getUsage('a', '2026-11-21'), 7);
});

test('a reader that keeps a found -wal from being secured makes opening fail, and nothing else', async (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `const store = SqliteStore.open(path); store.addUsage('a', '2026-11-21', 7); die();`);
  const reader = new Companion(t, folder.file(), `
    const db = new DatabaseSync(path, { timeout: 5000 });
    db.exec('BEGIN');
    db.prepare('SELECT * FROM usage').all();
    report('reading');
    await told();
    db.exec('COMMIT');
    report('done');
    await told();`);
  await reader.next();
  run(folder.file(), `const db = new DatabaseSync(path); db.exec("INSERT INTO cooldowns (entry_id, until) VALUES `
    + `('a', '2030-01-01T00:00:00.000Z')"); die();`);
  assert.throws(() => folder.open({ busyTimeoutMs: 100 }), { code: 'ERR_STORE_BUSY' });
  await reader.ask('end the read');
  const store = folder.open({ busyTimeoutMs: 100 });
  assert.equal(store.getUsage('a', '2026-11-21'), 7);
  assert.deepEqual(store.getCooldownUntil('a'), new Date('2030-01-01T00:00:00Z'));
});

test('a reader of the latest commit keeps no other process from opening', async (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `const store = SqliteStore.open(path); store.addUsage('a', '2026-11-21', 7); die();`);
  const reader = new Companion(t, folder.file(), `
    const db = new DatabaseSync(path, { timeout: 5000 });
    db.exec('BEGIN');
    db.prepare('SELECT * FROM usage').all();
    report('reading');
    await told();`);
  await reader.next();
  assert.equal(folder.open({ busyTimeoutMs: 100 }).addUsage('a', '2026-11-21', 7), 14);
});

test('the same file may be opened twice in one process, for writing and for reading', (t) => {
  const folder = new TestFolder(t);
  const first = folder.open();
  const second = folder.open();
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
  first.addUsage('a', '2026-11-21', 5);
  assert.equal(second.addUsage('a', '2026-11-21', 5), 10);
  assert.equal(reader.getUsage('a', '2026-11-21'), 10);
  first.close();
  second.addUsage('a', '2026-11-21', 5);
  assert.equal(reader.getUsage('a', '2026-11-21'), 15);
});

test('a store opened read-only does not keep the same process from opening it for writing', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `const store = SqliteStore.open(path); store.addUsage('a', '2026-11-21', 7); die();`);
  const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
  assert.equal(reader.getUsage('a', '2026-11-21'), 7);
  const store = folder.open();
  store.addUsage('a', '2026-11-21', 7);
  assert.equal(reader.getUsage('a', '2026-11-21'), 14);
});

test('opening a store that was closed well changes nothing on the disk until something is written', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.addUsage('a', '2026-11-21', 7);
  store.saveSnapshot(state);
  store.close();
  const before = picture(folder.path);
  folder.open().close();
  assert.deepEqual(picture(folder.path), before);
});

test('a new database that a power cut left as noise beside its journal is made again, whatever page size the noise '
  + 'names', (t) => {
  const folder = new TestFolder(t);
  const noise = Buffer.alloc(8_192, 0xff);
  noise.writeUInt16BE(2_048, 16);
  writeFileSync(folder.file(), noise);
  // https://www.sqlite.org/fileformat2.html#the_rollback_journal: no page was there before.
  const journal = Buffer.alloc(4_096);
  journal.write('d9d505f920a163d7', 'hex');
  journal.writeUInt32BE(4_096, 20);
  journal.writeUInt32BE(4_096, 24);
  writeFileSync(folder.file('store.db-journal'), journal);
  const store = folder.open();
  assert.equal(store.auditHead(), undefined);
  assert.deepEqual(store.health().findings, []);
});
