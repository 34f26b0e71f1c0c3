// Making a ledger end where the log does: what it lacks is written from the log, what a power cut tore is set aside.
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Anchor } from '../core/chain.ts';
import type { FormerIdentity } from '../core/identity.ts';
import { StoreError } from '../values/errors.ts';
import { temporaryBeside } from '../values/files.ts';
import { prepareFolder } from '../values/folders.ts';
import type { FileLike } from '../values/owner.ts';
import { damagedAt, type End, endOf, pageBytes, wholeGroups } from './end.ts';
import { LedgerFile } from './file.ts';
import { headerText, lineText, toLine } from './line.ts';
import type { LedgerRow } from './rows.ts';
import { writeLines } from './write-lines.ts';

/** Where the file and the log stop being the same. */
interface Break {
  /** The offset behind the last line that both have, and the row of that line. */
  from: number;
  after: Anchor | undefined;
  /** What follows by the log: the header, or the line of the next row; empty where the log has no further row. */
  text: string;
  row: LedgerRow | undefined;
  /** The offset of the first byte that contradicts the log; the file's size where none does. */
  differsAt: number;
  /** Whether a power cut can have left it so; see `isTornEnd`. */
  isTorn: boolean;
}

/** The log of a store, which its ledger is to match. */
export interface SourceLog {
  store: string;
  created: string;
  /** The row before the first one, where that is in an archive. */
  after: Anchor | undefined;
  /** The identities that the store had before. */
  renewed: readonly FormerIdentity[];
  /** The last row; for an empty log the id 0, and the hash that the first row will name as its predecessor's. */
  head: Anchor;
  /** The rows after a given one, or all rows. */
  rows(after: Anchor | undefined): Iterable<LedgerRow>;
  /** The file or database whose mode and owner a new file gets. */
  like: FileLike;
  now: Date;
  /** Whether damage that no power cut can cause is set aside and rewritten too, instead of refused. */
  recover: boolean;
}

/** What `bringTo` did. */
export interface Brought {
  /** Whether there is another file at the path now. */
  replaced: boolean;
  setAside: boolean;
  /** The last of the rows that only the ledger had and that are lost, because damage comes before them. */
  lostTo?: number;
}

/** See `LedgerTail.bringTo`. */
export function bringTo(file: LedgerFile, end: End, log: SourceLog): Brought {
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

/** The last row of a whole group that the log lacks; `undefined` where there is none. */
function lastBeyond(file: LedgerFile, from: number, to: number, head: Anchor): number | undefined {
  let last: number | undefined;
  for (const { id } of wholeGroups(file, from, to, head)) if (id > head.id) last = id;
  return last;
}

function findBreak(file: LedgerFile, end: End, log: SourceLog): Break {
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
  // There is no header yet, or it is lost, or it has an identity that the store had before, so that the file is written
  // anew. Another store's ledger counts as empty where it holds no event.
  const header = headerText(log);
  const isNone = size === 0 || end.store !== undefined;
  const differsAt = isNone ? bytes : compare(file, 0, size, [header])[1];
  const isTorn = !isNone && isTornEnd(Buffer.byteLength(header), log.rows(undefined), differsAt);
  return { from: 0, after: undefined, text: header, row: undefined, differsAt, isTorn };
}

/** The lines that the file may have for a row: `more` may be set there, which the log does not record. */
function lineTexts(row: LedgerRow, { head }: SourceLog): string[] {
  const texts = [row, { ...row, more: true }].map((each) => lineText(toLine(each)));
  return row.id === head.id ? texts.slice(0, 1) : texts;
}

type Agreed = [text: string, differsAt: number];

/** The text that agrees longest with the file from an offset on, and the offset of the first byte that differs. */
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
 * Whether nothing differs before the page in which the line of the log's last row ends. `begin` is the offset where the
 * line of the first of `rows` starts. A power cut destroys only what was being written and the pages around it, and
 * writing begins at this end. Only then is the rest written in place, so that another power cut damages no more than
 * that.
 */
function isTornEnd(begin: number, rows: Iterable<LedgerRow>, differsAt: number): boolean {
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

/** Writes the rest in place, from the page of the first byte that differs on; the pages before it are not touched. */
function goOn(file: LedgerFile, { from, after, text, row, differsAt }: Break, log: SourceLog): void {
  const begin = Math.max(from, pageOf(differsAt));
  file.truncate(begin);
  file.sync(); // the truncation must be durable first, or a power cut could leave the old end behind the new one
  if (text === '') return;
  const position = begin + file.write(Buffer.from(text).subarray(begin - from), begin);
  writeLines(file, log.rows(row ?? after), position);
  file.sync();
}

/**
 * Writes the whole ledger under another name and renames that into place, so that a power cut leaves the old file or
 * the new one, and never damage before the end, which would be refused.
 */
function renew(file: LedgerFile, { from, after, text, row }: Break, log: SourceLog): void {
  prepareFolder(dirname(file.path));
  const isThere = file.use((fd) => fd !== undefined);
  const fresh = new LedgerFile(temporaryBeside(file.path), file.files);
  fresh.hold();
  try {
    fresh.create(isThere ? file.like : log.like);
    file.copyTo(fresh, from);
    const position = from + (row ? 0 : fresh.write(Buffer.from(text), from));
    writeLines(fresh, log.rows(after), position);
    fresh.sync();
    if (!isThere) file.create(log.like); // takes the name, or fails where another process has taken it since
    fresh.takePlaceOf(file);
  } catch (error) {
    rmSync(fresh.path, { force: true });
    throw error;
  } finally {
    fresh.letGo();
  }
}
