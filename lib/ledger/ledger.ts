// A ledger: the JSONL file as its users and the store see it. It knows nothing of a database.
import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import * as system from 'node:fs';
import { dirname } from 'node:path';
import { checkVerifyOptions } from '../audit.ts';
import type { Anchor, VerifyOptions } from '../audit.ts';
import { attempt, notConstructed, StoreError } from '../errors.ts';
import type { EventTexts } from '../events.ts';
import { checkPath } from '../files.ts';
import type { BreakGlassGrant, PolicyContribution, PolicyDecision } from '../gate.ts';
import type { AuditMirror, Brought, MirroredLog, MirroredRow, SetAside } from '../mirror-port.ts';
import { likeFor } from '../owner.ts';
import { syncFolder } from '../snapshot-file.ts';
import { checkOptions, invalid } from '../values.ts';
import { emptyEnd, linesBackTo, linesOf, readEnd, wholeGroups } from './end.ts';
import type { End } from './end.ts';
import { LedgerFile } from './file.ts';
import type { LedgerFiles } from './file.ts';
import { checkSigningKey, headerText, isSound, parseLine, signHash, toRow } from './line.ts';
import type { LedgerLine } from './line.ts';
import { bringTo } from './mend.ts';
import { decideAppend } from './policy.ts';
import { checkFiles } from './read-lines.ts';
import { verifyFile } from './verify.ts';
import type { LedgerReport } from './verify.ts';
import { checkLength, writeLines } from './write-lines.ts';

/**
 * `signingKey`: an Ed25519 private key, or its PEM text; a store that has begun to sign takes no other. `unsigned`: to go on
 * without a key where it has; whoever verifies finds each such event. `recover`: one that is damaged is set aside and made anew
 * from the log.
 */
export interface LedgerOptions {
  signingKey?: KeyObject | string;
  unsigned?: boolean;
  recover?: boolean;
  files?: LedgerFiles;
}

/**
 * A ledger: one JSON text a line, each an audit event, chained by hashes. `open` only reads; a store that is opened with
 * it appends to it. The file is open only while it is read, and while such a store is open.
 */
export class Ledger implements AuditMirror {
  readonly path: string;
  readonly unsigned: boolean;
  readonly recover: boolean;
  readonly #file: LedgerFile;
  readonly #key: KeyObject | undefined;
  #end: End = emptyEnd;

  /**
   * Opens the ledger at `path`; a file that is not there is an empty ledger, and is made by the store. Reads the end only.
   * Throws `ERR_STORE_NOT_A_STORE` for a file that is something else, `ERR_STORE_PERMISSION`, `ERR_STORE_IO`.
   */
  static open(path: string, options?: LedgerOptions): Ledger {
    const checked = checkOptions('options', options, ['signingKey', 'unsigned', 'recover', 'files']);
    const { signingKey, unsigned = false, recover = false, files = system } = checked;
    if (typeof recover !== 'boolean') throw invalid('options.recover', recover, 'true or false');
    if (typeof unsigned !== 'boolean') throw invalid('options.unsigned', unsigned, 'true or false');
    if (unsigned && signingKey !== undefined) throw invalid('options.unsigned', unsigned, 'left out beside a signingKey');
    const key = signingKey === undefined ? undefined : checkSigningKey(signingKey);
    const ledger = new Ledger(checkPath(path), key, unsigned, recover, checkFiles(files));
    attempt(`open the ledger ${ledger.path}`, () => ledger.refresh());
    return ledger;
  }

  private constructor(path: string, key: KeyObject | undefined, unsigned: boolean, recover: boolean, files: LedgerFiles) {
    if (typeof recover !== 'boolean') throw notConstructed('Ledger.open(path)'); // JavaScript knows no private
    this.path = path;
    this.unsigned = unsigned;
    this.recover = recover;
    this.#file = new LedgerFile(path, files);
    this.#key = key;
  }

  /** The id and hash of the last line; `undefined` for a ledger without events. */
  get head(): Anchor | undefined {
    return this.#end.head && { ...this.#end.head };
  }

  /** The UUID of the store whose ledger this is; `undefined` for a ledger that is not there yet. */
  get store(): string | undefined {
    return this.#end.store;
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
    for (const { number, bytes } of linesOf(this.#file, 0, this.#end.bytes)) {
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
    return verifyFile(new LedgerFile(this.path, this.#file.files), checkVerifyOptions(options));
  }

  /**
   * Ends the use of the ledger; again is fine. It has nothing open then, unless a store was opened with it: that goes on, and
   * lets go of the file when it is closed itself.
   */
  close(): void {
    // Nothing of its own is open between two calls.
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // What follows is the store's side; see AuditMirror.

  sign(hash: string): string | null {
    return this.#key ? signHash(hash, this.#key) : null;
  }

  decide(contributions: readonly PolicyContribution[], breakGlass: BreakGlassGrant | undefined, headsAgree: boolean): PolicyDecision {
    return decideAppend(contributions, breakGlass, headsAgree);
  }

  checkEvent(event: EventTexts): void {
    checkLength(event);
  }

  hold(): void {
    this.#file.hold();
    this.#end = { ...this.#end, size: -1 }; // another file may stand there by now
  }

  letGo(): void {
    this.#file.letGo();
  }

  checkWritable(): void {
    this.#file.hold();
    this.#file.letGo();
  }

  refresh(anew = false): End {
    return this.#file.use((fd) => {
      const size = fd === undefined ? 0 : this.#file.size;
      // Between two calls another file may come to stand there, unless this one is kept open.
      if (anew || !this.#file.isHeld || size !== this.#end.size || this.#end.store === undefined) this.#end = readEnd(this.#file, size, this.recover);
      return this.#end;
    });
  }

  /** Makes the file, with its header, for a ledger that is held; durable on return. */
  begin(store: string, created: string, like = likeFor(this.path)): void {
    this.#file.create(like);
    this.#file.write(Buffer.from(headerText(store, created)), 0);
    this.#file.sync();
    syncFolder(dirname(this.path)); // the name of a new file is durable only with its folder
    this.refresh(true);
  }

  bringTo(log: MirroredLog): Brought {
    const end = this.refresh(true);
    this.#end = { ...end, size: -1 }; // where it fails, whoever asks next reads what stands there
    const brought = bringTo(this.#file, end, log);
    this.refresh(true);
    return brought;
  }

  listSetAside(isKnown: (name: string) => boolean): SetAside[] {
    return this.#file.listAside(isKnown);
  }

  append(rows: Iterable<MirroredRow>): void {
    const before = this.#end;
    let { head, groupEnd, isSigned } = before;
    try {
      const bytes = writeLines(this.#file, rows, before.bytes, (row) => {
        head = { id: row.id, hash: row.hash };
        isSigned = row.signature !== null;
        if (!row.more) groupEnd = row.id;
      });
      // Before the database commits: what is acknowledged is in both files.
      this.#file.sync();
      this.#end = { ...before, head, groupEnd, isSigned, bytes, size: bytes };
    } catch (error) {
      this.#takeBack(before.bytes, error);
      throw error;
    }
  }

  /** A part of a group must not stay: the next group would stand behind it. */
  #takeBack(bytes: number, cause: unknown): void {
    try {
      this.#file.truncate(bytes);
      this.#file.sync();
    } catch {
      throw new StoreError('ERR_STORE_IO', `failed to take a write to ${this.path} back`, { cause });
    }
  }

  *rows(fromId: number): Generator<MirroredRow, void, undefined> {
    for (const { line } of linesBackTo(this.#file, this.#end, fromId)) {
      if (line.id >= fromId) yield toRow(line);
    }
  }

  *rowsBehindDamage(after: Anchor): Generator<MirroredRow, void, undefined> {
    let previous = after.hash;
    for (const line of wholeGroups(this.#file, this.#end.bytes, this.#end.size, after)) {
      if (line.prev !== previous) continue; // the log has it already, or it is nothing of the log's
      previous = line.hash;
      yield toRow(line);
    }
  }
}
