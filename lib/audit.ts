// The rows of the audit log: appending at the head, reading by position, walking the chain.
import type { KeyObject } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { types } from 'node:util';
import { checkPublicKey, genesisHash, rowHash, SignatureWalk } from './chain.ts';
import type { ChainedRow } from './chain.ts';
import type { Connection } from './connection.ts';
import { StoreError } from './errors.ts';
import { decodeEvent } from './events.ts';
import type { AuditEvent, AuditRow, EventBase, EventTexts } from './events.ts';
import { checkFunction, checkInteger, checkOptions, checkSignal, invalid } from './values.ts';

/** A row of the log and its hash: proof of everything up to there, to be kept elsewhere. 64 hexadecimal digits. */
export interface Anchor {
  id: number;
  hash: string;
}

/** Something wrong with the log, at a row. */
export interface Finding {
  id: number;
  kind: 'tampered' | 'gap' | 'truncated' | 'forked' | 'bad-signature' | 'missing-signature';
  message: string;
}

/** What `verifyAudit` found: at most 1,000 findings, and how many more there are. `head` is the last row it read. */
export interface VerifyReport {
  ok: boolean;
  checked: number;
  head?: Anchor;
  findings: Finding[];
  more: number;
}

/** What a long operation takes: `onProgress` is called between batches, `signal` aborts at the next one. */
export interface LongOperation {
  signal?: AbortSignal;
  onProgress?: (progress: { done: number; total: number }) => void;
}

/**
 * How to verify. `anchor`: a row that the log must still have there. `publicKey`: the Ed25519 key, as a `KeyObject` or PEM
 * text, that must have signed every row from the event `signing_started` on.
 */
export interface VerifyOptions extends LongOperation {
  anchor?: Anchor;
  publicKey?: KeyObject | string;
}

/** The same, checked. */
export interface CheckedVerifyOptions extends LongOperation {
  anchor?: Anchor;
  publicKey?: KeyObject;
}

/** Refuses what is no options object for a long operation, and throws the reason of a signal that is aborted already. `more`: what else it takes. */
export function checkLong<T extends LongOperation>(options: T | undefined, more: readonly string[] = []): T {
  const checked = checkOptions('options', options, [...more, 'signal', 'onProgress']);
  checkSignal('options.signal', checked.signal);
  checkFunction('options.onProgress', checked.onProgress);
  checked.signal?.throwIfAborted();
  return checked;
}

/** Refuses what is no options object for verifying. */
export function checkVerifyOptions(options: VerifyOptions | undefined): CheckedVerifyOptions {
  const { anchor, publicKey, ...checked } = checkLong(options, ['anchor', 'publicKey']);
  return {
    ...checked,
    ...(anchor === undefined ? undefined : { anchor: checkAnchorOption(anchor) }),
    ...(publicKey === undefined ? undefined : { publicKey: checkPublicKey('options.publicKey', publicKey) }),
  };
}

function checkAnchorOption(anchor: Anchor): Anchor {
  const { id, hash } = checkOptions('options.anchor', anchor, ['id', 'hash']);
  checkInteger('options.anchor.id', id, 1);
  if (typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash)) throw invalid('options.anchor.hash', hash, '64 hexadecimal digits, a to f small');
  return { id, hash };
}

/** Large enough that the event loop's turns cost nothing, small enough that a page of long events fits into memory. */
export const pageRows = 500;
const maxFindings = 1_000;

/** The last row's id and hash. */
export function auditHeadOf(connection: Connection): Anchor | undefined {
  const row = connection.get<[number, string]>('SELECT id, event_hash FROM audit_log ORDER BY id DESC LIMIT 1');
  return row && { id: row[0], hash: row[1] };
}

/** The hash of the row at a position. */
export function hashAt(connection: Connection, id: number): string | undefined {
  return connection.get<[string]>('SELECT event_hash FROM audit_log WHERE id = ?', id)?.[0];
}

/** Appends an event behind the head and gives its id. Throws `ERR_STORE_CONFLICT` for an event id that is taken. */
export function insertAudit(connection: Connection, uuid: string, timestamp: string, event: EventTexts): number {
  const head = connection.head ?? auditHeadOf(connection);
  const id = (head?.id ?? 0) + 1;
  if (!Number.isSafeInteger(id)) throw new StoreError('ERR_STORE_CORRUPT', `audit_log has a row ${head?.id}, after which there can be no other`);
  const row: ChainedRow = { id, timestamp, type: event.type, data: event.data, meta: event.meta };
  const eventHash = rowHash(head?.hash ?? genesisHash(uuid), row);
  insertRow(connection, row, eventHash, connection.mirroring?.sign(eventHash) ?? null);
  return id;
}

/** Inserts a row as it is. Throws `ERR_STORE_CONFLICT` for an event id that is taken. */
export function insertRow(connection: Connection, row: ChainedRow, eventHash: string, signature: string | null): void {
  try {
    connection.statement('INSERT INTO audit_log (id, timestamp, event_type, event_data, event_meta, event_hash, signature) VALUES (?, ?, ?, ?, ?, ?, ?)').run(
      row.id, row.timestamp, row.type, row.data, row.meta, eventHash, signature,
    );
    connection.head = { id: row.id, hash: eventHash };
  } catch (cause) {
    // SQLITE_CONSTRAINT, of whatever kind: audit_log_no_replace_event_id refuses it before the unique index does.
    if (((cause as { errcode?: number }).errcode ?? 0) % 256 !== 19 || !isTaken(connection, row.meta)) throw cause;
    throw new StoreError('ERR_STORE_CONFLICT', `an event with this eventId is recorded already: ${row.meta}`, { cause });
  }
}

/** Whether there is an event with the event id that a meta has. */
function isTaken(connection: Connection, meta: string | null): boolean {
  const sql = "SELECT 1 FROM audit_log WHERE json_extract(event_meta, '$.eventId') = json_extract(?, '$.eventId') AND json_extract(event_meta, '$.eventId') IS NOT NULL";
  return connection.get(sql, meta) !== undefined;
}

/** The columns of an event. */
export const auditColumns = 'id, timestamp, event_type, event_data, event_meta';

/** The events from one id to another in order, a page at a time: no statement stays open between two pages. */
export function* walkAudits<E extends EventBase>(connection: Connection, fromId: number, toId: number): Generator<AuditEvent<E>, void, undefined> {
  const what = 'iterate over the audit log';
  // Up to the head of now: a loop that appends an event for each one it gets would never end.
  const last = Math.min(toId, connection.read(what, () => auditHeadOf(connection)?.id ?? 0));
  for (let next = fromId; next <= last; ) {
    const rows = connection.read(what, () =>
      connection.all<AuditRow>(`SELECT ${auditColumns} FROM audit_log WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ${pageRows}`, next, last),
    );
    for (const row of rows) yield decodeEvent<E>(row);
    if (rows.length < pageRows) return;
    checkAdvance(rows.at(-1)![0], next - 1);
    next = rows.at(-1)![0] + 1;
  }
}

/** A damaged page gives rows that were not asked for. A walk that goes on behind them would begin again and never end. */
export function checkAdvance(lastId: number, after: number): void {
  if (lastId <= after) throw new StoreError('ERR_STORE_CORRUPT', `audit_log is damaged: row ${lastId} stands behind row ${after}`);
}

/** Walks the chain from the first row to the last. */
export async function verifyChain(connection: Connection, uuid: string, options: CheckedVerifyOptions): Promise<VerifyReport> {
  const { signal, onProgress, anchor } = options;
  const signatures = options.publicKey && new SignatureWalk(options.publicKey);
  const report: VerifyReport = { ok: true, checked: 0, findings: [], more: 0 };
  const add = (id: number, kind: Finding['kind'], message: string): void => {
    report.ok = false;
    if (report.findings.length < maxFindings) report.findings.push({ id, kind, message });
    else report.more++;
  };
  const what = 'verify the audit log';
  // Rows that a stranger put where node:sqlite cannot read their ids: told of, not walked.
  const [beyond, total] = connection.read(what, () => connection.get<[number, number | null]>(boundsSql)!);
  const gapsAllowedUpTo = connection.read(what, () => adoptedUpTo(connection));
  const walk = new ChainWalk(uuid, gapsAllowedUpTo, anchor?.id, signatures, add);
  let last: ChainRow | undefined;
  for (let more = true; more; ) {
    signal?.throwIfAborted();
    const rows = connection.read(what, () => {
      if (last) checkSameLog(connection, what, last);
      return connection.all<ChainRow>(chainSql, walk.head?.id ?? Number.MIN_SAFE_INTEGER - 1);
    });
    last = rows.at(-1);
    more = rows.length === pageRows;
    if (more) checkAdvance(rows.at(-1)![0], walk.head?.id ?? Number.MIN_SAFE_INTEGER - 1);
    for (const row of rows) walk.step(row);
    report.checked += rows.length;
    onProgress?.({ done: report.checked, total: Math.max(total ?? 0, report.checked) });
    if (more) await nextTurn();
  }
  if (beyond > 0) add(Number.MAX_SAFE_INTEGER, 'gap', `${beyond} rows have ids beyond 2^53 - 1`);
  if (walk.head) report.head = walk.head;
  const unsigned = walk.head && signatures?.end();
  if (walk.head && unsigned) add(walk.head.id, unsigned.kind, unsigned.message);
  const lost = anchor && anchorFault(anchor, walk.head?.id ?? 0, walk.anchored);
  if (lost) add(lost.id, lost.kind, lost.message);
  return report;
}

/** A reader goes on with whatever stands at its path, and a restored backup has other rows: to the walk they would look tampered with. */
function checkSameLog(connection: Connection, what: string, [id, , , , , hash]: ChainRow): void {
  if (typeof hash !== 'string' || hashAt(connection, id) === hash) return;
  throw new StoreError('ERR_STORE_BUSY', `failed to ${what}: another database, such as a restored backup, took its place meanwhile; verify it again`);
}

type ChainRow = [...AuditRow, hash: string, bytes: number, signature: string | null];
// The bytes that are stored, to be compared with those that are hashed: node:sqlite of Node 24 cuts a text off at NUL, and
// every one turns what is no UTF-8 into U+FFFD; the hash would not see what was put there.
const bytesSql = ['timestamp', 'event_type', 'event_data', "coalesce(event_meta, '')", 'event_hash'].map((column) => `octet_length(${column})`).join(' + ');
// 64 bytes are 88 digits; a longer text may hold a NUL, where node:sqlite of Node 24 would cut off what follows.
const signatureSql = "CASE WHEN octet_length(signature) > 88 THEN '' ELSE CAST(signature AS TEXT) END";
const chainSql = `SELECT ${auditColumns}, event_hash, ${bytesSql}, ${signatureSql} FROM audit_log WHERE id > ? AND id <= ${Number.MAX_SAFE_INTEGER} ORDER BY id LIMIT ${pageRows}`;
const boundsSql = `SELECT (SELECT count(*) FROM audit_log WHERE id > ${Number.MAX_SAFE_INTEGER} OR id < ${Number.MIN_SAFE_INTEGER}),
  (SELECT max(id) FROM audit_log WHERE id <= ${Number.MAX_SAFE_INTEGER} AND id >= ${Number.MIN_SAFE_INTEGER})`;

/** The id up to which the rows were there before this package, with whatever gaps their ids have. */
function adoptedUpTo(connection: Connection): number {
  const [adoptedId] = connection.get<[number | null]>('SELECT adopted_id FROM store_meta WHERE id = 1') ?? [null];
  return adoptedId === null ? 0 : adoptedId - 1;
}

function byteLength(...texts: (string | Uint8Array)[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

class ChainWalk {
  head: Anchor | undefined;
  /** The hash that the row at the anchor's position has. */
  anchored: string | undefined;
  readonly #uuid: string;
  readonly #gapsAllowedUpTo: number;
  readonly #anchorId: number | undefined;
  readonly #signatures: SignatureWalk | undefined;
  readonly #add: (id: number, kind: Finding['kind'], message: string) => void;

  constructor(uuid: string, gapsAllowedUpTo: number, anchorId: number | undefined, signatures: SignatureWalk | undefined, add: (id: number, kind: Finding['kind'], message: string) => void) {
    this.#uuid = uuid;
    this.#gapsAllowedUpTo = gapsAllowedUpTo;
    this.#anchorId = anchorId;
    this.#signatures = signatures;
    this.#add = add;
  }

  step([id, timestamp, type, data, meta, stored, bytes, signature]: ChainRow): void {
    const due = (this.head?.id ?? 0) + 1;
    const previous = this.head?.hash ?? genesisHash(this.#uuid);
    // A page of another table, put in the place of one of these, has numbers and NULLs where no INSERT could put them.
    const isReadable = [timestamp, type, data, meta ?? '', stored].every((value: unknown) => typeof value === 'string' || types.isUint8Array(value));
    const unsigned = isReadable ? this.#signatures?.step(type, data, stored, signature) : undefined;
    // A missing row breaks the hash behind it as well, and a changed hash its signature; one finding for one fault.
    if (id !== due && id > this.#gapsAllowedUpTo) this.#add(id, 'gap', `row ${id} stands where row ${due} is due`);
    else if (!isReadable || bytes !== byteLength(timestamp, type, data, meta ?? '', stored) || rowHash(previous, { id, timestamp, type, data, meta }) !== stored) {
      this.#add(id, 'tampered', `row ${id} or its hash was changed after it was written, or the row before it was`);
    } else if (unsigned) this.#add(id, unsigned.kind, `row ${id}: ${unsigned.message}`);
    // The walk goes on from the stored hash, so that one changed row is one finding.
    this.head = { id, hash: String(stored) };
    if (id === this.#anchorId) this.anchored = stored;
  }
}

/** What a log that ends at `lastId`, and has `found` as the hash at the anchor's position, has lost of what the anchor proves. */
export function anchorFault({ id, hash }: Anchor, lastId: number, found: string | undefined): (Finding & { kind: 'truncated' | 'forked' }) | undefined {
  if (found === hash) return undefined;
  if (id > lastId) return { id, kind: 'truncated', message: `the log ends at row ${lastId} and the anchor is of row ${id}: the end was cut off` };
  return { id, kind: 'forked', message: `row ${id} is not the row that the anchor was taken of` };
}
