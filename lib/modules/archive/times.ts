// Looking for rows of a log by their times, which clocks have given that jump.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ModuleConnection } from '../../core/door.ts';
import { awaitCheckpoint } from '../../ledger/turn.ts';

// A page of this many rows is looked through in some milliseconds.
const pageRows = 5_000;

/** Looks for rows by their times, page by page. */
export class Times {
  readonly #connection: ModuleConnection;
  readonly #begun: number;
  readonly #head: number;
  readonly #now: Date;
  readonly #signal: AbortSignal | undefined;

  constructor(connection: ModuleConnection, signal: AbortSignal | undefined) {
    const { log } = connection.parts;
    const ends = connection.readTogether('read where the log begins and ends', () => [log.beginning(), log.head()]);
    this.#connection = connection;
    this.#begun = ends[0]!.id;
    this.#head = ends[1]?.id ?? 0;
    this.#now = connection.now();
    this.#signal = signal;
  }

  /**
   * The first row whose time is not before `date`; the one behind the last where there is none. A time that cannot be
   * read, as an adopted row may have, goes with the rows around it. So does one that is still to come, where an older
   * row stands behind it: the clock was wrong then, and the row would keep the log from being shortened for years.
   */
  async firstNotBefore(date: Date): Promise<number> {
    const first = await this.#next(date, this.#begun, 0);
    if (!first?.isToCome) return first?.id ?? this.#head + 1;
    const lastBefore = await this.#lastBefore(date, first.id);
    return (await this.#next(date, first.id - 1, lastBefore))?.id ?? this.#head + 1;
  }

  /**
   * The first row behind `after` whose time is not before `date`, and whether it is still to come; up to `wrongUpTo`
   * only one whose time is not.
   */
  async #next(date: Date, after: number, wrongUpTo: number): Promise<{ id: number; isToCome: boolean } | undefined> {
    const sql = `SELECT id, unixepoch(timestamp, 'subsec') > unixepoch(?4, 'subsec') AS is_to_come FROM audit_log
      WHERE id > ?1 AND id <= ?2 AND unixepoch(timestamp, 'subsec') >= unixepoch(?3, 'subsec')
        AND (id > ?5 OR NOT is_to_come) ORDER BY id LIMIT 1`;
    const nextSql = 'SELECT id FROM audit_log WHERE id > ? ORDER BY id LIMIT 1';
    const now = this.#now.toISOString();
    for (let from = after; from < this.#head; ) {
      const to = from + pageRows;
      const row = this.#get<[number, number]>(sql, from, to, date.toISOString(), now, wrongUpTo);
      if (row) return { id: row[0], isToCome: row[1] === 1 };
      from = Math.max(to, (this.#get<[number]>(nextSql, to)?.[0] ?? this.#head + 1) - 1); // adopted ids have gaps
      await this.#pause();
    }
    return undefined;
  }

  /** The last row behind `after` whose time is before `date`; 0 where there is none. */
  async #lastBefore(date: Date, after: number): Promise<number> {
    const sql = `SELECT id FROM audit_log
      WHERE id > ?1 AND id <= ?2 AND unixepoch(timestamp, 'subsec') < unixepoch(?3, 'subsec') ORDER BY id DESC LIMIT 1`;
    for (let to = this.#head; to > after; to -= pageRows) {
      const row = this.#get<[number]>(sql, Math.max(after, to - pageRows), to, date.toISOString());
      if (row) return row[0];
      await this.#pause();
    }
    return 0;
  }

  #get<Row extends readonly unknown[]>(sql: string, ...values: (number | string)[]): Row | undefined {
    return this.#connection.read('look for the first row to stay', () => this.#connection.get<Row>(sql, ...values));
  }

  async #pause(): Promise<void> {
    await awaitCheckpoint(this.#connection.parts.connection);
    await nextTurn();
    this.#signal?.throwIfAborted();
  }
}
