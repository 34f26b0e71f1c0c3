// What sending costs in syncs, counted from outside by strace: those of ship, and those of the service beside it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { plainEnvironment } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { Companion } from '../support/process.ts';
import { needs } from '../support/tools.ts';
import { readTrace, tracing } from '../support/trace.ts';

const program = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
const calls = ['fsync', 'fdatasync', 'sync_file_range', 'write'];

/** The files that were synced, up to each word that the process has told and that fits. */
function syncs(output: string, folder: string, word: RegExp): string[][] {
  const parts: string[][] = [[]];
  for (const { name, path, args } of readTrace(output)) {
    if (name !== 'write' && path.startsWith(folder)) parts.at(-1)!.push(path === folder ? 'folder' : basename(path));
    else if (name === 'write' && args.startsWith('1<') && word.test(args)) parts.push([]);
  }
  return parts;
}

// The position's own write. Each open syncs the folder, so that the name of the -wal is durable, and SQLite does so too
// with the first commit of a connection.
const ofBatch = ['folder', 'store.db-wal', 'folder'];

test('a batch costs ship one fsync of the -wal, and the service none', needs('strace'), async (t) => {
  const folder = new TestFolder(t);
  const [ofShip, ofService] = [folder.file('ship.trace'), folder.file('service.trace')];
  const service = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    for (let count = 0; count < 50; count++) store.appendAudit({ type: 'service_started' });
    for (let word = 'begin'; word !== 'end' && word !== undefined; word = await told()) {
      if (word === 'write') store.appendAudit({ type: 'service_started' });
      report(word);
    }
    store.close();`, { before: tracing(ofService, calls) });
  await service.next();
  const send = (output: string): void => {
    const take = ['sh', '-c', 'cat >/dev/null'];
    const argv = ['ship', '--db', folder.file(), '--to', 'centre', '--batch', '10', '--', ...take];
    const [file, ...args] = [...tracing(output, calls), process.execPath, program, ...argv];
    const { status, stderr } = spawnSync(file!, args, { encoding: 'utf8', env: plainEnvironment() });
    assert.deepEqual([status, stderr], [0, '']);
  };
  send(ofShip);
  const told = /sent: rows/;
  // What stands before the first word has the outbox that is made, and the first batch.
  const batches = syncs(ofShip, folder.path, told).slice(1, -1);
  assert.deepEqual(batches, Array(4).fill(ofBatch));
  for (let count = 0; count < 5; count++) {
    await service.ask('write');
    send(folder.file('again.trace'));
    await sleep(10);
  }
  await service.ask('write');
  service.tell('end');
  await service.end();
  const writes = syncs(ofService, folder.path, /write/).slice(0, -1);
  assert.deepEqual(writes.slice(1), Array(5).fill(['store.db-wal']));
});
