// Which key signs the events of a store, as its log says.
import type { Connection } from '../core/connection.ts';
import { namedSql } from '../core/log.ts';
import { decodeSigning } from './replay.ts';

/** The public key with which the store last began to sign; `undefined` where it does not sign. */
export function signerOf(
  connection: Pick<Connection, 'get'>,
): { id: number; publicKey: string; since: number } | undefined {
  const sql = `SELECT id, event_data ${namedSql} ORDER BY id DESC LIMIT 1`;
  const row = connection.get<[number, string]>(sql, 'signing_started');
  return row && { id: row[0], ...decodeSigning(...row) };
}
