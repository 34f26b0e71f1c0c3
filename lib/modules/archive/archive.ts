// Archiving: the oldest rows of a log go into a file, and only then out of the database. The public names of the
// archive are here.
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Anchor } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { encodeChecked, type RetentionEvent } from '../../core/events.ts';
import type { ArchivedRange } from '../../core/retention-events.ts';
import { carryLimits } from '../../ledger/carried.ts';
import { isCompressed } from '../../ledger/gzip.ts';
import { awaitCheckpoint, writeInTurn } from '../../ledger/turn.ts';
import { removeDead } from '../../opening/temporary.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { invalid } from '../../values/checks.ts';
import { StoreError, toStoreError } from '../../values/errors.ts';
import { prepareFolder } from '../../values/folders.ts';
import { checkLong, type LongOperation } from '../../values/long.ts';
import { checkPath } from '../../values/paths.ts';
import { archiveName, findArchives, isNamedFor } from './files.ts';
import { checkArchive, makeArchive } from './make.ts';
import { lastRecorded, lockArchives } from './recorded.ts';
import { checkUpTo, firstHeld, firstUnsent, planUpTo, type Range, type UpTo } from './range.ts';

export type { ArchiveFile } from './files.ts';
export { listArchives, readArchive } from './files.ts';
export { forgetArchives, forgetUsage } from './forget.ts';
export type { UpTo } from './range.ts';
export type { ArchiveFinding, ArchiveReport } from './verify.ts';
export { verifyArchives } from './verify.ts';

/** How to archive. `gzip`: whether the file is compressed. */
export interface ArchiveOptions extends LongOperation {
  /** Where the file is made; the folder is made where there is none (0700). */
  folder: string;
  /** Up to which row. */
  upTo: UpTo;
  gzip?: boolean | undefined;
}

/** Rows that went into an archive. */
export interface Archived {
  /** The ids of the first and the last row. */
  from: number;
  to: number;
  path: string;
  bytes: number;
  /** The SHA-256 of the file as it lies on the disk. */
  sha256: string;
  /** The last row. Kept elsewhere, it proves with the archives every row up to there. */
  anchor: Anchor;
}

/**
 * Moves the oldest rows of a store's log into a file of `folder`, beside whatever else is going on. The file is a
 * ledger: it can be read and verified as one. It is written under a temporary name, read back and verified, synced and
 * named; only then the rows are deleted, a thousand in each transaction, the first of which has the event
 * `log_archived`. A crash at any point leaves each row in the log or in a named file, and the next call goes on where
 * it stopped. With a ledger, that is cut at the same row. `onProgress` counts each row twice: written, and deleted.
 *
 * Gives the last archive that was finished; `undefined` where there was nothing to do. Rows go by their positions: up
 * to the first one that is not older, because clocks jump. Rows of the running session, and rows younger than a day,
 * stay: `keepDays` stops before them, and `id` and `before` are refused (`ERR_STORE_CONFLICT`). The freed pages of the
 * database are used again; the file does not get smaller.
 *
 * Rejects with `ERR_STORE_BUSY` while another process archives this store, `ERR_STORE_CONFLICT` where a file of another
 * content has the name, `ERR_STORE_CORRUPT` for a log whose chain is broken, `ERR_STORE_DISK_FULL`,
 * `ERR_STORE_READ_ONLY` and `ERR_STORE_PERMISSION` where the file cannot be made: no row is deleted then. With
 * `signal.reason` when aborted.
 */
export async function archiveAudits(store: SqliteStore, options: ArchiveOptions): Promise<Archived | undefined> {
  const connection = connect(store);
  const { folder, upTo, gzip = false, signal, onProgress } = checkLong(options, ['folder', 'upTo', 'gzip']);
  const target = checkPath(folder, 'options.folder');
  const checked = checkUpTo(upTo);
  if (typeof gzip !== 'boolean') throw invalid('options.gzip', gzip, 'true or false');
  const { path } = connection;
  if (path === undefined) throw invalid('store', 'a store in memory', 'a store in a file');
  try {
    if (connection.parts.connection.inTransaction) throw new StoreError('ERR_STORE_CONFLICT', 'a transaction is open');
    // Refuses a store that may not be written before anything is made.
    await writeInTurn(connection.parts.connection, 'archiveAudits', 'archive the log', () => {}, signal);
    prepareFolder(target);
    using _lock = lockArchives(path);
    removeDead(target); // a run that only finishes what was cut short makes no file, which would remove them
    const step = (done: number, total: number): void => onProgress?.({ done, total });
    const archiving = new Archiving(connection, target, signal, step);
    const finished = await archiving.finish(store);
    const { range } = await planUpTo(store, connection, checked, signal);
    return range ? await archiving.move(range, gzip) : finished;
  } catch (error) {
    throw signal?.aborted ? signal.reason : toStoreError(error, `archive the log of ${path}`);
  }
}

/** A file that is there, and what the log says of it. */
interface Made extends ArchivedRange {
  path: string;
  bytes: number;
}

// A transaction of this many rows takes some milliseconds, and as many pages as a checkpoint copies at once.
const stepRows = 1_000;

/** What is done under the lock of one process that archives. */
class Archiving {
  readonly #connection: ModuleConnection;
  readonly #folder: string;
  readonly #signal: AbortSignal | undefined;
  readonly #progress: (done: number, total: number) => void;

  constructor(
    connection: ModuleConnection, folder: string, signal: AbortSignal | undefined,
    progress: (done: number, total: number) => void,
  ) {
    this.#connection = connection;
    this.#folder = folder;
    this.#signal = signal;
    this.#progress = progress;
  }

  /** Goes on with what an archiving that was cut short has left. */
  async finish(store: SqliteStore): Promise<Archived | undefined> {
    const { log } = this.#connection.parts;
    const pending = this.#connection.read('look for an unfinished archive', () => this.#pending());
    if (pending) {
      const path = join(this.#folder, pending.file);
      const file = await this.#soundAt(path, { id: pending.to, hash: pending.hash });
      if (file && file.sha256 === pending.sha256) return this.#remove({ ...pending, path, bytes: file.bytes });
    }
    // A file was named, and the event that says so did not come to be. Anybody who may write to the folder can give
    // a copy of the log such a name, so rows that have to stay do not go by it.
    const begun = this.#connection.read('read where the log begins', () => log.beginning());
    for (const found of findArchives(this.#folder)) {
      const { path, from, to, after } = found;
      const isNext = after ? after.hash === begun.hash : begun.id === 0;
      if (!isNext || !log.owns({ store: found.store, lastId: to })) continue;
      if (!isNamedFor(found, this.#connection.path!)) continue;
      if (to >= (await firstHeld(store, this.#connection, this.#signal)).id) continue;
      const hash = this.#connection.read('look for its last row', () => log.hashAt(to));
      const file = hash === undefined ? undefined : await this.#soundAt(path, { id: to, hash });
      if (file) return this.#record({ from, to, hash: hash!, file: basename(path), ...file, path });
    }
    // Both files have been dealt with, and the ledger may still have what the log has no more.
    await log.ledger?.cutBehind(begun, this.#signal);
    return undefined;
  }

  /** The last event of an archive whose rows are not all deleted. */
  #pending(): ArchivedRange | undefined {
    const { log } = this.#connection.parts;
    const last = lastRecorded(this.#connection);
    return last && last.to > log.beginning().id && log.hashAt(last.to) === last.hash ? last : undefined;
  }

  async #soundAt(path: string, last: Anchor): Promise<{ bytes: number; sha256: string } | undefined> {
    try {
      return await checkArchive(path, isCompressed(path), last, undefined, this.#signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Makes the file of rows, and deletes them. */
  async move(range: Range, isGzip: boolean): Promise<Archived> {
    const { from, last: { id: to, hash } } = range;
    const file = archiveName(this.#connection.path!, from, to, isGzip);
    const path = join(this.#folder, file);
    const total = 2 * (to - from + 1);
    const onRow = (count: number): void => this.#progress(count, total);
    const digest = await makeArchive(this.#connection, range, path, { signal: this.#signal, onRow });
    return this.#record({ from, to, hash, file, ...digest, path });
  }

  /** Deletes the rows of a file; the first transaction records it. */
  async #record(archived: Made): Promise<Archived> {
    const { from, to, hash, file, sha256 } = archived;
    const { log } = this.#connection.parts;
    await this.#write('record the archive', () => {
      if (log.hashAt(to) !== hash || log.beginning().id >= from) {
        throw new StoreError('ERR_STORE_CONFLICT', 'the log has changed meanwhile');
      }
      const unsent = firstUnsent(this.#connection); // an outbox may have been made meanwhile
      if (unsent && unsent.id <= to) throw new StoreError('ERR_STORE_CONFLICT', `row ${unsent.id}: ${unsent.why}`);
      const eventId = `log_archived:${to}:${sha256}`;
      if (!log.hasEvent(eventId)) {
        const event: RetentionEvent = { type: 'log_archived', from, to, hash, file, sha256 };
        this.#connection.appendAudit({ ...encodeChecked(event), meta: JSON.stringify({ eventId }) });
        log.ledger?.carryOver(to);
        carryLimits(this.#connection.parts, to);
      }
      this.#removeNext(to);
    });
    return this.#remove(archived);
  }

  /** Deletes the rows up to the last one of an archive, then cuts the ledger there. */
  async #remove({ from, to, hash, path, bytes, sha256 }: Made): Promise<Archived> {
    const { connection, log } = this.#connection.parts;
    const anchor = { id: to, hash };
    for (;;) {
      await awaitCheckpoint(connection);
      const begun = this.#connection.read('read where the log begins', () => log.beginning().id);
      this.#progress(begun - from + 1 + (to - from + 1), 2 * (to - from + 1));
      if (begun >= to) break;
      this.#signal?.throwIfAborted();
      await this.#write('delete rows that are archived', () => this.#removeNext(to));
    }
    await log.ledger?.cutBehind(anchor, this.#signal);
    return { from, to, path, bytes, sha256, anchor };
  }

  /** Runs a step, and then leaves the lock to those who wait for it for twice as long as the step had it. */
  async #write(what: string, fn: () => void): Promise<void> {
    const { connection } = this.#connection.parts;
    let startedMs = 0;
    await writeInTurn(connection, 'archiveAudits', what, () => {
      startedMs = performance.now();
      fn();
    }, this.#signal);
    await sleep(2 * (performance.now() - startedMs) + 1);
  }

  #removeNext(to: number): void {
    const sql = `SELECT id, event_hash FROM (SELECT id, event_hash FROM audit_log WHERE id <= ? ORDER BY id LIMIT ?)
      ORDER BY id DESC LIMIT 1`;
    const row = this.#connection.get<[number, string]>(sql, to, stepRows);
    if (row) this.#connection.parts.log.beginBehind({ id: row[0], hash: row[1] });
  }
}
