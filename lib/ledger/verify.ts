// Verifying a ledger: every line against the format, the chain, the signatures and an anchor.
import { isUtf8 } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { anchorFault } from '../audit.ts';
import type { Anchor, CheckedVerifyOptions } from '../audit.ts';
import { genesisHash, SignatureWalk } from '../chain.ts';
import { attempt } from '../errors.ts';
import type { LedgerFile, LedgerFiles } from './file.ts';
import { lineHash, parseHeader, parseLine } from './line.ts';
import type { LedgerLine } from './line.ts';
import { readLines } from './read-lines.ts';
import type { RawLine } from './read-lines.ts';

/**
 * What can be wrong with a line:
 *
 * - `not-a-ledger`: the first line is not the header
 * - `bad-encoding`: not UTF-8
 * - `bad-line`: not a line as this package writes it: noise, NUL bytes, a BOM, CRLF, other fields or another order, too long
 * - `tampered`: the hash is not the one of the content
 * - `gap`: does not follow the line before it: lines were removed, inserted, repeated or have changed places
 * - `other-store`: the chain begins in another store
 * - `torn-line`, `torn-group`: the file ends inside a line or a group, as after a power cut; the store mends that at open
 * - `truncated`, `forked`: the line that the anchor was taken of is not there, or another one is
 * - `bad-signature`, `missing-signature`: of a line that the given key must have signed
 */
export type LedgerFindingKind =
  | 'not-a-ledger' | 'bad-encoding' | 'bad-line' | 'tampered' | 'gap' | 'other-store' | 'torn-line' | 'torn-group'
  | 'truncated' | 'forked' | 'bad-signature' | 'missing-signature';

/** Something wrong with a ledger, at a line; the header is line 1. `id` is the event's, where the line can be read. */
export interface LedgerFinding {
  line: number;
  id?: number;
  kind: LedgerFindingKind;
  message: string;
}

/** What `verify` found: at most 1,000 findings, and how many more there are. `checked` counts the lines behind the header; `head` is the last one that could be read. */
export interface LedgerReport {
  ok: boolean;
  checked: number;
  head?: Anchor;
  findings: LedgerFinding[];
  more: number;
}

// Some milliseconds of work between two turns of the event loop.
const batchBytes = 256 * 1024;
const maxFindings = 1_000;

/** Verifies a ledger's file; see `Ledger.verify`. */
export async function verifyFile(file: LedgerFile, { anchor, publicKey, signal, onProgress }: CheckedVerifyOptions): Promise<LedgerReport> {
  signal?.throwIfAborted();
  const what = `verify ${file.path}`;
  const walk = new LineWalk(anchor, publicKey && new SignatureWalk(publicKey));
  const descriptor = attempt(what, () => file.acquire());
  if (!descriptor) return walk.end(); // a ledger that is not there yet is empty
  try {
    const lines = readToEnd(file.files, descriptor.fd);
    let turnAt = batchBytes;
    for (;;) {
      const next = attempt(what, () => lines.next());
      if (next.done) return walk.end();
      const { line, done, total } = next.value;
      walk.step(line);
      if (done < turnAt && done < total) continue;
      turnAt = done + batchBytes;
      onProgress?.({ done, total });
      await nextTurn();
      signal?.throwIfAborted();
    }
  } finally {
    file.release(descriptor);
  }
}

/** The lines of the file; what ends inside of a line or group and has grown since is what a writer has just begun. */
function* readToEnd(files: LedgerFiles, fd: number): Generator<{ line: RawLine; done: number; total: number }, void, undefined> {
  let start = 0; // of the first line that was not given yet
  let number = 0;
  for (let total = files.fstatSync(fd).size; start < total; ) {
    let hasMore = false;
    for (const raw of readLines(files, fd, start, total)) {
      if (raw.end === total && (!raw.complete || raw.bytes?.includes('"more":true'))) {
        total = files.fstatSync(fd).size;
        hasMore = total > raw.end;
        if (hasMore && !raw.complete) break;
      }
      start = raw.end;
      yield { line: { ...raw, number: ++number }, done: start, total };
    }
    if (!hasMore) return;
  }
}

/** Follows the chain. A fault is one finding: the walk goes on from what the next line can be held against. */
class LineWalk {
  readonly #report: LedgerReport = { ok: true, checked: 0, findings: [], more: 0 };
  readonly #anchor: Anchor | undefined;
  readonly #signatures: SignatureWalk | undefined;
  /** The hashes that the next line may name as its predecessor's; the first is that of the line before. */
  #previous: string[] = [];
  #head: Anchor | undefined;
  /** Whether the id of the next line says something: not behind one that is itself wrong. */
  #knowsId = true;
  /** Whether lines that could not be read stand before the next one. */
  #skipped = false;
  #isAdopted = false;
  /** Ids that were left out although the chain holds; an adopted store may have such. */
  #jumps: LedgerFinding[] = [];
  #moreJumps = 0;
  #anchored: string | undefined;
  #number = 0;
  #last: LedgerLine | undefined;

  constructor(anchor: Anchor | undefined, signatures: SignatureWalk | undefined) {
    this.#anchor = anchor;
    this.#signatures = signatures;
  }

  step({ number, bytes, complete }: RawLine): void {
    this.#number = number;
    this.#last = undefined;
    if (number > 1) this.#report.checked++;
    if (!complete) this.#unreadable('torn-line', 'the file ends inside of this line');
    else if (bytes === undefined) this.#unreadable('bad-line', 'this line is longer than any that this package writes');
    else if (!isUtf8(bytes)) this.#unreadable('bad-encoding', 'this line is not UTF-8');
    else if (number === 1) this.#header(bytes);
    else {
      const line = parseLine(bytes);
      if (line) this.#line(line);
      else this.#unreadable('bad-line', 'this line is not one as this package writes it');
    }
  }

  #header(bytes: Buffer): void {
    const header = parseHeader(bytes);
    if (header) this.#previous = [genesisHash(header.store)];
    else this.#unreadable('not-a-ledger', 'the first line is not the header of a ledger');
  }

  #unreadable(kind: LedgerFindingKind, message: string): void {
    this.#skipped = true;
    this.#add({ line: this.#number, kind, message });
  }

  #line(line: LedgerLine): void {
    const { id, type, data, hash } = line;
    const computed = lineHash(line);
    const unsigned = this.#signatures?.step(type, data, hash, line.sig ?? null);
    if (computed !== hash) {
      this.#found(line, 'tampered', 'the hash is not the one of the content');
      // Where it is the hash that was changed, the next line follows the one that was there.
      this.#goOn(line, [hash, computed], false);
    } else if (!this.#follows(line)) {
      if (!this.#head && id === 1) this.#found(line, 'other-store', 'the chain begins in another store than that of the first line');
      else this.#found(line, 'gap', this.#head ? `row ${id} does not follow row ${this.#head.id}` : `row ${id} stands where the first row is due`);
      // Where the line was inserted, the next one follows what stood before it.
      this.#goOn(line, [hash, ...this.#previous.slice(0, 1)], false);
    } else {
      this.#checkId(line);
      if (unsigned) this.#found(line, unsigned.kind, unsigned.message);
      this.#goOn(line, [hash], true);
    }
    this.#last = line;
    if (type === 'store_adopted' && !this.#isAdopted) this.#adopted();
    if (id === this.#anchor?.id && this.#anchored !== this.#anchor.hash) this.#anchored = hash;
  }

  /** Behind lines that cannot be read, a line that is not older than the last one may well be in its place. */
  #follows({ id, prev }: LedgerLine): boolean {
    return this.#previous.includes(prev) || (this.#skipped && id > (this.#head?.id ?? 0));
  }

  #checkId(line: LedgerLine): void {
    const due = (this.#head?.id ?? 0) + 1;
    if (!this.#knowsId || this.#skipped || line.id === due) return;
    const finding: LedgerFinding = { line: this.#number, id: line.id, kind: 'gap', message: `row ${line.id} stands where row ${due} is due` };
    // The rows before store_adopted have the ids that they had.
    if (line.id < due) this.#add(finding);
    else if (this.#jumps.length < maxFindings) this.#jumps.push(finding);
    else this.#moreJumps++;
  }

  #goOn({ id, hash }: LedgerLine, previous: string[], knowsId: boolean): void {
    this.#head = { id, hash };
    this.#previous = previous;
    this.#knowsId = knowsId;
    this.#skipped = false;
  }

  #adopted(): void {
    this.#isAdopted = true;
    this.#jumps = [];
    this.#moreJumps = 0;
  }

  #found({ id }: LedgerLine, kind: LedgerFindingKind, message: string): void {
    this.#add({ line: this.#number, id, kind, message });
  }

  #add(finding: LedgerFinding): void {
    if (this.#report.findings.length < maxFindings) this.#report.findings.push(finding);
    else this.#report.more++;
  }

  /** What only the end can tell. */
  end(): LedgerReport {
    const report = this.#report;
    if (this.#last?.more) this.#found(this.#last, 'torn-group', 'the file ends inside of a group of events');
    const unsigned = this.#head && this.#signatures?.end();
    if (unsigned) this.#add({ line: this.#number, kind: unsigned.kind, message: unsigned.message });
    const lost = this.#anchor && anchorFault(this.#anchor, this.#head?.id ?? 0, this.#anchored);
    if (lost) this.#add({ line: this.#number, ...lost });
    const all = [...report.findings, ...this.#jumps].sort((a, b) => a.line - b.line);
    report.findings = all.slice(0, maxFindings);
    report.more += this.#moreJumps + all.length - report.findings.length;
    report.ok = all.length === 0;
    if (this.#head) report.head = this.#head;
    return report;
  }
}
