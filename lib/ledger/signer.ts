// Which key signs the events of a store, as its log says.
import type { Connection } from '../core/connection.ts';
import { decodeSigning } from './replay.ts';

/** The beginning of the event ids of the events that say so. */
export const signingPrefix = 'signing_started:';

/**
 * The public key with which the store last began to sign; `undefined` where it does not sign. The query uses the index
 * of event ids.
 */
export function signerOf(
  connection: Pick<Connection, 'get'>,
): { id: number; publicKey: string; since: number } | undefined {
  const eventId = "json_extract(event_meta, '$.eventId')";
  const sql = `SELECT id, event_data FROM audit_log WHERE ${eventId} >= ? AND ${eventId} < ? AND ${eventId} IS NOT NULL
    AND event_type = 'signing_started' ORDER BY id DESC LIMIT 1`;
  const row = connection.get<[number, string]>(sql, signingPrefix, `${signingPrefix.slice(0, -1)};`);
  return row && { id: row[0], ...decodeSigning(...row) };
}
