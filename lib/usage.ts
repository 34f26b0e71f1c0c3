// Usage per entry and day: its rows, read strictly. What cannot be right is an error and never a friendlier value: a total
// that reads as 0 would hand out the quota again.
import { checkJsonLength } from './json-length.ts';
import type { Connection } from './connection.ts';
import type { CooldownColumns } from './cooldowns.ts';
import { isDay } from './days.ts';
import type { DayPart } from './days.ts';
import { StoreError } from './errors.ts';
import { isText, show } from './values.ts';

/** What a launcher shows of an entry. `cooldownUntil` may have passed: a cooldown is over when it is not in the future. */
export interface EntryStatus {
  entryId: string;
  durationMs: number;
  cooldownUntil?: Date;
}

// The CASTs: node:sqlite binds every number as REAL, and REAL division has a fraction. The WHERE keeps a damaged total
// and one that would pass 2^53 - 1 ms as they are; no row comes back then.
const addSql = `INSERT INTO usage (entry_id, day, duration_secs, carry_ms) VALUES (?1, ?2, CAST(?3 AS INTEGER), CAST(?4 AS INTEGER))
  ON CONFLICT (entry_id, day) DO UPDATE SET
    duration_secs = duration_secs + CAST(?3 AS INTEGER) + (carry_ms + CAST(?4 AS INTEGER)) / 1000,
    carry_ms = (carry_ms + CAST(?4 AS INTEGER)) % 1000
  WHERE typeof(duration_secs) = 'integer' AND duration_secs BETWEEN 0 AND 9007199254740 AND typeof(carry_ms) = 'integer' AND carry_ms BETWEEN 0 AND 999
    AND duration_secs * 1000 + carry_ms + CAST(?3 AS INTEGER) * 1000 + CAST(?4 AS INTEGER) <= 9007199254740991
  RETURNING duration_secs, carry_ms`;

/** Adds to a day's total and gives the new one; with a ledger the change is an event. */
export function addUsage(connection: Connection, entryId: string, day: string, durationMs: number): number {
  const total = addUsageRow(connection, entryId, day, durationMs);
  connection.mirroring?.record({ type: 'usage_added', entryId, day, durationMs });
  return total;
}

/** Changes the row alone. */
export function addUsageRow(connection: Connection, entryId: string, day: string, durationMs: number): number {
  connection.usageDays.know();
  const row = connection.get<[number, number]>(addSql, entryId, day, Math.floor(durationMs / 1000), durationMs % 1000);
  if (!row) {
    const total = usageOf(connection, entryId, day); // a damaged total throws here
    throw new StoreError('ERR_STORE_INVALID_ARGUMENT', `durationMs is too large: ${durationMs} on top of ${total} would pass 2^53 - 1 for ${show(entryId)} on ${day}`);
  }
  connection.usageDays.add(day);
  return totalMs(row[0], row[1], entryId, day);
}

/** The total of an entry on a day; 0 where there is none. */
export function usageOf(connection: Connection, entryId: string, day: string): number {
  const row = connection.get<[number, number]>('SELECT duration_secs, carry_ms FROM usage WHERE entry_id = ? AND day = ?', entryId, day);
  return row ? totalMs(row[0], row[1], entryId, day) : 0;
}

export function usageRange(connection: Connection, entryId: string, from: string, to: string): DayPart[] {
  return connection
    .all<[string, number, number]>('SELECT day, duration_secs, carry_ms FROM usage WHERE entry_id = ? AND day BETWEEN ? AND ? ORDER BY day', entryId, from, to)
    .map(([day, secs, carry]) => ({ day, durationMs: totalMs(secs, carry, entryId, day) }));
}

export function usageForDay(connection: Connection, day: string): { entryId: string; durationMs: number }[] {
  return connection
    .all<[string, number, number]>('SELECT entry_id, duration_secs, carry_ms FROM usage WHERE day = ? ORDER BY entry_id', day)
    .map(([entryId, secs, carry]) => ({ entryId, durationMs: totalMs(secs, carry, entryId, day) }));
}

const statusSql = `SELECT entry.key, usage.duration_secs, usage.carry_ms, cooldowns.entry_id IS NOT NULL,
    cooldowns.until, cooldowns.set_at, cooldowns.clock_behind_at
  FROM json_each(?1) AS entry
  LEFT JOIN usage ON usage.entry_id = entry.value AND usage.day = ?2
  LEFT JOIN cooldowns ON cooldowns.entry_id = entry.value`;

type StatusRow = [index: number, secs: number | null, carry: number | null, hasCooldown: number, ...CooldownColumns];

export function statusOf(connection: Connection, entryIds: readonly string[], day: string): EntryStatus[] {
  const statuses: EntryStatus[] = entryIds.map((entryId) => ({ entryId, durationMs: 0 }));
  checkJsonLength('entryIds', entryIds);
  const rows = connection.all<StatusRow>(statusSql, JSON.stringify(entryIds), day);
  const now = connection.now();
  for (const [index, secs, carry, hasCooldown, ...columns] of rows) {
    const status = statuses[index]!;
    if (secs !== null) status.durationMs = totalMs(secs, carry, status.entryId, day);
    if (hasCooldown === 1) status.cooldownUntil = connection.cooldownClock.end(status.entryId, columns, now);
  }
  return statuses;
}

function totalMs(secs: unknown, carry: unknown, entryId: string, day: string): number {
  const total = Number.isSafeInteger(secs) && Number.isSafeInteger(carry) ? (secs as number) * 1000 + (carry as number) : NaN;
  if (!Number.isSafeInteger(total) || (secs as number) < 0 || (carry as number) < 0 || (carry as number) > 999) {
    throw new StoreError('ERR_STORE_CORRUPT', `the usage of ${show(entryId)} on ${show(day)} cannot be read: ${show(secs)} s and ${show(carry)} ms`);
  }
  return total;
}

/** What can be read of the usage of these days. A damaged row stays the database's. */
export function readableUsage(connection: Connection, days: readonly string[]): (DayPart & { entryId: string })[] {
  const usage = connection.all<[string, string, number, number]>(
    `SELECT entry_id, day, duration_secs, carry_ms FROM usage WHERE day IN (SELECT value FROM json_each(?))
       AND typeof(duration_secs) = 'integer' AND duration_secs BETWEEN 0 AND 9007199254740
       AND typeof(carry_ms) = 'integer' AND carry_ms BETWEEN 0 AND 999
       AND duration_secs * 1000 + carry_ms <= 9007199254740991 ORDER BY day, entry_id`,
    JSON.stringify(days),
  );
  // An adopted table may hold an entry id or a day that no method accepts; neither the file nor a ledger would be believed with it.
  const isReadable = usage.filter(([entryId, day]) => isText(entryId) && isDay(day));
  return isReadable.map(([entryId, day, secs, carry]) => ({ entryId, day, durationMs: secs * 1000 + carry }));
}
