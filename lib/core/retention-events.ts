// The events of a log that was shortened, as they are read from a row: one with the right hash may still be another
// writer's, because before version 9 every service could append events of these types.
import { basename } from 'node:path';
import { isText } from '../values/checks.ts';
import type { JsonObject } from '../values/json.ts';
import type { Anchor } from './chain.ts';
import { parseColumn } from './events.ts';

/** Which rows went into an archive, and which file that is. */
export interface ArchivedRange {
  from: number;
  to: number;
  /** The hash of the last row. */
  hash: string;
  file: string;
  /** The SHA-256 of the file. */
  sha256: string;
}

/** The fields of an event `log_archived`; `undefined` for what the store would not have written. */
export function decodeArchived(id: number, data: unknown): ArchivedRange | undefined {
  const { from, to, hash, file, sha256 } = fieldsOf(id, data);
  const isRange = isId(from) && isId(to) && from <= to && to < id;
  // A name, and no way out of the folder that the archives are looked for in.
  const isName = isText(file) && file === basename(file);
  return isRange && isDigest(hash) && isName && isDigest(sha256) ? { from, to, hash, file, sha256 } : undefined;
}

/** The last row whose archive is gone by an event `archives_forgotten`; `undefined` for another writer's event. */
export function decodeForgotten(id: number, data: unknown): Anchor | undefined {
  const { to, hash } = fieldsOf(id, data);
  return isId(to) && to < id && isDigest(hash) ? { id: to, hash } : undefined;
}

/** The fields of an event; none where they cannot be read. */
export function fieldsOf(id: number, data: unknown): JsonObject {
  try {
    return (isText(data) && (parseColumn(id, 'event_data', data) as JsonObject | null)) || {};
  } catch {
    return {};
  }
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

function isDigest(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}
