// Whose SQL is run: schema.sql and lib/migrations/ are found by their place, and known by their first lines.
import assert from 'node:assert/strict';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { schemaVersion } from '../../lib/core/schema.ts';
import { migrations } from '../../lib/core/sql-files.ts';
import { SqliteStore } from '../../lib/index.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { nobody, run } from '../support/process.ts';
import { sealsOf, writtenSeals } from '../support/sql-files.ts';

const root = new URL('../../', import.meta.url);

/** The code without its files, as a bundle has it, in a folder of a program's own. Gives the root of that. */
function bundle(folder: TestFolder): URL {
  const program = pathToFileURL(`${folder.file('program')}/`);
  cpSync(new URL('lib', root), new URL('lib', program), { recursive: true });
  rmSync(new URL('lib/migrations', program), { recursive: true });
  cpSync(new URL('package.json', root), new URL('package.json', program));
  return program;
}

const refusal = `
  try { SqliteStore.open(path).close(); report('opened'); }
  catch ({ name, code, message }) { report([name, code, message]); }`;

/** The code and message with which the program's copy of the package refuses to open a store. */
function refusalOf(path: string, program: URL, settings: object = {}): { code: string; message: string } {
  const [[name, code, message]] = run(path, refusal, { root: program, ...settings }) as [[string, string, string]];
  assert.equal(name, 'StoreError');
  return { code, message };
}

test('each SQL file begins with its seal', () => {
  assert.deepEqual(writtenSeals(root), sealsOf(root), 'the first line of each file has to be as it is expected here');
});

test('there is one step up and one step down for each version, in order', () => {
  const steps = migrations;
  assert.deepEqual(steps.map(({ version }) => version), Array.from({ length: schemaVersion }, (_, index) => index + 1));
  for (const { version, description, up, down } of steps) {
    const stem = `lib/migrations/${String(version).padStart(6, '0')}_${description.replaceAll(' ', '_')}`;
    assert.deepEqual([up, down], [`${stem}.up.sql`, `${stem}.down.sql`]);
  }
  assert.equal(Object.keys(sealsOf(root)).length, 2 * schemaVersion + 1);
});

test('without schema.sql the error names the file, and no empty database is left behind', (t) => {
  const folder = new TestFolder(t);
  const program = bundle(folder);
  const { code, message } = refusalOf(folder.file('data/store.db'), program);
  assert.equal(code, 'ERR_STORE_MIGRATION');
  assert.ok(message.includes(folder.file('program/schema.sql')), message);
  assert.ok(!existsSync(folder.file('data')));
  const rebuilt = run(folder.file('made.db'), `
    const { makeStore } = await import('${new URL('lib/opening/new-store.ts', program).href}');
    report(codeOf(() => makeStore(path, { uuid: crypto.randomUUID(), createdAt: '' }, new Date(), [])));
    report(codeOf(() => SqliteStore.inMemory()));`, { root: program });
  assert.deepEqual(rebuilt, ['ERR_STORE_MIGRATION', 'ERR_STORE_MIGRATION']);
  assert.ok(!existsSync(folder.file('made.db')));
});

test('without schema.sql a store that is there is refused at once, and left as it was', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const before = readFileSync(folder.file());
  const codes = run(folder.file(), `
    report([
      codeOf(() => SqliteStore.open(path)), codeOf(() => SqliteStore.open(path, { recover: true })),
      codeOf(() => SqliteStore.openReadOnly(path)), codeOf(() => SqliteStore.migrate(path, 1, { force: true })),
    ]);`, { root: bundle(folder) });
  assert.deepEqual(codes, [Array.from({ length: 4 }, () => 'ERR_STORE_MIGRATION')]);
  assert.deepEqual(readFileSync(folder.file()), before);
  assert.deepEqual(namesIn(folder.path), ['program', 'store.db']);
});

test('a schema.sql of the program that the package was bundled into is never run', (t) => {
  const folder = new TestFolder(t);
  const program = bundle(folder);
  const own = readFileSync(new URL('schema.sql', root), 'utf8');
  for (const text of ['CREATE TABLE customers (id INTEGER);', '', own.replace('RAISE(ABORT', 'RAISE(IGNORE')]) {
    writeFileSync(new URL('schema.sql', program), text);
    const { code, message } = refusalOf(folder.file(), program);
    assert.equal(code, 'ERR_STORE_MIGRATION');
    assert.ok(message.includes(folder.file('program/schema.sql')), message);
    assert.ok(!existsSync(folder.file()));
  }
});

test('without its steps, or with those of another version, the package opens nothing', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const before = readFileSync(folder.file());
  const program = bundle(folder);
  const { up, down } = migrations.at(-1)!;
  cpSync(new URL('schema.sql', root), new URL('schema.sql', program));
  assert.equal(refusalOf(folder.file('new.db'), program).code, 'ERR_STORE_MIGRATION');
  assert.equal(refusalOf(folder.file(), program).code, 'ERR_STORE_MIGRATION');
  cpSync(new URL('lib/migrations', root), new URL('lib/migrations', program), { recursive: true });
  for (const step of [up, down]) rmSync(new URL(step, program));
  assert.equal(refusalOf(folder.file('new.db'), program).code, 'ERR_STORE_MIGRATION');
  assert.equal(refusalOf(folder.file(), program).code, 'ERR_STORE_MIGRATION');
  assert.deepEqual(readFileSync(folder.file()), before);
  assert.deepEqual(namesIn(folder.path), ['program', 'store.db']);
});

const spoiled: [name: string, spoil: (step: URL) => void][] = [
  ['is missing', (step) => rmSync(step)],
  ["is the program's own", (step) => writeFileSync(step, 'DROP TABLE usage;')],
];
for (const [name, spoil] of spoiled) {
  test(`a step that ${name} is named, and a store that needs it stays as it was`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    const program = bundle(folder);
    for (const part of ['schema.sql', 'lib/migrations']) {
      cpSync(new URL(part, root), new URL(part, program), { recursive: true });
    }
    const { up } = migrations[1]!;
    spoil(new URL(up, program));
    makeDatabase(folder.file(), fourTables);
    const before = readFileSync(folder.file());
    const { code, message } = refusalOf(folder.file(), program);
    assert.equal(code, 'ERR_STORE_MIGRATION');
    assert.ok(message.includes(folder.file(`program/${up}`)), message);
    assert.deepEqual(readFileSync(folder.file()), before);
  });
}

test('a schema.sql that this user may not read is named, with the code of that', (t) => {
  const folder = new TestFolder(t);
  const program = bundle(folder);
  cpSync(new URL('schema.sql', root), new URL('schema.sql', program));
  chmodSync(new URL('schema.sql', program), 0);
  chmodSync(folder.path, 0o777);
  const { code, message } = refusalOf(folder.file(), program, { uid: nobody });
  assert.equal(code, 'ERR_STORE_PERMISSION');
  assert.ok(message.includes(folder.file('program/schema.sql')), message);
  assert.ok(!existsSync(folder.file()));
});

test('line ends as Windows has them make no other file', (t) => {
  const folder = new TestFolder(t);
  const program = bundle(folder);
  mkdirSync(new URL('lib/migrations', program));
  for (const file of Object.keys(sealsOf(root))) {
    const text = readFileSync(new URL(file, root), 'utf8');
    writeFileSync(new URL(file, program), text.replaceAll('\n', '\r\n'));
  }
  makeDatabase(folder.file('adopted.db'), fourTables);
  for (const name of ['store.db', 'adopted.db']) {
    assert.deepEqual(run(folder.file(name), refusal, { root: program }), ['opened']);
    using store = SqliteStore.open(folder.file(name));
    assert.ok(store.isHealthy()); // its triggers are word for word those of the package
  }
});
