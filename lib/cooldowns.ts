// Cooldowns: their rows, read strictly, and when each is over by a clock that may be wrong.
import type { CommitParticipant } from './commit-participant.ts';
import type { Connection } from './connection.ts';
import { StoreError } from './errors.ts';
import { isText, parseInstant, show } from './values.ts';

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

/** What a read found of a cooldown, with the texts of the row that it belongs to. */
interface Noted {
  until: unknown;
  setAt: unknown;
  clockBehindAt: string | null;
}

/**
 * Knows since when the clock is behind the moment at which a cooldown was set. Such a cooldown lasts no longer than it was set
 * for, counted from when that was first seen: a clock that was ahead would block an entry for years otherwise. Its end stays
 * as it was set, because a machine without a battery starts in 1970, and is right again once the network comes. A read finds
 * this out and the next write records it: a read never writes.
 */
export class CooldownClock implements CommitParticipant {
  readonly #connection: Connection;
  readonly #noted = new Map<string, Noted>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** When the cooldown is over, by the clock `now`. Throws `ERR_STORE_CORRUPT` for a row that cannot be right. */
  end(entryId: string, columns: CooldownColumns, now: Date): Date {
    const [until, setAt, stored] = columns;
    const end = parseInstant(until);
    const set = setAt === null ? undefined : parseInstant(setAt);
    const isSound = end && (set || setAt === null) && (stored === null || parseInstant(stored));
    if (!isSound || typeof entryId !== 'string') throw damaged(entryId, columns); // an adopted table may have a NULL key
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
  }

  begin(): void {}

  prepare(): void {
    for (const [entryId, { until, setAt, clockBehindAt }] of this.#noted) {
      const sql = 'UPDATE cooldowns SET clock_behind_at = ? WHERE entry_id = ? AND until = ? AND set_at = ?';
      this.#connection.run(sql, clockBehindAt, entryId, until as string, setAt as string);
    }
  }

  committed(): void {
    this.#noted.clear();
  }

  abandoned(): void {}
}

function damaged(entryId: unknown, [until, setAt, clockBehindAt]: CooldownColumns): StoreError {
  const rest = [setAt, clockBehindAt].filter((value) => value !== null).map((value) => `, ${show(value)}`);
  return new StoreError('ERR_STORE_CORRUPT', `the cooldown of ${show(entryId)} cannot be read: ${show(until)}${rest.join('')}`);
}

/**
 * Sets a cooldown; with a ledger the change is an event. `setAt`: when it was set where that is not now; null where that is
 * unknown.
 */
export function setCooldown(connection: Connection, entryId: string, until: string, setAt?: string | null): void {
  const now = connection.now().toISOString();
  setCooldownRow(connection, entryId, until, setAt === undefined ? now : setAt);
  const isNow = setAt === undefined || setAt === now;
  connection.mirroring?.record({ type: 'cooldown_set', entryId, until, ...(isNow ? undefined : { setAt }) });
}

/** Removes a cooldown; with a ledger the change is an event, if there was one. */
export function clearCooldown(connection: Connection, entryId: string): void {
  if (deleteCooldownRow(connection, entryId)) connection.mirroring?.record({ type: 'cooldown_cleared', entryId });
}

/** Changes the row alone. */
export function setCooldownRow(connection: Connection, entryId: string, until: string, setAt: string | null): void {
  const sql = `INSERT INTO cooldowns (entry_id, until, set_at) VALUES (?, ?, ?)
    ON CONFLICT (entry_id) DO UPDATE SET until = excluded.until, set_at = excluded.set_at, clock_behind_at = NULL`;
  connection.run(sql, entryId, until, setAt);
}

/** Deletes the row alone, and says whether there was one. */
export function deleteCooldownRow(connection: Connection, entryId: string): boolean {
  return connection.run('DELETE FROM cooldowns WHERE entry_id = ?', entryId) > 0;
}

const columnsSql = 'SELECT until, set_at, clock_behind_at FROM cooldowns WHERE entry_id = ?';

/** When an entry's cooldown is over; `undefined` where it has none. */
export function cooldownOf(connection: Connection, entryId: string): Date | undefined {
  const row = connection.get<CooldownColumns>(columnsSql, entryId);
  return row && connection.cooldownClock.end(entryId, row, connection.now());
}

/**
 * Whether the entry's own cooldown lasts at least as long as another, both by the clock of now and as they were set: a clock
 * that is behind now, as after a power cut, will be right again.
 */
export function isCovered(connection: Connection, { entryId, until, setAt }: CooldownTexts): boolean {
  const row = connection.get<CooldownColumns>(columnsSql, entryId);
  if (!row) return false;
  const now = connection.now();
  const { cooldownClock } = connection;
  const isLater = cooldownClock.end(entryId, row, now) >= cooldownClock.end(entryId, [until, setAt ?? null, null], now);
  return isLater && parseInstant(row[0])! >= new Date(until);
}

/** All cooldowns by entry id, those that are over included. */
export function allCooldowns(connection: Connection): Cooldown[] {
  const sql = 'SELECT entry_id, until, set_at, clock_behind_at FROM cooldowns ORDER BY entry_id';
  const rows = connection.all<[string, ...CooldownColumns]>(sql);
  const now = connection.now();
  return rows.map(([entryId, ...columns]) => ({ entryId, until: connection.cooldownClock.end(entryId, columns, now) }));
}

/** All cooldowns that can be read, by entry id. A damaged row stays the database's. */
export function readableCooldowns(connection: Connection): CooldownTexts[] {
  return readable(connection.all('SELECT * FROM cooldowns ORDER BY entry_id'));
}

const dayMs = 86_400_000;

/** Those that were not over at an instant, by entry id; those that ended a day before and longer ago are not read. */
export function cooldownsSince(connection: Connection, since: Date): CooldownTexts[] {
  // Another writer's text may have an offset, of less than a day. All columns: a copy of a store that has not been migrated
  // lacks the last ones. The plus keeps SQLite from reading all rows in the order of the other index.
  const sql = 'SELECT * FROM cooldowns WHERE until > ? ORDER BY +entry_id';
  const rows = connection.all<unknown[]>(sql, new Date(since.getTime() - dayMs).toISOString());
  return readable(rows).filter(({ until }) => new Date(until) > since);
}

function readable(rows: readonly unknown[][]): CooldownTexts[] {
  return rows.flatMap(([entryId, until, setAt]) => {
    const end = isText(entryId) ? parseInstant(until) : undefined;
    const set = parseInstant(setAt);
    if (!end || (setAt != null && !set)) return [];
    return [{ entryId: entryId as string, until: end.toISOString(), ...(set ? { setAt: set.toISOString() } : undefined) }];
  });
}
