// The file of a ledger: open only while somebody uses it, read and written at offsets, set aside. It knows no lines.
import { createHash } from 'node:crypto';
import * as system from 'node:fs';
import { constants } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SetAside } from '../core/mirror-port.ts';
import { isOpenHere, readDatabaseBytes } from '../values/descriptors.ts';
import { StoreError } from '../values/errors.ts';
import { freeName } from '../values/files.ts';
import { syncFolder } from '../values/folders.ts';
import { type FileLike, makeLike } from '../values/owner.ts';
import { asideStem } from '../values/stem.ts';

/** The file operations of a ledger. Tests replace them with operations that fail. */
export type LedgerFiles = Pick<
  typeof system, 'openSync' | 'closeSync' | 'readSync' | 'writeSync' | 'fsyncSync' | 'ftruncateSync' | 'fstatSync'
>;

/** An open descriptor and the number of callers that are using it. */
interface Descriptor {
  fd: number;
  users: number;
}

const toCreate = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const chunkBytes = 1024 * 1024;

export class LedgerFile {
  readonly path: string;
  readonly files: LedgerFiles;
  #current: Descriptor | undefined;
  /** How many callers keep the file open in order to append to it. */
  #holders = 0;

  constructor(path: string, files: LedgerFiles) {
    this.path = path;
    this.files = files;
  }

  get isHeld(): boolean {
    return this.#holders > 0;
  }

  /** Runs `fn` with a descriptor to read from, or with `undefined` where there is no file. */
  use<T>(fn: (fd: number | undefined) => T): T {
    const descriptor = this.acquire();
    try {
      return fn(descriptor?.fd);
    } finally {
      if (descriptor) this.release(descriptor);
    }
  }

  /** Opens the file until `release` is called; `undefined` where there is no file. */
  acquire(): Descriptor | undefined {
    const current = (this.#current ??= this.#open(this.isHeld ? constants.O_RDWR : constants.O_RDONLY));
    if (current) current.users++;
    return current;
  }

  release(descriptor: Descriptor): void {
    descriptor.users--;
    this.#closeUnused(descriptor);
  }

  #closeUnused(descriptor: Descriptor): void {
    if (descriptor.users > 0 || (descriptor === this.#current && this.isHeld)) return;
    if (descriptor === this.#current) this.#current = undefined;
    this.files.closeSync(descriptor.fd);
  }

  /**
   * Opens the file that is at the path now for writing, until `letGo`. Where there is none, checks that it can be made.
   * Throws the system's errors.
   */
  hold(): void {
    if (!this.isHeld || !this.#isCurrent()) this.#replace(this.#open(constants.O_RDWR));
    if (!this.#current) checkFolder(dirname(this.path));
    this.#holders++;
  }

  letGo(): void {
    this.#holders--;
    if (this.#current) this.#closeUnused(this.#current);
  }

  #replace(descriptor: Descriptor | undefined): void {
    const before = this.#current;
    this.#current = descriptor;
    if (before) this.#closeUnused(before);
  }

  /** Whether another file is at the path than the one that is held. */
  get isReplaced(): boolean {
    return this.isHeld && !this.#isCurrent();
  }

  /** Holds the file that is at the path now, in the place of the one that is held. */
  follow(): void {
    this.#replace(this.#open(constants.O_RDWR));
  }

  /** Whether the open file is still the one at the path. */
  #isCurrent(): boolean {
    const stands = system.statSync(this.path, { throwIfNoEntry: false });
    const open = this.#current && this.files.fstatSync(this.#current.fd);
    return stands !== undefined && stands.ino === open?.ino && stands.dev === open.dev;
  }

  #open(access: number): Descriptor | undefined {
    this.#refuseDatabase();
    let fd: number;
    try {
      // O_NONBLOCK: to open a planted pipe must not hang the service.
      fd = this.files.openSync(this.path, access | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return undefined;
      if (code === 'EISDIR') throw this.#notAFile();
      throw error;
    }
    if (this.files.fstatSync(fd).isFile()) return { fd, users: 0 };
    this.files.closeSync(fd);
    throw this.#notAFile();
  }

  #notAFile(): StoreError {
    return new StoreError('ERR_STORE_NOT_A_STORE', `${this.path} is not a regular file`);
  }

  /** Refuses an open database: closing any descriptor of it, by whatever name, drops SQLite's locks on it. */
  #refuseDatabase(): void {
    if (!isOpenHere(this.path) || !system.statSync(this.path).isFile()) return;
    const magic = readDatabaseBytes(this.path, (fd) => {
      const bytes = Buffer.alloc(databaseMagic.length);
      system.readSync(fd, bytes, 0, bytes.length, 0);
      return bytes.toString('latin1');
    });
    if (magic !== databaseMagic) return;
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `${this.path} is a database that is open, and no ledger`);
  }

  /** The open descriptor; only for a caller who has one by `hold`, `create` or `acquire`. */
  get #fd(): number {
    return this.#current!.fd;
  }

  get size(): number {
    return this.files.fstatSync(this.#fd).size;
  }

  /** The file's mode and owner, for another file that is to get the same. */
  get like(): FileLike {
    return this.files.fstatSync(this.#fd);
  }

  /** The bytes from an offset on: `length` of them, or fewer where the file ends before. */
  read(from: number, length: number): Buffer {
    return this.use((fd) => {
      const bytes = Buffer.alloc(length);
      let done = 0;
      for (let read = -1; read !== 0 && done < length; done += read) {
        read = this.files.readSync(fd!, bytes, done, length - done, from + done);
      }
      return bytes.subarray(0, done);
    });
  }

  /** Writes all of `data`, because one writeSync may write only a part. Gives the number of bytes. */
  write(data: Buffer, position: number): number {
    return this.#writeTo(this.#fd, data, position);
  }

  #writeTo(fd: number, data: Buffer, position: number): number {
    for (let done = 0; done < data.length; ) {
      const written = this.files.writeSync(fd, data, done, data.length - done, position + done);
      if (written === 0) {
        throw Object.assign(new Error(`no byte was written to ${this.path}`), { code: 'EIO', syscall: 'write' });
      }
      done += written;
    }
    return data.length;
  }

  truncate(bytes: number): void {
    this.files.ftruncateSync(this.#fd, bytes);
  }

  sync(): void {
    this.files.fsyncSync(this.#fd);
  }

  /** Makes the file. It is private from its first byte, except to those to whom the owner opened the database. */
  create(like: FileLike): void {
    const fd = this.files.openSync(this.path, toCreate, 0o600);
    this.#replace({ fd, users: 0 });
    makeLike(fd, like);
  }

  /** Renames this file to the path of `other`, which may exist or not. Durable on return. */
  takePlaceOf(other: LedgerFile): void {
    system.renameSync(this.path, other.path);
    syncFolder(dirname(other.path));
    other.#replace(this.#current);
    this.#current = undefined;
  }

  /** Copies the first bytes to the beginning of another file. */
  copyTo(target: LedgerFile, bytes: number): void {
    this.#copy(0, bytes, (chunk, at) => target.write(chunk, at));
  }

  #copy(from: number, to: number, write: (chunk: Buffer, at: number) => void): void {
    for (let at = from; at < to; ) {
      const chunk = this.read(at, Math.min(chunkBytes, to - at));
      if (chunk.length === 0) return;
      write(chunk, at - from);
      at += chunk.length;
    }
  }

  /**
   * Copies the bytes between two offsets to a new file whose name says when and why. Durable on return, because the
   * caller cuts these bytes off next and they must not be lost.
   */
  copyAside(kind: SetAside['kind'], from: number, to: number, now: Date): void {
    const target = freeName(this.path, kind, now);
    const copy = this.files.openSync(target, toCreate, 0o600);
    try {
      makeLike(copy, this.like);
      this.#copy(from, to, (chunk, at) => this.#writeTo(copy, chunk, at));
      this.files.fsyncSync(copy);
    } catch (error) {
      system.rmSync(target, { force: true }); // otherwise every failed write would leave half a copy
      throw error;
    } finally {
      this.files.closeSync(copy);
    }
    syncFolder(dirname(this.path));
  }

  /** The files that `copyAside` made, except those whose names `isKnown` accepts. */
  listAside(isKnown: (name: string) => boolean): SetAside[] {
    const folder = dirname(this.path);
    const found: SetAside[] = [];
    for (const entry of system.readdirSync(folder, { withFileTypes: true })) {
      const kind = entry.isFile() ? kindOf(entry.name, asideStem(this.path)) : undefined;
      if (!kind || isKnown(entry.name)) continue;
      const path = join(folder, entry.name);
      const digest = digestOf(path);
      if (digest) found.push({ path, ...digest, kind });
    }
    return found.sort((a, b) => (a.path < b.path ? -1 : 1));
  }
}

/** A file's length and hash, in constant memory; `undefined` where this user may not read it, but another may. */
function digestOf(path: string): Pick<SetAside, 'bytes' | 'sha256'> | undefined {
  const digest = createHash('sha256');
  const chunk = Buffer.alloc(chunkBytes);
  let fd: number;
  try {
    fd = system.openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return undefined;
    throw error;
  }
  try {
    let bytes = 0;
    for (let read = system.readSync(fd, chunk); read > 0; read = system.readSync(fd, chunk)) {
      digest.update(chunk.subarray(0, read));
      bytes += read;
    }
    return { bytes, sha256: digest.digest('hex') };
  } finally {
    system.closeSync(fd);
  }
}

/** Throws the system's error where no file, or no missing folder on the way to it, can be made in a folder. */
function checkFolder(folder: string): void {
  if (!system.existsSync(folder) && dirname(folder) !== folder) return checkFolder(dirname(folder));
  system.accessSync(folder, constants.W_OK | constants.X_OK);
}

const databaseMagic = 'SQLite format 3\0';

function kindOf(name: string, ledger: string): SetAside['kind'] | undefined {
  if (!name.startsWith(`${ledger}.`)) return undefined;
  const rest = name.slice(ledger.length + 1);
  const [, kind] = /^(torn|damaged)-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z(-\d+)?$/.exec(rest) ?? [];
  return kind as SetAside['kind'] | undefined;
}
