// Checkpoints: when the WAL is copied into the database, because SQLite's own auto-checkpoint would swallow its errors,
// and what a commit that failed leaves in the WAL.
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Faults } from './faults.ts';
import { inTransaction } from './handle.ts';

// A larger checkpoint writes a hot page once instead of many times, but beyond 1,000 pages next to nothing is gained
// (test/bench/README.md). 1,000 pages keep the WAL at about 4 MB and a checkpoint's pause at some milliseconds.
export const checkpointPages = 1_000;
// A statement changes a page or two, so the WAL is counted only once in so many statements.
const countedStatements = 100;
// A reader that never ends keeps the WAL from being reused, which is a finding from 64 MB on.
const largeWalPages = 16_000;

interface Progress {
  /** Pages in the WAL, and how many of them are in the database as well. */
  log: number;
  checkpointed: number;
}

export class Checkpoints {
  readonly #faults: Faults;
  /** Counts the pages of the WAL without I/O; after the WAL was begun anew, the pages since then. */
  readonly #count: StatementSync;
  /** Copies the pages that no reader holds back. PASSIVE waits for nobody and blocks nobody. */
  readonly #copy: StatementSync;
  #nextAt = checkpointPages;
  #uncounted = 0;

  constructor(db: DatabaseSync, faults: Faults) {
    this.#faults = faults;
    this.#count = db.prepare('PRAGMA wal_checkpoint(NOOP)');
    this.#copy = db.prepare('PRAGMA wal_checkpoint(PASSIVE)');
  }

  /** Runs a checkpoint once the WAL is long enough; called after a commit of so many statements. Never throws. */
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

  /** Runs a checkpoint. A failure is a finding and not an error, because the WAL still holds every commit. */
  run(): void {
    this.#guard(() => {
      const { log, checkpointed } = this.#copy.get() as unknown as Progress;
      this.#faults.clear('checkpoint-failed');
      const held = log - checkpointed;
      const advice = 'find the process that never ends its read';
      if (held < largeWalPages) this.#faults.clear('wal-large');
      else this.#faults.report('wal-large', `a reader holds ${held} pages in the WAL: ${advice}`);
    });
  }

  #guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      const message = `the WAL could not be copied into the database: ${(error as Error).message}`;
      this.#faults.report('checkpoint-failed', message, error);
    }
  }
}

/**
 * Overwrites in the WAL a transaction whose COMMIT failed with one that changes nothing. SQLite pads a commit to whole
 * sectors (psow=0): where the disk is full between the frame that commits and its padding, the whole transaction is in
 * the WAL, and the next process would take it for committed. Where even this finds no room, the next write does it.
 */
export function overwriteFailedCommit(db: DatabaseSync): void {
  try {
    // The value is changed and changed back, because SQLite does not write a value that stays the same.
    const sql = 'UPDATE store_meta SET has_ledger = NOT has_ledger; UPDATE store_meta SET has_ledger = NOT has_ledger';
    inTransaction(db, () => db.exec(sql));
  } catch {
    // The error of the COMMIT is the one to report; a transaction that stays open makes the next BEGIN fail.
  }
}
