// Reading a database without changing anything. No single mode of SQLite changes nothing, leaves nothing behind and
// sees the latest commit, so the mode follows from what stands beside the file.
import { type BigIntStats, lstatSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { liveReaders, openHandle, type Reader } from '../core/handle.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { isWritableHere, readDatabaseBytes, readJournalBytes } from '../values/descriptors.ts';
import { StoreError, type StoreErrorCode, toStoreError } from '../values/errors.ts';
import { copyBytes } from '../values/files.ts';
import { makeTemporaryFolder } from '../values/folders.ts';

/**
 * Where a database is read on a copy: why that cannot be made. It says nothing of the database and of the disk that has
 * it.
 */
export class TemporaryCopyError extends StoreError {
  constructor(path: string, cause: unknown) {
    const folder = tmpdir();
    const what = `copy ${path} to the temporary folder ${folder}, to read it there`;
    const { code, message } = toStoreError(cause, what) as StoreError;
    // A missing temporary folder is no missing store, and a disk that fails there does not stop one.
    super(code === 'ERR_STORE_NOT_FOUND' ? 'ERR_STORE_IO' : code, `${message} (TMPDIR names another one)`, { cause });
  }
}

const copyFailures: readonly StoreErrorCode[] = [
  'ERR_STORE_DISK_FULL', 'ERR_STORE_IO', 'ERR_STORE_NOT_FOUND', 'ERR_STORE_PERMISSION', 'ERR_STORE_READ_ONLY',
];

/** Whether making a copy failed at the copy, and not at the database that is copied. */
function isOfCopy(error: unknown, path: string): boolean {
  const { path: at, syscall } = error as { path?: string; syscall?: string };
  if (error instanceof StoreError || syscall === 'read' || at?.startsWith(path)) return false;
  const mapped = toStoreError(error, '');
  return mapped instanceof StoreError && copyFailures.includes(mapped.code);
}

const walHeaderBytes = 32;

type Mode = 'live' | 'immutable' | 'copy';

/** What stands at a path and beside it, as far as it decides how to read. */
interface Surroundings {
  /** The same as long as these are the same files. */
  identity: string;
  /** The same as long as nothing was written to them either. */
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
  // A hot rollback journal has to be played back before anything can be read.
  if (hasJournal) return 'copy';
  // All there is, as long as no WAL has anything, is in the database file.
  if (!hasFrames || !hasWalHeader(path)) return 'immutable';
  // readonly_shm sees a running service's commits, and a killed one's by recovering the WAL in memory; it needs a -shm.
  // A WAL without its index has to be recovered on a copy.
  return hasIndex ? 'live' : 'copy';
}

/**
 * Whether a -wal begins with a header whose checksum is right
 * (https://www.sqlite.org/fileformat2.html#the_write_ahead_log). To SQLite one that does not is empty, but it would try
 * for ten seconds to find that out without writing.
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

/** Whether what was found at a path before it was opened is there still. */
export function isCurrent(path: string, found: Surroundings & { mode: Mode }): boolean {
  const now = look(path);
  return found.mode === 'live' ? now.identity === found.identity : now.signature === found.signature;
}

/**
 * Whether what went wrong beside a running service's files is none of them, and a private copy can be read: a -shm that
 * nobody keeps and that this user cannot repair (READONLY_RECOVERY, _CANTLOCK and _CANTINIT); a -wal that SQLite makes
 * no sense of (PROTOCOL, after ten seconds of trying).
 */
export function needsCopy(errcode: number | undefined): boolean {
  return [264, 520, 1288, 15].includes(errcode ?? 0);
}

/** A copy of a database, with what belongs to it, in a folder of its own. */
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

// Enough where nobody waits (a timeout of 0): each attempt starts from what is there then.
const minAttempts = 20;
const pauseMs = 10;

/** A read-only connection that opens itself anew when a writer has come or gone between or during two reads. */
export class ReadOnlyFile implements Reader {
  readonly path: string;
  readonly #busyTimeoutMs: number;
  #db: DatabaseSync | undefined;
  /** What was there when the handle was opened, and the mode it was opened in. */
  #found: (Surroundings & { mode: Mode }) | undefined;
  #copyNext = false;

  /** Opens nothing yet. */
  constructor(path: string, busyTimeoutMs: number) {
    this.path = path;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  /** The handle of the moment, for the function that `read` runs. */
  get db(): DatabaseSync {
    if (!this.#db) throw new TypeError('the database is only open inside of read');
    return this.#db;
  }

  /**
   * Runs a read. In `live` mode SQLite's own locks make it consistent. In the others nothing does, so a read during
   * which something was written is thrown away and repeated on what is there now.
   */
  read<T>(fn: () => T): T {
    const deadline = Date.now() + this.#busyTimeoutMs;
    for (let attempt = 1; ; attempt++) {
      try {
        if (!this.#db || !this.#isCurrent()) this.#reopen();
        const result = fn();
        if (this.#isCurrent()) return result;
      } catch (error) {
        if (!this.#canRepeat(error)) throw error;
      }
      if (attempt < minAttempts) continue;
      if (Date.now() >= deadline) {
        const why = `it was written to during each of ${attempt} attempts`;
        throw new StoreError('ERR_STORE_BUSY', `failed to read ${this.path}: ${why}`);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
    }
  }

  #isCurrent(): boolean {
    return this.#found !== undefined && isCurrent(this.path, this.#found);
  }

  #canRepeat(error: unknown): boolean {
    const { errcode, code, path } = error as { errcode?: number; code?: string; path?: string };
    // A -wal or -journal that was removed before it could be read. Nothing else that is missing comes back with time.
    if (code === 'ENOENT' && ['-wal', '-shm', '-journal'].some((suffix) => path === this.path + suffix)) return true;
    if (this.#found?.mode === 'live' && needsCopy(errcode)) {
      this.close();
      this.#copyNext = true;
      return true;
    }
    return this.#found !== undefined && !this.#isCurrent();
  }

  #reopen(): void {
    this.close();
    const found = look(this.path);
    const mode = this.#copyNext ? 'copy' : chooseMode(this.path, found);
    this.#copyNext = false;
    // Looked at before: if something is written while the files are copied one after the other, it is done again.
    this.#found = { ...found, mode };
    const parameters = mode === 'live' ? { readonly_shm: '1' } : { immutable: '1' };
    const settings = { readOnly: true, timeout: this.#busyTimeoutMs };
    this.#db = mode === 'copy' ? this.#openCopy() : openHandle(this.path, parameters, settings);
    if (mode === 'live') liveReaders.add(this);
  }

  #openCopy(): DatabaseSync {
    const { folder, copy } = copyPrivately(this.path);
    let db: DatabaseSync | undefined;
    try {
      db = openHandle(copy, {}, { timeout: this.#busyTimeoutMs });
      db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get(); // opens or plays back what is beside it
      db.exec('PRAGMA query_only = ON');
      return db;
    } catch (error) {
      db?.close();
      throw isOfCopy(error, this.path) ? new TemporaryCopyError(this.path, error) : error;
    } finally {
      // The handle keeps the files: removed now, they do not outlive a process that is killed.
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
