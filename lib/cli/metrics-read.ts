// What a monitor is told of a store, read in one state of it. Each part is read whole or is left out: a sum over the
// rest of it would be too low, and would not look so.
import type { Recorded } from '../core/upkeep.ts';
import { lastRecorded } from '../core/upkeep.ts';
import type { StoreHealth } from '../health.ts';
import type { CountedSession } from '../modules/session-days.ts';
import { connect, type SqliteStore } from '../store.ts';
import { parseInstant, show } from '../values/checks.ts';
import { localDay } from '../values/days.ts';
import { StoreError } from '../values/errors.ts';
import { Failure } from './failures.ts';
import { ifThere } from './left-out.ts';
import { readCooldowns, readUsage, type RowError, type UsageRow } from './rows.ts';
import { runningSession } from './running-session.ts';
import { addDays, midnight } from './times.ts';

/** The log, by its head and its newest event. */
interface Log {
  events: number;
  archived: number;
  newest: Date | undefined;
}

/** An outbox; `since` is the time of the oldest event that is still to be sent. */
interface Sent {
  name: string;
  events: number;
  since: Date | undefined;
  acknowledgedAt: Date | undefined;
}

/** What is recorded of the work on the store; absent where the log has no event of it. */
interface Upkeep {
  backup: Recorded | undefined;
  archive: Recorded | undefined;
  verification: Recorded | undefined;
}

/** The parts by their names. One is `undefined` where it cannot be read. */
interface Parts {
  log: Log;
  usage: UsageRow[];
  /** When the state was saved, and its session. `counted` is absent in a copy without what counts a session's time. */
  snapshot: { savedAt: Date | undefined; isRunning: boolean; counted: CountedSession | undefined };
  /** How many are running. */
  cooldowns: number;
  /** Null where today has more events than are looked at. */
  denied: number | null;
  /** Empty in a copy of the package without them. */
  outboxes: Sent[];
  upkeep: Upkeep;
}

/** All that was read. */
export interface Read extends Partial<Parts> {
  at: Date;
  uuid: string;
  health: StoreHealth;
  /** The names of all parts, and whether each could be read. */
  isRead: Record<keyof Parts, boolean>;
  /** Why parts could not be read, each error once. */
  problems: RowError[];
}

/**
 * Reads the figures. Throws where the file itself cannot be read, as SQLite finds out, or the store does not work. A
 * stored value that cannot be right is a problem of its part alone.
 */
export async function readFigures(store: SqliteStore, at: Date): Promise<Read> {
  const readers = await readersOf(store, at);
  const door = connect(store);
  const problems: RowError[] = [];
  const part = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof StoreError) || isOfFile(error)) throw error;
      const { code, message } = error;
      if (!problems.some((each) => each.message === message)) problems.push({ code, message });
      return undefined;
    }
  };
  const read = door.readTogether('read the figures', () => {
    const entries = Object.entries(readers).map(([name, reader]) => [name, part<unknown>(reader)]);
    return Object.fromEntries(entries) as Partial<Parts>;
  });
  const health = store.health();
  if (!store.isHealthy()) {
    throw new Failure(`the store does not work: ${health.findings.map(({ message }) => message).join('; ')}`);
  }
  const isRead = Object.fromEntries(Object.entries(read).map(([name, value]) => [name, value !== undefined]));
  return { ...read, at, uuid: door.uuid, health, isRead: isRead as Read['isRead'], problems };
}

/** Whether SQLite could not read the file, and not this package a value in it. */
function isOfFile({ cause }: StoreError): boolean {
  return (cause as { code?: unknown } | undefined)?.code === 'ERR_SQLITE_ERROR';
}

async function readersOf(store: SqliteStore, at: Date): Promise<{ [Name in keyof Parts]: () => Parts[Name] }> {
  const sessionDays = await ifThere(() => import('../modules/session-days.ts'));
  const outbox = await ifThere(() => import('../modules/outbox/outbox.ts'));
  const list = await ifThere(() => import('../modules/outbox/list.ts'));
  const day = localDay(at);
  return {
    log: () => readLog(store),
    usage: () => allOf(readUsage(store, day, day)),
    snapshot: () => {
      const state = store.loadSnapshot();
      const session = runningSession(store, state?.activeSession);
      const counted = session && sessionDays?.countedSession(session, state!.timestamp, undefined);
      return { savedAt: state?.timestamp, isRunning: session !== undefined, counted };
    },
    cooldowns: () => allOf(readCooldowns(store, at)).filter(({ running }) => running).length,
    denied: () => readDenied(store, day),
    outboxes: () => (outbox && list ? list.outboxNames(store) : []).map((name) => {
      const { id, acknowledgedAt } = new outbox!.Outbox(store, name).position;
      return { name, acknowledgedAt, ...readLag(store, id) };
    }),
    upkeep: () => {
      const door = connect(store);
      return {
        backup: lastRecorded(door, 'store_backed_up'), archive: lastRecorded(door, 'log_archived'),
        verification: lastRecorded(door, 'store_verified'),
      };
    },
  };
}

/** The rows, where each of them could be read. Throws the first error. */
function allOf<T extends { error?: RowError }>(rows: T[]): T[] {
  const error = rows.find((row) => row.error)?.error;
  if (error) throw new StoreError(error.code as StoreError['code'], error.message);
  return rows;
}

function readLog(store: SqliteStore): Log {
  const { log } = connect(store).parts;
  const { id: archived } = log.beginning();
  if (!Number.isSafeInteger(archived) || archived < 0) {
    throw new StoreError('ERR_STORE_CORRUPT', `store_meta: archived_id cannot be read: ${show(archived)}`);
  }
  return { events: log.head()?.id ?? 0, archived, newest: store.getRecentAudits(1)[0]?.timestamp };
}

/** How much stands behind a row, by the ids: to count the rows would read all of a log that nobody fetches any more. */
function readLag(store: SqliteStore, id: number): Pick<Sent, 'events' | 'since'> {
  const door = connect(store);
  const [first, timestamp] = door.get<[number, string]>(
    'SELECT id, timestamp FROM audit_log WHERE id > ? ORDER BY id LIMIT 1', id,
  ) ?? [];
  if (first === undefined) return { events: 0, since: undefined };
  return { events: door.parts.log.head()!.id - first + 1, since: parseInstant(timestamp) };
}

const pageRows = 1_000;
// A kiosk has some hundred events a day. This many are read in a quarter of a second.
const mostPages = 100;

type Page = [rows: number, first: number, ofToday: number, denied: number, unreadable: number];

// A time that cannot be read counts as one of today: where it is that of a denied launch, the number is not known.
const pageSql = `
  SELECT count(*), min(id), coalesce(sum(coalesce(at >= ?2, 1)), 0),
    coalesce(sum(is_denied AND at >= ?2 AND at < ?3), 0), coalesce(sum(is_denied AND at IS NULL), 0)
  FROM (
    SELECT id, unixepoch(timestamp, 'subsec') AS at, event_type = 'launch_denied' AS is_denied
    FROM audit_log WHERE id < ?1 ORDER BY id DESC LIMIT ${pageRows}
  )`;

/**
 * The launches that were denied on a day, walking back from the head. No index has the times of events, so the walk
 * ends where a page has none of that day; null where it does not end soon.
 */
function readDenied(store: SqliteStore, day: string): number | null {
  const door = connect(store);
  const [from, to] = [day, addDays(day, 1)].map((each) => midnight(each).getTime() / 1000);
  let denied = 0;
  let before = Number.MAX_SAFE_INTEGER;
  for (let pages = 0; pages < mostPages; pages++) {
    const [rows, first, ofToday, deniedHere, unreadable] = door.get<Page>(pageSql, before, from!, to!)!;
    if (unreadable > 0) {
      throw new StoreError('ERR_STORE_CORRUPT', 'audit_log: the time of a denied launch cannot be read');
    }
    denied += deniedHere;
    if (rows < pageRows || ofToday === 0) return denied;
    before = first;
  }
  return null;
}
