// What a diagnostics channel tells of each write when it has ended, for a service that measures its writes.
import { type Channel, channel } from 'node:diagnostics_channel';
import type { StatementSync } from 'node:sqlite';
import { CallersError } from '../values/errors.ts';
import type { DatabaseSync } from './sqlite.ts';

/**
 * What subscribers of the `diagnostics_channel` `shepherd-store:write` get when a write has ended: one of its own, or a
 * whole transaction. What was refused before it began, as by a store that was closed, is no write.
 */
export interface EndedWrite {
  /** The database's file; `:memory:` for a store in memory. */
  path: string;
  /**
   * The public name of what wrote, without anything that it was called with: `addUsage`, `transaction`,
   * `SessionTracker.start`; `open` for what an open repairs.
   */
  operation: string;
  /** How long it took, with `waitedMs`, the flush of the disk and a checkpoint that was due. */
  durationMs: number;
  /** How long it waited because another connection, as of another process, was writing; 0 where none was. */
  waitedMs: number;
  /** What it threw; absent where it did not fail. */
  error?: unknown;
}

export const writeChannel: Channel = channel('shepherd-store:write');

/**
 * Runs a write, and publishes it when it has ended: no transaction is open any more, so that a subscriber may use the
 * store. `waitedMs` is how long the caller has waited before, and `run` adds to that in what it is given.
 */
export function publishWrite<T>(
  { path = ':memory:', operation, waitedMs }: { path: string | undefined; operation: string; waitedMs: number },
  run: (ended: EndedWrite) => T, startedMs: number = performance.now(),
): T {
  const ended: EndedWrite = { path, operation, durationMs: 0, waitedMs };
  try {
    return run(ended);
  } catch (error) {
    ended.error = error instanceof CallersError ? error.error : error;
    throw error;
  } finally {
    ended.durationMs = waitedMs + performance.now() - startedMs;
    writeChannel.publish(ended);
  }
}

/** Runs `begin` without waiting for another connection that writes, although the store waits for `timeoutMs`. */
export function beginAtOnce(db: DatabaseSync, begin: StatementSync, timeoutMs: number): void {
  try {
    db.exec('PRAGMA busy_timeout = 0');
    begin.run();
  } finally {
    db.exec(`PRAGMA busy_timeout = ${timeoutMs}`);
  }
}

/** Runs `begin`, and adds to `ended` how long that waited for another connection that writes. */
export function beginTimed(db: DatabaseSync, begin: StatementSync, timeoutMs: number, ended: EndedWrite): void {
  try {
    return beginAtOnce(db, begin, timeoutMs);
  } catch (error) {
    // Only SQLITE_BUSY goes away by waiting; the other error of this kind has taken ten seconds by itself.
    if (timeoutMs === 0 || (Number((error as { errcode?: number }).errcode) & 0xff) !== 5) throw error;
  }
  const startedMs = performance.now();
  try {
    begin.run();
  } finally {
    ended.waitedMs += performance.now() - startedMs;
  }
}
