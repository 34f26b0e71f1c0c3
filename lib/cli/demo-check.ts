// Checks that a store holds what its service acknowledged: each step must be there, and each session counted once.
import { isDeepStrictEqual } from 'node:util';
import type { CoreEvent, DayPart, SqliteStore } from '../index.ts';
import type { Acknowledged } from './demo-service.ts';

/** What `checkAcknowledged` found. */
export interface CheckResult {
  /** The acknowledged steps that the store lacks or holds with other values. */
  lost: Acknowledged[];
  /** The totals that are greater than what was acknowledged, because time was charged twice. */
  doubled: (DayPart & { entryId: string })[];
}

/** Compares the acknowledged steps with what the store holds now. */
export function checkAcknowledged(store: SqliteStore, acknowledged: readonly Acknowledged[]): CheckResult {
  const totals = totalsOf(acknowledged);
  const isFound = (step: Acknowledged): boolean => {
    if (step.op === 'event') return isRecorded(store, step.id, step.at, step.event);
    if (step.op === 'start') return eventsOf(store, 'session_started', step.sessionId).length === 1;
    if (step.op === 'touch') return countedMs(store, step.sessionId) >= step.elapsedMs;
    const { sessionId, entryId, durationMs, cooldownUntil } = step;
    const isEndedOnce = eventsOf(store, 'session_ended', sessionId).length === 1;
    const isCounted = countedMs(store, sessionId) === durationMs;
    const ownTotals = totals.filter((total) => total.entryId === entryId);
    const isCharged = ownTotals.every((total) => store.getUsage(entryId, total.day) >= total.durationMs);
    const isCool = cooldownUntil === undefined || (store.getCooldownUntil(entryId) ?? 0) >= cooldownUntil;
    return isEndedOnce && isCounted && isCharged && isCool;
  };
  return {
    lost: acknowledged.filter((step) => !isFound(step)),
    doubled: totals.filter(({ entryId, day, durationMs }) => store.getUsage(entryId, day) > durationMs),
  };
}

/** The sums of the time that the ended sessions were charged, by entry and day. */
function totalsOf(acknowledged: readonly Acknowledged[]): (DayPart & { entryId: string })[] {
  const parts = acknowledged.flatMap((step) => {
    return 'charged' in step ? step.charged.map((part) => ({ ...part, entryId: step.entryId })) : [];
  });
  const groups = Map.groupBy(parts, ({ entryId, day }) => JSON.stringify([entryId, day]));
  return Array.from(groups.values(), (group) => {
    return { ...group[0]!, durationMs: group.reduce((sum, { durationMs }) => sum + durationMs, 0) };
  });
}

function isRecorded(store: SqliteStore, id: number, at: Date, event: CoreEvent): boolean {
  const [stored] = store.iterateAudits({ fromId: id, toId: id });
  return stored !== undefined && stored.timestamp.getTime() === at.getTime() && isDeepStrictEqual(stored.event, event);
}

function eventsOf(store: SqliteStore, type: CoreEvent['type'], sessionId: string): CoreEvent[] {
  return store.getRecentAudits(2, { type, sessionId }).map(({ event }) => event);
}

/** The time that the store holds for a session: in its last event or, while it runs, in the snapshot; otherwise -1. */
function countedMs(store: SqliteStore, sessionId: string): number {
  const [ended] = eventsOf(store, 'session_ended', sessionId);
  if (ended?.type === 'session_ended') return ended.durationMs;
  const running = store.loadSnapshot()?.activeSession;
  return running?.sessionId === sessionId ? (running.elapsedMs ?? 0) : -1;
}
