// Writing beside a service that writes without a pause.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '../core/connection.ts';

/**
 * Runs a write in a transaction of its own, in a moment in which nobody else writes. SQLite lets nobody queue for its
 * lock, and asks for it less and less often, in the end ten times in a second: a service that appends without a pause
 * holds it nearly each time, so that archiving failed with ERR_STORE_BUSY after five seconds. So it is asked for about
 * a thousand times in a second, as long as the store waits for others. Throws what `write` throws.
 */
export async function writeInTurn(
  connection: Connection, what: string, fn: () => void, signal: AbortSignal | undefined,
): Promise<void> {
  if (connection.writeAtOnce(what, fn)) return;
  const [timeoutMs] = connection.get<[number]>('PRAGMA busy_timeout')!;
  for (const startedMs = performance.now(); performance.now() - startedMs < timeoutMs; ) {
    await sleep(1);
    signal?.throwIfAborted();
    if (connection.writeAtOnce(what, fn)) return;
  }
  connection.write(what, fn);
}
