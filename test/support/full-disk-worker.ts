// The process of test/faults/full-disk.test.ts, in a mount namespace of its own: mounts a small file system, and does
// each operation on it with every amount of free space from none to enough. Fails with what is wrong; tells how many it
// did.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type CoreEvent, SqliteStore, type StateSnapshot, StoreError } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { fill } from './ballast.ts';
import { tell } from './child.ts';
import { seededRandom } from './random.ts';

const day = '2026-11-21';

interface Operation {
  what: string;
  /** Before the disk is full. */
  first?: (store: SqliteStore) => void;
  act: (store: SqliteStore) => void;
  /** The operation closes the store, so that it cannot be done again. */
  closes?: true;
}

let elapsedMs = 0;
const options = { clock: (): Date => new Date('2026-11-21T10:00:00Z') };
const trackerOptions = { timeZone: 'UTC', monotonicMs: (): number => elapsedMs };

const event: CoreEvent & { type: 'launch_denied' } = { type: 'launch_denied', entryId: 'a', reasons: ['quota'] };
/** The tracker whose own session is running. */
let running: SessionTracker;
const session = { sessionId: 's', entryId: 'a', startedAt: new Date(0), warningsIssued: [60] };
const operations: Operation[] = [
  { what: 'appendAudit', act: (store) => store.appendAudit(event) },
  { what: 'appendAudit of 60 kB', act: (store) => store.appendAudit({ ...event, reasons: ['x'.repeat(60_000)] }) },
  { what: 'appendAudits of 100', act: (store) => store.appendAudits(Array.from({ length: 100 }, () => ({ event }))) },
  { what: 'addUsage', act: (store) => store.addUsage('a', day, 1_500) },
  { what: 'setCooldownUntil', act: (store) => store.setCooldownUntil('a', new Date(5)) },
  { what: 'clearCooldown', act: (store) => store.clearCooldown('b') },
  { what: 'saveSnapshot', act: (store) => store.saveSnapshot({ timestamp: new Date(7), activeSession: session }) },
  {
    what: 'transaction',
    act: (store) =>
      store.transaction(() => {
        store.appendAudit(event);
        store.transaction(() => store.addUsage('a', day, 9));
        store.saveSnapshot({ timestamp: new Date(8) });
        for (let index = 0; index < 60; index++) store.addUsage(`entry-${index}`, day, 1_000);
      }),
  },
  {
    what: 'start of a session',
    act: (store) =>
      store.transaction(() => new SessionTracker(store, trackerOptions).start({ entryId: 'c', sessionId: 'c' })),
  },
  {
    what: 'end of a session',
    first: (store) => {
      elapsedMs = 0;
      new SessionTracker(store, trackerOptions).start({ entryId: 'c', sessionId: 'c' });
    },
    act: (store) => {
      elapsedMs = 4_000;
      const tracker = new SessionTracker(store, trackerOptions);
      tracker.recover();
    },
  },
  {
    what: 'end of a session by its tracker',
    first: (store) => {
      elapsedMs = 0;
      running = new SessionTracker(store, trackerOptions);
      running.start({ entryId: 'c', sessionId: 'c' });
    },
    act: () => {
      elapsedMs = 4_000;
      try {
        running.end({ type: 'user_stop' });
      } catch (error) {
        assert.equal(running.active?.sessionId, 'c');
        throw error;
      }
    },
  },
  { what: 'close', act: (store) => store.close(), closes: true },
];

function open(folder: string, withLedger: boolean): SqliteStore {
  return SqliteStore.open(join(folder, 'store.db'), {
    ...options,
    ...(withLedger ? { ledger: Ledger.open(join(folder, 'audit.jsonl')) } : undefined),
  });
}

interface State {
  audits: object[];
  usage: object[];
  cooldowns: object[];
  snapshot: StateSnapshot | undefined;
}

function dump(store: SqliteStore): State {
  return {
    audits: [...store.iterateAudits()],
    usage: store.getUsageForDay(day),
    cooldowns: store.listCooldowns(),
    snapshot: store.loadSnapshot(),
  };
}

function empty(mount: string): void {
  rmSync(join(mount, 'ballast'), { force: true });
}

/** The code of what is thrown; undefined for nothing. */
function codeOf(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error instanceof StoreError ? error.code : String(error);
  }
}

/** What the next process would find if this one were killed now. */
function afterKill(folder: string, elsewhere: string, withLedger: boolean): State {
  rmSync(elsewhere, { recursive: true, force: true });
  mkdirSync(elsewhere);
  const files = ['store.db', 'store.db-wal', 'store.snapshot.json', 'audit.jsonl']
    .map((name) => join(folder, name))
    .filter((path) => existsSync(path));
  // By another process: this one would drop SQLite's locks with the descriptor.
  execFileSync('cp', [...files, elsewhere]);
  using store = open(elsewhere, withLedger);
  assert.equal(store.recovery, undefined);
  return dump(store);
}

/** A store with something of everything in it. */
function begin(folder: string, withLedger: boolean, { first }: Operation): SqliteStore {
  const store = open(folder, withLedger);
  store.appendAudits([{ event }, { event }]);
  store.addUsage('b', day, 1_000);
  store.setCooldownUntil('b', new Date(3));
  store.saveSnapshot({ timestamp: new Date(4) });
  first?.(store);
  return store;
}

/** What the store holds when the operation is done on a disk with room. */
function whenDone(folder: string, withLedger: boolean, operation: Operation): State {
  const store = begin(folder, withLedger, operation);
  const before = dump(store);
  operation.act(store);
  const after = operation.closes ? before : dump(store);
  store.close();
  rmSync(folder, { recursive: true });
  if (!operation.closes) assert.notDeepEqual(after, before);
  return after;
}

/** One operation with so much space. Gives whether there was enough. */
async function attempt(
  mount: string,
  elsewhere: string,
  withLedger: boolean,
  operation: Operation,
  pages: number,
): Promise<boolean> {
  const folder = join(mount, 'home');
  const wanted = whenDone(folder, withLedger, operation);
  let store = begin(folder, withLedger, operation);
  const before = dump(store);
  fill(mount, pages);
  const code = codeOf(() => operation.act(store));
  if (code !== undefined) {
    assert.equal(code, 'ERR_STORE_DISK_FULL');
    assert.deepEqual(dump(store), before);
    assert.equal(store.isHealthy(), true);
    assert.equal(store.health().lastError?.code, code);
    const found = afterKill(folder, elsewhere, withLedger);
    assert.deepEqual(found, before, 'what was refused is not there after a crash');
  }
  empty(mount);
  if (code !== undefined && !operation.closes) {
    store.transaction(() => undefined); // this compares the ledger with the log
    assert.deepEqual(dump(store), before, 'what was refused does not come back once there is room');
    assert.deepEqual(afterKill(folder, elsewhere, withLedger), before, 'nor when the store is opened again');
    operation.act(store);
  }
  if (operation.closes) {
    if (code !== undefined) store.close();
    store = open(folder, withLedger);
  }
  const after = dump(store);
  assert.deepEqual(after, wanted);
  store.close();
  store = open(folder, withLedger);
  assert.deepEqual(dump(store), after);
  assert.deepEqual(
    [store.recovery, store.health().findings.filter(({ kind }) => kind !== 'clock-behind')],
    [undefined, []],
  );
  assert.deepEqual((await store.verifyAudit()).findings, []);
  store.close();
  rmSync(folder, { recursive: true });
  return code === undefined;
}

/** Opening a path with so much space: nothing there, or a store that was closed or killed. */
function attemptOpen(mount: string, withLedger: boolean, base: string | undefined, pages: number): boolean {
  const folder = join(mount, 'home');
  if (base !== undefined) execFileSync('cp', ['-a', base, folder]);
  fill(mount, pages);
  let store: SqliteStore | undefined;
  const code = codeOf(() => (store = open(folder, withLedger)));
  if (code !== undefined) assert.equal(code, 'ERR_STORE_DISK_FULL');
  empty(mount);
  store ??= open(folder, withLedger);
  assert.equal(store.recovery, undefined);
  assert.equal(store.getUsage('b', day), base === undefined ? 0 : 1_000);
  assert.deepEqual(store.loadSnapshot(), base === undefined ? undefined : { timestamp: new Date(4) });
  store.addUsage('b', day, 1);
  store.close();
  rmSync(folder, { recursive: true });
  return code === undefined;
}

const maxPages = 400;

async function work(mount: string, elsewhere: string, portion: number, seed: number): Promise<void> {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', mount]);
  const random = seededRandom(seed);
  const counts: Record<string, number> = {};
  for (const withLedger of [false, true]) {
    for (const kind of ['new', 'closed', 'killed']) {
      const base =
        kind === 'new' ? undefined : makeBase(`${elsewhere}-${kind}-${withLedger}`, kind === 'killed', withLedger);
      await eachSize(`open of a ${kind} store`, (pages) => attemptOpen(mount, withLedger, base, pages));
    }
    for (const operation of operations)
      await eachSize(operation.what, (pages) => attempt(mount, elsewhere, withLedger, operation, pages));
  }
  tell(JSON.stringify(counts));

  async function eachSize(what: string, once: (pages: number) => boolean | Promise<boolean>): Promise<void> {
    for (let pages = 0, enough = 0; enough < 2; pages++) {
      assert.ok(pages < maxPages);
      if (random() >= portion && pages > 0) continue;
      counts[what] = (counts[what] ?? 0) + 1;
      tell(`${what} with ${pages} pages`);
      enough = (await once(pages)) ? enough + 1 : 0;
    }
  }
}

/** A folder with a store as a service left it that ended or was killed. */
function makeBase(folder: string, killed: boolean, withLedger: boolean): string {
  mkdirSync(folder);
  const store = open(folder, withLedger);
  store.appendAudits([{ event }, { event }]);
  store.addUsage('b', day, 1_000);
  store.saveSnapshot({ timestamp: new Date(4) });
  if (killed) execFileSync('cp', ['-a', folder, `${folder}-copy`]);
  store.close();
  return killed ? `${folder}-copy` : folder;
}

const [mount, elsewhere, portion, seed] = process.argv.slice(2);
if (import.meta.main && mount !== undefined) await work(mount, elsewhere!, Number(portion), Number(seed));
