// The file of a ledger: open only while somebody uses it, read and written at offsets, set aside. It knows no lines.
import { createHash } from 'node:crypto';
import * as system from 'node:fs';
import { dirname, join } from 'node:path';
import { isOpenHere, readDatabaseBytes } from '../descriptors.ts';
import { StoreError } from '../errors.ts';
import { freeName } from '../files.ts';
import type { FileLike, SetAside } from '../mirror-port.ts';
import { makeLike } from '../owner.ts';
import { syncFolder } from '../snapshot-file.ts';
import { asideStem } from '../stem.ts';

/** The file operations of a ledger. Tests replace them by ones that fail. */
export type LedgerFiles = Pick<
  typeof system, 'openSync' | 'closeSync' | 'readSync' | 'writeSync' | 'fsyncSync' | 'ftruncateSync' | 'fstatSync'
>;

/** An open descriptor, and how many are in the middle of using it. */
interface Descriptor {
  fd: number;
  users: number;
}

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = system.constants;
const chunkBytes = 1024 * 1024;

export class LedgerFile {
  readonly path: string;
  readonly files: LedgerFiles;
  #current: Descriptor | undefined;
  /** How many append to it, and keep it open for that. */
  #holders = 0;

  constructor(path: string, files: LedgerFiles) {
    this.path = path;
    this.files = files;
  }

  get isHeld(): boolean {
    return this.#holders > 0;
  }

  /** Runs `fn` with the file open, to read; with `undefined` where there is none. */
  use<T>(fn: (fd: number | undefined) => T): T {
    const descriptor = this.acquire();
    try {
      return fn(descriptor?.fd);
    } finally {
      if (descriptor) this.release(descriptor);
    }
  }

  /** The open file, until it is released; `undefined` where there is none. */
  acquire(): Descriptor | undefined {
    const current = (this.#current ??= this.#open(this.isHeld ? O_RDWR : O_RDONLY));
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
   * Opens the file that stands there now to write to it; one that is not there must be one that can be made. Throws the
   * system's errors.
   */
  hold(): void {
    if (!this.isHeld || !this.#isCurrent()) this.#replace(this.#open(O_RDWR));
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

  /** Whether the file that is open is the one that stands at the path. */
  #isCurrent(): boolean {
    const stands = system.statSync(this.path, { throwIfNoEntry: false });
    const open = this.#current && this.files.fstatSync(this.#current.fd);
    return stands !== undefined && stands.ino === open?.ino && stands.dev === open.dev;
  }

  #open(access: number): Descriptor | undefined {
    this.#refuseDatabase();
    let fd: number;
    try {
      // O_NONBLOCK: a planted pipe must not hang the service.
      fd = this.files.openSync(this.path, access | O_NOFOLLOW | O_NONBLOCK);
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

  /** To close a descriptor of a database drops the locks that SQLite has on it, by whatever name it was opened. */
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

  /** The descriptor that `hold` or `create` opened. */
  get #fd(): number {
    return this.#current!.fd;
  }

  get size(): number {
    return this.files.fstatSync(this.#fd).size;
  }

  /** Whose mode and owner the file has. */
  get like(): FileLike {
    return this.files.fstatSync(this.#fd);
  }

  /** The bytes from an offset on, as many as there are of `length`. */
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

  /** writeSync may write less than it was given: writes until done, or fails. Gives how much it is. */
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

  /** Makes the file. Private from its first byte, but for those to whom the owner opened the database. */
  create(like: FileLike): void {
    const fd = this.files.openSync(this.path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    this.#replace({ fd, users: 0 });
    makeLike(fd, like);
  }

  /** Takes the place of another file, which may be there or not, under its name. Durable on return. */
  takePlaceOf(other: LedgerFile): void {
    system.renameSync(this.path, other.path);
    syncFolder(dirname(other.path));
    other.#replace(this.#current);
    this.#current = undefined;
  }

  /** Copies bytes to the end of another file's. */
  copyTo(target: LedgerFile, from: number, to: number): void {
    this.#copy(from, to, (chunk, at) => target.write(chunk, at));
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
   * Copies what stands between two offsets to a file of its own, whose name says when and why. Durable on return: what
   * is cut off next must not be gone.
   */
  copyAside(kind: SetAside['kind'], from: number, to: number, now: Date): void {
    const target = freeName(this.path, kind, now);
    const copy = this.files.openSync(target, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      makeLike(copy, this.like);
      this.#copy(from, to, (chunk, at) => this.#writeTo(copy, chunk, at));
      this.files.fsyncSync(copy);
    } catch (error) {
      system.rmSync(target, { force: true }); // every write would leave another half
      throw error;
    } finally {
      this.files.closeSync(copy);
    }
    syncFolder(dirname(this.path));
  }

  /** What `copyAside` made, but for the names that are known. */
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

/** The length and hash of a file, in constant memory. One that this user may not read is for another to tell of. */
function digestOf(path: string): Pick<SetAside, 'bytes' | 'sha256'> | undefined {
  const digest = createHash('sha256');
  const chunk = Buffer.alloc(chunkBytes);
  let fd: number;
  try {
    fd = system.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
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

/** Whether files can be made in a folder, or a folder that is not there itself. Throws the system's errors. */
function checkFolder(folder: string): void {
  if (!system.existsSync(folder) && dirname(folder) !== folder) return checkFolder(dirname(folder));
  system.accessSync(folder, system.constants.W_OK | system.constants.X_OK);
}

const databaseMagic = 'SQLite format 3\0';

function kindOf(name: string, ledger: string): SetAside['kind'] | undefined {
  if (!name.startsWith(`${ledger}.`)) return undefined;
  const rest = name.slice(ledger.length + 1);
  const [, kind] = /^(torn|damaged)-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z(-\d+)?$/.exec(rest) ?? [];
  return kind as SetAside['kind'] | undefined;
}
