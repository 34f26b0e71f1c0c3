// Rows of a ledger put into the database, with their effects on usage, cooldowns and limits.
import { rowHash } from '../core/chain.ts';
import { damagedRow, type FieldChecks, type LimitEvent, parseColumn, type StoreEvent } from '../core/events.ts';
import { decodeLimit, isLimitType } from '../core/limit-events.ts';
import { namedSql } from '../core/log.ts';
import type { StoreParts } from '../core/parts.ts';
import { decodeArchived } from '../core/retention-events.ts';
import { checkDuration, checkInteger, checkText, invalid, parseInstant } from '../values/checks.ts';
import { checkDay } from '../values/days.ts';
import { hasCode, StoreError } from '../values/errors.ts';
import type { JsonObject } from '../values/json.ts';
import { decodeCarriedBalances, decodeForgottenDay, followCarried } from './carried.ts';
import type { LedgerRow } from './rows.ts';

/**
 * The events from which a replay and a comparison compute usage and cooldowns. A cooldown event that does not say when
 * the cooldown was set means the time of the event.
 */
export type BalanceEvent =
  | Extract<StoreEvent, { type: 'usage_added' | 'cooldown_cleared' }>
  | { type: 'cooldown_set'; entryId: string; until: string; setAt: string | null };

const balanceChecks: Record<BalanceEvent['type'], FieldChecks> = {
  usage_added: { entryId: checkText, day: checkDay, durationMs: checkDuration },
  cooldown_set: { entryId: checkText, until: checkInstantText, setAt: checkSetAt },
  cooldown_cleared: { entryId: checkText },
};

/**
 * The usage or cooldown event in a row of the log or the ledger; `undefined` for any other row. A row with the right
 * hash may still hold values that no method would have written. Throws `ERR_STORE_CORRUPT`, with the row's id.
 */
export function decodeBalance(id: number, type: unknown, data: unknown, timestamp: unknown): BalanceEvent | undefined {
  if (typeof type !== 'string' || !Object.hasOwn(balanceChecks, type)) return undefined;
  const event = { type, ...decodeFields(id, data, balanceChecks[type as BalanceEvent['type']]) } as BalanceEvent;
  if (event.type !== 'cooldown_set' || event.setAt !== undefined) return event;
  if (!parseInstant(timestamp)) throw damagedRow(id, 'timestamp', timestamp);
  return { ...event, setAt: timestamp as string };
}

/**
 * The public key in a `signing_started` row, and the first row that it has signed. Throws `ERR_STORE_CORRUPT`, with the
 * row's id.
 */
export function decodeSigning(id: number, data: unknown): { publicKey: string; since: number } {
  const { publicKey, since } = decodeFields(id, data, { publicKey: checkText, since: checkSince });
  return { publicKey: publicKey as string, since: (since as number | undefined) ?? id };
}

function checkSince(name: string, value: unknown): unknown {
  return value === undefined ? value : checkInteger(name, value, 1);
}

function decodeFields(id: number, data: unknown, checks: FieldChecks): Record<string, unknown> {
  const fields = parseColumn(id, 'event_data', String(data)) as JsonObject | null;
  try {
    return Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, check(name, fields?.[name])]));
  } catch (cause) {
    throw damagedRow(id, 'event_data', data, cause);
  }
}

function checkUuid(name: string, value: unknown): unknown {
  if (typeof value === 'string' && /^[0-9a-f-]{36}$/.test(value)) return value;
  throw invalid(name, value, 'a UUID');
}

function checkInstantText(name: string, value: unknown): string {
  if (!parseInstant(value)) throw invalid(name, value, 'an instant as RFC 3339');
  return value as string;
}

/** Accepts an instant, null where it is unknown, and undefined where the event does not say. */
function checkSetAt(name: string, value: unknown): unknown {
  return value === undefined || value === null ? value : checkInstantText(name, value);
}

/**
 * Whether the store has a ledger after this event, so that from here on the events account for usage and cooldowns;
 * `undefined` where the event does not change that.
 */
export function ledgerAfter({ id, type, data }: Pick<LedgerRow, 'id' | 'type' | 'data'>): 0 | 1 | undefined {
  if (type === 'ledger_attached' || decodeCarriedBalances(id, type, data)) return 1;
  return type === 'ledger_detached' ? 0 : undefined;
}

/**
 * Inserts a row unchanged, inside a transaction, and applies its effects. Usage and cooldowns follow from events only
 * while the store has a ledger, because an adopted row may have one of their types by chance; limits follow from events
 * in every store, from the adoption on. Throws `ERR_STORE_CORRUPT` for a row that no method would have written.
 */
export function replayRow(parts: StoreParts, row: LedgerRow, hasLedger: boolean): void {
  const { connection, usage, cooldowns } = parts;
  const { id, timestamp, type, data, previous, hash } = row;
  if (rowHash(previous, row) !== hash) {
    throw new StoreError('ERR_STORE_PARITY', `row ${id} does not have the hash of its content`);
  }
  insertReadable(parts, row);
  if (type === 'store_adopted') {
    connection.run('UPDATE store_meta SET adopted_id = ? WHERE id = 1', id);
    parts.limits.clear();
  }
  if (type === 'store_identity_renewed') followRenewal(parts, row);
  if (isLimitType(type)) return replayLimit(parts, row, type, hasLedger);
  if (type === 'limits_carried') followCarried(parts, id, type, data);
  if (!hasLedger) return;
  if (type === 'balances_carried') followCarried(parts, id, type, data);
  const forgotten = type === 'usage_forgotten' ? decodeForgottenDay(id, data) : undefined;
  if (forgotten !== undefined) usage.forget(forgotten);
  if (type === 'ledger_attached') {
    // The balances begin anew, because the events that follow record what was there before.
    connection.run('DELETE FROM usage');
    connection.run('DELETE FROM cooldowns');
  }
  const event = decodeBalance(id, type, data, timestamp);
  if (event?.type === 'usage_added') callReplayed(id, () => usage.addRow(event.entryId, event.day, event.durationMs));
  else if (event?.type === 'cooldown_set') cooldowns.setRow(event.entryId, event.until, event.setAt);
  else if (event?.type === 'cooldown_cleared') cooldowns.deleteRow(event.entryId);
}

/** A store that was made from the header of its ledger has the identity already. */
function followRenewal({ log }: StoreParts, { id, data }: LedgerRow): void {
  const { from, to } = decodeFields(id, data, { from: checkUuid, to: checkUuid });
  if (from === log.uuid) log.takeIdentity(to as string, id);
}

function replayLimit(
  { limits, usage }: StoreParts, row: LedgerRow, type: LimitEvent['type'], hasLedger: boolean,
): void {
  const event = decodeLimit(row.id, type, row.data);
  if (hasLedger && event?.type === 'usage_corrected') {
    callReplayed(row.id, () => usage.correctRow(event.entryId, event.day, event.durationMs));
  }
  limits.follow(row.id, event);
}

/** Inserts a row. SQLite itself judges its meta, because an adopted row may hold JSON that JSON.parse refuses. */
function insertReadable(parts: StoreParts, row: LedgerRow): void {
  const { connection, log } = parts;
  try {
    log.insert(row, row.hash, row.signature);
  } catch (cause) {
    if (hasCode(cause, 'ERR_STORE_CONFLICT') && beginBehindSame(parts, row)) return insertReadable(parts, row);
    const [isReadable] = connection.get<[number | null]>('SELECT json_valid(?, 2)', row.meta)!;
    throw isReadable === 0 ? damagedRow(row.id, 'event_meta', row.meta, cause) : cause;
  }
}

/**
 * Has the log begin behind the archive with the earlier event of the same event id, and says whether there was one: an
 * event id can be used again once its event is archived, and then the archives and the ledger together have two.
 */
function beginBehindSame({ connection, log }: StoreParts, { meta }: LedgerRow): boolean {
  const [eventId] = connection.get<[string]>("SELECT json_extract(?, '$.eventId')", meta)!;
  const earlier = log.findEvent(eventId);
  const archivedSql = `SELECT id, event_data ${namedSql} AND id > ?2 ORDER BY id`;
  const later = earlier ? connection.all<[number, string]>(archivedSql, 'log_archived', earlier.id) : [];
  for (const [id, data] of later) {
    const archived = decodeArchived(id, data);
    if (!archived || archived.to < earlier!.id || log.hashAt(archived.to) !== archived.hash) continue;
    log.beginBehind({ id: archived.to, hash: archived.hash });
    return true;
  }
  return false;
}

/** Reports a value that a method refuses as its argument as a damaged row. */
function callReplayed(id: number, fn: () => void): void {
  try {
    fn();
  } catch (cause) {
    if (!hasCode(cause, 'ERR_STORE_INVALID_ARGUMENT')) throw cause;
    throw new StoreError('ERR_STORE_CORRUPT', `row ${id} cannot be replayed: ${(cause as Error).message}`, { cause });
  }
}
