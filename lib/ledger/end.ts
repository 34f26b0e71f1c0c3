// What stands at the end of a ledger's file: read from the end, so that it costs the same however long the file is.
import type { Anchor } from '../audit.ts';
import { StoreError } from '../errors.ts';
import type { MirrorEnd } from '../mirror-port.ts';
import type { LedgerFile } from './file.ts';
import { hasLostHeader, headerText, isHeaderStart, isNoise, isSound, parseHeader, parseLine } from './line.ts';
import type { LedgerHeader, LedgerLine } from './line.ts';
import { readLines } from './read-lines.ts';
import type { RawLine } from './read-lines.ts';

/** The end of the file as it was read last. */
export interface End extends MirrorEnd {
  /** Where the last sound line ends. */
  bytes: number;
  /** The file's size then; other than `bytes` where something torn follows. */
  size: number;
  /** The last two ids behind the damage with which a group is complete, as far as these lines are sound. */
  laterGroups: readonly number[];
}

export const emptyEnd: End = {
  store: undefined, created: undefined, head: undefined, groupEnd: 0, isSigned: false, torn: false, laterGroups: [],
  bytes: 0, size: 0,
};

// Holds some hundred lines: more than the page of a card that a power cut can destroy.
const windowBytes = 64 * 1024;
/** What a card programs at once: a power cut can destroy all of a page that was being written to. */
export const pageBytes = 4096;

/** The lines between two offsets of a file, in constant memory; none where there is no file. */
export function* linesOf(file: LedgerFile, from: number, to: number): Generator<RawLine, void, undefined> {
  const descriptor = file.acquire();
  if (!descriptor) return;
  try {
    yield* readLines(file.files, descriptor.fd, from, to);
  } finally {
    file.release(descriptor);
  }
}

/** Reads the end of a file of that size. Throws `ERR_STORE_NOT_A_STORE` for one that is no ledger. */
export function readEnd(file: LedgerFile, size: number, recover: boolean): End {
  const header = readHeader(file, size, recover);
  if (!header) return { ...emptyEnd, torn: size > 0, size };
  const { store, created } = header;
  const headerBytes = headerBytesOf(header);
  for (let window = windowBytes; ; window *= 4) {
    const from = Math.max(headerBytes, size - window);
    const end = scan(file, from === headerBytes ? from : from - 1, size, from === headerBytes);
    if (end) return { ...end, store, created, size };
  }
}

/** The length of the header that an end tells of; 0 where there is none. */
export function headerBytesOf({ store, created }: Pick<MirrorEnd, 'store' | 'created'>): number {
  return store === undefined || created === undefined ? 0 : Buffer.byteLength(headerText(store, created));
}

/** Undefined for a ledger that has no header yet, or lost it with the one page that it had. */
function readHeader(file: LedgerFile, size: number, recover: boolean): LedgerHeader | undefined {
  const [first] = linesOf(file, 0, Math.min(size, windowBytes));
  if (!first) return undefined;
  const header = first.complete && first.bytes ? parseHeader(first.bytes) : undefined;
  if (recover && hasLostHeader(header, linesOf(file, 0, size))) return undefined;
  if (header) return header;
  // Cut off while it was written, or noise; a text of somebody else's is neither. Its page is written again only until
  // it is full, so that no more than one whole group can follow, and a file that is longer is none of these.
  const page = size <= windowBytes ? file.read(0, Math.min(size, pageBytes)) : undefined;
  // A database is what a person names by mistake (`--ledger kiosk.db`), and its first page is as little text as noise is.
  const isDatabase = page?.toString('latin1', 0, 16) === 'SQLite format 3\0';
  const isDestroyed = page && !isDatabase && ((size <= pageBytes && isHeaderStart(page)) || isNoise(page));
  if (isDestroyed && scan(file, 0, size, true)!.laterGroups.length < 2) return undefined;
  const why = "its first line is none of this package's";
  throw new StoreError('ERR_STORE_NOT_A_STORE', `${file.path} is not a ledger: ${why}`);
}

/**
 * Reads the lines from an offset to the end. From inside of the file the first line is cut, and the second has to be
 * sound for the rest to mean something; undefined asks for a wider look.
 */
function scan(file: LedgerFile, from: number, size: number, isStart: boolean): End | undefined {
  const end: End = { ...emptyEnd, bytes: from, size };
  for (const { number, bytes, complete, end: lineEnd } of linesOf(file, from, size)) {
    if (number === 1 && !isStart) continue;
    const parsed = bytes && complete ? parseLine(bytes) : undefined;
    const line = parsed && isSound(parsed) ? parsed : undefined;
    if (!end.torn && line && (end.head === undefined || line.prev === end.head.hash)) {
      end.head = { id: line.id, hash: line.hash };
      end.isSigned = line.sig !== undefined;
      end.bytes = lineEnd;
      if (!line.more) end.groupEnd = line.id;
    } else {
      if (end.head === undefined && !isStart) return undefined;
      end.torn = true;
      if (line && !line.more) end.laterGroups = [...end.laterGroups.slice(-1), line.id];
    }
  }
  // A group that began before this window says nothing of the groups before it.
  return end.groupEnd === 0 && !isStart ? undefined : end;
}

/** A line, and where it stands. */
interface SoundLine {
  line: LedgerLine;
  raw: RawLine;
}

/** The sound lines of the smallest window at the end that holds the line before an id. */
export function* linesBackTo(file: LedgerFile, end: End, id: number): Generator<SoundLine, void, undefined> {
  const headerBytes = headerBytesOf(end);
  const to = end.bytes;
  for (let window = windowBytes; ; window *= 4) {
    const from = Math.max(headerBytes, to - window);
    const isStart = from === headerBytes;
    let skip = isStart ? 0 : 1;
    let first = true;
    let wider = !isStart;
    for (const raw of linesOf(file, isStart ? from : from - 1, to)) {
      if (skip-- > 0) continue;
      const line = raw.bytes && parseLine(raw.bytes);
      if (!line || !isSound(line)) {
        throw new StoreError('ERR_STORE_PARITY', `${damagedAt(file, raw.start)}, before its end`);
      }
      if (first && !isStart && line.id > id) break;
      first = wider = false;
      yield { line, raw };
    }
    if (!wider) return;
  }
}

/** The offset behind the line with an id; behind the header for 0. */
export function endOf(file: LedgerFile, end: End, id: number): number {
  if (id === end.head?.id) return end.bytes;
  let offset = headerBytesOf(end);
  for (const { line, raw } of linesBackTo(file, end, id)) {
    if (line.id > id) break;
    offset = raw.end;
  }
  return offset;
}

/**
 * The lines between two offsets that belong to whole groups: each begins behind a line that is seen to end one, or
 * behind the given row. What the first sound line behind damage belongs to is not known, and it may be the rest of a
 * group that was not written to its end.
 */
export function* wholeGroups(
  file: LedgerFile, from: number, to: number, after: Anchor,
): Generator<LedgerLine, void, undefined> {
  let previous: LedgerLine | undefined;
  let group: LedgerLine[] | undefined;
  for (const { bytes, complete } of linesOf(file, from, to)) {
    const parsed = bytes && complete ? parseLine(bytes) : undefined;
    const line = parsed && isSound(parsed) ? parsed : undefined;
    const follows = line !== undefined && previous?.hash === line.prev;
    if (line?.prev === after.hash || (follows && !previous?.more)) group = [];
    else if (!follows) group = undefined;
    if (line) group?.push(line);
    if (line && !line.more) {
      yield* group ?? [];
      group = undefined;
    }
    previous = line;
  }
}

/** Names the line of a file at an offset as damaged. Reads all before it, so only where something is refused. */
export function damagedAt(file: LedgerFile, offset: number): string {
  let line = 1;
  for (const { end } of linesOf(file, 0, offset)) if (end <= offset) line++;
  return `line ${line} of ${file.path} is damaged`;
}
