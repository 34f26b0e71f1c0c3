// What is refused at the path of a store, and left exactly as it was.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chownSync, copyFileSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync, truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { schemaVersion } from '../../lib/core/schema.ts';
import { SqliteStore } from '../../lib/index.ts';
import { flipBit, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeAndDie, makeDatabase, makeText, newerSchema } from '../support/foreign.ts';
import { nobody, run } from '../support/process.ts';
import { needs } from '../support/tools.ts';

/** A store with something of everything in it, closed, with its snapshot file. */
function makeStore(path: string): void {
  using store = SqliteStore.open(path);
  store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', '2026-11-21', 90_500);
  store.saveSnapshot({ timestamp: new Date('2026-11-21T09:00:00Z') });
}

const foreignTable = 'CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES (1), (2);';
const manyRows = `${foreignTable} INSERT INTO bookmarks SELECT hex(randomblob(100)) FROM (WITH n(i) AS (SELECT 1 `
  + `UNION ALL SELECT i + 1 FROM n LIMIT 500) SELECT i FROM n);`;

/** Leaves a rollback journal that has to be played back: the cache spills into the database before the commit. */
const dieInTransaction = (before: string): string =>
  `${before} PRAGMA cache_size = 5; PRAGMA cache_spill = 5; BEGIN; UPDATE bookmarks SET url = url || 'x';`;

const newer = newerSchema(schemaVersion + 1);

const refused: [what: string, code: string, make: (path: string, folder: string) => void][] = [
  ['a text file', 'ERR_STORE_NOT_A_STORE', makeText],
  ['a file of one byte', 'ERR_STORE_NOT_A_STORE', (path) => writeFileSync(path, 'x')],
  ['a file of zeros', 'ERR_STORE_NOT_A_STORE', (path) => writeFileSync(path, Buffer.alloc(8192))],
  ["another program's database", 'ERR_STORE_NOT_A_STORE', (path) => makeDatabase(path, manyRows)],
  ["another program's database in WAL mode", 'ERR_STORE_NOT_A_STORE', (path) => {
    makeDatabase(path, `PRAGMA journal_mode = WAL; ${manyRows}`);
  }],
  ["another program's database with its -wal and -shm", 'ERR_STORE_NOT_A_STORE', (path) => {
    makeAndDie(path, `PRAGMA journal_mode = WAL; ${manyRows}`);
  }],
  ["another program's database with its -wal alone", 'ERR_STORE_NOT_A_STORE', (path) => {
    makeAndDie(path, `PRAGMA journal_mode = WAL; ${manyRows}`);
    rmSync(`${path}-shm`);
  }],
  ["another program's database with a hot journal", 'ERR_STORE_NOT_A_STORE', (path) => {
    makeAndDie(path, dieInTransaction(manyRows));
  }],
  ["another program's database with an application id", 'ERR_STORE_NOT_A_STORE', (path) => {
    makeDatabase(path, 'PRAGMA application_id = 5; CREATE TABLE a (b);');
  }],
  ["another program's mark on no table at all", 'ERR_STORE_NOT_A_STORE', (path) => {
    makeDatabase(path, 'PRAGMA application_id = 5;');
  }],
  ['the four tables with a view beside them', 'ERR_STORE_NOT_A_STORE', (path) => {
    makeDatabase(path, `${fourTables} CREATE VIEW totals AS SELECT * FROM usage;`);
  }],
  ['the four tables with a trigger', 'ERR_STORE_NOT_A_STORE', (path) => {
    makeDatabase(path, `${fourTables} CREATE TRIGGER t AFTER INSERT ON usage BEGIN DELETE FROM usage; END;`);
  }],
  ['the four tables with a fifth', 'ERR_STORE_NOT_A_STORE', (path) => {
    makeDatabase(path, `${fourTables} ${foreignTable}`);
  }],
  ['the four tables with another column', 'ERR_STORE_NOT_A_STORE', (path) => {
    makeDatabase(path, `${fourTables} ALTER TABLE usage ADD COLUMN secret TEXT;`);
  }],
  ['a view in the place of one of the four tables', 'ERR_STORE_NOT_A_STORE', (path) => {
    makeDatabase(path, `${fourTables} DROP TABLE snapshot; CREATE VIEW snapshot AS SELECT 1 AS id, '' AS data;`);
  }],
  ['the four tables in pages of 512 bytes', 'ERR_STORE_DATABASE', (path) => {
    makeDatabase(path, `PRAGMA page_size = 512; ${fourTables}`);
  }],
  ['the four tables in pages of 512 bytes, with a -wal', 'ERR_STORE_DATABASE', (path) => {
    makeAndDie(path, `PRAGMA page_size = 512; PRAGMA journal_mode = WAL; ${fourTables}`);
  }],
  ['the four tables in UTF-16', 'ERR_STORE_DATABASE', (path) => {
    makeDatabase(path, `PRAGMA encoding = 'UTF-16'; ${fourTables}`);
  }],
  ['a database without tables in pages of 512 bytes', 'ERR_STORE_DATABASE', (path) => {
    makeDatabase(path, 'PRAGMA page_size = 512; CREATE TABLE a (b); DROP TABLE a;');
  }],
  ['the four tables beside a snapshot file of a store', 'ERR_STORE_CONFLICT', (path, folder) => {
    makeDatabase(path, fourTables);
    makeStore(join(folder, 'other.db'));
    renameSync(join(folder, 'other.snapshot.json'), join(folder, 'store.snapshot.json'));
  }],
  ['a store cut off after its first page', 'ERR_STORE_CORRUPT', (path) => (makeStore(path), truncateSync(path, 4096))],
  ['a store cut off in its first page', 'ERR_STORE_CORRUPT', (path) => (makeStore(path), truncateSync(path, 1000))],
  ['a store cut off to half a page', 'ERR_STORE_CORRUPT', (path) => {
    makeStore(path);
    truncateSync(path, 3 * 4096 + 2048);
  }],
  ['a store cut off to nothing', 'ERR_STORE_CORRUPT', (path) => (makeStore(path), truncateSync(path, 0))],
  ['a store that is gone, with its snapshot file left', 'ERR_STORE_CORRUPT', (path) => (makeStore(path), rmSync(path))],
  ['a store with a bit flipped in its first word', 'ERR_STORE_CORRUPT', (path) => (makeStore(path), flipBit(path, 3))],
  ['a store with a bit flipped in its schema', 'ERR_STORE_CORRUPT', (path) => (makeStore(path), flipBit(path, 100, 1))],
  ['a store and no snapshot file, with a bit flipped in its first word', 'ERR_STORE_CORRUPT', (path, folder) => {
    makeStore(path);
    rmSync(join(folder, 'store.snapshot.json'));
    flipBit(path, 3);
  }],
  ['a store that lacks a table', 'ERR_STORE_CORRUPT', (path) => {
    makeStore(path);
    makeDatabase(path, 'DROP TABLE cooldowns;');
  }],
  ['a store without its identity', 'ERR_STORE_CORRUPT', (path) => {
    makeStore(path);
    makeDatabase(path, 'DELETE FROM store_meta;');
  }],
  ['a store of a newer schema', 'ERR_STORE_SCHEMA_TOO_NEW', (path) => (makeStore(path), makeDatabase(path, newer))],
  ['a store of a newer schema without a table that this one has', 'ERR_STORE_SCHEMA_TOO_NEW', (path) => {
    makeStore(path);
    makeDatabase(path, `${newer} DROP TABLE cooldowns;`);
  }],
  ['a store of a newer schema with its -wal and -shm', 'ERR_STORE_SCHEMA_TOO_NEW', (path) => {
    makeStore(path);
    makeAndDie(path, `${newer}`);
  }],
  ['a store of a newer schema with a later -wal alone', 'ERR_STORE_SCHEMA_TOO_NEW', (path) => {
    makeStore(path);
    makeDatabase(path, newer);
    makeAndDie(path, "INSERT INTO cooldowns (entry_id, until) VALUES ('a', '2030-01-01T00:00:00.000Z');");
    rmSync(`${path}-shm`);
  }],
  ['a store of a newer schema that left versions out', 'ERR_STORE_SCHEMA_TOO_NEW', (path) => {
    makeStore(path);
    makeDatabase(path, newerSchema(900, 900, 900));
  }],
  ['a store with a gap in its versions', 'ERR_STORE_CORRUPT', (path) => {
    makeStore(path);
    makeDatabase(path, 'DELETE FROM schema_version WHERE version = 2');
  }],
  ['a store without a version', 'ERR_STORE_CORRUPT', (path) => {
    makeStore(path);
    makeDatabase(path, 'DELETE FROM schema_version');
  }],
  ['a store beside the snapshot file of another', 'ERR_STORE_CONFLICT', (path, folder) => {
    makeStore(path);
    makeStore(join(folder, 'other.db'));
    copyFileSync(join(folder, 'other.snapshot.json'), join(folder, 'store.snapshot.json'));
  }],
  ['a store with a -wal alone beside the snapshot file of another', 'ERR_STORE_CONFLICT', (path, folder) => {
    makeStore(path);
    makeAndDie(path, "INSERT INTO cooldowns (entry_id, until) VALUES ('a', '2030-01-01T00:00:00.000Z');");
    rmSync(`${path}-shm`);
    makeStore(join(folder, 'other.db'));
    copyFileSync(join(folder, 'other.snapshot.json'), join(folder, 'store.snapshot.json'));
  }],
  ['a folder', 'ERR_STORE_NOT_A_STORE', (path) => mkdirSync(path)],
  ['a pipe', 'ERR_STORE_NOT_A_STORE', (path) => execFileSync('mkfifo', [path])],
  ['a symbolic link to a store', 'ERR_STORE_PERMISSION', (path, folder) => {
    makeStore(join(folder, 'other.db'));
    symlinkSync('other.db', path);
  }],
  ['a symbolic link to nothing', 'ERR_STORE_PERMISSION', (path) => symlinkSync('nowhere.db', path)],
];

for (const [what, code, make] of refused) {
  test(`${what} is refused with ${code} and left as it was`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    make(folder.file(), folder.path);
    const before = picture(folder.path);
    assert.throws(() => folder.open(), { name: 'StoreError', code });
    assert.deepEqual(picture(folder.path), before);
    assert.deepEqual(openFilesBelow(folder.path), []);
  });
}

/** What this process has open of a store's, or of a private copy. */
function openFilesBelow(folder: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(folder) || target.includes('shepherd-store-') ? [target] : [];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
}

// What a stranger's file is must not depend on `recover`, which would move it away.
const strangers = refused.filter(([what, code]) => code !== 'ERR_STORE_CORRUPT' && !what.includes('snapshot file'));
for (const [what, code, make] of strangers) {
  test(`${what} is refused and left as it was by recover too`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    make(folder.file(), folder.path);
    const before = picture(folder.path);
    assert.throws(() => folder.open({ recover: true }), { name: 'StoreError', code });
    assert.deepEqual(picture(folder.path), before);
  });
}

/** What opening gives as somebody who may not, or where nobody may. The folder is one that this user can reach. */
const forbidden: [what: string, code: string, prepare: string, name: string][] = [
  ['a file without permission to write', 'ERR_STORE_PERMISSION', 'fs.chmodSync(path, 0o444)', 'store.db'],
  ['a file without permission to read', 'ERR_STORE_PERMISSION', 'fs.chmodSync(path, 0)', 'store.db'],
  ['a file in a folder without permission to write', 'ERR_STORE_PERMISSION', 'fs.chmodSync(folder, 0o555)', 'store.db'],
  ['a file in a folder without permission to enter', 'ERR_STORE_PERMISSION', 'fs.chmodSync(folder, 0o600)', 'store.db'],
  [
    'a new file in a folder without permission to write',
    'ERR_STORE_PERMISSION',
    'fs.chmodSync(folder, 0o555)',
    'new.db',
  ],
  [
    'a new folder in one without permission to write',
    'ERR_STORE_PERMISSION',
    'fs.chmodSync(folder, 0o555)',
    'a/b/new.db',
  ],
  [
    'a snapshot file without permission to read',
    'ERR_STORE_PERMISSION',
    "fs.chmodSync(folder + '/store.snapshot.json', 0)",
    'store.db',
  ],
  ['a file below a file', 'ERR_STORE_NOT_FOUND', '', 'store.db/new.db'],
  ['a folder below a file', 'ERR_STORE_NOT_FOUND', '', 'store.db/a/new.db'],
  ['a name that is too long', 'ERR_STORE_INVALID_ARGUMENT', '', `${'n'.repeat(300)}.db`],
];

for (const [what, code, prepare, name] of forbidden) {
  test(`${what} is refused with ${code} and left as it was`, (t) => {
    const folder = new TestFolder(t);
    makeStore(folder.file());
    const before = picture(folder.path);
    for (const entry of ['', ...Object.keys(before)])
      chownSync(join(folder.path, entry), process.getuid!() === 0 ? nobody : -1, -1);
    const [found] = run(folder.path, `
      const folder = path;
      { const path = folder + '/store.db'; ${prepare}; }
      report(codeOf(() => SqliteStore.open(folder + ${JSON.stringify(`/${name}`)})));
      fs.chmodSync(folder, 0o700);
      for (const name of fs.readdirSync(folder)) fs.chmodSync(folder + '/' + name, 0o600);`, { uid: nobody });
    assert.equal(found, code);
    assert.deepEqual(picture(folder.path), before);
  });
}

test('on a read-only file system nothing is opened for writing, and nothing is made', needs('mount'), (t) => {
  const folder = new TestFolder(t);
  const [found] = run(
    folder.path,
    `
    import { execFileSync } from 'node:child_process';
    const mount = (...args) => execFileSync('mount', args);
    mount('-t', 'tmpfs', 'none', path);
    SqliteStore.open(path + '/store.db').close();
    mount('-o', 'remount,ro', path);
    report(['store.db', 'new.db', 'folder/new.db'].map((name) => codeOf(() => SqliteStore.open(path + '/' + name))));`,
    { unshared: true },
  );
  assert.deepEqual(found, ['ERR_STORE_READ_ONLY', 'ERR_STORE_READ_ONLY', 'ERR_STORE_READ_ONLY']);
});

test('a disk without room for the folder of a new store is full, and not missing', needs('mount'), (t) => {
  const folder = new TestFolder(t);
  const [found] = run(folder.path, `
    import { execFileSync } from 'node:child_process';
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=1', 'none', path]);
    report(codeOf(() => SqliteStore.open(path + '/kiosk/store.db')));`, { unshared: true });
  assert.equal(found, 'ERR_STORE_DISK_FULL');
});

test('the snapshot file may not be one of the files of the database', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const before = picture(folder.path);
  for (const suffix of ['', '-wal', '-shm', '-journal']) {
    const snapshotPath = folder.file() + suffix;
    assert.throws(() => folder.open({ snapshotPath }), { code: 'ERR_STORE_INVALID_ARGUMENT' });
    assert.throws(() => SqliteStore.openReadOnly(folder.file(), { snapshotPath }), {
      code: 'ERR_STORE_INVALID_ARGUMENT',
    });
  }
  assert.deepEqual(picture(folder.path), before);
});

test('a clock that gives no time is refused before anything is made', (t) => {
  const folder = new TestFolder(t);
  assert.throws(() => folder.open({ clock: () => new Date(NaN) }), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  assert.deepEqual(picture(folder.path), {});
});
