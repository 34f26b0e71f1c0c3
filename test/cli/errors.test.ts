// What goes wrong, in every command: one fault has one exit code, and with --json it is told in JSON.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { exitCodes } from '../../lib/cli/failures.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { type Said, shepherd } from '../support/command.ts';
import { TestFolder } from '../support/folder.ts';
import { needs } from '../support/tools.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

const lookers = ['status', 'audit', 'usage', 'cooldowns', 'snapshot', 'runs', 'facts', 'projects', 'verify', 'anchor'];

/** Every way that a command is given a store: what stands there is the same fault in each. */
const ways: [name: string, argv: (path: string, folder: TestFolder) => string[]][] = [
  ...lookers.map((name): [string, (path: string) => string[]] => [name, (path) => [name, '--db', path]]),
  ...lookers
    .filter((name) => name !== 'usage')
    .map((name): [string, (path: string) => string[]] => [`${name} FILE`, (path) => [name, path]]),
  ['run', (path) => ['run', 'r', '--db', path]],
  ['due', (path) => ['due', 'lint=1h', '--db', path]],
  ['balance', (path) => ['balance', '--db', path]],
  ['grant', (path) => ['grant', 'minecraft', '30m', '--db', path]],
  ['deny', (path) => ['deny', 'minecraft', '--db', path]],
  ['cooldown', (path) => ['cooldown', 'clear', 'minecraft', '--db', path]],
  ['migrate', (path) => ['migrate', path]],
  ['backup', (path, folder) => ['backup', folder.file('made.db'), '--db', path]],
  ['restore', (path, folder) => ['restore', path, '--db', folder.file('made.db')]],
  ['rebuild-ledger', (path, folder) => ['rebuild-ledger', path, '--ledger', folder.file('made.jsonl')]],
];

/** Faults of a store's file, with the code of the error and of the exit. */
const faults: [name: string, make: (path: string) => void, code: string, exit: number][] = [
  ['nothing', () => {}, 'ERR_STORE_NOT_FOUND', 2],
  [
    'a lost store',
    (path) => copyFileSync(fixtureSnapshot, path.replace('.db', '.snapshot.json')),
    'ERR_STORE_CORRUPT',
    1,
  ],
  ['an empty file', (path) => writeFileSync(path, ''), 'ERR_STORE_NOT_A_STORE', 1],
  ['a text', (path) => writeFileSync(path, 'no database '.repeat(100)), 'ERR_STORE_NOT_A_STORE', 1],
  ['a folder', (path) => mkdirSync(path), 'ERR_STORE_NOT_A_STORE', 1],
  ["another program's", (path) => exec(path, 'CREATE TABLE t (a)'), 'ERR_STORE_NOT_A_STORE', 1],
  ['a source', (path) => copyFileSync(fixture('nightshift.db'), path), 'ERR_STORE_NOT_A_STORE', 1],
];

let fixtureSnapshot = '';

function exec(path: string, sql: string): void {
  using db = new DatabaseSync(path);
  db.exec(sql);
}

test('one fault of a store has one exit and one error code, in every command, and is JSON with --json', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  store.saveSnapshot({ timestamp: new Date() });
  store.close();
  fixtureSnapshot = folder.file('store.snapshot.json');
  for (const [at, [fault, make, code, exit]] of faults.entries()) {
    const path = folder.file(`fault-${at}.db`);
    make(path);
    for (const [name, argvOf] of ways) {
      // A backup is known by itself: what stands beside it, a restore does not take for a loss.
      if (name === 'restore' && fault === 'a lost store') continue;
      const argv = argvOf(path, folder);
      const said = await shepherd(argv);
      assert.deepEqual([said.code, said.out], [exit, ''], `${name}, ${fault}: ${said.err}`);
      assert.match(said.err, new RegExp(`^shepherd-store: [^\\n]*\\(${code}\\)\\n$`), `${name}, ${fault}`);
      const machine = await shepherd([...argv, '--json']);
      assert.deepEqual([machine.code, machine.out], [exit, '']);
      const { error } = JSON.parse(machine.err) as { error: { code: string; message: string } };
      assert.deepEqual([error.code, machine.err.split('\n').length], [code, 2], name);
      assert.equal(said.err, `shepherd-store: ${error.message} (${code})\n`);
    }
  }
});

test('what this user may not use is wrong use, in whatever command', needs('root'), async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const argvs = ['status', 'audit', 'verify', 'migrate'].map((name) => [name, folder.file()]);
  const user = new Worker(t, 'cli', ['look', ...argvs.map((argv) => JSON.stringify(argv))], {
    env: plainEnvironment(),
  });
  for (const said of (await user.result()).map((line) => JSON.parse(line) as Said)) {
    assert.equal(said.code, 2);
    assert.match(said.err, /\(ERR_STORE_PERMISSION\)/);
  }
});

test('what is there already, and a ledger or key of somebody else, are wrong use in whatever command', async (t) => {
  const folder = new TestFolder(t);
  const ledger = Ledger.open(folder.file('audit.jsonl'));
  const store = SqliteStore.open(folder.file(), { ledger });
  store.appendAudit({ type: 'service_started' });
  store.close();
  ledger.close();
  const other = new TestFolder(t);
  const theirs = Ledger.open(other.file('audit.jsonl'));
  const their = SqliteStore.open(other.file(), { ledger: theirs });
  their.close();
  theirs.close();
  writeFileSync(folder.file('there'), '');
  writeFileSync(folder.file('text'), 'text');
  const [db, file, there] = [folder.file(), folder.file('audit.jsonl'), folder.file('there')];
  for (const argv of [
    ['backup', there, '--db', db],
    ['keygen', '--key', there],
    ['rebuild-ledger', db, '--ledger', there],
    ['rebuild-database', '--ledger', file, '--db', there],
    ['verify', db, '--ledger', other.file('audit.jsonl')],
    ['replay', db, '--ledger', other.file('audit.jsonl')],
    ['detach-ledger', db, '--ledger', other.file('audit.jsonl')],
    ['replay', db, '--ledger', file, '--key', folder.file('text')],
    ['verify', db, '--public-key', folder.file('text')],
    ['verify', db, '--public-key', folder.path],
    ['verify', db, '--public-key', folder.file('absent')],
    ['demo', folder.path],
  ])
    assert.equal((await shepherd(argv)).code, 2, argv.join(' '));
  // A lost ledger of a store that has one is a finding, and a lost database beside its ledger.
  const lost = folder.file('lost.jsonl');
  for (const name of ['verify', 'replay', 'detach-ledger']) {
    assert.equal((await shepherd([name, db, '--ledger', lost])).code, 1, name);
    assert.equal((await shepherd([name, folder.file('lost.db'), '--ledger', file])).code, 1, name);
  }
});

test('a source that can be imported and a schema that is too old name the command that helps', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  for (const [name, kind] of [
    ['nightshift.db', 'nightshift'],
    ['nightshift-state.json', 'nightshift-state'],
    ['openfroyo.db', 'openfroyo'],
    ['shepherdd-utc.db', 'shepherdd'],
  ]) {
    const path = folder.file(`a ${name}`);
    copyFileSync(fixture(name!), path);
    const before = readFileSync(path);
    for (const argv of [
      ['status', path],
      ['audit', '--db', path],
      ['migrate', path],
      ['restore', path, '--db', folder.file('new.db')],
    ]) {
      const { code, err } = await shepherd(argv);
      assert.equal(code, 1);
      assert.ok(err.includes(`"shepherd-store import '${path}' NEWSTORE"`) && err.includes(kind!), `${argv[0]} ${err}`);
    }
    assert.deepEqual(readFileSync(path), before);
  }
  exec(folder.file('foreign.db'), 'CREATE TABLE t (a)');
  assert.doesNotMatch((await shepherd(['status', folder.file('foreign.db')])).err, /import/);
  folder.open().close();
  SqliteStore.migrate(folder.file(), 1, { force: true });
  for (const name of lookers) {
    const { code, err } = await shepherd([name, '--db', folder.file()]);
    assert.equal(code, 1, name);
    assert.match(err, /"shepherd-store migrate --db \/[^"]*store\.db" [^\n]*\(ERR_STORE_SCHEMA_TOO_OLD\)\n$/);
  }
  assert.equal((await shepherd(['migrate', folder.file()])).code, 0);
  assert.equal((await shepherd(['status', folder.file()])).code, 0);
});

test('the store is what the call names, then what the environment does, and two names are refused', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  t.after(() => delete process.env['SHEPHERD_STORE_DB']);
  process.env['SHEPHERD_STORE_DB'] = folder.file();
  const said = await shepherd(['status']);
  assert.deepEqual([said.code, said.err], [0, `store: ${folder.file()} (SHEPHERD_STORE_DB)\n`]);
  assert.deepEqual(JSON.parse((await shepherd(['anchor', '--json'])).err.split('\n')[0]!), { store: folder.file() });
  for (const argv of [['status', folder.file('other.db')], ['usage', '--db', folder.file('other.db')]]) {
    assert.match((await shepherd(argv)).err, /^shepherd-store: [^\n]*other\.db[^\n]*\(ERR_STORE_NOT_FOUND\)\n$/);
  }
  assert.equal((await shepherd(['backup', folder.file('copy.db')])).code, 0);
  rmSync(folder.file('copy.db'));
  const both = await shepherd(['status', 'a', '--db', 'b', '--json']);
  assert.deepEqual(
    [both.code, (JSON.parse(both.err) as { error: { code: string } }).error.code],
    [2, 'ERR_COMMAND_USAGE'],
  );
  process.env['SHEPHERD_STORE_DB'] = '';
  assert.doesNotMatch((await shepherd(['status'])).err, /SHEPHERD_STORE_DB/);
});

test('a file that stands where a name is meant is not looked up in another store', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.addUsage(folder.file(), '2026-11-21', 60_000);
  store.close();
  const before = process.env['XDG_DATA_HOME'];
  t.after(() => {
    delete process.env['XDG_DATA_HOME'];
    if (before !== undefined) process.env['XDG_DATA_HOME'] = before;
  });
  process.env['XDG_DATA_HOME'] = folder.file('data');
  delete process.env['SHEPHERD_STORE_DB'];
  const [file, spaced] = [folder.file(), folder.file('my notes')];
  writeFileSync(spaced, '');
  const taken: [argv: string[], name: string, suggested: string][] = [
    [['usage', file], 'ENTRY', file], [['run', file], 'ID', file], [['backup', file], 'DEST', file],
    [['due', file], 'TASKTYPE=INTERVAL', file], [['due', 'lint=1h', file], 'TASKTYPE=INTERVAL', file],
    [['usage', spaced], 'ENTRY', `'${spaced}'`],
  ];
  for (const [argv, name, suggested] of taken) {
    const { code, out, err } = await shepherd(argv);
    assert.deepEqual([code, out], [2, ''], argv.join(' '));
    const [first, second = ''] = err.split('\n');
    const why = `"${argv.at(-1)}" was taken as ${name}; did you mean --db ${suggested}?`;
    assert.equal(first, `shepherd-store: ${why}`);
    assert.match(second, /^Usage: shepherd-store /);
  }
  const { err } = await shepherd(['usage', file, '--json']);
  assert.partialDeepStrictEqual(JSON.parse(err), { error: { code: 'ERR_COMMAND_USAGE' } });
  assert.match((await shepherd(['backup', file, 'b'])).err, /: unexpected argument "b"; the store is --db FILE\n/);
  assert.match((await shepherd(['usage', file, 'a'])).err, /: unexpected argument "a"; the store is --db FILE\n/);
  assert.match((await shepherd(['backup', 'a', 'b', '--db', file])).err, /: unexpected argument "b"\n/);

  // What names no file, and a command that takes one: the store is the user's own, which is not there.
  for (const argv of [['usage', folder.path], ['usage', 'x'.repeat(5_000)], ['run', `${file}/x`], ['run', 'a\0b']]) {
    assert.match((await shepherd(argv)).err, /\n.*\(ERR_STORE_NOT_FOUND\)\n$/, argv.join(' '));
  }
  assert.equal((await shepherd(['restore', file])).code, 0);
  // A store that is named may have an entry of any name.
  assert.match((await shepherd(['usage', file, '--db', file, '--day', '2026-11-21'])).out, /1 min 00 s in all/);
  process.env['SHEPHERD_STORE_DB'] = file;
  t.after(() => delete process.env['SHEPHERD_STORE_DB']);
  assert.match((await shepherd(['usage', file, '--day', '2026-11-21'])).out, /1 min 00 s in all/);
});

test('help, help COMMAND and version are words too, and the exit codes stand in the help and its README', async () => {
  assert.deepEqual(await shepherd(['help']), await shepherd(['--help']));
  for (const name of ['help', 'version']) assert.deepEqual(await shepherd(['help', name]), await shepherd(['help']));
  for (const name of [...lookers, 'import', 'demo'])
    assert.deepEqual(await shepherd(['help', name]), await shepherd([name, '--help']));
  assert.deepEqual(await shepherd(['version']), await shepherd(['--version']));
  const readme = readFileSync(new URL('../../lib/cli/README.md', import.meta.url), 'utf8');
  const help = (await shepherd(['help'])).out.replaceAll(/\s+/g, ' ');
  for (const [code, meaning] of exitCodes) {
    assert.ok(help.includes(` ${code} ${meaning}`), meaning);
    assert.ok(readme.includes(`| ${code} | ${meaning} |`), meaning);
  }
});
