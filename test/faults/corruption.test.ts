// Full run: SHEPHERD_CORRUPTIONS=2000 node --test test/faults/corruption.test.ts
//
// Files that are damaged: bits flipped, bytes and pages changed, zeroed, exchanged, ends cut off, files deleted or
// swapped for an older copy; of database, WAL, snapshot and ledger. Whatever is done then may refuse, and may not
// crash, hang, give a wrong value for what verify calls whole, or make it worse. With recover the service gets going,
// and what could not be saved is named.
//
// SHEPHERD_CORRUPTIONS: how many damages; 200 by default. SHEPHERD_CORRUPTIONS_SEED, SHEPHERD_CORRUPTIONS_FROM: repeats
// another run, from one trial on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainEnvironment, Worker } from '../support/child.ts';
import { bases } from '../support/corruption-worker.ts';
import { TestFolder } from '../support/folder.ts';

const count = Number(process.env['SHEPHERD_CORRUPTIONS'] ?? 200);
const seed = Number(process.env['SHEPHERD_CORRUPTIONS_SEED'] ?? 1);
const first = Number(process.env['SHEPHERD_CORRUPTIONS_FROM'] ?? 0);
// Longer than any trial takes on a slow machine; nothing is measured by it.
const hangMs = 60_000;

test('whatever is damaged, nothing crashes, hangs, lies or makes it worse, and recover gets the service '
  + 'going', async (t) => {
  t.diagnostic(`SHEPHERD_CORRUPTIONS=${count} SHEPHERD_CORRUPTIONS_SEED=${seed}`);
  const folder = new TestFolder(t, { checked: false, inMemory: true });
  for (const name of bases) {
    const maker = new Worker(t, 'corruption', ['make', folder.path, name], { env: plainEnvironment() });
    assert.equal((await maker.end()).signal, name.startsWith('killed') ? 'SIGKILL' : null);
  }
  const middle = first + Math.ceil(count / 2);
  await Promise.all(
    [
      [first, middle],
      [middle, first + count],
    ].map(([from, to]) => walk(from!, to!)),
  );
  t.diagnostic(`${count} damages`);

  async function walk(from: number, to: number): Promise<void> {
    const worker = new Worker(t, 'corruption', ['try', folder.path, String(from), String(to), String(seed)], {
      env: plainEnvironment(),
    });
    let seen = -1;
    const watch = setInterval(() => {
      if (worker.lines.length === seen) worker.kill();
      seen = worker.lines.length;
    }, hangMs);
    const { code, signal, errors } = await worker.end();
    clearInterval(watch);
    assert.equal(code, 0, `trial ${worker.lines.at(-1)} ended with ${signal ?? code}: ${errors}`);
    assert.equal(worker.lines.length, to - from);
  }
});
