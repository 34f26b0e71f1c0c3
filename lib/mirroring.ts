// The core's side of a mirror of the audit log: what happens at open, before each write and at each commit so that the log and
// its mirror hold the same rows. All of it runs under SQLite's write lock.
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { auditHeadOf, hashAt, insertAudit, insertRow, pageRows } from './audit.ts';
import type { Anchor } from './audit.ts';
import { genesisHash, rowHash } from './chain.ts';
import type { CommitParticipant } from './commit-participant.ts';
import type { Connection } from './connection.ts';
import { deleteCooldownRow, readableCooldowns, setCooldownRow } from './cooldowns.ts';
import { hasCode, StoreError } from './errors.ts';
import { damagedRow, decodeBalance, decodeSigningKey, encodeOwnEvent } from './events.ts';
import type { EncodedEvent, StoreEvent } from './events.ts';
import { requirePermission, toRecorded } from './gate.ts';
import { checkJsonLength } from './json-length.ts';
import type { AuditMirror, Brought, MirroredRow, MirrorEnd, SetAside } from './mirror-port.ts';
import { addUsageRow, readableUsage } from './usage.ts';
import { quote } from './values.ts';
import type { JsonObject } from './values.ts';

const rowsSql = `SELECT id, timestamp, event_type, event_data, event_meta, event_hash, signature FROM audit_log WHERE id > ? ORDER BY id LIMIT ${pageRows}`;
type StoredValue = string | Uint8Array;
type StoredRow = [number, StoredValue, StoredValue, StoredValue, string | null, string, string | null];

/** The rows of the log behind an anchor, page by page; with `asGroup` all but the last say that more follow. */
export function* storedRows(connection: Connection, uuid: string, after: Anchor | undefined, asGroup: boolean): Generator<MirroredRow, void, undefined> {
  let last = after?.id ?? 0;
  let previous = after?.hash ?? genesisHash(uuid);
  const end = auditHeadOf(connection)?.id ?? 0;
  while (last < end) {
    for (const [id, timestamp, type, data, meta, hash, signature] of connection.all<StoredRow>(rowsSql, last)) {
      if (rowHash(previous, { id, timestamp, type, data, meta }) !== hash) throw new StoreError('ERR_STORE_PARITY', `row ${id} of the database does not have the hash of its content, and goes into no ledger`);
      yield { id, timestamp, type, data, meta, previous, hash, signature, more: asGroup && id !== end };
      previous = hash;
      last = id;
    }
  }
}

/** Keeps the log and its mirror equal. */
export class Mirroring implements CommitParticipant {
  readonly #connection: Connection;
  readonly #uuid: string;
  readonly #mirror: AuditMirror;
  /** Where both ended when the open transaction began. */
  #agreed: Anchor | undefined;
  /** Whether this transaction's rows are in the mirror already. */
  #appended = false;
  #carrying = false;
  /** Whether the store has the mirror from before the open transaction on. */
  isAttached = false;
  readonly #recover: boolean;
  #isHeld = false;
  /** Whether something was set aside that no event tells of yet. */
  #isUntold = false;
  #lostTo: number | undefined;
  /** Of the database, when it was last asked who signs it. */
  #signerVersion: unknown;

  constructor(connection: Connection, uuid: string, mirror: AuditMirror, recover: boolean) {
    this.#connection = connection;
    this.#uuid = uuid;
    this.#mirror = mirror;
    this.#recover = recover || mirror.recover;
  }

  /** The event of a change of usage or cooldowns: with a mirror every change is one. */
  record(event: StoreEvent): void {
    checkJsonLength('the event', event);
    const encoded = encodeOwnEvent(event);
    this.#mirror.checkEvent(encoded);
    insertAudit(this.#connection, this.#uuid, this.#connection.now().toISOString(), encoded);
  }

  /** The signature of a row's hash; null where nothing is signed. */
  sign(hash: string): string | null {
    return this.#mirror.sign(hash);
  }

  /** Whether the store has been written to without a mirror, which it is to have from now on. */
  get isFirst(): boolean {
    const tables = ['audit_log', 'usage', 'cooldowns', 'snapshot'].map((name) => `EXISTS (SELECT 1 FROM ${name})`);
    return this.#connection.get(`SELECT 1 FROM store_meta WHERE has_ledger = 0 AND (${tables.join(' OR ')})`) !== undefined;
  }

  /** At open: makes the mirror where there is none, brings both to one head, begins what is to begin. */
  attach(): Attached {
    const connection = this.#connection;
    const before = auditHeadOf(connection)?.id ?? 0;
    connection.mirroring = this;
    connection.join(this);
    const attached: Attached = { replayed: 0, setAside: [] };
    connection.write(`attach the ledger ${this.#mirror.path}`, () => {
      attached.replayed = (auditHeadOf(connection)?.id ?? 0) - before;
      connection.files.watch(this.#mirror.path);
      this.#begin();
      attached.setAside = this.#tell();
    });
    if (this.#lostTo !== undefined) attached.lost = { from: before + attached.replayed + 1, to: this.#lostTo };
    this.isAttached = true;
    return attached;
  }

  #begin(): void {
    const connection = this.#connection;
    const [hasLedger] = connection.get<[number]>('SELECT has_ledger FROM store_meta WHERE id = 1')!;
    if (hasLedger === 0) this.#turnOn();
    this.#checkSigner();
  }

  /**
   * One key signs a log: with a second one neither verifies it, nor does anything that was written without. It is a conflict, at
   * open and where another process has begun to sign since.
   */
  #checkSigner(): void {
    const { publicKey, unsigned } = this.#mirror;
    const signer = signerOf(this.#connection);
    this.#signerVersion = this.#connection.version;
    if (signer === publicKey || (publicKey === undefined && unsigned)) return;
    if (signer === undefined) return this.#recordOnce({ type: 'signing_started', publicKey: publicKey! }, `${signingPrefix}${publicKey}`);
    const found = new StoreError('ERR_STORE_CONFLICT', `found that the store signs its events with ${publicKey === undefined ? 'a key, which was not given; to go on without it takes unsigned: true' : 'another key'}`);
    throw this.isAttached ? this.#connection.stop(found) : found;
  }

  #recordOnce(event: StoreEvent, eventId: string): void {
    insertAudit(this.#connection, this.#uuid, this.#connection.now().toISOString(), { ...encodeOwnEvent(event), meta: JSON.stringify({ eventId }) });
  }

  #hasEvent(eventId: string): boolean {
    const sql = "SELECT 1 FROM audit_log WHERE json_extract(event_meta, '$.eventId') = ? AND json_extract(event_meta, '$.eventId') IS NOT NULL";
    return this.#connection.get(sql, eventId) !== undefined;
  }

  /** Opening balances: from here on the events alone account for every second and cooldown. */
  #turnOn(): void {
    const connection = this.#connection;
    connection.run('UPDATE store_meta SET has_ledger = 1 WHERE id = 1');
    this.record({ type: 'ledger_attached' });
    const [last, previous] = connection.usageDays.get();
    const days = connection.all<[string]>('SELECT DISTINCT day FROM usage').map(([day]) => day);
    const usage = readableUsage(connection, days);
    // The days written last come last, so that a replay leaves them so.
    const rank = (day: string): number => (day === last ? 2 : day === previous ? 1 : 0);
    for (const row of usage.sort((a, b) => rank(a.day) - rank(b.day))) this.record({ type: 'usage_added', ...row });
    for (const { entryId, until, setAt = null } of readableCooldowns(connection)) this.record({ type: 'cooldown_set', entryId, until, setAt });
  }

  /**
   * The events of what was set aside. Found by the names of the files, and not only by what this connection did: a crash, or a
   * rollback, may have come between the file and its event.
   */
  #tell(): SetAside[] {
    const eventIdOf = (name: string): string => `ledger_set_aside:${name}`;
    const files = this.#mirror.listSetAside((name) => this.#hasEvent(eventIdOf(name)));
    for (const { path, bytes, sha256 } of files) {
      const file = basename(path);
      this.#recordOnce({ type: 'ledger_set_aside', file, bytes, sha256 }, eventIdOf(file));
    }
    return files;
  }

  /**
   * Brings both to one head: what the mirror has more is replayed with its effects, what the log has more is appended.
   * Different contents for one id are `ERR_STORE_PARITY` and stay as they are. Costs one fstat and one look-up where there
   * is nothing to do.
   */
  reconcile(): void {
    let end = this.#mirror.refresh();
    const head = auditHeadOf(this.#connection);
    if (isLike(end, this.#uuid, head)) return;
    // What was taken back and written again may have the size that it had.
    end = this.#mirror.refresh(true);
    this.#checkStore(end);
    if (end.store === this.#uuid) {
      this.#checkCommon(end, head);
      if (end.groupEnd > (head?.id ?? 0)) this.#replay(this.#mirror.rows((head?.id ?? 0) + 1), end.groupEnd);
    }
    if (end.torn && this.#recover) this.#replay(this.#mirror.rowsBehindDamage(this.#headOrGenesis()));
    if (!isLike(end, this.#uuid, auditHeadOf(this.#connection))) this.#bring();
  }

  #headOrGenesis(): Anchor {
    return auditHeadOf(this.#connection) ?? { id: 0, hash: genesisHash(this.#uuid) };
  }

  #bring(): void {
    const connection = this.#connection;
    const [created] = connection.get<[string]>('SELECT created_at FROM store_meta WHERE id = 1')!;
    const { replaced, setAside, lostTo }: Brought = this.#mirror.bringTo({
      store: this.#uuid, created, head: this.#headOrGenesis(), like: statSync(connection.path!), now: connection.now(), recover: this.#recover,
      rows: (after) => storedRows(connection, this.#uuid, after, false),
    });
    this.#isUntold ||= setAside;
    this.#lostTo = lostTo;
    if (!replaced || !this.isAttached) return;
    connection.files.unwatch(this.#mirror.path);
    connection.files.watch(this.#mirror.path);
  }

  /** A ledger without events is empty, whatever its header says. */
  #checkStore({ store, head, torn }: MirrorEnd): void {
    if (store !== undefined && store !== this.#uuid && (head || torn)) throw new StoreError('ERR_STORE_CONFLICT', `${this.#mirror.path} is the ledger of another store (${store}, not ${this.#uuid})`);
  }

  /** The last row that both have must be the same one. */
  #checkCommon(end: MirrorEnd, head: Anchor | undefined): void {
    if (!head || !end.head) return;
    const id = Math.min(head.id, end.head.id);
    const [row] = id === end.head.id ? [end.head] : this.#mirror.rows(id);
    const stored = hashAt(this.#connection, id);
    if (row?.id === id && row.hash === stored) return;
    throw new StoreError('ERR_STORE_PARITY', `row ${id} is ${stored ?? 'missing'} in the database and ${row?.id === id ? row.hash : 'missing'} in ${this.#mirror.path}; neither is overwritten`);
  }

  #replay(rows: Iterable<MirroredRow>, upToId = Infinity): void {
    let { id: last, hash: previous } = this.#headOrGenesis();
    let [hasLedger] = this.#connection.get<[number]>('SELECT has_ledger FROM store_meta WHERE id = 1')!;
    for (const row of rows) {
      if (row.id > upToId) break;
      if (row.previous !== previous) throw new StoreError('ERR_STORE_PARITY', `row ${row.id} of ${this.#mirror.path} does not follow row ${last} of the database`);
      hasLedger = ledgerAfter(row) ?? hasLedger;
      replayRow(this.#connection, row, hasLedger === 1);
      previous = row.hash;
      last = row.id;
    }
    this.#connection.run('UPDATE store_meta SET has_ledger = ? WHERE id = 1', hasLedger);
  }

  #append(after: Anchor | undefined, asGroup: boolean): void {
    try {
      this.#mirror.append(storedRows(this.#connection, this.#uuid, after, asGroup));
    } catch (error) {
      // Part of a group stands there: no other may be written behind it.
      if (hasCode(error, 'ERR_STORE_IO')) throw this.#connection.stop(error as StoreError);
      throw error;
    }
  }

  begin(): void {
    this.#appended = false;
    this.#hold();
    this.reconcile();
    this.#agreed = auditHeadOf(this.#connection);
    if (!this.isAttached) return;
    if (this.#connection.version !== this.#signerVersion) this.#checkSigner();
    if (this.#isUntold) this.#tell();
  }

  /** The file that stands there now, under the lock, is the one. */
  #hold(): void {
    if (this.#isHeld) return;
    this.#mirror.hold();
    this.#isHeld = true;
  }

  /**
   * The events as they are stored, each with the decision over it, all decided before the first is written. Throws
   * `ERR_STORE_POLICY`, with the rules that decided.
   */
  permit(events: readonly EncodedEvent[]): EncodedEvent[] {
    const headsAgree = this.#headsAgree();
    return events.map((event) => {
      this.#mirror.checkEvent(event);
      const decision = this.#mirror.decide(event.policy?.policy ?? [], event.policy?.breakGlass, headsAgree);
      requirePermission(`append the event ${quote(event.type)}`, decision);
      if (!event.policy) return event; // the mirror's own word is not kept: it is the same with every event
      return { ...event, meta: JSON.stringify({ ...(JSON.parse(event.meta!) as JsonObject), policyDecision: toRecorded(decision) }) };
    });
  }

  /** Whether the mirror still ends where the log did when this transaction began: its own rows come with the commit. */
  #headsAgree(): boolean {
    const { head, torn } = this.#mirror.refresh();
    return !torn && head?.hash === this.#agreed?.hash;
  }

  /** Last before COMMIT: the lines of the rows that this transaction inserted, fsynced. */
  prepare(): void {
    if (auditHeadOf(this.#connection)?.id === this.#agreed?.id) return;
    // Again, and for the store's own rows too: the caller's code ran since, and lines must not stand behind what is not the log's.
    requirePermission(`append to ${this.#mirror.path}`, this.#mirror.decide([], undefined, this.#headsAgree()));
    this.#append(this.#agreed, true);
    this.#appended = true;
  }

  committed(): void {
    this.#isUntold = false;
  }

  abandoned(): void {}

  /**
   * After a COMMIT that failed: whether what the mirror has could be brought into the database all the same. `none`: the
   * mirror has nothing of the transaction. `unknown`: it has, and the database has it not, or not all that was written.
   */
  carryForward(): 'none' | 'done' | 'unknown' {
    if (!this.#appended) return 'none';
    if (this.#carrying) return 'unknown'; // this was the attempt
    const isWhole = !this.#connection.wroteUnmirrored;
    this.#carrying = true;
    try {
      this.#connection.write('carry the ledger forward', () => undefined);
      return isWhole ? 'done' : 'unknown';
    } catch {
      return 'unknown'; // the next write or open tries again
    } finally {
      this.#carrying = false;
    }
  }

  /** Ends the mirror by an event, inside a transaction. */
  detach(): void {
    this.record({ type: 'ledger_detached' });
    this.#connection.run('UPDATE store_meta SET has_ledger = 0 WHERE id = 1');
  }

  /** With the store, or where it could not be opened. */
  close(): void {
    if (this.#isHeld) this.#mirror.letGo();
    this.#isHeld = false;
  }

  /** Stops mirroring, after that transaction. */
  end(): void {
    this.#connection.leave(this);
    this.#connection.files.unwatch(this.#mirror.path);
    this.#connection.mirroring = undefined;
    this.close();
  }
}

/** What attaching a mirror found and did. */
export interface Attached {
  /** How many rows the database lacked. */
  replayed: number;
  setAside: SetAside[];
  /** The ids of rows that only the mirror had, behind damage. */
  lost?: { from: number; to: number };
}

/** Whether a mirror is that of a store and ends with a row. */
function isLike({ store, torn, head: last }: MirrorEnd, uuid: string, head: Anchor | undefined): boolean {
  return store === uuid && !torn && last?.id === head?.id && last?.hash === head?.hash;
}

const signingPrefix = 'signing_started:';

/** The public key that the store began to sign with last; `undefined` where it does not sign. Found by the index of event ids. */
export function signerOf(connection: Pick<Connection, 'get'>): string | undefined {
  const eventId = "json_extract(event_meta, '$.eventId')";
  const sql = `SELECT id, event_data FROM audit_log WHERE ${eventId} >= ? AND ${eventId} < ? AND ${eventId} IS NOT NULL AND event_type = 'signing_started' ORDER BY id DESC LIMIT 1`;
  const row = connection.get<[number, string]>(sql, signingPrefix, `${signingPrefix.slice(0, -1)};`);
  return row && decodeSigningKey(...row);
}

/** What an event says of whether the store has a ledger from there on. */
export function ledgerAfter({ type }: { type: string | Uint8Array }): 0 | 1 | undefined {
  return type === 'ledger_attached' ? 1 : type === 'ledger_detached' ? 0 : undefined;
}

/**
 * Inserts a row as it is, with its effects. Usage and cooldowns follow from the events only while there is a ledger: a
 * foreign row from before may have one of their types. Throws `ERR_STORE_CORRUPT` for a row that no method would have written.
 */
export function replayRow(connection: Connection, row: MirroredRow, hasLedger: boolean): void {
  const { id, timestamp, type, data, previous, hash } = row;
  if (rowHash(previous, row) !== hash) throw new StoreError('ERR_STORE_PARITY', `row ${id} does not have the hash of its content`);
  insertReadable(connection, row);
  if (type === 'store_adopted') connection.run('UPDATE store_meta SET adopted_id = ? WHERE id = 1', id);
  if (!hasLedger) return;
  if (type === 'ledger_attached') {
    // Balances begin anew: what was there before is in the events that follow.
    connection.run('DELETE FROM usage');
    connection.run('DELETE FROM cooldowns');
  }
  const event = decodeBalance(id, type, data, timestamp);
  if (event?.type === 'usage_added') addReplayed(connection, id, event);
  else if (event?.type === 'cooldown_set') setCooldownRow(connection, event.entryId, event.until, event.setAt);
  else if (event?.type === 'cooldown_cleared') deleteCooldownRow(connection, event.entryId);
}

/** SQLite itself says whether a meta can be read: it takes more than JSON.parse does, and an adopted row may have that. */
function insertReadable(connection: Connection, row: MirroredRow): void {
  try {
    insertRow(connection, row, row.hash, row.signature);
  } catch (cause) {
    const [isReadable] = connection.get<[number | null]>('SELECT json_valid(?, 2)', row.meta)!;
    throw isReadable === 0 ? damagedRow(row.id, 'event_meta', row.meta, cause) : cause;
  }
}

/** Here it is the row that is wrong, and no argument. */
function addReplayed(connection: Connection, id: number, { entryId, day, durationMs }: Extract<StoreEvent, { type: 'usage_added' }>): void {
  try {
    addUsageRow(connection, entryId, day, durationMs);
  } catch (cause) {
    if (!hasCode(cause, 'ERR_STORE_INVALID_ARGUMENT')) throw cause;
    throw new StoreError('ERR_STORE_CORRUPT', `row ${id} cannot be replayed: ${(cause as Error).message}`, { cause });
  }
}
