// The operations of a store on limits beyond the rules, which SqliteStore inherits: more time on a day, a day that is
// open or closed, time that was earned, usage that was charged by mistake.
import type { Availability } from './core/events.ts';
import { availabilities } from './core/limit-events.ts';
import type { Balance, DayOverride, Override } from './core/limits.ts';
import type { Opened } from './core/open.ts';
import { maxMs } from './core/usage.ts';
import {
  checkDuration, checkInteger, checkOneOf, checkOptionalText, checkOptions, checkText, invalid, quote,
} from './values/checks.ts';
import { checkDay } from './values/days.ts';

/** What each change may say of itself. */
export interface LimitChange {
  /**
   * The change's own id, for a caller that cannot know whether an earlier call was carried out. A second change of the
   * same kind with the same id and values does nothing; with other values it is `ERR_STORE_CONFLICT`. An id is
   * remembered as long as its event is in the database: once that went into an archive, the change counts anew.
   */
  id?: string | undefined;
  /** Who or what caused it; kept as the event's `source`. */
  source?: string | undefined;
  reason?: string | undefined;
}

const toldNames = ['id', 'source', 'reason'] as const;

function checkTold({ id, source, reason }: LimitChange): LimitChange {
  checkOptionalText('options.id', id);
  checkOptionalText('options.source', source);
  checkOptionalText('options.reason', reason);
  return { id, source, reason };
}

/** Refuses anything but whole milliseconds, which are not 0; negative ones take away. */
function checkChange(value: unknown): number {
  const durationMs = checkInteger('options.durationMs', value, -maxMs);
  if (durationMs === 0) throw invalid('options.durationMs', value, 'whole milliseconds other than 0');
  return durationMs;
}

/** A subject is an entry id, or a group of entries as `group:NAME`. Each change is an event, and durable on return. */
export class StoreOfLimits {
  readonly #parts: Opened;

  /** @internal */
  constructor(opened: Opened) {
    this.#parts = opened;
  }

  /**
   * Grants a subject `durationMs` beyond its quota of a day, or takes that away where it is negative; grants of a day
   * add up. Gives whether this call did it, and what is granted now. Throws `ERR_STORE_CONFLICT` for an `id` that was
   * used with other values, `ERR_STORE_CORRUPT` for a damaged override.
   */
  grantTime(
    options: { subject: string; day: string; durationMs: number } & LimitChange,
  ): { applied: boolean; grantedMs: number } {
    const { subject, day, durationMs, ...told } = checkOptions('options', options, [
      'subject', 'day', 'durationMs', ...toldNames,
    ]);
    checkText('options.subject', subject);
    checkDay('options.day', day);
    const asked = { subject, day, durationMs: checkChange(durationMs) };
    const checked = checkTold(told);
    const { connection, limits } = this.#parts;
    const what = `grant time to ${quote(subject)} on ${day}`;
    return connection.write('grantTime', what, () => limits.grant(asked, checked));
  }

  /**
   * Sets whether a subject is available on a day: `allowed` lifts the windows of its rules, and not its quotas; with
   * `denied` it may not start; `undefined` ends both.
   */
  setAvailability(
    options: { subject: string; day: string; availability: Availability | undefined } & Omit<LimitChange, 'id'>,
  ): void {
    const { subject, day, availability, ...told } = checkOptions('options', options, [
      'subject', 'day', 'availability', 'source', 'reason',
    ]);
    checkText('options.subject', subject);
    checkDay('options.day', day);
    if (availability !== undefined) checkOneOf('options.availability', availability, availabilities);
    const asked = { subject, day, availability: availability ?? null };
    const checked = checkTold(told);
    const { connection, limits } = this.#parts;
    const what = `set the availability of ${quote(subject)} on ${day}`;
    connection.write('setAvailability', what, () => limits.setAvailability(asked, checked));
  }

  /** What was permitted for a subject on a day beyond its rules. Throws `ERR_STORE_CORRUPT` for a damaged override. */
  getOverride(subject: string, day: string): Override {
    checkText('subject', subject);
    checkDay('day', day);
    const { connection, limits } = this.#parts;
    const what = `read the override of ${quote(subject)} on ${day}`;
    return connection.read(what, () => limits.override(subject, day) ?? { grantedMs: 0 });
  }

  /** The overrides by day and subject: all, those of a day, those of a subject. */
  listOverrides(options?: { day?: string | undefined; subject?: string | undefined }): DayOverride[] {
    const { day, subject } = checkOptions('options', options, ['day', 'subject']);
    if (day !== undefined) checkDay('options.day', day);
    checkOptionalText('options.subject', subject);
    const { connection, limits } = this.#parts;
    return connection.read('list the overrides', () => limits.overrides(day, subject));
  }

  /**
   * Adds `durationMs` to the time that a subject has earned, or takes it off. The balance stays at 0 or more, and is
   * raised to `capMs` at most: `appliedMs` says how much of the change that left. Gives whether this call did it, and
   * the balance. Throws `ERR_STORE_CONFLICT` for an `id` that was used with other values, `ERR_STORE_CORRUPT` for a
   * damaged balance.
   */
  adjustBalance(
    options: { subject: string; durationMs: number; capMs?: number | undefined } & LimitChange,
  ): { applied: boolean; appliedMs: number; balanceMs: number } {
    const { subject, durationMs, capMs, ...told } = checkOptions('options', options, [
      'subject', 'durationMs', 'capMs', ...toldNames,
    ]);
    checkText('options.subject', subject);
    if (capMs !== undefined) checkDuration('options.capMs', capMs);
    const asked = { subject, durationMs: checkChange(durationMs), capMs };
    const checked = checkTold(told);
    const { connection, limits } = this.#parts;
    const what = `adjust the balance of ${quote(subject)}`;
    return connection.write('adjustBalance', what, () => limits.adjust(asked, checked));
  }

  /** The time that a subject has earned and not yet spent, in milliseconds; 0 where it never earned any. */
  getBalance(subject: string): number {
    checkText('subject', subject);
    const { connection, limits } = this.#parts;
    return connection.read(`read the balance of ${quote(subject)}`, () => limits.balance(subject) ?? 0);
  }

  /** All balances by subject, those of 0 included. */
  listBalances(): Balance[] {
    const { connection, limits } = this.#parts;
    return connection.read('list the balances', () => limits.balances());
  }

  /**
   * Corrects an entry's usage of a day, which was charged by mistake, by `durationMs` either way. Gives whether this
   * call did it, and the total. Throws `ERR_STORE_INVALID_ARGUMENT` where the total would be less than 0, and
   * `ERR_STORE_CONFLICT` for an `id` that was used with other values.
   */
  correctUsage(
    options: { entryId: string; day: string; durationMs: number; reason: string } & LimitChange,
  ): { applied: boolean; totalMs: number } {
    const { entryId, day, durationMs, ...told } = checkOptions('options', options, [
      'entryId', 'day', 'durationMs', ...toldNames,
    ]);
    checkText('options.entryId', entryId);
    checkDay('options.day', day);
    const asked = { entryId, day, durationMs: checkChange(durationMs) };
    const checked = { ...checkTold(told), reason: checkText('options.reason', told.reason) };
    const { connection, limits } = this.#parts;
    const what = `correct the usage of ${quote(entryId)} on ${day}`;
    return connection.write('correctUsage', what, () => limits.correct(asked, checked));
  }
}
