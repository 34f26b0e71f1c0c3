// How page size and checkpoint threshold change what is written: the reason for the values in lib/core/checkpoints.ts.
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue, StatementSync } from 'node:sqlite';
import { checkpointPages } from '../../lib/core/checkpoints.ts';
import { SqliteStore } from '../../lib/index.ts';
import { bytesWritten, median, timed } from './measure.ts';

export interface Measured {
  pageBytes: number;
  checkpointAt: number;
  /** Bytes handed to the system for each operation, checkpoints and the last close included. */
  bytesPerOperation: number;
  usPerOperation: number;
  longestMs: number;
  walMegabytes: number;
}

const day = '2026-11-21';
const operations = 2_500; // two frames each: more than the largest threshold

/** The store compares what SQLite counts with its own threshold; counted in other units, the threshold is another. */
function withThreshold<T>(threshold: number, fn: () => T): T {
  const original = StatementSync.prototype.get as (this: StatementSync, ...values: SQLInputValue[]) => unknown;
  function scaled(this: StatementSync, ...values: SQLInputValue[]): unknown {
    const row = original.apply(this, values);
    if (!this.sourceSQL.includes('wal_checkpoint(NOOP)')) return row;
    const { log, ...rest } = row as { log: number };
    return { log: Math.floor((log * checkpointPages) / threshold), ...rest };
  }
  Object.defineProperty(StatementSync.prototype, 'get', { value: scaled, configurable: true, writable: true });
  try {
    return fn();
  } finally {
    Object.defineProperty(StatementSync.prototype, 'get', { value: original, configurable: true, writable: true });
  }
}

/** A store with this page size, with a year of usage and 5,000 events in it. */
function makeStore(path: string, pageBytes: number): void {
  const store = SqliteStore.open(path);
  store.transaction(() => {
    for (let number = 0; number < 5_000; number++)
      store.appendAudit({ type: 'session_started', sessionId: `session-${number}`, entryId: 'minecraft' });
    for (let number = 0; number < 365; number++) {
      const date = new Date(Date.UTC(2026, 0, number + 1)).toISOString().slice(0, 10);
      for (let entry = 0; entry < 20; entry++) store.addUsage(`entry-${entry}`, date, 90_500);
    }
  });
  store.close();
  using db = new DatabaseSync(path);
  db.exec(`PRAGMA journal_mode = DELETE; PRAGMA page_size = ${pageBytes}; VACUUM; PRAGMA journal_mode = WAL`);
}

/** Half events, a third usage, the rest cooldowns: what a busy service does between two snapshots. */
function work(store: SqliteStore, number: number): void {
  if (number % 2 === 0)
    store.appendAudit({ type: 'warning_issued', sessionId: `session-${number}`, thresholdSecs: 300 });
  else if (number % 3 === 0)
    store.setCooldownUntil(`entry-${number % 20}`, new Date(Date.UTC(2027, 0, 1, 0, 0, number)));
  else store.addUsage(`entry-${number % 20}`, day, 1_500);
}

function run(path: string, pageBytes: number, checkpointAt: number): Measured {
  makeStore(path, pageBytes);
  let longestMs = 0;
  let walBytes = 0;
  const before = bytesWritten();
  const totalMs = timed(() => {
    const store = SqliteStore.open(path);
    withThreshold(checkpointAt, () => {
      for (let number = 0; number < operations; number++) {
        longestMs = Math.max(longestMs, timed(() => work(store, number)));
        if (number % 100 === 0) walBytes = Math.max(walBytes, statSync(`${path}-wal`).size);
      }
    });
    store.close();
  });
  if (checkpointAt < checkpointPages && walBytes > 2 * checkpointAt * pageBytes)
    throw new Error('the threshold had no effect');
  return {
    pageBytes, checkpointAt, longestMs, walMegabytes: walBytes / 1e6,
    bytesPerOperation: (bytesWritten() - before) / operations, usPerOperation: (totalMs / operations) * 1000,
  };
}

/** Each combination twice in turn; the medians. */
export function experiment(folder: string): Measured[] {
  const combinations = [4096, 8192].flatMap((pageBytes) =>
    [100, 250, 1_000, 4_000].map((checkpointAt) => ({ pageBytes, checkpointAt, runs: [] as Measured[] })),
  );
  mkdirSync(join(folder, 'experiment'));
  for (let round = 0; round < 2; round++) {
    for (const { pageBytes, checkpointAt, runs } of combinations)
      runs.push(run(join(folder, 'experiment', `${pageBytes}-${checkpointAt}-${round}.db`), pageBytes, checkpointAt));
  }
  const middle = (runs: Measured[], name: keyof Measured): number => median(runs.map((each) => each[name]));
  return combinations.map(({ pageBytes, checkpointAt, runs }) => ({
    pageBytes,
    checkpointAt,
    bytesPerOperation: middle(runs, 'bytesPerOperation'),
    usPerOperation: middle(runs, 'usPerOperation'),
    longestMs: middle(runs, 'longestMs'),
    walMegabytes: middle(runs, 'walMegabytes'),
  }));
}
