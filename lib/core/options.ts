// The options of `open`: declared, checked and given their defaults.
import { checkFunction, checkInteger, checkOptions, checkText, invalid } from '../values/checks.ts';
import { absolutePath, snapshotPathOf } from '../values/paths.ts';
import { companionsOf } from '../values/place.ts';
import type { Anchor } from './chain.ts';
import type { FormerIdentity, Origin } from './identity.ts';
import type { LedgerPort } from './mirror-port.ts';
import type { StoreParts } from './parts.ts';

/** How to open a store. */
export interface OpenOptions {
  /** Where the time comes from; the system's clock by default. */
  clock?: (() => Date) | undefined;
  /** How long to wait for another process that writes, in milliseconds; 5,000 by default. */
  busyTimeoutMs?: number | undefined;
  /** The snapshot file; by default beside the database: `x.db` → `x.snapshot.json`. */
  snapshotPath?: string | undefined;
  /** Whether a lost or damaged database is moved aside and made anew from what is left, instead of refused. */
  recover?: boolean | undefined;
  /**
   * A `Ledger`, which gets every event too. A store that has one is not opened for writing without it; so a store that
   * is in use gets its first only while no other process has it open, or else `ERR_STORE_BUSY`.
   */
  ledger?: GivenLedger | undefined;
}

/** What is known of the end of a ledger. */
export interface LedgerEnd {
  /** The UUID of the store whose ledger it is, and when that store was made; undefined where there is no file yet. */
  store: string | undefined;
  created: string | undefined;
  /** The row before the first line, where that is in an archive. */
  after?: Anchor | undefined;
  /** The identities that the store had before. */
  renewed?: readonly FormerIdentity[] | undefined;
  /** The last sound row. */
  head: Anchor | undefined;
  /** The id of the last row that completes a group. */
  groupEnd: number;
  /** Whether the last row is signed. */
  isSigned: boolean;
  /** Whether damaged bytes follow the last sound row. */
  torn: boolean;
}

/**
 * Which store a ledger says it is of. A renewal that was cut short leaves its rows under the first line of before, so
 * the last row does not count: whoever takes the ledger compares it with the log.
 */
export function ledgerOrigin({ store, renewed }: LedgerEnd): Origin {
  return { store, renewed, lastId: 0 };
}

/** The ledger that `open` takes, as `Ledger.open` gives it. */
export interface GivenLedger {
  readonly path: string;
  /** The public half of the key that it signs with. */
  readonly publicKey: string | undefined;
  /** Whether it may write rows without a signature where signing has begun. */
  readonly unsigned: boolean;
  /** Throws where the file may not be written, or not be made. */
  checkWritable(): void;
  /** Reads the end of the file again, because another process may have appended to it. */
  refresh(): LedgerEnd;
  /**
   * Gives what keeps a store's log and this ledger equal; `recover` also mends damage that no power cut can cause.
   * @internal
   */
  forStore(parts: StoreParts, recover: boolean): LedgerPort;
}

/** The options with their defaults. */
export interface CheckedOptions {
  clock: () => Date;
  busyTimeoutMs: number;
  snapshotPath: string | undefined;
  recover: boolean;
  ledger: GivenLedger | undefined;
  /** Whether the store is opened beside a service, for a moment; see `SqliteStore.openAsGuest`. */
  isGuest?: boolean;
}

const names: readonly (keyof OpenOptions)[] = ['clock', 'busyTimeoutMs', 'snapshotPath', 'recover', 'ledger'];

/** Refuses an unknown option by name. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkOpenOptions(
  options?: OpenOptions, known: readonly (keyof OpenOptions)[] = names,
): CheckedOptions {
  const given = checkOptions('options', options, known);
  const { clock, busyTimeoutMs = 5_000, snapshotPath, recover = false, ledger } = given;
  if (typeof recover !== 'boolean') throw invalid('options.recover', recover, 'true or false');
  if (ledger !== undefined && typeof (ledger as Partial<GivenLedger> | null)?.refresh !== 'function') {
    throw invalid('options.ledger', ledger, 'what Ledger.open gives');
  }
  if (snapshotPath !== undefined) checkText('options.snapshotPath', snapshotPath);
  return {
    clock: checkFunction('options.clock', clock) ?? ((): Date => new Date()),
    // SQLite keeps the timeout in 32 bits.
    busyTimeoutMs: checkInteger('options.busyTimeoutMs', busyTimeoutMs, 0, 2 ** 31 - 1),
    snapshotPath: snapshotPath === undefined ? undefined : absolutePath(snapshotPath),
    recover,
    ledger,
  };
}

/** Checks the options of an operation that can be forced. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkForce(options: { force?: boolean | undefined } | undefined): boolean {
  const { force = false } = checkOptions('options', options, ['force']);
  if (typeof force !== 'boolean') throw invalid('options.force', force, 'true or false');
  return force;
}

/** The snapshot file's path. A rename replaces that file, so it must not be one of the database's own files. */
export function snapshotPathFor(path: string, options: CheckedOptions): string {
  const snapshotPath = options.snapshotPath ?? snapshotPathOf(path);
  if ([path, ...companionsOf(path)].includes(snapshotPath)) {
    throw invalid('options.snapshotPath', snapshotPath, 'another file than the database');
  }
  return snapshotPath;
}
