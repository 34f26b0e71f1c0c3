// The options of opening a store.
import type { AuditMirror } from './mirror-port.ts';
import { absolutePath } from './paths.ts';
import { checkDate, checkFunction, checkInteger, checkOptions, checkText, invalid } from './values.ts';

/** How to open a store. */
export interface OpenOptions {
  /** Where the time comes from; the system's clock by default. */
  clock?: () => Date;
  /** A clock that only goes forward, in milliseconds, for elapsed time; `performance.now` by default. */
  monotonicMs?: () => number;
  /** How long to wait for another process that writes, in milliseconds; 5,000 by default. */
  busyTimeoutMs?: number;
  /** The plain file of the snapshot pair; by default beside the database: `x.db` → `x.snapshot.json`. */
  snapshotPath?: string;
  /** Whether a lost or damaged database is moved aside and made anew from what is left, instead of refused. */
  recover?: boolean;
  /**
   * The second place for every event: a `Ledger`. Once a store has one, it is not opened for writing without it; so one that
   * is in use gets its first only while nobody else has it open, or else `ERR_STORE_BUSY`.
   */
  ledger?: AuditMirror;
}

/** The options with their defaults. */
export type CheckedOptions = Required<Omit<OpenOptions, 'snapshotPath' | 'ledger'>> & { snapshotPath: string | undefined; ledger: AuditMirror | undefined };

/** Refuses an unknown option by name. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkOpenOptions(options: OpenOptions | undefined, known: readonly (keyof OpenOptions)[] = ['clock', 'monotonicMs', 'busyTimeoutMs', 'snapshotPath', 'recover', 'ledger']): CheckedOptions {
  const { clock, monotonicMs, busyTimeoutMs = 5_000, snapshotPath, recover = false, ledger } = checkOptions('options', options, known);
  if (typeof recover !== 'boolean') throw invalid('options.recover', recover, 'true or false');
  if (ledger !== undefined && typeof (ledger as Partial<AuditMirror> | null)?.refresh !== 'function') throw invalid('options.ledger', ledger, 'what Ledger.open gives');
  return {
    clock: checkFunction('options.clock', clock) ?? ((): Date => new Date()),
    monotonicMs: checkFunction('options.monotonicMs', monotonicMs) ?? ((): number => performance.now()),
    // SQLite keeps the timeout in 32 bits.
    busyTimeoutMs: checkInteger('options.busyTimeoutMs', busyTimeoutMs, 0, 2 ** 31 - 1),
    snapshotPath: snapshotPath === undefined ? undefined : absolutePath(checkText('options.snapshotPath', snapshotPath)),
    recover,
    ledger,
  };
}

/** The option of what would lose something, or stop another process. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkForce(options: { force?: boolean } | undefined): boolean {
  const { force = false } = checkOptions('options', options, ['force']);
  if (typeof force !== 'boolean') throw invalid('options.force', force, 'true or false');
  return force;
}

/** One reading of the clock. Throws `ERR_STORE_INVALID_ARGUMENT` where it gives no valid Date. */
export function readClock({ clock }: CheckedOptions): Date {
  return checkDate('what options.clock gives', clock());
}
