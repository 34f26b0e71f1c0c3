// Full run: SHEPHERD_FULL_DISK=1 node --test test/faults/archive-disk.test.ts
//
// Archiving on a file system that is really full. SHEPHERD_FULL_DISK: the portion of the amounts of free space that is
// tried, in steps of 4 KiB from none to enough, some 300; 0.03 by default. SHEPHERD_FULL_DISK_SEED repeats another run.
// It mounts, in a user namespace where that is refused otherwise, and is left out where that is refused too.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { plainEnvironment, Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { unsharing } from '../support/process.ts';
import { needs } from '../support/tools.ts';

const portion = process.env['SHEPHERD_FULL_DISK'] ?? '0.03';
const seed = process.env['SHEPHERD_FULL_DISK_SEED'] ?? '1';

test(
  'with every amount of free space a log is archived, or that is ERR_STORE_DISK_FULL, each row is in the log or in a '
    + 'file, and the next archiving with room finishes',
  needs('mount'),
  async (t) => {
    t.diagnostic(`SHEPHERD_FULL_DISK=${portion} SHEPHERD_FULL_DISK_SEED=${seed}`);
    const folder = new TestFolder(t, { inMemory: true });
    mkdirSync(folder.file('mount'));
    const args = [folder.file('mount'), folder.file('elsewhere'), portion, seed];
    const worker = new Worker(t, 'archive-disk', args, { command: unsharing(), env: plainEnvironment() });
    const { code, errors } = await worker.end();
    assert.equal(code, 0, `${worker.lines.at(-1)}: ${errors}`);
    const counts = JSON.parse(worker.lines.at(-1)!) as Record<string, number>;
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    t.diagnostic(`${total} amounts of space: ${JSON.stringify(counts)}`);
    assert.equal(Object.keys(counts).length, 3);
  },
);
