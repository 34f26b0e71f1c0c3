// The rows of `run_events`.
import type { ModuleConnection } from '../../core/door.ts';
import { checkOneOf, checkOptionalText, checkOptions, checkText, quote } from '../../values/checks.ts';
import type { JsonValue } from '../../values/json.ts';
import { present, RowReader } from '../row-reader.ts';
import { conflict, encodeOptionalJson, notFound, nowText, type Page } from './rows.ts';
import { mustHaveRun } from './run.ts';

const levels = ['debug', 'info', 'warning', 'error'] as const;
/** How much a run event matters. */
export type RunEventLevel = (typeof levels)[number];

/** Something that a run or one of its units had to say. */
export interface RunEvent {
  /** A later event has a higher id. */
  id: number;
  runId?: string;
  planUnitId?: string;
  level: RunEventLevel;
  message: string;
  details?: JsonValue;
  timestamp: Date;
}

/** What a run event is appended with. An event of a unit gets the unit's run. */
export interface NewRunEvent {
  runId?: string | undefined;
  planUnitId?: string | undefined;
  level: RunEventLevel;
  message: string;
  details?: JsonValue | undefined;
}

/** Which events to give: those that match every field that is there. */
export interface RunEventFilter extends Page {
  runId?: string | undefined;
  planUnitId?: string | undefined;
  level?: RunEventLevel | undefined;
}

interface CheckedEvent {
  runId: string | undefined;
  planUnitId: string | undefined;
  level: RunEventLevel;
  message: string;
  details: string | null;
}

export function checkNewEvent(given: NewRunEvent): CheckedEvent {
  const names = ['runId', 'planUnitId', 'level', 'message', 'details'];
  const { runId, planUnitId, level, message, details } = checkOptions('event', given, names);
  return {
    runId: checkOptionalText('event.runId', runId), planUnitId: checkOptionalText('event.planUnitId', planUnitId),
    level: checkOneOf('event.level', level, levels), message: checkText('event.message', message),
    details: encodeOptionalJson('event.details', details),
  };
}

type Condition = [column: string, value: string];

/** Gives the conditions of a query; the first one is the one that matches fewest rows. */
export function checkEventFilter({ runId, planUnitId, level }: RunEventFilter): Condition[] {
  const conditions: Condition[] = [];
  if (planUnitId !== undefined) conditions.push(['plan_unit_id', checkText('options.planUnitId', planUnitId)]);
  if (runId !== undefined) conditions.push(['run_id', checkText('options.runId', runId)]);
  if (level !== undefined) conditions.push(['level', checkOneOf('options.level', level, levels)]);
  return conditions;
}

const columns = 'id, run_id, plan_unit_id, level, message, details, timestamp';
type EventRow = [id: number, ...unknown[]];

function decodeEvent([id, runId, planUnitId, level, message, details, timestamp]: EventRow): RunEvent {
  const reader = new RowReader(`run event ${id}`);
  return present<RunEvent>({
    id, runId: reader.optionalText('run_id', runId), planUnitId: reader.optionalText('plan_unit_id', planUnitId),
    level: reader.word('level', level, levels), message: reader.text('message', message),
    details: reader.optionalJson('details', details), timestamp: reader.instant('timestamp', timestamp),
  });
}

export function insertEvent(connection: ModuleConnection, what: string, event: CheckedEvent): RunEvent {
  const sql = `INSERT INTO run_events (run_id, plan_unit_id, level, message, details, timestamp)
    VALUES (?, ?, ?, ?, ?, ?) RETURNING ${columns}`;
  const { planUnitId = null, level, message, details } = event;
  const values = [runOf(connection, what, event), planUnitId, level, message, details, nowText(connection)];
  return decodeEvent(connection.get<EventRow>(sql, ...values)!);
}

/** Gives the run of an event. An event of a unit gets the unit's run, so that a query by run finds it as well. */
function runOf(connection: ModuleConnection, what: string, { runId, planUnitId }: CheckedEvent): string | null {
  if (runId !== undefined) mustHaveRun(connection, what, runId);
  if (planUnitId === undefined) return runId ?? null;
  const unit = connection.get<[string]>('SELECT run_id FROM plan_units WHERE id = ?', planUnitId);
  if (!unit) throw notFound(what, `plan unit ${quote(planUnitId)}`);
  const [unitRunId] = unit;
  if (runId !== undefined && runId !== unitRunId) {
    throw conflict(what, `plan unit ${quote(planUnitId)} is of run ${quote(unitRunId)}, not ${quote(runId)}`);
  }
  return unitRunId;
}

export function selectEvents(
  connection: ModuleConnection, conditions: readonly Condition[], page: [limit: number, offset: number],
): RunEvent[] {
  // The plus keeps SQLite from the index of a later condition, which may hold for nearly every row, such as a level.
  const where = conditions.map(([column], index) => `${index === 0 ? 'WHERE ' : 'AND +'}${column} = ?`).join(' ');
  const rest = 'ORDER BY id DESC LIMIT ? OFFSET ?';
  // Where the level comes first the rows are read in a second step: in one step SQLite would take the level from the
  // index, and a damaged level in the row would go unseen.
  const sql = conditions[0]?.[0] === 'level'
    ? `SELECT ${columns} FROM run_events WHERE id IN (SELECT id FROM run_events ${where} ${rest}) ORDER BY id DESC`
    : `SELECT ${columns} FROM run_events ${where} ${rest}`;
  return connection.all<EventRow>(sql, ...conditions.map(([, value]) => value), ...page).map(decodeEvent);
}
