// The sources as they are copied into other projects: the core stands alone.
import assert from 'node:assert/strict';
import { cpSync, globSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { importsOf, sources } from '../support/imports.ts';
import { emptyFolder, node, readJson, root, tsc } from '../support/project.ts';

/** Every flag of the compiler that makes it stricter, and what Node needs to run the files as they are. */
const strictFlags = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noFallthroughCasesInSwitch: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  noUncheckedSideEffectImports: true,
  allowUnreachableCode: false,
  allowUnusedLabels: false,
  skipLibCheck: false,
  erasableSyntaxOnly: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
};

test('the project itself is compiled with every strict flag', () => {
  const { compilerOptions } = readJson(join(root, 'tsconfig.json')) as { compilerOptions: Record<string, unknown> };
  assert.partialDeepStrictEqual(compilerOptions, strictFlags);
});

test('the core, copied with the schema and the migrations to an empty folder, type-checks strictly and runs', (t) => {
  const folder = emptyFolder(t);
  mkdirSync(join(folder, 'lib'));
  const rooms = ['core', 'values', 'opening', 'recovery', 'reading', 'migrate', 'verify', 'migrations'];
  for (const path of [...globSync('lib/*.ts', { cwd: root }), ...rooms.map((room) => `lib/${room}`), 'schema.sql']) {
    cpSync(join(root, path), join(folder, path), { recursive: true });
  }
  mkdirSync(join(folder, 'node_modules/@types'), { recursive: true });
  symlinkSync(join(root, 'node_modules/@types/node'), join(folder, 'node_modules/@types/node'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        ...strictFlags,
        target: 'es2024',
        lib: ['es2024', 'esnext.disposable'],
        module: 'nodenext',
        types: ['node'],
        allowImportingTsExtensions: true,
        noEmit: true,
      },
    }),
  );
  writeFileSync(join(folder, 'main.ts'), `
    import { SqliteStore } from './lib/index.ts';
    SqliteStore.open('kiosk/store.db').close();
    SqliteStore.migrate('kiosk/store.db', 0, { force: true });
    using store = SqliteStore.open('kiosk/store.db');
    store.appendAudit({ type: 'service_started' });
    store.addUsage('minecraft', '2026-11-21', 90_500);
    store.saveSnapshot({ timestamp: new Date() });
    console.log(store.isHealthy(), store.getUsage('minecraft', '2026-11-21'), (await store.verifyAudit()).ok);`);
  assert.deepEqual(tsc(folder), { status: 0, stdout: '', stderr: '' });
  assert.deepEqual(node(folder, 'main.ts'), { status: 0, stdout: 'true 90500 true\n', stderr: '' });
});

test('nothing is imported but built-in modules of Node, by their full names, and files of lib/', () => {
  for (const path of sources) {
    for (const imported of importsOf(path)) {
      assert.ok(
        sources.includes(imported) || (imported.startsWith('node:') && isBuiltin(imported)),
        `${path} imports ${imported}`,
      );
    }
  }
});

test('no file has a top-level await, which would shut out require()', () => {
  const script = `
    import { readFileSync } from 'node:fs';
    import { stripTypeScriptTypes } from 'node:module';
    import { SourceTextModule } from 'node:vm';
    const waits = (text) => new SourceTextModule(stripTypeScriptTypes(text)).hasTopLevelAwait();
    if (!waits('await 0;')) throw new Error('a top-level await is not noticed');
    console.log(process.argv.slice(1).filter((path) => waits(readFileSync(path, 'utf8'))).join());`;
  const found = node(
    root,
    '--no-warnings',
    '--experimental-vm-modules',
    '--input-type=module',
    '-e',
    script,
    ...sources,
  );
  assert.deepEqual(found, { status: 0, stdout: '\n', stderr: '' });
});
