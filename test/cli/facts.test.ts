// The command facts: what it shows of facts, of many and of damaged ones.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { textWidth } from '../../lib/cli/text.ts';
import { SqliteStore } from '../../lib/index.ts';
import { type FactInput, FactStore } from '../../lib/modules/facts/facts.ts';
import { type Calling, pattern, type Said, shepherd } from '../support/command.ts';
import { damage } from '../support/damage.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';

const now = new Date('2026-11-21T09:00:00Z');
const clock = (): Date => now;
const hostile = 'evil\x1b[31m\x07\u202e\n日本';

/** Writes facts into the folder's store, and gives the command on it. */
function known(
  folder: TestFolder,
  facts: readonly FactInput[],
): (args?: readonly string[], calling?: Calling) => Promise<Said> {
  const store = SqliteStore.open(folder.file(), { clock });
  const factStore = new FactStore(store);
  store.transaction(() => facts.forEach((fact) => factStore.upsertFact(fact)));
  store.close();
  return (args = [], calling = {}) => shepherd(['facts', '--db', folder.file(), ...args], { clock, ...calling });
}

const some: FactInput[] = [
  { targetId: 'host-001', namespace: 'os.basic', key: 'os_family', value: 'debian' },
  { targetId: 'host-001', namespace: 'hw.cpu', key: 'cpu_count', value: 4, ttlSeconds: 3_600 },
  { targetId: 'host-002', namespace: 'hw.cpu', key: 'cpu_count', value: { cores: [1, 2] }, ttlSeconds: 1 },
];

test('facts are listed by target, with values and how long they hold, and are absent once expired', async (t) => {
  const folder = new TestFolder(t);
  const facts = known(folder, some);
  const before = picture(folder.path);
  assert.deepEqual(await facts(), {
    code: 0,
    err: '',
    out: [
      'host-001',
      '  hw.cpu    cpu_count  4                1 h 00 min left',
      '  os.basic  os_family  "debian"',
      '',
      'host-002',
      '  hw.cpu    cpu_count  {"cores":[1,2]}  1 s left',
      '',
    ].join('\n'),
  });
  assert.match((await facts(['--target', 'host-002'])).out, /^host-002\n  hw.cpu  cpu_count [^\n]*\n$/);
  assert.match((await facts(['--namespace', 'os.basic'])).out, /^host-001\n  os.basic  os_family  "debian"\n$/);
  assert.equal(
    (await facts(['--target', 'host-002'], { clock: () => new Date(now.getTime() + 1_000) })).out,
    'No facts.\n',
  );
  assert.deepEqual(picture(folder.path), before);
});

test('--json has every fact in full, and says whether there are more than --limit', async (t) => {
  const facts = known(new TestFolder(t), some);
  const { code, out } = await facts(['--json', '--limit', '2', '--target', 'host-001']);
  assert.equal(code, 0);
  assert.partialDeepStrictEqual(JSON.parse(out), {
    now: now.toISOString(),
    targetId: 'host-001',
    more: false,
    facts: [
      {
        key: 'cpu_count',
        value: 4,
        ttlSeconds: 3_600,
        expiresAt: '2026-11-21T10:00:00.000Z',
        createdAt: now.toISOString(),
        updatedAt: now.toISOString(),
      },
      { key: 'os_family', value: 'debian', ttlSeconds: 0 },
    ],
  });
  const first = JSON.parse((await facts(['--json', '--limit', '2'])).out) as { facts: unknown[]; more: boolean };
  assert.deepEqual([first.facts.length, first.more], [2, true]);
  assert.match((await facts(['--limit', '1'])).out, /cpu_count [^\n]*\n\nThe first 1 fact; --limit shows more\n$/);
});

test('names and values of any kind are harmless and fit the terminal', async (t) => {
  const facts = known(new TestFolder(t), [
    {
      targetId: hostile.repeat(20),
      namespace: hostile.repeat(5),
      key: hostile.repeat(5),
      value: { [hostile]: 'x'.repeat(10_000) },
      ttlSeconds: 10 ** 9,
    },
    { targetId: hostile, namespace: 'n', key: 'k', value: hostile },
  ]);
  const { code, out: coloured } = await facts([], { terminal: 80 });
  const out = stripVTControlCharacters(coloured);
  assert.equal(code, 0);
  assert.doesNotMatch(out.replaceAll('\n', ''), /[\p{Cc}\u2028-\u202e]/u);
  for (const line of out.split('\n')) assert.ok(textWidth(line) <= 80, line);
});

test('a fact that cannot be read hides no other, and makes the exit code 1', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const facts = known(folder, some);
  using db = new DatabaseSync(folder.file());
  db.exec("UPDATE facts SET created_at = 'yesterday' WHERE key = 'os_family'");
  db.close();
  const { code, out } = await facts();
  assert.equal(code, 1);
  assert.match(
    out,
    /cpu_count +4 [^]*os_family +cannot be read\n[^]*host-002\n[^]*\n\nERR_STORE_CORRUPT: the fact "os_family"/,
  );
  const machine = await facts(['--json', '--namespace', 'os.basic']);
  assert.equal(machine.code, 1);
  assert.partialDeepStrictEqual(JSON.parse(machine.out), {
    facts: [{ targetId: 'host-001', namespace: 'os.basic', key: 'os_family', error: { code: 'ERR_STORE_CORRUPT' } }],
  });
  assert.equal((await facts(['--namespace', 'hw.cpu'])).code, 0);
});

test('a fact whose end cannot be read is shown as an error even where its text looks like long ago', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const facts = known(folder, some);
  damage(folder.file(), 'facts', "expires_at = '' WHERE target_id = 'host-002'");
  const { code, out } = await facts();
  assert.equal(code, 1);
  assert.match(
    out,
    pattern(
      /os_family[^]*\nhost-002\n  hw.cpu    cpu_count  cannot be read\n\n/,
      /ERR_STORE_CORRUPT: the fact "cpu_count" of "host-002"[^]*expires_at/,
    ),
  );
});

test('a fact whose name is no text any more is shown as an error too', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const facts = known(folder, some);
  damage(folder.file(), 'facts', "namespace = x'61' WHERE target_id = 'host-002'");
  const { code, out } = await facts();
  assert.equal(code, 1);
  assert.match(out, /os_family[^]*\nhost-002\n  Uint8Array[^\n]*cannot be read\n\nERR_STORE_/);
});

test('wrong use is refused by name', async (t) => {
  const facts = known(new TestFolder(t), []);
  for (const args of [
    ['--limit', '0'],
    ['--limit', 'ten'],
    ['--target', ''],
    ['--namespace', ''],
    ['--tagret', 'x'],
    ['x', '--limit', '1'],
    ['x', 'y'],
  ]) {
    const { code, out, err } = await facts(args);
    assert.deepEqual([code, out], [2, ''], args.join(' '));
    assert.match(err, /^Usage: shepherd-store facts \[FILE\] \[options\]/m);
  }
});
