// The end of a ledger's file, as a store works with it: read, appended to, mended. It knows nothing of a database.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { dirname } from 'node:path';
import type { Anchor } from '../core/chain.ts';
import { StoreError } from '../values/errors.ts';
import { syncFolder } from '../values/folders.ts';
import type { FileLike } from '../values/owner.ts';
import { emptyEnd, type End, linesBackTo, readEnd, wholeGroups } from './end.ts';
import { LedgerFile, type LedgerFiles } from './file.ts';
import { headerText, type LedgerHeader, signHash, toRow } from './line.ts';
import { bringTo, type Brought, type SourceLog } from './mend.ts';
import type { LedgerRow } from './rows.ts';
import { writeLines } from './write-lines.ts';

export class LedgerTail {
  readonly path: string;
  readonly file: LedgerFile;
  /** Whether rows may be written without a signature where signing has begun. */
  readonly unsigned: boolean;
  /** Whether the ledger was opened with `recover`, so that any damage is mended. */
  readonly recover: boolean;
  /** The public half of the key that signs, as PEM. */
  readonly publicKey: string | undefined;
  readonly #key: KeyObject | undefined;
  #end: End = emptyEnd;

  constructor(
    path: string, files: LedgerFiles, settings: { key?: KeyObject; unsigned?: boolean; recover?: boolean } = {},
  ) {
    this.path = path;
    this.file = new LedgerFile(path, files);
    this.#key = settings.key;
    this.unsigned = settings.unsigned ?? false;
    this.recover = settings.recover ?? false;
    this.publicKey = this.#key && createPublicKey(this.#key).export({ type: 'spki', format: 'pem' }).toString();
  }

  /** The end as it was read last. */
  get end(): End {
    return this.#end;
  }

  /** The signature of a hash; `null` where there is no key. */
  sign(hash: string): string | null {
    return this.#key ? signHash(hash, this.#key) : null;
  }

  /** Opens the file that is at the path now for appending, until `letGo`. Throws where it may not be written. */
  hold(): void {
    this.file.hold();
    this.#end = { ...this.#end, size: -1 }; // so that the next look reads the file that is open now
  }

  letGo(): void {
    this.file.letGo();
  }

  /** Throws where the file may not be written, or not be made. */
  checkWritable(): void {
    this.file.hold();
    this.file.letGo();
  }

  /**
   * Reads the end again where the size has changed, because another process may have appended; with `anew` in any case.
   */
  refresh(anew = false): End {
    return this.file.use((fd) => {
      const size = fd === undefined ? 0 : this.file.size;
      // The size proves nothing unless the file stays open, because another file may take its place between two calls.
      const isKnown = !anew && this.file.isHeld && size === this.#end.size && this.#end.store !== undefined;
      if (!isKnown) this.#end = readEnd(this.file, size, this.recover);
      return this.#end;
    });
  }

  /** Makes the file and writes its header, between `hold` and `letGo`; durable on return. */
  begin(header: Omit<LedgerHeader, 'format'>, like: FileLike): void {
    this.file.create(like);
    this.file.write(Buffer.from(headerText(header)), 0);
    this.file.sync();
    syncFolder(dirname(this.path)); // a new file's name is durable only once its folder is synced
    this.refresh(true);
  }

  /**
   * Makes the ledger end with the last row of a log, header included; durable on return. Throws `ERR_STORE_PARITY`,
   * with the line, for damage that no power cut can cause, unless `log.recover` is true, and leaves the file as it was.
   */
  bringTo(log: SourceLog): Brought {
    const end = this.refresh(true);
    this.#end = { ...end, size: -1 }; // if this fails, the next look reads the file again
    const brought = bringTo(this.file, end, log);
    this.refresh(true);
    return brought;
  }

  /** Appends rows and syncs them, or throws and takes them back; `ERR_STORE_IO` where taking them back fails too. */
  append(rows: Iterable<LedgerRow>): void {
    const before = this.#end;
    let { head, groupEnd, isSigned } = before;
    try {
      const bytes = writeLines(this.file, rows, before.bytes, (row) => {
        head = { id: row.id, hash: row.hash };
        isSigned = row.signature !== null;
        if (!row.more) groupEnd = row.id;
      });
      // The lines are synced before the database commits, so that an acknowledged event is durable in both files.
      this.file.sync();
      this.#end = { ...before, head, groupEnd, isSigned, bytes, size: bytes };
    } catch (error) {
      // No group may follow a part of another.
      this.takeBack(before, error);
      throw error;
    }
  }

  /**
   * Removes what was written behind an earlier end; durable on return. Throws `ERR_STORE_IO`, after which nobody knows
   * where the file ends on the disk, with `cause`, why it was to be removed.
   */
  takeBack(before: End, cause?: unknown): void {
    try {
      this.file.truncate(before.bytes);
      this.file.sync();
      this.#end = before;
    } catch (error) {
      throw new StoreError('ERR_STORE_IO', `failed to take a write to ${this.path} back`, { cause: cause ?? error });
    }
  }

  /** The sound rows from an id on, in order. */
  *rows(fromId: number): Generator<LedgerRow, void, undefined> {
    for (const { line } of linesBackTo(this.file, this.#end, fromId)) {
      if (line.id >= fromId) yield toRow(line);
    }
  }

  /** The rows that follow the row `after` of the log, from the whole groups behind the damage. */
  *rowsBehindDamage(after: Anchor): Generator<LedgerRow, void, undefined> {
    let previous = after.hash;
    for (const line of wholeGroups(this.file, this.#end.bytes, this.#end.size, after)) {
      if (line.prev !== previous) continue; // the log has this row already, or it is not from this log
      previous = line.hash;
      yield toRow(line);
    }
  }
}
