// A process with a ledger is killed while it writes: both files agree afterwards, what it had acknowledged is there
// once, and what was rolled back is not.
//
// SHEPHERD_LEDGER_CRASH_ROUNDS: how many processes are killed at random moments, one after the other on one pair of
// files; 20 by default, 400 in the full run. SHEPHERD_LEDGER_CRASH_SEED: repeats the operations of another run.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { day } from '../support/crash-worker.ts';
import { TestFolder } from '../support/folder.ts';
import { acknowledgedBy, killSometime } from '../support/killed.ts';
import { checkBoth } from '../support/ledger.ts';
import { checkBothRemain, checkCopies, copyOf } from '../support/ledger-model.ts';
import { partOf } from '../support/part.ts';
import { seededRandom } from '../support/random.ts';
import { needs } from '../support/tools.ts';
import { readTrace, tracing } from '../support/trace.ts';

test('a process killed at any moment leaves both files with all that it acknowledged, once', async (t) => {
  const rounds = Number(process.env['SHEPHERD_LEDGER_CRASH_ROUNDS'] ?? 20);
  const seed = Number(process.env['SHEPHERD_LEDGER_CRASH_SEED'] ?? Date.now() % 1e6);
  t.diagnostic(`SHEPHERD_LEDGER_CRASH_SEED=${seed} SHEPHERD_LEDGER_CRASH_ROUNDS=${rounds}`);
  const random = seededRandom(seed);
  const folder = new TestFolder(t);
  const [path, ledgerPath] = [folder.file(), folder.file('audit.jsonl')];
  let done = 0;
  const without = new Set<number>();
  for (let round = 0; round < rounds; round++) {
    const worker = new Worker(t, 'ledger', ['plan', path, ledgerPath, String(seed), String(done)], {
      env: plainEnvironment(),
    });
    await killSometime(worker, round, random);
    const acknowledged = acknowledgedBy(worker, done);
    // Every other one is left as it is to the next process, which must make sense of it by itself.
    done =
      round % 2 === 0 || round === rounds - 1
        ? await checkBothRemain(path, ledgerPath, seed, acknowledged, without)
        : await checkCopies(path, ledgerPath, seed, acknowledged, without);
  }
  t.diagnostic(`${done} operations, ${without.size} carried forward without their snapshot`);
  assert.ok(done > 5 * rounds);
});

// Everything that changes a file goes through one of these calls. Killed just before each of them, an append leaves
// every state between two changes: without its lines, with a part of them, unsynced, synced, committed.
const changes = ['write', 'pwrite64', 'fsync', 'fdatasync', 'ftruncate', 'fallocate', '/^rename', '/^unlink'];

for (const [what, from] of [
  ['attaching a ledger to a store', 0],
  ['single events, groups and nested transactions on what a crash left', 1],
] as const) {
  test(
    `a process killed before each of the system calls of ${what} leaves both files equal`,
    needs('strace'),
    async (t) => {
      const base = new TestFolder(t);
      const begin = ['shapes', base.file(), base.file('audit.jsonl')];
      if (from === 0) base.open().close();
      else
        assert.equal(
          (await new Worker(t, 'ledger', [...begin, '0', 'killed'], { env: plainEnvironment() }).end()).signal,
          'SIGKILL',
        );
      const all = await momentsOf(t, base, from);
      const moments = partOf(all);
      t.diagnostic(`${moments.length} of ${all.length} moments`);
      assert.ok(all.length > 15, `only ${all.length} moments`);
      // Two at a time, because most of it is the start of a process.
      const walk = async (): Promise<void> => {
        for (let moment = moments.pop(); moment; moment = moments.pop()) await killBefore(t, base, from, moment);
      };
      await Promise.all([walk(), walk()]);
    },
  );
}

/** The nth call of a kind. */
interface Moment {
  call: string;
  nth: number;
}

async function momentsOf(t: TestContext, base: TestFolder, from: number): Promise<Moment[]> {
  const path = copyOf(base.file(), base.file('audit.jsonl'), 'whole');
  const output = base.file('whole.trace');
  await new Worker(t, 'ledger', ['shapes', path, path.replace(/db$/, 'jsonl'), String(from)], {
    command: tracing(output, changes),
    env: plainEnvironment(),
  }).result();
  const calls = readTrace(output).map(({ name, nth, path: of }) => ({ call: name, nth, of, series: `${name} ${of}` }));
  const ours = calls.filter(({ of }) => of.startsWith(base.path));
  return ours.filter(({ series }, index) => series !== ours[index - 1]?.series || series !== ours[index - 2]?.series);
}

async function killBefore(t: TestContext, base: TestFolder, from: number, { call, nth }: Moment): Promise<void> {
  const path = copyOf(base.file(), base.file('audit.jsonl'), `${call}-${nth}`);
  const ledgerPath = path.replace(/db$/, 'jsonl');
  const command = tracing(`${path}.trace`, [call], `--inject=${call}:signal=KILL:when=${nth}`);
  const worker = new Worker(t, 'ledger', ['shapes', path, ledgerPath, String(from)], {
    command,
    env: plainEnvironment(),
  });
  const { signal, errors } = await worker.end();
  assert.equal(signal, 'SIGKILL', `${call} ${nth}: ${errors}`);
  const store = SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) });
  try {
    assert.ok(store.isHealthy());
    // The worker tells the number of a shape when it is acknowledged; each event carries its shape's number.
    const told = worker.lines.filter((line) => /^\d+$/.test(line)).map(Number);
    const counts = new Map<number, number>();
    for (const { event } of store.iterateAudits()) {
      if (event.type === 'policy_loaded') counts.set(event.entryCount, (counts.get(event.entryCount) ?? 0) + 1);
      assert.notEqual(event.type, 'config_reloaded', 'rolled back');
    }
    const sizes = shapeSizes;
    for (const [number, count] of counts)
      assert.equal(count, sizes[number % sizes.length], `shape ${number} after ${call} ${nth}`);
    for (const number of told) assert.ok(counts.has(number), `shape ${number} was acknowledged before ${call} ${nth}`);
    assert.ok(counts.size <= (from === 0 ? 0 : sizes.length) + told.length + 1);
    // Shape 2 of each run charges 5 ms together with its events.
    const charged = [...counts.keys()].filter((number) => number % sizes.length === 2).length * 5;
    assert.equal(store.getUsage('a', day), charged);
  } finally {
    store.close();
  }
  checkBoth(path, ledgerPath);
}

/** How many events each shape of the worker leaves: one, a group, nested transactions. */
const shapeSizes = [1, 3, 2];

test('two processes that append a thousand events each, one of them killed again and again, make one '
  + 'chain', async (t) => {
  const folder = new TestFolder(t);
  const [path, ledgerPath] = [folder.file(), folder.file('audit.jsonl')];
  const seed = Date.now() % 1e6;
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const count = 1_000;
  const start = async (name: string, from: number): Promise<Worker> => {
    const worker = new Worker(t, 'ledger', ['append', path, ledgerPath, name, String(count - from + 1), String(from)], {
      env: plainEnvironment(),
    });
    await worker.told(1);
    worker.go();
    return worker;
  };
  const steady = await start('steady', 1);
  let next = 1;
  let kills = 0;
  while (next <= count) {
    const worker = await start('killed', next);
    await worker.told(1 + Math.min(count - next + 1, 20 + Math.floor(random() * 200)));
    worker.kill();
    await worker.end();
    kills++;
    // What it had acknowledged, or had been about to: its last event says how far it was.
    using store = SqliteStore.openReadOnly(path);
    const told = next + worker.lines.length - 1;
    const [last] = store.getRecentAudits(1, { source: 'killed' });
    const reached = last?.event.type === 'policy_loaded' ? last.event.entryCount + 1 : 1;
    assert.ok(reached >= told);
    next = reached;
    // Lines without a commit may still stand in the ledger: the next open brings them in, and would refuse the id
    // again.
    using both = SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) });
    const [carried] = both.getRecentAudits(1, { source: 'killed' });
    if (carried?.event.type === 'policy_loaded') next = carried.event.entryCount + 1;
  }
  await steady.result();
  t.diagnostic(`${kills} kills`);
  const store = SqliteStore.open(path, { ledger: Ledger.open(ledgerPath) });
  for (const source of ['steady', 'killed']) {
    const numbers = store
      .getRecentAudits(3_000, { source })
      .map(({ event }) => event.type === 'policy_loaded' && event.entryCount);
    assert.deepEqual(
      numbers.reverse(),
      Array.from({ length: count }, (_, index) => index + 1),
    );
    assert.equal(store.getUsage(source, day), Math.floor(count / 5));
  }
  store.close();
  checkBoth(path, ledgerPath);
});
