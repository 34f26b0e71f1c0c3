// The events of limits as they are read from the log or a ledger, where a row with the right hash may still be another
// writer's: before version 8 every service could append events of these types.
import { checkInteger, checkOneOf, checkText, isText } from '../values/checks.ts';
import { checkDay } from '../values/days.ts';
import { type Availability, type FieldChecks, type LimitEvent, parseColumn } from './events.ts';
import { maxMs } from './usage.ts';

export const availabilities: readonly Availability[] = ['allowed', 'denied'];

const checkMs = (name: string, value: unknown): number => checkInteger(name, value, -maxMs);
const checkBalance = (name: string, value: unknown): number => checkInteger(name, value, 0);

/** The fields from which the rows follow. */
const limitChecks: Record<LimitEvent['type'], FieldChecks> = {
  time_granted: { subject: checkText, day: checkDay, grantedMs: checkMs },
  availability_set: { subject: checkText, day: checkDay, availability: checkAvailability },
  balance_adjusted: { subject: checkText, balanceMs: checkBalance },
  usage_corrected: { entryId: checkText, day: checkDay, durationMs: checkMs },
};

function checkAvailability(name: string, value: unknown): Availability | null {
  return value === null ? null : checkOneOf(name, value, availabilities);
}

/** The types in SQL, as the index of these events names them. */
export const limitTypesSql = "('time_granted', 'availability_set', 'balance_adjusted', 'usage_corrected')";

/** Whether events of this type change limits. */
export function isLimitType(type: unknown): type is LimitEvent['type'] {
  return typeof type === 'string' && Object.hasOwn(limitChecks, type);
}

/** The event of limits in a row; `undefined` where its fields are not those that a method would have written. */
export function decodeLimit(id: number, type: LimitEvent['type'], data: unknown): LimitEvent | undefined {
  try {
    const fields = isText(data) ? (parseColumn(id, 'event_data', data) as Record<string, unknown> | null) : null;
    for (const [name, check] of Object.entries(limitChecks[type])) check(name, fields?.[name]);
    return { ...fields, type } as LimitEvent;
  } catch {
    return undefined; // its hash is right, so it is not damaged, but another writer's
  }
}
