// The snapshot file, which is the plain half of the pair: its format and checksum, written whole or not at all, read
// back or said why not.
import { hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { checkDuration, checkInteger, checkText, parseInstant } from '../values/checks.ts';
import { checkDay } from '../values/days.ts';
import { temporaryName } from '../values/files.ts';
import { checkJson } from '../values/json.ts';
import { openPrivate } from '../values/place.ts';
import { type Anchor, checkAnchor } from './chain.ts';
import type { CooldownTexts } from './cooldowns.ts';
import type { Origin } from './identity.ts';
import { decodeBalance, decodeOverride, type LimitsContent } from './limits.ts';
import { checkBytes, decodeState, leastLength, maxBytes, type StateSnapshot } from './state.ts';
import type { EntryUsage } from './usage.ts';

/** What the snapshot file holds: the state, and what a service needs to go on enforcing limits without the database. */
export interface SnapshotContent {
  store: string;
  generation: number;
  savedAt: string;
  state: StateSnapshot;
  usage: EntryUsage[];
  cooldowns: CooldownTexts[];
  /** Absent where no limit was ever changed. Version 7 writes it again as it was. */
  limits?: LimitsContent;
  head: Anchor | null;
}

/** A file that was read. */
export interface ReadContent extends SnapshotContent {
  /** The state's text, with the fields that a newer version has added to it. */
  stateText: string;
  /** The fields that a newer version has added to the file. */
  others: object;
}

/** Which store a file says it is of. */
export function originOf({ store, head }: SnapshotContent): Origin {
  return { store, lastId: head?.id ?? 0, head: head ?? undefined };
}

/** What is at the snapshot file's path. `damaged` is all that cannot be read as one of this package's files. */
export type SnapshotFile =
  | { state: 'absent' }
  | { state: 'whole'; content: ReadContent; bytes: number }
  | { state: 'damaged'; reason: string };

// {"format":"…","checksum":"<SHA-256 of the content's text>","content":{…}}: one JSON document whose content is
// hashed as the exact text that stands in the file.
const opening = '{"format":"shepherd-store snapshot 1","checksum":"';
const middle = '","content":';
const contentAt = opening.length + 64 + middle.length;

function encodeFile(content: Omit<SnapshotContent, 'state'>, stateText: string): string {
  checkBytes(leastLength(content) + stateText.length);
  const text = JSON.stringify({ ...content, state: JSON.parse(stateText) as unknown });
  const whole = `${opening}${hash('sha256', text)}${middle}${text}}\n`;
  checkBytes(Buffer.byteLength(whole));
  return whole;
}

// Error codes that mean that the file itself is damaged. Any other code (no permission, no descriptor left) says
// nothing about the file, so that its content is unknown.
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
  const isFramed = text.startsWith(opening) && text.endsWith('}\n');
  if (!isFramed || text.slice(opening.length, contentAt) !== hash('sha256', content) + middle) {
    const why = 'the file is torn or was edited; the next snapshot replaces it';
    return { state: 'damaged', reason: `the checksum does not match: ${why}` };
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

/** The most characters of JSON that a newer version may have added. */
const maxOthers = 2 ** 20;

/** Checks every value before it is used, because a file with the right checksum may still come from elsewhere. */
function decodeContent(text: string): ReadContent | undefined {
  try {
    const { state: stored, store, generation, savedAt, usage, cooldowns, limits, head, ...others } =
      JSON.parse(text) as SnapshotContent;
    // Every save writes them again, so that they must not be what makes it fail.
    const hasOthers = Object.keys(others).length > 0;
    if (hasOthers && JSON.stringify(checkJson('fields', others)).length > maxOthers) return undefined;
    const told = limits === undefined ? undefined : { limits };
    const content = { store, generation, savedAt, usage, cooldowns, head, ...told };
    const stateText = JSON.stringify(stored);
    const state = decodeState(stateText);
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
    if (limits !== undefined) checkLimits(limits);
    if (head !== null) checkAnchor('head', head);
    return state && parseInstant(savedAt) ? { ...content, state, stateText, others } : undefined;
  } catch {
    return undefined;
  }
}

function checkLimits({ overrides, balances, asOf }: LimitsContent): void {
  for (const { subject, day, grantedMs, availability = null } of overrides) {
    decodeOverride([subject, day, grantedMs, availability]);
  }
  for (const { subject, balanceMs } of balances) decodeBalance([subject, balanceMs]);
  checkAnchor('limits.asOf', asOf);
}

/**
 * Writes the file under an unpredictable temporary name and fsyncs it, so that everything that can fail fails before
 * the database commits. The file is private from its first byte, except to those to whom the owner opened the database.
 * Gives the temporary path. Throws the system's error, and leaves nothing behind then.
 */
export function prepareSnapshotFile(
  path: string, database: string, content: Omit<SnapshotContent, 'state'>, stateText: string,
): string {
  const temporary = temporaryName(path);
  const text = encodeFile(content, stateText);
  const like = statSync(database); // SQLite gives its -wal the same mode and owner
  try {
    const fd = openPrivate(temporary, like);
    try {
      // flush: without the fsync a power cut after the rename leaves an empty or zeroed file under the final name.
      writeFileSync(fd, text, { flush: true });
    } finally {
      closeSync(fd);
    }
    return temporary;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
