// What a report shows of usage: the totals that `usage` shows. The time of a session that runs is no part of them,
// because it is charged when the session ends.
import type { ModuleConnection } from '../../core/door.ts';
import { totalSql } from '../../core/usage.ts';
import type { SqliteStore } from '../../store.ts';
import { quote, show } from '../../values/checks.ts';
import { StoreError } from '../../values/errors.ts';
import { textOf } from '../calendar.ts';
import type { EntryUsage, Usage } from './contents.ts';
import type { ReportDays } from './report-days.ts';

const weekDays = 7;

/** A total of a day; `NaN` where it cannot be read. */
type Total = number;

/** The totals of a report's days and of the week before them. */
export interface Totals {
  /** By entry: the totals by the places of their days, which are negative in the week before. */
  byEntry: Map<string, Map<number, Total>>;
  /** Entries that have a total whose day cannot be read. */
  unplaced: Set<string>;
  unreadable: Usage['unreadable'];
}

// The table is not strict, and Node 24 cuts a text off at NUL, which would make a day of what is none. NULL stands for
// what cannot be right: node:sqlite throws for a number beyond 2^53, which would hide all other rows.
const totalsSql = `SELECT iif(typeof(entry_id) = 'blob', entry_id, CAST(entry_id AS TEXT)),
    iif(octet_length(day) = 10, day, quote(day)), ${totalSql}
  FROM usage WHERE day BETWEEN ? AND ? ORDER BY day, entry_id`;

/** Reads all totals that a report can need, with one statement. */
export function readTotals(store: SqliteStore, door: ModuleConnection, days: ReportDays): Totals {
  const totals: Totals = { byEntry: new Map(), unplaced: new Set(), unreadable: [] };
  const [from, to] = [textOf(days.first - weekDays), days.texts.at(-1)!];
  for (const [key, day, durationMs] of door.all<[unknown, string, number | null]>(totalsSql, from, to)) {
    const entryId = typeof key === 'string' ? key : show(key);
    const place = days.placeNamed(day);
    if (place === undefined || durationMs === null) {
      totals.unreadable.push({ entryId, day, message: reasonOf(store, key, day) });
    }
    if (place === undefined) totals.unplaced.add(entryId);
    else placesOf(totals, entryId).set(place, durationMs ?? NaN);
  }
  return totals;
}

function placesOf({ byEntry }: Totals, entryId: string): Map<number, Total> {
  let places = byEntry.get(entryId);
  if (!places) byEntry.set(entryId, places = new Map());
  return places;
}

/** Why a total cannot be read, in the words that whoever asks for it gets. */
function reasonOf(store: SqliteStore, entryId: unknown, day: string): string {
  try {
    store.getUsage(entryId as string, day);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return error.message;
  }
  return `the usage of ${quote(String(entryId))} on ${show(day)} cannot be read`;
}

/** What was used on the days of a report by all entries, or by those that `isWanted` names. */
export function usageOf(totals: Totals, days: ReportDays, isWanted: (entryId: string) => boolean): Usage {
  const dayTotals = days.texts.map(() => 0);
  const weekBefore = days.texts.map(() => 0);
  const entries: EntryUsage[] = [];
  for (const [entryId, places] of totals.byEntry) {
    if (!isWanted(entryId)) continue;
    let [sum, isUsed] = [0, false];
    for (const [place, durationMs] of places) {
      const readable = Number.isNaN(durationMs) ? 0 : durationMs;
      if (place + weekDays < weekBefore.length) weekBefore[place + weekDays]! += readable;
      if (place < 0) continue;
      dayTotals[place]! += readable;
      sum += readable;
      isUsed = true;
    }
    if (isUsed) entries.push({ entryId, total: sum, byDay: usedBy(places, days) });
  }
  return {
    entries: entries.sort((a, b) => b.total - a.total || (a.entryId < b.entryId ? -1 : 1)),
    dayTotals, weekBefore,
    total: dayTotals.reduce((sum, durationMs) => sum + durationMs, 0),
    unreadable: totals.unreadable.filter(({ entryId }) => isWanted(entryId)),
  };
}

function usedBy(places: ReadonlyMap<number, Total>, days: ReportDays): EntryUsage['byDay'] {
  return days.texts.map((_, place) => {
    const durationMs = places.get(place) ?? 0;
    return Number.isNaN(durationMs) ? undefined : durationMs;
  });
}

/** What entries used together on each day of a report; `undefined` where a part of that cannot be read. */
export function usedTogether(totals: Totals, days: ReportDays, members: readonly string[]): (number | undefined)[] {
  if (members.some((entryId) => totals.unplaced.has(entryId))) return days.texts.map(() => undefined);
  return days.texts.map((_, place) => {
    const sum = members.reduce((used, entryId) => used + (totals.byEntry.get(entryId)?.get(place) ?? 0), 0);
    return Number.isNaN(sum) ? undefined : sum;
  });
}
