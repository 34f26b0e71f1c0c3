// The files of archives: their names, what their first line says, and reading one.
import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type AuditEvent, type AuditRow, type CoreEvent, decodeEvent, type EventBase } from '../../core/events.ts';
import { firstText, isCompressed } from '../../ledger/gzip.ts';
import { Ledger } from '../../ledger/index.ts';
import { type LedgerHeader, parseHeader } from '../../ledger/line.ts';
import { toRow } from '../../ledger/line.ts';
import { attempt } from '../../values/errors.ts';
import { checkPath } from '../../values/paths.ts';
import { stemOf } from '../../values/stem.ts';

/** A file of a folder that has the name of an archive. */
export interface ArchiveFile {
  path: string;
  /** The first and the last row of the log in it, by its name. */
  from: number;
  to: number;
  bytes: number;
  /** The UUID of the store whose archive it is, by its first line; absent where that cannot be read. */
  store?: string;
}

/** An archive, and the row before its first one. */
export interface FoundArchive extends ArchiveFile {
  /** Absent where the file begins with the store's first row, and where its first line cannot be read. */
  after: LedgerHeader['after'];
}

// `.audit-`, two ids of up to 16 digits, `-` and `.jsonl.gz` have 49 bytes.
const nameRoom = 49;
const namePattern = /^(.+)\.audit-([1-9]\d{0,15})-([1-9]\d{0,15})\.jsonl(?:\.gz)?$/s;

/** The name of the archive of a database with these rows. */
export function archiveName(database: string, from: number, to: number, isGzip: boolean): string {
  return `${databaseStem(database)}.audit-${from}-${to}.jsonl${isGzip ? '.gz' : ''}`;
}

/** What stands for a database in the names of its archives. */
export function databaseStem(database: string): string {
  return stemOf(database, nameRoom);
}

/** The files of a folder that have the name of an archive, by their first and last row. */
export function findArchives(folder: string): FoundArchive[] {
  const found: FoundArchive[] = [];
  for (const name of readdirSync(folder)) {
    const [, , from, to] = namePattern.exec(name) ?? [];
    if (from === undefined) continue;
    const path = join(folder, name);
    const look = lookAt(path);
    if (!look) continue;
    const { store, after } = look.header ?? {};
    const told = store === undefined ? undefined : { store };
    found.push({ path, from: Number(from), to: Number(to), bytes: look.bytes, ...told, after });
  }
  return found.sort((a, b) => a.from - b.from || a.to - b.to || (a.path < b.path ? -1 : 1));
}

const beginningBytes = 64 * 1024;

/** The first line and the size of a file; `undefined` for what is no regular file. */
function lookAt(path: string): { header: LedgerHeader | undefined; bytes: number } | undefined {
  let fd: number;
  try {
    // O_NONBLOCK: to open a planted pipe must not hang; O_NOFOLLOW: a planted link leads to somebody else's file.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (['ELOOP', 'ENXIO', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return undefined;
    const bytes = Buffer.alloc(Math.min(stat.size, beginningBytes));
    const text = bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
    return { header: headerIn(path, text), bytes: stat.size };
  } finally {
    closeSync(fd);
  }
}

function headerIn(path: string, beginning: Buffer): LedgerHeader | undefined {
  try {
    const text = isCompressed(path) ? firstText(beginning) : beginning;
    const end = text.indexOf('\n');
    return end < 0 ? undefined : parseHeader(text.subarray(0, end));
  } catch {
    return undefined; // whoever verifies the file is told what is wrong with it
  }
}

/** Whether a file has the name of an archive. */
export function hasArchiveName(path: string): boolean {
  return namePattern.test(basename(path));
}

/** Whether a file has the name of an archive of a database. */
export function isNamedFor({ path }: ArchiveFile, database: string): boolean {
  return namePattern.exec(basename(path))?.[1] === databaseStem(database);
}

/**
 * The archives in a folder, also those of other stores, by their first row. Reads no more of a file than its first
 * line. Throws `ERR_STORE_NOT_FOUND`, `ERR_STORE_PERMISSION` and `ERR_STORE_IO`.
 */
export function listArchives(folder: string): ArchiveFile[] {
  const path = checkPath(folder, 'folder');
  return attempt(`list the archives in ${path}`, () => findArchives(path)).map(({ after: _after, ...file }) => file);
}

/**
 * The events of an archive, oldest first, as `iterateAudits` gave them, in constant memory; of any ledger as well.
 * Throws `ERR_STORE_NOT_FOUND`, `ERR_STORE_NOT_A_STORE` for a file that is no archive, and `ERR_STORE_CORRUPT`, with
 * the line, for a damaged one. Whether all of it is as it was archived is shown by `verifyArchives` alone.
 */
export function* readArchive<E extends EventBase = CoreEvent>(path: string): Generator<AuditEvent<E>, void, undefined> {
  const ledger = openArchive(checkPath(path));
  for (const line of ledger.iterate()) {
    const { id, timestamp, type, data, meta } = toRow(line);
    yield decodeEvent<E>([id, timestamp, type, data, meta] as AuditRow);
  }
}

/** Opens an archive as the ledger that it is. Throws `ERR_STORE_NOT_FOUND` where there is no file. */
export function openArchive(path: string): Ledger {
  attempt(`read the archive ${path}`, () => closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)));
  return Ledger.open(path);
}
