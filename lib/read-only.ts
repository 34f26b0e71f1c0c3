// Reading a database without changing anything. No single mode of SQLite changes nothing, leaves nothing behind and sees
// the latest commit, so the mode follows from what stands beside the file.
import { chmodSync, copyFileSync, lstatSync, mkdtempSync, rmSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { DatabaseSyncOptions } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import type { Reader } from './connection.ts';
import { StoreError } from './errors.ts';

/**
 * Opens a database with SQLite's own advice for files from elsewhere (https://www.sqlite.org/security.html). The handle
 * is closed again if that fails. `parameters` are those of a `file:` URL, which needs no escaping of the path.
 */
export function openHandle(path: string, parameters: Record<string, string>, options: DatabaseSyncOptions): DatabaseSync {
  const url = pathToFileURL(path);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  // defensive: no SQL can write to the schema table or corrupt the file on purpose.
  const db = new DatabaseSync(url, { ...options, defensive: true });
  try {
    harden(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** The PRAGMAs that hold for every connection. */
export function harden(db: DatabaseSync): void {
  // A view or trigger planted in the file may not call functions with side effects.
  db.exec('PRAGMA trusted_schema = OFF');
  // A damaged page is noticed when it is loaded and not when it has led somewhere.
  db.exec('PRAGMA cell_size_check = ON');
  // Sorting happens in memory: a temporary file would wear the card and could fill it.
  db.exec('PRAGMA temp_store = MEMORY');
}

type Mode = 'live' | 'immutable' | 'copy';

/** What stands at a path and beside it, as far as it decides how to read. */
interface Surroundings {
  mode: Mode;
  /** Equal as long as nothing was written. */
  signature: string;
  inode: bigint;
}

function look(path: string): Surroundings {
  const database = lstatSync(path, { bigint: true });
  const [wal, shm, journal] = ['-wal', '-shm', '-journal'].map((suffix) => lstatSync(path + suffix, { bigint: true, throwIfNoEntry: false }));
  const signature = [database, wal, journal].map((stat) => describe(stat)).join(' ');
  const hasFrames = wal !== undefined && wal.size > 0n;
  // readonly_shm sees a running service's commits. Without -shm that mode would create one; immutable reads the database
  // file alone, which is all there is when no WAL has anything; a WAL without its index has to be recovered, on a copy.
  let mode: Mode = wal !== undefined && shm !== undefined ? 'live' : hasFrames ? 'copy' : 'immutable';
  // A hot rollback journal has to be played back before anything can be read.
  if (journal !== undefined && journal.size > 0n) mode = 'copy';
  return { mode, signature, inode: database.ino };
}

function describe(stat: BigIntStats | undefined): string {
  return stat ? `${stat.ino}:${stat.size}:${stat.mtimeNs}` : '-';
}

const maxAttempts = 20;

/** A read-only connection that opens itself anew when a writer has come or gone between or during two reads. */
export class ReadOnlyFile implements Reader {
  readonly #path: string;
  readonly #busyTimeoutMs: number;
  #db!: DatabaseSync;
  #surroundings!: Surroundings;
  #copyFolder: string | undefined;

  constructor(path: string, busyTimeoutMs: number) {
    this.#path = path;
    this.#busyTimeoutMs = busyTimeoutMs;
    this.#open();
  }

  get db(): DatabaseSync {
    return this.#db;
  }

  /**
   * Runs a read. In `live` mode SQLite's own locks make it consistent. In the others nothing does, so a read during which
   * something was written is thrown away and repeated on what is there now.
   */
  read<T>(fn: () => T): T {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (!this.#isCurrent()) this.#reopen();
      try {
        const result = fn();
        if (this.#isCurrent()) return result;
      } catch (error) {
        if (this.#isCurrent() && !this.#needsCopy(error)) throw error;
      }
    }
    throw new StoreError('ERR_STORE_BUSY', `failed to read ${this.#path}: it was written to during each of ${maxAttempts} attempts`);
  }

  #isCurrent(): boolean {
    const now = look(this.#path);
    if (this.#surroundings.mode === 'live') return now.inode === this.#surroundings.inode;
    return now.signature === this.#surroundings.signature && (now.mode === this.#surroundings.mode || this.#surroundings.mode === 'copy');
  }

  /** A -shm that nobody keeps and that this user cannot repair: READONLY_RECOVERY, _CANTLOCK and _CANTINIT. */
  #needsCopy(error: unknown): boolean {
    const errcode = (error as { errcode?: number }).errcode;
    if (this.#surroundings.mode !== 'live' || (errcode !== 264 && errcode !== 520 && errcode !== 1288)) return false;
    this.#reopen('copy');
    return true;
  }

  #reopen(mode?: Mode): void {
    this.close();
    this.#open(mode);
  }

  #open(mode?: Mode): void {
    for (let attempt = 0; ; attempt++) {
      const found = look(this.#path);
      this.#surroundings = { ...found, mode: mode ?? found.mode };
      if (this.#surroundings.mode === 'live') this.#db = this.#handle(this.#path, { readonly_shm: '1' });
      else if (this.#surroundings.mode === 'immutable') this.#db = this.#handle(this.#path, { immutable: '1' });
      else {
        this.#db = this.#openCopy();
        // The files were copied one after the other: only if nothing changed meanwhile do they belong together.
        if (look(this.#path).signature !== found.signature && attempt < maxAttempts) {
          this.close();
          continue;
        }
      }
      return;
    }
  }

  #handle(path: string, parameters: Record<string, string>): DatabaseSync {
    return openHandle(path, parameters, { readOnly: true, timeout: this.#busyTimeoutMs });
  }

  #openCopy(): DatabaseSync {
    this.#copyFolder = mkdtempSync(join(tmpdir(), 'shepherd-store-')); // 0700
    try {
      const copy = join(this.#copyFolder, basename(this.#path));
      for (const suffix of ['', '-wal', '-journal']) {
        if (!lstatSync(this.#path + suffix, { throwIfNoEntry: false })?.isFile()) continue;
        copyFileSync(this.#path + suffix, copy + suffix);
        chmodSync(copy + suffix, 0o600); // recovering the WAL writes, and the original may be read-only
      }
      const db = openHandle(copy, {}, { timeout: this.#busyTimeoutMs });
      db.exec('PRAGMA query_only = ON');
      return db;
    } catch (error) {
      this.#removeCopy();
      throw error;
    }
  }

  #removeCopy(): void {
    if (this.#copyFolder !== undefined) rmSync(this.#copyFolder, { recursive: true, force: true });
    this.#copyFolder = undefined;
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
    this.#removeCopy();
  }
}
