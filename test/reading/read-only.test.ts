// Opened read-only, in every state that a store's files can be in: the latest commit is seen, and nothing is changed.
import assert from 'node:assert/strict';
import fs, {
  chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, truncateSync,
  utimesSync, writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { schemaVersion } from '../../lib/core/schema.ts';
import { SqliteStore } from '../../lib/index.ts';
import { ReadOnlyFile } from '../../lib/reading/reader.ts';
import { flipBit, namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeAndDie, makeDatabase, makeText, newerSchema } from '../support/foreign.ts';
import { Companion, nobody, run } from '../support/process.ts';

const day = '2026-11-21';

/** Commits twice, so that there is something to miss, and saves the state. */
const work = `
  const store = SqliteStore.open(path);
  store.addUsage('minecraft', '${day}', 40_000);
  store.saveSnapshot({ timestamp: new Date('2026-11-21T09:00:00Z') });
  store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', '${day}', 2_000);`;

/** A running service; a word makes it do something and report. */
const service = `${work}
  report('running');
  for (let word; (word = await told()) !== undefined; ) {
    if (word === 'add') report(store.addUsage('minecraft', '${day}', 1_000));
    if (word === 'empty the WAL') report(connect(store).prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()[0]);
    if (word === 'close') { store.close(); report('closed'); }
  }`;

async function start(t: TestContext, path: string): Promise<Companion> {
  const companion = new Companion(t, path, service);
  await companion.next();
  return companion;
}

const states: [what: string, make: (path: string, t: TestContext) => void | Promise<unknown>, usage?: number][] = [
  ['closed well', (path) => void run(path, `${work} store.close();`)],
  ['with a running service', (path, t) => start(t, path)],
  ['with a running service that has emptied its WAL', async (path, t) => (await start(t, path)).ask('empty the WAL')],
  ['with a running service that wrote after it had emptied its WAL', async (path, t) => {
    const companion = await start(t, path);
    await companion.ask('empty the WAL');
    await companion.ask('add');
  }, 43_000],
  ['with a killed service', (path) => void run(path, `${work} die();`)],
  ['with a killed service whose -shm is gone', (path) => {
    run(path, `${work} die();`);
    rmSync(`${path}-shm`);
  }],
  ['with a killed service whose -shm is empty', (path) => {
    run(path, `${work} die();`);
    truncateSync(`${path}-shm`, 0);
  }],
  ['with a killed service whose -shm is noise', (path) => {
    run(path, `${work} die();`);
    writeFileSync(`${path}-shm`, Buffer.alloc(32_768, 'noise'));
  }],
  ['with a -wal that ends in a torn frame', (path) => {
    run(path, `${work} store.addUsage('minecraft', '${day}', 5_000); die();`);
    truncateSync(`${path}-wal`, statSync(`${path}-wal`).size - 9_000);
  }],
  ['with a -wal whose header is damaged', (path) => {
    run(path, `${work} connect(store).prepare('PRAGMA wal_checkpoint(PASSIVE)').get(); die();`);
    flipBit(`${path}-wal`, 0);
  }],
  ['with a -wal that has a header alone', (path) => {
    run(path, `${work} connect(store).prepare('PRAGMA wal_checkpoint(PASSIVE)').get(); die();`);
    truncateSync(`${path}-wal`, 32);
  }],
  ['with an empty -wal and a -shm', (path) => {
    run(path, `${work} connect(store).prepare('PRAGMA wal_checkpoint(TRUNCATE)').get(); die();`);
  }],
  ['with a -shm alone', (path) => {
    run(path, `${work} connect(store).prepare('PRAGMA wal_checkpoint(TRUNCATE)').get(); die();`);
    rmSync(`${path}-wal`);
  }],
  ['with a hot rollback journal', (path) => {
    run(path, `${work}
      const event = { type: 'warning_issued', sessionId: 'x'.repeat(100) };
      for (let i = 0; i < 500; i++) store.appendAudit({ ...event, thresholdSecs: i });
      store.close();`);
    makeDatabase(path, 'PRAGMA journal_mode = DELETE;');
    makeAndDie(path, `
      PRAGMA cache_size = 5;
      PRAGMA cache_spill = 5;
      BEGIN;
      UPDATE usage SET duration_secs = 1;
      CREATE TABLE noise AS SELECT * FROM audit_log;`);
    assert.ok(statSync(`${path}-journal`).size > 512);
  }],
];

for (const [what, make, usage = 42_000] of states) {
  test(`a store ${what} is read as it is by root and by others in a read-only folder, and not changed`, async (t) => {
    const folder = new TestFolder(t, { checked: false });
    const path = folder.file('state/store.db');
    await make(path, t);
    for (const name of namesIn(dirname(path))) chmodSync(`${dirname(path)}/${name}`, 0o644);
    for (const part of [folder.path, dirname(path)]) chmodSync(part, 0o555);
    const temporary = mkdtempSync(join(tmpdir(), 'shepherd-store-test-'));
    chmodSync(temporary, 0o777);
    t.after(() => rmSync(temporary, { recursive: true }));
    const before = picture(folder.path);
    for (const uid of [0, nobody]) {
      const [found] = run(path, readEverything(temporary), { uid });
      assert.deepEqual(found, {
        usage,
        state: '2026-11-21T09:00:00.000Z',
        verified: true,
        healthy: true,
        refused: 'ERR_STORE_READ_ONLY',
        left: [],
      });
      assert.deepEqual(picture(folder.path), before);
    }
    for (const part of [folder.path, dirname(path)]) chmodSync(part, 0o755);
  });
}

function readEverything(temporary: string): string {
  return `
    process.env.TMPDIR = ${JSON.stringify(temporary)};
    const store = SqliteStore.openReadOnly(path);
    const found = {
      usage: store.getUsage('minecraft', '${day}'),
      state: store.loadSnapshot().timestamp,
      verified: (await store.verifyAudit()).ok,
      healthy: store.isHealthy() && store.health().databaseBytes > 0,
      refused: codeOf(() => store.addUsage('minecraft', '${day}', 1)),
      left: fs.readdirSync(process.env.TMPDIR),
    };
    store.close();
    report(found);`;
}

test('the latest commit is seen through every change of state', async (t) => {
  const folder = new TestFolder(t);
  const first = await start(t, folder.file());
  const store = folder.closing(SqliteStore.openReadOnly(folder.file()));
  const usage = (): number => store.getUsage('minecraft', day);
  assert.equal(usage(), 42_000);
  assert.equal(await first.ask('add'), usage());
  assert.equal(await first.ask('empty the WAL'), 0);
  assert.equal(usage(), 43_000);
  assert.equal(await first.ask('add'), usage());
  await first.ask('close');
  assert.equal(usage(), 44_000);
  const second = new Companion(t, folder.file(), service);
  await second.next();
  assert.equal(usage(), 86_000);
  await second.kill();
  assert.equal(usage(), 86_000);
  const third = new Companion(t, folder.file(), service);
  await third.next();
  assert.equal(usage(), 128_000);
  assert.equal(await third.ask('add'), usage());
  await third.ask('close');
  assert.equal(usage(), 129_000);
});

test('a service that starts, writes and closes in the middle of a long read is seen by the next one', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `
    const store = SqliteStore.open(path);
    store.appendAudits(Array.from({ length: 1200 }, () => ({ event: { type: 'service_started' } })));
    store.close();`);
  const store = folder.closing(SqliteStore.openReadOnly(folder.file()));
  const ids: number[] = [];
  const usage: number[] = [];
  for (const { id } of store.iterateAudits()) {
    ids.push(id);
    if (id === 300) run(folder.file(), `${work} store.close();`);
    if (id === 700) run(folder.file(), `${work} die();`);
    if (id === 1100) run(folder.file(), `${work} store.close();`);
    if (id === 300 || id === 700 || id === 1100) usage.push(store.getUsage('minecraft', day));
  }
  assert.deepEqual(ids, Array.from({ length: 1200 }, (_, index) => index + 1));
  assert.deepEqual(usage, [42_000, 84_000, 126_000]);
  assert.equal(store.auditHead()!.id, 1203);
});

test('a reader keeps no service from starting, writing, emptying its WAL and closing', async (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${work} die();`);
  const store = folder.closing(SqliteStore.openReadOnly(folder.file()));
  assert.equal(store.getUsage('minecraft', day), 42_000);
  const companion = await start(t, folder.file());
  assert.equal(store.getUsage('minecraft', day), 84_000);
  assert.equal(await companion.ask('empty the WAL'), 0);
  await companion.ask('close');
  companion.tell('');
});

test('a service that closes its store in the middle of an open to read is no missing store', (t) => {
  const folder = new TestFolder(t);
  const service = folder.open();
  service.addUsage('a', '2026-11-21', 1);
  const { accessSync } = fs;
  t.after(() => {
    fs.accessSync = accessSync;
    syncBuiltinESMExports();
  });
  fs.accessSync = (path, mode) => {
    if (path === folder.file('store.db-wal')) service.close(); // behind any look whether it is there
    accessSync(path, mode);
  };
  syncBuiltinESMExports();
  using reader = SqliteStore.openReadOnly(folder.file());
  assert.equal(reader.getUsage('a', '2026-11-21'), 1);
});

test('a database that is replaced by another while it is open read-only is read anew', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${work} die();`);
  const store = folder.closing(SqliteStore.openReadOnly(folder.file()));
  assert.equal(store.getUsage('minecraft', day), 42_000);
  run(folder.file('other.db'), `${work} store.addUsage('minecraft', '${day}', 8_000); store.close();`);
  for (const suffix of ['', '-wal', '-shm']) rmSync(folder.file() + suffix);
  renameSync(folder.file('other.db'), folder.file());
  assert.equal(store.getUsage('minecraft', day), 50_000);
});

test('a -wal that is deleted and made anew under a reader is read anew', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${work} connect(store).prepare('PRAGMA wal_checkpoint(PASSIVE)').get(); die();`);
  const store = folder.closing(SqliteStore.openReadOnly(folder.file()));
  assert.equal(store.getUsage('minecraft', day), 42_000);
  for (const suffix of ['-wal', '-shm']) rmSync(folder.file() + suffix);
  run(folder.file(), `const store = SqliteStore.open(path); store.addUsage('minecraft', '${day}', 8_000); die();`);
  assert.equal(store.getUsage('minecraft', day), 50_000);
});

test('a database that is deleted under a reader is an error, and comes back with it', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${work} store.close();`);
  const store = folder.closing(SqliteStore.openReadOnly(folder.file()));
  renameSync(folder.file(), folder.file('away.db'));
  assert.throws(() => store.getUsage('minecraft', day), { code: 'ERR_STORE_NOT_FOUND' });
  assert.equal(store.isHealthy(), false);
  copyFileSync(folder.file('away.db'), folder.file());
  assert.equal(store.getUsage('minecraft', day), 42_000);
});

test('a damaged -shm that a running process keeps is read around', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const companion = await start(t, folder.file());
  for (const offset of [0, 48]) flipBit(folder.file('store.db-shm'), offset + 16);
  const before = picture(folder.path);
  const [usage] = run(folder.file(), `report(SqliteStore.openReadOnly(path).getUsage('minecraft', '${day}'));`);
  assert.equal(usage, 42_000);
  assert.deepEqual(picture(folder.path), before);
  await companion.kill();
});

test('a read during which something was written is repeated, and given up after a while', (t) => {
  const folder = new TestFolder(t);
  makeDatabase(folder.file('plain.db'), 'CREATE TABLE a (b); INSERT INTO a VALUES (1);');
  const reader = folder.closing(new ReadOnlyFile(folder.file('plain.db'), 50));
  const change = (): void =>
    void run(
      folder.file('plain.db'),
      "const db = new DatabaseSync(path); db.exec('UPDATE a SET b = b + 1'); db.close();",
    );
  let reads = 0;
  const value = reader.read(() => {
    if (reads++ < 2) change();
    return reader.db.prepare('SELECT b FROM a').get()?.['b'];
  });
  assert.deepEqual([value, reads], [3, 3]);
  reads = 0;
  assert.throws(() => reader.read(() => utimesSync(folder.file('plain.db'), reads++, reads)), {
    code: 'ERR_STORE_BUSY',
  });
  assert.ok(reads >= 20);
  assert.throws(() => reader.read(() => {
    throw new RangeError('the reader has its own faults');
  }), RangeError);
  reader.close();
  assert.throws(() => reader.db, TypeError);
});

test('a private copy is gone as soon as it is open', (t) => {
  const folder = new TestFolder(t, { checked: false });
  run(folder.file(), `${work} die();`);
  rmSync(folder.file('store.db-shm'));
  mkdirSync(folder.file('temporary'));
  run(folder.file(), `
    process.env.TMPDIR = ${JSON.stringify(folder.file('temporary'))};
    const store = SqliteStore.openReadOnly(path);
    store.getUsage('a', '${day}');
    die();`);
  assert.deepEqual(readdirSync(folder.file('temporary')), []);
});

test('a link is followed to the files beside the one that it leads to', (t) => {
  const folder = new TestFolder(t);
  run(folder.file('data/store.db'), `${work} die();`);
  symlinkSync('data/store.db', folder.file('link.db'));
  const store = folder.closing(SqliteStore.openReadOnly(folder.file('link.db')));
  assert.equal(store.getUsage('minecraft', day), 42_000);
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date('2026-11-21T09:00:00Z') });
});

test('a snapshot file that this user may not read is an error of loadSnapshot, and a finding of health', (t) => {
  const folder = new TestFolder(t);
  run(folder.file(), `${work} store.close();`);
  chmodSync(folder.path, 0o755);
  chmodSync(folder.file(), 0o644);
  assert.deepEqual(
    run(
      folder.file(),
      `
    const store = SqliteStore.openReadOnly(path);
    report(codeOf(() => store.loadSnapshot()));
    report(store.getUsage('minecraft', '${day}'));
    report(store.isHealthy());
    report(store.health().findings.map(({ kind }) => kind));`,
      { uid: nobody },
    ),
    ['ERR_STORE_PERMISSION', 42_000, true, ['snapshot-file-damaged']],
  );
});

const refused: [what: string, code: string, make: (path: string) => void][] = [
  ['nothing', 'ERR_STORE_NOT_FOUND', () => {}],
  ['an empty file', 'ERR_STORE_NOT_A_STORE', (path) => writeFileSync(path, '')],
  ['a folder', 'ERR_STORE_NOT_A_STORE', (path) => mkdirSync(path)],
  ['a text file', 'ERR_STORE_NOT_A_STORE', makeText],
  ["another program's database", 'ERR_STORE_NOT_A_STORE', (path) => makeDatabase(path, 'CREATE TABLE a (b);')],
  ['a database without tables', 'ERR_STORE_NOT_A_STORE', (path) => {
    makeDatabase(path, 'CREATE TABLE a (b); DROP TABLE a;');
  }],
  ['a file that is still to be adopted', 'ERR_STORE_SCHEMA_TOO_OLD', (path) => makeDatabase(path, fourTables)],
  ['a newer schema', 'ERR_STORE_SCHEMA_TOO_NEW', (path) => {
    run(path, `${work} store.close();`);
    makeDatabase(path, newerSchema(schemaVersion + 1));
  }],
  ['a store cut off', 'ERR_STORE_CORRUPT', (path) => (run(path, `${work} store.close();`), truncateSync(path, 4096))],
  ['a store without its identity', 'ERR_STORE_CORRUPT', (path) => {
    run(path, `${work} store.close();`);
    makeDatabase(path, 'DELETE FROM store_meta');
  }],
];

for (const [what, code, make] of refused) {
  test(`${what} is refused with ${code} when opened read-only, and left as it was`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    make(folder.file());
    const before = picture(folder.path);
    assert.throws(() => SqliteStore.openReadOnly(folder.file()), { name: 'StoreError', code });
    assert.deepEqual(picture(folder.path), before);
  });
}

test('what a user may not read is refused with ERR_STORE_PERMISSION, whichever of the files it is', (t) => {
  const folder = new TestFolder(t);
  for (const suffix of ['', '-wal', '-shm']) {
    const path = folder.file(`of${suffix}/store.db`);
    run(path, `${work} die();`);
    for (const part of ['', '-wal', '-shm']) chmodSync(path + part, part === suffix ? 0o600 : 0o644);
    for (const part of [folder.path, dirname(path)]) chmodSync(part, 0o755);
    assert.deepEqual(
      run(path, `report(codeOf(() => SqliteStore.openReadOnly(path)));`, { uid: nobody }),
      process.getuid!() === 0 ? ['ERR_STORE_PERMISSION'] : ['no error'],
    );
  }
});

for (const [nth, what] of [[1, 'its header'], [2, 'all of it']] as const) {
  test(`a -wal that goes away between a reader's look at it and its read of ${what} is no error`, (t) => {
    const folder = new TestFolder(t);
    run(folder.file(), `
      const store = SqliteStore.open(path);
      for (let i = 0; i < 3; i++) store.appendAudit({ type: 'service_started' });
      die();`);
    rmSync(folder.file('store.db-shm'));
    const told = run(folder.file(), `
      const { syncBuiltinESMExports } = await import('node:module');
      const real = fs.openSync;
      let looks = 0;
      fs.openSync = (file, ...rest) => {
        // Another process brings the -wal into the database just now.
        if (String(file).endsWith('-wal') && ++looks === ${nth}) {
          const db = new DatabaseSync(path);
          db.prepare('SELECT 1 FROM sqlite_schema').get();
          db.close();
        }
        return real(file, ...rest);
      };
      syncBuiltinESMExports();
      const store = SqliteStore.openReadOnly(path);
      report([store.auditHead().id, store.isHealthy(), looks >= ${nth}]);
      store.close();`);
    assert.deepEqual(told, [[3, true, true]]);
  });
}
