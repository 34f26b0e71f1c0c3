// The rows of `resource_state`.
import { hash, randomUUID } from 'node:crypto';
import type { ModuleConnection } from '../../core/door.ts';
import { checkInstant, checkOptionalText, checkOptions, checkText, quote } from '../../values/checks.ts';
import type { JsonValue } from '../../values/json.ts';
import { RowReader } from '../row-reader.ts';
import { conflict, encodeJson, nowText, type Page } from './rows.ts';
import { mustHaveRun } from './run.ts';

/** What is known of a resource. */
export interface ResourceState {
  id: string;
  resourceType: string;
  resourceName: string;
  state: JsonValue;
  /** SHA-256 of the state's JSON text (`JSON.stringify`), 64 hexadecimal digits. */
  hash: string;
  /** The run that last changed it. That run cannot be deleted while the state names it. */
  lastRunId: string;
  lastApplied: Date;
  createdAt: Date;
  updatedAt: Date;
}

/** What a resource's state is set to. A new state gets a new UUID as its id, and `lastApplied` is now, unless given. */
export interface NewResourceState {
  id?: string | undefined;
  resourceType: string;
  resourceName: string;
  state: JsonValue;
  lastRunId: string;
  lastApplied?: Date | undefined;
}

/** Which states to list. */
export interface ResourceStateFilter extends Page {
  resourceType?: string | undefined;
}

interface CheckedState {
  id: string | undefined;
  resourceType: string;
  resourceName: string;
  state: string;
  lastRunId: string;
  lastApplied: string | undefined;
}

export function checkNewState(given: NewResourceState): CheckedState {
  const names = ['id', 'resourceType', 'resourceName', 'state', 'lastRunId', 'lastApplied'];
  const { id, resourceType, resourceName, state, lastRunId, lastApplied } = checkOptions('resource', given, names);
  return {
    id: checkOptionalText('resource.id', id), resourceType: checkText('resource.resourceType', resourceType),
    resourceName: checkText('resource.resourceName', resourceName), state: encodeJson('resource.state', state),
    lastRunId: checkText('resource.lastRunId', lastRunId),
    lastApplied: lastApplied === undefined ? undefined : checkInstant('resource.lastApplied', lastApplied),
  };
}

const columns = 'id, resource_type, resource_name, state, hash, last_run_id, last_applied, created_at, updated_at';
type StateRow = [id: unknown, resourceType: string, resourceName: string, ...unknown[]];

function decodeState([
  id, resourceType, resourceName, text, stored, lastRunId, lastApplied, createdAt, updatedAt,
]: StateRow): ResourceState {
  const reader = new RowReader(`resource state ${quote(`${resourceType}/${resourceName}`)}`);
  const state = reader.json('state', text);
  const expected = reader.text('hash', stored);
  if (hash('sha256', reader.text('state', text)) !== expected) {
    throw reader.damaged('state', text, new Error(`its hash is not ${expected}`));
  }
  return {
    id: reader.text('id', id), resourceType: reader.text('resource_type', resourceType),
    resourceName: reader.text('resource_name', resourceName), state, hash: expected,
    lastRunId: reader.text('last_run_id', lastRunId), lastApplied: reader.instant('last_applied', lastApplied),
    createdAt: reader.instant('created_at', createdAt), updatedAt: reader.instant('updated_at', updatedAt),
  };
}

export function setState(connection: ModuleConnection, what: string, given: CheckedState): ResourceState {
  const { resourceType, resourceName, state, lastRunId } = given;
  mustHaveRun(connection, what, lastRunId);
  const current = idOf(connection, resourceType, resourceName);
  if (given.id !== undefined && given.id !== current) refuseTaken(connection, what, given.id, current);
  const now = nowText(connection);
  const sql = `INSERT INTO resource_state (${columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
    ON CONFLICT (resource_type, resource_name) DO UPDATE
    SET state = excluded.state, hash = excluded.hash, last_run_id = excluded.last_run_id,
      last_applied = excluded.last_applied, updated_at = excluded.updated_at
    RETURNING ${columns}`;
  const values = [
    current ?? given.id ?? randomUUID(), resourceType, resourceName, state, hash('sha256', state), lastRunId,
    given.lastApplied ?? now, now,
  ];
  return decodeState(connection.get<StateRow>(sql, ...values)!);
}

function idOf(connection: ModuleConnection, resourceType: string, resourceName: string): string | undefined {
  const sql = 'SELECT id FROM resource_state WHERE resource_type = ? AND resource_name = ?';
  return connection.get<[string]>(sql, resourceType, resourceName)?.[0];
}

/** Refuses an id that is not the one that the state was created with, or that another state has. */
function refuseTaken(connection: ModuleConnection, what: string, id: string, current: string | undefined): void {
  if (current !== undefined) throw conflict(what, `its id is ${quote(current)}, not ${quote(id)}`);
  const sql = 'SELECT resource_type, resource_name FROM resource_state WHERE id = ?';
  const other = connection.get<[string, string]>(sql, id);
  if (other) throw conflict(what, `the id ${quote(id)} is taken by ${quote(other.join('/'))}`);
}

export function findState(
  connection: ModuleConnection, resourceType: string, resourceName: string,
): ResourceState | undefined {
  const sql = `SELECT ${columns} FROM resource_state WHERE resource_type = ? AND resource_name = ?`;
  const row = connection.get<StateRow>(sql, resourceType, resourceName);
  return row && decodeState(row);
}

export function selectStates(
  connection: ModuleConnection, resourceType: string | undefined, page: [limit: number, offset: number],
): ResourceState[] {
  const rest = 'ORDER BY resource_type, resource_name LIMIT ? OFFSET ?';
  if (resourceType === undefined) {
    return connection.all<StateRow>(`SELECT ${columns} FROM resource_state ${rest}`, ...page).map(decodeState);
  }
  const sql = `SELECT ${columns} FROM resource_state WHERE resource_type = ? ${rest}`;
  return connection.all<StateRow>(sql, resourceType, ...page).map(decodeState);
}

/** Deletes a state and gives the hash that it had; `undefined` where there was none. */
export function removeState(
  connection: ModuleConnection, resourceType: string, resourceName: string,
): string | undefined {
  const sql = 'DELETE FROM resource_state WHERE resource_type = ? AND resource_name = ? RETURNING hash';
  return connection.get<[string]>(sql, resourceType, resourceName)?.[0];
}
