// Reading a database without changing anything. No single mode of SQLite changes nothing, leaves nothing behind and
// sees the latest commit, so the mode follows from what stands beside the file.
import { type BigIntStats, lstatSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { liveReaders, openHandle, type Reader } from '../core/handle.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { isWritableHere, readDatabaseBytes, readJournalBytes } from '../values/descriptors.ts';
import { codeOf, StoreError, type StoreErrorCode, toStoreError } from '../values/errors.ts';
import { copyBytes } from '../values/files.ts';
import { makeTemporaryFolder } from '../values/folders.ts';
import { pauseSync } from '../values/pause.ts';
import { companionsOf } from '../values/place.ts';

/**
 * The error when a database must be read from a copy and the copy cannot be made. It does not mean that anything is
 * wrong with the database or its disk.
 */
export class TemporaryCopyError extends StoreError {
  constructor(path: string, cause: unknown) {
    const folder = tmpdir();
    const what = `copy ${path} to the temporary folder ${folder}, to read it there`;
    const { code, message } = toStoreError(cause, what) as StoreError;
    // A missing temporary folder must not be reported as a missing store.
    super(code === 'ERR_STORE_NOT_FOUND' ? 'ERR_STORE_IO' : code, `${message} (TMPDIR names another one)`, { cause });
  }
}

const copyFailures: readonly (StoreErrorCode | undefined)[] = [
  'ERR_STORE_DISK_FULL', 'ERR_STORE_IO', 'ERR_STORE_NOT_FOUND', 'ERR_STORE_PERMISSION', 'ERR_STORE_READ_ONLY',
];

/** Whether an error comes from writing the copy and not from reading the database. */
function isOfCopy(error: unknown, path: string): boolean {
  const { path: at, syscall } = error as { path?: string; syscall?: string };
  if (error instanceof StoreError || syscall === 'read' || at?.startsWith(path)) return false;
  return copyFailures.includes(codeOf(error));
}

const walHeaderBytes = 32;

type Mode = 'live' | 'immutable' | 'copy';

/** The files at a path and beside it, as far as they decide how to read the database. */
interface Surroundings {
  /** Changes when one of the files is replaced. */
  identity: string;
  /** Changes when one of the files is replaced or written. */
  signature: string;
  hasFrames: boolean;
  hasIndex: boolean;
  hasJournal: boolean;
}

export function look(path: string): Surroundings {
  const database = lstatSync(path, { bigint: true });
  const statOf = (suffix: string): BigIntStats | undefined =>
    lstatSync(path + suffix, { bigint: true, throwIfNoEntry: false });
  const [wal, shm, journal] = [statOf('-wal'), statOf('-shm'), statOf('-journal')];
  return {
    identity: [database, wal, shm].map((stat) => stat?.ino ?? '-').join(' '),
    signature: [database, wal, journal].map((stat) => describe(stat)).join(' '),
    hasFrames: wal !== undefined && wal.size > BigInt(walHeaderBytes),
    hasIndex: shm !== undefined,
    hasJournal: journal !== undefined && journal.size > 0n,
  };
}

function describe(stat: BigIntStats | undefined): string {
  return stat ? `${stat.ino}:${stat.size}:${stat.mtimeNs}` : '-';
}

export function chooseMode(path: string, { hasFrames, hasIndex, hasJournal }: Surroundings): Mode {
  // A hot rollback journal has to be rolled back before anything can be read.
  if (hasJournal) return 'copy';
  // While no WAL has frames, all committed data is in the database file.
  if (!hasFrames || !hasWalHeader(path)) return 'immutable';
  // With a -shm, readonly_shm sees the commits of a running service, and those of a killed one by recovering the WAL in
  // memory. Without a -shm, SQLite can recover the WAL only on a copy.
  return hasIndex ? 'live' : 'copy';
}

/**
 * Whether a -wal begins with a header whose checksum is right
 * (https://www.sqlite.org/fileformat2.html#the_write_ahead_log). SQLite treats any other -wal as empty, but without
 * write access it would try for ten seconds first.
 */
function hasWalHeader(path: string): boolean {
  const header = Buffer.alloc(walHeaderBytes);
  readJournalBytes(`${path}-wal`, (fd) => readSync(fd, header, 0, walHeaderBytes, 0));
  const magic = header.readUInt32BE(0);
  if (magic !== 0x377f0682 && magic !== 0x377f0683) return false;
  const isBigEndian = magic === 0x377f0683;
  const word = (offset: number): number => (isBigEndian ? header.readUInt32BE(offset) : header.readUInt32LE(offset));
  let [first, second] = [0, 0];
  for (let offset = 0; offset < 24; offset += 8) {
    first = (first + word(offset) + second) >>> 0;
    second = (second + word(offset + 4) + first) >>> 0;
  }
  return first === header.readUInt32BE(24) && second === header.readUInt32BE(28);
}

/** Whether the files that were found before opening are unchanged; in `live` mode they may be written to. */
export function isCurrent(path: string, found: Surroundings & { mode: Mode }): boolean {
  const now = look(path);
  return found.mode === 'live' ? now.identity === found.identity : now.signature === found.signature;
}

/**
 * Whether a failed read in `live` mode can be repeated on a private copy: the -shm has no owner any more and this user
 * cannot repair it (READONLY_RECOVERY, _CANTLOCK and _CANTINIT), or SQLite cannot read the -wal (PROTOCOL, after ten
 * seconds of trying).
 */
export function needsCopy(errcode: number | undefined): boolean {
  return [264, 520, 1288, 15].includes(errcode ?? 0);
}

/** Copies a database and its -wal or journal into a private temporary folder. */
export function copyPrivately(path: string): { folder: string; copy: string } {
  if (isWritableHere(path)) {
    throw new StoreError('ERR_STORE_IO', `failed to read ${path}: its -shm was deleted while it was open`);
  }
  let folder: string | undefined;
  try {
    folder = makeTemporaryFolder('shepherd-store');
    const copy = join(folder, basename(path));
    for (const suffix of ['', '-wal', '-journal']) {
      if (!lstatSync(path + suffix, { throwIfNoEntry: false })?.isFile()) continue;
      const read = suffix === '' ? readDatabaseBytes : readJournalBytes;
      read(path + suffix, (from) => copyBytes(from, copy + suffix));
    }
    return { folder, copy };
  } catch (error) {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    throw isOfCopy(error, path) ? new TemporaryCopyError(path, error) : error;
  }
}

// Even with a timeout of 0 these attempts are made, each on the files that are there at that moment.
const minAttempts = 20;
const pauseMs = 10;

/** A read-only connection that reopens itself when a writer has come or gone between two reads or during one. */
export class ReadOnlyFile implements Reader {
  readonly path: string;
  readonly #busyTimeoutMs: number;
  #db: DatabaseSync | undefined;
  /** The files that were there when the handle was opened, and the mode it was opened in. */
  #found: (Surroundings & { mode: Mode }) | undefined;
  #copyNext = false;
  #isReading = false;

  /** Opens nothing yet; the first `read` does. */
  constructor(path: string, busyTimeoutMs: number) {
    this.path = path;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  /** The current handle, for use inside the function that `read` runs. */
  get db(): DatabaseSync {
    if (!this.#db) throw new TypeError('the database is only open inside of read');
    return this.#db;
  }

  /**
   * Runs a read. In `live` mode SQLite's own locks make it consistent. The other modes have no locks, so if a file was
   * written meanwhile, the result is discarded and the read is repeated. A read inside of another is a part of that: a
   * new handle would end the transaction in which the outer one reads.
   */
  read<T>(fn: () => T): T {
    if (this.#isReading) return fn();
    this.#isReading = true;
    try {
      return this.#readUntilCurrent(fn);
    } finally {
      this.#isReading = false;
    }
  }

  #readUntilCurrent<T>(fn: () => T): T {
    const deadline = Date.now() + this.#busyTimeoutMs;
    for (let attempt = 1; ; attempt++) {
      try {
        if (!this.#db || !this.#isCurrent()) this.#reopen();
        const result = fn();
        if (this.#isCurrent()) return result;
      } catch (error) {
        if (!this.#canRepeat(error, attempt)) throw error;
      }
      if (attempt < minAttempts) continue;
      if (Date.now() >= deadline) {
        const why = `it was written to during each of ${attempt} attempts`;
        throw new StoreError('ERR_STORE_BUSY', `failed to read ${this.path}: ${why}`);
      }
      pauseSync(pauseMs);
    }
  }

  #isCurrent(): boolean {
    return this.#found !== undefined && isCurrent(this.path, this.#found);
  }

  #canRepeat(error: unknown, attempt: number): boolean {
    const { errcode, code, path } = error as { errcode?: number; code?: string; path?: string };
    // A writer removed a -wal, -shm or -journal before it could be read. Any other missing file stays missing.
    if (code === 'ENOENT' && companionsOf(this.path).includes(path ?? '')) return true;
    if (this.#found?.mode === 'live' && needsCopy(errcode)) {
      this.close();
      this.#copyNext = true;
      return true;
    }
    // CANTOPEN: a process that closed the store has taken the -shm away since the look, and another has made one again,
    // which often gets the same inode number.
    if (this.#found?.mode === 'live' && ((errcode ?? 0) & 0xff) === 14 && attempt < minAttempts) return true;
    return this.#found !== undefined && !this.#isCurrent();
  }

  #reopen(): void {
    this.close();
    const found = look(this.path);
    const mode = this.#copyNext ? 'copy' : chooseMode(this.path, found);
    this.#copyNext = false;
    // `found` is from before the copying, so a write while the files are copied one by one makes the read repeat.
    this.#found = { ...found, mode };
    const parameters: Record<string, string> = mode === 'live' ? { readonly_shm: '1' } : { immutable: '1' };
    const settings = { readOnly: true, timeout: this.#busyTimeoutMs };
    this.#db = mode === 'copy' ? this.#openCopy() : openHandle(this.path, parameters, settings);
    if (mode === 'live') liveReaders.add(this);
  }

  #openCopy(): DatabaseSync {
    const { folder, copy } = copyPrivately(this.path);
    let db: DatabaseSync | undefined;
    try {
      db = openHandle(copy, {}, { timeout: this.#busyTimeoutMs });
      db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get(); // recovers the -wal or rolls the journal back
      db.exec('PRAGMA query_only = ON');
      return db;
    } catch (error) {
      db?.close();
      throw isOfCopy(error, this.path) ? new TemporaryCopyError(this.path, error) : error;
    } finally {
      // The open handle keeps the files usable. Removed now, they are not left behind if the process is killed.
      rmSync(folder, { recursive: true, force: true });
    }
  }

  close(): void {
    this.#db?.close();
    this.#db = undefined;
    this.#found = undefined;
    liveReaders.delete(this);
  }
}
