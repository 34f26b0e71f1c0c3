// A Node that is too old is told which one is needed: by the command, and by the package where it is loaded.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeProblem } from '../../lib/values/node-version.ts';
import { manifest, node, type Outcome, root } from '../support/project.ts';

const tooOld = ['0.12.18', '16.20.2', '20.20.2', '22.4.1', '23.11.0', '24.0.0', '24.14.1', '25.9.0'];
const fine = ['24.15.0', '24.21.3', '26.0.0', '26.10.0', '27.0.0-nightly', '100.0.0'];

test('the versions that will do are those of package.json', () => {
  assert.equal(manifest.engines['node'], '^24.15.0 || >=26.0.0');
  for (const version of tooOld) assert.ok(nodeProblem(version)?.includes(version), version);
  for (const version of fine) assert.equal(nodeProblem(version), undefined, version);
});

/** Runs Node on the sources after `before`, which makes it look like another one. */
function pretending(before: string, ...args: string[]): Outcome {
  return node(root, '--import', `data:text/javascript,${encodeURIComponent(before)}`, ...args);
}

const old = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });";

test('the command says which Node it needs, whatever it was asked for', () => {
  for (const args of [[], ['--version'], ['status', '--db', 'nowhere.db']]) {
    const { status, stdout, stderr } = pretending(old, 'lib/cli/main.ts', ...args);
    assert.deepEqual({ status, stdout }, { status: 1, stdout: '' });
    assert.equal(stderr, `shepherd-store: ${nodeProblem('20.20.2')} (ERR_STORE_UNSUPPORTED)\n`);
  }
  const { status, stderr } = pretending(old, 'lib/cli/main.ts', 'status', '--json');
  const { error } = JSON.parse(stderr) as { error: { code: string } };
  assert.deepEqual([status, error.code], [1, 'ERR_STORE_UNSUPPORTED']);
});

/** What a file imports before any of its lines run, types apart. */
function importedFirst(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^import (?!type )[^;]*?'(.*)';$/gm)].map(([, name]) => name!);
}

test('what the command loads before it knows the version is that alone', () => {
  assert.deepEqual(importedFirst('lib/cli/main.ts'), ['../values/node-version.ts']);
  assert.deepEqual(importedFirst('lib/values/node-version.ts'), []);
});

test('where Node has no SQLite the package says so when it is loaded', () => {
  const url = new URL('../../lib/index.ts', import.meta.url).href;
  const load = `import('${url}').catch(({ code, message }) => console.log(code, message))`;
  for (const without of ['process.getBuiltinModule = () => undefined;', 'delete process.getBuiltinModule;']) {
    const { stdout, stderr } = pretending(`${old} ${without}`, '--input-type=module', '--eval', load);
    assert.deepEqual({ stdout, stderr }, { stdout: `ERR_STORE_UNSUPPORTED ${nodeProblem('20.20.2')}\n`, stderr: '' });
    assert.match(pretending(without, '--input-type=module', '--eval', load).stdout, /^ERR_STORE_UNSUPPORTED .*SQLite/);
  }
});

test('no file imports node:sqlite itself, which would fail before anything is said', () => {
  const files = globSync('lib/**/*.ts', { cwd: root });
  assert.ok(files.length > 50);
  assert.deepEqual(files.filter((file) => importedFirst(file).includes('node:sqlite')), []);
});
