// The plain-file half of a snapshot: written whole or not at all, read back or said why not. Also the texts of both
// halves.
import { hash, randomUUID } from 'node:crypto';
import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CooldownTexts } from './cooldowns.ts';
import { checkDay } from './days.ts';
import { StoreError } from './errors.ts';
import type { DayPart } from './days.ts';
import { makeLike } from './owner.ts';
import { temporaryStem } from './stem.ts';
import { checkArray, checkDuration, checkInstant, checkInteger, checkOptions, checkText, invalid, parseInstant } from './values.ts';

/** The state a service resumes from after a crash. */
export interface StateSnapshot {
  timestamp: Date;
  activeSession?: SessionSnapshot;
}

/** The session that was running. `elapsedMs` is what a monotonic clock had counted when the snapshot was taken. */
export interface SessionSnapshot {
  sessionId: string;
  entryId: string;
  startedAt: Date;
  deadline?: Date;
  /** The thresholds, in seconds before the deadline, of the warnings already shown. */
  warningsIssued: number[];
  elapsedMs?: number;
  /** The days that `elapsedMs` belongs to. What they lack of it lies between `startedAt` and the snapshot. */
  days?: DayPart[];
}

/** What the file beside the database holds: the state, and what a service needs to go on enforcing limits without it. */
export interface SnapshotContent {
  store: string;
  generation: number;
  savedAt: string;
  state: StateSnapshot;
  usage: { entryId: string; day: string; durationMs: number }[];
  cooldowns: CooldownTexts[];
  head: { id: number; hash: string } | null;
}

/** What is at the file's place. `damaged` includes everything that cannot be read as one of this package's files. */
export type SnapshotFile =
  | { state: 'absent' }
  | { state: 'whole'; content: SnapshotContent; bytes: number }
  | { state: 'damaged'; reason: string };

/** The text of a state. Throws `ERR_STORE_INVALID_ARGUMENT`, also for one that is larger than what is read back. */
export function encodeState(snapshot: StateSnapshot): string {
  if (snapshot === undefined) throw invalid('snapshot', snapshot, 'a state with a timestamp');
  const { timestamp, activeSession } = checkOptions('snapshot', snapshot, ['timestamp', 'activeSession']);
  const text: Record<string, unknown> = { timestamp: checkInstant('snapshot.timestamp', timestamp) };
  if (activeSession !== undefined) text['activeSession'] = encodeSession(activeSession);
  checkBytes(leastLength(text));
  return JSON.stringify(text);
}

/** The names of a session's fields. */
export const sessionFields = [
  'sessionId', 'entryId', 'startedAt', 'deadline', 'warningsIssued', 'elapsedMs', 'days',
] as const satisfies (keyof SessionSnapshot)[];

function encodeSession(given: SessionSnapshot): object {
  const name = 'snapshot.activeSession';
  const session = checkOptions(name, given, sessionFields);
  return {
    sessionId: checkText(`${name}.sessionId`, session.sessionId),
    entryId: checkText(`${name}.entryId`, session.entryId),
    startedAt: checkInstant(`${name}.startedAt`, session.startedAt),
    ...(session.deadline === undefined ? undefined : { deadline: checkInstant(`${name}.deadline`, session.deadline) }),
    warningsIssued: checkArray(`${name}.warningsIssued`, session.warningsIssued, 'an array of whole seconds', (item, secs) => checkInteger(item, secs, 0)),
    ...(session.elapsedMs === undefined ? undefined : { elapsedMs: checkDuration(`${name}.elapsedMs`, session.elapsedMs) }),
    ...(session.days === undefined
      ? undefined
      : { days: checkArray(`${name}.days`, session.days, 'an array of days with their durations', checkDayPart) }),
  };
}

function checkDayPart(name: string, given: unknown): DayPart {
  const { day, durationMs } = checkOptions(name, given as DayPart, ['day', 'durationMs']);
  return { day: checkDay(`${name}.day`, day), durationMs: checkDuration(`${name}.durationMs`, durationMs) };
}

/** The state that a text holds; `undefined` where it holds none. Checked as strictly as on the way in. */
export function decodeState(text: string): StateSnapshot | undefined {
  try {
    return checkState(JSON.parse(text));
  } catch {
    return undefined; // whoever asks says which copy it was
  }
}

/**
 * The state in a JSON value, whose instants are texts; `null` stands for no session. Throws `ERR_STORE_INVALID_ARGUMENT` for
 * a field that cannot be read or is none of a state's: what is passed over in a running session is not charged.
 */
export function checkState(value: unknown): StateSnapshot {
  const names = ['timestamp', 'activeSession'];
  const { timestamp, activeSession } = checkOptions('snapshot', value as Record<string, unknown>, names);
  const state = {
    timestamp: instantOf('snapshot.timestamp', timestamp),
    ...(activeSession == null ? undefined : { activeSession: checkSession(activeSession as Record<string, unknown>) }),
  };
  encodeState(state as StateSnapshot);
  return state as StateSnapshot;
}

function checkSession({ startedAt, deadline, ...rest }: Record<string, unknown>): object {
  return {
    ...Object.fromEntries(Object.entries(rest).filter(([, item]) => item !== undefined)),
    startedAt: instantOf('snapshot.activeSession.startedAt', startedAt),
    ...(deadline === undefined ? undefined : { deadline: instantOf('snapshot.activeSession.deadline', deadline) }),
  };
}

function instantOf(name: string, text: unknown): Date {
  const instant = parseInstant(text);
  if (!instant) throw invalid(name, text, 'an instant as RFC 3339 has it');
  return instant;
}

// {"format":"…","checksum":"<SHA-256 of the content's text>","content":{…}}: one JSON document whose content is hashed
// as the exact text that stands in the file.
const opening = '{"format":"shepherd-store snapshot 1","checksum":"';
const middle = '","content":';
const contentAt = opening.length + 64 + middle.length;
// Days and cooldowns of every entry fit many times over; a planted file must not fill the memory.
const maxBytes = 64 * 1024 * 1024;

/** Refuses what would not be read back, before anything is written. */
function checkBytes(bytes: number): void {
  if (bytes <= maxBytes) return;
  const what = 'the state, the usage of the last days and the cooldowns that are not over';
  throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `the snapshot would have ${bytes} bytes or more, and ${maxBytes} are read back: ${what} have to fit`);
}

/**
 * The least that a value takes as JSON. Asked before the text is built: V8 has no text of half a GiB characters, and one that
 * passes this has six times as many as this at most.
 */
function leastLength(value: unknown): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return String(value).length;
  let length = 1;
  if (Array.isArray(value)) for (const item of value) length += leastLength(item) + 1;
  else for (const [key, item] of Object.entries(value)) length += key.length + leastLength(item) + 4;
  return length;
}

function encodeFile(content: Omit<SnapshotContent, 'state'>, stateText: string): string {
  checkBytes(leastLength(content) + stateText.length);
  const text = JSON.stringify({ ...content, state: JSON.parse(stateText) as unknown });
  const whole = `${opening}${hash('sha256', text)}${middle}${text}}\n`;
  checkBytes(Buffer.byteLength(whole));
  return whole;
}

// What says that the file itself is no good. Anything else the system says (no permission, no descriptor left) says nothing
// about the file: what is there is unknown then.
const damageCodes = new Set<unknown>([undefined, 'ELOOP', 'EIO', 'ENXIO', 'EISDIR']);

/** Reads the file. Throws the system's error where that does not say what is there. */
export function readSnapshotFile(path: string): SnapshotFile {
  let text: string;
  try {
    text = readRegularFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return { state: 'absent' };
    if (!damageCodes.has(code)) throw error;
    return { state: 'damaged', reason: (error as Error).message };
  }
  const content = text.slice(contentAt, -2);
  if (!text.startsWith(opening) || !text.endsWith('}\n') || text.slice(opening.length, contentAt) !== hash('sha256', content) + middle) {
    return { state: 'damaged', reason: 'the checksum does not match: the file is torn or was edited; the next snapshot replaces it' };
  }
  const decoded = decodeContent(content);
  if (!decoded) return { state: 'damaged', reason: 'the content is not a snapshot; the next one replaces it' };
  return { state: 'whole', content: decoded, bytes: Buffer.byteLength(text) };
}

function readRegularFile(path: string): string {
  // Without O_NOFOLLOW a planted link would be read, without O_NONBLOCK a planted pipe would hang the service.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error('it is not a regular file');
    if (stat.size > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

/** A file that is whole may still come from elsewhere: every value in it is checked before it is used. */
function decodeContent(text: string): SnapshotContent | undefined {
  try {
    const content = JSON.parse(text) as SnapshotContent;
    const state = decodeState(JSON.stringify(content.state));
    if (!/^[0-9a-f-]{36}$/.test(checkText('store', content.store))) return undefined;
    checkInteger('generation', content.generation, 1, Number.MAX_SAFE_INTEGER - 1);
    for (const { entryId, day, durationMs } of content.usage) {
      checkText('entryId', entryId);
      checkDay('day', day);
      checkDuration('durationMs', durationMs);
    }
    for (const { entryId, until, setAt } of content.cooldowns) {
      checkText('entryId', entryId);
      if (!parseInstant(until) || (setAt !== undefined && !parseInstant(setAt))) return undefined;
    }
    if (content.head !== null) {
      checkInteger('head.id', content.head.id, 1);
      if (!/^[0-9a-f]{64}$/.test(content.head.hash)) return undefined;
    }
    return state && parseInstant(content.savedAt) ? { ...content, state } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a name in the folder is a temporary file of this snapshot file's own. */
export function isTemporaryOf(path: string, name: string): boolean {
  const stem = temporaryStem(path);
  return name.startsWith(stem) && /^[0-9a-f-]{36}\.tmp$/.test(name.slice(stem.length));
}

/**
 * Writes the file under an unpredictable temporary name and fsyncs it, so that everything that can fail fails before the
 * database commits. It is private from its first byte, but for those to whom the owner opened the database. Gives the
 * temporary path. Throws the system's error, and leaves nothing behind then.
 */
export function prepareSnapshotFile(path: string, database: string, content: Omit<SnapshotContent, 'state'>, stateText: string): string {
  const temporary = join(dirname(path), `${temporaryStem(path)}${randomUUID()}.tmp`);
  const text = encodeFile(content, stateText);
  const own = statSync(database);
  try {
    // wx: O_EXCL follows no planted link; 0600 from the first byte.
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      makeLike(fd, own); // SQLite does the same with its -wal
      // flush: without the fsync a power cut after the rename leaves an empty or zeroed file under the final name.
      writeFileSync(fd, text, { flush: true });
    } finally {
      closeSync(fd);
    }
    return temporary;
  } catch (error) {
    discardSnapshotFile(temporary);
    throw error;
  }
}

/** Puts a prepared file in its place. Throws the system's error; the old file then stands, or the new one whole. */
export function placeSnapshotFile(temporary: string, path: string): void {
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

/** Removes a prepared file that is not to be placed. */
export function discardSnapshotFile(temporary: string): void {
  rmSync(temporary, { force: true });
}

/** Makes the names in a folder durable: fsync of a file says nothing about the directory entry that leads to it. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
