// The sources as they are copied into other projects: the core stands alone.
import assert from 'node:assert/strict';
import { cpSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { programOf } from '../support/fetched.ts';
import { importsOf, sources } from '../support/imports.ts';
import { emptyFolder, manifest, node, type Outcome, readJson, root, run, tsc } from '../support/project.ts';
import { needs } from '../support/tools.ts';

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

/** What a project has to have that type-checks the sources with its own code: lib/README.md says it. */
const requirements = {
  lib: ['es2024'],
  module: 'nodenext',
  types: ['node'],
  allowImportingTsExtensions: true,
  noEmit: true,
};

/** Copies files and folders of the project to an empty folder, with the types of Node beside them. */
function vendor(owner: { after(fn: () => void): void }, paths: readonly string[]): string {
  const folder = emptyFolder(owner);
  for (const path of paths) cpSync(join(root, path), join(folder, path), { recursive: true });
  mkdirSync(join(folder, 'node_modules/@types'), { recursive: true });
  symlinkSync(join(root, 'node_modules/@types/node'), join(folder, 'node_modules/@types/node'));
  return folder;
}

/** What to copy for a purpose, by the table in lib/README.md, where `the core` stands for the row of that name. */
function copied(purpose: string): string[] {
  const readme = readFileSync(join(root, 'lib/README.md'), 'utf8');
  const row = readme.split('\n').find((line) => line.startsWith(`| ${purpose} |`));
  assert.ok(row, purpose);
  const [, , cell = ''] = row.split('|');
  const words = [...cell.matchAll(/`(.*?)`/g)].map(([, word]) => word!);
  const paths = words.flatMap((word) => word === 'schema.sql' ? [word] : globSync(`lib/${word}`, { cwd: root }));
  return cell.includes('the core') ? [...copied('the core'), ...paths] : paths;
}

const purposes: Record<string, string> = {
  'the core': 'lib/index.ts', sessions: 'lib/modules/sessions/sessions.ts', limits: 'lib/modules/limits/limits.ts',
  report: 'lib/modules/report/report.ts', runs: 'lib/modules/runs/runs.ts', facts: 'lib/modules/facts/facts.ts',
  projects: 'lib/modules/projects/projects.ts', backup: 'lib/modules/backup/backup.ts',
  archive: 'lib/modules/archive/archive.ts', outbox: 'lib/modules/outbox/outbox.ts',
  identity: 'lib/modules/identity/identity.ts',
  'the ledger': 'lib/ledger/index.ts', import: 'lib/import/index.ts',
};

/** The files that a file leads to, itself included. */
function closureOf(path: string, found = new Set<string>()): Set<string> {
  if (!path.startsWith('lib/') || found.has(path)) return found;
  found.add(path);
  for (const imported of importsOf(path)) closureOf(imported, found);
  return found;
}

for (const [purpose, entry] of Object.entries(purposes)) {
  test(`what is to be copied for ${purpose} is what it imports, and no folder more`, () => {
    const paths = copied(purpose).map((path) => path.replace(/\/$/, ''));
    const isWithin = (file: string, path: string): boolean => file === path || file.startsWith(`${path}/`);
    const files = [...closureOf(entry, closureOf('lib/index.ts'))];
    assert.deepEqual(files.filter((file) => !paths.some((path) => isWithin(file, path))), []);
    const others = ['schema.sql', 'lib/package.json', 'lib/migrations'];
    const idle = paths.filter((path) => !files.some((file) => isWithin(file, path)));
    assert.deepEqual(idle.sort(), others.sort());
  });
}

test('the table names every folder and file of lib/ that is no document', () => {
  const all = [...Object.keys(purposes), 'the command'].flatMap(copied).map((path) => path.replace(/\/$/, ''));
  const files = globSync('lib/**/*.{ts,sql,json}', { cwd: root });
  assert.deepEqual(files.filter((file) => !all.some((path) => file === path || file.startsWith(`${path}/`))), []);
});

const program = `
  import { SqliteStore } from './lib/index.ts';
  SqliteStore.open('kiosk/store.db').close();
  SqliteStore.migrate('kiosk/store.db', 0, { force: true });
  using store = SqliteStore.open('kiosk/store.db');
  store.appendAudit({ type: 'service_started' });
  store.addUsage('minecraft', '2026-11-21', 90_500);
  store.saveSnapshot({ timestamp: new Date() });
  console.log(store.isHealthy(), store.getUsage('minecraft', '2026-11-21'), (await store.verifyAudit()).ok);`;

const works = { status: 0, stdout: 'true 90500 true\n', stderr: '' };

test('the core, copied to an empty folder, type-checks strictly and runs', (t) => {
  const folder = vendor(t, copied('the core'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const compilerOptions = { ...strictFlags, ...requirements, target: 'es2024' };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  writeFileSync(join(folder, 'main.ts'), program);
  assert.deepEqual(tsc(folder), { ...works, stdout: '' });
  assert.deepEqual(node(folder, 'main.ts'), works);
});

test('all of it type-checks with TypeScript 5.8, and with isolatedDeclarations', needs('typescript 5.8'), (t) => {
  const folder = vendor(t, ['lib', 'schema.sql']);
  const compilerOptions = {
    ...strictFlags, ...requirements, target: 'es2024', declaration: true, isolatedDeclarations: true,
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'wrong.ts'), 'export const wrong = [1].map(String);'); // its type is not written out
  const { stdout } = run(folder, programOf('typescript 5.8', 'tsc'), '-p', '.', '--pretty', 'false');
  assert.match(stdout, /^wrong\.ts\(1,14\): error TS9010: .*\n$/);
});

test('a project of CommonJS requires the core', (t) => {
  const folder = vendor(t, copied('the core'));
  writeFileSync(join(folder, 'package.json'), '{}');
  writeFileSync(join(folder, 'main.js'), `
    const { SqliteStore } = require('./lib/index.ts');
    const store = SqliteStore.open('store.db');
    console.log(store.addUsage('minecraft', '2026-11-21', 90_500));
    store.close();`);
  assert.deepEqual(node(folder, 'main.js'), { ...works, stdout: '90500\n' });
});

test('lib/package.json makes its files modules, and has the version', () => {
  assert.deepEqual(readJson(join(root, 'lib/package.json')), { version: manifest.version, type: 'module' });
});

/** What a command needs that is missing in a copy without any optional folder. */
const leftOut: Record<string, string> = {
  runs: 'modules/runs/runs.ts', run: 'modules/runs/runs.ts', facts: 'modules/facts/facts.ts',
  projects: 'modules/projects/projects.ts', due: 'modules/projects/projects.ts',
  replay: 'ledger/index.ts', 'rebuild-ledger': 'ledger/index.ts', 'rebuild-database': 'ledger/index.ts',
  limits: 'modules/limits/limits.ts',
  'detach-ledger': 'ledger/index.ts', backup: 'modules/backup/backup.ts', restore: 'modules/backup/backup.ts',
  'archive --folder old': 'modules/archive/archive.ts',
  'forget-usage --before 2026-01-01': 'modules/archive/archive.ts',
  'forget-archives --folder old --before 2026-01-01': 'modules/archive/archive.ts', vacuum: 'modules/archive/vacuum.ts',
  'verify --quick --archives old --db kiosk/store.db': 'modules/archive/archive.ts',
  'renew-identity': 'modules/identity/identity.ts', 'ship --to centre -- true': 'modules/outbox/list.ts',
  import: 'import/index.ts', demo: 'modules/sessions/sessions.ts',
  'verify --db kiosk/store.db': 'modules/backup/page-check.ts',
  'verify --quick --ledger audit.jsonl --db kiosk/store.db': 'ledger/index.ts',
  'grant minecraft 30m --ledger audit.jsonl --db kiosk/store.db': 'ledger/index.ts',
};

test('the command, copied with the core alone, does what it can and says what is missing', (t) => {
  const folder = vendor(t, copied('the command'));
  const command = (...args: string[]): Outcome => node(folder, 'lib/cli/main.ts', ...args);
  writeFileSync(join(folder, 'main.ts'), `${program}
    store.saveSnapshot({ timestamp: new Date(), activeSession: {
      sessionId: 's', entryId: 'minecraft', startedAt: new Date(Date.now() - 60_000), warningsIssued: [],
    } });`);
  assert.deepEqual(node(folder, 'main.ts'), works);
  assert.deepEqual(command('--version'), { ...works, stdout: `${manifest.version}\n` });
  const db = ['--db', 'kiosk/store.db'];
  const lookers = ['audit', 'usage', 'cooldowns', 'snapshot', 'anchor', 'balance', 'verify --quick'];
  for (const args of [...lookers, 'migrate', 'grant minecraft -30m']) {
    assert.partialDeepStrictEqual(command(...args.split(' '), ...db), { status: 0, stderr: '' }, args);
  }
  const status = command('status', ...db);
  assert.partialDeepStrictEqual(status, { status: 0, stderr: '' });
  assert.match(status.stdout, /modules\/sessions\/ was left out/);
  assert.equal(JSON.parse(command('status', '--json', ...db).stdout).isSessionCounted, false);
  writeFileSync(join(folder, 'other.db'), 'no database');
  assert.match(command('status', '--db', 'other.db').stderr, /ERR_STORE_NOT_A_STORE/);

  for (const [args, missing] of Object.entries(leftOut)) {
    const { status: code, stderr } = command(...args.split(' '));
    assert.equal(code, 2, args);
    assert.ok(stderr.includes(` needs ${missing}, which was left out of this copy`), `${args}: ${stderr}`);
  }
  const help = command('help').stdout;
  assert.match(help, /^  status /m);
  assert.doesNotMatch(help, /^  (runs|facts|replay|backup|import) /m);
  assert.match(command('completion', 'bash').stdout, /^  status\)$/m);
  assert.doesNotMatch(command('completion', 'bash').stdout, /^  (runs|facts|replay|backup|import)\)$/m);
  assert.match(command('man').stdout, /^\.SS status$/m);
  assert.doesNotMatch(command('man').stdout, /^\.SS (runs|facts|replay|backup|import)$/m);
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
