// Which rows of a log may go into an archive: by their positions, because clocks jump.
import type { Anchor } from '../../core/chain.ts';
import type { ModuleConnection } from '../../core/door.ts';
import type { SqliteStore } from '../../store.ts';
import { checkDate, checkInteger, checkOptions, invalid } from '../../values/checks.ts';
import { StoreError } from '../../values/errors.ts';
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

/** A row that has to stay in the log, and why. */
export interface Held {
  id: number;
  why: string;
}

/**
 * The rows that are to go; `undefined` where there are none. `keepDays` stops before the first row that has to stay.
 * Throws `ERR_STORE_CONFLICT` where `id` or `before` asks for such a row.
 */
export async function rangeUpTo(
  store: SqliteStore, connection: ModuleConnection, upTo: UpTo, signal: AbortSignal | undefined,
): Promise<Range | undefined> {
  const { log } = connection.parts;
  const begun = connection.read('read where the log begins', () => log.beginning().id);
  const head = store.auditHead()?.id ?? 0;
  let to: number;
  if ('id' in upTo) {
    to = upTo.id;
    if (to > head) throw new StoreError('ERR_STORE_CONFLICT', `there is no row ${to}: the log ends at row ${head}`);
  } else {
    const before = 'before' in upTo ? upTo.before : ago(connection.now(), upTo.keepDays * dayMs);
    to = (await new Times(connection, signal).firstNotBefore(before)) - 1;
  }
  if (to <= begun) return undefined;
  const held = await firstHeld(store, connection, signal);
  if (held.id <= to) {
    if (!('keepDays' in upTo)) throw new StoreError('ERR_STORE_CONFLICT', `row ${held.id} has to stay: ${held.why}`);
    to = held.id - 1;
  }
  // Up to the event of an adoption ids may have gaps; without that event a gap in an archive would be a finding.
  const adoptedSql = 'SELECT coalesce(adopted_id, 0) FROM store_meta WHERE id = 1';
  const [adopted] = connection.read('look for the adoption', () => connection.get<[number]>(adoptedSql)!);
  if (adopted > begun && to < adopted) {
    if (!('id' in upTo)) return undefined;
    const why = `the rows up to ${adopted} were adopted together, and go together`;
    throw new StoreError('ERR_STORE_CONFLICT', `row ${to} cannot be the last one: ${why}`);
  }
  const sql = 'SELECT id, event_hash FROM audit_log WHERE id <= ? ORDER BY id DESC LIMIT 1';
  const row = connection.read('read the last row to go', () => connection.get<[number, string]>(sql, to));
  const firstSql = 'SELECT id FROM audit_log ORDER BY id LIMIT 1';
  const [from] = connection.read('read the first row', () => connection.get<[number]>(firstSql)) ?? [];
  return row && from !== undefined && row[0] > begun ? { from, last: { id: row[0], hash: row[1] } } : undefined;
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
  const session = store.loadSnapshot()?.activeSession;
  const { log } = connection.parts;
  if (!session) return held[0]!;
  const event = (type: string): { id: number } | undefined => {
    return connection.read('look for the session', () => log.findEvent(`${type}:${session.sessionId}`));
  };
  if (event('session_ended')) return held[0]!;
  const id = event('session_started')?.id ?? (await times.firstNotBefore(session.startedAt));
  held.push({ id, why: 'the session that is running began there' });
  return held.reduce((a, b) => (b.id < a.id ? b : a));
}
