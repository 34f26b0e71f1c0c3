// What stands at the end of a ledger's file: read from the end, so that it costs the same however long the file is.
import type { Anchor } from '../core/chain.ts';
import type { LedgerEnd } from '../core/options.ts';
import { StoreError } from '../values/errors.ts';
import type { LedgerFile } from './file.ts';
import {
  hasLostHeader, isHeaderStart, isNoise, type LedgerHeader, type LedgerLine, parseHeader, soundLine,
} from './line.ts';
import { type RawLine, readLines } from './read-lines.ts';

/** The end of the file as it was read last. */
export interface End extends LedgerEnd {
  /** The offset behind the header; 0 where there is none. A newer version's may be longer than ours. */
  headerBytes: number;
  /** The offset behind the last sound line. */
  bytes: number;
  /** The file's size at that moment; differs from `bytes` where damage follows the last sound line. */
  size: number;
  /** The ids of the last two sound lines behind the damage that each complete a group. */
  laterGroups: readonly number[];
}

export const emptyEnd: End = {
  store: undefined, created: undefined, head: undefined, groupEnd: 0, isSigned: false, torn: false, laterGroups: [],
  headerBytes: 0, bytes: 0, size: 0,
};

// A window holds some hundred lines, which is more than the page of a memory card that a power cut can destroy.
const windowBytes = 64 * 1024;
/** A memory card programs a page at once, so a power cut can destroy all of the page that was being written. */
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

/** Reads the end of a file of `size` bytes. Throws `ERR_STORE_NOT_A_STORE` for a file that is no ledger. */
export function readEnd(file: LedgerFile, size: number, recover: boolean): End {
  const header = readHeader(file, size, recover);
  if (!header) return { ...emptyEnd, torn: size > 0, size };
  const { store, created, after, renewed, headerBytes } = header;
  for (let window = windowBytes; ; window *= 4) {
    const from = Math.max(headerBytes, size - window);
    const end = scan(file, from === headerBytes ? from : from - 1, size, from === headerBytes);
    if (!end) continue;
    const told = { ...end, store, created, headerBytes, size, ...(after && { after }), ...(renewed && { renewed }) };
    return end.head ? told : { ...told, head: after, groupEnd: after?.id ?? 0 };
  }
}

/** Reads the header; `undefined` for a ledger that has none yet, or that lost it with its only page. */
function readHeader(
  file: LedgerFile, size: number, recover: boolean,
): LedgerHeader & Pick<End, 'headerBytes'> | undefined {
  const [first] = linesOf(file, 0, Math.min(size, windowBytes));
  if (!first) return undefined;
  const header = first.complete && first.bytes ? parseHeader(first.bytes) : undefined;
  if (recover && hasLostHeader(header, linesOf(file, 0, size))) return undefined;
  if (header) return { ...header, headerBytes: first.end };
  // A power cut leaves the beginning of a header, or noise; another program's text is neither. The first page is
  // rewritten only until it is full, so at most one whole group can follow it; a longer file is none of these.
  const page = size <= windowBytes ? file.read(0, Math.min(size, pageBytes)) : undefined;
  // A database that is named by mistake (`--ledger kiosk.db`) must not pass for noise, although its first page is no
  // text.
  const isDatabase = page?.toString('latin1', 0, 16) === 'SQLite format 3\0';
  const isDestroyed = page && !isDatabase && ((size <= pageBytes && isHeaderStart(page)) || isNoise(page));
  if (isDestroyed && scan(file, 0, size, true)!.laterGroups.length < 2) return undefined;
  const why = "its first line is none of this package's";
  throw new StoreError('ERR_STORE_NOT_A_STORE', `${file.path} is not a ledger: ${why}`);
}

/**
 * Reads the lines from an offset to the end. An offset inside the file cuts the first line, which is skipped; where the
 * next line is not sound or no group ends, the result is `undefined`, which asks for a larger window.
 */
function scan(file: LedgerFile, from: number, size: number, isStart: boolean): End | undefined {
  const end: End = { ...emptyEnd, bytes: from, size };
  for (const raw of linesOf(file, from, size)) {
    if (raw.number === 1 && !isStart) continue;
    const line = soundLine(raw);
    if (!end.torn && line && (end.head === undefined || line.prev === end.head.hash)) {
      end.head = { id: line.id, hash: line.hash };
      end.isSigned = line.sig !== undefined;
      end.bytes = raw.end;
      if (!line.more) end.groupEnd = line.id;
    } else {
      if (end.head === undefined && !isStart) return undefined;
      end.torn = true;
      if (line && !line.more) end.laterGroups = [...end.laterGroups.slice(-1), line.id];
    }
  }
  // A window in which no group ends does not show where the last whole group ended.
  return end.groupEnd === 0 && !isStart ? undefined : end;
}

/** A line and its place in the file. */
interface SoundLine {
  line: LedgerLine;
  raw: RawLine;
}

/** The lines of the smallest window at the end of the file that holds the line before `id`; each must be sound. */
export function* linesBackTo(file: LedgerFile, end: End, id: number): Generator<SoundLine, void, undefined> {
  const { headerBytes, bytes: to } = end;
  for (let window = windowBytes; ; window *= 4) {
    const from = Math.max(headerBytes, to - window);
    const isStart = from === headerBytes;
    let skip = isStart ? 0 : 1;
    let first = true;
    let wider = !isStart;
    for (const raw of linesOf(file, isStart ? from : from - 1, to)) {
      if (skip-- > 0) continue;
      const line = soundLine(raw);
      if (!line) throw new StoreError('ERR_STORE_PARITY', `${damagedAt(file, raw.start)}, before its end`);
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
  let offset = end.headerBytes;
  for (const { line, raw } of linesBackTo(file, end, id)) {
    if (line.id > id) break;
    offset = raw.end;
  }
  return offset;
}

/**
 * The lines between two offsets that belong to whole groups. A group is known to be whole only where it begins behind a
 * line that ends another group, or behind the row `after`. The first sound line behind damage may be the rest of a
 * group that is not there in full.
 */
export function* wholeGroups(
  file: LedgerFile, from: number, to: number, after: Anchor,
): Generator<LedgerLine, void, undefined> {
  let previous: LedgerLine | undefined;
  let group: LedgerLine[] | undefined;
  for (const raw of linesOf(file, from, to)) {
    const line = soundLine(raw);
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

/** Names the line at an offset as damaged. Counts all lines before it, so only where something is refused. */
export function damagedAt(file: LedgerFile, offset: number): string {
  let line = 1;
  for (const { end } of linesOf(file, 0, offset)) if (end <= offset) line++;
  return `line ${line} of ${file.path} is damaged`;
}
