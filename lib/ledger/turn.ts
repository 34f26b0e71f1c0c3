// Writing beside a service that writes without a pause.
import { setTimeout as sleep } from 'node:timers/promises';
import { checkpointPages } from '../core/checkpoints.ts';
import type { Connection } from '../core/connection.ts';
import { pauseSync } from '../values/pause.ts';

/**
 * Runs a write in a transaction of its own, in a moment in which nobody else writes. SQLite lets nobody queue for its
 * lock, and asks for it less and less often, in the end ten times in a second: a service that appends without a pause
 * holds it nearly each time, so that archiving failed with ERR_STORE_BUSY after five seconds. So it is asked for about
 * a thousand times in a second, as long as the store waits for others. Throws what `write` throws.
 */
export async function writeInTurn(
  connection: Connection, operation: string, what: string, fn: () => void, signal: AbortSignal | undefined,
): Promise<void> {
  if (connection.writeAtOnce(operation, what, fn)) return;
  const [timeoutMs] = connection.get<[number]>('PRAGMA busy_timeout')!;
  const startedMs = performance.now();
  for (let waitedMs = 0; waitedMs < timeoutMs; ) {
    await sleep(1);
    signal?.throwIfAborted();
    waitedMs = performance.now() - startedMs;
    if (connection.writeAtOnce(operation, what, fn, waitedMs)) return;
  }
  connection.write(operation, what, fn, performance.now() - startedMs);
}

/** `writeInTurn` for an open, which cannot be asynchronous. SQLite itself waits for the second half of the time. */
export function writeInTurnSync(connection: Connection, operation: string, what: string, fn: () => void): void {
  const [timeoutMs] = connection.get<[number]>('PRAGMA busy_timeout')!;
  const startedMs = performance.now();
  for (let waitedMs = 0; waitedMs < timeoutMs / 2; waitedMs = performance.now() - startedMs) {
    if (connection.writeAtOnce(operation, what, fn, waitedMs)) return;
    pauseSync(1);
  }
  connection.write(operation, what, fn, timeoutMs > 0 ? performance.now() - startedMs : 0);
}

// Who has not written for so many looks does not write without a pause.
const idleLooks = 10;
const lookMs = 20;

/**
 * Has the WAL copied into the database once it is long, and waits while others make it longer, so that they can begin
 * it anew: SQLite does that only when all of it is copied and nobody reads from it at that moment. Without this pause
 * the WAL grew to 40 MB beside a service that appended without one. Nobody is waited for who does not write, or who has
 * had the time to copy it twice: a reader that never ends must not stop the archiving. A store that was opened to
 * read copies nothing, and SQLite refuses even the question to a user who may only read.
 */
export async function awaitCheckpoint(connection: Connection): Promise<void> {
  if (connection.reader) return;
  connection.checkpointIfDue();
  let [last, most, idle] = [0, Infinity, 0];
  for (; idle < idleLooks; await sleep(lookMs)) {
    const [, pages, copied] = connection.get<[number, number, number]>('PRAGMA wal_checkpoint(NOOP)')!;
    if (pages < checkpointPages || pages === copied || pages > most) return;
    if (last === 0) most = pages + 2 * checkpointPages;
    idle = pages > last ? 0 : idle + 1;
    last = pages;
  }
}
