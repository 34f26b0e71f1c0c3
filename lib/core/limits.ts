// Limits beyond the rules (`grantTime`, `setAvailability`, `adjustBalance`, `correctUsage`): each change is an event,
// with or without a ledger, and its row follows in the same transaction.
import { isText, show } from '../values/checks.ts';
import { isDay } from '../values/days.ts';
import { StoreError } from '../values/errors.ts';
import { checkJsonLength, type JsonObject } from '../values/json.ts';
import type { Anchor } from './chain.ts';
import type { CommitParticipant } from './commit-participant.ts';
import type { Connection } from './connection.ts';
import { type Availability, encodeChecked, type LimitEvent } from './events.ts';
import { availabilities, decodeLimit, limitTypesSql } from './limit-events.ts';
import type { AuditLog } from './log.ts';
import { maxMs, type Usage } from './usage.ts';

/** What was permitted for a subject on a day beyond its rules. */
export interface Override {
  /** Time beyond the quota of the day; less than the quota where it is negative. */
  grantedMs: number;
  availability?: Availability;
}

/** An override with its subject, which is an entry id or `group:NAME`, and its day. */
export interface DayOverride extends Override {
  subject: string;
  day: string;
}

/** The time that a subject has earned and not yet spent. */
export interface Balance {
  subject: string;
  balanceMs: number;
}

/** What the snapshot file has of limits, and the event that was the last one to change them. */
export interface LimitsContent {
  overrides: DayOverride[];
  balances: Balance[];
  asOf: Anchor;
}

/** What each change may be given besides its values. */
interface Told {
  /** A second change of the same kind with this id does nothing. */
  id?: string | undefined;
  /** Who or what caused it. */
  source?: string | undefined;
  reason?: string | undefined;
}

type OverrideRow = [subject: unknown, day: unknown, grantedMs: unknown, availability: unknown];

const overrideColumns = 'subject, day, granted_ms, availability';
const grantSql = `INSERT INTO overrides (subject, day, granted_ms) VALUES (?1, ?2, CAST(?3 AS INTEGER))
  ON CONFLICT (subject, day) DO UPDATE SET granted_ms = excluded.granted_ms`;
const availabilitySql = `INSERT INTO overrides (subject, day, availability) VALUES (?1, ?2, ?3)
  ON CONFLICT (subject, day) DO UPDATE SET availability = excluded.availability`;
const balanceSql = `INSERT INTO balances (subject, balance_ms) VALUES (?1, CAST(?2 AS INTEGER))
  ON CONFLICT (subject) DO UPDATE SET balance_ms = excluded.balance_ms`;
/** The last event whose effect the tables have; rows up to an adoption are another program's. */
const takenInSql = 'SELECT max(limits_id, coalesce(adopted_id, 0)) FROM store_meta WHERE id = 1';
/** The events whose effects the tables lack. */
// INDEXED BY: without it SQLite would read all rows behind that id, which may be the whole log.
export const behindSql: string = `FROM audit_log INDEXED BY audit_log_limits
  WHERE event_type IN ${limitTypesSql} AND id > (${takenInSql})`;

export class Limits implements CommitParticipant {
  readonly #connection: Connection;
  readonly #log: AuditLog;
  readonly #usage: Usage;

  constructor(connection: Connection, log: AuditLog, usage: Usage) {
    this.#connection = connection;
    this.#log = log;
    this.#usage = usage;
  }

  /** Adds to the time that is granted to a subject on a day. */
  grant(
    asked: { subject: string; day: string; durationMs: number }, told: Told,
  ): { applied: boolean; grantedMs: number } {
    const { subject, day, durationMs } = asked;
    const before = this.override(subject, day)?.grantedMs ?? 0;
    if (this.#isRepeated('time_granted', asked, told)) return { applied: false, grantedMs: before };
    const grantedMs = before + durationMs;
    if (!Number.isSafeInteger(grantedMs)) throw tooLarge(durationMs, before, `${show(subject)} on ${day}`);
    this.#record({ type: 'time_granted', ...asked, grantedMs }, told);
    return { applied: true, grantedMs };
  }

  /** Sets whether a subject is available on a day whatever its windows say. */
  setAvailability(asked: { subject: string; day: string; availability: Availability | null }, told: Told): void {
    this.#record({ type: 'availability_set', ...asked }, told);
  }

  /** Adds to a balance, or takes off it, as far as it stays between 0 and `capMs`. */
  adjust(
    asked: { subject: string; durationMs: number; capMs?: number | undefined }, told: Told,
  ): { applied: boolean; appliedMs: number; balanceMs: number } {
    const { subject, durationMs, capMs = maxMs } = asked;
    const before = this.balance(subject) ?? 0;
    const repeated = this.#isRepeated('balance_adjusted', asked, told);
    if (repeated) return { applied: false, appliedMs: Number(repeated['appliedMs']), balanceMs: before };
    // A balance above a cap that was lowered stays, because it was earned.
    const room = Math.max(0, capMs - before);
    const appliedMs = durationMs < 0 ? Math.max(durationMs, -before) + 0 : Math.min(durationMs, room);
    const balanceMs = before + appliedMs;
    this.#record({ type: 'balance_adjusted', ...asked, appliedMs, balanceMs }, told);
    return { applied: true, appliedMs, balanceMs };
  }

  /** Corrects a total of usage. */
  correct(
    asked: { entryId: string; day: string; durationMs: number }, told: Told & { reason: string },
  ): { applied: boolean; totalMs: number } {
    const { entryId, day, durationMs } = asked;
    if (this.#isRepeated('usage_corrected', asked, told)) {
      return { applied: false, totalMs: this.#usage.total(entryId, day) };
    }
    const totalMs = this.#usage.correctRow(entryId, day, durationMs);
    this.#record({ type: 'usage_corrected', ...asked, totalMs, reason: told.reason }, told);
    return { applied: true, totalMs };
  }

  /**
   * The fields of the event that this change has written already; `undefined` where it was not made before. Throws
   * `ERR_STORE_CONFLICT` where the id was used with other values.
   */
  #isRepeated(type: LimitEvent['type'], asked: object, { id }: Told): JsonObject | undefined {
    const found = id === undefined ? undefined : this.#log.findEvent(`${type}:${id}`);
    if (!found) return undefined;
    const fields = decodeLimit(found.id, type, found.data) as JsonObject | undefined;
    const isSame = found.type === type && Object.entries(asked).every(([name, value]) => fields?.[name] === value);
    if (isSame) return fields;
    const message = `the id ${show(id)} was used for other values: ${show(found.data)}`;
    throw new StoreError('ERR_STORE_CONFLICT', message);
  }

  /** Appends the event, and has its row follow. */
  #record(event: LimitEvent, { id, source, reason }: Told): void {
    const eventId = id === undefined ? undefined : `${event.type}:${id}`;
    const told = { ...event, reason };
    checkJsonLength('the event', told);
    const attributes = { eventId, source };
    checkJsonLength('its id and source', attributes);
    const meta = eventId === undefined && source === undefined ? null : JSON.stringify(attributes);
    const encoded = { ...encodeChecked(told), meta };
    this.#log.ledger?.checkEvent(encoded);
    this.follow(this.#log.append(encoded), event);
  }

  /** Changes the row that follows from an event, but for usage. `event` is absent where it cannot be read. */
  follow(id: number, event: LimitEvent | undefined): void {
    const connection = this.#connection;
    if (event?.type === 'time_granted') connection.run(grantSql, event.subject, event.day, event.grantedMs);
    else if (event?.type === 'availability_set') {
      connection.run(availabilitySql, event.subject, event.day, event.availability);
    } else if (event?.type === 'balance_adjusted') connection.run(balanceSql, event.subject, event.balanceMs);
    this.setAsOf(id);
  }

  /** All overrides and balances that can be read. */
  allReadable(): Pick<LimitsContent, 'overrides' | 'balances'> {
    const overridesSql = `SELECT ${overrideColumns} FROM overrides
      WHERE granted_ms BETWEEN ${-maxMs} AND ${maxMs} ORDER BY day, subject`;
    return {
      overrides: readable(this.#connection.all<OverrideRow>(overridesSql), decodeOverride), balances: this.#balances(),
    };
  }

  /** Sets rows that were carried over by an event, and leaves all others as they are. */
  setAll(id: number, { overrides, balances }: Pick<LimitsContent, 'overrides' | 'balances'>): void {
    for (const { subject, day, grantedMs, availability = null } of overrides) {
      this.#connection.run(grantSql, subject, day, grantedMs);
      this.#connection.run(availabilitySql, subject, day, availability);
    }
    for (const { subject, balanceMs } of balances) this.#connection.run(balanceSql, subject, balanceMs);
    this.setAsOf(id);
  }

  /** Notes the event up to which the tables go. */
  setAsOf(id: number): void {
    this.#connection.run('UPDATE store_meta SET limits_id = CAST(? AS INTEGER) WHERE id = 1', id);
  }

  /** Begins anew, where the log says that all events up to here are another program's. */
  clear(): void {
    for (const table of ['overrides', 'balances']) this.#connection.run(`DELETE FROM ${table}`);
    this.#connection.run('UPDATE store_meta SET limits_id = 0 WHERE id = 1');
  }

  /**
   * Whether the log has events whose effects the tables lack: an older version, to which an update was rolled back,
   * brings them from a ledger without knowing them.
   */
  isBehind(): boolean {
    return this.#connection.get(`SELECT 1 ${behindSql} LIMIT 1`) !== undefined;
  }

  /** Takes in what `isBehind` finds, inside a transaction. */
  takeIn(): void {
    const rows = this.#connection.all<[number, LimitEvent['type'], string]>(
      `SELECT id, event_type, event_data ${behindSql} ORDER BY id`,
    );
    const corrected: string[] = [];
    for (const [id, type, data] of rows) {
      const event = decodeLimit(id, type, data);
      if (event?.type === 'usage_corrected') corrected.push(JSON.stringify([event.entryId, event.day]));
      this.follow(id, event);
    }
    // Such events came from a ledger, while which the events alone account for the totals.
    if (corrected.length > 0 && this.#log.hasLedger()) this.#usage.addUp(corrected);
  }

  beginChanged(): void {
    if (this.isBehind()) this.takeIn();
  }

  /** Refuses to read limits that are behind the log, as only a store can have them that is opened read-only. */
  #checkTakenIn(): void {
    if (!this.#connection.reader || !this.isBehind()) return;
    const why = 'they lack what an older version has passed over; opening the store for writing takes it in';
    throw new StoreError('ERR_STORE_CORRUPT', `the limits are behind the log: ${why}`);
  }

  /** What was permitted for a subject on a day; `undefined` where nothing ever was. */
  override(subject: string, day: string): Override | undefined {
    this.#checkTakenIn();
    const sql = `SELECT ${overrideColumns} FROM overrides WHERE subject = ? AND day = ?`;
    const row = this.#connection.get<OverrideRow>(sql, subject, day);
    if (!row) return undefined;
    const { grantedMs, availability } = decodeOverride(row);
    return availability ? { grantedMs, availability } : { grantedMs };
  }

  /** All overrides by day and subject, or those of a day, a subject, or both. */
  overrides(day: string | undefined, subject: string | undefined): DayOverride[] {
    this.#checkTakenIn();
    const sql = `SELECT ${overrideColumns} FROM overrides
      WHERE (?1 IS NULL OR day = ?1) AND (?2 IS NULL OR subject = ?2)
        AND (granted_ms IS NOT 0 OR availability IS NOT NULL)
      ORDER BY day, subject`;
    return this.#connection.all<OverrideRow>(sql, day ?? null, subject ?? null).map(decodeOverride);
  }

  /** The balance of a subject; `undefined` where it never had one. */
  balance(subject: string): number | undefined {
    this.#checkTakenIn();
    const row = this.#connection.get<[unknown]>('SELECT balance_ms FROM balances WHERE subject = ?', subject);
    return row && decodeBalance([subject, ...row]).balanceMs;
  }

  /** All balances by subject. */
  balances(): Balance[] {
    this.#checkTakenIn();
    const sql = 'SELECT subject, balance_ms FROM balances ORDER BY subject';
    return this.#connection.all<[unknown, unknown]>(sql).map(decodeBalance);
  }

  /** What the snapshot file carries: every balance, and the overrides from a day on. Damaged rows are left out. */
  readable(since: string): LimitsContent | undefined {
    // Only a store that is read can have an older schema, as a backup may.
    const columnSql = "SELECT 1 FROM pragma_table_info('store_meta') WHERE name = 'limits_id'";
    if (this.#connection.reader && !this.#connection.get(columnSql)) return undefined;
    const asOfSql = 'SELECT id, event_hash FROM audit_log WHERE id = (SELECT limits_id FROM store_meta WHERE id = 1)';
    const asOf = this.#connection.get<[number, string]>(asOfSql);
    if (!asOf) return undefined;
    // BETWEEN, because node:sqlite throws for a number that is not exact, and every save would fail.
    const overridesSql = `SELECT ${overrideColumns} FROM overrides
      WHERE day >= ? AND granted_ms BETWEEN ${-maxMs} AND ${maxMs} ORDER BY day, subject`;
    return {
      overrides: readable(this.#connection.all<OverrideRow>(overridesSql, since), decodeOverride),
      balances: this.#balances(),
      asOf: { id: asOf[0], hash: asOf[1] },
    };
  }

  /** The balances that can be read. */
  #balances(): Balance[] {
    const sql = `SELECT subject, balance_ms FROM balances
      WHERE balance_ms BETWEEN 0 AND ${maxMs} ORDER BY subject`;
    return readable(this.#connection.all<[unknown, unknown]>(sql), decodeBalance);
  }
}

/** Throws `ERR_STORE_CORRUPT` for a row that cannot be right: a limit that cannot be read must not be lifted. */
export function decodeOverride([subject, day, grantedMs, availability]: readonly unknown[]): DayOverride {
  const isKnown = availability === null || availabilities.includes(availability as Availability);
  if (isText(subject) && isDay(day) && Number.isSafeInteger(grantedMs) && isKnown) {
    const override = { subject, day, grantedMs: grantedMs as number };
    return availability === null ? override : { ...override, availability: availability as Availability };
  }
  const stored = `${show(grantedMs)} ms and ${show(availability)}`;
  const message = `the override of ${show(subject)} on ${show(day)} cannot be read: ${stored}`;
  throw new StoreError('ERR_STORE_CORRUPT', message);
}

/** Throws `ERR_STORE_CORRUPT` for a row that cannot be right. */
export function decodeBalance([subject, balanceMs]: readonly unknown[]): Balance {
  if (isText(subject) && Number.isSafeInteger(balanceMs) && (balanceMs as number) >= 0) {
    return { subject, balanceMs: balanceMs as number };
  }
  throw new StoreError('ERR_STORE_CORRUPT', `the balance of ${show(subject)} cannot be read: ${show(balanceMs)}`);
}

function readable<Row, T>(rows: readonly Row[], decode: (row: Row) => T): T[] {
  return rows.flatMap((row) => {
    try {
      return [decode(row)];
    } catch {
      return [];
    }
  });
}

function tooLarge(durationMs: number, before: number, whose: string): StoreError {
  const what = `${durationMs} on top of ${before} would pass 2^53 - 1 for ${whose}`;
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', `durationMs is too large: ${what}`);
}

