// Which rows of a log a follower has passed, and where it goes on in a log that an older copy has taken the place of.
import type { Anchor } from '../core/chain.ts';
import type { AuditLog } from '../core/log.ts';

/** How many rows are remembered at least: an older backup of a kiosk's store is rarely more than this behind. */
export const remembered = 10_000;

/** The rows that were passed, oldest first: of each its id and hash, by which it is known in any copy of its log. */
export class PassedRows {
  #rows: Anchor[] = [];
  /** The hashes of passed rows that the log lacked later. A ledger brings such rows back, and they are not new then. */
  readonly #abandoned = new Set<string>();
  /** The last row that was passed when following began. */
  #first = 0;
  #hasForgotten = false;

  /** Begins anew, and forgets all but what the rows were; `rows` are those before the first one that is shown. */
  begin(rows: readonly Anchor[]): void {
    this.#abandon(this.#rows);
    this.#rows = [...rows];
    this.#first = rows.at(-1)?.id ?? 0;
    this.#hasForgotten = false;
  }

  get last(): Anchor | undefined {
    return this.#rows.at(-1);
  }

  /** Whether a row was passed that the log then lacked. */
  hasLost({ hash }: Anchor): boolean {
    return this.#abandoned.has(hash);
  }

  add(rows: readonly Anchor[]): void {
    for (const row of rows) this.#rows.push(row); // not spread: a call takes only so many arguments
    if (this.#rows.length < 2 * remembered) return;
    const kept = this.#rows.slice(-remembered);
    this.#hasForgotten ||= kept[0]!.id > this.#first;
    this.#rows = kept;
  }

  /** Whether the last row is still in a log, or was. */
  isIn(log: AuditLog): boolean {
    return this.last === undefined || isIn(log, this.last);
  }

  /**
   * How many of the rows a log has. Each row is chained to the one before it, so that a log which has a row has all of
   * those before it.
   */
  sharedWith(log: AuditLog): number {
    let [shared, beyond] = [0, this.#rows.length + 1];
    while (beyond - shared > 1) {
      const middle = (shared + beyond) >> 1;
      if (isIn(log, this.#rows[middle - 1]!)) shared = middle;
      else beyond = middle;
    }
    return shared;
  }

  /** Forgets all but the first rows, but for what they were. */
  goBackTo(count: number): void {
    this.#abandon(this.#rows.splice(count));
  }

  #abandon(rows: readonly Anchor[]): void {
    for (const { hash } of rows) this.#abandoned.add(hash);
    for (const hash of this.#abandoned) {
      if (this.#abandoned.size <= 2 * remembered) break;
      this.#abandoned.delete(hash);
    }
  }

  /** Whether there are rows that were passed while following, and that are not remembered any more. */
  get hasForgotten(): boolean {
    return this.#hasForgotten;
  }
}

function isIn(log: AuditLog, row: Anchor): boolean {
  const beginning = log.beginning();
  return row.id === beginning.id ? row.hash === beginning.hash : log.had(row);
}
