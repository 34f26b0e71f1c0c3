// The sessions of a log, for export: in the order of their beginnings, each with its end, in constant memory.
import { type Cell, durationCells, jsonCell } from './csv.ts';
import { type LogEvent, logPages, type LogToRead, type Place, textIn } from './export-log.ts';
import { type DayRange, hasInstant, type Table, Unread } from './export-table.ts';
import { IdFilter } from './id-filter.ts';

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

const startType = 'session_started';
const endType = 'session_ended';
const types = [startType, endType];

const columns = [
  'session_id', 'entry_id', 'label', 'started_at', 'ended_at', 'duration_ms', 'duration', 'reason', 'exit_code',
  'error', 'balance', 'uncharged', 'unspent',
] as const;

/** The sessions that began on the days asked for. One without a beginning goes by its end. */
export function sessionsTable(log: LogToRead, after: Place, range: DayRange): Table<SessionRow> {
  return { columns, pages: sessionsIn(log, after, range), cells: sessionCells, document: (session) => session };
}

interface Held {
  row: SessionRow | Unread;
  isWaiting: boolean;
  characters: number;
}

// While a session has no end, those that began later are held back, because the order is that of the beginnings. So
// many of them, and so many characters of theirs, take a few megabytes.
const mostHeld = 1_000;
const mostCharacters = 1_000_000;

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
    // The end of one was lost, as with the power. That may be so of many: one look at all ends shows which.
    if (!queue.knowsEnds) yield* findEnds(queue, log, place);
    else yield* findEndsOfWaiting(queue, log, place); // one runs for very long
  }
  queue.settleWaiting();
  yield queue.takeSettled().filter(isAsked);
}

/** Settles those that have no end. Its pages are empty, and give other work its turn. */
function* findEnds(queue: SessionQueue, log: LogToRead, place: Place): Generator<[], void, undefined> {
  const ended = new IdFilter();
  for (const { rows } of logPages(log, place, { types: [endType] })) {
    for (const row of rows) {
      const { sessionId } = row instanceof Unread ? {} : namesOf(row);
      if (sessionId !== undefined) ended.add(sessionId);
    }
    yield [];
  }
  queue.settleBut(ended);
}

/** Settles all that wait. Its pages are empty as well. */
function* findEndsOfWaiting(queue: SessionQueue, log: LogToRead, place: Place): Generator<[], void, undefined> {
  for (const { rows } of logPages(log, place, { types, sessionIds: queue.waitingIds })) {
    for (const row of rows) queue.lookAhead(row);
    yield [];
    if (queue.waitingIds.length === 0) break;
  }
  queue.settleWaiting();
}

/** Sessions in the order of their beginnings, which wait for their ends. */
class SessionQueue {
  #held: Held[] = [];
  #characters = 0;
  readonly #waiting = new Map<string, Held>();
  /** Has the sessions that end behind the rows that were added up to when this was found out. */
  #ended: IdFilter | undefined;
  /** The ends that were found by looking ahead, until they come by themselves. */
  readonly #foundAhead = new Set<number>();

  get isFull(): boolean {
    return this.#held.length > mostHeld || this.#characters > mostCharacters;
  }

  get knowsEnds(): boolean {
    return this.#ended !== undefined;
  }

  get waitingIds(): string[] {
    return [...this.#waiting.keys()];
  }

  /** The next row of the log. */
  add(row: LogEvent | Unread): void {
    if (row instanceof Unread) this.#hold(row);
    else if (row.event.type === startType) this.#begin(row);
    else if (!this.#foundAhead.delete(row.id) && !this.#end(row)) this.#hold({ ...namesOf(row), ...endOf(row) });
  }

  /** A row behind those that were added, which will be added later. One of an archive may be of any session. */
  lookAhead(row: LogEvent | Unread): void {
    if (row instanceof Unread) return;
    if (row.event.type === startType) this.#settle(namesOf(row).sessionId);
    else if (this.#end(row)) this.#foundAhead.add(row.id);
  }

  /** From now on only sessions wait that these may have. */
  settleBut(ended: IdFilter): void {
    this.#ended = ended;
    for (const sessionId of this.waitingIds) {
      if (!ended.mayHave(sessionId)) this.#settle(sessionId);
    }
  }

  /** Those that wait have no end. */
  settleWaiting(): void {
    for (const sessionId of this.waitingIds) this.#settle(sessionId);
  }

  /** Takes away those before which none is waiting. */
  takeSettled(): (SessionRow | Unread)[] {
    const waiting = this.#held.findIndex(({ isWaiting }) => isWaiting);
    const settled = this.#held.splice(0, waiting < 0 ? this.#held.length : waiting);
    for (const { characters } of settled) this.#characters -= characters;
    return settled.map(({ row }) => row);
  }

  #hold(row: SessionRow | Unread): Held {
    const held: Held = { row, isWaiting: false, characters: 0 };
    this.#held.push(held);
    this.#count(held, row);
    return held;
  }

  #count(held: Held, added: object): void {
    const characters = JSON.stringify(added).length;
    held.characters += characters;
    this.#characters += characters;
  }

  #begin(row: LogEvent): void {
    const names = namesOf(row);
    const { label, balance } = row.event as { label?: unknown; balance?: unknown };
    const held = this.#hold({ ...names, label: textIn(label), balance: textIn(balance), startedAt: row.timestamp });
    const { sessionId } = names;
    this.#settle(sessionId); // an earlier one of this id has no end
    if (sessionId === undefined || this.#ended?.mayHave(sessionId) === false) return;
    held.isWaiting = true;
    this.#waiting.set(sessionId, held);
  }

  /** Gives a session that waits its end; false where none waits for this one. */
  #end(row: LogEvent): boolean {
    const held = this.#settle(namesOf(row).sessionId);
    if (!held) return false;
    const end = endOf(row);
    Object.assign(held.row, end);
    this.#count(held, end);
    return true;
  }

  /** Lets a session wait no longer; `undefined` where it does not wait. */
  #settle(sessionId: string | undefined): Held | undefined {
    const held = sessionId === undefined ? undefined : this.#waiting.get(sessionId);
    if (!held) return undefined;
    held.isWaiting = false;
    this.#waiting.delete(sessionId!);
    return held;
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
