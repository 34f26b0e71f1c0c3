// The store: every public operation. Each checks its arguments and runs one transaction or read; the rows are the business
// of lib/audit.ts, lib/usage.ts and lib/snapshot.ts.
import type { StatementSync } from 'node:sqlite';
import { detach } from './alone.ts';
import { auditHeadOf, checkVerifyOptions, insertAudit, verifyChain, walkAudits } from './audit.ts';
import type { Anchor, VerifyOptions, VerifyReport } from './audit.ts';
import { checkFilter, checkSearchOptions, findAudits, recentAudits } from './audit-filter.ts';
import type { AuditFilter } from './audit-filter.ts';
import type { Connection } from './connection.ts';
import { allCooldowns, clearCooldown, cooldownOf, setCooldown } from './cooldowns.ts';
import type { Cooldown } from './cooldowns.ts';
import { checkDay } from './days.ts';
import type { DayPart } from './days.ts';
import { attempt, notConstructed, StoreError } from './errors.ts';
import { encodeEvent, encodeEvents, writtenEvent } from './events.ts';
import type { AuditAttributes, AuditEvent, CoreEvent, EncodedEvent, EventBase, EventTexts } from './events.ts';
import { checkPath } from './files.ts';
import { describeHealth, isWorking } from './health.ts';
import type { StoreHealth } from './health.ts';
import { migrateFile } from './migrate.ts';
import type { MigrationReport } from './migrate.ts';
import { openMemory } from './new-store.ts';
import { openFile } from './open.ts';
import { openToRead } from './open-read.ts';
import { replayRow } from './mirroring.ts';
import type { MirroredRow } from './mirror-port.ts';
import type { Mirroring } from './mirroring.ts';
import type { Opened } from './open.ts';
import { checkForce, checkOpenOptions } from './options.ts';
import type { OpenOptions } from './options.ts';
import type { Recovery } from './recovery.ts';
import type { SnapshotPair } from './snapshot.ts';
import { encodeState } from './snapshot-file.ts';
import type { StateSnapshot } from './snapshot-file.ts';
import { addUsage, statusOf, usageForDay, usageOf, usageRange } from './usage.ts';
import type { EntryStatus } from './usage.ts';
import { checkArray, checkDuration, checkInstant, checkInteger, checkOptions, checkText, invalid, quote } from './values.ts';

/** The operations that a service needs whatever it is kept in. `SqliteStore` is the implementation. */
export interface Store<E extends EventBase = CoreEvent> {
  appendAudit(event: E | CoreEvent, attributes?: AuditAttributes): AuditEvent<E>;
  getRecentAudits(limit: number, filter?: AuditFilter): AuditEvent<E>[];
  getUsage(entryId: string, day: string): number;
  addUsage(entryId: string, day: string, durationMs: number): number;
  getCooldownUntil(entryId: string): Date | undefined;
  setCooldownUntil(entryId: string, until: Date): void;
  clearCooldown(entryId: string): void;
  loadSnapshot(): StateSnapshot | undefined;
  saveSnapshot(snapshot: StateSnapshot): void;
  isHealthy(): boolean;
}

/** What a module of this package works with; see `connect`. */
export interface ModuleConnection {
  /** The statement for this SQL, prepared once, giving rows as arrays. Ask for it at each use. */
  prepare(sql: string): StatementSync;
  /** The store's clock; one reading for all of a transaction. */
  now(): Date;
  /** The store's forward-only clock, in milliseconds. */
  monotonicMs(): number;
  /** Runs a read. `what` completes "failed to …"; errors get it as their context. */
  read<T>(what: string, fn: () => T): T;
  /** Runs a write, in a transaction of its own or as a part of the open one. */
  write<T>(what: string, fn: () => T): T;
  /** Several reads of one state of the database. */
  readTogether<T>(what: string, fn: () => T): T;
  /** Inserts a row of a ledger as it is, inside a `write`; with its effects on usage and cooldowns where there was a ledger then. */
  replayRow(row: MirroredRow, hasLedger: boolean): void;
  /** The store's UUID. */
  uuid: string;
  /** The database's file; absent for a store in memory. */
  path: string | undefined;
  /** Whether the store only reads. */
  isReadOnly: boolean;
  /** Appends an event of any type inside a `write`, with the text of a past time where it did not happen now. */
  appendAudit(event: EventTexts, timestamp?: string): number;
}

let connectionOf: (store: SqliteStore<never>) => ModuleConnection;

/**
 * The door for this package's modules. Not a public name: `index.ts` does not export it. Throws
 * `ERR_STORE_INVALID_ARGUMENT` for what is no store.
 */
export function connect<E extends EventBase>(store: SqliteStore<E>): ModuleConnection {
  return connectionOf(store as unknown as SqliteStore<never>);
}

/**
 * A store in one SQLite file. Every write is durable when its method returns: it survives a crash of the process and a
 * power cut. A method that throws has changed nothing, unless it says otherwise. All methods throw `ERR_STORE_CLOSED` after
 * `close()`, `ERR_STORE_INVALID_ARGUMENT` for an argument they do not accept, and `ERR_STORE_CORRUPT` where what is stored
 * cannot be right; those that write also `ERR_STORE_BUSY`, `ERR_STORE_DISK_FULL`, `ERR_STORE_READ_ONLY` and `ERR_STORE_IO`.
 * Entry ids and other texts are non-empty strings of whole Unicode without NUL; days are `YYYY-MM-DD`; durations are whole
 * milliseconds.
 */
export class SqliteStore<E extends EventBase = CoreEvent> implements Store<E> {
  readonly #connection: Connection;
  readonly #uuid: string;
  readonly #pair: SnapshotPair;
  readonly #monotonicMs: () => number;
  readonly #recovery: Recovery | undefined;
  #mirroring: Mirroring | undefined;

  static {
    connectionOf = (store) => {
      if (typeof store !== 'object' || store === null || !(#connection in store)) throw invalid('store', store, 'a SqliteStore');
      return store.#moduleConnection();
    };
  }

  private constructor(opened: Opened, monotonicMs: () => number) {
    if (typeof monotonicMs !== 'function') throw notConstructed('SqliteStore.open(path)'); // JavaScript knows no private
    this.#connection = opened.connection;
    this.#uuid = opened.uuid;
    this.#pair = opened.pair;
    this.#recovery = opened.recovery;
    this.#mirroring = opened.mirroring;
    this.#monotonicMs = monotonicMs;
  }

  /**
   * Opens the store at `path`, and makes it where there is none: the folder 0700, files 0600. A database that holds
   * exactly the four tables of version 0 is adopted, an older schema migrated, a loss healed (`recovery` tells). What is
   * refused is left as it was. Throws `ERR_STORE_NOT_A_STORE`, `ERR_STORE_SCHEMA_TOO_NEW`, `ERR_STORE_MIGRATION`,
   * `ERR_STORE_PERMISSION`, `ERR_STORE_READ_ONLY`, `ERR_STORE_UNSUPPORTED`; `ERR_STORE_CONFLICT` where the snapshot file
   * or the ledger is another store's, the store has a ledger and is opened without, or the file has a second name (a hard
   * link); `ERR_STORE_BUSY` while another process recovers or restores it, or has it open where it is to get its
   * first ledger; `ERR_STORE_PARITY` where the two disagree; `ERR_STORE_CORRUPT` for a damaged database, or a missing one
   * beside a snapshot file, unless `recover` is true.
   */
  static open<E extends EventBase = CoreEvent>(path: string, options?: OpenOptions): SqliteStore<E> {
    const checked = checkOpenOptions(options);
    return new SqliteStore<E>(openFile(checkPath(path), checked), checked.monotonicMs);
  }

  /** A store that is gone with the process; the same in every other way, but that nothing of it is durable. */
  static inMemory<E extends EventBase = CoreEvent>(options?: Pick<OpenOptions, 'clock' | 'monotonicMs'>): SqliteStore<E> {
    const checked = checkOpenOptions(options, ['clock', 'monotonicMs']);
    return new SqliteStore<E>(openMemory(checked), checked.monotonicMs);
  }

  /**
   * Opens the store at `path` to look at, beside a running service or after one; changes nothing on the disk and leaves
   * nothing behind. Writing methods throw `ERR_STORE_READ_ONLY`. Throws `ERR_STORE_NOT_FOUND` where there is no file,
   * `ERR_STORE_NOT_A_STORE`, `ERR_STORE_SCHEMA_TOO_OLD`, `ERR_STORE_SCHEMA_TOO_NEW`, `ERR_STORE_PERMISSION`.
   */
  static openReadOnly<E extends EventBase = CoreEvent>(path: string, options?: Omit<OpenOptions, 'recover' | 'ledger'>): SqliteStore<E> {
    const checked = checkOpenOptions(options, ['clock', 'monotonicMs', 'busyTimeoutMs', 'snapshotPath']);
    return new SqliteStore<E>(openToRead(checkPath(path), checked), checked.monotonicMs);
  }

  /**
   * Moves a file's schema to `version`, up or down, in one transaction, and tells what it did; 0 is the four tables alone.
   * `force` takes also a step down that would lose rows or values, and a step beside a process that has the store open, which
   * is refused every further write then. Throws `ERR_STORE_NOT_FOUND` where there is no file, `ERR_STORE_MIGRATION` where a
   * step fails or would lose something, `ERR_STORE_BUSY` beside such a process, and what `open` throws.
   */
  static migrate(path: string, version: number, options?: { force?: boolean }): MigrationReport {
    return migrateFile(checkPath(path), checkInteger('version', version, 0), checkForce(options), checkOpenOptions(undefined));
  }

  /** What `open` found missing or damaged, and what became of it; `undefined` where all was well. */
  get recovery(): Recovery | undefined {
    return this.#recovery && structuredClone(this.#recovery);
  }

  /** Closes the store; again is fine. Throws `ERR_STORE_CONFLICT` inside a transaction. */
  close(): void {
    attempt('close the store', () => {
      this.#connection.close();
      this.#mirroring?.close();
    });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // Audit log

  /**
   * Appends an event and gives it with its id and time. `attributes` say more about it. Throws
   * `ERR_STORE_SERIALIZATION` for a field that JSON does not carry unchanged, `ERR_STORE_CONFLICT` for an `eventId` that is
   * recorded already, `ERR_STORE_POLICY` where rules keep it out of a store with a ledger.
   */
  appendAudit(event: E | CoreEvent, attributes?: AuditAttributes): AuditEvent<E> {
    return this.#append([encodeEvent(event, attributes)])[0]!;
  }

  /** Appends a group of events in order, all or none, with one fsync. Throws what `appendAudit` throws; one refused refuses all. */
  appendAudits(items: readonly { event: E | CoreEvent; attributes?: AuditAttributes }[]): AuditEvent<E>[] {
    return this.#append(encodeEvents(items));
  }

  #append(encoded: readonly EncodedEvent[]): AuditEvent<E>[] {
    const mirroring = this.#mirroring;
    if (!mirroring && encoded.some(({ policy }) => policy)) throw new StoreError('ERR_STORE_INVALID_ARGUMENT', 'policy and breakGlass are for a store with a ledger, and this one was opened without');
    return this.#connection.write(`append ${encoded.length === 1 ? `the event ${quote(encoded[0]!.type)}` : `${encoded.length} events`}`, () => {
      const now = this.#connection.now();
      const text = now.toISOString();
      return (mirroring?.permit(encoded) ?? encoded).map((item) => writtenEvent<E>(insertAudit(this.#connection, this.#uuid, text, item), now, item));
    }, encoded.length === 1);
  }

  /**
   * The newest events that match, newest first; at most `limit`. Reads back from the newest until it has that many: a filter
   * that fewer match reads the whole log in one go, and the thread does nothing else meanwhile (0.6 s for a million rows on a
   * desktop core). `findAudits` pauses between pages.
   */
  getRecentAudits(limit: number, filter?: AuditFilter): AuditEvent<E>[] {
    checkInteger('limit', limit, 0);
    const checked = filter === undefined ? undefined : checkFilter(filter);
    return this.#connection.read('read the newest events', () => recentAudits<E>(this.#connection, limit, checked));
  }

  /**
   * The events that match, newest first: those of `getRecentAudits` without a limit. The log is read page by page, and between
   * two pages the event loop has its turn and nothing is open: neither other work nor a checkpoint waits for the search. Each
   * step rejects with `signal.reason` when aborted, and with what reading throws.
   */
  findAudits(filter?: AuditFilter, options?: { signal?: AbortSignal }): AsyncGenerator<AuditEvent<E>, void, undefined> {
    const [checked, signal] = [checkFilter(filter), checkSearchOptions(options)];
    this.#connection.checkOpen('find events');
    return findAudits<E>(this.#connection, checked, signal);
  }

  /**
   * The events from `fromId` to `toId`, both inclusive, oldest first; read page by page, so that the log may be of any
   * length and be appended to meanwhile.
   */
  iterateAudits(range?: { fromId?: number; toId?: number }): Generator<AuditEvent<E>, void, undefined> {
    const { fromId = 1, toId = Number.MAX_SAFE_INTEGER } = checkOptions('range', range, ['fromId', 'toId']);
    checkInteger('range.fromId', fromId, 0);
    checkInteger('range.toId', toId, 0);
    this.#connection.checkOpen('iterate over the audit log');
    return walkAudits<E>(this.#connection, fromId, toId);
  }

  /**
   * Walks the whole hash chain in constant memory. With an `anchor`, taken by `auditHead` earlier and kept elsewhere, it
   * also proves that the log still holds exactly that row there: a chain alone cannot see that its end was cut off. With a
   * `publicKey`, every row from the event `signing_started` on must be signed by that key. Never throws for what it finds;
   * rejects with `signal.reason` when aborted, and with `ERR_STORE_BUSY` where another database took this one's place
   * meanwhile, which a store that is only looked at would go on with.
   */
  async verifyAudit(options?: VerifyOptions): Promise<VerifyReport> {
    return verifyChain(this.#connection, this.#uuid, checkVerifyOptions(options));
  }

  /** The last row's id and hash, to be kept elsewhere as an anchor; `undefined` for an empty log. */
  auditHead(): Anchor | undefined {
    return this.#connection.read('read the head of the log', () => auditHeadOf(this.#connection));
  }

  // Usage

  /** Adds `durationMs` to an entry's total of a day and gives the new total. Exact to the millisecond up to 2^53 - 1. */
  addUsage(entryId: string, day: string, durationMs: number): number {
    checkText('entryId', entryId);
    checkDay('day', day);
    const duration = checkDuration('durationMs', durationMs);
    return this.#connection.write(`add usage for ${quote(entryId)} on ${day}`, () => addUsage(this.#connection, entryId, day, duration), true);
  }

  /** An entry's total of a day in milliseconds; 0 where there is none. */
  getUsage(entryId: string, day: string): number {
    checkText('entryId', entryId);
    checkDay('day', day);
    return this.#connection.read(`read the usage of ${quote(entryId)} on ${day}`, () => usageOf(this.#connection, entryId, day));
  }

  /** An entry's totals from one day to another, both inclusive, in order; days without usage are left out. */
  getUsageRange(entryId: string, from: string, to: string): DayPart[] {
    checkText('entryId', entryId);
    checkDay('from', from);
    checkDay('to', to);
    return this.#connection.read(`read the usage of ${quote(entryId)} from ${from} to ${to}`, () => usageRange(this.#connection, entryId, from, to));
  }

  /** The totals of all entries that have one on this day, by entry id. */
  getUsageForDay(day: string): { entryId: string; durationMs: number }[] {
    checkDay('day', day);
    return this.#connection.read(`read the usage on ${day}`, () => usageForDay(this.#connection, day));
  }

  /** Usage and cooldown of many entries, in the order asked, by one query: what a launcher's screen shows. */
  getStatus(entryIds: readonly string[], day: string): EntryStatus[] {
    const checked = checkArray('entryIds', entryIds, 'an array of entry ids', checkText);
    checkDay('day', day);
    return this.#connection.read(`read the status of ${checked.length} entries`, () => statusOf(this.#connection, checked, day));
  }

  // Cooldowns

  /** Sets when an entry becomes available again, whatever was set before. A clock that is set back makes it no longer. */
  setCooldownUntil(entryId: string, until: Date): void {
    checkText('entryId', entryId);
    const text = checkInstant('until', until);
    this.#connection.write(`set the cooldown of ${quote(entryId)}`, () => setCooldown(this.#connection, entryId, text), true);
  }

  /** When an entry becomes available again; it is in cooldown while that is in the future. `undefined` where none is set. */
  getCooldownUntil(entryId: string): Date | undefined {
    checkText('entryId', entryId);
    return this.#connection.read(`read the cooldown of ${quote(entryId)}`, () => cooldownOf(this.#connection, entryId));
  }

  /** Removes an entry's cooldown; none is fine. */
  clearCooldown(entryId: string): void {
    checkText('entryId', entryId);
    this.#connection.write(`clear the cooldown of ${quote(entryId)}`, () => clearCooldown(this.#connection, entryId), true);
  }

  /** All cooldowns by entry id, those that have ended included. */
  listCooldowns(): Cooldown[] {
    return this.#connection.read('list the cooldowns', () => allCooldowns(this.#connection));
  }

  // Snapshot

  /**
   * Keeps the state to resume from after a crash, twice: in the database, durable on return, and in the plain file
   * beside it. Where the file cannot be put in place after the database has committed, `health()` says so.
   */
  saveSnapshot(snapshot: StateSnapshot): void {
    const text = encodeState(snapshot);
    this.#connection.write('save the snapshot', () => this.#pair.save(text), true);
  }

  /** The state saved last: the newer of the two copies that is whole. `undefined` where none was ever saved. */
  loadSnapshot(): StateSnapshot | undefined {
    return this.#connection.readTogether('load the snapshot', () => this.#pair.load());
  }

  // Ledger

  /**
   * Ends ledger mode by an event, which the ledger gets as its last line; from then on the store is opened without it.
   * Throws `ERR_STORE_CONFLICT` where the store was not opened with a ledger, or inside a transaction, and `ERR_STORE_BUSY`
   * while another process has the store open; with `force` that one is refused every further write.
   */
  detachLedger(options?: { force?: boolean }): void {
    detach(this.#connection, this.#mirroring, checkForce(options));
    this.#mirroring = undefined;
  }

  // Transactions and health

  /**
   * Runs `fn` as one transaction: all that it writes is durable on return, with one fsync, or none of it when it throws.
   * Transactions nest. Gives what `fn` gives. Throws what `fn` throws, unchanged; `ERR_STORE_INVALID_ARGUMENT` for an
   * asynchronous function or a promise (all is undone then).
   */
  transaction<T>(fn: () => T): T {
    return this.#connection.transaction(fn);
  }

  /** Whether reading and writing work, asked of the disk. Never throws; `health()` says why not. */
  isHealthy(): boolean {
    try {
      return isWorking(this.#connection);
    } catch {
      return false;
    }
  }

  /** Everything an operator would ask about the store; see `StoreHealth`. */
  health(): StoreHealth {
    this.#connection.checkOpen('read the state of the store');
    return describeHealth(this.#connection, this.#pair);
  }

  #moduleConnection(): ModuleConnection {
    const connection = this.#connection;
    return {
      prepare: (sql) => {
        connection.wroteUnmirrored ||= !/^\s*SELECT/i.test(sql);
        return connection.statement(sql);
      },
      now: () => connection.now(),
      monotonicMs: () => this.#readMonotonic(),
      read: (what, fn) => connection.read(what, fn),
      readTogether: (what, fn) => connection.readTogether(what, fn),
      replayRow: (row, hasLedger) => replayRow(connection, row, hasLedger),
      uuid: this.#uuid,
      path: connection.path,
      isReadOnly: connection.reader !== undefined,
      write: (what, fn) => connection.write(what, fn),
      appendAudit: (event, timestamp) => insertAudit(connection, this.#uuid, timestamp ?? connection.now().toISOString(), event),
    };
  }

  #readMonotonic(): number {
    const reading = this.#monotonicMs();
    if (!Number.isFinite(reading)) throw invalid('what options.monotonicMs gives', reading, 'a number of milliseconds');
    return reading;
  }
}
