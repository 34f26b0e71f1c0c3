// What a report shows of limits: time granted or taken away, days opened or closed, corrections, and what was earned.
import type { LimitEvent } from '../../core/events.ts';
import { decodeLimit, isLimitType } from '../../core/limit-events.ts';
import type { Change } from './contents.ts';
import type { LogRow } from './log-rows.ts';

/** What a session spends of a balance has this as its source; the session itself is shown instead. */
const sessionSource = 'session';

/** The change that a row of the log tells of; `undefined` for other events and for another writer's. */
export function changeIn({ id, time, type, data, source }: LogRow): Change | undefined {
  if (time === undefined || !isLimitType(type)) return undefined;
  const event = decodeLimit(id, type, data);
  const change = event && figuresOf(event);
  if (!change || (change.kind === 'earned' && source === sessionSource)) return undefined;
  const { reason } = event;
  return {
    at: new Date(time), ...change,
    ...(typeof reason === 'string' && { reason }), ...(source !== null && { source }),
  };
}

function figuresOf(event: LimitEvent): Omit<Change, 'at' | 'reason' | 'source'> | undefined {
  if (event.type === 'availability_set') {
    const { subject, day, availability } = event;
    return { kind: 'availability', subject, day, availability };
  }
  const durationMs = event.type === 'balance_adjusted' ? event.appliedMs : event.durationMs;
  if (!Number.isSafeInteger(durationMs)) return undefined; // the store checks it, and another writer need not
  if (event.type === 'balance_adjusted') return { kind: 'earned', subject: event.subject, durationMs };
  if (event.type === 'time_granted') return { kind: 'granted', subject: event.subject, day: event.day, durationMs };
  return { kind: 'corrected', subject: event.entryId, day: event.day, durationMs };
}
