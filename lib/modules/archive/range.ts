// Which rows of a log may go into an archive: by their positions, because clocks jump.
import type { Anchor } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { checkDate, checkInteger, checkOptions, invalid, quote } from '../../values/checks.ts';
import { StoreError } from '../../values/errors.ts';
import { lastRecorded } from './recorded.ts';
import { Times } from './times.ts';

/**
 * Up to which row: `id`; or the last one before the first row that is not older than `before`; or the same for
 * `keepDays` days of 24 hours, counted back from now.
 */
export type UpTo = { id: number } | { before: Date } | { keepDays: number };

/** Rows from the first one of the log on. */
export interface Range {
  from: number;
  last: Anchor;
}

const dayMs = 86_400_000;

/** Checks the option `upTo`. Throws `ERR_STORE_INVALID_ARGUMENT`. */
export function checkUpTo(given: UpTo): { id: number } | { before: Date } | { keepDays: number } {
  const names = ['id', 'before', 'keepDays'] as const;
  const upTo = checkOptions<Partial<Record<(typeof names)[number], unknown>>>('options.upTo', given, names);
  if (names.filter((name) => upTo[name] !== undefined).length !== 1) {
    throw invalid('options.upTo', given, 'an object with one of id, before and keepDays');
  }
  if (upTo.id !== undefined) return { id: checkInteger('options.upTo.id', upTo.id, 1) };
  if (upTo.before !== undefined) return { before: checkDate('options.upTo.before', upTo.before) };
  return { keepDays: checkInteger('options.upTo.keepDays', upTo.keepDays, 1, 36_500) };
}

/** A row that stays in the log, and why. */
export interface Held {
  id: number;
  why: string;
}

/** What an archiving would do. */
export interface ArchivePlan {
  /** The rows that would go; absent where there are none. */
  range?: Range;
  /** The first row that would stay; absent where the log has none. */
  held?: Held;
  /** The last row of an archive that was not finished: the next archiving finishes it first. */
  unfinished?: number;
}

/** Finds out what `archiveAudits` would do with `upTo`, and changes nothing. Throws what that throws for `upTo`. */
export async function planArchive(
  store: SqliteStore, upTo: UpTo, signal?: AbortSignal | undefined,
): Promise<ArchivePlan> {
  const connection = connect(store);
  const plan = await planUpTo(store, connection, checkUpTo(upTo), signal);
  const begun = connection.read('read where the log begins', () => connection.parts.log.beginning().id);
  const last = connection.read('look for an unfinished archive', () => lastRecorded(connection));
  return last && last.to > begun ? { ...plan, unfinished: last.to } : plan;
}

/**
 * Which rows are to go, and which one is the first to stay. `keepDays` stops before the first row that has to stay.
 * Throws `ERR_STORE_CONFLICT` where `id` or `before` asks for such a row.
 */
export async function planUpTo(
  store: SqliteStore, connection: ModuleConnection, upTo: UpTo, signal: AbortSignal | undefined,
): Promise<ArchivePlan> {
  const { log } = connection.parts;
  const begun = connection.read('read where the log begins', () => log.beginning().id);
  const head = store.auditHead()?.id ?? 0;
  let next: Held;
  if ('id' in upTo) {
    const { id } = upTo;
    if (id > head) throw new StoreError('ERR_STORE_CONFLICT', `there is no row ${id}: the log ends at row ${head}`);
    next = { id: id + 1, why: `it is behind row ${id}` };
  } else {
    const isBefore = 'before' in upTo;
    const before = isBefore ? upTo.before : ago(connection.now(), upTo.keepDays * dayMs);
    const why = isBefore ? `it is not before ${before.toISOString()}` : `it is younger than ${daysText(upTo.keepDays)}`;
    next = { id: await new Times(connection, signal).firstNotBefore(before), why };
  }
  if (next.id - 1 <= begun) return stopAt(next, head);
  const held = await firstHeld(store, connection, signal);
  if (held.id < next.id) {
    if (!('keepDays' in upTo)) throw new StoreError('ERR_STORE_CONFLICT', `row ${held.id} has to stay: ${held.why}`);
    next = held;
  }
  const to = next.id - 1;
  // Up to the event of an adoption ids may have gaps; without that event a gap in an archive would be a finding.
  const adoptedSql = 'SELECT coalesce(adopted_id, 0) FROM store_meta WHERE id = 1';
  const [adopted] = connection.read('look for the adoption', () => connection.get<[number]>(adoptedSql)!);
  if (adopted > begun && to < adopted) {
    const why = `the rows up to ${adopted} were adopted together, and go together`;
    if (!('id' in upTo)) return stopAt({ id: adopted, why }, head);
    throw new StoreError('ERR_STORE_CONFLICT', `row ${to} cannot be the last one: ${why}`);
  }
  const sql = 'SELECT id, event_hash FROM audit_log WHERE id <= ? ORDER BY id DESC LIMIT 1';
  const row = connection.read('read the last row to go', () => connection.get<[number, string]>(sql, to));
  const firstSql = 'SELECT id FROM audit_log ORDER BY id LIMIT 1';
  const [from] = connection.read('read the first row', () => connection.get<[number]>(firstSql)) ?? [];
  const isSome = row && from !== undefined && row[0] > begun;
  return { ...stopAt(next, head), ...(isSome ? { range: { from, last: { id: row[0], hash: row[1] } } } : undefined) };
}

/** The plan that goes up to a row, which is behind the last one of the log where all rows go. */
function stopAt(held: Held, head: number): ArchivePlan {
  return held.id <= head ? { held } : {};
}

function daysText(days: number): string {
  return days === 1 ? 'a day' : `${days} days`;
}

/** An earlier time, but of no year that SQLite cannot read. */
function ago(now: Date, durationMs: number): Date {
  return new Date(Math.max(now.getTime() - durationMs, Date.parse('0000-01-01T00:00:00Z')));
}

/** The first of the rows that have to stay; the one behind the last where there is none. */
export async function firstHeld(
  store: SqliteStore, connection: ModuleConnection, signal: AbortSignal | undefined,
): Promise<Held> {
  const times = new Times(connection, signal);
  const yesterday = ago(connection.now(), dayMs);
  const held: Held[] = [{ id: await times.firstNotBefore(yesterday), why: 'it is younger than a day' }];
  const unsent = connection.read('look at the outboxes', () => firstUnsent(connection));
  if (unsent) held.push(unsent);
  const running = await runningSession(store, connection, times);
  if (running !== undefined) held.push({ id: running, why: 'the session that is running began there' });
  return held.reduce((a, b) => (b.id < a.id ? b : a));
}

/** The first row that has not arrived everywhere; `undefined` where no outbox waits for one. */
export function firstUnsent(connection: Pick<ModuleConnection, 'get'>): Held | undefined {
  // Where a backup was restored, an outbox sends again from an earlier row than that which its place has.
  const sql = 'SELECT min(id, coalesce(shared_id, id)) AS sent, name FROM outboxes ORDER BY sent LIMIT 1';
  const [id, name] = connection.get<[number, string]>(sql) ?? [];
  if (id === undefined || name === undefined) return undefined;
  return { id: id + 1, why: `the outbox ${quote(name)} waits for the word that it has arrived` };
}

/** The row at which the session in the snapshot began; `undefined` where none is running. */
async function runningSession(
  store: SqliteStore, connection: ModuleConnection, times: Times,
): Promise<number | undefined> {
  const session = store.loadSnapshot()?.activeSession;
  const { log } = connection.parts;
  if (!session) return undefined;
  const event = (type: string): { id: number } | undefined => {
    return connection.read('look for the session', () => log.findEvent(`${type}:${session.sessionId}`));
  };
  if (event('session_ended')) return undefined;
  return event('session_started')?.id ?? times.firstNotBefore(session.startedAt);
}
