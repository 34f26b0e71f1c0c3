// A process is killed while it writes, and what it had acknowledged is there.
//
// SHEPHERD_CRASH_ROUNDS: how many processes are killed at random moments, one after the other on one file; 30 by
// default, 600 in the full run. SHEPHERD_CRASH_SEED: repeats the operations of another run and the moments, as far as
// the system keeps time.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { snapshotPathOf } from '../../lib/values/paths.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { day } from '../support/crash-worker.ts';
import { TestFolder } from '../support/folder.ts';
import { acknowledgedBy, killSometime } from '../support/killed.ts';
import { partOf } from '../support/part.ts';
import { checkRemains, Model } from '../support/plan-model.ts';
import { seededRandom } from '../support/random.ts';
import { needs } from '../support/tools.ts';
import { readTrace, tracing } from '../support/trace.ts';

test('a process killed at any moment loses nothing that it acknowledged, and leaves the rest done or not '
  + 'done', async (t) => {
  const rounds = Number(process.env['SHEPHERD_CRASH_ROUNDS'] ?? 30);
  const seed = Number(process.env['SHEPHERD_CRASH_SEED'] ?? Date.now() % 1e6);
  t.diagnostic(`SHEPHERD_CRASH_SEED=${seed} SHEPHERD_CRASH_ROUNDS=${rounds}`);
  const random = seededRandom(seed);
  const folder = new TestFolder(t);
  const path = folder.file();
  const model = new Model(seed);
  let unfinished = 0;
  for (let round = 0; round < rounds; round++) {
    const from = model.done;
    const worker = new Worker(t, 'crash', [path, String(seed), String(from)], { env: plainEnvironment() });
    await killSometime(worker, round, random);
    const acknowledged = acknowledgedBy(worker, from);
    if (!existsSync(path)) continue; // killed before it made the file
    await checkRemains(path, model, acknowledged);
    unfinished += model.done - acknowledged;
    if (round % 4 === 3) checkService(path, model);
  }
  checkService(path, model);
  t.diagnostic(`${model.done} operations, ${model.lastId} events, ${model.snapshots.length} snapshots; `
    + `${unfinished} finished without an acknowledgement`);
  assert.ok(model.done > 10 * rounds, `only ${model.done} operations were acknowledged`);
  await checkUsageAgainstLog(path);
});

/**
 * A service that opens the store for writing finds nothing to recover and nothing wrong. `model` is what is known to be
 * done.
 */
function checkService(path: string, model: Model): void {
  using store = SqliteStore.open(path);
  assert.equal(store.recovery, undefined);
  assert.ok(store.isHealthy());
  // Killed between the commit and the rename of its first snapshot, it has left no file yet.
  const mayLack = model.placed === 0 && store.loadSnapshot() && !existsSync(snapshotPathOf(path));
  assert.deepEqual(store.health().findings.map(({ kind }) => kind), mayLack ? ['snapshot-file-missing'] : []);
}

/** Usage and the event that says why were written together, so that they add up to the same. */
async function checkUsageAgainstLog(path: string): Promise<void> {
  using store = SqliteStore.openReadOnly(path);
  const charged = new Map<string, number>();
  for (const { event } of store.iterateAudits()) {
    if (event.type === 'session_ended')
      charged.set(event.entryId, (charged.get(event.entryId) ?? 0) + event.durationMs);
  }
  assert.equal(charged.size, 5);
  for (const [entryId, durationMs] of charged) assert.equal(store.getUsage(entryId, day), durationMs, entryId);
}

test('a -wal whose beginning a power cut destroyed, with its -shm still there, keeps no service from starting', (t) => {
  const folder = new TestFolder(t);
  const path = folder.file();
  const store = folder.open();
  store.addUsage('a', day, 1);
  store.close();
  // The first commit in a new -wal was under way, so that there is nothing in it to lose. SQLite's read-only mode tries
  // to make sense of it for ten seconds.
  writeFileSync(`${path}-wal`, randomBytes(32 + 2 * (24 + 4096)), { mode: 0o600 });
  writeFileSync(`${path}-shm`, Buffer.alloc(32_768), { mode: 0o600 });
  assert.equal(folder.open().addUsage('a', day, 1), 2);
});

// Everything that changes a file goes through one of these calls; a kill just before each of them leaves every state
// that there is between two changes. (The -shm is written by memory alone, and every open after a crash makes it anew.)
const changes = ['write', 'pwrite64', 'fsync', 'fdatasync', 'ftruncate', 'fallocate', '/^rename', '/^unlink'];

for (const [what, prepare] of [
  ['making a new store', () => 0],
  ['opening what a crash has left, writing, and closing', leaveCrashed],
] as const) {
  test(
    `a process killed before each of the system calls of ${what} leaves each operation done or not done`,
    needs('strace'),
    async (t) => {
      const base = new TestFolder(t);
      const from = await prepare(base, t);
      const all = await momentsOf(t, base, from);
      const moments = partOf(all);
      t.diagnostic(`${moments.length} of ${all.length} moments`);
      assert.ok(all.length > 25, `only ${all.length} moments`);
      // Two at a time, because most of it is the start of a process.
      const walk = async (): Promise<void> => {
        for (let moment = moments.pop(); moment; moment = moments.pop()) await killBefore(t, base, from, moment);
      };
      await Promise.all([walk(), walk()]);
    },
  );
}

// A plan whose operations 0 and 12 are transactions with a snapshot, and 1 and 13 something else.
const plan = 27;

/**
 * A killed service's files: the log's end is in the -wal, and the -shm is there. Gives how many operations were done.
 */
async function leaveCrashed(folder: TestFolder, t: TestContext): Promise<number> {
  const worker = new Worker(t, 'crash', [folder.file(), String(plan), '0', '12', 'killed'], {
    env: plainEnvironment(),
  });
  assert.equal((await worker.end()).signal, 'SIGKILL');
  const model = new Model(plan);
  await checkRemains(folder.file(), model, acknowledgedBy(worker, 0));
  assert.equal(model.done, 12);
  return model.done;
}

/** The nth call of a kind. */
interface Moment {
  call: string;
  nth: number;
}

/** When to kill: before each call that changes a file of the folder; of a series on one file, before the first two. */
async function momentsOf(t: TestContext, base: TestFolder, from: number): Promise<Moment[]> {
  const path = copyOf(base, 'whole');
  const output = base.file('whole.trace');
  const worker = new Worker(t, 'crash', [path, String(plan), String(from), '2'], {
    command: tracing(output, changes),
    env: plainEnvironment(),
  });
  await worker.result();
  const calls = readTrace(output).map(({ name, nth, path: of }) => ({ call: name, nth, of, series: `${name} ${of}` }));
  const ours = calls.filter(({ of }) => of.startsWith(base.path));
  return ours.filter(({ series }, index) => series !== ours[index - 1]?.series || series !== ours[index - 2]?.series);
}

/** The folder's store under another name. */
function copyOf(base: TestFolder, name: string): string {
  const path = base.file(`${name}.db`);
  for (const suffix of ['.db', '.db-wal', '.db-shm', '.snapshot.json']) {
    if (existsSync(base.file(`store${suffix}`)))
      copyFileSync(base.file(`store${suffix}`), path.replace(/\.db$/, suffix));
  }
  return path;
}

/** Runs two operations on a copy of the store, killed at a moment, and checks what is left. */
async function killBefore(t: TestContext, base: TestFolder, from: number, { call, nth }: Moment): Promise<void> {
  const path = copyOf(base, `${call}-${nth}`);
  const command = tracing(`${path}.trace`, [call], `--inject=${call}:signal=KILL:when=${nth}`);
  const worker = new Worker(t, 'crash', [path, String(plan), String(from), '2'], { command, env: plainEnvironment() });
  const { signal, errors } = await worker.end();
  assert.equal(signal, 'SIGKILL', `${call} ${nth}: ${errors}`);
  const acknowledged = acknowledgedBy(worker, from);
  if (!existsSync(path)) return;
  const model = new Model(plan);
  model.acknowledge(from);
  checkService(path, model);
  await checkRemains(path, model, acknowledged);
}
