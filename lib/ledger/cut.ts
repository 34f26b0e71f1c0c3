// Cutting a ledger where the log begins: a file without the lines that went into an archive takes its place.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Anchor } from '../core/chain.ts';
import { StoreError } from '../values/errors.ts';
import { type End, linesOf } from './end.ts';
import { LedgerFile } from './file.ts';
import { headerText, soundLine } from './line.ts';
import type { LedgerTail } from './tail.ts';

// Between two turns of the event loop so much is read or copied, which takes some milliseconds. The copy is synced as
// it grows, because one fsync of all of it would keep a slow card, and whoever writes to it, busy for seconds.
const turnBytes = 256 * 1024;

/** A file that has the rest of a ledger, and is to take its place. */
export class LedgerCut implements Disposable {
  readonly #tail: LedgerTail;
  readonly #fresh: LedgerFile;
  readonly #source: ReturnType<LedgerFile['acquire']>;
  /** What is read goes here, because a buffer for each read would take 20 MB before V8 collects them. */
  readonly #chunk = Buffer.alloc(turnBytes);
  /** How far the ledger is copied, and how long the copy is. */
  #copied = 0;
  #written = 0;

  /** Between `hold` and `letGo` of the ledger; `temporary` is a free path in its folder. */
  constructor(tail: LedgerTail, temporary: string) {
    this.#tail = tail;
    this.#fresh = new LedgerFile(temporary, tail.file.files);
    this.#fresh.hold();
    this.#source = tail.file.acquire();
  }

  [Symbol.dispose](): void {
    this.#fresh.letGo();
    if (this.#source) this.#tail.file.release(this.#source);
  }

  /**
   * Copies the lines behind a row, while others may append to the ledger. `committed` gives the end of the ledger while
   * nobody writes: a line behind it may be taken back, when its COMMIT fails, and must not be copied. Gives false where
   * the ledger begins there already, or behind it. Throws `ERR_STORE_PARITY` where the ledger does not have the row.
   */
  async copy(behind: Anchor, committed: () => Promise<End>, signal: AbortSignal | undefined): Promise<boolean> {
    const { store, created, after, renewed, headerBytes, bytes } = await committed();
    if (store === undefined || created === undefined || (after?.id ?? 0) >= behind.id) return false;
    this.#copied = await this.#offsetBehind(behind, headerBytes, bytes, signal);
    this.#fresh.create(this.#tail.file.like);
    this.#written = this.#fresh.write(Buffer.from(headerText({ store, created, after: behind, renewed })), 0);
    // What is appended meanwhile is copied too, as long as it is much: the rest is copied while everybody waits.
    for (let end = bytes; end - this.#copied > turnBytes; end = (await committed()).bytes) {
      while (this.#copied < end) {
        this.#copyUpTo(Math.min(end, this.#copied + turnBytes));
        this.#fresh.sync();
        await nextTurn();
        signal?.throwIfAborted();
      }
    }
    return true;
  }

  /**
   * The offset behind the line of a row. It is looked for by the bytes with which it begins, which can stand behind a
   * newline nowhere else. The lines before it are not read, because they go, whatever may be damaged there.
   */
  async #offsetBehind(behind: Anchor, from: number, to: number, signal: AbortSignal | undefined): Promise<number> {
    const { file, path } = this.#tail;
    const beginning = Buffer.from(`\n{"id":${behind.id},`);
    for (let at = from - 1; at + beginning.length < to; ) {
      const chunk = this.#read(at, to);
      const found = chunk.indexOf(beginning);
      const [raw] = found < 0 ? [] : linesOf(file, at + found + 1, to);
      if (raw && soundLine(raw)?.hash === behind.hash) return raw.end;
      if (raw || chunk.length < beginning.length) break;
      at += chunk.length - beginning.length + 1;
      await nextTurn();
      signal?.throwIfAborted();
    }
    const why = `it has no line of row ${behind.id} as the log had it`;
    throw new StoreError('ERR_STORE_PARITY', `${path} cannot be cut: ${why}`);
  }

  /** The bytes from an offset on, as many as fit; good until the next read. */
  #read(from: number, to: number): Buffer {
    const { file } = this.#tail;
    const length = Math.min(turnBytes, to - from);
    return this.#chunk.subarray(0, file.use((fd) => file.files.readSync(fd!, this.#chunk, 0, length, from)));
  }

  #copyUpTo(end: number): void {
    while (this.#copied < end) {
      const chunk = this.#read(this.#copied, end);
      if (chunk.length === 0) return;
      this.#written += this.#fresh.write(chunk, this.#written);
      this.#copied += chunk.length;
    }
  }

  /** Copies what was appended meanwhile, and takes the ledger's place; inside a transaction. Durable on return. */
  place(): void {
    const { file } = this.#tail;
    const source = file.acquire();
    if (source) file.release(source);
    if (source !== this.#source) {
      throw new StoreError('ERR_STORE_BUSY', `another process has written ${file.path} anew meanwhile`);
    }
    this.#copyUpTo(this.#tail.end.bytes);
    this.#fresh.sync();
    this.#fresh.takePlaceOf(file);
    this.#tail.refresh(true);
  }
}
