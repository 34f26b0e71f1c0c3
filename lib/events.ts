// What the audit log holds: the event types, their attributes, and how both become the texts of a row and back.
import { checkDay } from './days.ts';
import { StoreError } from './errors.ts';
import { checkJsonLength } from './json-length.ts';
import { checkPolicy, decodePolicy } from './gate.ts';
import type { PolicyAttributes, RecordedDecision } from './gate.ts';
import { checkArray, checkDuration, checkInstant, checkInteger, checkJson, checkOptions, checkText, invalid, parseInstant, parseJson, show } from './values.ts';
import type { JsonObject, JsonValue } from './values.ts';

/** Why a session ended. */
export type SessionEndReason =
  | { type: 'expired' | 'user_stop' | 'admin_stop' | 'policy_stop' | 'service_shutdown' | 'service_crashed' }
  | { type: 'process_exited'; exitCode?: number }
  | { type: 'launch_failed'; error: string };

/** The events that every service of this kind records, and the store's own. Instants inside an event are ISO 8601 texts. */
export type CoreEvent =
  | { type: 'service_started' }
  | { type: 'service_stopped' }
  | { type: 'policy_loaded'; entryCount: number }
  | { type: 'config_reloaded'; success: boolean }
  | { type: 'session_started'; sessionId: string; entryId: string; label?: string; deadline?: string }
  | { type: 'session_ended'; sessionId: string; entryId: string; reason: SessionEndReason; durationMs: number }
  | { type: 'warning_issued'; sessionId: string; thresholdSecs: number }
  | { type: 'launch_denied'; entryId: string; reasons: string[] }
  // what was overridden, undone or removed: of that the tables of projects keep no trace
  | { type: 'project_claim_forced'; path: string } | { type: 'project_restored'; path: string; snapshotId: string; replacedId: string }
  | { type: 'run_records_pruned'; removed: number }
  | StoreEvent;

/** The events that only the store itself writes; `appendAudit` refuses their types. */
export type StoreEvent =
  | {
      type: 'store_adopted'; upToId: number; gaps: [from: number, to: number][]; moreGaps?: number;
      /** What the snapshot had and a state has no place for, by the path of each field. */
      snapshotFields?: JsonObject;
      /** Why the snapshot, which stays as it was, cannot be read. */
      unreadableSnapshot?: string;
    }
  | { type: 'store_recovered'; found: string; lost?: { from?: number; to: number }; moved: string[]; usage: number; cooldowns: number }
  | { type: 'store_imported'; kind: string; from: string; sourceId: string; events: number; usage: number; cooldowns: number; snapshots: number; skipped: number;
      runs?: number; planUnits?: number; runEvents?: number; resourceStates?: number; facts?: number;
      projects?: number; taskHistory?: number; assignedTasks?: number; runRecords?: number }
  // with a ledger every change of usage and cooldowns is an event, from the balances that `ledger_attached` opens
  | { type: 'ledger_attached' } | { type: 'ledger_detached' } | { type: 'signing_started'; publicKey: string }
  // a part of the ledger that was damaged, and is in a file of its own since it was written again
  | { type: 'ledger_set_aside'; file: string; bytes: number; sha256: string }
  | { type: 'usage_added'; entryId: string; day: string; durationMs: number }
  // setAt: when it was set, where that is not the event's own time; null where it is unknown
  | { type: 'cooldown_set'; entryId: string; until: string; setAt?: string | null } | { type: 'cooldown_cleared'; entryId: string }
  // what the snapshot of a source had and a state has no place for
  | { type: 'store_import_kept'; sourceId: string; table: string; row: string; fields: JsonObject }
  // what was taken of a source's totals and rows, so that its next import adds only what has grown since
  | {
      type: 'store_import_taken'; sourceId: string; usage: [entryId: string, day: string, durationMs: number][];
      cooldowns: [entryId: string, until: string][]; snapshots: string[]; settings?: [key: string, valueHash: string][];
      rows?: string[]; things?: string[];
    };

/** The least that an event of a service's own must have: a `type`. The rest is whatever JSON carries. */
export type EventBase = { type: string };

/** What may be said about an event beside its fields; kept in `event_meta` and covered by the chain. */
export interface AuditAttributes extends PolicyAttributes {
  /** The caller's own id of the event: a second one with the same id is `ERR_STORE_CONFLICT`. */
  eventId?: string;
  /** When it happened, where that is not when it was recorded. */
  observedAt?: Date;
  /** Who or what caused it (the actor). */
  source?: string;
  /** Whom or what it concerns. */
  target?: string;
  traceId?: string;
  tags?: string[];
  ipAddress?: string;
}

/** An event as the log holds it: `id` is its position, `timestamp` when it was recorded. */
export interface AuditEvent<E extends EventBase = CoreEvent> extends AuditAttributes {
  id: number;
  timestamp: Date;
  event: E | CoreEvent;
  /** Why it was let in, where it came with a `policy`. */
  policyDecision?: RecordedDecision;
}

/** An event on its way into the log, as texts. */
export interface EventTexts {
  type: string;
  data: string;
  meta: string | null;
}

/** An event that was checked. */
export interface EncodedEvent extends EventTexts {
  /** What is to be decided before it is written; the decision becomes a part of `meta`. */
  policy?: PolicyAttributes;
  /** The same as a value: nobody else has it. */
  event: EventBase;
}

// usage_added and its like change usage and cooldowns when a ledger is replayed, so only the store may write them.
const reserved = new Set(['usage_added', 'cooldown_set', 'cooldown_cleared', 'signing_started', 'ledger_attached', 'ledger_detached', 'ledger_set_aside']);

/** Whether only the store itself may write events of this type. */
function isReserved(type: string): boolean {
  return type.startsWith('store_') || reserved.has(type);
}

type FieldChecks = Record<string, (name: string, value: unknown) => unknown>;

// A number that a reader adds up or compares must not be wrong in the log, where nobody can mend it.
const eventChecks: Record<string, FieldChecks> = {
  policy_loaded: { entryCount: (name, value) => checkInteger(name, value, 0) },
  session_started: { sessionId: checkText, entryId: checkText },
  session_ended: { sessionId: checkText, entryId: checkText, durationMs: (name, value) => checkInteger(name, value, 0) },
  warning_issued: { sessionId: checkText, thresholdSecs: (name, value) => checkInteger(name, value, 0) },
  launch_denied: { entryId: checkText },
};

/** Checks a caller's event and attributes. Throws `ERR_STORE_INVALID_ARGUMENT` or `ERR_STORE_SERIALIZATION`. */
export function encodeEvent(event: unknown, attributes?: AuditAttributes): EncodedEvent {
  const copy = typeof event === 'object' ? checkJson('event', event) : null;
  if (typeof copy !== 'object' || copy === null || Array.isArray(copy)) throw invalid('event', event, 'an object with a type');
  const type = checkText('event.type', copy['type']);
  if (isReserved(type)) throw invalid('event.type', type, 'a type that is not reserved for the store');
  const checks = eventChecks[type] ?? {};
  for (const field of Object.keys(checks)) {
    if (copy[field] !== undefined) checks[field]!(`event.${field}`, copy[field]);
  }
  const encoded = encodeOwnEvent(copy as JsonObject & EventBase);
  return attributes === undefined ? encoded : { ...encoded, ...encodeAttributes(attributes) };
}

/** The same for a group of events. */
export function encodeEvents(items: unknown): EncodedEvent[] {
  return checkArray('items', items, 'an array of { event, attributes? }', (name, item) => {
    const { event, attributes } = checkOptions(name, item as { event: unknown; attributes?: AuditAttributes }, ['event', 'attributes']);
    return encodeEvent(event, attributes);
  });
}

/** The texts of an event that the store itself made. */
export function encodeOwnEvent(event: EventBase): EncodedEvent {
  const { type, ...fields } = event;
  return { type, data: JSON.stringify(fields), meta: null, event };
}

const textAttributes = ['eventId', 'source', 'target', 'traceId', 'ipAddress'] as const;

function encodeAttributes(given: AuditAttributes): Pick<EncodedEvent, 'meta' | 'policy'> {
  const attributes = checkOptions('attributes', given, [...textAttributes, 'observedAt', 'tags', 'policy', 'breakGlass']);
  const meta: JsonObject = {};
  for (const name of textAttributes) {
    if (attributes[name] !== undefined) meta[name] = checkText(name, attributes[name]);
  }
  if (attributes.observedAt !== undefined) meta['observedAt'] = checkInstant('observedAt', attributes.observedAt);
  if (attributes.tags !== undefined) meta['tags'] = checkArray('tags', attributes.tags, 'an array of strings', checkText);
  const policy = checkPolicy(attributes);
  const all = { ...meta, ...policy };
  checkJsonLength('attributes', all);
  return { meta: Object.keys(all).length > 0 ? JSON.stringify(all) : null, ...(policy ? { policy } : undefined) };
}

/** A row of `audit_log`: id, timestamp, event_type, event_data, event_meta. */
export type AuditRow = [id: number, timestamp: string, type: string, data: string, meta: string | null];

/**
 * The event in a row. One of a type that nobody here knows comes back as it was stored. Throws `ERR_STORE_CORRUPT`
 * where a text is not what this column holds.
 */
export function decodeEvent<E extends EventBase>([id, timestamp, type, data, meta]: AuditRow): AuditEvent<E> {
  const instant = parseInstant(timestamp);
  if (!instant) throw damagedRow(id, 'timestamp', timestamp);
  const fields = parseColumn(id, 'event_data', data);
  // An adopted row may hold any JSON; null is how some writers say "no fields". The column is what names the type.
  const isObject = typeof fields === 'object' && fields !== null && !Array.isArray(fields);
  const event: EventBase = { ...(isObject ? fields : fields === null ? {} : { data: fields }), type };
  if (meta === null) return { id, timestamp: instant, event: event as E };
  return { id, timestamp: instant, event: event as E, ...decodeAttributes(id, meta) };
}

/** The event that was just written, as every reader will get it. */
export function writtenEvent<E extends EventBase>(id: number, timestamp: Date, { type, data, meta, event }: EncodedEvent): AuditEvent<E> {
  if (meta !== null) return decodeEvent([id, timestamp.toISOString(), type, data, meta]);
  return { id, timestamp: new Date(timestamp), event: event as E };
}

function decodeAttributes(id: number, meta: string): Omit<AuditEvent, 'id' | 'timestamp' | 'event'> {
  const stored = parseColumn(id, 'event_meta', meta);
  if (typeof stored !== 'object' || stored === null || Array.isArray(stored)) throw damagedRow(id, 'event_meta', meta);
  const attributes: AuditAttributes = {};
  for (const name of textAttributes) {
    const value = stored[name];
    if (typeof value === 'string') attributes[name] = value;
    else if (value !== undefined) throw damagedRow(id, 'event_meta', meta);
  }
  if (stored['observedAt'] !== undefined) {
    const observedAt = parseInstant(stored['observedAt']);
    if (!observedAt) throw damagedRow(id, 'event_meta', meta);
    attributes.observedAt = observedAt;
  }
  const { tags } = stored;
  if (Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')) attributes.tags = tags;
  else if (tags !== undefined) throw damagedRow(id, 'event_meta', meta);
  try {
    return { ...attributes, ...decodePolicy(stored) };
  } catch (cause) {
    throw damagedRow(id, 'event_meta', meta, cause);
  }
}

/**
 * The events that a replay and a comparison read as well: what they say becomes usage and cooldowns. A cooldown that does not
 * say when it was set was set at the time of its event.
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
 * The event of usage or a cooldown in a row of the log or of a ledger; `undefined` for any other. A row with the hash of its
 * content may still hold what no method would have written. Throws `ERR_STORE_CORRUPT`, with the row's id.
 */
export function decodeBalance(id: number, type: unknown, data: unknown, timestamp: unknown): BalanceEvent | undefined {
  if (typeof type !== 'string' || !Object.hasOwn(balanceChecks, type)) return undefined;
  const event = { type, ...decodeFields(id, data, balanceChecks[type as BalanceEvent['type']]) } as BalanceEvent;
  if (event.type !== 'cooldown_set' || event.setAt !== undefined) return event;
  if (!parseInstant(timestamp)) throw damagedRow(id, 'timestamp', timestamp);
  return { ...event, setAt: timestamp as string };
}

/** The public key in a row of `signing_started`. Throws `ERR_STORE_CORRUPT`, with the row's id. */
export function decodeSigningKey(id: number, data: unknown): string {
  return decodeFields(id, data, { publicKey: checkText })['publicKey'] as string;
}

function decodeFields(id: number, data: unknown, checks: FieldChecks): Record<string, unknown> {
  const fields = parseColumn(id, 'event_data', String(data)) as JsonObject | null;
  try {
    return Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, check(name, fields?.[name])]));
  } catch (cause) {
    throw damagedRow(id, 'event_data', data, cause);
  }
}

function checkInstantText(name: string, value: unknown): string {
  if (!parseInstant(value)) throw invalid(name, value, 'an instant as RFC 3339');
  return value as string;
}

/** Absent, or null, or an instant. */
function checkSetAt(name: string, value: unknown): unknown {
  return value === undefined || value === null ? value : checkInstantText(name, value);
}

function parseColumn(id: number, column: string, text: string): JsonValue {
  try {
    return parseJson(text);
  } catch (cause) {
    throw damagedRow(id, column, text, cause);
  }
}

/** The error for a row whose column cannot be read. */
export function damagedRow(id: number, column: string, value: unknown, cause?: unknown): StoreError {
  return new StoreError('ERR_STORE_CORRUPT', `audit_log row ${id}: ${column} cannot be read: ${show(value)}`, { cause });
}
