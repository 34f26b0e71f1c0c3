// The process whose system calls fail in test/faults/failing-disk.test.ts: opens a store, does operations of a plan,
// and goes on after each error. It says what became of each by writev, a call that nothing of the store uses, so that a
// failing write keeps it from nothing.
import { writevSync } from 'node:fs';
import { SqliteStore, StoreError } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { operation, perform } from './crash-worker.ts';

/** What the worker says: of the opening, of each operation by its number, of the closing. */
export interface Said {
  what: 'open' | 'close' | number;
  /** The code of the error; undefined where there was none. */
  code?: string;
  /** After an operation: whether the store took no writes before and after it. */
  before?: boolean;
  stopped?: boolean;
  healthy?: boolean;
}

function say(said: Said): void {
  writevSync(1, [Buffer.from(`${JSON.stringify(said)}\n`)]);
}

function codeOf(error: unknown): string {
  return error instanceof StoreError ? error.code : `no StoreError: ${String(error)}`;
}

function isStopped(store: SqliteStore): boolean {
  return store.health().findings.some(({ kind }) => kind === 'stopped');
}

function work(path: string, ledgerPath: string, seed: number, from: number, count: number): void {
  let store: SqliteStore;
  try {
    store = SqliteStore.open(path, ledgerPath === '' ? {} : { ledger: Ledger.open(ledgerPath) });
  } catch (error) {
    return say({ what: 'open', code: codeOf(error) });
  }
  say(store.recovery ? { what: 'open', code: `recovered: ${JSON.stringify(store.recovery)}` } : { what: 'open' });
  for (let number = from; number < from + count; number++) {
    const before = isStopped(store);
    let code: string | undefined;
    try {
      perform(store, operation(seed, number));
    } catch (error) {
      code = codeOf(error);
    }
    say({
      what: number,
      ...(code === undefined ? undefined : { code }),
      before,
      stopped: isStopped(store),
      healthy: store.isHealthy(),
    });
  }
  try {
    store.close();
    say({ what: 'close' });
  } catch (error) {
    say({ what: 'close', code: codeOf(error) });
  }
}

const [path, ledgerPath, seed, from, count] = process.argv.slice(2);
if (import.meta.main && path !== undefined) work(path, ledgerPath!, Number(seed), Number(from), Number(count));
