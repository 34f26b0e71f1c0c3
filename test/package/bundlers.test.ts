// The package inside of one file: what a bundler or a single executable makes of it runs in a folder that is empty.
import assert from 'node:assert/strict';
import { copyFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { programOf } from '../support/fetched.ts';
import { installed } from '../support/package.ts';
import { emptyFolder, manifest, node, type Outcome, run } from '../support/project.ts';
import { needs } from '../support/tools.ts';

/** Uses every part that reads or starts something: all of the SQL, up and down, files, zlib, a thread, an import. */
const program = `
  import { SqliteStore, StoreError } from '${manifest.name}';
  import { archiveAudits } from '${manifest.name}/archive';
  import { backup } from '${manifest.name}/backup';
  import { importStore } from '${manifest.name}/import';
  import { Ledger, verifyParity } from '${manifest.name}/ledger';
  import { RunStore } from '${manifest.name}/runs';
  import { SessionTracker } from '${manifest.name}/sessions';

  async function main() {
    SqliteStore.open('kiosk.db').close();
    SqliteStore.migrate('kiosk.db', 0, { force: true });
    const ledger = Ledger.open('kiosk.jsonl');
    const store = SqliteStore.open('kiosk.db', { ledger });
    store.addUsage('minecraft', '2026-11-21', 90_500);
    new SessionTracker(store).start({ entryId: 'minecraft' });
    store.saveSnapshot({ timestamp: new Date() });
    const { id } = new RunStore(store).createRun({ planPath: 'plan.json' });
    const copy = await backup(store, 'copy.db');
    const none = await archiveAudits(store, { folder: 'archives', upTo: { keepDays: 1 }, gzip: true });
    const { isConsistent } = await verifyParity(store, ledger);
    const refused = await importStore('kiosk.db', 'other.db').catch((error) => error);
    console.log(store.getUsage('minecraft', '2026-11-21'), (await store.verifyAudit()).ok, store.isHealthy());
    console.log(none, typeof id, copy.head.id === store.auditHead().id, isConsistent, refused instanceof StoreError);
    store.close();
  }
  main();`;

const result = { status: 0, stdout: '90500 true true\nundefined string true true true\n', stderr: '' };
const works = { status: 0, stdout: '', stderr: '' };

const { consumer } = installed();
before(() => writeFileSync(join(consumer, 'program.mjs'), program));

/** Runs a file in a folder that has nothing else. */
function alone(owner: { after(fn: () => void): void }, file: string, ...command: string[]): Outcome {
  const folder = emptyFolder(owner);
  copyFileSync(join(consumer, file), join(folder, file));
  return run(folder, command[0] ?? join(folder, file), ...command.slice(1));
}

function esbuild(input: string, output: string, ...options: string[]): void {
  const args = [input, '--bundle', '--platform=node', `--outfile=${output}`, '--log-level=warning', ...options];
  assert.deepEqual(run(consumer, programOf('esbuild'), ...args), works);
}

for (const [format, file] of [['esm', 'bundle.mjs'], ['cjs', 'bundle.cjs']] as const) {
  test(`esbuild makes one file of it that runs by itself, as ${format}`, needs('esbuild'), (t) => {
    esbuild('program.mjs', file, `--format=${format}`);
    assert.deepEqual(alone(t, file, process.execPath, file), result);
  });
}

test('rollup makes one file of it that runs by itself', needs('rollup'), (t) => {
  const resolve = `export default {
    input: 'program.mjs', output: { file: 'rolled.mjs', inlineDynamicImports: true },
    plugins: [{ name: 'resolve', resolveId: (id) => id.startsWith('${manifest.name}')
      ? import.meta.resolve(id).slice('file://'.length) : undefined }],
    onwarn: ({ message }) => { throw new Error(message); },
  };`;
  writeFileSync(join(consumer, 'rollup.config.mjs'), resolve);
  const { status, stderr } = run(consumer, programOf('rollup'), '--config', 'rollup.config.mjs', '--silent');
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
  assert.deepEqual(alone(t, 'rolled.mjs', process.execPath, 'rolled.mjs'), result);
});

/** Makes a single executable of a CommonJS file. Node 26 does it alone; Node 24 needs postject for the last step. */
function makeExecutable(main: string, output: string): void {
  const isBuiltIn = !process.version.startsWith('v24.');
  const settings = { main, disableExperimentalSEAWarning: true, output: isBuiltIn ? output : 'sea.blob' };
  writeFileSync(join(consumer, 'sea.json'), JSON.stringify(settings));
  const option = isBuiltIn ? '--build-sea' : '--experimental-sea-config';
  const made = node(consumer, option, 'sea.json');
  assert.equal(made.status, 0, made.stderr);
  if (isBuiltIn) return;
  copyFileSync(process.execPath, join(consumer, output));
  const fuse = ['--sentinel-fuse', 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'];
  const injected = run(consumer, programOf('postject'), output, 'NODE_SEA_BLOB', 'sea.blob', ...fuse);
  assert.equal(injected.status, 0, injected.stderr);
}

test('a single executable of it runs by itself', needs('esbuild', 'postject'), (t) => {
  esbuild('program.mjs', 'main.cjs', '--format=cjs');
  makeExecutable('main.cjs', 'kiosk');
  assert.deepEqual(alone(t, 'kiosk'), result);
});

/** How many bytes a bundle of one import has, minified. */
function bytesOf(name: string): number {
  writeFileSync(join(consumer, 'one.mjs'), `export { ${name} } from '${manifest.name}';`);
  esbuild('one.mjs', 'one.js', '--format=esm', '--minify');
  return statSync(join(consumer, 'one.js')).size;
}

test('a bundle has no more of it than its program uses', needs('esbuild'), () => {
  const [day, store] = [bytesOf('localDay'), bytesOf('SqliteStore')];
  assert.ok(day <= 3_000, `localDay: ${day} bytes`);
  assert.ok(store <= 146_000, `SqliteStore: ${store} bytes`);
});
