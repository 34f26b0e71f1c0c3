// A folder in which Node keeps compiled code while the tests run: they start some thousand processes, and each of these
// would spend three quarters of its time on compiling the same modules anew
// (https://nodejs.org/api/module.html#module-compile-cache).
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let folder = '';

/** Runs once before all test files (`--test-global-setup`), which inherit the environment. */
export function globalSetup(): void {
  folder = mkdtempSync(join(tmpdir(), 'shepherd-store-compiled-'));
  process.env['SHEPHERD_COMPILE_CACHE'] = folder;
  // Of code that comes out of the cache V8 does not know which branches ran: where coverage is measured, only processes
  // that do not take part in it use the cache.
  if (process.env['NODE_V8_COVERAGE'] === undefined) process.env['NODE_COMPILE_CACHE'] = folder;
  // A killed process leaves nothing in the cache, so it is filled by one that ends by itself.
  const code = ['index', 'ledger/index', 'import/index', 'modules/backup/backup', 'cli/program'].map(
    (name) => `import ${JSON.stringify(new URL(`../../lib/${name}.ts`, import.meta.url).href)};`,
  );
  spawnSync(process.execPath, ['--input-type=module', '--eval', code.join('\n')], {
    env: { ...process.env, NODE_V8_COVERAGE: undefined, NODE_COMPILE_CACHE: folder },
  });
}

export function globalTeardown(): void {
  rmSync(folder, { recursive: true, force: true });
}
