// The package as others get it: packed, installed into an empty folder without a network, imported, required and
// type-checked.
import assert from 'node:assert/strict';
import { globSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { nodeProblem } from '../../lib/values/node-version.ts';
import { installed } from '../support/package.ts';
import { emptyFolder, entryPoints, manifest, node, root, run, tsc } from '../support/project.ts';

const works = { status: 0, stderr: '' };

const { tarball, consumer } = installed();

test('the tarball holds what was built and the texts, and nothing else', () => {
  const rooms = [
    ...['shepherd-store', 'ledger', 'import'], // what is always shipped is one file, and each optional part another
    ...globSync('lib/modules/*/', { cwd: root }).map((path) => path.replace(/^lib\/(.*?)\/?$/, '$1')),
    ...entryPoints.map(({ conditions }) => conditions['default']!.replace(/^\.\/dist\/(.*)\.js$/, '$1')),
  ];
  const command = [
    ...['main', 'program', 'demo-service', 'archive', 'backup', 'facts', 'import', 'ledger', 'limits', 'projects'],
    ...['policy-file', 'renew-identity', 'report', 'runs', 'ship', 'transport', 'vacuum', 'with-ledger'],
    ...['archives', 'facts', 'projects', 'runs'].map((name) => `export-${name}`),
  ];
  const importedLater = globSync('lib/cli/*.ts', { cwd: root }).flatMap((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    return [...text.matchAll(/\bimport\('\.\.\/(.*)\.ts'\)/g)].map(([, imported]) => `dist/${imported}.js`);
  });
  const expected = new Set([
    ...['LICENSE', 'README.md', 'package.json', 'dist/package.json'],
    ...['calendar', 'limit-policy', 'row-reader', 'save-again'].map((name) => `dist/modules/${name}.js`), // shared
    'dist/modules/limit-policy.d.ts', // what limits and report take
    'dist/fleet/postgresql.sql', // the command prints it
    ...globSync('lib/cli/monitoring/*.{service,timer,yml,json}', { cwd: root }) // for systemd, Prometheus and Grafana
      .map((path) => path.replace('lib', 'dist')),
    ...rooms.flatMap((path) => [`dist/${path}.js`, `dist/${path}.d.ts`]),
    ...command.map((name) => `dist/cli/${name}.js`), // nobody imports them
    ...importedLater,
  ]);
  const folder = join(consumer, 'node_modules', manifest.name);
  const entries = globSync('**', { cwd: folder, withFileTypes: true }).filter((entry) => entry.isFile());
  const found = entries.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  assert.deepEqual(found.sort(), [...expected].sort());
  // A command without an optional part loads none.
  const program = readFileSync(join(folder, 'dist/cli/program.js'), 'utf8');
  const imports = [...program.matchAll(/^import\{.*\}from'(.*)';$/gm)].map(([, from]) => from);
  assert.deepEqual(imports, ['../shepherd-store.js']);
});

test('the tarball is smaller than 275 kB', () => {
  const { size } = statSync(tarball);
  assert.ok(size < 275_000, `${size} bytes`);
});

test('a database of the installed package has word for word the schema of one that the sources have made', () => {
  const schema = `
    const store = SqliteStore.open('schema.db');
    store.close();
    const db = new (process.getBuiltinModule('node:sqlite').DatabaseSync)('schema.db');
    console.log(JSON.stringify(db.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name').all()));
    process.getBuiltinModule('node:fs').rmSync('schema.db');`;
  const [ours, theirs] = [manifest.name, pathToFileURL(join(root, 'lib/index.ts')).href].map((specifier) => {
    return node(consumer, '--input-type=module', '-e', `import { SqliteStore } from '${specifier}';${schema}`);
  });
  assert.partialDeepStrictEqual(ours, works);
  assert.ok(JSON.parse(ours!.stdout).length > 20);
  assert.deepEqual(ours, theirs);
});

test('installing it brings no other package', () => {
  assert.deepEqual(
    readdirSync(join(consumer, 'node_modules')).filter((name) => !name.startsWith('.')),
    [manifest.name],
  );
});

for (const { name } of entryPoints) {
  test(`${name} gives the same names to import and to require, without a warning`, () => {
    const imported = node(
      consumer,
      '--input-type=module',
      '-e',
      `console.log(Object.keys(await import('${name}')).sort().join())`,
    );
    const required = node(
      consumer,
      '--input-type=commonjs',
      '-e',
      `console.log(Object.keys(require('${name}')).sort().join())`,
    );
    assert.partialDeepStrictEqual(imported, works);
    assert.match(imported.stdout, /\w/);
    assert.deepEqual(required, imported);
  });
}

test('what is not an entry point cannot be imported, and the door for modules is not among the public names', () => {
  const reach = node(consumer, '--input-type=module', '-e', `
    import * as core from '${manifest.name}';
    const { code } = await import('${manifest.name}/dist/store.js').catch((error) => error);
    console.log(code, 'connect' in core);`);
  assert.deepEqual(reach, { ...works, stdout: 'ERR_PACKAGE_PATH_NOT_EXPORTED false\n' });
});

test('the installed package has its schema and its migrations, and keeps what it is given', () => {
  const use = node(consumer, '--input-type=module', '-e', `
    import { SqliteStore } from '${manifest.name}';
    SqliteStore.open('kiosk/store.db').close();
    SqliteStore.migrate('kiosk/store.db', 0, { force: true });
    const store = SqliteStore.open('kiosk/store.db');
    store.addUsage('minecraft', '2026-11-21', 90_500);
    store.close();
    console.log(SqliteStore.openReadOnly('kiosk/store.db').getUsage('minecraft', '2026-11-21'));`);
  assert.deepEqual(use, { ...works, stdout: '90500\n' });
});

test('the installed package says which Node it needs where Node cannot give it its own modules', () => {
  const load = node(consumer, '--input-type=module', '-e', `
    delete process.getBuiltinModule;
    Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.10.0' } });
    const { name, code, message } = await import('${manifest.name}').catch((error) => error);
    console.log(name, code, message);`);
  assert.deepEqual(load, { ...works, stdout: `StoreError ERR_STORE_UNSUPPORTED ${nodeProblem('20.10.0')}\n` });
});

for (const command of Object.keys(manifest.bin)) {
  test(`the installed command ${command} runs by its name`, () => {
    const help = run(consumer, join(consumer, 'node_modules/.bin', command), '--help');
    assert.partialDeepStrictEqual(help, works);
    assert.match(help.stdout, new RegExp(command));
  });
}

test('a strict TypeScript project type-checks against the declarations, as an ES module and as CommonJS', (t) => {
  const project = emptyFolder(t);
  mkdirSync(join(project, 'node_modules/@types'), { recursive: true });
  symlinkSync(join(consumer, 'node_modules', manifest.name), join(project, 'node_modules', manifest.name));
  symlinkSync(join(root, 'node_modules/@types/node'), join(project, 'node_modules/@types/node'));
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        module: 'nodenext',
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        types: ['node'],
        noEmit: true,
      },
    }),
  );
  writeFileSync(join(project, 'module.mts'), `
    ${entryPoints.map(({ name }, index) => `import * as entry${index} from '${name}';`).join('\n')}
    import { SqliteStore, StoreError, type AuditEvent, type CoreEvent, type StoreErrorCode } from '${manifest.name}';
    type KioskEvent = { type: 'lid_opened'; times: number };
    using store = SqliteStore.open<KioskEvent>('store.db', { clock: () => new Date() });
    const { event }: AuditEvent<KioskEvent> = store.appendAudit({ type: 'lid_opened', times: 2 });
    const times: number = event.type === 'lid_opened' ? event.times : 0;
    const until: Date | undefined = store.getCooldownUntil('minecraft');
    const core: CoreEvent = { type: 'session_started', sessionId: 's1', entryId: 'minecraft' };
    export function codeOf(error: unknown): StoreErrorCode | undefined {
      return error instanceof StoreError ? error.code : undefined;
    }
    export { times, until, core, ${entryPoints.map((_, index) => `entry${index}`).join(', ')} };`);
  writeFileSync(
    join(project, 'common.cts'),
    entryPoints.map(({ name }, index) => `export import entry${index} = require('${name}');`).join('\n'),
  );
  assert.deepEqual(tsc(project), { ...works, stdout: '' });

  writeFileSync(
    join(project, 'wrong.mts'),
    `import { SqliteStore } from '${manifest.name}'; SqliteStore.open('store.db').getUsage(5, '2026-11-21');`,
  );
  assert.match(tsc(project).stdout, /^wrong\.mts.*TS2345/);
});
