// Full run: SHEPHERD_FAULTS=600 node --test test/faults/failing-disk.test.ts
//
// A disk that fails: each system call that changes a file, or opens one, is made to fail by strace, once or from then
// on. The store stops and says so, or rolls back where the disk was full; opened again it lacks nothing that was
// acknowledged.
//
// SHEPHERD_FAULTS: how many faults are met, drawn from all that there are (some thousands); 24 by default.
// SHEPHERD_FAULTS_SEED: repeats another draw. It is left out where there is no strace.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import type { Said } from '../support/fault-worker.ts';
import { checkStore, TestFolder } from '../support/folder.ts';
import { checkBoth } from '../support/ledger.ts';
import { stateAfter, stateOf } from '../support/ledger-model.ts';
import { seededRandom } from '../support/random.ts';
import { needs } from '../support/tools.ts';
import { readTrace, tracing } from '../support/trace.ts';

const wanted = Number(process.env['SHEPHERD_FAULTS'] ?? 24);
const seed = Number(process.env['SHEPHERD_FAULTS_SEED'] ?? 1);

// Operation 12 is a transaction with a snapshot; a save, usage, a cooldown and events follow.
const plan = 27;
const done = 12;
const operations = 6;

/** What the files are before the faulty process opens them, and how many operations are in them. */
interface Beginning {
  what: string;
  from: number;
  withLedger: boolean;
  prepare: (folder: TestFolder, t: TestContext) => Promise<void>;
}

const beginnings: Beginning[] = [
  { what: 'a new store', from: 0, withLedger: false, prepare: async () => {} },
  {
    what: 'a store that a crash left with its -wal',
    from: done,
    withLedger: false,
    prepare: (folder, t) => perform(folder, t, 'killed'),
  },
  {
    what: 'a store that is migrated',
    from: done,
    withLedger: false,
    prepare: async (folder, t) => {
      await perform(folder, t);
      SqliteStore.migrate(folder.file(), 1, { force: true });
    },
  },
  { what: 'a new store with a ledger', from: 0, withLedger: true, prepare: async () => {} },
  {
    what: 'a store with a ledger that a crash left',
    from: done,
    withLedger: true,
    prepare: (folder, t) => perform(folder, t, 'killed', folder.file('audit.jsonl')),
  },
];

async function perform(folder: TestFolder, t: TestContext, end = '', ledgerPath?: string): Promise<void> {
  const [name, ...task] = ledgerPath === undefined ? ['crash'] : ['ledger', 'plan'];
  const worker = new Worker(
    t,
    name!,
    [...task, folder.file(), ...(ledgerPath === undefined ? [] : [ledgerPath]), String(plan), '0', String(done), end],
    { env: plainEnvironment() },
  );
  assert.equal((await worker.end()).signal, end === 'killed' ? 'SIGKILL' : null);
}

/** Everything that changes a file, and what opens one. */
const calls = [
  'fsync',
  'fdatasync',
  'write',
  'pwrite64',
  'ftruncate',
  'fallocate',
  'openat',
  '/^rename',
  '/^unlink',
  '/^mkdir',
];
/** Calls for which the system has no room: they need some. */
const needsRoom = /^(write|pwrite64|ftruncate|fallocate|openat|rename.*|mkdir.*)$/;

interface Fault {
  beginning: number;
  call: string;
  nth: number;
  error: 'EIO' | 'ENOSPC' | 'EROFS';
  lasting: boolean;
}

/** The folders that the beginnings are in, and every fault that there is. */
async function findFaults(t: TestContext): Promise<{ folders: TestFolder[]; faults: Fault[] }> {
  const folders: TestFolder[] = [];
  const faults: Fault[] = [];
  for (const [index, beginning] of beginnings.entries()) {
    const folder = new TestFolder(t, { checked: false });
    folders.push(folder);
    await beginning.prepare(folder, t);
    const output = folder.file('whole.trace');
    await workerOn(t, folder, beginning, 'whole', tracing(output, calls)).result();
    for (const { name, nth, path } of readTrace(output)) {
      if (!path.startsWith(folder.path)) continue;
      for (const lasting of [false, true]) {
        faults.push({ beginning: index, call: name, nth, error: 'EIO', lasting });
        // The system makes a file system read-only by itself when it finds an error in it.
        if (lasting) faults.push({ beginning: index, call: name, nth, error: 'EROFS', lasting });
        if (needsRoom.test(name)) faults.push({ beginning: index, call: name, nth, error: 'ENOSPC', lasting });
      }
    }
  }
  return { folders, faults };
}

const names = ['store.db', 'store.db-wal', 'store.db-shm', 'store.snapshot.json', 'audit.jsonl'];

/** The worker on a copy of the files in a folder of its own. */
function workerOn(
  t: TestContext,
  folder: TestFolder,
  { from, withLedger }: Beginning,
  name: string,
  command: string[],
): Worker {
  const target = folder.file(name);
  mkdirSync(target);
  for (const file of names) if (existsSync(folder.file(file))) copyFileSync(folder.file(file), `${target}/${file}`);
  // Compiled modules that other processes write meanwhile would be opened as well, and calls counted that are not there
  // again.
  const { NODE_COMPILE_CACHE: _cache, ...env } = plainEnvironment();
  const args = [
    `${target}/store.db`,
    withLedger ? `${target}/audit.jsonl` : '',
    String(plan),
    String(from),
    String(operations),
  ];
  return new Worker(t, 'fault', args, { command, env });
}

/**
 * What the process said agrees with itself. Gives the operations that were acknowledged, and those that nobody can know
 * of.
 */
function judge(
  said: Said[],
  { call, error, lasting }: Fault,
  { withLedger }: Beginning,
): { acknowledged: number[]; unknown: number[] } {
  const acknowledged: number[] = [];
  const unknown: number[] = [];
  for (const { what, code, before, stopped, healthy } of said) {
    // Where SQLite cannot open a file for writing, it tries for reading only. A snapshot file that the disk does not
    // give is a damaged one, and without a database it says that there was a store.
    const isSnapshot = what === 'open' && call === 'openat' && error === 'EIO' && code === 'ERR_STORE_CORRUPT';
    if (code !== undefined && !isSnapshot)
      assert.match(
        code,
        what === 'open' ? /^ERR_STORE_(IO|DISK_FULL|READ_ONLY)$/ : /^ERR_STORE_(IO|DISK_FULL)$/,
        `${what}`,
      );
    if (typeof what !== 'number') continue;
    if (before) assert.equal(code, 'ERR_STORE_IO', `${what}: a store that stopped takes no writes`);
    if (stopped) assert.equal(healthy, false, `${what}: a store that stopped says so`);
    if (code === undefined) acknowledged.push(what);
    // With a ledger the store goes on where it will know by the next write.
    else if (code === 'ERR_STORE_IO') assert.ok(stopped || withLedger, `${what}: an I/O error stops the store`);
    // Of a disk on which not even what is there can be written over, SQLite may leave a whole transaction
    // (lib/recovery/README.md).
    if (!before && (code === 'ERR_STORE_IO' || (code !== undefined && lasting && call === 'pwrite64')))
      unknown.push(what);
  }
  if (error === 'ENOSPC' && !lasting && said[0]?.code === undefined && !said.some(({ stopped }) => stopped)) {
    assert.ok(acknowledged.length >= operations - 1, 'a full disk is over when there is room');
  }
  return { acknowledged, unknown };
}

async function inject(t: TestContext, folder: TestFolder, fault: Fault): Promise<'failed' | 'unharmed' | 'missed'> {
  const beginning = beginnings[fault.beginning]!;
  const { call, nth, error, lasting } = fault;
  const name = `${call}-${nth}-${error}-${lasting ? 'on' : 'once'}`;
  const trace = folder.file(`${name}.trace`);
  const worker = workerOn(
    t,
    folder,
    beginning,
    name,
    tracing(trace, [call], `--inject=${call}:error=${error}:when=${nth}${lasting ? '+' : ''}`),
  );
  const { code, errors } = await worker.end();
  // Where the system starts the process in another way, the call is another one.
  const isOurs = readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => line.includes('INJECTED'))
    .map((line) => line.includes(folder.path));
  if (!isOurs[0]) return 'missed';
  // Node wakes its own threads by a write, and ends itself where that fails.
  if (code === null && isOurs.includes(false)) return 'missed';
  assert.equal(code, 0, errors);
  const said = worker.lines.map((line) => JSON.parse(line) as Said);
  const { acknowledged, unknown } = judge(said, fault, beginning);
  // What SQLite leaves of such a transaction is in the database alone (lib/recovery/README.md), and is told.
  const mayBeBehind = call === 'pwrite64' && lasting && unknown.length > 0;
  await checkRemains(folder.file(name), beginning, { acknowledged, unknown, mayBeBehind });
  rmSync(folder.file(name), { recursive: true });
  rmSync(trace);
  return said.some(({ code: each }) => each !== undefined) ? 'failed' : 'unharmed';
}

/**
 * A busy machine moves the calls of other threads between the store's own: what was missed is met by another attempt.
 */
async function injectUntilMet(
  t: TestContext,
  folder: TestFolder,
  fault: Fault,
): Promise<'failed' | 'unharmed' | 'missed'> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await inject(t, folder, fault);
    if (outcome !== 'missed' || attempt === 3) return outcome;
    const { call, nth, error, lasting } = fault;
    rmSync(folder.file(`${call}-${nth}-${error}-${lasting ? 'on' : 'once'}`), { recursive: true, force: true });
  }
}

/** Opened again, the store has all that was acknowledged, all or nothing of the rest, and works. */
async function checkRemains(
  path: string,
  { from, withLedger }: Beginning,
  { acknowledged, unknown, mayBeBehind }: { acknowledged: number[]; unknown: number[]; mayBeBehind: boolean },
): Promise<void> {
  const before = Array.from({ length: from }, (_, index) => index);
  const store = SqliteStore.open(`${path}/store.db`, withLedger ? { ledger: Ledger.open(`${path}/audit.jsonl`) } : {});
  try {
    const found = stateOf(store);
    const sets = unknown.reduce<number[][]>(
      (all, number) => [...all, ...all.map((set) => [...set, number])],
      [acknowledged],
    );
    // One that comes back at the next open has its effect in its place, or after all that could still be written
    // without it.
    const states = sets
      .flatMap((set) => [set, set.toSorted((a, b) => a - b)])
      .map((set) => stateAfter(plan, [...before, ...set]));
    // A ledger carries everything forward but the snapshot, which it does not have.
    const known = withLedger
      ? states.flatMap((state) => states.map(({ snapshot }) => ({ ...state, snapshot })))
      : states;
    if (!known.some((state) => isDeepStrictEqual(found, state)))
      assert.deepEqual(found, stateAfter(plan, [...before, ...acknowledged]), `unknown: ${unknown.join()}`);
    // A ledger gives back what the database did not get to: that is no loss.
    const behind = mayBeBehind && withLedger && store.recovery ? 'ledger-behind' : undefined;
    assert.equal(store.recovery?.found, behind);
    assert.ok(store.isHealthy());
    store.transaction(() => {
      store.appendAudit({ type: 'service_started' });
      store.saveSnapshot({ timestamp: new Date(0) });
    });
    assert.deepEqual(
      store.health().findings.filter(({ kind }) => kind !== 'clock-behind'),
      [],
    );
  } finally {
    store.close();
  }
  await checkStore(`${path}/store.db`);
  if (withLedger) checkBoth(`${path}/store.db`, `${path}/audit.jsonl`);
}

test(
  'whichever system call fails, once or from then on, the store stops and says so, and lacks nothing that it '
    + 'acknowledged',
  needs('strace'),
  async (t) => {
    t.diagnostic(`SHEPHERD_FAULTS_SEED=${seed} SHEPHERD_FAULTS=${wanted}`);
    const { folders, faults } = await findFaults(t);
    const random = seededRandom(seed);
    const order = faults
      .map((fault) => ({ fault, rank: random() }))
      .sort((a, b) => b.rank - a.rank)
      .map(({ fault }) => fault);
    const total = Math.min(wanted, order.length);
    const outcomes = { failed: 0, unharmed: 0, missed: 0 };
    const isEnough = (): boolean => outcomes.failed + outcomes.unharmed >= total || outcomes.missed > total / 2;
    const walk = async (): Promise<void> => {
      for (let fault = order.pop(); fault && !isEnough(); fault = order.pop()) {
        try {
          outcomes[await injectUntilMet(t, folders[fault.beginning]!, fault)]++;
        } catch (error) {
          throw new Error(`${beginnings[fault.beginning]!.what}: ${JSON.stringify(fault)}`, { cause: error });
        }
      }
    };
    // Two at a time, because most of it is the start of a process.
    await Promise.all([walk(), walk()]);
    t.diagnostic(`${total} of ${faults.length} faults: ${JSON.stringify(outcomes)}`);
    // Another fault takes the place of one that was missed: a call that comes at another place each time, or one that
    // Node dies of.
    assert.ok(outcomes.missed <= total / 2, 'the process makes its calls in another order each time');
    assert.ok(outcomes.failed > total / 3);
  },
);
