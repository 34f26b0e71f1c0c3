// The rows of `plan_units`.
import { randomUUID } from 'node:crypto';
import type { ModuleConnection } from '../../core/door.ts';
import { checkArray, checkOneOf, checkOptions, checkText, quote } from '../../values/checks.ts';
import type { JsonValue } from '../../values/json.ts';
import { present, RowReader } from '../row-reader.ts';
import { conflict, encodeJson, encodeOptionalJson, naming, notFound, nowText, timesAfter } from './rows.ts';
import { mustHaveRun } from './run.ts';

const actions = ['create', 'update', 'delete', 'read'] as const;
/** What a unit does to its resource. */
export type PlanUnitAction = (typeof actions)[number];

const unitStatuses = ['pending', 'running', 'completed', 'failed', 'skipped'] as const;
/** The status: pending → running or skipped; running → completed, failed or pending; failed → pending. */
export type PlanUnitStatus = (typeof unitStatuses)[number];

const changes: Record<PlanUnitStatus, readonly PlanUnitStatus[]> = {
  pending: ['running', 'skipped'], running: ['completed', 'failed', 'pending'], failed: ['pending'],
  completed: [], skipped: [],
};

/** One step of a run. */
export interface PlanUnit {
  id: string;
  runId: string;
  resourceType: string;
  resourceName: string;
  action: PlanUnitAction;
  status: PlanUnitStatus;
  /** The ids of units of the same run that have to be completed before this one starts. */
  dependencies: string[];
  desiredState: JsonValue;
  actualState?: JsonValue;
  diff?: JsonValue;
  /** What was given with the last change of status. */
  error?: string;
  retries: number;
  startedAt?: Date;
  completedAt?: Date;
  createdAt: Date;
  updatedAt: Date;
}

/** What a unit is created with: a new UUID as its id and no dependencies unless given. */
export interface NewPlanUnit {
  id?: string | undefined;
  runId: string;
  resourceType: string;
  resourceName: string;
  action: PlanUnitAction;
  dependencies?: readonly string[] | undefined;
  desiredState: JsonValue;
}

/** What a change of a unit's status may set as well. States that are absent stay as they are. */
export interface PlanUnitOutcome {
  actualState?: JsonValue | undefined;
  diff?: JsonValue | undefined;
  error?: string | undefined;
}

interface CheckedUnit {
  id: string;
  runId: string;
  resourceType: string;
  resourceName: string;
  action: PlanUnitAction;
  dependencies: string[];
  desiredState: string;
}

export function checkNewUnit(given: NewPlanUnit): CheckedUnit {
  const names = ['id', 'runId', 'resourceType', 'resourceName', 'action', 'dependencies', 'desiredState'];
  const unit = checkOptions('unit', given, names);
  const { id = randomUUID(), dependencies = [] } = unit;
  return {
    id: checkText('unit.id', id), runId: checkText('unit.runId', unit.runId),
    resourceType: checkText('unit.resourceType', unit.resourceType),
    resourceName: checkText('unit.resourceName', unit.resourceName),
    action: checkOneOf('unit.action', unit.action, actions),
    dependencies: checkArray('unit.dependencies', dependencies, 'an array of plan unit ids', checkText),
    desiredState: encodeJson('unit.desiredState', unit.desiredState),
  };
}

export function checkUnitStatus(name: string, value: unknown): PlanUnitStatus {
  return checkOneOf(name, value, unitStatuses);
}

interface CheckedOutcome {
  actualState: string | null;
  diff: string | null;
  error: string | null;
}

export function checkOutcome(given: PlanUnitOutcome | undefined): CheckedOutcome {
  const { actualState, diff, error } = checkOptions('outcome', given, ['actualState', 'diff', 'error']);
  return {
    actualState: encodeOptionalJson('outcome.actualState', actualState),
    diff: encodeOptionalJson('outcome.diff', diff),
    error: error === undefined ? null : checkText('outcome.error', error),
  };
}

const columns = `id, run_id, resource_type, resource_name, action, status, dependencies, desired_state, actual_state,
  diff, error, retries, started_at, completed_at, created_at, updated_at`;
type UnitRow = [id: string, ...unknown[]];

function readerOf(id: string): RowReader {
  return new RowReader(`plan unit ${quote(id)}`);
}

function decodeUnit([
  id, runId, resourceType, resourceName, action, status, dependencies, desiredState, actualState, diff, error, retries,
  startedAt, completedAt, createdAt, updatedAt,
]: UnitRow): PlanUnit {
  const reader = readerOf(id);
  return present<PlanUnit>({
    id: reader.text('id', id), runId: reader.text('run_id', runId),
    resourceType: reader.text('resource_type', resourceType), resourceName: reader.text('resource_name', resourceName),
    action: reader.word('action', action, actions), status: reader.word('status', status, unitStatuses),
    dependencies: reader.texts('dependencies', dependencies),
    desiredState: reader.json('desired_state', desiredState),
    actualState: reader.optionalJson('actual_state', actualState), diff: reader.optionalJson('diff', diff),
    error: reader.optionalText('error', error), retries: reader.count('retries', retries),
    startedAt: reader.optionalInstant('started_at', startedAt),
    completedAt: reader.optionalInstant('completed_at', completedAt),
    createdAt: reader.instant('created_at', createdAt), updatedAt: reader.instant('updated_at', updatedAt),
  });
}

export function insertUnit(connection: ModuleConnection, what: string, unit: CheckedUnit): PlanUnit {
  const { id, runId, dependencies } = unit;
  mustHaveRun(connection, what, runId);
  if (connection.get('SELECT 1 FROM plan_units WHERE id = ?', id)) throw conflict(what, 'the id is taken');
  // A unit can only depend on units that are there already, and dependencies never change, so a unit that depends on
  // itself is the only cycle that there can be.
  if (dependencies.includes(id)) throw conflict(what, 'it would depend on itself, a cycle');
  const unknown = connection.get<[string]>(unknownSql, JSON.stringify(dependencies), runId);
  if (unknown) throw notFound(what, `plan unit ${quote(unknown[0])} in run ${quote(runId)} to depend on`);
  const sql = `INSERT INTO plan_units (
      id, run_id, resource_type, resource_name, action, status, dependencies, desired_state, created_at, updated_at
    ) VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?7, ?8, ?8) RETURNING ${columns}`;
  const { resourceType, resourceName, action, desiredState } = unit;
  const values = [
    id, runId, resourceType, resourceName, action, JSON.stringify(dependencies), desiredState, nowText(connection),
  ];
  return decodeUnit(connection.get<UnitRow>(sql, ...values)!);
}

const unknownSql = `SELECT dependency.value FROM json_each(?1) AS dependency
  LEFT JOIN plan_units AS unit ON unit.id = dependency.value AND unit.run_id = ?2 WHERE unit.id IS NULL LIMIT 1`;

export function findUnit(connection: ModuleConnection, what: string, id: string): PlanUnit {
  const row = connection.get<UnitRow>(`SELECT ${columns} FROM plan_units WHERE id = ?`, id);
  if (!row) throw notFound(what, `plan unit ${quote(id)}`);
  return decodeUnit(row);
}

/**
 * Changes a unit's status and gives the unit as it was before and as it is now. A unit that is pending again counts as
 * not started.
 */
export function changeUnitStatus(
  connection: ModuleConnection, what: string, id: string, status: PlanUnitStatus, outcome: CheckedOutcome,
): [before: PlanUnit, after: PlanUnit] {
  const before = findUnit(connection, what, id);
  if (!changes[before.status].includes(status)) throw conflict(what, `it is ${before.status}`);
  const now = nowText(connection);
  const startedAt = status === 'pending' ? null : before.startedAt?.toISOString() ?? null;
  const sql = `UPDATE plan_units SET status = ?2, started_at = ?3, completed_at = ?4, error = ?5, updated_at = ?6,
    actual_state = coalesce(?7, actual_state), diff = coalesce(?8, diff) WHERE id = ?1 RETURNING ${columns}`;
  const { actualState, diff, error } = outcome;
  const values = [id, status, ...timesAfter(status, startedAt, now), error, now, actualState, diff];
  return [before, decodeUnit(connection.get<UnitRow>(sql, ...values)!)];
}

export function countRetry(connection: ModuleConnection, what: string, id: string): PlanUnit {
  findUnit(connection, what, id); // throws where the count is damaged, so that nothing is added to it
  const sql = `UPDATE plan_units SET retries = retries + 1, updated_at = ?2 WHERE id = ?1 RETURNING ${columns}`;
  return decodeUnit(connection.get<UnitRow>(sql, id, nowText(connection))!);
}

export function selectUnits(connection: ModuleConnection, runId: string): PlanUnit[] {
  const sql = `SELECT ${columns} FROM plan_units WHERE run_id = ? ORDER BY position`;
  return connection.all<UnitRow>(sql, runId).map(decodeUnit);
}

/** What decides whether a unit can start. */
type Standing = Pick<PlanUnit, 'id' | 'status' | 'dependencies'>;

/**
 * Reads the standings of all units of a run. SQL does not choose among them, because it would leave a unit whose status
 * is damaged out without an error.
 */
function selectStandings(connection: ModuleConnection, runId: string): Standing[] {
  const sql = 'SELECT id, status, dependencies FROM plan_units WHERE run_id = ? ORDER BY position';
  return connection.all<UnitRow>(sql, runId).map(([id, status, dependencies]) => {
    const reader = readerOf(id);
    return {
      id, status: reader.word('status', status, unitStatuses), dependencies: reader.texts('dependencies', dependencies),
    };
  });
}

/** Gives the units that can start. A dependency that another program has deleted counts as not completed. */
export function selectReadyUnits(connection: ModuleConnection, what: string, runId: string): PlanUnit[] {
  mustHaveRun(connection, what, runId);
  const standings = selectStandings(connection, runId);
  const completed = new Set(standings.filter(({ status }) => status === 'completed').map(({ id }) => id));
  const ready = standings.filter(({ status, dependencies }) => {
    return status === 'pending' && dependencies.every((id) => completed.has(id));
  });
  return ready.map(({ id }) => findUnit(connection, what, id));
}

/** Deletes a unit and gives it as it was. Its events are deleted with it, by their foreign key. */
export function removeUnit(connection: ModuleConnection, what: string, id: string): PlanUnit {
  const unit = findUnit(connection, what, id);
  const standings = selectStandings(connection, unit.runId);
  const dependents = standings.filter(({ dependencies }) => dependencies.includes(id)).map((dependent) => dependent.id);
  if (dependents.length > 0) throw conflict(what, `on it depends ${naming(dependents)}`);
  connection.prepare('DELETE FROM plan_units WHERE id = ?').run(id);
  return unit;
}
