// The port for a ledger: what the core asks of one. It imports nothing of lib/ledger/, which satisfies it.
import type { Anchor } from './chain.ts';
import type { LastParticipant } from './commit-participant.ts';
import type { EncodedEvent, EventTexts } from './events.ts';

/** A file with a part of a ledger that was set aside before the ledger was written again. */
export interface SetAside {
  path: string;
  bytes: number;
  sha256: string;
  /** `torn`: the end, as a power cut leaves it. `damaged`: anything else, which only `recover` sets aside. */
  kind: 'torn' | 'damaged';
}

/** What attaching a ledger found and did. */
export interface Attached {
  /** How many rows the database lacked. */
  replayed: number;
  /** How many of its last lines the ledger lacked, where the store had a ledger already and nothing was set aside. */
  written: number;
  setAside: SetAside[];
  /** The ids of rows that only the ledger had, behind damage. */
  lost?: { from: number; to: number };
}

/** Keeps the log and its ledger equal in every commit, once it is attached. */
export interface LedgerPort extends LastParticipant {
  /** Whether the store has been written to and has no ledger yet. */
  readonly isFirst: boolean;
  /** Makes the ledger where there is none, makes it equal to the log, and begins ledger mode or signing; for open. */
  attach(): Attached;
  /** Whether the store had this ledger before the open transaction began. */
  readonly isAttached: boolean;
  /** Refuses an event that is too long for a line of the ledger. Throws `ERR_STORE_INVALID_ARGUMENT`. */
  checkEvent(event: EventTexts): void;
  /** The events as they are to be stored, each with the decision on it. Throws `ERR_STORE_POLICY`. */
  permit(events: readonly EncodedEvent[]): readonly EncodedEvent[];
  /** Notes that the open transaction writes what no event records: a snapshot, or rows of a module. */
  noteOther(): void;
  /** The signature of a row's hash; `null` where there is no key. */
  sign(hash: string): string | null;
  /** Records anew what only events up to this row account for, which are about to be archived; inside a transaction. */
  carryOver(archivedId: number): void;
  /** Begins the ledger behind a row, as the log does; durable when it resolves. */
  cutBehind(row: Anchor, signal: AbortSignal | undefined): Promise<void>;
  /** Ends ledger mode by an event, inside a transaction; `end` follows when that has committed. */
  detach(): void;
  /** Takes part in no further commit, and closes the file. */
  end(): void;
  /** Closes the file, together with the store or where the store could not be opened. */
  close(): void;
}
