// The other processes of test/processes.test.ts: each does one of these tasks on the store at a path.
import { type SQLInputValue, StatementSync } from 'node:sqlite';
import { readSnapshotFile } from '../../lib/core/snapshot-file.ts';
import { SqliteStore, type StoreError } from '../../lib/index.ts';
import { tell, waitForParent } from './child.ts';
import { seededRandom } from './random.ts';

/** Holds the process up after some statements, for up to 8 ms. */
function pauseAfter(method: 'run' | 'get', after: (sql: string) => boolean, random: () => number): void {
  const original = StatementSync.prototype[method] as (this: StatementSync, ...values: SQLInputValue[]) => unknown;
  function paused(this: StatementSync, ...values: SQLInputValue[]): unknown {
    const result = original.apply(this, values);
    if (after(this.sourceSQL)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, random() * 8);
    return result;
  }
  Object.defineProperty(StatementSync.prototype, method, { value: paused });
}

const tasks: Record<string, (path: string, ...args: string[]) => void> = {
  /** Adds usage and events `count` times: apart, and every third time together. */
  write(path, name, count) {
    tell('ready');
    waitForParent();
    using store = SqliteStore.open(path);
    for (let number = 1; number <= Number(count); number++) {
      const append = (): unknown => store.appendAudit({ type: 'policy_loaded', entryCount: number }, { source: name! });
      const add = (): unknown => store.addUsage('shared', '2026-11-21', number);
      if (number % 3 === 0) store.transaction(() => [append(), add()]);
      else [append(), add()];
    }
  },

  /** Holds the write lock until told to go on. */
  hold(path) {
    using store = SqliteStore.open(path);
    store.transaction(() => {
      store.addUsage('held', '2026-11-21', 1);
      tell('holding');
      waitForParent();
    });
    tell('released');
  },

  /** Tells what becomes of a write that does not wait. */
  try(path) {
    try {
      using store = SqliteStore.open(path, { busyTimeoutMs: 0 });
      tell(String(store.addUsage('shared', '2026-11-21', 1)));
    } catch (error) {
      tell((error as StoreError).code);
    }
  },

  /** Saves `count` snapshots, and is often held up after the commit and before the rename, as by a scheduler. */
  save(path, name, count, seed) {
    const random = seededRandom(Number(seed));
    pauseAfter('run', (sql) => sql === 'COMMIT', random);
    pauseAfter('get', (sql) => sql.startsWith('SELECT generation'), random);
    using store = SqliteStore.open(path);
    tell('ready');
    waitForParent();
    for (let number = 1; number <= Number(count); number++) {
      store.saveSnapshot({
        timestamp: new Date(),
        activeSession: { sessionId: `${name} ${number}`, entryId: 'e', startedAt: new Date(0), warningsIssued: [] },
      });
    }
    tell(JSON.stringify(store.health().findings.map(({ kind }) => kind)));
  },

  /** Tells each generation that the snapshot file goes through, until the parent ends the wait. */
  watch(path, last) {
    tell('ready');
    for (let seen = -1; seen !== Number(last); ) {
      const file = readSnapshotFile(path);
      if (file.state === 'damaged') throw new Error(file.reason);
      const generation = file.state === 'whole' ? file.content.generation : 0;
      if (generation !== seen) tell(String(generation));
      seen = generation;
    }
  },
};

const [task, path, ...args] = process.argv.slice(2);
if (import.meta.main && task !== undefined && path !== undefined) tasks[task]!(path, ...args);
