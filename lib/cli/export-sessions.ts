// The sessions of a log, for export: in the order of their beginnings, each with its end, in constant memory.
import { type Cell, durationCells, jsonCell } from './csv.ts';
import { type LogEvent, logPages, type LogToRead, type Place, textIn } from './export-log.ts';
import { type DayRange, hasInstant, type Table, Unread } from './export-table.ts';

/**
 * A session. `endedAt` and what follows it are absent where it runs, and where its end was never recorded; `startedAt`
 * is absent where its beginning is in an archive that was not read.
 */
export interface SessionRow {
  sessionId: string | undefined;
  entryId: string | undefined;
  label?: string | undefined;
  balance?: string | undefined;
  startedAt?: Date;
  endedAt?: Date;
  durationMs?: number | undefined;
  /** As the event has it. */
  reason?: unknown;
  /** The days whose totals did not take their part of the session's time. */
  uncharged?: string[];
  /** The subject whose balance did not pay for it. */
  unspent?: string;
}

const endType = 'session_ended';
const types = ['session_started', endType];

const columns = [
  'session_id', 'entry_id', 'label', 'started_at', 'ended_at', 'duration_ms', 'duration', 'reason', 'exit_code',
  'error', 'balance', 'uncharged', 'unspent',
] as const;

/** The sessions that began on the days asked for. One without a beginning goes by its end. */
export function sessionsTable(log: LogToRead, after: Place, range: DayRange): Table<SessionRow> {
  return { columns, pages: sessionsIn(log, after, range), cells: sessionCells, document: (session) => session };
}

type Held = { row: SessionRow | Unread; isSettled: boolean };

// While a session has no end, those that began later are held back, because the order is that of the beginnings. So
// many of them, and so many characters of theirs, take some megabytes.
const mostHeld = 5_000;
const mostCharacters = 4_000_000;

function* sessionsIn(
  log: LogToRead, after: Place, range: DayRange,
): Generator<(SessionRow | Unread)[], void, undefined> {
  const isAsked = (row: SessionRow | Unread): boolean => {
    const at = row instanceof Unread ? undefined : row.startedAt ?? row.endedAt;
    return !at || hasInstant(range, at);
  };
  const queue = new SessionQueue();
  for (const { rows, place } of logPages(log, after, { types })) {
    for (const row of rows) queue.add(row);
    yield queue.takeSettled().filter(isAsked);
    if (!queue.isFull) continue;
    // One of them runs for very long, or its end was lost with the power: the rest of the log shows which.
    for (const ahead of logPages(log, place, { types: [endType], sessionIds: queue.waitingIds })) {
      for (const row of ahead.rows) queue.lookAhead(row);
      yield []; // gives other work its turn
      if (queue.isSettled) break;
    }
    queue.settleAll();
    yield queue.takeSettled().filter(isAsked);
  }
  queue.settleAll();
  yield queue.takeSettled().filter(isAsked);
}

/** Sessions in the order of their beginnings, which wait for their ends. */
class SessionQueue {
  #held: Held[] = [];
  #characters = 0;
  readonly #open = new Map<string, Held & { row: SessionRow }>();
  /** The ends that were found by looking ahead, until they come by themselves. */
  readonly #foundAhead = new Set<number>();

  get isFull(): boolean {
    return this.#held.length > mostHeld || this.#characters > mostCharacters;
  }

  get waitingIds(): string[] {
    return [...this.#open.keys()];
  }

  get isSettled(): boolean {
    return this.#open.size === 0;
  }

  /** The next row of the log. */
  add(row: LogEvent | Unread): void {
    if (row instanceof Unread) this.#held.push({ row, isSettled: true });
    else if (row.event.type === 'session_started') this.#begin(row);
    else if (!this.#foundAhead.delete(row.id) && !this.#end(row)) {
      this.#held.push({ row: { ...namesOf(row), ...endOf(row) }, isSettled: true });
    }
  }

  /** An end behind the rows that were added, which will be added later: that of a session that waits, perhaps. */
  lookAhead(row: LogEvent | Unread): void {
    // One of an archive may be that of any session.
    if (!(row instanceof Unread) && this.#end(row)) this.#foundAhead.add(row.id);
  }

  /** Those that wait have no end. */
  settleAll(): void {
    for (const held of this.#open.values()) held.isSettled = true;
    this.#open.clear();
  }

  /** Takes away those before which none is waiting. */
  takeSettled(): (SessionRow | Unread)[] {
    const waiting = this.#held.findIndex(({ isSettled }) => !isSettled);
    const settled = this.#held.splice(0, waiting < 0 ? this.#held.length : waiting);
    if (this.#held.length === 0) this.#characters = 0;
    return settled.map(({ row }) => row);
  }

  #begin({ timestamp, ...row }: LogEvent): void {
    const names = namesOf(row);
    const { label, balance } = row.event as { label?: unknown; balance?: unknown };
    const session: SessionRow = { ...names, label: textIn(label), balance: textIn(balance), startedAt: timestamp };
    const held = { row: session, isSettled: names.sessionId === undefined };
    this.#lose(names.sessionId);
    this.#held.push(held);
    this.#characters += [names.sessionId, names.entryId, session.label].join('').length;
    if (names.sessionId !== undefined) this.#open.set(names.sessionId, held);
  }

  /** A session has no end where another one of its id begins. */
  #lose(sessionId: string | undefined): void {
    const held = sessionId === undefined ? undefined : this.#open.get(sessionId);
    if (!held) return;
    held.isSettled = true;
    this.#open.delete(sessionId!);
  }

  /** Gives a session that waits its end; false where none waits for this one. */
  #end(row: LogEvent): boolean {
    const { sessionId } = namesOf(row);
    const held = sessionId === undefined ? undefined : this.#open.get(sessionId);
    if (!held) return false;
    Object.assign(held.row, endOf(row));
    this.#lose(sessionId);
    return true;
  }
}

function namesOf({ event }: Pick<LogEvent, 'event'>): Pick<SessionRow, 'sessionId' | 'entryId'> {
  const { sessionId, entryId } = event as { sessionId?: unknown; entryId?: unknown };
  return { sessionId: textIn(sessionId), entryId: textIn(entryId) };
}

function endOf({ timestamp, event, tags = [] }: LogEvent): Omit<SessionRow, 'sessionId' | 'entryId'> {
  const { durationMs, reason } = event as { durationMs?: unknown; reason?: unknown };
  const behind = (prefix: string): string[] => {
    return tags.filter((tag) => tag.startsWith(prefix)).map((tag) => tag.slice(prefix.length));
  };
  const [uncharged, [unspent]] = [behind('uncharged:'), behind('unspent:')];
  return {
    endedAt: timestamp, durationMs: typeof durationMs === 'number' ? durationMs : undefined, reason,
    ...(uncharged.length > 0 ? { uncharged } : undefined), ...(unspent === undefined ? undefined : { unspent }),
  };
}

function sessionCells(session: SessionRow): Cell[] {
  const { sessionId, entryId, label, balance, startedAt, endedAt, durationMs, reason, uncharged, unspent } = session;
  return [
    sessionId, entryId, label, startedAt, endedAt, ...durationCells(durationMs), ...reasonCells(reason), balance,
    uncharged?.join(' '), unspent,
  ];
}

/** Why a session ended: the type, the exit code and the error. Another program's may be a text, or anything. */
function reasonCells(reason: unknown): [Cell, Cell, Cell] {
  if (typeof reason === 'string') return [reason, undefined, undefined];
  const { type, exitCode, error } = (reason ?? {}) as { type?: unknown; exitCode?: unknown; error?: unknown };
  if (typeof type !== 'string') return [jsonCell(reason), undefined, undefined];
  return [type, typeof exitCode === 'number' ? exitCode : undefined, textIn(error)];
}
