// The installed package where programs run: in a thread, under the test runners of others, under Deno and Bun.
import assert from 'node:assert/strict';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Fetched, programOf } from '../support/fetched.ts';
import { installed } from '../support/package.ts';
import { emptyFolder, manifest, node, run } from '../support/project.ts';
import { needs } from '../support/tools.ts';

/** Uses the SQL of every step, up and down, and compares what comes back. */
const useOfTheCore = `
  SqliteStore.open(path).close();
  SqliteStore.migrate(path, 0, { force: true });
  const store = SqliteStore.open(path);
  store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', '2026-11-21', 90_500);
  store.saveSnapshot({ timestamp: new Date() });
  const { ok } = await store.verifyAudit();
  const result = [store.isHealthy(), store.getUsage('minecraft', '2026-11-21'), store.loadSnapshot() !== undefined, ok];
  store.close();`;

const works = { status: 0, stdout: 'true,90500,true,true\n', stderr: '' };

const { consumer } = installed();

/** A folder that has the package and these files. */
function projectWith(owner: { after(fn: () => void): void }, files: Record<string, string>): string {
  const folder = emptyFolder(owner);
  symlinkSync(join(consumer, 'node_modules'), join(folder, 'node_modules'));
  // Deno takes nothing from node_modules where there is no package.json.
  const all = { 'package.json': '{ "private": true }', ...files };
  for (const [name, text] of Object.entries(all)) writeFileSync(join(folder, name), text);
  return folder;
}

test('it is required by CommonJS and used there', (t) => {
  const folder = projectWith(t, { 'main.cjs': `
    const { SqliteStore } = require('${manifest.name}');
    (async () => { const path = 'kiosk.db'; ${useOfTheCore} console.log(String(result)); })();` });
  assert.deepEqual(node(folder, 'main.cjs'), works);
});

test('a worker thread uses it beside the main thread', (t) => {
  const folder = projectWith(t, { 'main.mjs': `
    import { Worker, isMainThread, parentPort } from 'node:worker_threads';
    import { SqliteStore } from '${manifest.name}';
    const path = 'kiosk.db';
    if (isMainThread) {
      const store = SqliteStore.open(path);
      new Worker(new URL(import.meta.url)).once('message', (usageMs) => {
        console.log(usageMs, store.addUsage('minecraft', '2026-11-21', 1));
        store.close();
      });
    } else {
      const store = SqliteStore.open(path);
      parentPort.postMessage(store.addUsage('minecraft', '2026-11-21', 90_500));
      store.close();
    }` });
  assert.deepEqual(node(folder, 'main.mjs'), { ...works, stdout: '90500 90501\n' });
});

for (const [name, ...args] of [['deno', 'run', '--allow-all'], ['bun', 'run']] as [Fetched, ...string[]][]) {
  test(`${name} runs the core as it is`, needs(name), (t) => {
    const folder = projectWith(t, { 'main.mjs': `
      import { SqliteStore } from '${manifest.name}';
      const path = 'kiosk.db'; ${useOfTheCore} console.log(String(result));` });
    const home = [`HOME=${folder}`, `XDG_CACHE_HOME=${folder}`]; // for what it keeps of its own
    assert.deepEqual(run(folder, 'env', ...home, programOf(name), ...args, 'main.mjs'), works);
  });
}

/** A test file for Jest and Vitest: `load` gives it the package, and what else it needs. */
function testFile(path: string, load: string): string {
  // A line that began with the call of a test would count as one of this file's, which never ran (support/all-ran.ts).
  const theirs = `test('it works here, and its errors are its own', async () => {
    const path = '${path}'; ${useOfTheCore}
    expect(result).toEqual([true, 90_500, true, true]);
    expect(() => SqliteStore.open('/dev/null/kiosk.db')).toThrow(StoreError);
  });`;
  return `${load}\n${theirs}`;
}

const names = '{ SqliteStore, StoreError }';

test('Jest 30 runs it, imported and required', needs('jest'), (t) => {
  const folder = projectWith(t, {
    'package.json': '{ "jest": { "testMatch": ["**/*.test.[cm]js"], "transform": {} } }',
    'module.test.mjs': testFile('module.db', `import ${names} from '${manifest.name}';`),
    'common.test.cjs': testFile('common.db', `const ${names} = require('${manifest.name}');`),
  });
  const { stdout, stderr } = node(folder, '--experimental-vm-modules', programOf('jest'), '--json', '--no-cache');
  assert.partialDeepStrictEqual(JSON.parse(stdout), { success: true, numPassedTests: 2, numTotalTests: 2 }, stderr);
});

for (const pool of ['forks', 'threads', 'vmThreads']) {
  test(`Vitest 4 runs it in its pool ${pool}`, needs('vitest'), (t) => {
    const folder = projectWith(t, {
      'store.test.mjs': testFile('kiosk.db', `
        import { expect, test } from 'vitest';
        import ${names} from '${manifest.name}';`),
    });
    const { stdout, stderr } = run(folder, programOf('vitest'), 'run', `--pool=${pool}`, '--reporter=json');
    assert.partialDeepStrictEqual(JSON.parse(stdout), { success: true, numPassedTests: 1, numTotalTests: 1 }, stderr);
  });
}
