// The lock between processes, and what a process knows of its own open files.
import assert from 'node:assert/strict';
import {
  closeSync, existsSync, mkdirSync, openSync, readdirSync, readlinkSync, readSync, renameSync, rmdirSync, statSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileLock } from '../../lib/recovery/lock.ts';
import { isOpenHere, isWritableHere, readDatabaseBytes, readJournalBytes } from '../../lib/values/descriptors.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { Companion, run } from '../support/process.ts';

const holder = (at: URL): string => `
  const { FileLock } = await import('${at.href}');
  let lock;
  for (;;) {
    const word = await told();
    if (word === 'end') break;
    if (word === 'take') report(codeOf(() => { lock = FileLock.acquire(path, 0, 'holds it'); }));
    else if (word === 'wait') {
      report(process.pid);
      report(codeOf(() => { lock = FileLock.acquire(path, 60_000, 'holds it'); }));
    }
    else { lock.release(); report('released'); }
  }`;
const source = holder(new URL('../../lib/recovery/lock.ts', import.meta.url));
const busy = { code: 'ERR_STORE_BUSY' };

test('a lock keeps other processes and other holders of this one out until it is released, and leaves no '
  + 'file', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('store.db-lock');
  const other = new Companion(t, path, source);
  const lock = FileLock.acquire(path, 0, 'holds it');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(await other.ask('take'), 'ERR_STORE_BUSY');
  assert.throws(() => FileLock.acquire(path, 20, 'holds it'), busy);
  lock.release();
  lock.release();
  assert.equal(await other.ask('take'), 'no error');
  assert.throws(() => FileLock.acquire(path, 0, 'holds it'), busy);
  assert.equal(isOpenHere(path), false); // who was refused has nothing open
  assert.equal(await other.ask('release'), 'released');
  assert.deepEqual(namesIn(folder.path), []);
  FileLock.acquire(path, 0, 'holds it').release();
});

test('a lock dies with its process, and whoever waits for it gets it', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('store.db-lock');
  const other = new Companion(t, path, source);
  assert.equal(await other.ask('take'), 'no error');
  await other.kill();
  assert.ok(existsSync(path));
  using lock = FileLock.acquire(path, 0, 'holds it');
  assert.ok(lock);
});

test('a lock file that was exchanged for another one is not taken for the lock', (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('store.db-lock');
  using first = FileLock.acquire(path, 0, 'holds it');
  renameSync(path, folder.file('moved'));
  using second = FileLock.acquire(path, 0, 'holds it');
  assert.throws(() => FileLock.acquire(folder.file('moved'), 0, 'holds it'), busy);
  assert.throws(() => FileLock.acquire(path, 0, 'holds it'), busy);
  assert.ok(first && second);
});

/** Whether a process has the file at a path open, as the kernel tells it. */
function isOpenBy(pid: number, path: string): boolean {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).some((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`) === path;
    } catch {
      return false; // closed since
    }
  });
}

test('who has waited for a lock while its file went away gets it by the file that stands there then', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('store.db-lock');
  const other = new Companion(t, path, source);
  const lock = FileLock.acquire(path, 0, 'holds it');
  const pid = (await other.ask('wait')) as number;
  while (!isOpenBy(pid, path)) await sleep(5);
  lock.release(); // what the other one has open has no name any more, and locks nobody out
  assert.equal(await other.next(), 'no error');
  assert.throws(() => FileLock.acquire(path, 0, 'holds it'), busy);
  assert.equal(await other.ask('release'), 'released');
});

test('a lock file that goes away and comes again, as the same inode, is waited for and no error', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('store.db-lock');
  // Most file systems give a new file the number of the inode that was freed last.
  const others = Array.from({ length: 2 }, () => new Companion(t, path, `
    report('begins');
    for (;;) {
      try { fs.closeSync(fs.openSync(path, 'wx')); } catch {}
      fs.rmSync(path, { force: true });
    }`));
  for (const other of others) await other.next();
  for (let turn = 0; turn < 300; turn++) FileLock.acquire(path, 60_000, 'holds it').release();
  for (const other of others) await other.kill();
});

test('the file of a lock is gone before the lock is: one that cannot be removed is locked still', (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('store.db-lock');
  const lock = FileLock.acquire(path, 0, 'holds it');
  renameSync(path, folder.file('moved'));
  mkdirSync(path);
  assert.throws(() => lock.release(), { code: 'ERR_FS_EISDIR' });
  assert.throws(() => FileLock.acquire(folder.file('moved'), 0, 'holds it'), busy);
  rmdirSync(path);
  lock.release();
  FileLock.acquire(folder.file('moved'), 0, 'holds it').release();
});

test('the file of a lock that a killed process left goes away at the next open, one that is held stays', (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('store.db-lock');
  writeFileSync(path, '');
  folder.open().close();
  assert.deepEqual(namesIn(folder.path), ['store.db']);
  using lock = FileLock.acquire(path, 0, 'holds it');
  folder.open().close();
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.db-lock']);
  assert.ok(lock);
});

test('bytes of a file that this process has open are read by what is open, and nothing is closed', (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('a'), 'text');
  const used: number[] = [];
  const read = (): string => readDatabaseBytes(folder.file('a'), (fd) => {
    used.push(fd);
    const text = Buffer.alloc(4);
    readSync(fd, text, 0, 4, 0);
    return text.toString();
  });
  assert.equal(read(), 'text');
  assert.equal(isOpenHere(folder.file('a')), false);
  const unreadable = openSync(folder.file('a'), 'a');
  const fd = openSync(folder.file('a'), 'r');
  assert.equal(read(), 'text');
  assert.equal(used.at(-1), fd);
  closeSync(unreadable);
  assert.deepEqual([isOpenHere(folder.file('a')), isWritableHere(folder.file('a'))], [true, false]);
  closeSync(fd);
  const writing = openSync(folder.file('a'), 'r+');
  assert.ok(isWritableHere(folder.file('a')));
  closeSync(writing);
  assert.equal(isWritableHere(folder.file('a')), false);
});

test('a -wal or journal that was read is closed again, also where the reading fails', (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('a'), 'text');
  assert.equal(readJournalBytes(folder.file('a'), (fd) => readSync(fd, Buffer.alloc(9))), 4);
  assert.throws(() => readJournalBytes(folder.file('a'), () => { throw new Error('enough'); }), /enough/);
  assert.equal(isOpenHere(folder.file('a')), false);
});

test('where nobody can tell what is open, for want of a descriptor, none is closed', (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('a'), 'text');
  const said = run(
    folder.file('a'),
    `
    const { closeWhenAlone } = await import('${new URL('../../lib/values/descriptors.ts', import.meta.url).href}');
    const [fd, other] = [fs.openSync(path), fs.openSync(path)];
    report(codeOf(() => { for (;;) fs.openSync('/dev/null'); }));
    closeWhenAlone(fd);
    report(fs.fstatSync(fd).size + fs.fstatSync(other).size);`,
    { before: ['sh', '-c', 'ulimit -n 100 && exec "$0" "$@"'] },
  );
  assert.deepEqual(said, ['EMFILE', 8]);
});

test('a descriptor stays open while a handle that came meanwhile has the file open, and is closed later', (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('a'), 'text');
  let meanwhile: number | undefined;
  let own: number | undefined;
  readDatabaseBytes(folder.file('a'), (fd) => {
    own = fd;
    meanwhile = openSync(folder.file('a'), 'r');
  });
  assert.ok(statSync(`/proc/self/fd/${own!}`));
  closeSync(meanwhile!);
  assert.ok(isOpenHere(folder.file('a')));
  writeFileSync(folder.file('b'), '');
  readDatabaseBytes(folder.file('b'), () => {});
  assert.equal(isOpenHere(folder.file('a')), false);
});
