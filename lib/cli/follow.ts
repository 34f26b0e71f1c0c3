// What the commands share that look at a store again and again: audit --follow and watch.
import { realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { look } from '../reading/reader.ts';
import type { SqliteStore } from '../store.ts';
import { hasCode } from '../values/errors.ts';
import type { Args } from './args.ts';
import type { Io } from './command.ts';
import { exitCodeOf } from './failures.ts';
import { openAgain, storePath } from './store-path.ts';

/** How often a store is looked at: new events are to be seen within a second, and the disk is not asked more often. */
export const everyMs = 1_000;

/** How long a store may be away before it is told: a service's restart and a restore take a second or two. */
export const quietMs = 3_000;

/** What comes after a turn: the next one at once, or when its second comes, or none. */
export type Next = 'at once' | 'later' | 'none';

/**
 * Runs `turn` again and again, until it says that there is no more to do or `io.signal` is aborted. What a turn was
 * just doing then is no error.
 */
export async function everySecond(io: Io, turn: () => Next | Promise<Next>): Promise<void> {
  while (!io.signal?.aborted) {
    const begun = performance.now();
    let next: Next;
    try {
      next = await turn();
    } catch (error) {
      if (io.signal?.aborted) return;
      throw error;
    }
    if (next === 'none') return;
    const waitMs = next === 'at once' ? 0 : Math.max(0, begun + everyMs - performance.now());
    await sleep(waitMs, undefined, io.signal ? { signal: io.signal } : {}).catch(() => {});
  }
}

/** Whether trying again can help; only a start of a newer version of this package reads a store of a newer version. */
export function mayPass(error: unknown): boolean {
  return exitCodeOf(error) !== undefined && !hasCode(error, 'ERR_STORE_SCHEMA_TOO_NEW');
}

/** What a look at a store gave: what was read, or why it cannot be read just now. */
export type Looked<T> = { value: T; error?: undefined } | { value?: undefined; error: Error };

/**
 * Reads a store again and again. It is opened for each read, and only where its files have changed.
 *
 * A reader that stayed open would hold no mark in the -wal between two reads, so that the service's checkpoints would
 * not wait for it, and PRAGMA data_version would tell it of a commit for 0.04 ms. But SQLite locks the database for as
 * long as a handle is open, and the service's last close then leaves its -wal and -shm behind, which it otherwise
 * empties and deletes (measured). To open the store, read the head of its log and close it takes 1.4 ms; the stats that
 * say that nothing has changed take 0.03 ms, and are eight system calls.
 */
export class Reopened {
  readonly #args: Args;
  readonly #io: Io;
  readonly #changes: Changes;

  constructor(args: Args, io: Io) {
    this.#args = args;
    this.#io = io;
    this.#changes = new Changes(storePath(args));
  }

  /**
   * Gives what `read` makes of the store, which is open only meanwhile; `undefined` where its files did not change
   * since the last look, unless `always`. Throws what trying again cannot help against.
   */
  async look<T>(read: (store: SqliteStore) => T | Promise<T>, always = false): Promise<Looked<T> | undefined> {
    if (!this.#changes.mayHaveCome() && !always) return undefined;
    try {
      using store = await openAgain(this.#args, this.#io);
      return { value: await read(store) };
    } catch (error) {
      if (this.#io.signal?.aborted || !mayPass(error)) throw error;
      this.#changes.forget();
      return { error: error as Error };
    }
  }

  /** Has the next look read the store, whatever its files are like. */
  forget(): void {
    this.#changes.forget();
  }
}

// A file system may note the time of a write by steps of up to two seconds (FAT), and most do by those of the kernel's
// timer. A write within the step of the one before it changes no time, and in a -wal that was begun anew no size.
const coarsestStepMs = 2_000;

/** Tells by the sizes, times and inode numbers of a store's files whether something was written. */
export class Changes {
  readonly #path: string;
  #signature: string | undefined;
  #since = 0;
  #isSettled = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** Whether a read that begins now may find what the one after the last call could not. */
  mayHaveCome(): boolean {
    const [signature, now] = [signatureOf(this.#path), performance.now()];
    if (signature === undefined || signature !== this.#signature) {
      this.#signature = signature;
      this.#since = now;
      this.#isSettled = false;
      return true;
    }
    if (this.#isSettled) return false;
    this.#isSettled = now - this.#since >= coarsestStepMs;
    return true;
  }

  forget(): void {
    this.#signature = undefined;
  }
}

function signatureOf(path: string): string | undefined {
  try {
    return look(realpathSync.native(path)).signature;
  } catch {
    return undefined; // whoever opens it finds out why
  }
}
