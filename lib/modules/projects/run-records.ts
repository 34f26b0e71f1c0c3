// Run records: what each run of the service did, by the time at which it started.
import { randomUUID } from 'node:crypto';
import type { ModuleConnection } from '../../core/door.ts';
import {
  checkArray, checkInstant, checkInteger, checkOneOf, checkOptions, checkText, invalid, quote,
} from '../../values/checks.ts';
import { localDay } from '../../values/days.ts';
import { StoreError } from '../../values/errors.ts';
import { present, RowReader } from '../row-reader.ts';
import { projectPath } from './paths.ts';
import { makeKnown } from './rows.ts';

/** How a run ended; `partial` means that some of it was done. */
export type RunRecordStatus = 'success' | 'failed' | 'partial';

/** A run of the service, with all the projects and tasks that it had. */
export interface RunRecord {
  /** A UUID. */
  id: string;
  startedAt: Date;
  endedAt?: Date;
  provider?: string;
  /** Canonical paths. */
  projects: string[];
  /** The type of each task; a type stands there once for each of its tasks. */
  tasks: string[];
  tokensUsed: number;
  status: RunRecordStatus;
  error?: string;
  branch?: string;
}

/** A run to record: its id is a new UUID unless given, lists are empty and tokens 0 where absent. */
export type NewRunRecord = Pick<RunRecord, 'startedAt' | 'status'> & {
  [Name in keyof RunRecord]?: RunRecord[Name] | undefined;
};

/** What ran on one day. */
export interface DaySummary {
  /** The day, `YYYY-MM-DD`. */
  day: string;
  runs: number;
  succeeded: number;
  failed: number;
  partial: number;
  tokensUsed: number;
  /** How many different projects. */
  projects: number;
  /** How many tasks; several of one type in a run count each. */
  tasks: number;
}

const statuses: readonly RunRecordStatus[] = ['success', 'failed', 'partial'];
const uuid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;

type Row = [
  id: string, startedAt: string, endedAt: string | null, provider: string | null, projects: string, tasks: string,
  tokensUsed: number, status: string, error: string | null, branch: string | null,
];
const columns = 'id, started_at, ended_at, provider, projects, tasks, tokens_used, status, error, branch';

const names = [
  'id', 'startedAt', 'endedAt', 'provider', 'projects', 'tasks', 'tokensUsed', 'status', 'error', 'branch',
];

/** Checks a caller's record and gives it as a row, with its projects. */
export function encodeRunRecord(connection: ModuleConnection, given: NewRunRecord): { row: Row; projects: string[] } {
  const record = checkOptions('record', given, names);
  const { id = randomUUID(), endedAt, projects: paths = [], tasks: types = [], tokensUsed = 0, status } = record;
  if (!uuid.test(checkText('record.id', id))) throw invalid('record.id', id, 'a UUID');
  checkOneOf('record.status', status, statuses);
  const text = (name: 'provider' | 'error' | 'branch'): string | null => {
    return record[name] === undefined ? null : checkText(`record.${name}`, record[name]);
  };
  const checkProject = (name: string, path: unknown): string => projectPath(connection, name, path);
  const projects = [...new Set(checkArray('record.projects', paths, 'an array of paths', checkProject))];
  const tasks = checkArray('record.tasks', types, 'an array of task types', checkText);
  const row: Row = [
    id.toLowerCase(), checkInstant('record.startedAt', record.startedAt),
    endedAt === undefined ? null : checkInstant('record.endedAt', endedAt), text('provider'),
    JSON.stringify(projects), JSON.stringify(tasks), checkInteger('record.tokensUsed', tokensUsed, 0),
    status, text('error'), text('branch'),
  ];
  return { row, projects };
}

export function insertRunRecord(connection: ModuleConnection, row: Row, projects: readonly string[]): void {
  const sql = `INSERT INTO run_records (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`;
  if (connection.prepare(sql).run(...row).changes === 0) {
    throw new StoreError('ERR_STORE_CONFLICT', `failed to add the run record ${row[0]}: there is one with this id`);
  }
  for (const path of projects) makeKnown(connection, path);
}

export function newestRunRecords(connection: ModuleConnection, limit: number): RunRecord[] {
  const sql = `SELECT ${columns} FROM run_records ORDER BY started_at DESC, position DESC LIMIT ?`;
  return connection.all<Row>(sql, limit).map(decodeRunRecord);
}

/** Deletes all run records but the newest, and says how many it deleted. */
export function deleteOldRunRecords(connection: ModuleConnection, keep: number): number {
  const sql = `DELETE FROM run_records WHERE position IN (
    SELECT position FROM run_records ORDER BY started_at DESC, position DESC LIMIT -1 OFFSET ?)`;
  return Number(connection.prepare(sql).run(keep).changes);
}

// In no time zone does a day begin or end further than this from an instant in it.
const twoDaysMs = 2 * 86_400_000;

/** Sums the runs up that started on the local day of `now`. */
export function summaryOfDay(connection: ModuleConnection, now: Date, timeZone: string | undefined): DaySummary {
  const day = localDay(now, timeZone);
  const [from, to] = [-twoDaysMs, twoDaysMs].map((ms) => new Date(now.getTime() + ms).toISOString());
  const sql = `SELECT ${columns} FROM run_records WHERE started_at > ? AND started_at < ?`;
  const rows = connection.all<Row>(sql, from!, to!);
  const records = rows.map(decodeRunRecord).filter(({ startedAt }) => localDay(startedAt, timeZone) === day);
  const having = (status: RunRecordStatus): number => records.filter((record) => record.status === status).length;
  const tokensUsed = records.reduce((sum, record) => sum + record.tokensUsed, 0);
  if (!Number.isSafeInteger(tokensUsed)) {
    const why = 'their tokens_used pass 2^53 - 1';
    throw new StoreError('ERR_STORE_CORRUPT', `the run records of ${day} cannot be summed up: ${why}`);
  }
  return {
    day, runs: records.length, succeeded: having('success'), failed: having('failed'), partial: having('partial'),
    tokensUsed,
    projects: new Set(records.flatMap(({ projects }) => projects)).size,
    tasks: records.reduce((sum, { tasks }) => sum + tasks.length, 0),
  };
}

function decodeRunRecord([
  id, startedAt, endedAt, provider, projects, tasks, tokensUsed, status, error, branch,
]: Row): RunRecord {
  const reader = new RowReader(`run record ${quote(id)}`);
  return present<RunRecord>({
    id: reader.text('id', id), startedAt: reader.instant('started_at', startedAt),
    endedAt: reader.optionalInstant('ended_at', endedAt), provider: reader.optionalText('provider', provider),
    projects: reader.texts('projects', projects), tasks: reader.texts('tasks', tasks),
    tokensUsed: reader.count('tokens_used', tokensUsed), status: reader.word('status', status, statuses),
    error: reader.optionalText('error', error), branch: reader.optionalText('branch', branch),
  });
}
