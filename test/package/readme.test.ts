// What the documents say: their length, their links, and the names and numbers that also stand elsewhere.
import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { documentAt, documents } from '../support/documents.ts';
import { manifest, root } from '../support/project.ts';

const readme = documentAt('README.md');

/** The words of a text: what has a letter or a digit in it. */
function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => /[\p{L}\d]/u.test(word));
}

test('the README is short, and no line of a document that is not of a table has more than 120 columns', (t) => {
  const columns = (line: string): number => [...line].length;
  const words = wordsOf(readme.text).length;
  const longest = Math.max(...readme.lines.map(columns));
  t.diagnostic(`README.md: ${words} words, ${readme.lines.length - 1} lines, the longest of ${longest} columns`);
  assert.ok(words <= 1_900, `${words} words`);
  assert.ok(longest <= 120, `${longest} columns`);
  for (const { path, lines } of documents) {
    assert.deepEqual(lines.filter((line) => columns(line) > 120 && !line.startsWith('|')), [], path);
  }
});

/** The address that GitHub gives a heading. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replaceAll(/[^\p{L}\d\s_-]/gu, '').trim().replaceAll(' ', '-');
}

test('every link of a document leads to a file of the project, and to a heading that is there', () => {
  for (const { path, text } of documents) {
    for (const [, target, anchor] of text.matchAll(/\]\(([^)#\s]*)(?:#([^)]+))?\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const file = target === '' ? path : posix.join(posix.dirname(path), target!);
      assert.ok(existsSync(join(root, file)), `${path} links to ${target}`);
      if (anchor === undefined) continue;
      const headings = documentAt(file).lines.filter((line) => /^#+ /.test(line)).map((line) => anchorOf(line));
      assert.ok(headings.includes(anchor), `${path} links to #${anchor}`);
    }
  }
});

test('the README leads to every other document but those of the fixtures, and its contents to its sections', () => {
  for (const { path } of documents.filter(({ path }) => path !== 'README.md' && !path.startsWith('test/fixtures/'))) {
    assert.ok(readme.text.includes(`](${path})`), path);
  }
  const [contents] = readme.text.split(/^## /m);
  const headings = readme.lines.filter((line) => line.startsWith('## ')).map((line) => anchorOf(line));
  assert.deepEqual([...contents!.matchAll(/\]\(#([^)]+)\)/g)].map((match) => match[1]), headings);
});

test('every module, the ledger, the import and the command have a document beside their code', () => {
  const folders = [...globSync('lib/modules/*/', { cwd: root }), 'lib/ledger', 'lib/import', 'lib/cli'];
  for (const folder of folders) assert.ok(existsSync(join(root, folder, 'README.md')), folder);
});

test('the README names every error code, and the documents no other', () => {
  const codes = (text: string): string[] => [...new Set(text.match(/ERR_STORE_[A-Z_]+/g))].sort();
  const known = codes(readFileSync(join(root, 'lib/values/errors.ts'), 'utf8'));
  assert.deepEqual(codes(readme.text), known);
  assert.deepEqual(codes(documents.map(({ text }) => text).join()), known);
});

test('every public method stands in the document beside its code', () => {
  const owners: [string, object[]][] = [
    ['lib/core/README.md', [SqliteStore, SqliteStore.prototype]],
    ['lib/modules/sessions/README.md', [SessionTracker.prototype]],
    ['lib/modules/runs/README.md', [RunStore.prototype]],
    ['lib/modules/facts/README.md', [FactStore.prototype]],
    ['lib/modules/projects/README.md', [ProjectStore.prototype]],
  ];
  for (const [path, objects] of owners) {
    const names = objects.flatMap((owner) => Object.getOwnPropertyNames(owner));
    const ofLanguage = ['constructor', 'prototype', 'length', 'name'];
    // The last one is for the command alone, and in no declaration that is shipped.
    for (const name of names.filter((each) => ![...ofLanguage, 'openAsGuest'].includes(each))) {
      assert.match(documentAt(path).text, new RegExp(`\\b${name}\\b`), name);
    }
  }
});

test('every public name of eight optional parts stands in the document beside its code', async () => {
  const entries = {
    'lib/ledger': 'index', 'lib/modules/backup': 'backup', 'lib/modules/limits': 'limits',
    'lib/modules/archive': 'archive', 'lib/modules/outbox': 'outbox', 'lib/modules/identity': 'identity',
    'lib/modules/report': 'report', 'lib/import': 'index',
  };
  for (const [folder, file] of Object.entries(entries)) {
    const names = Object.keys((await import(join(root, folder, `${file}.ts`))) as object);
    assert.ok(names.length > 0);
    for (const name of names) assert.match(documentAt(`${folder}/README.md`).text, new RegExp(`\\b${name}\\b`), name);
  }
});

/** The rows of the tables in a text, without their heads. */
function rowsOf(text: string): string[][] {
  return text.split('\n').filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()).slice(1, -1))
    .filter((cells) => !cells.every((cell) => /^:?-*:?$/.test(cell)));
}

/** The kinds of a finding in a source text: the words of the union that this name has. */
function kindsIn(path: string): string[] {
  const [, union] = /^  kind:(.*?);$/ms.exec(readFileSync(join(root, path), 'utf8'))!;
  return Array.from(union!.matchAll(/'([a-z-]+)'/g), ([, kind]) => kind!);
}

test('every kind of finding is explained where the core is, and no other', () => {
  const sources = { 'verifyAudit': 'lib/verify/chain-walk.ts', 'health()': 'lib/core/faults.ts' };
  for (const [name, path] of Object.entries(sources)) {
    const [, table] = documentAt('lib/core/README.md').text.split(`| finding of \`${name}\` |`);
    const cells = rowsOf(table!.split('\n\n')[0]!).map(([kinds]) => kinds!);
    assert.deepEqual(cells.flatMap((cell) => cell.match(/[a-z-]+/g)).sort(), kindsIn(path).sort());
  }
});

test('every command stands in the document beside its code', () => {
  const { text } = documentAt('lib/cli/README.md');
  const names = globSync('lib/cli/*.ts', { cwd: root })
    .flatMap((path) => [...readFileSync(join(root, path), 'utf8').matchAll(/^  name: '([a-z-]+)',$/gm)])
    .map((match) => match[1]!);
  assert.ok(names.length >= 20, `${names.length} commands`);
  for (const name of names) assert.match(text, new RegExp(`\`${name}\\b`), name);
});

test('lib/README.md names every room and every file to read first, and each file says what it is for', () => {
  const house = documentAt('lib/README.md').text;
  for (const entry of readdirSync(join(root, 'lib'), { withFileTypes: true })) {
    if (['README.md', 'package.json'].includes(entry.name)) continue;
    const name = entry.isDirectory() ? `${entry.name}/` : entry.name;
    assert.ok(house.includes(`\`${name}\``), name);
  }
  for (const path of globSync('lib/**/*.ts', { cwd: root })) {
    assert.match(readFileSync(join(root, path), 'utf8'), /^(#!.*\n)?\/\/ [A-Z`]/, path);
  }
});

test('the numbers of cost and of faults in the README are those of the results that are shown elsewhere', () => {
  const [, told] = /^## Cost and faults$(.*?)^## /ms.exec(readme.text)!;
  const [costs, faults] = told!.split('`npm run faults`').map((part) => rowsOf(part).slice(1));
  const results = rowsOf(documentAt('test/bench/README.md').text);
  assert.equal(costs!.length, 3);
  for (const [what, here, beside] of costs!) {
    const [, peer] = / (?<=: )(.*)$/.exec(beside!) ?? [];
    const [, , unit, ours, theirs] = results.find((row) => row[0] === what && row[1] === (peer ?? '')) ?? [];
    assert.deepEqual([here, beside], [`${ours} ${unit}`, peer ? `${theirs} ${unit}: ${peer}` : ''], what);
  }
  const tried = rowsOf(documentAt('test/README.md').text).filter((row) => row.length === 4);
  assert.ok(faults!.length >= 5);
  for (const [what, ...counts] of faults!) {
    const [, , ...found] = tried.find((row) => row[0]!.replace(/^none: /, '') === what) ?? [];
    assert.deepEqual(counts, found, what);
  }
});

test('every script of package.json that a document runs is there, and so is each option that it gives it', () => {
  const files: Record<string, string> = { bench: 'test/bench/main.ts', faults: 'test/faults/main.ts' };
  let found = 0;
  for (const { path, text } of documents) {
    for (const [command, script, given] of text.matchAll(/\bnpm run (\w+)((?:\s+(?:--\S*|[\d/]\S*|\w+\.json))*)/g)) {
      found++;
      assert.ok(script! in manifest.scripts, `${path}: ${command}`);
      const source = readFileSync(join(root, files[script!] ?? 'package.json'), 'utf8');
      for (const [, name] of given!.matchAll(/--(?:no-)?([a-z]+)/g)) {
        assert.match(source, new RegExp(`^ +${name}: \\{ type: `, 'm'), `${path}: ${command}`);
      }
    }
  }
  assert.ok(found >= 10, `${found} commands`);
});
