// The JSONL file: read from its end, appended to in groups, walked from its beginning. It knows nothing of a database.
import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import * as system from 'node:fs';
import { dirname } from 'node:path';
import { checkVerifyOptions } from '../audit.ts';
import type { Anchor, VerifyOptions } from '../audit.ts';
import { attempt, StoreError } from '../errors.ts';
import { isOpenHere } from '../descriptors.ts';
import { checkPath, freeName, prepareFolder } from '../files.ts';
import type { BreakGlassGrant, PolicyContribution, PolicyDecision } from '../gate.ts';
import type { AuditMirror, FileLike, MirrorEnd, MirroredRow } from '../mirroring.ts';
import { syncFolder } from '../snapshot-file.ts';
import { checkOptions, invalid } from '../values.ts';
import { checkSigningKey, hasLostHeader, headerText, isHeaderStart, isNoise, isSound, lineText, parseHeader, parseLine, signHash, toLine, toRow } from './line.ts';
import type { LedgerHeader, LedgerLine } from './line.ts';
import { decideAppend } from './policy.ts';
import { checkFiles, maxLineBytes, readLines } from './read-lines.ts';
import type { RawLine } from './read-lines.ts';
import { verifyFile } from './verify.ts';
import type { LedgerReport } from './verify.ts';

/** The file operations of a ledger. Tests replace them by ones that fail. */
export type LedgerFiles = Pick<typeof system, 'openSync' | 'closeSync' | 'readSync' | 'writeSync' | 'fsyncSync' | 'ftruncateSync' | 'fstatSync'>;

/** `signingKey`: an Ed25519 private key, or its PEM text. `recover`: one with a damaged header is set aside and made anew. */
export interface LedgerOptions {
  signingKey?: KeyObject | string;
  recover?: boolean;
  files?: LedgerFiles;
}

/** The end of the file as it was read last. */
interface End extends MirrorEnd {
  /** Where the last sound line ends. */
  bytes: number;
  /** The file's size then; other than `bytes` where something torn follows. */
  size: number;
}

// Holds some hundred lines: more than the page of a card that a power cut can destroy.
const windowBytes = 64 * 1024;
const chunkBytes = 1024 * 1024;
// A header is shorter than a page, and a power cut can destroy all of it, with all that one group wrote from there on.
const pageBytes = 4096;
const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = system.constants;

/**
 * A ledger: one JSON text a line, each an audit event, chained by hashes. `open` only reads; a store that is opened with
 * it appends to it.
 */
export class Ledger implements AuditMirror {
  readonly path: string;
  readonly #files: LedgerFiles;
  readonly #key: KeyObject | undefined;
  readonly #recover: boolean;
  #fd: number | undefined;
  #header: LedgerHeader | undefined;
  #end: End = emptyEnd;

  /**
   * Opens the ledger at `path`; a file that is not there is an empty ledger, and is made by the store. Reads the end only.
   * Throws `ERR_STORE_NOT_A_STORE` for a file that is something else, `ERR_STORE_PERMISSION`, `ERR_STORE_IO`.
   */
  static open(path: string, options?: LedgerOptions): Ledger {
    const { signingKey, recover = false, files = system } = checkOptions('options', options, ['signingKey', 'recover', 'files']);
    if (typeof recover !== 'boolean') throw invalid('options.recover', recover, 'true or false');
    const ledger = new Ledger(checkPath(path), signingKey === undefined ? undefined : checkSigningKey(signingKey), recover, checkFiles(files));
    // Closing a descriptor of a database would drop SQLite's locks on it. Whoever has one open to write has its -wal open too.
    if (isOpenHere(`${ledger.path}-wal`)) throw invalid('path', path, 'another file than a database that is open');
    attempt(`open the ledger ${ledger.path}`, () => ledger.refresh());
    return ledger;
  }

  private constructor(path: string, key: KeyObject | undefined, recover: boolean, files: LedgerFiles) {
    this.path = path;
    this.#key = key;
    this.#recover = recover;
    this.#files = files;
  }

  /** The id and hash of the last line; `undefined` for a ledger without events. */
  get head(): Anchor | undefined {
    return this.#end.head && { ...this.#end.head };
  }

  /** The UUID of the store whose ledger this is; `undefined` for a ledger that is not there yet. */
  get store(): string | undefined {
    return this.#header?.store;
  }

  /** How many events there are. Counts the lines: it reads the file once. */
  get length(): number {
    let count = 0;
    for (const line of this.iterate()) count += line.id > 0 ? 1 : 0;
    return count;
  }

  /** The public half of the signing key, as PEM; `undefined` where the ledger does not sign. */
  get publicKey(): string | undefined {
    return this.#key && createPublicKey(this.#key).export({ type: 'spki', format: 'pem' }).toString();
  }

  /** The lines from the first to the last sound one, in constant memory. Throws `ERR_STORE_CORRUPT`, with the line number, for one that is not. */
  *iterate(): Generator<LedgerLine, void, undefined> {
    for (const { number, bytes } of this.#linesFrom(0, this.#end.bytes)) {
      if (number === 1) continue; // the header
      const line = bytes && parseLine(bytes);
      if (!line || !isSound(line)) throw new StoreError('ERR_STORE_CORRUPT', `line ${number} of ${this.path} is damaged`);
      yield line;
    }
  }

  /**
   * Walks the whole file in constant memory and says which lines are not as they were written, at most 1,000 of them and
   * how many more. With an `anchor`, a head that was kept elsewhere, it also proves that this line is still there: a chain
   * alone cannot see that its end was cut off. With a `publicKey`, every line from the event `signing_started` on must be
   * signed by that key. `onProgress` counts bytes. Reads the file that is at the path now, beside a writer too. Never
   * throws for what it finds; rejects with `signal.reason` when aborted, with `ERR_STORE_INVALID_ARGUMENT`,
   * `ERR_STORE_PERMISSION` and `ERR_STORE_IO`.
   */
  async verify(options?: VerifyOptions): Promise<LedgerReport> {
    return verifyFile(this.#files, this.path, checkVerifyOptions(options));
  }

  sign(hash: string): string | null {
    return this.#key ? signHash(hash, this.#key) : null;
  }

  decide(contributions: readonly PolicyContribution[], breakGlass: BreakGlassGrant | undefined, headsAgree: boolean): PolicyDecision {
    return decideAppend(contributions, breakGlass, headsAgree);
  }

  refresh(anew = false): MirrorEnd {
    const fd = this.#open();
    if (fd === undefined) {
      this.#header = undefined;
      return (this.#end = emptyEnd);
    }
    const { size } = this.#files.fstatSync(fd);
    if (anew || size !== this.#end.size || !this.#header) this.#end = this.#readEnd(size);
    return this.#end;
  }

  /** Opens the file where it is. */
  #open(): number | undefined {
    if (this.#fd !== undefined) return this.#fd;
    let fd: number;
    try {
      // O_NONBLOCK: a planted pipe must not hang the service.
      fd = this.#openFor(O_RDWR);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return undefined;
      if (code === 'EISDIR') throw new StoreError('ERR_STORE_NOT_A_STORE', `${this.path} is a folder`);
      throw error;
    }
    if (!this.#files.fstatSync(fd).isFile()) {
      this.#files.closeSync(fd);
      throw new StoreError('ERR_STORE_NOT_A_STORE', `${this.path} is not a regular file`);
    }
    return (this.#fd = fd);
  }

  *#linesFrom(from: number, to: number): ReturnType<typeof readLines> {
    const fd = this.#open();
    if (fd !== undefined) yield* readLines(this.#files, fd, from, to);
  }

  #readEnd(size: number): End {
    this.#header = this.#readHeader(size);
    if (!this.#header) return { ...emptyEnd, torn: size > 0, size };
    const { store, created } = this.#header;
    const headerBytes = Buffer.byteLength(headerText(store, created));
    for (let window = windowBytes; ; window *= 4) {
      const from = Math.max(headerBytes, size - window);
      const end = this.#scan(from === headerBytes ? from : from - 1, size, from === headerBytes);
      if (end) return { ...end, store, created, size };
    }
  }

  /** Undefined for a ledger that has no header yet, or lost it with the one page that it had. */
  #readHeader(size: number): LedgerHeader | undefined {
    const [first] = this.#linesFrom(0, Math.min(size, windowBytes));
    if (!first) return undefined;
    const header = first.complete && first.bytes ? parseHeader(first.bytes) : undefined;
    if (this.#recover && hasLostHeader(header, this.#linesFrom(0, size))) return undefined;
    if (header) return header;
    // Cut off while it was written, or noise; a text of somebody else's is neither. Its page is written again only until it
    // is full, so that no more than one whole group can follow, and a file that is longer is none of these.
    const page = size <= windowBytes ? this.#readBytes(Math.min(size, pageBytes)) : undefined;
    const isDestroyed = page && ((size <= pageBytes && isHeaderStart(page)) || isNoise(page));
    if (isDestroyed && this.#scan(0, size, true)!.laterGroups.length < 2) return undefined;
    throw new StoreError('ERR_STORE_NOT_A_STORE', `${this.path} is not a ledger: its first line is none of this package's`);
  }

  #readBytes(size: number): Buffer {
    const bytes = Buffer.alloc(size);
    let done = 0;
    for (let read = -1; read !== 0 && done < size; done += read) read = this.#files.readSync(this.#fd!, bytes, done, size - done, done);
    return bytes.subarray(0, done);
  }

  /**
   * Reads the lines from an offset to the end. From inside of the file the first line is cut, and the second has to be
   * sound for the rest to mean something; undefined asks for a wider look.
   */
  #scan(from: number, size: number, isStart: boolean): Pick<End, 'head' | 'groupEnd' | 'torn' | 'laterGroups' | 'bytes'> | undefined {
    const end = { head: undefined as Anchor | undefined, groupEnd: 0, torn: false, laterGroups: [] as number[], bytes: from };
    for (const { number, bytes, complete, end: lineEnd } of this.#linesFrom(from, size)) {
      if (number === 1 && !isStart) continue;
      const parsed = bytes && complete ? parseLine(bytes) : undefined;
      const line = parsed && isSound(parsed) ? parsed : undefined;
      if (!end.torn && line && (end.head === undefined || line.prev === end.head.hash)) {
        end.head = { id: line.id, hash: line.hash };
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

  begin(store: string, created: string, like?: FileLike): void {
    if (this.#header?.store === store) return;
    if (this.#end.head || (this.#header && this.#end.torn)) throw new StoreError('ERR_STORE_CONFLICT', `${this.path} is the ledger of another store (${this.#end.store}, not ${store})`);
    prepareFolder(dirname(this.path));
    if (this.#end.size > 0 && !this.#header) this.#copyAside(0, new Date());
    const fd = this.#open() ?? this.#create(like);
    this.#files.ftruncateSync(fd, 0); // what a crash left of a header
    this.#write(fd, Buffer.from(headerText(store, created)), 0);
    this.#files.fsyncSync(fd);
    syncFolder(dirname(this.path)); // the name of a new file is durable only with its folder
    this.refresh(true);
  }

  /** Whoever may only read the file may look at it; a store that appends to it hears of it then. */
  #openFor(access: number): number {
    try {
      return this.#files.openSync(this.path, access | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (access === O_RDONLY || !['EACCES', 'EPERM', 'EROFS'].includes(code)) throw error;
      return this.#openFor(O_RDONLY);
    }
  }

  /** Private from its first byte, but for those to whom the owner opened the database; as the snapshot's file. */
  #create(like: FileLike = { mode: 0o600, uid: 0, gid: 0 }): number {
    const fd = this.#files.openSync(this.path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    this.#fd = fd;
    // What root makes must still be the service's own.
    if (process.geteuid?.() === 0) system.fchownSync(fd, like.uid, like.gid);
    system.fchmodSync(fd, 0o600 | (like.mode & 0o066)); // 0600 anew: an umask such as 0277 would have taken the owner's own bits
    return fd;
  }

  append(rows: Iterable<MirroredRow>): void {
    const fd = this.#fd!;
    const before = this.#end;
    let { head, groupEnd, bytes } = before;
    try {
      let texts: string[] = [];
      let length = 0;
      const flush = (): void => {
        bytes += this.#write(fd, Buffer.from(texts.join('')), bytes);
        texts = [];
        length = 0;
      };
      for (const row of rows) {
        const text = lineText(toLine(row));
        // It could not be read again.
        if (text.length > maxLineBytes || Buffer.byteLength(text) > maxLineBytes) throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `an event of ${text.length} characters is too large for a ledger (${maxLineBytes} bytes)`);
        texts.push(text);
        length += text.length;
        head = { id: row.id, hash: row.hash };
        if (!row.more) groupEnd = row.id;
        if (length > chunkBytes) flush();
      }
      flush();
      // Before the database commits: what is acknowledged is in both files.
      this.#files.fsyncSync(fd);
    } catch (error) {
      this.#takeBack(fd, before.bytes, error);
      throw error;
    }
    this.#end = { ...before, head, groupEnd, bytes, size: bytes };
  }

  /** writeSync may write less than it was given: write until done, or the caller takes it back. */
  #write(fd: number, data: Buffer, position: number): number {
    for (let done = 0; done < data.length; ) {
      const written = this.#files.writeSync(fd, data, done, data.length - done, position + done);
      if (written === 0) throw Object.assign(new Error(`no byte was written to ${this.path}`), { code: 'EIO', syscall: 'write' });
      done += written;
    }
    return data.length;
  }

  /** A part of a group must not stay: the next group would stand behind it. */
  #takeBack(fd: number, bytes: number, cause: unknown): void {
    try {
      this.#files.ftruncateSync(fd, bytes);
      this.#files.fsyncSync(fd);
    } catch {
      throw new StoreError('ERR_STORE_IO', `failed to take a write to ${this.path} back`, { cause });
    }
  }

  *rows(fromId: number): Generator<MirroredRow, void, undefined> {
    for (const { line } of this.#linesBackTo(fromId)) {
      if (line.id >= fromId) yield toRow(line);
    }
  }

  /** The lines of the smallest window at the end that holds the line before an id. */
  *#linesBackTo(id: number): Generator<{ line: LedgerLine; raw: RawLine }, void, undefined> {
    const headerBytes = this.#headerBytes();
    for (let window = windowBytes; ; window *= 4) {
      const from = Math.max(headerBytes, this.#end.bytes - window);
      const isStart = from === headerBytes;
      let skip = isStart ? 0 : 1;
      let first = true;
      let wider = !isStart;
      for (const raw of this.#linesFrom(isStart ? from : from - 1, this.#end.bytes)) {
        if (skip-- > 0) continue;
        const line = raw.bytes && parseLine(raw.bytes);
        if (!line || !isSound(line)) throw new StoreError('ERR_STORE_PARITY', `${this.path} is damaged before its end`);
        if (first && !isStart && line.id > id) break;
        first = wider = false;
        yield { line, raw };
      }
      if (!wider) return;
    }
  }

  #headerBytes(): number {
    return this.#header ? Buffer.byteLength(headerText(this.#header.store, this.#header.created)) : 0;
  }

  setAside(keepId: number, now: Date): string {
    const fd = this.#fd!;
    const keep = this.#endOf(keepId);
    const target = this.#copyAside(keep, now);
    this.#files.ftruncateSync(fd, keep);
    this.#files.fsyncSync(fd);
    this.refresh(true);
    return target;
  }

  /** The copy first, and durable: what is cut off next must not be gone. */
  #copyAside(from: number, now: Date): string {
    const target = freeName(this.path, 'torn', now);
    const copy = this.#files.openSync(target, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      const chunk = Buffer.alloc(Math.min(chunkBytes, Math.max(1, this.#end.size - from)));
      for (let at = from; at < this.#end.size; ) {
        const read = this.#files.readSync(this.#fd!, chunk, 0, Math.min(chunk.length, this.#end.size - at), at);
        if (read === 0) break;
        this.#write(copy, chunk.subarray(0, read), at - from);
        at += read;
      }
      this.#files.fsyncSync(copy);
    } catch (error) {
      system.rmSync(target, { force: true }); // every write would leave another half
      throw error;
    } finally {
      this.#files.closeSync(copy);
    }
    syncFolder(dirname(this.path));
    return target;
  }

  /** The offset behind the line with an id; behind the header for 0. */
  #endOf(id: number): number {
    if (id === this.#end.head?.id) return this.#end.bytes;
    let offset = this.#headerBytes();
    for (const { line, raw } of this.#linesBackTo(id)) {
      if (line.id > id) break;
      offset = raw.end;
    }
    return offset;
  }

  close(): void {
    if (this.#fd !== undefined) this.#files.closeSync(this.#fd);
    this.#fd = undefined;
    this.#end = { ...this.#end, size: -1 }; // another file may stand there when it is opened again
  }
}

const emptyEnd: End = { store: undefined, created: undefined, head: undefined, groupEnd: 0, torn: false, laterGroups: [], bytes: 0, size: 0 };
