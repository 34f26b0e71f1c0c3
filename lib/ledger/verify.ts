// Verifying a ledger: every line against the format, the chain, the signatures and an anchor.
import { isUtf8 } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Anchor } from '../core/chain.ts';
import { attempt } from '../values/errors.ts';
import { anchorFault, type CheckedVerifyOptions } from '../verify/chain-walk.ts';
import { SignatureWalk } from '../verify/signatures.ts';
import type { LedgerFile, LedgerFiles } from './file.ts';
import { beginningOf, type LedgerLine, lineHash, parseHeader, parseLine } from './line.ts';
import { type RawLine, readLines } from './read-lines.ts';

/**
 * What can be wrong with a line:
 *
 * - `not-a-ledger`: the first line is not the header
 * - `bad-encoding`: the line is not UTF-8
 * - `bad-line`: not a line as this package writes it: noise, NUL bytes, a BOM, CRLF, other fields or another order, too
 *   long
 * - `tampered`: the hash is not the one of the content
 * - `gap`: the line does not follow the line before it: lines were removed, inserted, repeated or have changed places
 * - `other-store`: the chain begins in another store
 * - `torn-line`, `torn-group`: the file ends inside a line or a group, as after a power cut; the store mends that at
 *   open
 * - `truncated`, `forked`: the anchor's line is missing, or another line has its id
 * - `archived`: the anchor is of a row before the first line, which the archives have
 * - `bad-signature`, `missing-signature`: a line that the given key must have signed has a wrong signature or none
 */
export type LedgerFindingKind =
  | 'not-a-ledger' | 'bad-encoding' | 'bad-line' | 'tampered' | 'gap' | 'other-store' | 'torn-line' | 'torn-group'
  | 'truncated' | 'forked' | 'archived' | 'bad-signature' | 'missing-signature';

/** Something wrong with a ledger, at a line; the header is line 1. `id` is the event's, where the line can be read. */
export interface LedgerFinding {
  line: number;
  id?: number;
  kind: LedgerFindingKind;
  message: string;
}

/**
 * What `verify` found: at most 1,000 findings, and how many more there are. `checked` counts the lines after the
 * header; `head` is the last event that could be read.
 */
export interface LedgerReport {
  ok: boolean;
  checked: number;
  head?: Anchor;
  findings: LedgerFinding[];
  more: number;
}

// This many bytes take some milliseconds, after which the event loop gets a turn.
const batchBytes = 256 * 1024;
const maxFindings = 1_000;

/** One file of several that are verified one after the other. */
interface Part {
  /** The signatures of all of them, which go on from file to file. */
  signatures: SignatureWalk | undefined;
  /** Called with each line that can be read. */
  each: (line: LedgerLine) => void;
}

/** Verifies a ledger's file; see `Ledger.verify`. `part`: where it is one of several. */
export async function verifyFile(
  file: LedgerFile, options: CheckedVerifyOptions, part?: Part,
): Promise<LedgerReport> {
  const { anchor, publicKey, signal, onProgress } = options;
  signal?.throwIfAborted();
  const what = `verify ${file.path}`;
  const walk = new LineWalk(anchor, publicKey && new SignatureWalk(publicKey), part);
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

/** The lines of the file. Where it ends inside a line or group, its size is read again: a writer may be at work. */
function* readToEnd(
  files: LedgerFiles, fd: number,
): Generator<{ line: RawLine; done: number; total: number }, void, undefined> {
  let start = 0; // the offset of the first line that was not given yet
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

/** Follows the chain. A fault is reported once, because the walk then accepts each hash that may rightly follow. */
class LineWalk {
  readonly #report: LedgerReport = { ok: true, checked: 0, findings: [], more: 0 };
  readonly #anchor: Anchor | undefined;
  readonly #signatures: SignatureWalk | undefined;
  readonly #part: Part | undefined;
  /** The hashes that the next line may name as its predecessor's; the first is that of the line before. */
  #previous: string[] = [];
  #head: Anchor | undefined;
  /** Whether the id of the next line can be checked, which it cannot after a faulty line. */
  #knowsId = true;
  /** Whether lines that could not be read stand before the next one. */
  #skipped = false;
  #isAdopted = false;
  /** Ids that were skipped although the chain holds, as an adopted store may rightly have them. */
  #jumps: LedgerFinding[] = [];
  #moreJumps = 0;
  #anchored: string | undefined;
  /** The row before the first line, where that is in an archive. */
  #after: Anchor | undefined;
  #number = 0;
  #last: LedgerLine | undefined;

  constructor(anchor: Anchor | undefined, signatures: SignatureWalk | undefined, part: Part | undefined) {
    this.#anchor = anchor;
    this.#signatures = part ? part.signatures : signatures;
    this.#part = part;
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
      if (line) {
        this.#line(line);
        this.#part?.each(line);
      } else this.#unreadable('bad-line', 'this line is not one as this package writes it');
    }
  }

  #header(bytes: Buffer): void {
    const header = parseHeader(bytes);
    this.#after = header?.after;
    if (this.#after && this.#after.id === this.#anchor?.id) this.#anchored = this.#after.hash;
    if (header) this.#previous = [beginningOf(header).hash];
    else this.#unreadable('not-a-ledger', 'the first line is not the header of a ledger');
  }

  #unreadable(kind: LedgerFindingKind, message: string): void {
    this.#skipped = true;
    this.#add({ line: this.#number, kind, message });
  }

  #line(line: LedgerLine): void {
    const { id, type, data, hash } = line;
    const computed = lineHash(line);
    const unsigned = this.#signatures?.step(id, type, data, hash, line.sig ?? null);
    if (computed !== hash) {
      this.#found(line, 'tampered', 'the hash is not the one of the content');
      // If only the hash was changed, the next line names the hash that was there before, which is the computed one.
      this.#goOn(line, [hash, computed], false);
    } else if (!this.#follows(line)) {
      const due = this.#after ? `row ${this.#after.id + 1}` : 'the first row';
      const first = `row ${id} stands where ${due} is due`;
      const gap = this.#head ? `row ${id} does not follow row ${this.#head.id}` : first;
      const otherStore = 'the chain begins in another store than that of the first line';
      if (!this.#head && !this.#after && id === 1) this.#found(line, 'other-store', otherStore);
      else this.#found(line, 'gap', gap);
      // If this line was inserted, the next one names the line before it.
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

  /** Whether a line may be in its place. Behind unreadable lines, any line with a larger id than the last one may. */
  #follows({ id, prev }: LedgerLine): boolean {
    return this.#previous.includes(prev) || (this.#skipped && id > this.#lastId());
  }

  #lastId(): number {
    return (this.#head ?? this.#after)?.id ?? 0;
  }

  #checkId(line: LedgerLine): void {
    const due = this.#lastId() + 1;
    if (!this.#knowsId || this.#skipped || line.id === due) return;
    const message = `row ${line.id} stands where row ${due} is due`;
    const finding: LedgerFinding = { line: this.#number, id: line.id, kind: 'gap', message };
    // Skipped ids are kept apart, because rows from before store_adopted may rightly have gaps.
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

  /** Adds the findings that only the end can show. */
  end(): LedgerReport {
    const report = this.#report;
    if (this.#last?.more) this.#found(this.#last, 'torn-group', 'the file ends inside of a group of events');
    const unsigned = this.#head && !this.#part && this.#signatures?.end();
    if (unsigned) this.#add({ line: this.#number, kind: unsigned.kind, message: unsigned.message });
    const lost = this.#anchor && anchorFault(this.#anchor, this.#lastId(), this.#anchored, this.#after?.id ?? 0);
    if (lost) this.#add({ line: this.#number, ...lost });
    const all = [...report.findings, ...this.#jumps].sort((a, b) => a.line - b.line);
    report.findings = all.slice(0, maxFindings);
    report.more += this.#moreJumps + all.length - report.findings.length;
    report.ok = all.length === 0;
    const head = this.#head ?? this.#after;
    if (head) report.head = head;
    return report;
  }
}
