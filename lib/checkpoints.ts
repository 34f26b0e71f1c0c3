// What is done to the WAL beside commits: when it is copied into the database (SQLite's own auto-checkpoint would swallow its
// errors), and what a commit that failed leaves in it.
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Faults } from './faults.ts';

// Measured (test/bench/README.md): fewer, larger checkpoints write a hot page once instead of many times, and beyond 1,000
// pages next to nothing is gained; so many keep the WAL at about 4 MB and the pause of one checkpoint at a few milliseconds.
export const checkpointPages = 1_000;
// A statement changes a page or two: the WAL is not counted after each of the commits that fill it.
const countedStatements = 100;
// A reader that never ends keeps the WAL from being reused: worth a finding at 64 MB.
const largeWalPages = 16_000;

interface Progress {
  /** Pages in the WAL, and how many of them are in the database as well. */
  log: number;
  checkpointed: number;
}

export class Checkpoints {
  readonly #faults: Faults;
  /** Counts, without I/O. The pages of a WAL that was begun anew are counted from there. */
  readonly #count: StatementSync;
  /** Copies what no reader holds back. PASSIVE waits for nobody and blocks nobody. */
  readonly #copy: StatementSync;
  #nextAt = checkpointPages;
  #uncounted = 0;

  constructor(db: DatabaseSync, faults: Faults) {
    this.#faults = faults;
    this.#count = db.prepare('PRAGMA wal_checkpoint(NOOP)');
    this.#copy = db.prepare('PRAGMA wal_checkpoint(PASSIVE)');
  }

  /** After a commit of so many statements: runs a checkpoint once the WAL is long enough. Never throws. */
  runIfDue(statements: number): void {
    this.#uncounted += statements;
    if (this.#uncounted < countedStatements) return;
    this.#uncounted = 0;
    this.#guard(() => {
      const { log } = this.#count.get() as unknown as Progress;
      if (log < checkpointPages) this.#nextAt = checkpointPages;
      if (log < this.#nextAt) return;
      this.run();
      this.#nextAt = log + checkpointPages;
    });
  }

  /** Never throws: a failure is a finding, because the WAL still has it all. */
  run(): void {
    this.#guard(() => {
      const { log, checkpointed } = this.#copy.get() as unknown as Progress;
      this.#faults.clear('checkpoint-failed');
      if (log - checkpointed < largeWalPages) this.#faults.clear('wal-large');
      else this.#faults.report('wal-large', `a reader holds ${log - checkpointed} pages in the WAL: find the process that never ends its read`);
    });
  }

  #guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.#faults.report('checkpoint-failed', `the WAL could not be copied into the database: ${(error as Error).message}`, error);
    }
  }
}

/**
 * SQLite pads a commit to whole sectors (psow=0). A disk that is full between the frame that commits and its padding has a
 * whole transaction in the WAL, for which the next process would take it. A change that is none is written over its
 * beginning; where even that finds no room, the next write does it.
 */
export function overwriteFailedCommit(db: DatabaseSync): void {
  try {
    db.exec('BEGIN IMMEDIATE');
    // Twice, because SQLite does not write what stays the same.
    db.exec('UPDATE store_meta SET has_ledger = NOT has_ledger; UPDATE store_meta SET has_ledger = NOT has_ledger');
    db.exec('COMMIT');
  } catch {
    if (db.isTransaction) db.exec('ROLLBACK');
  }
}
