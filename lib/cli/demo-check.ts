// Whether a store holds what its service acknowledged: each step is looked for, and each session's time counted.
import { isDeepStrictEqual } from 'node:util';
import type { CoreEvent, DayPart, SqliteStore } from '../index.ts';
import type { Acknowledged } from './demo-service.ts';

/** What `checkAcknowledged` found. */
export interface CheckResult {
  /** The steps that were acknowledged and are not in the store as acknowledged. */
  lost: Acknowledged[];
  /** The totals that hold more than was acknowledged: time that was charged twice. */
  doubled: (DayPart & { entryId: string })[];
}

/** Compares what was acknowledged with what the store says now. */
export function checkAcknowledged(store: SqliteStore, acknowledged: readonly Acknowledged[]): CheckResult {
  const due = totalsOf(acknowledged);
  const isFound = (step: Acknowledged): boolean => {
    if (step.op === 'event') return isRecorded(store, step.id, step.at, step.event);
    if (step.op === 'start') return eventsOf(store, 'session_started', step.sessionId).length === 1;
    if (step.op === 'touch') return countedMs(store, step.sessionId) >= step.elapsedMs;
    const isEnded = eventsOf(store, 'session_ended', step.sessionId).length === 1 && countedMs(store, step.sessionId) === step.durationMs;
    const isCharged = due.filter(({ entryId }) => entryId === step.entryId).every(({ entryId, day, durationMs }) => store.getUsage(entryId, day) >= durationMs);
    const isCool = step.cooldownUntil === undefined || (store.getCooldownUntil(step.entryId) ?? 0) >= step.cooldownUntil;
    return isEnded && isCharged && isCool;
  };
  return {
    lost: acknowledged.filter((step) => !isFound(step)),
    doubled: due.filter(({ entryId, day, durationMs }) => store.getUsage(entryId, day) > durationMs),
  };
}

/** What the sessions that ended add up to, by entry and day. */
function totalsOf(acknowledged: readonly Acknowledged[]): (DayPart & { entryId: string })[] {
  const parts = acknowledged.flatMap((step) => ('charged' in step ? step.charged.map((part) => ({ ...part, entryId: step.entryId })) : []));
  const groups = Map.groupBy(parts, ({ entryId, day }) => JSON.stringify([entryId, day]));
  return Array.from(groups.values(), (group) => ({ ...group[0]!, durationMs: group.reduce((sum, { durationMs }) => sum + durationMs, 0) }));
}

function isRecorded(store: SqliteStore, id: number, at: Date, event: CoreEvent): boolean {
  const [stored] = store.iterateAudits({ fromId: id, toId: id });
  return stored !== undefined && stored.timestamp.getTime() === at.getTime() && isDeepStrictEqual(stored.event, event);
}

function eventsOf(store: SqliteStore, type: CoreEvent['type'], sessionId: string): CoreEvent[] {
  return store.getRecentAudits(2, { type, sessionId }).map(({ event }) => event);
}

/** The time that a session has in the store: at its end, or in the snapshot while it runs. */
function countedMs(store: SqliteStore, sessionId: string): number {
  const [ended] = eventsOf(store, 'session_ended', sessionId);
  if (ended?.type === 'session_ended') return ended.durationMs;
  const running = store.loadSnapshot()?.activeSession;
  return running?.sessionId === sessionId ? (running.elapsedMs ?? 0) : -1;
}
