// One connection to a database: transactions that nest, and what happens when the disk fails.
// It knows nothing of what is stored: whoever keeps something together with the database takes part in its commits.
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { isAsyncFunction, isGeneratorFunction } from 'node:util/types';
import { checkSettled, invalid, readClock } from '../values/checks.ts';
import { CallersError, codeOf, couldNotBegin, StoreError, toStoreError } from '../values/errors.ts';
import { Checkpoints, overwriteFailedCommit } from './checkpoints.ts';
import type { CommitParticipant, LastParticipant } from './commit-participant.ts';
import { Faults } from './faults.ts';
import { type Reader, readTogether } from './handle.ts';
import { Statements } from './statements.ts';
import { beginAtOnce, beginTimed, type EndedWrite, publishWrite, writeChannel } from './writes.ts';

// IMMEDIATE, because a transaction that reads before it writes fails with BUSY_SNAPSHOT whatever the timeout.
const beginSql = 'BEGIN IMMEDIATE';

export class Connection extends Statements {
  readonly faults: Faults;
  readonly path: string | undefined;
  /** What a write gets in a store that was opened for writing and is only read, because its schema is newer. */
  readonly refusal: StoreError | undefined;
  /** The version of the file's schema, where that is newer. */
  newerVersion: number | undefined;
  /**
   * SQLite's data_version at this connection's last write; another value means that somebody else has committed.
   * https://www.sqlite.org/pragma.html#pragma_data_version
   */
  dataVersion: unknown;
  readonly #clock: () => Date;
  readonly #checkpoints: Checkpoints | undefined;
  readonly #dataVersionStatement: StatementSync;
  /** The participants in every transaction. */
  #attending: CommitParticipant[] = [];
  /** The participant that comes after all others: the ledger, which gets the rows that the others have made. */
  #last: LastParticipant | undefined;
  /** The participants in the open transaction only, or in the next one where none is open. */
  #joined = new Set<CommitParticipant>();
  /** Whether the service that goes on runs the checkpoints. */
  readonly #isGuest: boolean;
  #closed = false;
  #depth = 0;
  #isReadingTogether = false;
  #transactionTime: Date | undefined;
  /** The error because of which no further write is accepted. */
  #stopped: StoreError | undefined;
  /** The error that made SQLite end the open transaction by itself; nothing more may run in it. */
  #rolledBackBy: unknown;
  #lastError: { error: StoreError; at: Date } | undefined;

  /** `path` is absent for a database in memory; `reader` is there for a store that was opened read-only. */
  constructor(
    db: DatabaseSync,
    { clock, path, reader, refusal, isGuest = false }: {
      clock: () => Date; path?: string; reader?: Reader; refusal?: StoreError | undefined;
      isGuest?: boolean | undefined;
    },
  ) {
    super(db, reader);
    this.refusal = refusal;
    this.#clock = clock;
    this.path = path;
    this.#isGuest = isGuest;
    this.faults = new Faults(path ?? ':memory:', () => this.#stamp());
    this.#dataVersionStatement = db.prepare('PRAGMA data_version');
    this.#dataVersionStatement.setReturnArrays(true);
    if (path !== undefined && !reader) this.#checkpoints = new Checkpoints(db, this.faults);
  }

  get isOpen(): boolean {
    return !this.#closed;
  }

  get lastError(): { error: StoreError; at: Date } | undefined {
    return this.#lastError;
  }

  get inTransaction(): boolean {
    return this.#depth > 0;
  }

  get #timeoutMs(): number {
    return this.get<[number]>('PRAGMA busy_timeout')![0];
  }

  /** Has these take part in every transaction from now on, in this order. */
  attend(...participants: CommitParticipant[]): void {
    this.#attending = participants;
  }

  /** Sets the one participant that comes after all others in every transaction; `undefined` removes it. */
  attendLast(participant: LastParticipant | undefined): void {
    this.#last = participant;
  }

  /** Has a participant take part in the open transaction, or in the next one where none is open. */
  join(participant: CommitParticipant): void {
    this.#joined.add(participant);
  }

  /** The time by the store's clock, which is read once for all of a transaction. */
  now(): Date {
    if (this.#depth === 0) return this.#readClock();
    this.#transactionTime ??= this.#readClock();
    return new Date(this.#transactionTime);
  }

  #readClock(): Date {
    return readClock({ clock: this.#clock });
  }

  /** The time of a fault; by the system's clock where the store's clock fails, which must not hide the fault. */
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
      this.#noteRollback(error);
      throw this.#failed(error, what, false);
    }
  }

  /** Runs several reads as one transaction, so that they see one state of the database. Such reads nest. */
  readTogether<T>(what: string, fn: () => T): T {
    if (this.#isReadingTogether) return fn();
    // Faults are published afterwards, because a listener may want to record one in the store, which cannot be done
    // inside a transaction that only reads.
    return this.faults.publishAfter(() => this.read(what, () => {
      if (this.#depth > 0) return fn();
      // This is no write: BEGIN takes no lock until the first SELECT, and COMMIT writes nothing.
      this.#isReadingTogether = true;
      try {
        return readTogether(this.reader?.db ?? this.db, fn);
      } finally {
        this.#isReadingTogether = false;
      }
    }));
  }

  /**
   * Runs a write in a transaction of its own, durable on return, or as a savepoint of the open transaction, durable
   * with that. Whatever `fn` throws undoes all that `fn` did. `what` completes "failed to …"; `operation`, and how
   * long the caller has waited for others, are what `EndedWrite` has.
   */
  write<T>(operation: string, what: string, fn: () => T, waitedMs = 0): T {
    this.#checkWritable(what);
    if (this.#depth > 0) return this.#nested(what, fn);
    if (!writeChannel.hasSubscribers) return this.#outermost(what, fn);
    const { path } = this;
    return publishWrite({ path, operation, waitedMs }, (ended) => this.#outermost(what, fn, false, ended));
  }

  /** Runs a write of its own, unless another process writes at this moment; says whether it ran. */
  writeAtOnce(operation: string, what: string, fn: () => void, waitedMs = 0): boolean {
    this.#checkWritable(what);
    const startedMs = performance.now();
    let run = (): void => this.#outermost(what, fn, true);
    try {
      beginAtOnce(this.db, this.statement(beginSql), this.#timeoutMs);
    } catch (error) {
      if (codeOf(error) === 'ERR_STORE_BUSY') return false;
      run = () => {
        throw this.#failed(error, what, true);
      };
    }
    publishWrite({ path: this.path, operation, waitedMs }, run, startedMs);
    return true;
  }

  /** `write` for a function of the caller's own, which must not be asynchronous: it would run on after the commit. */
  transaction<T>(fn: () => T): T {
    if (typeof fn !== 'function' || isAsyncFunction(fn) || isGeneratorFunction(fn)) {
      throw invalid('fn', fn, 'a function that runs when it is called: not asynchronous, no generator');
    }
    const run = (): T => {
      try {
        return fn();
      } catch (error) {
        throw new CallersError(error);
      }
    };
    try {
      return this.write('transaction', 'run a transaction', () => checkSettled(run()));
    } catch (error) {
      throw error instanceof CallersError ? error.error : error;
    }
  }

  #checkWritable(what: string): void {
    this.checkOpen(what);
    if (this.reader) {
      const { code, message } = this.refusal ?? new StoreError('ERR_STORE_READ_ONLY', 'the store was opened read-only');
      throw new StoreError(code, `failed to ${what}: ${message}`);
    }
    if (this.#stopped) {
      const why = `the store takes no writes until it is reopened, because it ${this.#stopped.message}`;
      throw new StoreError(this.#stopped.code, `failed to ${what}: ${why}`, { cause: this.#stopped });
    }
    this.#noteRollback(undefined);
    if (this.#rolledBackBy !== undefined) throw toStoreError(this.#rolledBackBy, what);
  }

  /**
   * Notes that SQLite has rolled the open transaction back, as a failing disk may cause: nothing more may run in it.
   */
  #noteRollback(cause: unknown): void {
    if (this.#depth === 0 || this.db.isTransaction) return;
    const known = cause instanceof CallersError ? cause.error : cause;
    this.#rolledBackBy ??= known ?? new StoreError('ERR_STORE_IO', 'SQLite rolled the transaction back by itself');
  }

  #nested<T>(what: string, fn: () => T): T {
    try {
      this.statement('SAVEPOINT nested').run();
      this.#depth++;
      try {
        const result = fn();
        this.#checkComplete();
        this.statement('RELEASE nested').run();
        return result;
      } catch (error) {
        for (const participant of this.#participants()) participant.undone?.(false);
        // After a full disk or an I/O error SQLite may have rolled back everything; the savepoint is gone then.
        if (this.db.isTransaction) this.db.exec('ROLLBACK TO nested; RELEASE nested');
        this.#noteRollback(error);
        throw error;
      } finally {
        this.#depth--;
      }
    } catch (error) {
      throw this.#failed(error, what, true);
    }
  }

  #participants(): CommitParticipant[] {
    return [...this.#attending, ...this.#joined, ...(this.#last ? [this.#last] : [])];
  }

  #outermost<T>(what: string, fn: () => T, isBegun = false, ended?: EndedWrite): T {
    let committing = false;
    let result: T | undefined;
    try {
      if (ended) beginTimed(this.db, this.statement(beginSql), this.#timeoutMs, ended);
      else if (!isBegun) this.statement(beginSql).run();
      this.#depth = 1;
      this.uses = 0;
      const [dataVersion] = this.#dataVersionStatement.get() as unknown as [number];
      const isChanged = dataVersion !== this.dataVersion;
      this.dataVersion = dataVersion;
      if (isChanged) for (const participant of this.#attending) participant.beginChanged?.();
      this.#last?.begin();
      result = fn();
      this.#checkComplete();
      for (const participant of this.#participants()) participant.prepare?.();
      committing = true;
      this.statement('COMMIT').run();
      this.#ended('committed');
      this.#checkpoints?.runIfDue(this.uses);
      return result;
    } catch (error) {
      const lastError = this.#lastError;
      this.#rollBack();
      this.#ended('undone');
      const failed = this.#failed(error, what, true, committing);
      if (!committing || this.#stopped) throw failed;
      // The ledger has the events already, and would bring them in later, although the caller is told of a failure.
      const outcome = this.#last?.takeBack() ?? 'undone';
      if (outcome === 'undone') overwriteFailedCommit(this.db);
      if (outcome !== 'done') throw outcome === 'undone' ? failed : this.#unknown(failed as Error);
      this.#lastError = lastError;
      return result as T;
    }
  }

  /** Ends the transaction for the connection, and then for everybody who took part. */
  #ended(how: 'committed' | 'undone'): void {
    const participants = this.#participants();
    this.#depth = 0;
    this.#transactionTime = undefined;
    this.#rolledBackBy = undefined;
    this.#joined = new Set();
    for (const participant of participants) participant[how]?.(true);
  }

  /** Does not give the COMMIT's error code, because a caller that is told of a full disk would write the same again. */
  #unknown(cause: Error): StoreError {
    const unknown = 'whether it was written is unknown: the ledger may have its events, which the next write or open '
      + 'then brings into the database';
    const error = new StoreError('ERR_STORE_IO', `${cause.message}; ${unknown}`, { cause });
    this.#lastError = { error, at: this.#stamp() };
    return error;
  }

  #rollBack(): void {
    this.#depth = 0; // a listener to the fault below may close the store
    if (!this.db.isTransaction) return; // a ROLLBACK now would hide the real error behind its own
    try {
      this.db.exec('ROLLBACK');
    } catch (error) {
      this.stop(new StoreError('ERR_STORE_IO', 'failed to roll back', { cause: error }));
    }
  }

  /** Throws an error that forbids the COMMIT although the caller has caught it inside the transaction. */
  #checkComplete(): void {
    if (this.#stopped) throw this.#stopped;
    this.#noteRollback(undefined);
    if (this.#rolledBackBy !== undefined) throw this.#rolledBackBy;
  }

  /**
   * Runs `fn`, which writes nothing, while no other process can write. It costs no I/O: an IMMEDIATE transaction that
   * changes no page commits nothing.
   */
  locked<T>(fn: () => T): T {
    this.statement(beginSql).run();
    try {
      return fn();
    } finally {
      this.statement('COMMIT').run();
    }
  }

  /** Copies the WAL into the database once it is long enough, also where a few statements have changed many pages. */
  checkpointIfDue(): void {
    this.#checkpoints?.runIfDue(Infinity);
  }

  /** Rolls back a transaction that was begun by SQL, unless SQLite has done so by itself. */
  undo(): void {
    if (this.db.isTransaction) this.db.exec('ROLLBACK');
  }

  /** Refuses all further writes, and gives the error for the operation at hand to throw. */
  stop(reason: StoreError): StoreError {
    if (!this.#stopped) {
      this.#stopped = reason;
      const message = `the store takes no writes until it is reopened, because it ${reason.message}`;
      this.faults.report('stopped', message, reason);
    }
    return reason;
  }

  /** The error that the caller gets. A disk that fails in a write stops the store; a full disk does not. */
  #failed(error: unknown, what: string, writing: boolean, committing = false): unknown {
    const mapped = toStoreError(error, what);
    if (!(mapped instanceof StoreError)) return mapped;
    this.#lastError = { error: mapped, at: this.#stamp() };
    if (mapped === this.#stopped) {
      return new StoreError(mapped.code, `failed to ${what}: it ${mapped.message}`, { cause: mapped });
    }
    const isOfDisk = mapped !== error && (mapped.code === 'ERR_STORE_IO' || mapped.code === 'ERR_STORE_READ_ONLY');
    if (!writing || !isOfDisk) return mapped;
    // A write that could not even begin has written nothing, and the next one may find what it needs.
    if (!committing && couldNotBegin(error)) return mapped;
    const unknown = committing ? '; whether it was written is unknown until the store is reopened' : '';
    return this.stop(new StoreError('ERR_STORE_IO', mapped.message + unknown, { cause: error }));
  }

  /** Closes the handle. SQLite then deletes the WAL, if nobody else has the database open. */
  close(): void {
    if (this.#closed) return;
    if (this.#depth > 0) throw new StoreError('ERR_STORE_CONFLICT', 'failed to close the store: a transaction is open');
    if (this.reader) this.reader.close();
    else {
      if (!this.#isGuest) this.#checkpoints?.run();
      this.db.close();
    }
    this.#closed = true;
  }
}
