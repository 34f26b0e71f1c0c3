// Making a ledger end where the log does: what it lacks is written from the log, what a power cut tore is set aside.
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Anchor } from '../audit.ts';
import { StoreError } from '../errors.ts';
import { prepareFolder, temporaryBeside } from '../files.ts';
import type { Brought, MirroredLog, MirroredRow } from '../mirror-port.ts';
import { damagedAt, endOf, pageBytes, wholeGroups } from './end.ts';
import type { End } from './end.ts';
import { LedgerFile } from './file.ts';
import { headerText, lineText, toLine } from './line.ts';
import { writeLines } from './write-lines.ts';

/** Where file and log part. */
interface Break {
  /** The end of the last line that both have, and its row. */
  from: number;
  after: Anchor | undefined;
  /** What stands behind it by the log: the header, or the line of the next row; empty where the log has no more. */
  text: string;
  row: MirroredRow | undefined;
  /** The first byte that is not as the log has it; the file's size where nothing contradicts the log. */
  differsAt: number;
  /** Whether a power cut can have left it so; see `isTornEnd`. */
  isTorn: boolean;
}

/** See `AuditMirror.bringTo`. */
export function bringTo(file: LedgerFile, end: End, log: MirroredLog): Brought {
  const found = findBreak(file, end, log);
  const { from, differsAt, isTorn } = found;
  const setAside = differsAt < end.size;
  const lostTo = setAside ? lastBeyond(file, from, end.size, log.head) : undefined;
  const isDamaged = setAside && (!isTorn || lostTo !== undefined);
  if (isDamaged && !log.recover) {
    const behind = lostTo === undefined ? '' : `, and events up to row ${lostTo} follow, which the database has not`;
    const what = `${damagedAt(file, end.bytes)}, and not as a power cut leaves it`;
    throw new StoreError('ERR_STORE_PARITY', `${what}${behind}; it stays as it is`);
  }
  if (setAside) file.copyAside(isDamaged ? 'damaged' : 'torn', from, end.size, log.now);
  if (isTorn) goOn(file, found, log);
  else renew(file, found, log);
  return { replaced: !isTorn, setAside, ...(lostTo === undefined ? undefined : { lostTo }) };
}

/** The last row of whole groups that the log has not; `undefined` where there is none. */
function lastBeyond(file: LedgerFile, from: number, to: number, head: Anchor): number | undefined {
  let last: number | undefined;
  for (const { id } of wholeGroups(file, from, to, head)) if (id > head.id) last = id;
  return last;
}

function findBreak(file: LedgerFile, end: End, log: MirroredLog): Break {
  const { head, size, bytes } = end;
  if (end.store === log.store) {
    if ((head?.id ?? 0) >= log.head.id) {
      const from = endOf(file, end, log.head.id);
      return { from, after: log.head, text: '', row: undefined, differsAt: from, isTorn: true };
    }
    const [row] = log.rows(head);
    const [text, differsAt] = compare(file, bytes, size, lineTexts(row!, log));
    return { from: bytes, after: head, text, row, differsAt, isTorn: isTornEnd(bytes, log.rows(head), differsAt) };
  }
  // None yet, or its header is lost; another store's without an event is none.
  const header = headerText(log.store, log.created);
  const isNone = size === 0 || end.store !== undefined;
  const differsAt = isNone ? size : compare(file, 0, size, [header])[1];
  const isTorn = !isNone && isTornEnd(Buffer.byteLength(header), log.rows(undefined), differsAt);
  return { from: 0, after: undefined, text: header, row: undefined, differsAt, isTorn };
}

/** The line of a row as it may stand in the file: there it may say that more follow, which the log does not know. */
function lineTexts(row: MirroredRow, { head }: MirroredLog): string[] {
  const texts = [row, { ...row, more: true }].map((each) => lineText(toLine(each)));
  return row.id === head.id ? texts.slice(0, 1) : texts;
}

type Agreed = [text: string, differsAt: number];

/** Which of the texts agrees with the file for longest from an offset on, and the first byte that does not. */
function compare(file: LedgerFile, from: number, size: number, texts: readonly string[]): Agreed {
  let best: Agreed = [texts[0]!, from];
  for (const text of texts) {
    const expected = Buffer.from(text);
    const found = file.read(from, Math.min(expected.length, size - from));
    let agreed = 0;
    while (agreed < found.length && found[agreed] === expected[agreed]) agreed++;
    if (from + agreed > best[1]) best = [text, from + agreed];
  }
  return best;
}

/**
 * Whether nothing differs before the page that holds the end of the line of the log's head, which follows from where the
 * line of the first of the rows begins. A power cut destroys only what was being written and the pages around it, and that
 * begins at this end. What is missing is written in place only from there on: another power cut leaves no more than that.
 */
function isTornEnd(begin: number, rows: Iterable<MirroredRow>, differsAt: number): boolean {
  let end = begin;
  if (pageOf(end - 1) > differsAt) return false;
  for (const row of rows) {
    end += Buffer.byteLength(lineText(toLine(row)));
    if (pageOf(end - 1) > differsAt) return false;
  }
  return true;
}

function pageOf(offset: number): number {
  return offset - (offset % pageBytes);
}

/** Writes the rest in place, from no earlier page on than the first byte that differs: the bytes before it stay. */
function goOn(file: LedgerFile, { from, after, text, row, differsAt }: Break, log: MirroredLog): void {
  const begin = Math.max(from, pageOf(differsAt));
  file.truncate(begin);
  file.sync(); // before the new end stands there: it must not be followed by the old one
  if (text === '') return;
  const position = begin + file.write(Buffer.from(text).subarray(begin - from), begin);
  writeLines(file, log.rows(row ?? after), position);
  file.sync();
}

/**
 * Writes all of it under another name and puts that in its place: a power cut meanwhile leaves the old file or the new
 * one, and not damage before the end, which is refused.
 */
function renew(file: LedgerFile, { from, after, text, row }: Break, log: MirroredLog): void {
  prepareFolder(dirname(file.path));
  const isThere = file.use((fd) => fd !== undefined);
  const fresh = new LedgerFile(temporaryBeside(file.path), file.files);
  fresh.hold();
  try {
    fresh.create(isThere ? file.like : log.like);
    file.copyTo(fresh, 0, from);
    const position = from + (row ? 0 : fresh.write(Buffer.from(text), from));
    writeLines(fresh, log.rows(after), position);
    fresh.sync();
    if (!isThere) file.create(log.like); // takes the name, or fails where somebody else has it by now
    fresh.takePlaceOf(file);
  } catch (error) {
    rmSync(fresh.path, { force: true });
    throw error;
  } finally {
    fresh.letGo();
  }
}
