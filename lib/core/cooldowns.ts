// Cooldowns: their rows, read strictly, and when each is over by a clock that may be wrong.
import { isText, parseInstant, show } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';
import type { CommitParticipant } from './commit-participant.ts';
import type { Connection } from './connection.ts';
import type { AuditLog } from './log.ts';

/** An entry's cooldown; over when `until` is not in the future. */
export interface Cooldown {
  entryId: string;
  until: Date;
}

/** A row as texts. `setAt`: when it was set, by the store's clock; absent where that is unknown. */
export interface CooldownTexts {
  entryId: string;
  until: string;
  setAt?: string;
}

/** The columns until, set_at and clock_behind_at, as SQLite has them. */
export type CooldownColumns = readonly [until: unknown, setAt: unknown, clockBehindAt: unknown];

/** What a read found out about a cooldown, with the values of the row for which that holds. */
interface Noted {
  until: unknown;
  setAt: unknown;
  clockBehindAt: string | null;
}

const columnsSql = 'SELECT until, set_at, clock_behind_at FROM cooldowns WHERE entry_id = ?';
const dayMs = 86_400_000;

/**
 * The cooldowns of a store. Where the clock is behind the time at which a cooldown was set, the cooldown lasts no
 * longer than it was set for, counted from the first read that saw this: otherwise a clock that was once ahead would
 * block an entry for years. The stored end is not changed, because a machine without a battery starts in 1970, and is
 * right again once the network comes. The next write records what a read found out, because a read never writes.
 */
export class Cooldowns implements CommitParticipant {
  readonly #connection: Connection;
  readonly #log: AuditLog;
  readonly #noted = new Map<string, Noted>();

  constructor(connection: Connection, log: AuditLog) {
    this.#connection = connection;
    this.#log = log;
  }

  /**
   * Sets a cooldown and, with a ledger, records an event. `setAt` is when it was set where that is not now; null where
   * that is unknown.
   */
  set(entryId: string, until: string, setAt?: string | null): void {
    const now = this.#connection.now().toISOString();
    this.setRow(entryId, until, setAt === undefined ? now : setAt);
    const isNow = setAt === undefined || setAt === now;
    this.#log.recordChange({ type: 'cooldown_set', entryId, until, ...(isNow ? undefined : { setAt }) });
  }

  /** Removes a cooldown and, with a ledger, records an event if there was one. */
  clear(entryId: string): void {
    if (this.deleteRow(entryId)) this.#log.recordChange({ type: 'cooldown_cleared', entryId });
  }

  /** Sets a cooldown without recording an event. */
  setRow(entryId: string, until: string, setAt: string | null): void {
    const sql = `INSERT INTO cooldowns (entry_id, until, set_at) VALUES (?, ?, ?)
      ON CONFLICT (entry_id) DO UPDATE SET until = excluded.until, set_at = excluded.set_at, clock_behind_at = NULL`;
    this.#connection.run(sql, entryId, until, setAt);
  }

  /** Deletes a cooldown without recording an event, and says whether there was one. */
  deleteRow(entryId: string): boolean {
    return this.#connection.run('DELETE FROM cooldowns WHERE entry_id = ?', entryId) > 0;
  }

  /** When an entry's cooldown is over; `undefined` where it has none. */
  until(entryId: string): Date | undefined {
    const row = this.#connection.get<CooldownColumns>(columnsSql, entryId);
    return row && this.end(entryId, row, this.#connection.now());
  }

  /** All cooldowns by entry id, those that are over included. */
  all(): Cooldown[] {
    const sql = 'SELECT entry_id, until, set_at, clock_behind_at FROM cooldowns ORDER BY entry_id';
    const rows = this.#connection.all<[string, ...CooldownColumns]>(sql);
    const now = this.#connection.now();
    return rows.map(([entryId, ...columns]) => ({ entryId, until: this.end(entryId, columns, now) }));
  }

  /**
   * Whether the entry's stored cooldown lasts at least as long as the given one, both by the present clock and as they
   * were set, because a clock that is behind now, as after a power cut, will be right again.
   */
  isCovered({ entryId, until, setAt }: CooldownTexts): boolean {
    const row = this.#connection.get<CooldownColumns>(columnsSql, entryId);
    if (!row) return false;
    const now = this.#connection.now();
    const isLater = this.end(entryId, row, now) >= this.end(entryId, [until, setAt ?? null, null], now);
    return isLater && parseInstant(row[0])! >= new Date(until);
  }

  /** All cooldowns that can be read, by entry id. Damaged rows are left out. */
  readable(): CooldownTexts[] {
    return readable(this.#connection.all('SELECT entry_id, until, set_at FROM cooldowns ORDER BY entry_id'));
  }

  /** The cooldowns that can be read and end after `since`, by entry id. Rows that end a day before are not read. */
  readableSince(since: Date): CooldownTexts[] {
    // Only a store that is read can have an older schema, as a backup may: that of a version before 5 has no set_at.
    const columns = "SELECT name FROM pragma_table_info('cooldowns') WHERE name = 'set_at'";
    const [setAt] = this.#connection.reader ? (this.#connection.get<[string]>(columns) ?? ['NULL']) : ['set_at'];
    // The SQL begins a day earlier, because another writer's text may have an offset of less than a day. The plus keeps
    // SQLite from reading all rows in the order of the other index.
    const sql = `SELECT entry_id, until, ${setAt} FROM cooldowns WHERE until > ? ORDER BY +entry_id`;
    const rows = this.#connection.all<unknown[]>(sql, new Date(since.getTime() - dayMs).toISOString());
    return readable(rows).filter(({ until }) => new Date(until) > since);
  }

  /** When a cooldown is over, by the clock `now`. Throws `ERR_STORE_CORRUPT` for a row that cannot be right. */
  end(entryId: string, columns: CooldownColumns, now: Date): Date {
    const [until, setAt, stored] = columns;
    const end = parseInstant(until);
    const set = setAt === null ? undefined : parseInstant(setAt);
    const isSound = end && (set || setAt === null) && (stored === null || parseInstant(stored));
    // An adopted table may have a NULL key.
    if (!isSound || typeof entryId !== 'string') throw damaged(entryId, columns);
    if (!set) return end;
    if (set <= now) {
      if (stored !== null || this.#noted.has(entryId)) this.#note(entryId, columns, null);
      return end;
    }
    const left = Math.max(0, end.getTime() - set.getTime());
    return new Date(Math.min(end.getTime(), this.#behindSince(entryId, columns, now).getTime() + left));
  }

  #behindSince(entryId: string, columns: CooldownColumns, now: Date): Date {
    const [until, setAt, stored] = columns;
    const noted = this.#noted.get(entryId);
    const isOfRow = noted !== undefined && noted.until === until && noted.setAt === setAt;
    const since = parseInstant(isOfRow ? noted.clockBehindAt : stored);
    if (since && since <= now) return since;
    this.#note(entryId, columns, now.toISOString()); // seen for the first time, or the clock was set back once more
    return now;
  }

  #note(entryId: string, [until, setAt]: CooldownColumns, clockBehindAt: string | null): void {
    this.#noted.set(entryId, { until, setAt, clockBehindAt });
    this.#connection.join(this);
  }

  prepare(): void {
    const sql = 'UPDATE cooldowns SET clock_behind_at = ? WHERE entry_id = ? AND until = ? AND set_at = ?';
    for (const [entryId, { until, setAt, clockBehindAt }] of this.#noted) {
      this.#connection.run(sql, clockBehindAt, entryId, until as string, setAt as string);
    }
  }

  committed(): void {
    this.#noted.clear();
  }

  /** Takes part in the next transaction, because what the reads have found out is still to be recorded. */
  undone(): void {
    if (this.#noted.size > 0) this.#connection.join(this);
  }
}

function damaged(entryId: unknown, [until, setAt, clockBehindAt]: CooldownColumns): StoreError {
  const rest = [setAt, clockBehindAt].filter((value) => value !== null).map((value) => `, ${show(value)}`);
  const message = `the cooldown of ${show(entryId)} cannot be read: ${show(until)}${rest.join('')}`;
  return new StoreError('ERR_STORE_CORRUPT', message);
}

function readable(rows: readonly unknown[][]): CooldownTexts[] {
  return rows.flatMap(([entryId, until, setAt]) => {
    const end = isText(entryId) ? parseInstant(until) : undefined;
    const set = parseInstant(setAt);
    if (!end || (setAt != null && !set)) return [];
    const texts: CooldownTexts = { entryId: entryId as string, until: end.toISOString() };
    return [set ? { ...texts, setAt: set.toISOString() } : texts];
  });
}
