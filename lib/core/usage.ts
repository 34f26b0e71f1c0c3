// Usage per entry and day (`addUsage`, `getUsage`, `getUsageForDay`, `getStatus`): its rows, read strictly. What cannot
// be right is an error and never a friendlier value, because a total that reads as 0 would hand out the quota again.
import { isText, show } from '../values/checks.ts';
import { type DayPart, isDay } from '../values/days.ts';
import { StoreError } from '../values/errors.ts';
import { checkJsonLength } from '../values/json.ts';
import type { Connection } from './connection.ts';
import type { CooldownColumns, Cooldowns } from './cooldowns.ts';
import type { AuditLog } from './log.ts';

/**
 * What a launcher shows of an entry. `cooldownUntil` may have passed: a cooldown is over when it is not in the future.
 */
export interface EntryStatus {
  entryId: string;
  durationMs: number;
  cooldownUntil?: Date;
}

/** An entry's total of a day. */
export interface EntryUsage extends DayPart {
  entryId: string;
}

/** The largest duration that is exact. */
export const maxMs: number = Number.MAX_SAFE_INTEGER;
/** Whether the columns of a row are such that a method can have written them. */
const isSoundSql = `typeof(duration_secs) = 'integer' AND duration_secs BETWEEN 0 AND ${Math.floor(maxMs / 1000)}
    AND typeof(carry_ms) = 'integer' AND carry_ms BETWEEN 0 AND 999`;

/** The total of a row in milliseconds; NULL for one that cannot be right. */
export const totalSql: string =
  `CASE WHEN ${isSoundSql} AND duration_secs * 1000 + carry_ms <= ${maxMs} THEN duration_secs * 1000 + carry_ms END`;

// The CASTs are there because node:sqlite binds every number as REAL, whose division leaves a fraction. The WHERE keeps
// a damaged total, and one that would pass 2^53 - 1 ms, as they are; no row comes back then.
const addSql = `INSERT INTO usage (entry_id, day, duration_secs, carry_ms)
  VALUES (?1, ?2, CAST(?3 AS INTEGER), CAST(?4 AS INTEGER))
  ON CONFLICT (entry_id, day) DO UPDATE SET
    duration_secs = duration_secs + CAST(?3 AS INTEGER) + (carry_ms + CAST(?4 AS INTEGER)) / 1000,
    carry_ms = (carry_ms + CAST(?4 AS INTEGER)) % 1000
  WHERE ${isSoundSql}
    AND duration_secs * 1000 + carry_ms + CAST(?3 AS INTEGER) * 1000 + CAST(?4 AS INTEGER) <= ${maxMs}
  RETURNING duration_secs, carry_ms`;

const statusSql = `SELECT entry.key, usage.duration_secs, usage.carry_ms, cooldowns.entry_id IS NOT NULL,
    cooldowns.until, cooldowns.set_at, cooldowns.clock_behind_at
  FROM json_each(?1) AS entry
  LEFT JOIN usage ON usage.entry_id = entry.value AND usage.day = ?2
  LEFT JOIN cooldowns ON cooldowns.entry_id = entry.value`;

type StatusRow = [index: number, secs: number | null, carry: number | null, hasCooldown: number, ...CooldownColumns];

/** The usage of a store. */
export class Usage {
  readonly #connection: Connection;
  readonly #log: AuditLog;
  readonly #cooldowns: Cooldowns;

  constructor(connection: Connection, log: AuditLog, cooldowns: Cooldowns) {
    this.#connection = connection;
    this.#log = log;
    this.#cooldowns = cooldowns;
  }

  /** Adds to a day's total, records an event where there is a ledger, and gives the new total. */
  add(entryId: string, day: string, durationMs: number): number {
    const total = this.addRow(entryId, day, durationMs);
    if (this.#log.ledger) this.#log.recordChange({ type: 'usage_added', entryId, day, durationMs });
    return total;
  }

  /** Adds to a day's total without recording an event. */
  addRow(entryId: string, day: string, durationMs: number): number {
    const [secs, carry] = [Math.floor(durationMs / 1000), durationMs % 1000];
    const row = this.#connection.get<[number, number]>(addSql, entryId, day, secs, carry);
    if (row) return totalMs(row[0], row[1], entryId, day);
    const total = this.total(entryId, day); // a damaged total throws here
    const what = `${durationMs} on top of ${total} would pass 2^53 - 1 for ${show(entryId)} on ${day}`;
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `durationMs is too large: ${what}`);
  }

  /**
   * Adds to a day's total, or takes off it, without recording an event. Throws `ERR_STORE_INVALID_ARGUMENT` where the
   * total would be less than nothing.
   */
  correctRow(entryId: string, day: string, durationMs: number): number {
    const before = this.total(entryId, day);
    const after = before + durationMs;
    if (after < 0 || !Number.isSafeInteger(after)) {
      const what = `${durationMs} on top of ${before} would be ${after} for ${show(entryId)} on ${day}`;
      throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `durationMs must leave a total from 0 to 2^53 - 1: ${what}`);
    }
    this.setRow(entryId, day, after);
    return after;
  }

  /** Sets a day's total without recording an event. */
  setRow(entryId: string, day: string, totalMs: number): void {
    const sql = `INSERT INTO usage (entry_id, day, duration_secs, carry_ms)
      VALUES (?1, ?2, CAST(?3 AS INTEGER), CAST(?4 AS INTEGER))
      ON CONFLICT (entry_id, day) DO UPDATE SET duration_secs = CAST(?3 AS INTEGER), carry_ms = CAST(?4 AS INTEGER)`;
    this.#connection.run(sql, entryId, day, Math.floor(totalMs / 1000), totalMs % 1000);
  }

  /**
   * Sets totals, each named by the JSON of an entry and a day, to what the events of a ledger add up to. Reads the
   * whole log, without the events of another writer's, which may hold anything.
   */
  addUp(keys: readonly string[]): void {
    const sql = `SELECT json_extract(event_data, '$.entryId'), json_extract(event_data, '$.day'),
        sum(json_extract(event_data, '$.durationMs'))
      FROM audit_log
      WHERE id > (SELECT max(id) FROM audit_log WHERE event_type = 'ledger_attached')
        AND event_type IN ('usage_added', 'usage_corrected')
        AND CASE WHEN json_valid(event_data) THEN json_type(event_data, '$.durationMs') = 'integer'
          AND json_extract(event_data, '$.durationMs') BETWEEN -${maxMs} AND ${maxMs} END
      GROUP BY 1, 2`;
    for (const [entryId, day, totalMs] of this.#connection.all<[string, string, number]>(sql)) {
      if (keys.includes(JSON.stringify([entryId, day])) && totalMs >= 0) this.setRow(entryId, day, totalMs);
    }
  }

  /** The total of an entry on a day; 0 where there is none. */
  total(entryId: string, day: string): number {
    const sql = 'SELECT duration_secs, carry_ms FROM usage WHERE entry_id = ? AND day = ?';
    const row = this.#connection.get<[number, number]>(sql, entryId, day);
    return row ? totalMs(row[0], row[1], entryId, day) : 0;
  }

  range(entryId: string, from: string, to: string): DayPart[] {
    const sql = `SELECT day, duration_secs, carry_ms FROM usage
      WHERE entry_id = ? AND day BETWEEN ? AND ? ORDER BY day`;
    const rows = this.#connection.all<[string, number, number]>(sql, entryId, from, to);
    return rows.map(([day, secs, carry]) => ({ day, durationMs: totalMs(secs, carry, entryId, day) }));
  }

  forDay(day: string): { entryId: string; durationMs: number }[] {
    const sql = 'SELECT entry_id, duration_secs, carry_ms FROM usage WHERE day = ? ORDER BY entry_id';
    const rows = this.#connection.all<[string, number, number]>(sql, day);
    return rows.map(([entryId, secs, carry]) => ({ entryId, durationMs: totalMs(secs, carry, entryId, day) }));
  }

  status(entryIds: readonly string[], day: string): EntryStatus[] {
    const statuses: EntryStatus[] = entryIds.map((entryId) => ({ entryId, durationMs: 0 }));
    checkJsonLength('entryIds', entryIds);
    const rows = this.#connection.all<StatusRow>(statusSql, JSON.stringify(entryIds), day);
    const now = this.#connection.now();
    for (const [index, secs, carry, hasCooldown, ...columns] of rows) {
      const status = statuses[index]!;
      if (secs !== null) status.durationMs = totalMs(secs, carry, status.entryId, day);
      if (hasCooldown === 1) status.cooldownUntil = this.#cooldowns.end(status.entryId, columns, now);
    }
    return statuses;
  }

  /**
   * The two days to which rows were added last, the last one first. The snapshot file carries them, because they need
   * not be the clock's. The order of the rows tells them, because a wrong clock cannot.
   */
  lastDays(): string[] {
    const sql = `WITH newest AS (SELECT day FROM usage ORDER BY rowid DESC LIMIT 1)
      SELECT day FROM newest UNION ALL
      SELECT day FROM (SELECT day FROM usage WHERE day <> (SELECT day FROM newest) ORDER BY rowid DESC LIMIT 1)`;
    return this.#connection.all<[string]>(sql).map(([day]) => day);
  }

  /**
   * All usage that can be read, in constant memory. The days that were written last come last, so that whoever writes
   * it in this order writes them last too.
   */
  *readableInOrder(): Generator<EntryUsage, void, undefined> {
    const [last, previous] = this.lastDays();
    const days = this.#connection.all<[string]>('SELECT DISTINCT day FROM usage').map(([day]) => day);
    const rank = (day: string): number => (day === last ? 2 : day === previous ? 1 : 0);
    days.sort((a, b) => rank(a) - rank(b));
    for (const day of days) yield* this.readable([day]);
  }

  /** Deletes the totals of the days before a day, and gives how many. */
  forget(before: string): number {
    return this.#connection.run('DELETE FROM usage WHERE day < ?', before);
  }

  /** The usage of these days that can be read. Damaged rows are left out. */
  readable(days: readonly string[]): EntryUsage[] {
    const sql = `SELECT entry_id, day, ${totalSql} AS total FROM usage
      WHERE day IN (SELECT value FROM json_each(?)) AND total IS NOT NULL ORDER BY day, entry_id`;
    const rows = this.#connection.all<[string, string, number]>(sql, JSON.stringify(days));
    // An adopted table may hold an entry id or a day that no method accepts, with which the whole snapshot file or
    // ledger would be refused.
    const isReadable = rows.filter(([entryId, day]) => isText(entryId) && isDay(day));
    return isReadable.map(([entryId, day, durationMs]) => ({ entryId, day, durationMs }));
  }
}

function totalMs(secs: number, carry: number | null, entryId: string, day: string): number {
  const isCarry = carry !== null && Number.isSafeInteger(carry) && carry >= 0 && carry <= 999;
  const total = Number.isSafeInteger(secs) && secs >= 0 && isCarry ? secs * 1000 + carry : NaN;
  if (Number.isSafeInteger(total)) return total;
  const stored = `${show(secs)} s and ${show(carry)} ms`;
  throw new StoreError('ERR_STORE_CORRUPT', `the usage of ${show(entryId)} on ${show(day)} cannot be read: ${stored}`);
}
