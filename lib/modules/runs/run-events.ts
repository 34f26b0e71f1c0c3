// The rows of `run_events`.
import { present, RowReader } from '../../row-reader.ts';
import type { ModuleConnection } from '../../store.ts';
import { checkOptions, checkText, quote } from '../../values.ts';
import type { JsonValue } from '../../values.ts';
import { all, checkOneOf, checkOptionalText, conflict, encodeOptionalJson, get, notFound, nowText } from './rows.ts';
import type { Page } from './rows.ts';
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

/** What an event is appended with. One of a unit gets the unit's run. */
export interface NewRunEvent {
  runId?: string;
  planUnitId?: string;
  level: RunEventLevel;
  message: string;
  details?: JsonValue;
}

/** Which events to give; every field narrows. */
export interface RunEventFilter extends Page {
  runId?: string;
  planUnitId?: string;
  level?: RunEventLevel;
}

interface CheckedEvent {
  runId: string | undefined;
  planUnitId: string | undefined;
  level: RunEventLevel;
  message: string;
  details: string | null;
}

export function checkNewEvent(given: NewRunEvent): CheckedEvent {
  const { runId, planUnitId, level, message, details } = checkOptions('event', given, ['runId', 'planUnitId', 'level', 'message', 'details']);
  return {
    runId: checkOptionalText('event.runId', runId), planUnitId: checkOptionalText('event.planUnitId', planUnitId),
    level: checkOneOf('event.level', level, levels), message: checkText('event.message', message), details: encodeOptionalJson('event.details', details),
  };
}

/** The conditions of a query, those first that narrow most. */
export function checkEventFilter({ runId, planUnitId, level }: RunEventFilter): [column: string, value: string][] {
  return [
    ...(planUnitId === undefined ? [] : [['plan_unit_id', checkText('options.planUnitId', planUnitId)] as [string, string]]),
    ...(runId === undefined ? [] : [['run_id', checkText('options.runId', runId)] as [string, string]]),
    ...(level === undefined ? [] : [['level', checkOneOf('options.level', level, levels)] as [string, string]]),
  ];
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
  const sql = `INSERT INTO run_events (run_id, plan_unit_id, level, message, details, timestamp) VALUES (?, ?, ?, ?, ?, ?) RETURNING ${columns}`;
  const runId = runOf(connection, what, event);
  return decodeEvent(get<EventRow>(connection, sql, runId, event.planUnitId ?? null, event.level, event.message, event.details, nowText(connection))!);
}

/** The run that an event belongs to: so that a query by run finds also the events of its units. */
function runOf(connection: ModuleConnection, what: string, { runId, planUnitId }: CheckedEvent): string | null {
  if (runId !== undefined) mustHaveRun(connection, what, runId);
  if (planUnitId === undefined) return runId ?? null;
  const unit = get<[string]>(connection, 'SELECT run_id FROM plan_units WHERE id = ?', planUnitId);
  if (!unit) throw notFound(what, `plan unit ${quote(planUnitId)}`);
  if (runId !== undefined && runId !== unit[0]) throw conflict(what, `plan unit ${quote(planUnitId)} is of run ${quote(unit[0])}, not ${quote(runId)}`);
  return unit[0];
}

export function selectEvents(connection: ModuleConnection, conditions: [column: string, value: string][], page: [limit: number, offset: number]): RunEvent[] {
  // The plus keeps SQLite from the index of a condition that may hold for nearly every row, such as a level.
  const where = conditions.map(([column], index) => `${index === 0 ? 'WHERE ' : 'AND +'}${column} = ?`).join(' ');
  const rest = 'ORDER BY id DESC LIMIT ? OFFSET ?';
  // By level alone in two steps: in one, SQLite takes the level from the index, and a damaged one in the row goes unseen.
  const sql = conditions[0]?.[0] === 'level'
    ? `SELECT ${columns} FROM run_events WHERE id IN (SELECT id FROM run_events ${where} ${rest}) ORDER BY id DESC`
    : `SELECT ${columns} FROM run_events ${where} ${rest}`;
  return all<EventRow>(connection, sql, ...conditions.map(([, value]) => value), ...page).map(decodeEvent);
}
