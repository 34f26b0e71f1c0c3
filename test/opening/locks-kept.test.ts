// A process keeps the locks that it has on its database whatever else it does with that file: POSIX locks belong to a
// process and a file, and closing any descriptor of the file drops them all.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, cpSync, readFileSync, renameSync, symlinkSync } from 'node:fs';
import { test } from 'node:test';
import { Worker as Thread } from 'node:worker_threads';
import { SqliteStore } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';
import { Companion, run } from '../support/process.ts';

const day = '2026-11-21';
const library = new URL('../../lib/', import.meta.url);

/** A service that writes, and looks at its own file in whatever way it is told. */
const service = `
  const store = SqliteStore.open(path);
  report(store.auditHead().id);
  const look = (index, at) => {
    using reader = index.SqliteStore.openReadOnly(at);
    reader.isHealthy();
    return reader.health().journalMode;
  };
  const { Worker } = await import('node:worker_threads');
  const { once } = await import('node:events');
  for (;;) {
    const [word, url, at] = JSON.parse(await told());
    if (word === 'end') break;
    if (word === 'write') {
      for (let i = 0; i < 60; i++) store.appendAudit({ type: 'service_started' });
      report({ id: store.auditHead().id, healthy: store.isHealthy() });
    } else if (word === 'code') report(codeOf(() => store.appendAudit({ type: 'service_started' })));
    else if (word === 'copy') report(look(await import(url), at));
    else {
      const code = \`import { SqliteStore } from '\${url}'; import { parentPort } from 'node:worker_threads';
        const look = \${look}; parentPort.postMessage(look({ SqliteStore }, '\${at}'));\`;
      const thread = new Worker(new URL('data:text/javascript,' + encodeURIComponent(code)));
      report((await once(thread, 'message'))[0]);
      await thread.terminate();
    }
  }`;

type Look = [word: 'copy' | 'thread', url: string, at: string];
const looks: [who: string, prepare: (folder: TestFolder) => Look][] = [
  ['a worker thread', (folder) => ['thread', new URL('index.ts', library).href, folder.file()]],
  ['a second copy of the package', (folder) => {
    cpSync(library, folder.file('copy/lib'), { recursive: true });
    copyFileSync(new URL('../schema.sql', library), folder.file('copy/schema.sql'));
    return ['copy', new URL(`file://${folder.file('copy/lib/index.ts')}`).href, folder.file()];
  }],
  ['the same process by a linked folder', (folder) => {
    symlinkSync('.', folder.file('link'));
    return ['copy', new URL('index.ts', library).href, folder.file('link/store.db')];
  }],
];
const visits: [what: string, code: string][] = [
  ['opens the store', 'SqliteStore.open(path).close();'],
  ['opens it with recover', 'SqliteStore.open(path, { recover: true }).close();'],
  ['asks for its health', 'const store = SqliteStore.openReadOnly(path); store.health(); store.close();'],
  ['migrates it', 'codeOf(() => SqliteStore.migrate(path, 6));'],
];

for (const [who, prepare] of looks) {
  for (const [what, visit] of visits) {
    test(`nothing is lost after ${who} asked for the health of an open store and another process `
      + `${what}`, async (t) => {
      const folder = new TestFolder(t);
      const made = SqliteStore.open(folder.file());
      for (let count = 0; count < 5; count++) made.appendAudit({ type: 'service_started' });
      made.close(); // the service's -wal is empty then: the mode in which the file is read without a lock
      const companion = new Companion(t, folder.file(), service);
      assert.equal(await companion.next(), 5);
      assert.equal(await companion.ask(JSON.stringify(prepare(folder))), 'wal');
      run(folder.file(), visit);
      const { id, healthy } = (await companion.ask('["write"]')) as { id: number; healthy: boolean };
      assert.deepEqual({ id, healthy }, { id: 65, healthy: true });
      await companion.kill();
      using store = folder.open();
      assert.equal(store.auditHead()!.id, 65);
      assert.equal(store.recovery, undefined);
    });
  }
}

test('a -wal that was exchanged for a copy of itself stops the next write and is told', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.addUsage('minecraft', day, 1_000);
  copyFileSync(folder.file('store.db-wal'), folder.file('copy'));
  renameSync(folder.file('copy'), folder.file('store.db-wal'));
  assert.throws(() => store.addUsage('minecraft', day, 1_000), { code: 'ERR_STORE_IO' });
  assert.equal(store.isHealthy(), false);
  assert.ok(store.health().findings.some(({ kind }) => kind === 'replaced'));
});

test('a -wal is the same one to a store when other handles of the process have come and gone', (t) => {
  const folder = new TestFolder(t);
  const first = SqliteStore.open(folder.file());
  const store = folder.open();
  for (let i = 0; i < 3; i++) {
    using other = SqliteStore.open(folder.file());
    other.addUsage('minecraft', day, 1_000);
    store.addUsage('minecraft', day, 1_000);
  }
  first.close();
  readFileSync(import.meta.filename);
  assert.equal(store.addUsage('minecraft', day, 1_000), 7_000);
  assert.ok(store.isHealthy());
});

test('a store that another thread reads is busy to a writer of this process until that thread closes it', async (t) => {
  const folder = new TestFolder(t);
  const other = new Companion(
    t,
    folder.file(),
    "SqliteStore.open(path).appendAudit({ type: 'service_started' }); report('open'); await told();",
  );
  await other.next();
  const thread = new Thread(
    `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.index).then(({ SqliteStore }) => {
      const store = SqliteStore.openReadOnly(workerData.path);
      parentPort.postMessage(store.auditHead().id);
      parentPort.once('message', () => { store.close(); parentPort.postMessage('closed'); });
    });`,
    { eval: true, workerData: { index: new URL('index.ts', library).href, path: folder.file() } },
  );
  t.signal.addEventListener('abort', () => void thread.terminate());
  assert.deepEqual(await once(thread, 'message'), [1]);
  assert.throws(() => folder.open(), { code: 'ERR_STORE_BUSY' });
  thread.postMessage('close');
  assert.deepEqual(await once(thread, 'message'), ['closed']);
  assert.equal(folder.open().appendAudit({ type: 'service_started' }).id, 2);
});
