// Files on their way to their names: what a killed process left is removed, and what a living one makes is not.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { TemporaryFile } from '../../lib/opening/temporary.ts';
import { createFile, temporaryBeside } from '../../lib/values/files.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { Companion, nobody, run } from '../support/process.ts';

const module = new URL('../../lib/opening/temporary.ts', import.meta.url).href;
const backupModule = new URL('../../lib/modules/backup/backup.ts', import.meta.url).href;

/** Takes a temporary file and writes to it. */
const take = `
  const { TemporaryFile } = await import('${module}');
  const file = TemporaryFile.beside(path);
  for (const suffix of ['', '-wal', '.snapshot.json']) fs.writeFileSync(file.path + suffix, 'mine');`;

test('what a killed process left is removed, what a living one makes stays, and both are gone when it is disposed '
  + 'of', async (t) => {
  const folder = new TestFolder(t);
  run(folder.file('killed.db'), `${take} die();`);
  assert.equal(namesIn(folder.path).length, 4);
  const living = new Companion(
    t,
    folder.file('living.db'),
    `${take} report(file.path); await told(); file[Symbol.dispose](); report('disposed'); await told();`,
  );
  const theirs = String(await living.next());
  {
    using own = TemporaryFile.beside(folder.file('own.db'));
    writeFileSync(own.path, 'own');
    using second = TemporaryFile.beside(folder.file('own.db'));
    writeFileSync(second.path, 'second');
    assert.equal(readFileSync(own.path, 'utf8'), 'own');
  }
  assert.equal(readFileSync(theirs, 'utf8'), 'mine');
  assert.equal(namesIn(folder.path).length, 4);
  assert.equal(await living.ask('dispose'), 'disposed');
  assert.deepEqual(namesIn(folder.path), []);
});

test('several that make files in one folder at once keep nobody out', async (t) => {
  const folder = new TestFolder(t);
  const makers = Array.from({ length: 3 }, () => new Companion(t, folder.file(), `
    const { TemporaryFile } = await import('${module}');
    let refused = 0;
    for (let count = 0; count < 100; count++) {
      if (codeOf(() => TemporaryFile.beside(path)[Symbol.dispose]()) !== 'no error') refused++;
    }
    report(refused);`));
  assert.deepEqual(await Promise.all(makers.map((maker) => maker.next())), [0, 0, 0]);
  assert.deepEqual(namesIn(folder.path), []);
});

test('in containers, where every process has the id 1 and none sees the other, the same', async (t) => {
  const unshare = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
  if (spawnSync(unshare[0]!, [...unshare.slice(1), 'true']).status !== 0)
    return t.diagnostic('left out: unshare may not make a namespace of processes here');
  const folder = new TestFolder(t);
  const namespaces = new Set<unknown>();
  const id = 'report(process.pid);';
  const living = new Companion(t, folder.file('living.db'), `${take} ${id} report(file.path); await told();`, {
    before: unshare,
  });
  namespaces.add(await living.next());
  const theirs = String(await living.next());
  namespaces.add(
    run(folder.file('killed.db'), `${take} ${id} process.exit(0); /* what has the id 1 cannot kill itself */`, {
      before: unshare,
    })[0],
  );
  assert.deepEqual([...namespaces], [1]);
  assert.equal(namesIn(folder.path).length, 8);
  run(folder.file('another.db'), `${take} file[Symbol.dispose]();`, { before: unshare });
  assert.equal(namesIn(folder.path).length, 4);
  assert.equal(readFileSync(theirs, 'utf8'), 'mine');
});

test('backups that are killed one after the other, under new names each time, leave no more than one of '
  + 'them', async (t) => {
  const folder = new TestFolder(t);
  using store = folder.open();
  store.appendAudits(Array.from({ length: 500 }, () => ({ event: { type: 'service_started' as const } })));
  mkdirSync(folder.file('usb'));
  const counts = [1, 2, 3].map((day) => {
    run(folder.file(), `
      const { backup } = await import('${backupModule}');
      await backup(SqliteStore.openReadOnly(path), path.replace('store.db', 'usb/day-${day}.db'),
      { onProgress: die });`);
    return namesIn(folder.file('usb')).length;
  });
  assert.deepEqual(counts, [counts[0], counts[0], counts[0]]);
  await backup(store, folder.file('usb/day-4.db'));
  assert.deepEqual(namesIn(folder.file('usb')), ['day-4.db']);
});

test('a restore leaves nothing where its snapshot file lies in another folder, killed or not', async (t) => {
  const folder = new TestFolder(t);
  const snapshotPath = folder.file('state/kiosk.json');
  const store = SqliteStore.open(folder.file(), { snapshotPath });
  store.saveSnapshot({ timestamp: new Date(0) });
  await backup(store, folder.file('backup.db'));
  store.close();
  run(folder.file(), `
    const rename = fs.renameSync;
    fs.renameSync = (...args) => { if (args[1] === path) die(); rename(...args); };
    (await import('node:module')).syncBuiltinESMExports();
    const { restore } = await import('${backupModule}');
    await restore(path.replace('store.db', 'backup.db'), path, { snapshotPath: ${JSON.stringify(snapshotPath)} });`);
  assert.ok(namesIn(dirname(snapshotPath)).some((name) => name.startsWith('..shepherd-store-')));
  await restore(folder.file('backup.db'), folder.file(), { snapshotPath });
  for (const where of [folder.path, dirname(snapshotPath)])
    assert.deepEqual(
      namesIn(where).filter((name) => name.startsWith('.')),
      [],
    );
  using again = SqliteStore.open(folder.file(), { snapshotPath });
  assert.deepEqual([again.recovery, again.loadSnapshot()], [undefined, { timestamp: new Date(0) }]);
});

test("what another user left, which may not be touched, is in nobody's way", (t) => {
  if (process.getuid?.() !== 0) return; // there is no other user then
  const folder = new TestFolder(t);
  run(folder.file('killed.db'), `${take} die();`);
  const before = namesIn(folder.path);
  spawnSync('chmod', ['1777', folder.path]);
  run(folder.file('theirs.db'), `${take} file[Symbol.dispose]();`, { uid: nobody });
  assert.deepEqual(namesIn(folder.path), before);
  TemporaryFile.beside(folder.file('own.db'))[Symbol.dispose]();
  assert.deepEqual(namesIn(folder.path), []);
});

test('a database in the making that was cut short leaves nothing, also where it has its name already', (t) => {
  const folder = new TestFolder(t);
  const left = temporaryBeside(folder.file());
  writeFileSync(left, '');
  createFile(folder.file());
  assert.deepEqual(namesIn(folder.path), ['store.db']);
  rmSync(folder.file());
  createFile(folder.file());
  linkSync(folder.file(), temporaryBeside(folder.file()));
  folder.open();
  assert.ok(!namesIn(folder.path).some((name) => name.startsWith('.')));
});
