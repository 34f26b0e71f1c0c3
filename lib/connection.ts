// One connection and the rules of using it: statements prepared once, transactions that nest, errors with their context,
// and what happens when the disk fails.
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { isAsyncFunction, isGeneratorFunction } from 'node:util/types';
import type { Anchor } from './audit.ts';
import { Checkpoints, overwriteFailedCommit } from './checkpoints.ts';
import type { CommitParticipant } from './commit-participant.ts';
import { CooldownClock } from './cooldowns.ts';
import { CallersError, couldNotBegin, StoreError, toStoreError } from './errors.ts';
import { Faults } from './faults.ts';
import type { Mirroring } from './mirroring.ts';
import type { Reader } from './read-only.ts';
import { checkDate, checkSettled, invalid } from './values.ts';
import { UsageDaysWatch } from './usage-days.ts';
import { FileWatch, SchemaWatch } from './watch.ts';

export class Connection {
  readonly faults: Faults;
  /** Set while the audit log has a mirror. */
  mirroring: Mirroring | undefined;
  /** Whether the last transaction wrote something that a mirror does not have: a snapshot, rows of a module. */
  wroteUnmirrored = false;
  readonly path: string | undefined;
  readonly reader: Reader | undefined;
  readonly #clock: () => Date;
  #db: DatabaseSync;
  #statements = new Map<string, StatementSync>();
  /** How many statements the open transaction has used. */
  #uses = 0;
  /** The last row of the audit log, where this connection wrote it; the next one is chained to it without a look-up. */
  head: Anchor | undefined;
  readonly usageDays: UsageDaysWatch;
  readonly cooldownClock: CooldownClock;
  #participants: CommitParticipant[];
  #closed = false;
  #depth = 0;
  #transactionTime: Date | undefined;
  /** Why no further write is accepted. */
  #stopped: StoreError | undefined;
  /** SQLite rolled the open transaction back by itself, because of this. */
  #lost: unknown;
  #lastError: { error: StoreError; at: Date } | undefined;
  readonly schema: SchemaWatch;
  /** The open database, its WAL and its WAL index, as they were found. */
  readonly files: FileWatch;
  readonly #checkpoints: Checkpoints | undefined;

  /** Without a `path` for a database in memory, with a `reader` for a read-only store. */
  constructor(db: DatabaseSync, { clock, path, reader }: { clock: () => Date; path?: string; reader?: Reader }) {
    this.#db = db;
    this.#clock = clock;
    this.path = path;
    this.reader = reader;
    this.faults = new Faults(path ?? ':memory:', () => this.#stamp());
    this.schema = new SchemaWatch(db);
    this.usageDays = new UsageDaysWatch(this);
    this.cooldownClock = new CooldownClock(this);
    this.#participants = [this.usageDays, this.cooldownClock];
    if (path !== undefined && !reader) this.#checkpoints = new Checkpoints(db, this.faults);
    // After the first read SQLite has made the -wal and -shm, and keeps these very files until the last one closes.
    this.files = new FileWatch(path === undefined || reader ? [] : ['', '-wal', '-shm'].map((suffix) => path + suffix));
  }

  get isOpen(): boolean {
    return !this.#closed;
  }

  get stopped(): StoreError | undefined {
    return this.#stopped;
  }

  get lastError(): { error: StoreError; at: Date } | undefined {
    return this.#lastError;
  }

  /** Changes with every commit of another connection, as the last write found it. */
  get version(): unknown {
    return this.schema.version;
  }

  get inTransaction(): boolean {
    return this.#depth > 0;
  }

  leave(participant: CommitParticipant): void {
    this.#participants = this.#participants.filter((each) => each !== participant);
  }

  join(participant: CommitParticipant): void {
    this.#participants.push(participant);
  }

  /** The statement for this SQL, prepared once, with rows as arrays. Ask again for each use: a reader may reopen. */
  statement(sql: string): StatementSync {
    if (this.reader && this.reader.db !== this.#db) {
      this.#db = this.reader.db;
      this.#statements.clear();
    }
    this.#uses++;
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      statement.setReturnArrays(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** The first row that `sql` gives, as an array. */
  get<Row extends readonly unknown[]>(sql: string, ...values: (string | number | null)[]): Row | undefined {
    return this.statement(sql).get(...values) as Row | undefined;
  }

  /** All rows that `sql` gives, as arrays. */
  all<Row extends readonly unknown[]>(sql: string, ...values: (string | number | bigint | null)[]): Row[] {
    return this.statement(sql).all(...values) as unknown as Row[];
  }

  run(sql: string, ...values: (string | number | null | Uint8Array)[]): number {
    return Number(this.statement(sql).run(...values).changes);
  }

  /** The store's clock; one reading for all of a transaction. */
  now(): Date {
    if (this.#depth === 0) return this.#readClock();
    this.#transactionTime ??= this.#readClock();
    return new Date(this.#transactionTime);
  }

  #readClock(): Date {
    return checkDate('what options.clock gives', this.#clock());
  }

  /** The store's clock for what is only shown: one that fails must not hide the fault that it is to date. */
  #stamp(): Date {
    try {
      return this.#readClock();
    } catch {
      return new Date();
    }
  }

  checkOpen(what: string): void {
    if (this.#closed) throw new StoreError('ERR_STORE_CLOSED', `failed to ${what}: the store is closed`);
  }

  /** Runs a read. `what` completes "failed to …". */
  read<T>(what: string, fn: () => T): T {
    this.checkOpen(what);
    try {
      return this.reader ? this.reader.read(fn) : fn();
    } catch (error) {
      this.#noteLoss(error);
      throw this.#failed(error, what, false);
    }
  }

  /** Several reads of one state of the database, as one transaction. */
  readTogether<T>(what: string, fn: () => T): T {
    // Whoever hears of a fault may want to record it, which cannot be done inside a transaction that only reads.
    return this.faults.publishAfter(() => this.read(what, () => {
      if (this.#depth > 0) return fn();
      // Not a write: BEGIN takes no lock until the first SELECT, and COMMIT writes nothing.
      this.statement('BEGIN').run();
      try {
        const result = fn();
        this.statement('COMMIT').run();
        return result;
      } catch (error) {
        this.undo();
        throw error;
      }
    }));
  }

  /**
   * Runs a write in a transaction of its own, durable on return, or as a savepoint of the open one, durable with that.
   * Whatever `fn` throws undoes all that it did. `isOneStatement`: `fn` changes rows by one statement at most, its last, and
   * one that fails undoes itself.
   */
  write<T>(what: string, fn: () => T, isOneStatement = false): T {
    this.#checkWritable(what);
    if (this.#depth === 0) return this.#outermost(what, fn);
    return isOneStatement && !this.mirroring ? this.#joined(what, fn) : this.#nested(what, fn);
  }

  /** `write` for a function of the caller's own, which must not be asynchronous: it would run on after the commit. */
  transaction<T>(fn: () => T): T {
    if (typeof fn !== 'function' || isAsyncFunction(fn) || isGeneratorFunction(fn)) throw invalid('fn', fn, 'a function that runs when it is called: not asynchronous, no generator');
    const run = (): T => {
      try {
        return fn();
      } catch (error) {
        throw new CallersError(error);
      }
    };
    try {
      return this.write('run a transaction', () => checkSettled(run()));
    } catch (error) {
      throw error instanceof CallersError ? error.error : error;
    }
  }

  #checkWritable(what: string): void {
    this.checkOpen(what);
    if (this.reader) throw new StoreError('ERR_STORE_READ_ONLY', `failed to ${what}: the store was opened read-only`);
    if (this.#stopped) {
      const { code, message } = this.#stopped;
      throw new StoreError(code, `failed to ${what}: the store takes no writes until it is reopened, because it ${message}`, { cause: this.#stopped });
    }
    this.#noteLoss(undefined);
    if (this.#lost !== undefined) throw toStoreError(this.#lost, what);
  }

  /** Whatever fails on the disk inside a transaction, a read too, may make SQLite roll back all of it: nothing may go on after that. */
  #noteLoss(cause: unknown): void {
    if (this.#depth === 0 || this.#db.isTransaction) return;
    this.#lost ??= (cause instanceof CallersError ? cause.error : cause) ?? new StoreError('ERR_STORE_IO', 'SQLite rolled the transaction back by itself');
  }

  #joined<T>(what: string, fn: () => T): T {
    try {
      return fn();
    } catch (error) {
      this.#noteLoss(error);
      // What neither SQLite nor this package says (a full stack) may come after the statement, and nothing undoes that alone.
      if (!(error instanceof StoreError) && (error as { errcode?: number }).errcode === undefined) this.#lost ??= error;
      throw this.#failed(error, what, true);
    }
  }

  #nested<T>(what: string, fn: () => T): T {
    const days = this.usageDays.current;
    try {
      this.statement('SAVEPOINT nested').run();
      this.#depth++;
      try {
        const result = fn();
        this.#checkComplete();
        this.statement('RELEASE nested').run();
        return result;
      } catch (error) {
        // After a full disk or an I/O error SQLite may have rolled back everything; the savepoint is gone then.
        this.head = undefined;
        this.usageDays.current = days;
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK TO nested; RELEASE nested');
        this.#noteLoss(error);
        throw error;
      } finally {
        this.#depth--;
      }
    } catch (error) {
      throw this.#failed(error, what, true);
    }
  }

  #outermost<T>(what: string, fn: () => T): T {
    let committing = false;
    let result: T | undefined;
    try {
      // IMMEDIATE: a transaction that reads first and then writes fails with BUSY_SNAPSHOT whatever the timeout is.
      this.statement('BEGIN IMMEDIATE').run();
      this.#depth = 1;
      this.#uses = 0;
      this.wroteUnmirrored = false;
      this.#checkSchema();
      for (const participant of this.#participants) participant.begin();
      result = fn();
      this.#checkComplete();
      this.#checkFile();
      for (const participant of this.#participants) participant.prepare();
      committing = true;
      this.statement('COMMIT').run();
      this.#end();
      for (const participant of this.#participants) participant.committed();
      this.#checkpoints?.runIfDue(this.#uses);
      return result;
    } catch (error) {
      this.#rollBack();
      for (const participant of this.#participants) participant.abandoned();
      const lastError = this.#lastError;
      const failed = this.#failed(error, what, true, committing);
      if (!committing || this.#stopped) throw failed;
      // What the mirror has is durable: once COMMIT was tried it is never taken back, but brought into the database.
      const carried = this.mirroring?.carryForward() ?? 'none';
      if (carried === 'none') {
        overwriteFailedCommit(this.#db);
        throw failed;
      }
      if (carried === 'unknown') throw this.#unknown(failed as Error);
      this.#lastError = lastError;
      return result as T;
    }
  }

  /** Not the code of the COMMIT: a caller that hears of a full disk would do again what the next write brings in. */
  #unknown(cause: Error): StoreError {
    const error = new StoreError('ERR_STORE_IO', `${cause.message}; whether it was written is unknown: the ledger has its events, which the next write or open brings into the database`, { cause });
    this.#lastError = { error, at: this.#stamp() };
    return error;
  }

  #end(): void {
    this.#depth = 0;
    this.#transactionTime = undefined;
    this.#lost = undefined;
  }

  #rollBack(): void {
    this.#end();
    this.head = undefined;
    if (!this.#db.isTransaction) return; // a ROLLBACK then would hide the real error behind its own
    try {
      this.#db.exec('ROLLBACK');
    } catch (error) {
      this.stop(new StoreError('ERR_STORE_IO', 'failed to roll back', { cause: error }));
    }
  }

  /** Before COMMIT: what the caller may have caught inside the transaction must not be committed around. */
  #checkComplete(): void {
    if (this.#stopped) throw this.#stopped;
    this.#noteLoss(undefined);
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Another process may have migrated the file, or changed whether it has a ledger: what holds for it no more must stop. */
  #checkSchema(): void {
    const { version } = this;
    const changed = this.schema.change(this.mirroring?.isAttached);
    if (changed) throw this.stop(changed);
    if (this.version === version) return;
    this.head = undefined;
    this.usageDays.forget();
  }

  /** A database that was renamed or deleted under an open connection goes on "working": nobody would ever read it. */
  #checkFile(): void {
    const problem = this.files.problem();
    if (problem !== undefined) throw this.stop(new StoreError('ERR_STORE_IO', `found that ${problem}`));
  }

  /**
   * Runs `fn`, which writes nothing, while no other process can write. It costs no I/O: an IMMEDIATE transaction that
   * changes no page commits nothing.
   */
  locked<T>(fn: () => T): T {
    this.statement('BEGIN IMMEDIATE').run();
    try {
      return fn();
    } finally {
      this.statement('COMMIT').run();
    }
  }

  /** Rolls back what was begun by SQL, where SQLite has not done it by itself. */
  undo(): void {
    if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
  }

  /** Takes no further writes. Gives the error for the operation at hand. */
  stop(reason: StoreError): StoreError {
    if (!this.#stopped) {
      this.#stopped = reason;
      this.faults.report('stopped', `the store takes no writes until it is reopened, because it ${reason.message}`, reason);
    }
    return reason;
  }

  /** The error that the caller gets. A disk that failed while writing is final; a full one is not. */
  #failed(error: unknown, what: string, writing: boolean, committing = false): unknown {
    const mapped = toStoreError(error, what);
    if (!(mapped instanceof StoreError)) return mapped;
    this.#lastError = { error: mapped, at: this.#stamp() };
    if (mapped === this.#stopped) return new StoreError(mapped.code, `failed to ${what}: it ${mapped.message}`, { cause: mapped });
    const isNew = mapped !== error;
    if (!writing || !isNew || (mapped.code !== 'ERR_STORE_IO' && mapped.code !== 'ERR_STORE_READ_ONLY')) return mapped;
    if (!committing && couldNotBegin(error)) return mapped; // nothing was written, and the next one may find what it needs
    const unknown = committing ? '; whether it was written is unknown until the store is reopened' : '';
    return this.stop(new StoreError('ERR_STORE_IO', mapped.message + unknown, { cause: error }));
  }

  /** Closes the handle. SQLite then deletes the WAL, if nobody else has the database open. */
  close(): void {
    if (this.#closed) return;
    if (this.#depth > 0) throw new StoreError('ERR_STORE_CONFLICT', 'failed to close the store: a transaction is open');
    if (this.reader) this.reader.close();
    else {
      this.#checkpoints?.run();
      this.#db.close();
    }
    this.#closed = true;
    this.#statements.clear();
  }
}
