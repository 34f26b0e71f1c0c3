// What is carried over where a log is shortened: the balances that would otherwise follow from events in an archive
// alone. They are written as a few events, from which a replay and a comparison begin where they have nothing before.
import { encodeChecked, type RetentionEvent } from '../core/events.ts';
import { decodeBalance, decodeOverride, type LimitsContent } from '../core/limits.ts';
import { namedSql } from '../core/log.ts';
import type { StoreParts } from '../core/parts.ts';
import { fieldsOf } from '../core/retention-events.ts';
import { checkDuration, checkText, invalid, parseInstant } from '../values/checks.ts';
import { checkDay } from '../values/days.ts';

type CarriedEvent = Extract<RetentionEvent, { type: 'balances_carried' | 'limits_carried' }>;
/** Usage and cooldowns as an event has them. */
export type CarriedBalances = Extract<CarriedEvent, { type: 'balances_carried' }>;

/** The limits that an event has. */
export type CarriedLimits = Pick<LimitsContent, 'overrides' | 'balances'>;

// So many rows make a line of some ten kilobytes. Names may be long all the same, and a line that is too long for a
// ledger would keep the log from ever being shortened.
const partRows = 500;
const partLength = 1024 * 1024;

/** Cuts two lists into parts for one event each; there is one part at least. */
function* inParts<A, B>(first: Iterable<A>, second: Iterable<B>): Generator<[A[], B[]], void, undefined> {
  let [some, others, length] = [[] as A[], [] as B[], 0];
  const isFull = (row: A | B): boolean => {
    const isEnough = length > partLength || some.length + others.length >= partRows;
    length = (isEnough ? 0 : length) + JSON.stringify(row).length;
    return isEnough;
  };
  for (const row of first) {
    if (isFull(row)) {
      yield [some, others];
      some = [];
    }
    some.push(row);
  }
  for (const row of second) {
    if (isFull(row)) {
      yield [some, others];
      [some, others] = [[], []];
    }
    others.push(row);
  }
  yield [some, others];
}

/**
 * Records usage and cooldowns as they are, inside a transaction of a store with a ledger, before the rows up to one go.
 * Where rows that stay have all of them already, nothing is recorded: what happened since follows from events. Said
 * anew each night, the usage of two years would be a third of a log of thirty days (test/bench/README.md).
 */
export function carryBalances(parts: StoreParts, archivedId: number): void {
  if (isCarriedBehind(parts, 'balances_carried', archivedId)) return;
  let eventId: string | undefined = `balances_carried:${archivedId}`;
  for (const [some, others] of inParts(parts.usage.readableInOrder(), parts.cooldowns.readable())) {
    record(parts, {
      type: 'balances_carried',
      usage: some.map(({ entryId, day, durationMs }) => [entryId, day, durationMs]),
      cooldowns: others.map(({ entryId, until, setAt = null }) => [entryId, until, setAt]),
    }, eventId);
    eventId = undefined;
  }
}

/** Records the limits likewise, where there are any: in every store they follow from events. */
export function carryLimits(parts: StoreParts, archivedId: number): void {
  const { overrides, balances } = parts.limits.allReadable();
  if (overrides.length + balances.length === 0 || isCarriedBehind(parts, 'limits_carried', archivedId)) return;
  let eventId: string | undefined = `limits_carried:${archivedId}`;
  for (const [some, others] of inParts(overrides, balances)) {
    parts.limits.setAsOf(record(parts, {
      type: 'limits_carried',
      overrides: some.map(({ subject, day, grantedMs, availability = null }) => [
        subject, day, grantedMs, availability,
      ]),
      balances: others.map(({ subject, balanceMs }) => [subject, balanceMs]),
    }, eventId));
    eventId = undefined;
  }
}

/** Appends one event; the first of several has an id, by which the next archiving finds them. */
function record({ log }: StoreParts, event: CarriedEvent, eventId: string | undefined): number {
  const meta = eventId === undefined ? null : JSON.stringify({ eventId });
  const encoded = { ...encodeChecked(event), meta };
  log.ledger?.checkEvent(encoded);
  return log.append(encoded);
}

/** Whether the first event that carried something over, and so all of them, stand behind a row. */
function isCarriedBehind({ connection }: StoreParts, type: CarriedEvent['type'], archivedId: number): boolean {
  return connection.get(`SELECT 1 ${namedSql} AND id > ?2`, type, archivedId) !== undefined;
}

/** The balances in a row; `undefined` for a row of another type, and for another writer's. */
export function decodeCarriedBalances(id: number, type: unknown, data: unknown): CarriedBalances | undefined {
  return type !== 'balances_carried' ? undefined : decoded(() => {
    const event = { ...fieldsOf(id, data), type } as unknown as CarriedBalances;
    for (const [entryId, day, durationMs] of event.usage) {
      checkText('entryId', entryId);
      checkDay('day', day);
      checkDuration('durationMs', durationMs);
    }
    for (const [entryId, until, setAt] of event.cooldowns) {
      checkText('entryId', entryId);
      for (const at of [until, setAt ?? until]) if (!parseInstant(at)) throw invalid('cooldowns', at, 'an instant');
    }
    return event;
  });
}

/** The limits in a row; `undefined` for a row of another type, and for another writer's. */
export function decodeCarriedLimits(id: number, type: unknown, data: unknown): CarriedLimits | undefined {
  return type !== 'limits_carried' ? undefined : decoded(() => {
    const { overrides, balances } = fieldsOf(id, data) as Record<string, never[][]>;
    return { overrides: overrides!.map(decodeOverride), balances: balances!.map(decodeBalance) };
  });
}

/** The day of an event `usage_forgotten`; `undefined` for another writer's. */
export function decodeForgottenDay(id: number, data: unknown): string | undefined {
  return decoded(() => checkDay('before', fieldsOf(id, data)['before']));
}

function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined; // its hash is right, so it is not damaged, but another writer's
  }
}

/** Sets the rows that an event of `carryBalances` or `carryLimits` has, in a replay. */
export function followCarried(parts: StoreParts, id: number, type: unknown, data: unknown): void {
  const { usage, cooldowns, limits } = parts;
  const balances = decodeCarriedBalances(id, type, data);
  for (const [entryId, day, durationMs] of balances?.usage ?? []) usage.setRow(entryId, day, durationMs);
  for (const [entryId, until, setAt] of balances?.cooldowns ?? []) cooldowns.setRow(entryId, until, setAt);
  const carried = decodeCarriedLimits(id, type, data);
  if (carried) limits.setAll(id, carried);
}
