// Whose the files are that root makes in another user's folder: the service goes on with all of them.
import assert from 'node:assert/strict';
import {
  appendFileSync, chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { keygen } from '../../lib/cli/keys.ts';
import { importStore } from '../../lib/import/index.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, rebuildLedger } from '../../lib/ledger/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { likeFor } from '../../lib/values/owner.ts';
import { shepherd } from '../support/command.ts';
import { modeOf, namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { ledgerIn, openBoth } from '../support/ledger.ts';
import { nobody, run } from '../support/process.ts';
import { makeSource } from '../support/shepherdd.ts';

const ledgerModule = new URL('../../lib/ledger/index.ts', import.meta.url).href;
import { needs } from '../support/tools.ts';

const day = '2026-11-21';
const state = { timestamp: new Date(0) };

/** A folder that is another user's, with his store, its ledger and its state; closed. */
function theirs(t: TestContext): TestFolder {
  const folder = new TestFolder(t, { checked: false });
  const store = openBoth(folder);
  store.addUsage('minecraft', day, 90_500);
  store.saveSnapshot(state);
  store.close();
  mkdirSync(folder.file('sub'));
  for (const name of ['', ...namesIn(folder.path)]) chownSync(folder.file(name), nobody, nobody);
  return folder;
}

function ownersIn(folder: string): string[] {
  return (readdirSync(folder, { recursive: true }) as string[]).map((name) => {
    const { uid, gid } = lstatSync(join(folder, name));
    return uid === nobody && gid === nobody ? '' : `${name} is ${uid}:${gid}'s`;
  }).filter((text) => text !== '');
}

/** In a container whose root is nobody outside, and to which most users have no name. */
const isolated = { before: ['unshare', '-Ur'] };

test('in a folder of a user who has no name here the files stay root\'s, and the store works', needs('users'), (t) => {
  if (process.getuid!() !== 0) return;
  const folder = new TestFolder(t, { checked: false });
  chownSync(folder.path, nobody, nobody);
  chmodSync(folder.path, 0o777);
  const said = run(
    folder.file(),
    "const store = SqliteStore.open(path); report(store.addUsage('a', '2026-11-21', 5)); store.close();",
    isolated,
  );
  assert.deepEqual(said, [5]);
});

const operations: Record<string, (folder: TestFolder, elsewhere: TestFolder) => unknown> = {
  'a new store': (folder) => {
    const store = SqliteStore.open(folder.file('new/folder/store.db'), {
      snapshotPath: folder.file('state/kiosk.json'),
      ledger: Ledger.open(folder.file('sub/audit.jsonl')),
    });
    store.saveSnapshot(state);
    store.close();
  },
  'a store that is written to': (folder) => {
    const store = openBoth(folder);
    store.saveSnapshot(state);
    store.addUsage('minecraft', day, 1);
    store.close();
  },
  'a rebuilt ledger': async (folder) => {
    rmSync(folder.file('audit.jsonl'));
    using store = SqliteStore.openReadOnly(folder.file());
    await rebuildLedger(store, folder.file('audit.jsonl'));
    await rebuildLedger(store, folder.file('sub/another.jsonl'));
  },
  'a rebuilt database': async (folder) => {
    rmSync(folder.file());
    await rebuildDatabase(ledgerIn(folder), folder.file());
    await rebuildDatabase(ledgerIn(folder), folder.file('sub/another.db'));
  },
  'a store that was taken over': async (folder, elsewhere) => {
    await importStore(makeSource(elsewhere), folder.file('sub/imported.db'));
  },
  'a damaged store that was recovered': (folder) => {
    writeFileSync(folder.file(), Buffer.alloc(50_000, 'noise'));
    openBoth(folder, { recover: true }).close();
  },
  'a missing store that was recovered': (folder) => {
    rmSync(folder.file());
    openBoth(folder, { recover: true }).close();
  },
  'a ledger that was missing': (folder) => {
    rmSync(folder.file('audit.jsonl'));
    openBoth(folder).close();
  },
  'a ledger whose end was torn': (folder) => {
    appendFileSync(folder.file('audit.jsonl'), '{"torn');
    openBoth(folder).close();
    assert.ok(namesIn(folder.path).some((name) => name.includes('.torn-')));
  },
  'a found -wal': (folder) => {
    run(folder.file(), `
      const { Ledger } = await import('${ledgerModule}');
      const store = SqliteStore.open(path, { ledger: Ledger.open(path.replace('store.db', 'audit.jsonl')) });
      store.addUsage('a', '${day}', 1);
      die();`, { uid: nobody });
    openBoth(folder).close();
  },
  'a restored backup': async (folder, archive) => {
    {
      using store = SqliteStore.openReadOnly(folder.file());
      await backup(store, archive.file('backup.db'));
    }
    rmSync(folder.file('audit.jsonl'));
    await restore(archive.file('backup.db'), folder.file());
    await restore(archive.file('backup.db'), folder.file('sub/another.db'));
  },
  'an empty database': (folder) => {
    truncateSync(folder.file(), 0);
    openBoth(folder, { recover: true }).close();
  },
  'a store whose schema was moved down and up': (folder) => {
    SqliteStore.migrate(folder.file(), 1, { force: true });
    SqliteStore.migrate(folder.file(), 4);
  },
  'a key': async (folder) => {
    assert.equal((await shepherd([keygen.name, '--key', folder.file('sub/ledger.key')])).code, 0);
  },
};

for (const [name, operate] of Object.entries(operations)) {
  test(`${name} is the other user's where root made it in his folder`, async (t) => {
    if (process.getuid?.() !== 0) return; // nobody else can give a file away
    const folder = theirs(t);
    await operate(folder, new TestFolder(t, { checked: false }));
    assert.deepEqual(ownersIn(folder.path), []);
  });
}

test("what is made anew is open to those to whom the old one was, in a folder that is not the service's", async (t) => {
  if (process.getuid?.() !== 0) return;
  for (const name of [
    'a damaged store that was recovered',
    'an empty database',
    'a rebuilt ledger',
    'a restored backup',
  ]) {
    const folder = theirs(t);
    chownSync(folder.path, 0, 0);
    chownSync(folder.file('sub'), 0, 0);
    const files = ['store.db', 'store.snapshot.json', 'audit.jsonl'];
    for (const file of files) chmodSync(folder.file(file), 0o664);
    await operations[name]!(folder, new TestFolder(t, { checked: false }));
    for (const file of files.filter((each) => existsSync(folder.file(each)))) {
      const { uid, gid } = lstatSync(folder.file(file));
      assert.deepEqual([uid, gid, modeOf(folder.file(file))], [nobody, nobody, '664'], `${name}: ${file}`);
    }
  }
});

test('a file in another folder than the store\'s is private, and whose that folder is', (t) => {
  const folder = theirs(t);
  chmodSync(folder.file(), 0o664);
  assert.equal(likeFor(folder.file('new'), [folder.file('absent'), folder.file()]).mode & 0o777, 0o664);
  const { uid, gid } = lstatSync(folder.file('sub'));
  assert.deepEqual(likeFor(folder.file('sub/new'), [folder.file()]), { mode: 0o600, uid, gid });
});

test('a lock and a note of a recovery that root began and did not end keep nobody out', (t) => {
  if (process.getuid?.() !== 0) return;
  const folder = theirs(t);
  writeFileSync(folder.file(), Buffer.alloc(50_000, 'noise'));
  const ledger = `
    const { Ledger } = await import('${ledgerModule}');
    const open = () => {
      return SqliteStore.open(path, { recover: true, ledger: Ledger.open(path.replace('store.db', 'audit.jsonl')) });
    };`;
  run(folder.file(), `
    const rename = fs.renameSync;
    fs.renameSync = (...args) => { rename(...args); if (args[1].includes('.damaged-')) die(); };
    (await import('node:module')).syncBuiltinESMExports();
    ${ledger} open();`);
  const names = namesIn(folder.path);
  assert.ok(names.includes('store.db-lock') && names.includes('store.db-recovery'), names.join(' '));
  assert.deepEqual(run(folder.file(), `${ledger} report(open().recovery.found);`, { uid: nobody }), ['damaged']);
});
