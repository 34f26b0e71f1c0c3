import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { TestFolder } from '../support/folder.ts';

const root = new URL('../../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');

/** Resolves the package's own name as an installation would, but to the source. */
const preload = `
  import { readFileSync } from 'node:fs';
  import { registerHooks } from 'node:module';
  const root = ${JSON.stringify(root.href)};
  const { exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
  registerHooks({
    resolve(specifier, context, next) {
      const entry = exports[specifier.replace('shepherd-store', '.')];
      const source = entry?.default.replace('./dist/', './lib/').replace(/js$/, 'ts');
      return next(entry ? new URL(source, root).href : specifier, context);
    },
  });`;

const examples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1]!);

/** Runs an example as a file in a folder, and gives what it printed. */
function runExample(folder: TestFolder, example: string): string {
  writeFileSync(folder.file('example.mts'), example);
  const child = spawnSync(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(preload)}`, 'example.mts'],
    { cwd: folder.path, encoding: 'utf8' },
  );
  assert.equal(child.status, 0, `${example}\n${child.stderr}`);
  return child.stdout;
}

test('the examples of the README run as they stand, one after the other in one folder', (t) => {
  const folder = new TestFolder(t);
  assert.ok(examples.length >= 5, `${examples.length} examples found`);
  for (const example of examples) runExample(folder, example);
  assert.ok(existsSync(folder.file('kiosk/kiosk.db')));
});

test('the example of a thread that reads beside the writer sees a whole log while the main thread writes on', (t) => {
  const folder = new TestFolder(t);
  const [example] = examples.filter((text) => text.includes('node:worker_threads'));
  // The main thread writes until it has the report: whatever the other one read, it read between two writes.
  const [, usageMs] = /^\{ ok: true, usageMs: (\d+) \}$/m.exec(runExample(folder, example!)) ?? [];
  using store = SqliteStore.open(folder.file('kiosk/kiosk.db'));
  assert.ok(store.getUsage('tuxmath', '2026-11-21') >= Number(usageMs), usageMs);
});

test('the README names every error code, and no other', () => {
  const source = readFileSync(new URL('lib/values/errors.ts', root), 'utf8');
  const codes = (text: string): string[] => [...new Set(text.match(/ERR_STORE_[A-Z_]+/g))].sort();
  assert.deepEqual(codes(readme), codes(source));
});

test('the README names every public method of the store and of its modules', () => {
  const names = [
    SqliteStore,
    SqliteStore.prototype,
    SessionTracker.prototype,
    RunStore.prototype,
    FactStore.prototype,
    ProjectStore.prototype,
  ].flatMap((owner) => Object.getOwnPropertyNames(owner));
  for (const name of names.filter((each) => !['constructor', 'prototype', 'length', 'name'].includes(each))) {
    assert.match(readme, new RegExp(`\\b${name}\\b`), name);
  }
});

test('lib/README.md names every room and every file to read first, and each file says what it is for', () => {
  const house = readFileSync(new URL('lib/README.md', root), 'utf8');
  for (const entry of readdirSync(new URL('lib/', root), { withFileTypes: true })) {
    if (entry.name === 'README.md') continue;
    const name = entry.isDirectory() ? `${entry.name}/` : entry.name;
    assert.ok(house.includes(`\`${name}\``), name);
  }
  for (const path of globSync('lib/**/*.ts', { cwd: fileURLToPath(root) })) {
    assert.match(readFileSync(new URL(path, root), 'utf8'), /^(#!.*\n)?\/\/ [A-Z`]/, path);
  }
  assert.match(readme, /\]\(lib\/README\.md\)/);
});

test('what the README says of the cost is what the shown result of the benchmark has', () => {
  const cellsOf = (text: string): string[][] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .map((line) =>
        line
          .split('|')
          .map((cell) => cell.trim())
          .slice(1, -1),
      );
  const result = cellsOf(readFileSync(new URL('test/bench/README.md', root), 'utf8'));
  const [, , ...told] = cellsOf(/^## What it costs$.*?^## /ms.exec(readme)![0]);
  assert.equal(told.length, 10);
  for (const [what, beside, ...values] of told) {
    const [, , unit, ours, theirs, ratio] = result.find((row) => row[0] === what && row[1] === beside) ?? [];
    assert.deepEqual(values, [`${ours} ${unit}`, `${theirs} ${unit}`, ratio], what);
  }
});
