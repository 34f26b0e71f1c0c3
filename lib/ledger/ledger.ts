// A ledger: the JSONL file as its users see it.
import type { KeyObject } from 'node:crypto';
import * as system from 'node:fs';
import type { Anchor } from '../core/chain.ts';
import type { LedgerPort } from '../core/mirror-port.ts';
import type { GivenLedger } from '../core/options.ts';
import type { StoreParts } from '../core/parts.ts';
import { checkOptions, invalid } from '../values/checks.ts';
import { attempt, notConstructed, StoreError } from '../values/errors.ts';
import { checkPath } from '../values/paths.ts';
import { checkVerifyOptions, type VerifyOptions } from '../verify/chain-walk.ts';
import { AttachedLedger } from './attached.ts';
import { type End, linesOf } from './end.ts';
import { LedgerFile, type LedgerFiles } from './file.ts';
import { gzipFiles, isCompressed } from './gzip.ts';
import { checkSigningKey, type LedgerLine, parseHeader, soundLine } from './line.ts';
import { checkFiles, type RawLine } from './read-lines.ts';
import type { LedgerRow } from './rows.ts';
import { LedgerTail } from './tail.ts';
import { type LedgerReport, verifyFile } from './verify.ts';

/**
 * `signingKey`: an Ed25519 private key, or its PEM text; a store that has begun to sign accepts no other. `unsigned`:
 * goes on without the key in such a store; verifying with the key reports each event without a signature. `recover`:
 * sets a damaged ledger aside and makes it anew from the log. `files`: the file operations, which tests replace.
 */
export interface LedgerOptions {
  signingKey?: KeyObject | string | undefined;
  unsigned?: boolean | undefined;
  recover?: boolean | undefined;
  files?: LedgerFiles | undefined;
}

/**
 * The ledger of a store: a JSONL file, one audit event a line, chained by hashes. `Ledger.open` only reads; a store
 * that is opened with it appends to it. The file is open only while it is read, and while such a store is open.
 */
export class Ledger implements GivenLedger {
  readonly path: string;
  readonly unsigned: boolean;
  readonly #tail: LedgerTail;
  /** The file at the path, where a store of this process still has the one open that another process has cut. */
  #cut: LedgerTail | undefined;

  /**
   * Opens the ledger at `path`. Where there is no file, the ledger is empty, and the store makes the file. Reads only
   * the end. An archive is a ledger too; one whose name ends in `.gz` can only be read, and is read whole here. Throws
   * `ERR_STORE_NOT_A_STORE` for a file that is no ledger, `ERR_STORE_CORRUPT` for one that cannot be decompressed,
   * `ERR_STORE_UNSUPPORTED` for one that another program has compressed to one piece too large for the memory,
   * `ERR_STORE_PERMISSION`, `ERR_STORE_IO`.
   */
  static open(path: string, options?: LedgerOptions): Ledger {
    const checked = checkOptions('options', options, ['signingKey', 'unsigned', 'recover', 'files']);
    const { signingKey, unsigned = false, recover = false } = checked;
    const { files = isCompressed(checkPath(path)) ? gzipFiles() : system } = checked;
    if (typeof recover !== 'boolean') throw invalid('options.recover', recover, 'true or false');
    if (typeof unsigned !== 'boolean') throw invalid('options.unsigned', unsigned, 'true or false');
    const isTwice = unsigned && signingKey !== undefined;
    if (isTwice) throw invalid('options.unsigned', unsigned, 'left out beside a signingKey');
    const key = signingKey === undefined ? undefined : checkSigningKey(signingKey);
    const settings = { unsigned, recover, ...(key ? { key } : undefined) };
    const ledger = new Ledger(new LedgerTail(checkPath(path), checkFiles(files), settings));
    attempt(`open the ledger ${ledger.path}`, () => ledger.refresh());
    return ledger;
  }

  private constructor(tail: LedgerTail) {
    if (!(tail instanceof LedgerTail)) throw notConstructed('Ledger.open(path)'); // JavaScript lets anybody call this
    this.path = tail.path;
    this.unsigned = tail.unsigned;
    this.#tail = tail;
  }

  /** What is read: the store that has the file open goes on with a cut one only when it writes. */
  #standing(): LedgerTail {
    if (!this.#tail.file.isReplaced) {
      this.#cut = undefined;
      return this.#tail;
    }
    if (!this.#cut) {
      const { path, file: { files }, recover } = this.#tail;
      this.#cut = new LedgerTail(path, files, { recover });
      this.#cut.refresh();
    }
    return this.#cut.end.store === this.store ? this.#cut : this.#tail;
  }

  /** The id and hash of the last line; `undefined` for a ledger without events. */
  get head(): Anchor | undefined {
    const { head } = this.#standing().end;
    return head && { ...head };
  }

  /** The UUID of the store whose ledger this is; `undefined` where the file does not exist yet. */
  get store(): string | undefined {
    return this.#tail.end.store;
  }

  /** The number of events. Reads the whole file to count them. */
  get length(): number {
    let count = 0;
    for (const _line of this.iterate()) count++;
    return count;
  }

  /** The public half of the signing key, as PEM; `undefined` where the ledger does not sign. */
  get publicKey(): string | undefined {
    return this.#tail.publicKey;
  }

  /**
   * The lines of the events, oldest first, up to the last sound one, in constant memory. Throws `ERR_STORE_CORRUPT`,
   * with the line number, for a damaged line among them.
   */
  *iterate(): Generator<LedgerLine, void, undefined> {
    const { file, end } = this.#standing();
    for (const raw of linesOf(file, 0, end.bytes)) {
      if (raw.number === 1) { // the header
        if (isOfFile(raw, end)) continue;
        this.refresh(); // another process has cut the ledger since its end was read
        return yield* this.iterate();
      }
      const line = soundLine(raw);
      if (line) yield line;
      else throw new StoreError('ERR_STORE_CORRUPT', `line ${raw.number} of ${this.path} is damaged`);
    }
  }

  /**
   * Walks the whole file in constant memory and reports the lines that are not as they were written: the first 1,000,
   * and how many more there are. With an `anchor`, a head that was kept elsewhere, it also proves that this line is
   * still there, because a chain alone cannot show that its end was cut off. With a `publicKey`, every line from the
   * event `signing_started` on must be signed by that key. `onProgress` counts bytes. Reads the file that is at the
   * path now, also beside a writer. Never throws for what it finds; rejects with `signal.reason` when aborted, with
   * `ERR_STORE_INVALID_ARGUMENT`, `ERR_STORE_PERMISSION` and `ERR_STORE_IO`.
   */
  async verify(options?: VerifyOptions): Promise<LedgerReport> {
    return verifyFile(new LedgerFile(this.path, this.#tail.file.files), checkVerifyOptions(options));
  }

  /**
   * Ends the use of the ledger; a second call is fine. A store that was opened with the ledger keeps the file open
   * until the store is closed itself.
   */
  close(): void {
    // There is nothing to close, because the ledger keeps no file open of its own between two calls.
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Throws where the file may not be written, or not be made; called before a store is opened with this ledger. */
  checkWritable(): void {
    this.#tail.checkWritable();
  }

  /** Reads the end of the file again and gives it. Throws what `open` throws. */
  refresh(): End {
    return this.#standing().refresh();
  }

  /**
   * The rows from an id on, as `iterate` gives their lines, without reading all the lines before.
   * @internal
   */
  rows(fromId: number): Generator<LedgerRow, void, undefined> {
    return this.#standing().rows(fromId);
  }

  /**
   * Gives what keeps a store's log and this ledger equal; called when a store is opened with the ledger.
   * @internal
   */
  forStore(parts: StoreParts, recover: boolean): LedgerPort {
    return new AttachedLedger(parts, this.#tail, recover);
  }
}

/** Whether the first line is that of the file whose end was read. */
function isOfFile({ bytes }: RawLine, { after }: End): boolean {
  const header = bytes && parseHeader(bytes);
  return header?.after?.id === after?.id;
}
