// `verifyAudit`: walking the hash chain of the audit log from the first row to the last.
import type { KeyObject } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { types } from 'node:util';
import {
  type Anchor, chainedColumns, chainedRow, checkAnchor, hashedColumns, hashedNames, rowHash,
} from '../core/chain.ts';
import { checkAdvance, pageRows } from '../core/log.ts';
import type { StoreParts } from '../core/parts.ts';
import { type ArchivedRange, decodeArchived } from '../core/retention-events.ts';
import { StoreError } from '../values/errors.ts';
import { checkLong, type LongOperation } from '../values/long.ts';
import { checkPublicKey, SignatureWalk } from './signatures.ts';

/** Something that is wrong with the log at a row. */
export interface Finding {
  id: number;
  /** `archived`: the anchor is of a row that went into an archive, where `verifyArchives` proves it. */
  kind: 'tampered' | 'gap' | 'truncated' | 'forked' | 'archived' | 'bad-signature' | 'missing-signature';
  message: string;
}

/** The result of `verifyAudit`: up to 1,000 findings, and how many `more` there are. `head` is the last row read. */
export interface VerifyReport {
  ok: boolean;
  checked: number;
  head?: Anchor;
  findings: Finding[];
  more: number;
}

/**
 * How to verify. `anchor` is a row that the log must still have at its id. `publicKey` is the Ed25519 key, as a
 * `KeyObject` or PEM text, that must have signed every row from the event `signing_started` on.
 */
export interface VerifyOptions extends LongOperation {
  anchor?: Anchor | undefined;
  publicKey?: KeyObject | string | undefined;
}

/** Verify options after `checkVerifyOptions`. */
export interface CheckedVerifyOptions extends LongOperation {
  anchor?: Anchor;
  publicKey?: KeyObject;
}

/** Checks the options of `verifyAudit`. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkVerifyOptions(options: VerifyOptions | undefined): CheckedVerifyOptions {
  const { anchor, publicKey, ...checked } = checkLong(options, ['anchor', 'publicKey']);
  return {
    ...checked,
    ...(anchor === undefined ? undefined : { anchor: checkAnchor('options.anchor', anchor) }),
    ...(publicKey === undefined ? undefined : { publicKey: checkPublicKey('options.publicKey', publicKey) }),
  };
}

const maxFindings = 1_000;
const what = 'verify the audit log';

/**
 * Verifies the chain from the first row to the last; see `verifyAudit`. `begun`: the signatures so far, where archives
 * come before the log.
 */
export async function verifyChain(
  parts: StoreParts, options: CheckedVerifyOptions, begun?: SignatureWalk,
): Promise<VerifyReport> {
  const { connection, log } = parts;
  const { signal, onProgress, anchor } = options;
  const signatures = begun ?? (options.publicKey && new SignatureWalk(options.publicKey));
  // node:sqlite cannot read ids beyond 2^53, so rows that a stranger put there are counted and not walked.
  const [beyond, total] = connection.read(what, () => connection.get<[number, number | null]>(boundsSql)!);
  const gapsAllowedUpTo = connection.read(what, () => adoptedUpTo(parts));
  const beginning = connection.read(what, () => log.beginning());
  const walk = new ChainWalk(beginning, gapsAllowedUpTo, anchor?.id, signatures);
  const { report } = walk;
  let last: ChainRow | undefined;
  for (let more = true; more; ) {
    signal?.throwIfAborted();
    const after = walk.head?.id ?? Number.MIN_SAFE_INTEGER - 1;
    const rows = connection.readTogether(what, () => {
      if (last) checkSameLog(parts, last);
      else if (log.beginning().id !== beginning.id) throw changed('rows went into an archive meanwhile');
      return connection.all<ChainRow>(chainSql, after);
    });
    last = rows.at(-1);
    more = rows.length === pageRows;
    if (more) checkAdvance(last![0], after);
    for (const row of rows) walk.step(row);
    report.checked += rows.length;
    onProgress?.({ done: report.checked, total: Math.max((total ?? 0) - beginning.id, report.checked) });
    if (more) await nextTurn();
  }
  const unproven = connection.readTogether(what, () => {
    const row = walk.archivedUpTo;
    if (row > beginning.id && row < log.beginning().id) throw changed('rows went into an archive meanwhile');
    return walk.unproven((id) => log.hashAt(id));
  });
  return walk.end(beyond, anchor, unproven);
}

/**
 * Throws `ERR_STORE_BUSY` if the log is another one than at the last page, or begins behind that page now. A reader
 * continues with the file that is at its path now, and the rows of a restored backup would look tampered with.
 */
function checkSameLog({ log }: StoreParts, [id, ...rest]: ChainRow): void {
  const hash = rest[hashAt - 1];
  if (typeof hash !== 'string' || log.hashAt(id) === hash) return;
  const isArchived = id <= log.beginning().id;
  const other = 'another database, such as a restored backup, took its place meanwhile';
  throw changed(isArchived ? 'rows went into an archive meanwhile' : other);
}

function changed(why: string): StoreError {
  return new StoreError('ERR_STORE_BUSY', `failed to ${what}: ${why}; verify it again`);
}

/** The hashed columns, followed by the stored hash, the number of bytes of all of these, and the signature. */
type ChainRow = [id: number, ...columns: unknown[]];
const hashAt = hashedNames.length + 1;

// The number of stored bytes is compared with the number of hashed bytes. Node 24's node:sqlite cuts a text off at NUL,
// and every node:sqlite turns invalid UTF-8 into U+FFFD, so the hash alone would not notice bytes put there.
const bytesSql = [...Object.values(hashedColumns), { column: 'event_hash' }]
  .map(({ column }) => `coalesce(octet_length(${column}), 0)`).join(' + ');
// A signature of 64 bytes has 88 characters. A longer text may hold a NUL, where Node 24's node:sqlite cuts it off.
const signatureSql = "CASE WHEN octet_length(signature) > 88 THEN '' ELSE CAST(signature AS TEXT) END";
const first = Number.MIN_SAFE_INTEGER;
const final = Number.MAX_SAFE_INTEGER;
const chainSql = `SELECT ${chainedColumns}, event_hash, ${bytesSql}, ${signatureSql} FROM audit_log
  WHERE id > ? AND id <= ${final} ORDER BY id LIMIT ${pageRows}`;
const boundsSql = `SELECT (SELECT count(*) FROM audit_log WHERE id > ${final} OR id < ${first}),
  (SELECT max(id) FROM audit_log WHERE id <= ${final} AND id >= ${first})`;

/** The last id of the rows that this package adopted; the ids up to it may have gaps. */
function adoptedUpTo({ connection }: StoreParts): number {
  const [adoptedId] = connection.get<[number | null]>('SELECT adopted_id FROM store_meta WHERE id = 1') ?? [null];
  return adoptedId === null ? 0 : adoptedId - 1;
}

/** Follows the chain from each row's stored hash and not from the computed one, so one changed row is one finding. */
class ChainWalk {
  readonly report: VerifyReport = { ok: true, checked: 0, findings: [], more: 0 };
  head: Anchor | undefined;
  /** The hash of the row that has the anchor's id. */
  #anchored: string | undefined;
  /** What the first row follows. */
  readonly #beginning: Anchor;
  /** The last event that says which rows went into an archive. */
  #archived: ArchivedRange | undefined;
  readonly #gapsAllowedUpTo: number;
  readonly #anchorId: number | undefined;
  readonly #signatures: SignatureWalk | undefined;

  constructor(beginning: Anchor, gapsAllowedUpTo: number, anchorId?: number, signatures?: SignatureWalk) {
    this.#beginning = beginning;
    if (beginning.id === anchorId) this.#anchored = beginning.hash;
    this.#gapsAllowedUpTo = gapsAllowedUpTo;
    this.#anchorId = anchorId;
    this.#signatures = signatures;
  }

  #add(id: number, kind: Finding['kind'], message: string): void {
    this.report.ok = false;
    if (this.report.findings.length < maxFindings) this.report.findings.push({ id, kind, message });
    else this.report.more++;
  }

  step(values: ChainRow): void {
    const row = chainedRow(values);
    const [hash, bytes, signature] = values.slice(hashAt) as [string, number, string | null];
    const due = (this.head ?? this.#beginning).id + 1;
    // A page of another table in place of one of the log's has numbers and NULLs where no INSERT could put them.
    const hashed = [...hashedNames.map((name) => (hashedColumns[name].isOptional ? row[name] ?? '' : row[name])), hash];
    const isReadable = hashed.every((value) => typeof value === 'string' || types.isUint8Array(value));
    const unsigned = isReadable ? this.#signatures?.step(row.id, row.type, row.data, hash, signature) : undefined;
    const isWhole = isReadable && bytes === byteLength(hashed as (string | Uint8Array)[]);
    const isAsWritten = isWhole && this.#hash(row) === hash;
    // A missing row also breaks the hash of the next row, and a changed hash its signature, so only the cause is added.
    const { id } = row;
    if (id !== due && id > this.#gapsAllowedUpTo) this.#add(id, 'gap', `row ${id} stands where row ${due} is due`);
    else if (!isAsWritten) this.#add(id, 'tampered', tampered(id));
    else if (unsigned) this.#add(id, unsigned.kind, `row ${id}: ${unsigned.message}`);
    this.head = { id, hash: String(hash) };
    if (row.type === 'log_archived' && isAsWritten) this.#archived = decodeArchived(id, row.data) ?? this.#archived;
    if (id === this.#anchorId) this.#anchored = hash;
  }

  #hash(row: Parameters<typeof rowHash>[1]): string {
    return rowHash((this.head ?? this.#beginning).hash, row);
  }

  /** The last row that went into an archive, by the events so far. */
  get archivedUpTo(): number {
    return this.#archived?.to ?? 0;
  }

  /**
   * Why nothing in the chain shows that the rows before the first one went into an archive: somebody may have deleted
   * them. An archiving that is not finished has deleted some of the rows that its event names.
   */
  unproven(hashAt: (id: number) => string | undefined): string | undefined {
    const { id } = this.#beginning;
    if (id === 0) return undefined;
    const archived = this.#archived;
    if (archived && archived.to >= id && hashAt(archived.to) === archived.hash) return undefined;
    return `the log begins behind row ${id}, and its last event log_archived does not say that row to be in an archive`;
  }

  /** Adds the findings that need the whole log. `beyond` is the number of rows whose ids are beyond 2^53 - 1. */
  end(beyond: number, anchor: Anchor | undefined, unproven: string | undefined): VerifyReport {
    if (unproven !== undefined) this.#add(this.#beginning.id, 'gap', unproven);
    if (beyond > 0) this.#add(Number.MAX_SAFE_INTEGER, 'gap', `${beyond} rows have ids beyond 2^53 - 1`);
    const unsigned = this.head && this.#signatures?.end();
    if (this.head && unsigned) this.#add(this.head.id, unsigned.kind, unsigned.message);
    const lost = anchor && anchorFault(anchor, this.head?.id ?? 0, this.#anchored, this.#beginning.id);
    if (lost) this.#add(lost.id, lost.kind, lost.message);
    const head = this.head ?? (this.#beginning.id > 0 ? this.#beginning : undefined);
    return head ? { ...this.report, head } : this.report;
  }
}

/** Called only for a finding, because V8 keeps the texts of the numbers that templates make. */
function tampered(id: number): string {
  return `row ${id} or its hash was changed after it was written, or the row before it was`;
}

function byteLength(texts: (string | Uint8Array)[]): number {
  let length = 0;
  for (const text of texts) length += Buffer.byteLength(text);
  return length;
}

/**
 * Compares a log with an anchor: `lastId` is the last id of the log, and `found` is the hash of the row that has the
 * anchor's id; `archivedId` is that of the row before the first one. Returns `undefined` if the log still has the
 * anchor's row.
 */
export function anchorFault(
  { id, hash }: Anchor, lastId: number, found: string | undefined, archivedId: number,
): (Finding & { kind: 'truncated' | 'forked' | 'archived' }) | undefined {
  if (found === hash) return undefined;
  if (id < archivedId) {
    const message = `the anchor is of row ${id}, which is in an archive: only the archives prove it`;
    return { id, kind: 'archived', message };
  }
  if (id <= lastId) return { id, kind: 'forked', message: `row ${id} is not the row that the anchor was taken of` };
  const message = `the log ends at row ${lastId} and the anchor is of row ${id}: the end was cut off`;
  return { id, kind: 'truncated', message };
}
