import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker as Thread } from 'node:worker_threads';
import { Worker, workerFile } from './support/child.ts';
import { TestFolder } from './support/folder.ts';
import { Companion } from './support/process.ts';

const day = '2026-11-21';

/** Starts workers and lets them go at the same moment. */
async function together(workers: Worker[]): Promise<void> {
  for (const worker of workers) await worker.told(1);
  for (const worker of workers) worker.go();
  for (const worker of workers) await worker.result();
}

test('processes that make and write one store at once lose nothing, take turns and keep one chain', async (t) => {
  const folder = new TestFolder(t);
  const count = 150;
  const names = ['a', 'b', 'c'];
  await together(names.map((name) => new Worker(t, 'store', ['write', folder.file(), name, String(count)])));

  const store = folder.open();
  assert.equal(store.recovery, undefined);
  assert.equal(store.getUsage('shared', day), (names.length * (count * (count + 1))) / 2);
  for (const source of names) {
    const numbers = store
      .getRecentAudits(1_000, { source })
      .map(({ event }) => event.type === 'policy_loaded' && event.entryCount);
    assert.deepEqual(
      numbers.reverse(),
      Array.from({ length: count }, (_, index) => index + 1),
    );
  }
  const { findings, checked } = await store.verifyAudit();
  assert.deepEqual({ findings, checked }, { findings: [], checked: names.length * count });
  store.close();
  assert.deepEqual(readdirSync(folder.path), ['store.db']);
});

test('a writer past its timeout is refused as busy, reads on, and can write once the lock is free', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ busyTimeoutMs: 50 });
  store.addUsage('a', day, 1);
  const worker = new Worker(t, 'store', ['hold', folder.file()]);
  await worker.told(1);
  const busy = { code: 'ERR_STORE_BUSY' };
  assert.throws(() => store.addUsage('a', day, 1), busy);
  assert.throws(() => store.appendAudit({ type: 'service_started' }), busy);
  assert.throws(() => store.saveSnapshot({ timestamp: new Date() }), busy);
  assert.throws(() => store.transaction(() => assert.fail('it never had the lock')), busy);
  assert.equal(store.getUsage('a', day), 1);
  assert.equal(store.getUsage('held', day), 0);
  assert.equal(store.loadSnapshot(), undefined);
  assert.ok(store.isHealthy());
  worker.go();
  await worker.result();
  assert.equal(store.addUsage('a', day, 1), 2);
  assert.equal(store.addUsage('held', day, 1), 2);
  store.saveSnapshot({ timestamp: new Date() });
  assert.deepEqual(store.health().findings, []);
  assert.deepEqual(readdirSync(folder.path).filter((name) => name.endsWith('.tmp')), []);
});

test('a process that dies with the write lock frees it, and what it had not committed is gone', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ busyTimeoutMs: 5_000 });
  const worker = new Worker(t, 'store', ['hold', folder.file()]);
  await worker.told(1);
  worker.kill();
  assert.equal((await worker.end()).signal, 'SIGKILL');
  assert.equal(store.addUsage('held', day, 2), 2);
});

test('two processes that save snapshots at once never put an older file over a newer one', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const count = 60;
  const file = folder.file('store.snapshot.json');
  const watcher = new Worker(t, 'store', ['watch', file, String(2 * count)]);
  const savers = ['a', 'b'].map(
    (name, index) => new Worker(t, 'store', ['save', folder.file(), name, String(count), String(index)]),
  );
  await together(savers);
  for (const { lines } of savers) assert.deepEqual(lines, ['ready', '[]']);

  const [, ...generations] = await watcher.result();
  const numbers = generations.map(Number);
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
  assert.equal(numbers.at(-1), 2 * count);
  t.diagnostic(`${numbers.length} of ${2 * count} generations seen`);
  assert.deepEqual(readdirSync(folder.path).filter((name) => name.endsWith('.tmp')), []);
});

test('a store opened while another process saves takes away no file that it is about to put in place', async (t) => {
  const folder = new TestFolder(t);
  const faults = join(folder.path, 'faults');
  folder.open().close();
  const saver = new Companion(t, folder.file(), `
    const { subscribe } = await import('node:diagnostics_channel');
    subscribe('shepherd-store:fault', ({ message }) => fs.appendFileSync(${JSON.stringify(faults)}, message + '\\n'));
    const store = SqliteStore.open(path, { busyTimeoutMs: 60_000 });
    report('ready');
    for (let count = 0; count < 400; count++) store.saveSnapshot({ timestamp: new Date() });
    store.close();
    report('done');`);
  await saver.next();
  let running = true;
  void saver.next().then(() => (running = false));
  // SQLite's lock is not fair, and both want it all the time.
  for (; running; await nextTurn()) folder.open({ busyTimeoutMs: 60_000 }).close();
  assert.equal(existsSync(faults) ? readFileSync(faults, 'utf8') : '', '');
  assert.deepEqual(readdirSync(folder.path), ['store.db', 'store.snapshot.json']);
});

test('readers in another process and in a thread of the same one see a whole log beside the writer', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const count = 800;
  const args = [folder.file(), String(count)];
  const child = new Worker(t, 'reader', args);
  const thread = new Thread(workerFile('reader'), { workerData: args });
  const threadEnd = once(thread, 'exit');
  await once(thread, 'online');
  for (let number = 1; number <= count; number++) {
    store.transaction(() => {
      store.appendAudit({ type: 'policy_loaded', entryCount: number });
      store.addUsage('shared', day, 1);
    });
    if (number % 10 === 0) await nextTurn();
  }
  assert.deepEqual(await threadEnd, [0]);
  await child.result();
  // A reader that ends must not take the writer's locks along: POSIX drops a process's locks when it closes any
  // descriptor.
  store.transaction(() => {
    store.addUsage('shared', day, 1);
    const { stdout, stderr } = spawnSync(process.execPath, [workerFile('store'), 'try', folder.file()], {
      encoding: 'utf8',
    });
    assert.equal(stdout, 'ERR_STORE_BUSY\n', stderr);
  });
});
