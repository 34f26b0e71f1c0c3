// The sessions of a report: each from two events that have the same session id, and the hours in which it ran.
import type { SessionEndReason } from '../../core/events.ts';
import type { SessionSnapshot } from '../../core/state.ts';
import { isText } from '../../values/checks.ts';
import type { JsonObject } from '../../values/json.ts';
import type { ReportSession } from './contents.ts';
import { addParts, noHours, type ReportDays } from './report-days.ts';

/** A session while its events are gathered; times are milliseconds. */
interface Found {
  sessionId: string;
  entryId: string;
  from: number | undefined;
  to: number | undefined;
  durationMs: number | undefined;
  reason: SessionEndReason | undefined;
}

const begun = (sessionId: string, entryId: string, from: number): Found => {
  return { sessionId, entryId, from, to: undefined, durationMs: undefined, reason: undefined };
};

/** Gathers the sessions that touch the days of a report from the events of a log, which are given in order. */
export class Sessions {
  readonly #days: ReportDays;
  readonly #isWanted: (entryId: string) => boolean;
  /** Those that have no end so far. */
  readonly #open = new Map<string, Found>();
  readonly #found: Found[] = [];
  readonly #labels: Map<string, string>;

  /** `labels` gets the newest name for people of each entry. */
  constructor(days: ReportDays, isWanted: (entryId: string) => boolean, labels: Map<string, string>) {
    this.#days = days;
    this.#isWanted = isWanted;
    this.#labels = labels;
  }

  started(at: number, { sessionId, entryId, label }: JsonObject): void {
    if (!isText(sessionId) || !isText(entryId)) return; // another writer's event
    if (typeof label === 'string' && label !== '') this.#labels.set(entryId, label);
    const other = this.#open.get(sessionId);
    if (other) this.#found.push(other); // a writer without ids of its own for each session; the other one had no end
    this.#open.set(sessionId, begun(sessionId, entryId, at));
  }

  ended(at: number, { sessionId, entryId, durationMs, reason }: JsonObject): void {
    if (!isText(sessionId)) return;
    const opened = this.#open.get(sessionId);
    this.#open.delete(sessionId);
    const known = isText(entryId) ? entryId : opened?.entryId;
    if (known === undefined) return;
    const isDuration = Number.isSafeInteger(durationMs) && (durationMs as number) >= 0;
    this.#found.push({
      sessionId, entryId: known, from: opened?.from, to: at,
      durationMs: isDuration ? durationMs as number : undefined, reason: reasonIn(reason),
    });
  }

  /**
   * The sessions, the oldest first. `running` is the one that the snapshot names, `'unreadable'` where that cannot be
   * read; `now` is how long it has run at least.
   */
  list(running: SessionSnapshot | 'unreadable' | undefined, now: number): ReportSession[] {
    const ended = this.#found.filter((session) => this.#isShown(session, latest(session)));
    const known = running === 'unreadable' ? undefined : running;
    // The event of its start may be in an archive, but not that of its end.
    const isLost = known && !this.#open.has(known.sessionId) && !this.#found.some(hasId(known.sessionId));
    if (isLost) this.#open.set(known.sessionId, begunBy(known));
    const open = [...this.#open.values()];
    const unended = open.filter((session) => {
      return this.#isShown(session, session.sessionId === known?.sessionId ? now : latest(session));
    });
    const isKnown = running !== 'unreadable';
    return [...ended, ...unended].sort((a, b) => earliest(a) - earliest(b)).map((session) => {
      const isRunning = session.sessionId === known?.sessionId && this.#open.get(session.sessionId) === session;
      return { ...shownOf(session), ...(session.to === undefined && isKnown && { isRunning }) };
    });
  }

  #isShown(session: Found, last: number): boolean {
    const first = earliest(session);
    const [from, to] = [Math.min(first, last), Math.max(first, last)];
    return this.#isWanted(session.entryId) && from < this.#days.end && to >= this.#days.start;
  }

  /**
   * How long sessions ran in each hour of the day, by days of the week, Monday first. What a session ran is counted
   * back from its end, as it is for its days (session-days.ts), but never to before its beginning: where the clock was
   * set back meanwhile, nobody knows the hours of the rest. One without an end or a duration counts nowhere. `places`
   * are those of the days on which it ran.
   */
  hours(): { hours: number[][]; places: Set<number> } {
    const hours = noHours();
    const places = new Set<number>();
    for (const { entryId, from, to, durationMs } of this.#found) {
      if (to === undefined || durationMs === undefined || !this.#isWanted(entryId)) continue;
      const countedBack = to - durationMs;
      const start = from !== undefined && from <= to ? Math.max(from, countedBack) : countedBack;
      const parts = [...this.#days.hoursOf(start, to)];
      addParts(hours, parts);
      for (const { place } of parts) places.add(place);
    }
    return { hours, places };
  }
}

function hasId(sessionId: string): (session: Found) => boolean {
  return (session) => session.sessionId === sessionId;
}

function begunBy({ sessionId, entryId, startedAt }: SessionSnapshot): Found {
  return begun(sessionId, entryId, startedAt.getTime());
}

function earliest({ from, to = 0, durationMs = 0 }: Found): number {
  return from ?? to - durationMs;
}

function latest({ from = 0, to }: Found): number {
  return to ?? from;
}

function shownOf({ sessionId, entryId, from, to, durationMs, reason }: Found): ReportSession {
  return {
    sessionId, entryId,
    ...(from !== undefined && { from: new Date(from) }), ...(to !== undefined && { to: new Date(to) }),
    ...(durationMs !== undefined && { durationMs }), ...(reason && { reason }),
  };
}

/** A reason as a page can show it: the fields of another writer's event may be anything. */
function reasonIn(value: unknown): SessionEndReason | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { type, exitCode, error } = value as Record<string, unknown>;
  if (typeof type !== 'string') return undefined;
  const fields = { ...(Number.isSafeInteger(exitCode) && { exitCode }), ...(typeof error === 'string' && { error }) };
  return { type, ...fields } as SessionEndReason;
}
