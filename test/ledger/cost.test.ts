// What a ledger costs in syncs, counted from outside by strace: one of the ledger and one of the -wal for each
// acknowledged operation, in this order, whatever its size. It is left out where there is no strace.
import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { test } from 'node:test';
import { plainEnvironment, Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { needs } from '../support/tools.ts';
import { readTrace, tracing } from '../support/trace.ts';

const calls = [
  'fsync',
  'fdatasync',
  'sync_file_range',
  'write',
  'writev',
  'pwrite64',
  'pwritev',
  'ftruncate',
  '/^rename',
  '/^unlink',
];
const count = 20;

test(
  'every operation with a ledger is synced once in the ledger, then once in the -wal; a read syncs and writes nothing',
  needs('strace'),
  async (t) => {
    const folder = new TestFolder(t);
    const output = folder.file('trace');
    const command = tracing(output, calls, '--seccomp-bpf');
    await new Worker(t, 'ledger', ['cost', folder.file(), folder.file('audit.jsonl'), String(count)], {
      command,
      env: plainEnvironment(),
    }).result();
    const steps = new Map<string, string[][]>();
    let current: string[] = [];
    for (const { name, path, args } of readTrace(output)) {
      const [, word] = /^1<[^>]*>, "(.*?)\\n"/.exec(args) ?? [];
      if (word !== undefined) {
        steps.set(word, [...(steps.get(word) ?? []), current]);
        current = [];
      } else if (path.startsWith(folder.path)) {
        const file =
          path === folder.path ? 'folder' : basename(path).endsWith('.tmp') ? 'temporary file' : basename(path);
        const step = /sync/.test(name)
          ? `sync ${file}`
          : /rename|truncate|unlink/.test(name)
            ? `${name} ${file}`
            : `write ${file}`;
        // A write of several calls is one step.
        if (current.at(-1) !== step && !file.endsWith('-shm')) current.push(step);
      }
    }
    const plain = ['write audit.jsonl', 'sync audit.jsonl', 'sync store.db-wal'];
    const file = ['write temporary file', 'sync temporary file'];
    const placed = ['rename store.snapshot.json', 'sync folder'];
    const due: Record<string, string[]> = {
      'one event': plain,
      'a group of fifty': plain,
      'usage': plain,
      'a cooldown': plain,
      'a transaction of five hundred': plain,
      'a snapshot': [...file, 'sync store.db-wal', ...placed],
      'a transaction with a snapshot': [...file, ...plain, ...placed],
      'a cooldown that is none': [],
      'a transaction of nothing': [],
      'a rolled back transaction': [],
      'reads': [],
    };
    assert.deepEqual([...steps.keys()].filter((word) => word !== 'begin').sort(), Object.keys(due).sort());
    for (const [word, wanted] of Object.entries(due)) {
      const found = steps
        .get(word)!
        .map((each) => (wanted.length === 0 ? each : each.filter((step) => step !== 'write store.db-wal')));
      assert.equal(found.length, count);
      // SQLite writes the last frame again, to fill up the sector. The -wal begins anew after a checkpoint; that is the
      // core's cost (test/core/cost.test.ts).
      const usual = found.filter((each) => !each.some((step) => step.endsWith(' store.db')));
      const isCheckpoint = (each: string[]): boolean => each.join() !== wanted.join();
      assert.ok(
        usual.filter(isCheckpoint).length <= Math.ceil(count / 10),
        `${word}: ${JSON.stringify(usual.find(isCheckpoint))}`,
      );
      for (const each of found) {
        assert.equal(
          each.filter((step) => step === 'sync audit.jsonl').length,
          wanted.filter((step) => step === 'sync audit.jsonl').length,
          word,
        );
      }
    }
  },
);
