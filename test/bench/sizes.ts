// How much is done of everything: enough for a median that stands, or as little as shows that it runs.
import type { Repeats } from './measure.ts';

export interface Sizes {
  write: Repeats;
  /** A transaction, which the peer does as several. */
  together: Repeats;
  read: Repeats;
  list: Repeats;
  bulk: Repeats;
  snapshot: Repeats;
  /** Rounds of things that are done once in each: opening a file, starting a process. */
  rounds: number;
  /** Rows of the log that everything should be as fast with as with few. */
  longLog: number;
  /** Rows that the walks go over. */
  walked: number;
  walks: number;
  /** Operations that are counted by strace. */
  traced: number;
  /** Operations whose bytes are counted, and after which the memory is. */
  counted: number;
  memoryRounds: number;
  /** The days that a report is of. */
  reportDays: number;
}

export const full: Sizes = {
  write: { batches: 31, size: 100 },
  together: { batches: 31, size: 30 },
  read: { batches: 31, size: 5_000 },
  list: { batches: 31, size: 200 },
  bulk: { batches: 15, size: 2_000 },
  snapshot: { batches: 31, size: 30 },
  rounds: 21,
  longLog: 10_000_000,
  walked: 1_000_000,
  walks: 3,
  traced: 100,
  counted: 10_000,
  memoryRounds: 3,
  reportDays: 366,
};

export const quick: Sizes = {
  write: { batches: 1, size: 5 },
  together: { batches: 1, size: 2 },
  read: { batches: 1, size: 5 },
  list: { batches: 1, size: 2 },
  bulk: { batches: 1, size: 20 },
  snapshot: { batches: 1, size: 2 },
  rounds: 1,
  longLog: 20_000,
  walked: 1_000,
  walks: 1,
  traced: 5,
  counted: 50,
  memoryRounds: 1,
  reportDays: 20,
};
