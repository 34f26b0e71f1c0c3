// The store: every public operation. Each checks its arguments and runs one transaction or read; the rows are the
// business of the subjects in lib/core/.
import type { Anchor } from './core/chain.ts';
import { Connection } from './core/connection.ts';
import type { Cooldown } from './core/cooldowns.ts';
import type { ModuleConnection } from './core/door.ts';
import {
  type AuditAttributes, type AuditEvent, type CoreEvent, type EncodedEvent, encodeEvent, encodeEvents, type EventBase,
  writtenEvent,
} from './core/events.ts';
import type { Opened } from './core/open.ts';
import { checkForce, checkOpenOptions, type OpenOptions } from './core/options.ts';
import { encodeState, type StateSnapshot } from './core/state.ts';
import type { EntryStatus } from './core/usage.ts';
import { describeHealth, isWorking, type StoreHealth } from './health.ts';
import { detach } from './opening/alone.ts';
import { migrateFile, type MigrationReport } from './opening/migrate.ts';
import { openMemory } from './opening/new-store.ts';
import { type OpenedToWrite, openFile } from './opening/open.ts';
import {
  type AuditFilter, checkFilter, checkSearchOptions, findAudits, recentAudits, type SearchOptions, walkAudits,
} from './reading/filter.ts';
import { openToRead } from './reading/open.ts';
import type { Recovery } from './recovery/heal.ts';
import type { Store } from './store-interface.ts';
import { StoreOfLimits } from './store-limits.ts';
import {
  checkArray, checkDuration, checkInstant, checkInteger, checkOptions, checkText, invalid, quote,
} from './values/checks.ts';
import { checkDay, type DayPart } from './values/days.ts';
import { attempt, notConstructed, StoreError } from './values/errors.ts';
import { checkPath } from './values/paths.ts';
import { checkVerifyOptions, verifyChain, type VerifyOptions, type VerifyReport } from './verify/chain-walk.ts';

/** A function of each store, by which its modules reach what is private to it. */
const connections = new WeakMap<object, () => ModuleConnection>();

/**
 * What this package's modules may use of a store. It is not public: `index.ts` does not export it. Throws
 * `ERR_STORE_INVALID_ARGUMENT` for a value that is no store.
 */
export function connect(store: SqliteStore): ModuleConnection {
  const connection = connections.get(store);
  if (!connection) throw invalid('store', store, 'a SqliteStore');
  return connection();
}

/**
 * A store in one SQLite file. Every write is durable when its method returns: it survives a crash of the process and a
 * power cut. A method that throws has changed nothing, unless it says otherwise. All methods throw `ERR_STORE_CLOSED`
 * after `close()`, `ERR_STORE_INVALID_ARGUMENT` for an argument they do not accept, and `ERR_STORE_CORRUPT` where a
 * stored value cannot be right; those that write also `ERR_STORE_BUSY`, `ERR_STORE_DISK_FULL`, `ERR_STORE_READ_ONLY`
 * and `ERR_STORE_IO`. Entry ids and other texts are non-empty strings of whole Unicode without NUL; days are
 * `YYYY-MM-DD`; durations are whole milliseconds. `E` names the events of the service's own; see `Store`.
 */
export class SqliteStore<in E extends EventBase = never> extends StoreOfLimits implements Store<E> {
  readonly #parts: Opened;
  readonly #connection: Connection;
  readonly #recovery: Recovery | undefined;

  private constructor(opened: Opened & Partial<OpenedToWrite>) {
    // JavaScript has no private constructor, so a caller can get here without an opened store.
    if (!(opened?.connection instanceof Connection)) throw notConstructed('SqliteStore.open(path)');
    super(opened);
    this.#parts = opened;
    this.#connection = opened.connection;
    this.#recovery = opened.recovery;
    connections.set(this, () => this.#moduleConnection());
  }

  /**
   * Opens the store at `path`, and makes it where there is none: the folder 0700, files 0600. A database that holds
   * exactly the four tables of version 0 is adopted, an older schema is migrated, a loss is healed (`recovery` says
   * how). A store of a newer schema is written to where it permits that; or else it is read (`isReadOnly`), and each
   * write throws `ERR_STORE_SCHEMA_TOO_NEW`; or it is refused. A file that is refused is left as it was. Throws
   * `ERR_STORE_NOT_A_STORE`, `ERR_STORE_SCHEMA_TOO_NEW`, `ERR_STORE_MIGRATION`, `ERR_STORE_PERMISSION`,
   * `ERR_STORE_READ_ONLY`, `ERR_STORE_UNSUPPORTED`; `ERR_STORE_CONFLICT` where the snapshot file or the ledger is
   * another store's, a store with a ledger is opened without it, or the file has a second name (a hard link);
   * `ERR_STORE_BUSY` while another process recovers, restores or migrates the store, or has it open when it is to get
   * its first ledger; `ERR_STORE_PARITY` where log and ledger disagree; `ERR_STORE_CORRUPT` for a damaged database, or
   * a missing one beside a snapshot file, unless `recover` is true.
   */
  static open<E extends EventBase = CoreEvent>(path: string, options?: OpenOptions): SqliteStore<E> {
    const checked = checkOpenOptions(options);
    return new SqliteStore<E>(openFile(checkPath(path), checked));
  }

  /** `open` beside a service for a moment, which leaves its -wal as it is: begun anew, it costs an fsync. @internal */
  static openAsGuest(path: string, options?: OpenOptions): SqliteStore {
    return new SqliteStore(openFile(checkPath(path), { ...checkOpenOptions(options), isGuest: true }));
  }

  /** Opens a store in memory, which is like any other but that nothing of it outlives the process or `close()`. */
  static inMemory<E extends EventBase = CoreEvent>(options?: Pick<OpenOptions, 'clock'>): SqliteStore<E> {
    return new SqliteStore<E>(openMemory(checkOpenOptions(options, ['clock'])));
  }

  /**
   * Opens the store at `path` read-only, beside a running service or after one; changes nothing on the disk and leaves
   * nothing behind. A store of a newer schema is read where it permits that. Writing methods throw
   * `ERR_STORE_READ_ONLY`. Throws `ERR_STORE_NOT_FOUND` where there is no file, `ERR_STORE_NOT_A_STORE`,
   * `ERR_STORE_SCHEMA_TOO_OLD`, `ERR_STORE_SCHEMA_TOO_NEW`, `ERR_STORE_PERMISSION`.
   */
  static openReadOnly<E extends EventBase = CoreEvent>(
    path: string, options?: Omit<OpenOptions, 'recover' | 'ledger'>,
  ): SqliteStore<E> {
    const checked = checkOpenOptions(options, ['clock', 'busyTimeoutMs', 'snapshotPath']);
    return new SqliteStore<E>(openToRead(checkPath(path), checked));
  }

  /**
   * Moves a file's schema to `version`, up or down, in one transaction, and reports what it did; version 0 is the four
   * tables alone. `force` permits a step down that would lose rows or values, and a step while another process has the
   * store open, whose further writes are all refused then. Throws `ERR_STORE_NOT_FOUND` where there is no file,
   * `ERR_STORE_MIGRATION` where a step fails or would lose something, `ERR_STORE_BUSY` while another process has the
   * store open, `ERR_STORE_SCHEMA_TOO_NEW` for a newer schema, whose steps down only the version that wrote it has, and
   * what `open` throws.
   */
  static migrate(path: string, version: number, options?: { force?: boolean | undefined }): MigrationReport {
    const checked = checkInteger('version', version, 0);
    return migrateFile(checkPath(path), checked, checkForce(options), checkOpenOptions());
  }

  /** What `open` found missing or damaged, and what it did about it; `undefined` where all was well. */
  get recovery(): Recovery | undefined {
    return this.#recovery && structuredClone(this.#recovery);
  }

  /**
   * Whether the store is only read: it was opened read-only, or by `open`, and its schema is that of a newer version,
   * to which this one may not write.
   */
  get isReadOnly(): boolean {
    return this.#connection.reader !== undefined;
  }

  /** Closes the store; a second call is fine. Throws `ERR_STORE_CONFLICT` inside a transaction. */
  close(): void {
    attempt('close the store', () => {
      this.#connection.close();
      this.#parts.log.ledger?.close();
    });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // Audit log

  /**
   * Appends an event and gives it with its id and time. `attributes` say more about it. Throws
   * `ERR_STORE_SERIALIZATION` for a field that JSON does not carry unchanged, `ERR_STORE_CONFLICT` for an `eventId`
   * that is recorded already, `ERR_STORE_POLICY` where a rule refuses the event in a store with a ledger.
   */
  appendAudit<Known extends EventBase = E>(event: E | CoreEvent, attributes?: AuditAttributes): AuditEvent<Known> {
    return this.#append<Known>('appendAudit', [encodeEvent(event, attributes)])[0]!;
  }

  /**
   * Appends a group of events in order, all or none, with one fsync. Throws what `appendAudit` throws: one refused
   * event refuses all of them.
   */
  appendAudits<Known extends EventBase = E>(
    items: readonly { event: E | CoreEvent; attributes?: AuditAttributes | undefined }[],
  ): AuditEvent<Known>[] {
    return this.#append<Known>('appendAudits', encodeEvents(items));
  }

  #append<Known extends EventBase>(operation: string, encoded: readonly EncodedEvent[]): AuditEvent<Known>[] {
    const { log } = this.#parts;
    if (!log.ledger && encoded.some(({ policy }) => policy)) {
      const message = 'policy and breakGlass are for a store with a ledger, and this one was opened without';
      throw new StoreError('ERR_STORE_INVALID_ARGUMENT', message);
    }
    const what = encoded.length === 1 ? `the event ${quote(encoded[0]!.type)}` : `${encoded.length} events`;
    return this.#connection.write(operation, `append ${what}`, () => {
      const now = this.#connection.now();
      const timestamp = now.toISOString();
      const permitted = log.ledger?.permit(encoded) ?? encoded;
      return permitted.map((event) => writtenEvent<Known>(log.append(event, timestamp), now, event));
    });
  }

  /** The newest events of one type that match, newest first; at most `limit`. See the method without a type. */
  getRecentAudits<T extends string, Known extends EventBase = E>(
    limit: number, filter: AuditFilter & { type: T },
  ): AuditEvent<Known, T>[];
  /**
   * The newest events that match, newest first; at most `limit`. Reads back from the newest until it has that many: a
   * filter that fewer events match reads the whole log in one go, which blocks the thread meanwhile (0.6 s for a
   * million rows on a desktop core). `findAudits` pauses between pages.
   */
  getRecentAudits<Known extends EventBase = E>(limit: number, filter?: AuditFilter): AuditEvent<Known>[];
  getRecentAudits(limit: number, filter?: AuditFilter): AuditEvent<EventBase>[] {
    checkInteger('limit', limit, 0);
    const checked = filter === undefined ? undefined : checkFilter(filter);
    return this.#connection.read('read the newest events', () => recentAudits(this.#connection, limit, checked));
  }

  /** All events of one type that match, newest first. See the method without a type. */
  findAudits<T extends string, Known extends EventBase = E>(
    filter: AuditFilter & { type: T }, options?: SearchOptions,
  ): AsyncGenerator<AuditEvent<Known, T>, void, undefined>;
  /**
   * All events that match, newest first. The log is read page by page; between two pages the event loop has its turn
   * and no statement is open, so that neither other work nor a checkpoint waits for the search. Each step rejects with
   * `signal.reason` when aborted, and with what reading throws.
   */
  findAudits<Known extends EventBase = E>(
    filter?: AuditFilter, options?: SearchOptions,
  ): AsyncGenerator<AuditEvent<Known>, void, undefined>;
  findAudits(filter?: AuditFilter, options?: SearchOptions): AsyncGenerator<AuditEvent<EventBase>, void, undefined> {
    const [checked, signal] = [checkFilter(filter), checkSearchOptions(options)];
    this.#connection.checkOpen('find events');
    return findAudits(this.#connection, checked, signal);
  }

  /**
   * The events from `fromId` to `toId`, both inclusive, oldest first, without those that are appended after the first
   * step. The log is read page by page, so it may be of any length. Events that went into an archive are given by
   * `readArchive` of `shepherd-store/archive`.
   */
  iterateAudits<Known extends EventBase = E>(
    range?: { fromId?: number | undefined; toId?: number | undefined },
  ): Generator<AuditEvent<Known>, void, undefined> {
    const { fromId = 1, toId = Number.MAX_SAFE_INTEGER } = checkOptions('range', range, ['fromId', 'toId']);
    checkInteger('range.fromId', fromId, 0);
    checkInteger('range.toId', toId, 0);
    this.#connection.checkOpen('iterate over the audit log');
    return walkAudits<Known>(this.#connection, fromId, toId);
  }

  /**
   * Walks the whole hash chain in constant memory. With an `anchor`, taken by `auditHead` earlier and kept elsewhere,
   * it also proves that the log still holds exactly that row there, because a chain alone cannot show that its end was
   * cut off. With a `publicKey`, every row from the event `signing_started` on must be signed by that key. Never throws
   * for what it finds; rejects with `signal.reason` when aborted, and with `ERR_STORE_BUSY` where a store that was
   * opened read-only finds another database in the place of its own meanwhile.
   */
  async verifyAudit(options?: VerifyOptions): Promise<VerifyReport> {
    return verifyChain(this.#parts, checkVerifyOptions(options));
  }

  /** The last row's id and hash, to be kept elsewhere as an anchor; `undefined` for an empty log. */
  auditHead(): Anchor | undefined {
    return this.#connection.read('read the head of the log', () => this.#parts.log.head());
  }

  // Usage

  /**
   * Adds `durationMs` to an entry's total of a day and gives the new total. Exact to the millisecond up to 2^53 - 1.
   */
  addUsage(entryId: string, day: string, durationMs: number): number {
    checkText('entryId', entryId);
    checkDay('day', day);
    const duration = checkDuration('durationMs', durationMs);
    const what = `add usage for ${quote(entryId)} on ${day}`;
    return this.#connection.write('addUsage', what, () => this.#parts.usage.add(entryId, day, duration));
  }

  /** An entry's total of a day in milliseconds; 0 where there is none. */
  getUsage(entryId: string, day: string): number {
    checkText('entryId', entryId);
    checkDay('day', day);
    const what = `read the usage of ${quote(entryId)} on ${day}`;
    return this.#connection.read(what, () => this.#parts.usage.total(entryId, day));
  }

  /** An entry's totals from one day to another, both inclusive, in order; days without usage are left out. */
  getUsageRange(entryId: string, from: string, to: string): DayPart[] {
    checkText('entryId', entryId);
    checkDay('from', from);
    checkDay('to', to);
    const what = `read the usage of ${quote(entryId)} from ${from} to ${to}`;
    return this.#connection.read(what, () => this.#parts.usage.range(entryId, from, to));
  }

  /** The totals of all entries that have one on this day, by entry id. */
  getUsageForDay(day: string): { entryId: string; durationMs: number }[] {
    checkDay('day', day);
    return this.#connection.read(`read the usage on ${day}`, () => this.#parts.usage.forDay(day));
  }

  /** The usage and cooldown of many entries, in the given order, by one query, as a launcher's screen shows them. */
  getStatus(entryIds: readonly string[], day: string): EntryStatus[] {
    const checked = checkArray('entryIds', entryIds, 'an array of entry ids', checkText);
    checkDay('day', day);
    const what = `read the status of ${checked.length} entries`;
    return this.#connection.read(what, () => this.#parts.usage.status(checked, day));
  }

  // Cooldowns

  /**
   * Sets when an entry becomes available again, whatever was set before. A clock set back later does not prolong it.
   */
  setCooldownUntil(entryId: string, until: Date): void {
    checkText('entryId', entryId);
    const text = checkInstant('until', until);
    const what = `set the cooldown of ${quote(entryId)}`;
    this.#connection.write('setCooldownUntil', what, () => this.#parts.cooldowns.set(entryId, text));
  }

  /**
   * When an entry becomes available again; it is in cooldown while that is in the future. `undefined` where none is
   * set.
   */
  getCooldownUntil(entryId: string): Date | undefined {
    checkText('entryId', entryId);
    return this.#connection.read(`read the cooldown of ${quote(entryId)}`, () => this.#parts.cooldowns.until(entryId));
  }

  /** Removes an entry's cooldown, if there is one. */
  clearCooldown(entryId: string): void {
    checkText('entryId', entryId);
    const what = `clear the cooldown of ${quote(entryId)}`;
    this.#connection.write('clearCooldown', what, () => this.#parts.cooldowns.clear(entryId));
  }

  /** All cooldowns by entry id, those that have ended included. */
  listCooldowns(): Cooldown[] {
    return this.#connection.read('list the cooldowns', () => this.#parts.cooldowns.all());
  }

  // Snapshot

  /**
   * Saves the state to resume from after a crash twice: in the database, durable on return, and in the snapshot file
   * beside it. Where the file cannot be put in place after the database has committed, `health()` says so.
   */
  saveSnapshot(snapshot: StateSnapshot): void {
    const text = encodeState(snapshot);
    this.#connection.write('saveSnapshot', 'save the snapshot', () => this.#parts.pair.save(text));
  }

  /** The state saved last, from the newer whole copy of the two. `undefined` where none was ever saved. */
  loadSnapshot(): StateSnapshot | undefined {
    return this.#connection.readTogether('load the snapshot', () => this.#parts.pair.load());
  }

  // Ledger

  /**
   * Ends ledger mode by an event, which is the ledger's last line; from then on the store is opened without the ledger.
   * Throws `ERR_STORE_CONFLICT` where it was not opened with a ledger, or inside a transaction, and `ERR_STORE_BUSY`
   * while another process has it open; with `force` that process is refused every further write instead.
   */
  detachLedger(options?: { force?: boolean | undefined }): void {
    detach(this.#connection, this.#parts.log.ledger, checkForce(options));
  }

  // Transactions and health

  /**
   * Runs `fn` as one transaction: all that `fn` writes is durable on return, with one fsync, or undone where `fn`
   * throws. Transactions nest. Gives what `fn` gives. Throws what `fn` throws, unchanged, and
   * `ERR_STORE_INVALID_ARGUMENT` for an asynchronous function or a promise (all is undone then).
   */
  transaction<T>(fn: () => T): T {
    return this.#connection.transaction(fn);
  }

  /** Whether reading and writing work, as checked on the disk. Never throws; `health()` says why not. */
  isHealthy(): boolean {
    try {
      return isWorking(this.#parts);
    } catch {
      return false;
    }
  }

  /** Everything an operator would ask about the store; see `StoreHealth`. */
  health(): StoreHealth {
    this.#connection.checkOpen('read the state of the store');
    return describeHealth(this.#parts);
  }

  #moduleConnection(): ModuleConnection {
    const [connection, { log }] = [this.#connection, this.#parts];
    return {
      prepare: (sql) => connection.statement(sql),
      get: (sql, ...values) => connection.get(sql, ...values),
      all: (sql, ...values) => connection.all(sql, ...values),
      now: () => connection.now(),
      read: (what, fn) => connection.read(what, fn),
      write: (operation, what, fn) => connection.write(operation, what, () => {
        log.ledger?.noteOther();
        return fn();
      }),
      readTogether: (what, fn) => connection.readTogether(what, fn),
      appendAudit: (event, timestamp) => log.append(event, timestamp),
      uuid: log.uuid,
      path: connection.path,
      isReadOnly: this.isReadOnly,
      parts: this.#parts,
    };
  }
}
