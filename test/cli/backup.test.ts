// The commands backup and restore.
import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { Worker } from '../support/child.ts';
import { pattern, shepherd } from '../support/command.ts';
import { namesIn, picture } from '../support/files.ts';
import { checkStore, TestFolder } from '../support/folder.ts';

const clock = (): Date => new Date('2026-11-21T12:00:00.000Z');
const stamp = '.replaced-2026-11-21T12-00-00.000Z';
const json = (out: string): Record<string, unknown> => JSON.parse(out) as Record<string, unknown>;

function fill(folder: TestFolder, events = 3): string {
  const store = SqliteStore.open(folder.file(), { clock });
  store.appendAudits(Array.from({ length: events }, () => ({ event: { type: 'service_started' } })));
  store.saveSnapshot({ timestamp: clock() });
  store.close();
  return folder.file();
}

test('each of both explains itself, and names what is missing', async () => {
  for (const [name, takes] of [['backup', 'DEST'], ['restore', 'BACKUP']] as const) {
    const help = await shepherd([name, '--help']);
    assert.deepEqual([help.code, help.err], [0, '']);
    assert.match(
      help.out,
      new RegExp(
        `^Usage: shepherd-store ${name} ${takes} \\[options\\]$[^]*^  --json [^]*^Example\n  shepherd-store ${name} `,
        'm',
      ),
    );
    assert.match((await shepherd(['--help'])).out, new RegExp(`^  ${name} +[A-Z]`, 'm'));
    for (const line of help.out.split('\n')) assert.ok(line.length <= 80, line);
    for (const [argv, said] of [
      [['--db', 'x'], `${takes} is missing`],
      [['x', 'y', '--db', 'x'], 'unexpected argument "y"'],
    ] as const) {
      const { code, out, err } = await shepherd([name, ...argv]);
      assert.deepEqual([code, out, err.includes(said)], [2, '', true], err);
    }
  }
});

test('backup says what it made, and restore what became of what was there', async (t) => {
  const folder = new TestFolder(t);
  const db = fill(folder);
  const made = await shepherd(['backup', folder.file('copy.db'), '--db', db], { clock });
  assert.deepEqual([made.code, made.err], [0, '']);
  assert.match(
    made.out.replaceAll(folder.path, ''),
    pattern(
      /^made: \/copy\.db, [\d.]+ KiB, the log up to row 3\n +\/copy\.snapshot\.json, the state to resume from\n\n/,
      /anchor 3:[0-9a-f]{64}\n$/,
    ),
  );
  await checkStore(folder.file('copy.db'));

  const restored = await shepherd(['restore', folder.file('copy.db'), '--db', db], { clock });
  assert.deepEqual([restored.code, restored.err], [0, '']);
  assert.match(
    restored.out.replaceAll(folder.path, ''),
    new RegExp(
      '^restored: /store\\.db, the log up to row 3\n' +
        `moved aside\n  /store\\.snapshot\\.json${stamp}\n  /store\\.db${stamp}\n\nanchor 3:[0-9a-f]{64}\n$`,
    ),
  );
  assert.equal((await shepherd(['verify', '--db', db, '--anchor', made.out.split('anchor ')[1]!.trim()])).code, 0);
});

test('--json gives what the functions give', async (t) => {
  const folder = new TestFolder(t);
  const db = fill(folder);
  const made = await shepherd(['backup', folder.file('copy.db'), '--db', db, '--json'], { clock });
  assert.deepEqual(Object.keys(json(made.out)), ['path', 'bytes', 'head', 'snapshotPath']);
  const restored = await shepherd(['restore', folder.file('copy.db'), '--db', db, '--json'], { clock });
  assert.deepEqual(json(restored.out), {
    path: db,
    head: json(made.out)['head'],
    snapshotPath: folder.file('store.snapshot.json'),
    replaced: 'same-store',
    moved: [folder.file('store.snapshot.json') + stamp, db + stamp],
  });
});

test('an empty store has no anchor to print', async (t) => {
  const folder = new TestFolder(t);
  SqliteStore.open(folder.file()).close();
  const { out } = await shepherd(['backup', folder.file('copy.db'), '--db', folder.file()]);
  assert.match(out, /^made: [^\n]*, an empty log\n$/);
});

test('restore says what stood there, and that a ledger has what came later', async (t) => {
  const [folder, other] = [new TestFolder(t), new TestFolder(t)];
  fill(folder);
  await shepherd(['backup', folder.file('copy.db'), '--db', folder.file()]);
  assert.match(
    (await shepherd(['restore', folder.file('copy.db'), '--db', fill(other)])).out,
    /^What stood there was another store\.$/m,
  );
  writeFileSync(other.file(), Buffer.alloc(100, 7), { flag: 'r+' });
  assert.match(
    (await shepherd(['restore', folder.file('copy.db'), '--db', other.file()])).out,
    /^What stood there was damaged\.$/m,
  );
  SqliteStore.open(folder.file(), { ledger: Ledger.open(folder.file('audit.jsonl')) }).close();
  await shepherd(['backup', folder.file('with-ledger.db'), '--db', folder.file()]);
  assert.match(
    (await shepherd(['restore', folder.file('with-ledger.db'), '--db', folder.file()])).out,
    /^The store has a ledger: /m,
  );
  SqliteStore.migrate(folder.file('copy.db'), 3);
  const { code, out } = await shepherd(['restore', folder.file('copy.db'), '--db', folder.file('of-version-3.db')]);
  assert.deepEqual([code, out.includes('ledger')], [0, false]);
});

test('both show a bar on a terminal, and nothing of it anywhere else', async (t) => {
  const folder = new TestFolder(t);
  fill(folder, 12_000);
  for (const argv of [
    ['backup', folder.file('copy.db'), '--db', folder.file()],
    ['restore', folder.file('copy.db'), '--db', folder.file('other.db')],
  ]) {
    const { code, err } = await shepherd(argv, { terminal: 80 });
    assert.equal(code, 0);
    assert.match(
      err,
      new RegExp(`^(\r\x1b\\[K${argv[0]} [█▌ ]{40} \\d+ %)+\r\x1b\\[K${argv[0]} █{40} 100 %\r\x1b\\[K$`),
    );
    for (const line of stripVTControlCharacters(err).split('\r')) assert.ok(line.length <= 80, line);
  }
});

test('beside a service that writes, backup works and restore is refused', async (t) => {
  const folder = new TestFolder(t);
  const service = new Worker(t, 'cli', ['write', folder.file()]);
  await service.told(5);
  assert.equal((await shepherd(['backup', folder.file('copy.db'), '--db', folder.file()])).code, 0);
  await checkStore(folder.file('copy.db'));
  const { code, out, err } = await shepherd(['restore', folder.file('copy.db'), '--db', folder.file()]);
  assert.deepEqual([code, out], [1, '']);
  assert.match(err, /\(ERR_STORE_BUSY\)\n$/);
  assert.deepEqual(
    namesIn(folder.path).filter((name) => /replaced|copy|store\.db\./.test(name)),
    ['copy.db', 'copy.snapshot.json'],
  );
  service.kill();
  await service.end();
});

test('what goes wrong is a line and an exit code, and an interrupted command leaves nothing', async (t) => {
  const folder = new TestFolder(t);
  const db = fill(folder);
  const cases: [string[], number, RegExp][] = [
    [['backup', db, '--db', db], 2, /ERR_STORE_CONFLICT/],
    [['backup', folder.file('copy.db'), '--db', folder.file('none.db')], 2, /ERR_STORE_NOT_FOUND/],
    [['restore', folder.file('none.db'), '--db', db], 2, /ERR_STORE_NOT_FOUND/],
    [['restore', folder.file('store.snapshot.json'), '--db', db], 1, /ERR_STORE_NOT_A_STORE/],
    [['restore', db, '--db', db], 2, /ERR_STORE_INVALID_ARGUMENT/],
  ];
  const before = picture(folder.path);
  for (const [argv, code, said] of cases) {
    const answer = await shepherd(argv);
    assert.deepEqual([answer.code, answer.out], [code, ''], answer.err);
    assert.match(answer.err, said);
  }
  const aborted = await shepherd(['backup', folder.file('copy.db'), '--db', db], { signal: AbortSignal.abort() });
  assert.deepEqual(aborted, { code: 130, out: '', err: '' });
  assert.deepEqual(picture(folder.path), before);
  // A lost store is not backed up as an empty one.
  renameSync(db, folder.file('away'));
  assert.match((await shepherd(['backup', folder.file('copy.db'), '--db', db])).err, /ERR_STORE_CORRUPT/);
  rmSync(folder.file('away'));
});
