// What is going on today, as the commands status and watch show it: the session, the usage with it, and the cooldowns.
import type { SessionSnapshot } from '../core/state.ts';
import type { CountedSession } from '../modules/session-days.ts';
import type { SqliteStore } from '../store.ts';
import { localDay } from '../values/days.ts';
import { ifThere } from './left-out.ts';
import { attemptRow, type CooldownRow, readCooldowns, readUsage, type RowError, type UsageRow } from './rows.ts';
import { runningSession } from './running-session.ts';

/** A part is `undefined` where it could not be read, and `null` where the store has none. */
export interface Today {
  day: string;
  session: SessionSnapshot | null | undefined;
  savedAt: Date | null | undefined;
  usage: UsageRow[] | undefined;
  /** False where there is a session, and this copy of the package was made without what counts its time. */
  isSessionCounted: boolean;
  cooldowns: CooldownRow[] | undefined;
}

/** Reads a part of the store; gives `undefined` where it cannot be read. */
export type PartReader = <T>(fn: () => T) => T | undefined;

/** Reads part by part, so that a damaged part hides no other. `errors` gets each error once. */
export function partReader(): { errors: RowError[]; part: PartReader } {
  const errors: RowError[] = [];
  const part: PartReader = (fn) => {
    const { value, error } = attemptRow(fn);
    if (error && !errors.some(({ message }) => message === error.message)) errors.push(error);
    return value;
  };
  return { errors, part };
}

/** Reads what is going on at a time. */
export async function readToday(store: SqliteStore, at: Date, part: PartReader): Promise<Today> {
  const day = localDay(at);
  const state = part(() => store.loadSnapshot() ?? null);
  const session = part(() => runningSession(store, state?.activeSession)) ?? (state === undefined ? undefined : null);
  const stored = part(() => readUsage(store, day, day));
  const sessions = await ifThere(() => import('../modules/session-days.ts'));
  const counted = session && state ? sessions?.countedSession(session, state.timestamp, undefined) : undefined;
  return {
    day, session, savedAt: state && state.timestamp,
    usage: stored && (counted ? withSession(stored, counted, day) : stored),
    isSessionCounted: !session || counted !== undefined,
    cooldowns: part(() => readCooldowns(store, at)),
  };
}

/** The totals of a day, with the time that the running session has used of that day so far. */
function withSession(rows: readonly UsageRow[], { entryId, days }: CountedSession, day: string): UsageRow[] {
  const runningMs = days.find((part) => part.day === day)?.durationMs ?? 0;
  if (runningMs === 0) return [...rows];
  const hasEntry = rows.some((row) => row.entryId === entryId);
  const rowsWithEntry = hasEntry ? rows : [...rows, { entryId, day, durationMs: 0 }];
  return rowsWithEntry.map((row) => (row.entryId === entryId ? { ...row, runningMs } : row));
}
