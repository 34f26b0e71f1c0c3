// What the log says of backups and verifications: a caller who asks for it has each recorded as an event, and whoever
// looks at the store finds the newest of them, in a log of any length.
import { parseInstant } from '../values/checks.ts';
import { StoreError, toStoreError } from '../values/errors.ts';
import type { JsonObject } from '../values/json.ts';
import type { Anchor } from './chain.ts';
import type { ModuleConnection } from './door.ts';
import { damagedRow, encodeChecked, type UpkeepEvent } from './events.ts';
import { eventIdSql, namedSql } from './log.ts';
import { fieldsOf } from './retention-events.ts';

/** An event of which the log has one for each time that something was done. */
export interface Recorded {
  id: number;
  /** When it was recorded. */
  at: Date;
  /** The event's fields; none where they cannot be read. */
  fields: JsonObject;
}

/** The anchor of an event, as `verify --anchor` takes it; none for an empty log. */
export function anchorOf(head: Anchor | undefined): Pick<UpkeepEvent, 'anchor'> {
  return head ? { anchor: `${head.id}:${head.hash}` } : {};
}

/** What the diagnostics channel calls the write of each event. */
const operations: Record<UpkeepEvent['type'], string> = { store_backed_up: 'backup', store_verified: 'verify' };

/**
 * Appends the event and gives its row. The event id ends with the number of that row in 16 digits: so each time is
 * recorded, also where the log was the same before, and the newest event has the last id in the index of event ids.
 */
export function recordUpkeep(door: ModuleConnection, event: UpkeepEvent, source?: string): number {
  const operation = operations[event.type];
  return door.write(operation, `record ${event.type}`, () => {
    const row = (door.parts.log.head()?.id ?? 0) + 1;
    const eventId = `${event.type}:${String(row).padStart(16, '0')}`;
    const meta = JSON.stringify({ eventId, ...(source === undefined ? undefined : { source }) });
    return door.appendAudit({ ...encodeChecked(event), meta });
  });
}

/** An error of `recordUpkeep` that also says what was done well before; any other error unchanged. */
export function unrecorded(done: string, error: unknown): unknown {
  const mapped = toStoreError(error, 'record it');
  if (!(mapped instanceof StoreError)) return mapped;
  return new StoreError(mapped.code, `${done}, but that is not recorded: ${mapped.message}`, { cause: mapped });
}

const newestSql = `SELECT id, timestamp, event_data ${namedSql} ORDER BY ${eventIdSql} DESC LIMIT 1`;
// The event ids of archives have another order than their rows.
const archivedSql = `SELECT id, timestamp, event_data FROM audit_log WHERE id = (SELECT max(id) ${namedSql})`;

/**
 * The newest event of this type that is still in the log: one that went into an archive is forgotten. Throws
 * `ERR_STORE_CORRUPT` where its time cannot be read.
 */
export function lastRecorded(
  door: Pick<ModuleConnection, 'read' | 'get'>, type: UpkeepEvent['type'] | 'log_archived',
): Recorded | undefined {
  const sql = type === 'log_archived' ? archivedSql : newestSql;
  const row = door.read(`look for ${type}`, () => door.get<[number, unknown, unknown]>(sql, type));
  if (!row) return undefined;
  const [id, timestamp, data] = row;
  const at = parseInstant(timestamp);
  if (!at) throw damagedRow(id, 'timestamp', timestamp);
  return { id, at, fields: fieldsOf(id, data) };
}
