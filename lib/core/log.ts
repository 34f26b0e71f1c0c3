// The rows of the audit log: appending at the head, reading by position, and where the log begins.
import { StoreError } from '../values/errors.ts';
import { checkJsonLength } from '../values/json.ts';
import { type Anchor, chainedColumns, type ChainedRow, genesisHash, hashedNames, rowHash } from './chain.ts';
import type { CommitParticipant } from './commit-participant.ts';
import type { Connection } from './connection.ts';
import { encodeChecked, type EventTexts, type StoreEvent } from './events.ts';
import { changeIdentity, type FormerIdentity, formerIdentities, isSameStore, type Origin } from './identity.ts';
import type { LedgerPort } from './mirror-port.ts';

const insertSql = `INSERT INTO audit_log (${chainedColumns}, event_hash, signature)
  VALUES (?, ${hashedNames.map(() => '?').join(', ')}, ?, ?)`;
/** Reads every part of the newest row that is ever read, so that damage there is found. */
export const newestRowSql: string =
  `SELECT ${chainedColumns}, event_hash, signature FROM audit_log ORDER BY id DESC LIMIT 1`;
/** The id of an event in SQL, as the index of event ids has it. */
export const eventIdSql: string = "json_extract(event_meta, '$.eventId')";
/**
 * Finds the events of the type `?1` to which the store itself has given ids, by the index of event ids: such an id
 * begins with the type and a colon.
 */
// IS NOT NULL: SQLite uses the index of event ids, which has no other rows, only where the statement says so too.
export const namedSql: string = `FROM audit_log
  WHERE ${eventIdSql} >= ?1 || ':' AND ${eventIdSql} < ?1 || ';' AND ${eventIdSql} IS NOT NULL AND event_type = ?1`;

/** The audit log of a store, and whether it has a ledger. */
export class AuditLog implements CommitParticipant {
  /** What keeps a ledger equal to the log, where the store has one. */
  ledger: LedgerPort | undefined;
  readonly #connection: Connection;
  /** The last row, where this connection wrote it, so that the next row is chained to it without a look-up. */
  #head: Anchor | undefined;
  /** The UUID; absent after an undone transaction that gave the store another one, until it is read again. */
  #uuid: string | undefined;

  constructor(connection: Connection, uuid: string) {
    this.#connection = connection;
    this.#uuid = uuid;
  }

  get uuid(): string {
    // A store that is only read may get another UUID meanwhile: an idle reader keeps nobody from that.
    const isKnown = this.#uuid !== undefined && !(this.#connection.reader && this.#connection.isOpen);
    const sql = 'SELECT uuid FROM store_meta WHERE id = 1';
    if (!isKnown) this.#uuid = this.#connection.read('read the UUID', () => this.#connection.get<[string]>(sql)?.[0]);
    return this.#uuid!;
  }

  beginChanged(): void {
    this.#head = undefined;
    this.#checkLedger();
  }

  /**
   * Stops the store where another process has attached a ledger or detached it, because new events would go into only
   * one of the two files.
   */
  #checkLedger(): void {
    const isExpected = this.ledger?.isAttached ?? false;
    if (this.ledger && !isExpected) return; // it is being attached
    const hasLedger = this.hasLedger();
    if (hasLedger === isExpected) return;
    const found = hasLedger
      ? 'found that another process has given the store a ledger, without which nothing may be written'
      : 'found that another process has detached the ledger';
    throw this.#connection.stop(new StoreError('ERR_STORE_CONFLICT', found));
  }

  hasLedger(): boolean {
    return this.#connection.get<[number]>('SELECT has_ledger FROM store_meta WHERE id = 1')?.[0] === 1;
  }

  undone(): void {
    this.#head = undefined;
  }

  /** The identities that the store had before, oldest first. */
  formerIdentities(): FormerIdentity[] {
    return formerIdentities(this.#connection);
  }

  /** The hash that the store's first row names as its predecessor's. */
  get genesis(): string {
    return genesisHash(this.formerIdentities()[0]?.store ?? this.uuid);
  }

  /** Whether a file belongs to this store. */
  owns(file: Origin): boolean {
    if (file.store === this.#uuid) return true;
    const own = { store: this.uuid, renewed: this.formerIdentities(), lastId: this.head()?.id ?? 0 };
    return isSameStore(own, file) && (file.head === undefined || this.had(file.head));
  }

  /** Gives the store another UUID, inside a transaction; `eventId` is the row that says so. */
  takeIdentity(uuid: string, eventId: number): void {
    this.#connection.join({ undone: () => void (this.#uuid = undefined) });
    changeIdentity(this.#connection, { from: this.uuid, to: uuid, at: { id: eventId, hash: this.hashAt(eventId)! } });
    this.#uuid = uuid;
  }

  /** The last row's id and hash. */
  head(): Anchor | undefined {
    return readHead(this.#connection);
  }

  /** The hash of the row with this id, which may be the last archived one. */
  hashAt(id: number): string | undefined {
    return readHash(this.#connection, id);
  }

  /** Whether the log has a row, or had it before that went into an archive. */
  had({ id, hash }: Anchor): boolean {
    return this.hashAt(id) === hash || id < this.beginning().id;
  }

  /** What the first row of the log follows: the last archived row, or id 0 and the hash that stands for none. */
  beginning(): Anchor {
    return archivedRow(this.#connection) ?? { id: 0, hash: this.genesis };
  }

  /** Has the log begin behind a row that is archived, inside a transaction, and deletes the rows up to there. */
  beginBehind({ id, hash }: Anchor): void {
    const sql = 'UPDATE store_meta SET archived_id = CAST(? AS INTEGER), archived_hash = ? WHERE id = 1';
    this.#connection.run(sql, id, hash);
    this.#connection.run('DELETE FROM audit_log WHERE id <= ?', id);
  }

  /** Appends an event behind the head and gives its id. Throws `ERR_STORE_CONFLICT` for an event id that is taken. */
  append(event: EventTexts, timestamp: string = this.#connection.now().toISOString()): number {
    const head = this.#head ?? this.head() ?? this.beginning();
    const id = head.id + 1;
    if (!Number.isSafeInteger(id)) {
      throw new StoreError('ERR_STORE_CORRUPT', `audit_log has a row ${head.id}, after which there can be no other`);
    }
    const row: ChainedRow = { ...event, id, timestamp };
    const hash = rowHash(head.hash, row);
    this.insert(row, hash, this.ledger?.sign(hash) ?? null);
    return id;
  }

  /** Inserts a row unchanged. Throws `ERR_STORE_CONFLICT` for an event id that is taken. */
  insert(row: ChainedRow, hash: string, signature: string | null): void {
    try {
      this.#connection.run(insertSql, row.id, ...hashedNames.map((name) => row[name]), hash, signature);
      this.#head = { id: row.id, hash };
    } catch (cause) {
      // Any SQLITE_CONSTRAINT counts, because the trigger audit_log_no_replace_event_id refuses the row before the
      // unique index does.
      const isConstraint = ((cause as { errcode?: number }).errcode ?? 0) % 256 === 19;
      if (!isConstraint || !this.#isTaken(row.meta)) throw cause;
      const message = `an event with this eventId is recorded already: ${row.meta}`;
      throw new StoreError('ERR_STORE_CONFLICT', message, { cause });
    }
  }

  /** Whether there is an event with the event id that a meta has. */
  #isTaken(meta: string | null): boolean {
    // IS NOT NULL: SQLite uses the index of event ids, which has no other rows, only where the statement says so too.
    const sql = `SELECT 1 FROM audit_log
      WHERE ${eventIdSql} = json_extract(?, '$.eventId') AND ${eventIdSql} IS NOT NULL`;
    return this.#connection.get(sql, meta) !== undefined;
  }

  /** The event with this event id. */
  findEvent(eventId: string): { id: number; type: string; data: string } | undefined {
    const sql = `SELECT id, event_type, event_data FROM audit_log
      WHERE ${eventIdSql} = ? AND ${eventIdSql} IS NOT NULL`;
    const row = this.#connection.get<[number, string, string]>(sql, eventId);
    return row && { id: row[0], type: row[1], data: row[2] };
  }

  /** Whether there is an event with this event id. */
  hasEvent(eventId: string): boolean {
    return this.findEvent(eventId) !== undefined;
  }

  /**
   * With a ledger, appends the event of a change of usage or cooldowns, because the events alone account for both then.
   */
  recordChange(event: StoreEvent): void {
    if (!this.ledger) return;
    checkJsonLength('the event', event);
    const encoded = encodeChecked(event);
    this.ledger.checkEvent(encoded);
    this.append(encoded);
  }
}

/** The last row's id and hash; those of the last archived row where there is no other. */
export function readHead(connection: Pick<Connection, 'get'>): Anchor | undefined {
  const row = connection.get<[number, string]>('SELECT id, event_hash FROM audit_log ORDER BY id DESC LIMIT 1');
  return row ? { id: row[0], hash: row[1] } : archivedRow(connection);
}

// The outer SELECT has NULL for both columns: a name that the inner ones do not find in store_meta, as in a backup of
// an older schema version, is looked for there.
const archivedSql = `SELECT (SELECT archived_id FROM store_meta WHERE id = 1),
    (SELECT archived_hash FROM store_meta WHERE id = 1)
  FROM (SELECT NULL AS archived_id, NULL AS archived_hash)`;

/** The last row that went into an archive; `undefined` where none did. */
export function archivedRow(connection: Pick<Connection, 'get'>): Anchor | undefined {
  const [id, hash] = connection.get<[number | null, string]>(archivedSql)!;
  return id === null ? undefined : { id, hash };
}

/** The hash of the row with this id, which may be the last archived one. */
export function readHash(connection: Pick<Connection, 'get'>, id: number): string | undefined {
  const [hash] = connection.get<[string]>('SELECT event_hash FROM audit_log WHERE id = ?', id) ?? [];
  if (hash !== undefined) return hash;
  const archived = archivedRow(connection);
  return archived?.id === id ? archived.hash : undefined;
}

/** Large enough that the event loop's turns cost nothing, small enough that a page of long events fits into memory. */
export const pageRows = 500;

/** Throws for rows that were not asked for, as a damaged page gives them: the walk would begin again and never end. */
export function checkAdvance(lastId: number, after: number): void {
  if (lastId > after) return;
  throw new StoreError('ERR_STORE_CORRUPT', `audit_log is damaged: row ${lastId} stands behind row ${after}`);
}
