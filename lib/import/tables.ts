// Rows for the tables of this package's modules: each is new, there already, later than what is there, or refused.
import { hash } from 'node:crypto';
import { attempt, StoreError } from '../errors.ts';
import type { ModuleConnection } from '../store.ts';
import { quote } from '../values.ts';

type SqlValue = string | number | null;
type Values = Readonly<Record<string, SqlValue>>;

/** A row as this store's table has it, all its columns in one order. */
export interface TargetRow {
  table: keyof typeof rules;
  values: Values;
  /** Tells the row from one with the same values, where the table gives its rows numbers of its own. */
  sourceRow?: string;
}

interface Rule {
  /** What the rows are counted as in a report. */
  count: RowCount;
  key: readonly string[];
  /** What never changes: another value under the same key is another thing. */
  fixed?: readonly string[];
  /** What stays as it is here whichever row is later. */
  kept?: readonly string[];
  /** When the row changed last: the later one wins. */
  changed?: string;
  /** The columns that name a row of another table. */
  parents?: Readonly<Record<string, 'runs' | 'plan_units'>>;
  /** The column that names a project, which is made where it is not there. */
  project?: string;
}

const rules = {
  runs: { count: 'runs', key: ['id'], fixed: ['created_at'], changed: 'updated_at' },
  plan_units: { count: 'planUnits', key: ['id'], fixed: ['run_id', 'created_at'], changed: 'updated_at', parents: { run_id: 'runs' } },
  run_events: { count: 'runEvents', key: [], parents: { run_id: 'runs', plan_unit_id: 'plan_units' } },
  resource_state: { count: 'resourceStates', key: ['resource_type', 'resource_name'], kept: ['id', 'created_at'], changed: 'updated_at', parents: { last_run_id: 'runs' } },
  facts: { count: 'facts', key: ['target_id', 'namespace', 'key'], kept: ['id', 'created_at'], changed: 'updated_at' },
  projects: { count: 'projects', key: ['path'] },
  task_history: { count: 'taskHistory', key: ['project_path', 'task_type'], changed: 'last_run_at', project: 'project_path' },
  assigned_tasks: { count: 'assignedTasks', key: ['task_id'], changed: 'assigned_at', project: 'project_path' },
  run_records: { count: 'runRecords', key: ['id'], fixed: ['started_at'], changed: 'ended_at' },
} as const satisfies Record<string, Rule>;

/** What rows of the modules' tables are counted as. */
export type RowCount = 'runs' | 'planUnits' | 'runEvents' | 'resourceStates' | 'facts' | 'projects' | 'taskHistory' | 'assignedTasks' | 'runRecords';

/** What the rows of a table are counted as. */
export function countOf(table: TargetRow['table']): RowCount {
  return rules[table].count;
}

/** A refusal: the row is listed, and the next one taken all the same. */
function refused(message: string): StoreError {
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', message);
}

/** Writes rows into the store's tables, inside its transaction. */
export class TableWriter {
  readonly #connection: ModuleConnection;
  /** The prints of all rows that earlier imports took. */
  readonly #before: ReadonlySet<string>;
  readonly #now = new Set<string>();
  /** The keys that rows of this import had: a file has no constraint that keeps two from having one. */
  readonly #keys = new Set<string>();

  constructor(connection: ModuleConnection, before: ReadonlySet<string>) {
    this.#connection = connection;
    this.#before = before;
  }

  /**
   * Takes a row and gives its print, by which the next import knows it; `undefined` where it was taken before (it may
   * have been deleted here since, and does not come back then) or the store has the same or a later one. `skipped` says
   * whether a row of the source was refused. Throws what `isRefusal` knows for a row that contradicts what is here.
   */
  take(row: TargetRow, skipped: (table: string, id: string) => boolean): string | undefined {
    const print = printOf(row);
    const rule: Rule = rules[row.table];
    const key = JSON.stringify([row.table, ...rule.key.map((column) => row.values[column])]);
    const isRepeated = this.#keys.has(key);
    this.#keys.add(key);
    if (this.#before.has(print) || this.#now.has(print)) return undefined;
    for (const [column, parent] of Object.entries(rule.parents ?? {})) this.#checkParent(parent, row.values[column] ?? null, skipped);
    if (!this.#put(row, rule, isRepeated)) return undefined;
    this.#now.add(print);
    return print;
  }

  #checkParent(table: 'runs' | 'plan_units', id: SqlValue, skipped: (table: string, id: string) => boolean): void {
    if (id === null) return;
    const what = `the ${table === 'runs' ? 'run' : 'plan unit'} ${quote(String(id))}`;
    if (skipped(table, String(id))) throw refused(`it belongs to ${what}, which was not taken`);
    if (!this.#get(`SELECT 1 FROM ${table} WHERE id = ?`, id)) throw refused(`it belongs to ${what}, which is not there`);
  }

  /** Whether the row was written. */
  #put(row: TargetRow, rule: Rule, isRepeated: boolean): boolean {
    const { table, values } = row;
    const columns = Object.keys(values);
    const where = rule.key.map((column) => `${column} = ?`).join(' AND ');
    const keyValues = rule.key.map((column) => values[column]!);
    const found = where === '' ? undefined : this.#get(`SELECT ${columns.join()} FROM ${table} WHERE ${where}`, ...keyValues);
    const stored: Values | undefined = found && Object.fromEntries(columns.map((column, index) => [column, found[index]!]));
    const merged = stored ? this.#merge(row, rule, stored, isRepeated) : values;
    if (!merged) return false;
    const project = rule.project === undefined ? undefined : values[rule.project]!;
    if (project !== undefined) this.#run('INSERT INTO projects (path) VALUES (?) ON CONFLICT DO NOTHING', project);
    if (!stored) this.#run(`INSERT INTO ${table} (${columns.join()}) VALUES (${columns.map(() => '?').join()})`, ...Object.values(values));
    else this.#run(`UPDATE ${table} SET ${columns.map((column) => `${column} = ?`).join()} WHERE ${where}`, ...Object.values(merged), ...keyValues);
    return true;
  }

  /** What is to stand where `stored` stands; `undefined` where that stays as it is. */
  #merge({ table, values }: TargetRow, rule: Rule, stored: Values, isRepeated: boolean): Values | undefined {
    if (table === 'projects') return mergeProjects(values, stored);
    const merged: Values = { ...values, ...Object.fromEntries((rule.kept ?? []).map((column) => [column, stored[column]!])) };
    if (isEqual(merged, stored)) return undefined;
    if (rule.fixed?.some((column) => values[column] !== stored[column])) throw refused('the store has another one with the same id');
    const [theirs, ours] = [values, stored].map((each) => String(each[rule.changed!] ?? '')) as [string, string];
    // The source's own triggers cut a time to the second, so a change within one may look earlier than what it changed.
    const isSuccessor = !isRepeated && theirs.slice(0, 19) === ours.slice(0, 19) && this.#before.has(printOf({ table, values: stored }));
    if (theirs > ours || isSuccessor) return merged;
    if (theirs < ours) return undefined;
    throw refused('the store has another one of the same time');
  }

  #get(sql: string, ...values: SqlValue[]): SqlValue[] | undefined {
    return attempt('read what the store has', () => this.#connection.prepare(sql).get(...values) as unknown as SqlValue[] | undefined);
  }

  #run(sql: string, ...values: SqlValue[]): void {
    try {
      attempt('write a row', () => this.#connection.prepare(sql).run(...values));
    } catch (error) {
      const cause = (error as Error).cause as { errcode?: number; message: string } | undefined;
      // SQLITE_CONSTRAINT, which undoes this statement alone: an id that another row has, a CHECK.
      if ((cause?.errcode ?? 0) % 256 === 19) throw refused(`it contradicts what the store has: ${cause!.message}`);
      throw error;
    }
  }
}

/** The later run and the larger count: a total that two sources share is never summed. */
function mergeProjects(values: Values, stored: Values): Values | undefined {
  const later = String(values['last_run_at'] ?? '') > String(stored['last_run_at'] ?? '') ? values : stored;
  const merged = { path: stored['path']!, last_run_at: later['last_run_at']!, run_count: Math.max(Number(values['run_count']), Number(stored['run_count'])) };
  return isEqual(merged, stored) ? undefined : merged;
}

function isEqual(one: Values, other: Values): boolean {
  return Object.keys(one).every((column) => one[column] === other[column]);
}

/** What tells a row from every other, whichever copy of the source it comes from. 96 bits of a hash. */
function printOf({ table, values, sourceRow }: TargetRow): string {
  return hash('sha256', JSON.stringify([table, sourceRow, ...Object.values(values)]), 'base64url').slice(0, 16);
}
