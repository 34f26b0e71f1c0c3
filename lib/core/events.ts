// What the audit log holds: the event types, their attributes, and how both become the texts of a row and back.
import {
  checkArray, checkCount, checkInstant, checkOptions, checkText, invalid, parseInstant, show,
} from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';
import { checkJson, checkJsonLength, type JsonObject, type JsonValue, parseJson } from '../values/json.ts';
import { checkPolicyAttributes, decodePolicy, type PolicyAttributes, type RecordedDecision } from './policy.ts';

/** Why a session ended. */
export type SessionEndReason =
  | { type: 'expired' | 'user_stop' | 'admin_stop' | 'policy_stop' | 'service_shutdown' | 'service_crashed' }
  | { type: 'process_exited'; exitCode?: number | undefined }
  | { type: 'launch_failed'; error: string };

/**
 * The events that every service of this kind records, and the store's own. Instants inside an event are ISO 8601 texts.
 */
export type CoreEvent =
  | { type: 'service_started' }
  | { type: 'service_stopped' }
  | { type: 'policy_loaded'; entryCount: number }
  | { type: 'config_reloaded'; success: boolean }
  | {
      type: 'session_started'; sessionId: string; entryId: string; label?: string | undefined;
      deadline?: string | undefined;
      /** The subject whose balance the session spends. */
      balance?: string | undefined;
    }
  | { type: 'session_extended'; sessionId: string; entryId: string; deadline: string }
  | { type: 'session_ended'; sessionId: string; entryId: string; reason: SessionEndReason; durationMs: number }
  | { type: 'warning_issued'; sessionId: string; thresholdSecs: number }
  | { type: 'launch_denied'; entryId: string; reasons: string[] }
  | StoreEvent;

/**
 * The events that only the store itself writes; `appendAudit` refuses their types. With a ledger every change of usage
 * and cooldowns is an event, from the balances after `ledger_attached` on.
 */
export type StoreEvent =
  | {
      type: 'store_adopted'; upToId: number; gaps: [from: number, to: number][]; moreGaps?: number;
      /** The fields of the adopted snapshot for which a state has no place, by their paths. */
      snapshotFields?: JsonObject;
      /** Why the adopted snapshot cannot be read; it stays as it was. */
      unreadableSnapshot?: string;
    }
  | {
      type: 'store_recovered'; found: string; lost?: { from?: number; to: number }; moved: string[];
      usage: number; cooldowns: number; limits?: number;
    }
  /** The store has another UUID from this row on. */
  | { type: 'store_identity_renewed'; from: string; to: string }
  | { type: 'ledger_attached' }
  | { type: 'ledger_detached' }
  | {
      type: 'signing_started'; publicKey: string;
      /** The first row that this key has signed, where the event that said so went into an archive. */
      since?: number;
    }
  | {
      type: 'ledger_set_aside';
      /** The file to which a damaged part of the ledger was copied before the ledger was written again. */
      file: string; bytes: number; sha256: string;
    }
  | { type: 'usage_added'; entryId: string; day: string; durationMs: number }
  | {
      type: 'cooldown_set'; entryId: string; until: string;
      /** When it was set, where that is not the event's own time; null where it is unknown. */
      setAt?: string | null;
    }
  | { type: 'cooldown_cleared'; entryId: string }
  | LimitEvent
  | RetentionEvent
  | UpkeepEvent;

/**
 * What was done for the store from outside, recorded where a caller asked for it. `anchor`: the last row of the copy,
 * or of what was verified, as `verify --anchor` takes it; absent for an empty log.
 */
export type UpkeepEvent =
  /** A copy was checked, and is durable under its name; it does not have this event. */
  | { type: 'store_backed_up'; file: string; bytes: number; anchor?: string }
  /** `parts`: what was found whole. */
  | { type: 'store_verified'; parts: VerifiedPart[]; anchor?: string };

/** A part of a store that a verification looks at. */
export type VerifiedPart = 'pages' | 'log' | 'archives' | 'ledger' | 'signatures' | 'anchor';

/**
 * What is recorded where a log is shortened. `from`, `to`: the first and the last row; `hash`: that of the last one;
 * `sha256`: that of the whole file. What is carried over is given as rows, because a few events have to hold all of it.
 */
export type RetentionEvent =
  | { type: 'log_archived'; from: number; to: number; hash: string; file: string; sha256: string }
  | { type: 'archives_forgotten'; to: number; hash: string; files: string[] }
  /** The totals of the days before `before` were deleted. */
  | { type: 'usage_forgotten'; before: string; rows: number }
  /** With a ledger: usage and cooldowns as they are now. */
  | {
      type: 'balances_carried';
      usage: [entryId: string, day: string, durationMs: number][];
      cooldowns: [entryId: string, until: string, setAt: string | null][];
    }
  | {
      type: 'limits_carried';
      overrides: [subject: string, day: string, grantedMs: number, availability: Availability | null][];
      balances: [subject: string, balanceMs: number][];
    };

/**
 * The changes of limits, which are events in every store. `durationMs` is what was asked for; `grantedMs`, `appliedMs`,
 * `balanceMs` and `totalMs` are what came of it. `availability` null: neither of the two any more.
 */
export type LimitEvent =
  | { type: 'time_granted'; subject: string; day: string; durationMs: number; grantedMs: number; reason?: string }
  | { type: 'availability_set'; subject: string; day: string; availability: Availability | null; reason?: string }
  | {
      type: 'balance_adjusted'; subject: string; durationMs: number; capMs?: number | undefined; appliedMs: number;
      balanceMs: number; reason?: string;
    }
  | { type: 'usage_corrected'; entryId: string; day: string; durationMs: number; totalMs: number; reason: string };

/** Whether the windows of a subject's rules are lifted on a day, or nothing may start on it. */
export type Availability = 'allowed' | 'denied';

/** What every event of a service's own must have: a `type`. The other fields are whatever JSON carries. */
export type EventBase = { type: string };

/** What a caller may say about an event besides its fields; kept in `event_meta` and covered by the chain. */
export interface AuditAttributes extends PolicyAttributes {
  /**
   * The caller's own id of the event. A second event with the same id is refused (`ERR_STORE_CONFLICT`) for as long as
   * the first one is in the database: an id is forgotten once its event went into an archive.
   */
  eventId?: string | undefined;
  /** When it happened, where that is not when it was recorded. */
  observedAt?: Date | undefined;
  /** Who or what caused it (the actor). */
  source?: string | undefined;
  /** Whom or what it concerns. */
  target?: string | undefined;
  traceId?: string | undefined;
  tags?: string[] | undefined;
  ipAddress?: string | undefined;
}

/**
 * The events of one type, or of several: what of `E` and of the core's events has the type `T`. A type that neither has
 * gives an event of which nothing else is known.
 */
export type EventOfType<E extends EventBase, T extends string> = string extends T ? E | CoreEvent
  : T extends string ? ([Having<E | CoreEvent, T>] extends [never] ? { type: T } : Having<E | CoreEvent, T>) : never;

/** Each event that can have the type `T`; one that can have others too is narrowed to it. */
type Having<E extends EventBase, T extends string> =
  E extends EventBase ? (T extends E['type'] ? (E['type'] extends T ? E : E & { type: T }) : never) : never;

/** An event as the log holds it: `id` is its position, `timestamp` when it was recorded. */
export interface AuditEvent<E extends EventBase = CoreEvent, T extends string = string> extends AuditAttributes {
  id: number;
  timestamp: Date;
  event: EventOfType<E, T>;
  /** Why the event was accepted, where it came with a `policy`. */
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
  /** What the decision before the write is based on; the decision becomes a part of `meta`. */
  policy?: PolicyAttributes;
  /** The event as an object that nobody else has and could change. */
  event: EventBase;
}

// A replay changes usage, cooldowns and limits by some of these, and verification and the ledger go by the others, so
// only the store may write them.
const reserved: ReadonlySet<string> = new Set([
  'usage_added', 'cooldown_set', 'cooldown_cleared', 'signing_started', 'ledger_attached', 'ledger_detached',
  'ledger_set_aside', 'time_granted', 'availability_set', 'balance_adjusted', 'usage_corrected',
  'log_archived', 'archives_forgotten', 'usage_forgotten', 'balances_carried', 'limits_carried',
] satisfies StoreEvent['type'][]);

/** Whether only the store itself may write events of this type. */
function isReserved(type: string): boolean {
  return type.startsWith('store_') || reserved.has(type);
}

export type FieldChecks = Record<string, (name: string, value: unknown) => unknown>;

// A number that a reader adds up or compares must not be wrong in the log, where nobody can mend it.
const eventChecks: Record<string, FieldChecks> = {
  policy_loaded: { entryCount: checkCount },
  session_started: { sessionId: checkText, entryId: checkText, balance: checkText },
  session_extended: { sessionId: checkText, entryId: checkText },
  session_ended: { sessionId: checkText, entryId: checkText, durationMs: checkCount },
  warning_issued: { sessionId: checkText, thresholdSecs: checkCount },
  launch_denied: { entryId: checkText },
};

/** Checks a caller's event and attributes. Throws `ERR_STORE_INVALID_ARGUMENT` or `ERR_STORE_SERIALIZATION`. */
export function encodeEvent(event: unknown, attributes?: AuditAttributes): EncodedEvent {
  const copy = typeof event === 'object' ? checkJson('event', event) : null;
  const isObject = typeof copy === 'object' && copy !== null && !Array.isArray(copy);
  if (!isObject) throw invalid('event', event, 'an object with a type');
  const type = checkText('event.type', copy['type']);
  if (isReserved(type)) throw invalid('event.type', type, 'a type that is not reserved for the store');
  const checks = eventChecks[type] ?? {};
  for (const field of Object.keys(checks)) {
    if (copy[field] !== undefined) checks[field]!(`event.${field}`, copy[field]);
  }
  const encoded = encodeChecked(copy as JsonObject & EventBase);
  return attributes === undefined ? encoded : { ...encoded, ...encodeAttributes(attributes) };
}

/** Checks a caller's group of events as `encodeEvent` does. */
export function encodeEvents(items: unknown): EncodedEvent[] {
  return checkArray('items', items, 'an array of { event, attributes? }', (name, item) => {
    const given = item as { event: unknown; attributes?: AuditAttributes };
    const { event, attributes } = checkOptions(name, given, ['event', 'attributes']);
    return encodeEvent(event, attributes);
  });
}

/** The texts of an event that was checked, or that the store itself made. */
export function encodeChecked(event: EventBase): EncodedEvent {
  const { type, ...fields } = event;
  return { type, data: JSON.stringify(fields), meta: null, event };
}

const textAttributes = ['eventId', 'source', 'target', 'traceId', 'ipAddress'] as const;

function encodeAttributes(given: AuditAttributes): Pick<EncodedEvent, 'meta' | 'policy'> {
  const names = [...textAttributes, 'observedAt', 'tags', 'policy', 'breakGlass'];
  const attributes = checkOptions('attributes', given, names);
  const meta: JsonObject = {};
  for (const name of textAttributes) {
    if (attributes[name] !== undefined) meta[name] = checkText(name, attributes[name]);
  }
  if (attributes.observedAt !== undefined) meta['observedAt'] = checkInstant('observedAt', attributes.observedAt);
  const { tags } = attributes;
  if (tags !== undefined) meta['tags'] = checkArray('tags', tags, 'an array of strings', checkText);
  const policy = checkPolicyAttributes(attributes);
  const all = { ...meta, ...policy };
  checkJsonLength('attributes', all);
  return { meta: Object.keys(all).length > 0 ? JSON.stringify(all) : null, ...(policy ? { policy } : undefined) };
}

/** A row of `audit_log`: id, timestamp, event_type, event_data, event_meta. */
export type AuditRow = [id: number, timestamp: string, type: string, data: string, meta: string | null];

/**
 * The event in a row. An event of an unknown type is given as it was stored. Throws `ERR_STORE_CORRUPT` for a text that
 * its column cannot hold.
 */
export function decodeEvent<E extends EventBase>([id, timestamp, type, data, meta]: AuditRow): AuditEvent<E> {
  const instant = parseInstant(timestamp);
  if (!instant) throw damagedRow(id, 'timestamp', timestamp);
  const fields = parseColumn(id, 'event_data', data);
  // An adopted row may hold any JSON, and some writers mean "no fields" by null. The type comes from its own column.
  const isObject = typeof fields === 'object' && fields !== null && !Array.isArray(fields);
  const event: EventBase = { ...(isObject ? fields : fields === null ? {} : { data: fields }), type };
  if (meta === null) return { id, timestamp: instant, event: event as E };
  return { id, timestamp: instant, event: event as E, ...decodeAttributes(id, meta) };
}

/** The event that was just written, as every reader will get it. */
export function writtenEvent<E extends EventBase>(
  id: number, timestamp: Date, { type, data, meta, event }: EncodedEvent,
): AuditEvent<E> {
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

export function parseColumn(id: number, column: string, text: string): JsonValue {
  try {
    return parseJson(text);
  } catch (cause) {
    throw damagedRow(id, column, text, cause);
  }
}

/** The error for a row whose column cannot be read. */
export function damagedRow(id: number, column: string, value: unknown, cause?: unknown): StoreError {
  const message = `audit_log row ${id}: ${column} cannot be read: ${show(value)}`;
  return new StoreError('ERR_STORE_CORRUPT', message, { cause });
}
