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

type ParentTable = 'runs' | 'plan_units';
/** Whether a source has a row of this id. */
export type HasRow = (table: ParentTable, id: string) => boolean;

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
  /**
   * A row that was deleted here is gone for good, whatever the source makes of it since. It is not where each change is
   * another happening (a task assigned or done again), nor where a row may go by itself, at this instant.
   */
  lasting?: true;
  lapses?: string;
  /** The columns that name a row of another table, and whether the row goes when that goes. */
  parents?: Readonly<Record<string, ParentTable>>;
  owned?: true;
  /** The column that names a project, which is made where it is not there. */
  project?: string;
}

const rules = {
  runs: { count: 'runs', key: ['id'], fixed: ['created_at'], changed: 'updated_at', lasting: true },
  plan_units: { count: 'planUnits', key: ['id'], fixed: ['run_id', 'created_at'], changed: 'updated_at', lasting: true, parents: { run_id: 'runs' }, owned: true },
  run_events: { count: 'runEvents', key: [], parents: { run_id: 'runs', plan_unit_id: 'plan_units' }, owned: true },
  resource_state: { count: 'resourceStates', key: ['resource_type', 'resource_name'], kept: ['id', 'created_at'], changed: 'updated_at', lasting: true, parents: { last_run_id: 'runs' } },
  facts: { count: 'facts', key: ['target_id', 'namespace', 'key'], kept: ['id', 'created_at'], changed: 'updated_at', lasting: true, lapses: 'expires_at' },
  projects: { count: 'projects', key: ['path'] },
  task_history: { count: 'taskHistory', key: ['project_path', 'task_type'], changed: 'last_run_at', project: 'project_path' },
  assigned_tasks: { count: 'assignedTasks', key: ['task_id'], changed: 'assigned_at', project: 'project_path' },
  run_records: { count: 'runRecords', key: ['id'], fixed: ['started_at'], changed: 'ended_at', lasting: true },
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

/** What earlier imports took: each row as it was, and which thing of the source it was, as far as that lasts. */
export interface Before {
  readonly rows: Set<string>;
  readonly things: Set<string>;
}

/** What became of a row, and what is to be recorded of it for the next import. */
export interface Outcome {
  /** What is left is for the next import: what it belongs to came while this one was reading. */
  became: 'taken' | 'already there' | 'left';
  print?: string;
  thing?: string;
}

const alreadyThere: Outcome = { became: 'already there' };

/** Writes rows into the store's tables, inside its transaction. */
export class TableWriter {
  readonly #connection: ModuleConnection;
  readonly #before: Before;
  readonly #now = new Set<string>();
  /** The keys that rows of this import had: a file has no constraint that keeps two from having one. */
  readonly #keys = new Set<string>();
  /** Those of rows that were taken before: where one is not here, it was deleted here. */
  readonly #known = new Set<string>();
  /** Those of rows that are left for the next import. */
  readonly #left = new Set<string>();
  /** Those of rows that this import has added. */
  readonly #added = new Set<string>();

  /** Whether the source has a row now. */
  readonly #hasNow: HasRow;

  constructor(connection: ModuleConnection, before: Before, hasNow: HasRow) {
    this.#connection = connection;
    this.#before = before;
    this.#hasNow = hasNow;
  }

  /**
   * Takes a row, unless it was taken before (it may have been deleted here since, and does not come back then, nor does
   * what belongs to it) or the store has the same or a later one. `skipped` says whether a row of the source was refused.
   * Throws what `isRefusal` knows for a row that contradicts what is here.
   */
  take(row: TargetRow, skipped: (table: string, id: string) => boolean): Outcome {
    const print = printOf(row);
    const rule: Rule = rules[row.table];
    const thing = thingOf(row, rule);
    const key = keyOf(row.table, ...rule.key.map((column) => row.values[column]!));
    const isRepeated = this.#keys.has(key);
    this.#keys.add(key);
    const parents = Object.entries(rule.parents ?? {}).flatMap(([column, table]) => (row.values[column] === null ? [] : [{ table, id: String(row.values[column]) }]));
    // What belongs to a run that has just come is as new as that, though an earlier run of its id may have had the same.
    const isNew = rule.owned === true && parents.some(({ table, id }) => this.#added.has(keyOf(table, id)));
    const isSame = !isNew && this.#before.rows.has(print);
    const isKnown = isSame || (!isNew && thing !== undefined && this.#before.things.has(thing));
    // A row may have been taken by an earlier version, which recorded no things.
    const unrecorded = thing === undefined || this.#before.things.has(thing) ? undefined : { thing };
    if (isKnown) this.#known.add(key);
    if (isSame) return { became: 'already there', ...unrecorded };
    const stored = this.#stored(row, rule);
    if (this.#now.has(print) || (isKnown && !stored)) return alreadyThere;
    for (const parent of parents) {
      const without = this.#without(parent, rule, skipped);
      if (!without) continue;
      (without.became === 'left' ? this.#left : this.#known).add(key);
      return without;
    }
    if (!this.#put(row, rule, stored, isRepeated)) return alreadyThere;
    if (!stored) this.#added.add(key);
    this.#now.add(print);
    return { became: 'taken', print, ...unrecorded };
  }

  /** What becomes of a row whose parent is not here; `undefined` where it is. Throws where there is no good reason. */
  #without({ table, id }: { table: ParentTable; id: string }, rule: Rule, skipped: (table: string, id: string) => boolean): Outcome | undefined {
    const what = `the ${table === 'runs' ? 'run' : 'plan unit'} ${quote(id)}`;
    if (skipped(table, id)) throw refused(`it belongs to ${what}, which was not taken`);
    if (this.#get(`SELECT 1 FROM ${table} WHERE id = ?`, id)) return undefined;
    const key = keyOf(table, id);
    if (this.#known.has(key)) {
      if (rule.owned) return alreadyThere;
      throw refused(`it names ${what}, which was deleted here`);
    }
    // Every row that the source had when that table was read has been dealt with above.
    if (this.#left.has(key) || this.#hasNow(table, id)) return { became: 'left' };
    throw refused(`it belongs to ${what}, which is not there`);
  }

  /** The row that the store has under the same key. */
  #stored({ table, values }: TargetRow, rule: Rule): Values | undefined {
    if (rule.key.length === 0) return undefined;
    const columns = Object.keys(values);
    const found = this.#get(`SELECT ${columns.join()} FROM ${table} WHERE ${whereOf(rule)}`, ...rule.key.map((column) => values[column]!));
    return found && Object.fromEntries(columns.map((column, index) => [column, found[index]!]));
  }

  /** Whether the row was written. */
  #put(row: TargetRow, rule: Rule, stored: Values | undefined, isRepeated: boolean): boolean {
    const { table, values } = row;
    const columns = Object.keys(values);
    const merged = stored ? this.#merge(row, rule, stored, isRepeated) : values;
    if (!merged) return false;
    const project = rule.project === undefined ? undefined : values[rule.project]!;
    if (project !== undefined) this.#run('INSERT INTO projects (path) VALUES (?) ON CONFLICT DO NOTHING', project);
    if (!stored) this.#run(`INSERT INTO ${table} (${columns.join()}) VALUES (${columns.map(() => '?').join()})`, ...Object.values(values));
    else this.#run(`UPDATE ${table} SET ${columns.map((column) => `${column} = ?`).join()} WHERE ${whereOf(rule)}`, ...Object.values(merged), ...rule.key.map((column) => values[column]!));
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
    const isSuccessor = !isRepeated && theirs.slice(0, 19) === ours.slice(0, 19) && this.#before.rows.has(printOf({ table, values: stored }));
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

function whereOf({ key }: Rule): string {
  return key.map((column) => `${column} = ?`).join(' AND ');
}

function keyOf(table: string, ...values: SqlValue[]): string {
  return JSON.stringify([table, ...values]);
}

/** What tells a row from every other, whichever copy of the source it comes from. 96 bits of a hash. */
function printOf({ table, values, sourceRow }: TargetRow): string {
  return shortHash([table, sourceRow, ...Object.values(values)]);
}

/** The same for what a row is about, by what never changes in it; `undefined` for one that may come back. */
function thingOf({ table, values }: TargetRow, { key, fixed = [], kept = [], lasting, lapses }: Rule): string | undefined {
  if (!lasting || (lapses !== undefined && values[lapses] !== null)) return undefined;
  return shortHash(['thing', table, ...[...key, ...fixed, ...kept].map((column) => values[column])]);
}

function shortHash(of: unknown): string {
  return hash('sha256', JSON.stringify(of), 'base64url').slice(0, 16);
}
