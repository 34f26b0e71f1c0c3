// How much of the package an operation goes through, counted: a reader has to follow it, and a slow machine too.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test, type TestContext } from 'node:test';
import type { Calls } from '../support/calls-worker.ts';
import { TestFolder } from '../support/folder.ts';

const worker = fileURLToPath(new URL('../support/calls-worker.ts', import.meta.url));

function callsOf(t: TestContext, operation: string): Calls {
  const child = spawnSync(process.execPath, [worker, operation, new TestFolder(t).file()], { encoding: 'utf8' });
  assert.equal(child.status, 0, child.stderr);
  return JSON.parse(child.stdout) as Calls;
}

test('opening a store that was closed as it should be takes 273 calls or fewer', (t) => {
  const { calls, files } = callsOf(t, 'open');
  assert.ok(calls > 50 && calls <= 273, `${calls} calls`);
  assert.ok(files.includes('lib/core/open.ts') && !files.includes('lib/opening/look.ts'), files.join(' '));
});

test('addUsage goes through 8 files', (t) => {
  const { files } = callsOf(t, 'addUsage');
  assert.deepEqual(files, [
    'lib/core/checkpoints.ts', 'lib/core/connection.ts', 'lib/core/statements.ts', 'lib/core/usage.ts',
    'lib/core/watch.ts', 'lib/store.ts', 'lib/values/checks.ts', 'lib/values/days.ts',
  ]);
});
