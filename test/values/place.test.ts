// New files get their names: where nothing stands, not even what SQLite would read with them, and also without hard
// links.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, rebuildLedger } from '../../lib/ledger/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { createFile } from '../../lib/values/files.ts';
import { checkFree, giveName, placeNew } from '../../lib/values/place.ts';
import { modeOf, namesIn, picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { ledgerIn, openBoth } from '../support/ledger.ts';
import { withoutLinks } from '../support/linkless.ts';

const day = '2026-11-21';
const clock = (): Date => new Date('2026-11-21T12:00:00.000Z');
const state = { timestamp: new Date(0) };

/** A store with a ledger and a state, closed. */
function filled(t: Parameters<typeof withoutLinks>[0]): TestFolder {
  const folder = new TestFolder(t);
  const store = openBoth(folder, { clock });
  store.addUsage('minecraft', day, 90_500);
  store.saveSnapshot(state);
  store.close();
  return folder;
}

const databaseMakers: Record<string, (folder: TestFolder, target: string) => Promise<unknown>> = {
  backup: async (folder, target) => {
    using store = SqliteStore.openReadOnly(folder.file());
    await backup(store, target);
  },
  rebuildDatabase: (folder, target) => rebuildDatabase(ledgerIn(folder), target),
};
const makers: typeof databaseMakers = {
  ...databaseMakers,
  rebuildLedger: async (folder, target) => {
    using store = SqliteStore.openReadOnly(folder.file());
    await rebuildLedger(store, target);
  },
};

for (const [name, make] of Object.entries(databaseMakers)) {
  for (const suffix of ['', '-wal', '-shm', '-journal']) {
    test(`${name} is refused where something stands at the new database's ${suffix || 'name'}`, async (t) => {
      const folder = filled(t);
      writeFileSync(folder.file(`new.db${suffix}`), 'stale');
      const before = picture(folder.path);
      await assert.rejects(make(folder, folder.file('new.db')), { code: 'ERR_STORE_CONFLICT' });
      assert.deepEqual(picture(folder.path), before);
    });
  }
}

for (const [name, make] of Object.entries(makers)) {
  for (const suffix of ['-wal', '-shm', '-journal']) {
    test(`${name} is refused under the name of a database's ${suffix}`, async (t) => {
      const folder = filled(t);
      const before = picture(folder.path);
      await assert.rejects(make(folder, folder.file(`store.db${suffix}`)), { code: 'ERR_STORE_CONFLICT' });
      assert.deepEqual(picture(folder.path), before);
    });
  }
}

test('a name is free where nothing stands, a dangling link included', (t) => {
  const folder = new TestFolder(t);
  checkFree('try', folder.file('a'), [folder.file('b')]);
  checkFree('try', folder.file('a-wal'));
  writeFileSync(folder.file('b'), '');
  assert.throws(() => checkFree('try', folder.file('a'), [folder.file('b')]), { code: 'ERR_STORE_CONFLICT' });
});

for (const code of ['none', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']) {
  test(`a finished file gets its name, and never another's place (a link fails: ${code})`, (t) => {
    const folder = new TestFolder(t);
    if (code !== 'none') withoutLinks(t, code);
    writeFileSync(folder.file('finished'), 'new', { mode: 0o600 });
    writeFileSync(folder.file('taken'), 'old');
    assert.throws(() => giveName(folder.file('finished'), folder.file('taken')), { code: 'EEXIST' });
    assert.throws(() => placeNew('try', folder.file('finished'), folder.file('taken')), { code: 'ERR_STORE_CONFLICT' });
    assert.equal(readFileSync(folder.file('taken'), 'utf8'), 'old');
    placeNew('try', folder.file('finished'), folder.file('free'));
    assert.equal(readFileSync(folder.file('free'), 'utf8'), 'new');
    assert.deepEqual(namesIn(folder.path), ['free', 'taken']);
  });
}

test('where no mode can be set, as on some file systems in user space, a file is made all the same', (t) => {
  const folder = new TestFolder(t);
  const original = fs.fchmodSync;
  t.after(() => {
    fs.fchmodSync = original;
    syncBuiltinESMExports();
  });
  const failWith = (code: string): void => {
    fs.fchmodSync = () => {
      throw Object.assign(new Error(code), { code, syscall: 'fchmod' });
    };
    syncBuiltinESMExports();
  };
  failWith('ENOSYS');
  createFile(folder.file('made'));
  assert.deepEqual(namesIn(folder.path), ['made']);
  failWith('EIO');
  assert.throws(() => createFile(folder.file('not-made')), { code: 'EIO' });
  assert.deepEqual(namesIn(folder.path), ['made']);
});

test('a link that fails for another reason is told, and leaves nothing under the name', (t) => {
  const folder = new TestFolder(t);
  withoutLinks(t, 'EIO');
  writeFileSync(folder.file('finished'), 'new');
  assert.throws(() => placeNew('try', folder.file('finished'), folder.file('free')), { code: 'EIO' });
  assert.deepEqual(namesIn(folder.path), ['finished']);
});

test('a rename that fails without hard links is told, and leaves the name free', (t) => {
  const folder = new TestFolder(t);
  withoutLinks(t);
  const original = fs.renameSync;
  t.after(() => {
    fs.renameSync = original;
    syncBuiltinESMExports();
  });
  fs.renameSync = () => {
    throw Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'rename' });
  };
  syncBuiltinESMExports();
  writeFileSync(folder.file('finished'), 'new');
  assert.throws(() => placeNew('try', folder.file('finished'), folder.file('free')), { code: 'EIO' });
  assert.deepEqual(namesIn(folder.path), ['finished']);
});

test('without hard links a store is made, backed up, restored and rebuilt, with nothing left over', async (t) => {
  withoutLinks(t);
  const folder = filled(t);
  for (const [name, make] of Object.entries(makers)) await make(folder, folder.file(name));
  assert.deepEqual(namesIn(folder.path), [
    'audit.jsonl',
    'backup',
    'backup.snapshot.json',
    'rebuildDatabase',
    'rebuildLedger',
    'store.db',
    'store.snapshot.json',
  ]);
  for (const name of namesIn(folder.path)) assert.equal(modeOf(folder.file(name)), '600', name);
  for (const name of ['backup', 'rebuildDatabase']) {
    using store = SqliteStore.openReadOnly(folder.file(name));
    assert.equal(store.getUsage('minecraft', day), 90_500);
    assert.ok((await store.verifyAudit()).ok);
  }
  assert.equal(Ledger.open(folder.file('rebuildLedger')).refresh().head?.id, ledgerIn(folder).refresh().head?.id);

  const { moved } = await restore(folder.file('backup'), folder.file(), { clock });
  const stamp = '.replaced-2026-11-21T12-00-00.000Z';
  assert.deepEqual(moved, [`${folder.file('store.snapshot.json')}${stamp}`, `${folder.file()}${stamp}`]);
  rmSync(folder.file('store.snapshot.json'));
  await restore(folder.file('backup'), folder.file('new.db'), { clock });
  for (const name of ['store.db', 'new.db', `store.db${stamp}`]) {
    using store = SqliteStore.openReadOnly(folder.file(name));
    assert.equal(store.getUsage('minecraft', day), 90_500);
  }
  assert.ok(!namesIn(folder.path).some((name) => name.endsWith('-exchanged')));
});

test('an exchange without links that was cut short is undone, or done where the new file is in place', (t) => {
  const folder = filled(t);
  renameSync(folder.file(), `${folder.file()}-exchanged`);
  const undone = SqliteStore.openReadOnly(`${folder.file()}-exchanged`).auditHead();
  assert.equal(openBoth(folder, { clock }).auditHead()!.id, undone!.id);
  const other = new TestFolder(t);
  other.open({ clock }).close();
  writeFileSync(`${other.file()}-exchanged`, 'the old one');
  assert.equal(other.open({ clock }).auditHead(), undefined);
  const aside = namesIn(other.path).filter((name) => name.includes('replaced-'));
  assert.deepEqual(aside.map((name) => readFileSync(other.file(name), 'utf8')), ['the old one']);
});
