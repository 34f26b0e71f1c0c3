// The state that a service resumes from: its fields, their checks, and its text in both halves of the snapshot pair.
import {
  checkArray, checkCount, checkDuration, checkInstant, checkOptions, checkText, invalid, parseInstant,
} from '../values/checks.ts';
import { checkDay, type DayPart } from '../values/days.ts';
import { StoreError } from '../values/errors.ts';

/** The state a service resumes from after a crash. */
export interface StateSnapshot {
  timestamp: Date;
  activeSession?: SessionSnapshot | undefined;
}

/** The session that was running. `elapsedMs` is what a monotonic clock had counted when the snapshot was taken. */
export interface SessionSnapshot {
  sessionId: string;
  entryId: string;
  startedAt: Date;
  deadline?: Date | undefined;
  /** The thresholds, in seconds before the deadline, of the warnings already shown. */
  warningsIssued: number[];
  elapsedMs?: number | undefined;
  /** The days to which `elapsedMs` belongs. What they lack of it lies between `startedAt` and the snapshot. */
  days?: DayPart[] | undefined;
  /** The subject whose balance the session spends. Versions that do not know it drop it when they save. */
  balance?: string | undefined;
}

/** The text of a state. Throws `ERR_STORE_INVALID_ARGUMENT`, also for a state that is too large to be read back. */
export function encodeState(snapshot: StateSnapshot): string {
  const fields = checkFields(snapshot);
  checkBytes(leastLength(fields));
  return JSON.stringify(fields);
}

/** The fields of a state as they are written. */
function checkFields(snapshot: StateSnapshot): object {
  if (snapshot === undefined) throw invalid('snapshot', snapshot, 'a state with a timestamp');
  const { timestamp, activeSession } = checkOptions('snapshot', snapshot, ['timestamp', 'activeSession']);
  const fields = { timestamp: checkInstant('snapshot.timestamp', timestamp) };
  return activeSession === undefined ? fields : { ...fields, activeSession: encodeSession(activeSession) };
}

export const sessionFields = [
  'sessionId', 'entryId', 'startedAt', 'deadline', 'warningsIssued', 'elapsedMs', 'days', 'balance',
] as const;

function encodeSession(given: SessionSnapshot): object {
  const name = 'snapshot.activeSession';
  const session = checkOptions(name, given, sessionFields);
  const { deadline, warningsIssued, elapsedMs, days, balance } = session;
  return {
    sessionId: checkText(`${name}.sessionId`, session.sessionId),
    entryId: checkText(`${name}.entryId`, session.entryId),
    startedAt: checkInstant(`${name}.startedAt`, session.startedAt),
    ...(deadline === undefined ? undefined : { deadline: checkInstant(`${name}.deadline`, deadline) }),
    warningsIssued: checkArray(`${name}.warningsIssued`, warningsIssued, 'an array of whole seconds', checkCount),
    ...(elapsedMs === undefined ? undefined : { elapsedMs: checkDuration(`${name}.elapsedMs`, elapsedMs) }),
    ...(days === undefined ? undefined : { days: checkArray(`${name}.days`, days, acceptedDays, checkDayPart) }),
    ...(balance === undefined ? undefined : { balance: checkText(`${name}.balance`, balance) }),
  };
}

const acceptedDays = 'an array of days with their durations';
const dayFields: readonly string[] = ['day', 'durationMs'];

function checkDayPart(name: string, given: unknown): DayPart {
  const { day, durationMs } = checkOptions(name, given as DayPart, dayFields);
  return { day: checkDay(`${name}.day`, day), durationMs: checkDuration(`${name}.durationMs`, durationMs) };
}

/** The state in a text, checked as strictly as when it was saved; `undefined` where the text holds none. */
export function decodeState(text: string): StateSnapshot | undefined {
  try {
    return checkState(JSON.parse(text));
  } catch {
    return undefined; // the caller reports which copy it was
  }
}

/**
 * The state in a JSON value, whose instants are texts; `null` means no session. A field that a newer version has added
 * is ignored. Throws `ERR_STORE_INVALID_ARGUMENT` for a field that cannot be read.
 */
export function checkState(value: unknown): StateSnapshot {
  const { timestamp, activeSession } = known('snapshot', value, ['timestamp', 'activeSession']);
  const state = {
    timestamp: instantOf('snapshot.timestamp', timestamp),
    ...(activeSession == null ? undefined : { activeSession: checkSession(activeSession) }),
  };
  checkFields(state as StateSnapshot);
  return state as StateSnapshot;
}

function checkSession(value: unknown): object {
  const name = 'snapshot.activeSession';
  const { startedAt, deadline, days, ...rest } = known(name, value, sessionFields);
  const knownDay = (part: string, item: unknown): object => known(part, item, dayFields);
  return {
    ...rest,
    ...(days === undefined ? undefined : { days: checkArray(`${name}.days`, days, acceptedDays, knownDay) }),
    startedAt: instantOf(`${name}.startedAt`, startedAt),
    ...(deadline === undefined ? undefined : { deadline: instantOf(`${name}.deadline`, deadline) }),
  };
}

/**
 * Those fields of an object that are there and have one of these names. Another writer's names (snake case, `billable`)
 * are refused: an adopted state that could not be read still has them, and without them it would lose its session.
 */
function known(name: string, value: unknown, names: readonly string[]): Record<string, unknown> {
  const accepted = [...names];
  for (const key of Object.keys(value ?? {})) if (!key.includes('_') && key !== 'billable') accepted.push(key);
  const given = checkOptions(name, value as Record<string, unknown>, accepted);
  const fields: Record<string, unknown> = {};
  for (const key of names) if (given[key] !== undefined) fields[key] = given[key];
  return fields;
}

function instantOf(name: string, text: unknown): Date {
  const instant = parseInstant(text);
  if (!instant) throw invalid(name, text, 'an instant as RFC 3339 has it');
  return instant;
}

// Days and cooldowns of every entry fit into this many times over, and a planted file must not fill the memory.
export const maxBytes: number = 64 * 1024 * 1024;

/** Refuses a snapshot that is too large to be read back, before anything is written. */
export function checkBytes(bytes: number): void {
  if (bytes <= maxBytes) return;
  const what = 'the state, the usage of the last days and the cooldowns that are not over';
  const limit = `${maxBytes} are read back: ${what} have to fit`;
  throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `the snapshot would have ${bytes} bytes or more, and ${limit}`);
}

/**
 * The least length that a value has as JSON. It is checked before the text is built, because V8 has no text of half a
 * GiB characters; a text has at most six times this length.
 */
export function leastLength(value: unknown): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return String(value).length;
  let length = 1;
  if (Array.isArray(value)) for (const item of value) length += leastLength(item) + 1;
  else for (const [key, item] of Object.entries(value)) length += key.length + leastLength(item) + 4;
  return length;
}
