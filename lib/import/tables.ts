// Takes rows for the tables of this package's modules: each is new, there already, later than what is there, or
// refused.
import { hash } from 'node:crypto';
import type { ModuleConnection } from '../core/door.ts';
import { quote } from '../values/checks.ts';
import { attempt, StoreError } from '../values/errors.ts';

type SqlValue = string | number | null;
type Values = Readonly<Record<string, SqlValue>>;

/** A row as this store's table has it. Rows of one table have their columns in one order. */
export interface TargetRow {
  table: keyof typeof rules;
  values: Values;
  /** Tells rows of the same values apart, where this store's table numbers its rows itself. */
  sourceRow?: string;
}

type ParentTable = 'runs' | 'plan_units';
/** Says whether a source has a row of this id. */
export type HasRow = (table: ParentTable, id: string) => boolean;

interface Rule {
  /** The name under which a report counts the rows. */
  count: RowCount;
  key: readonly string[];
  /** Columns that never change: a row with the same key and other values there is about something else. */
  fixed?: readonly string[];
  /** Columns that keep this store's value, whichever row is later. */
  kept?: readonly string[];
  /** The column that says when the row changed last: the later row wins. */
  changed?: string;
  /**
   * A row that was deleted here does not come back, however the source changes it since. Absent where each change is an
   * event of its own, such as a task that is assigned or done again.
   */
  lasting?: true;
  /** The column that says when a row expires. A row with a value there may be gone by itself, so it may come back. */
  expiresColumn?: string;
  /** The columns that name a row of another table. */
  parents?: Readonly<Record<string, ParentTable>>;
  /** Whether the row is deleted with its parent. */
  owned?: true;
  /** The column that names a project. A project that this store does not know is made. */
  project?: string;
}

const rules = {
  runs: { count: 'runs', key: ['id'], fixed: ['created_at'], changed: 'updated_at', lasting: true },
  plan_units: {
    count: 'planUnits', key: ['id'], fixed: ['run_id', 'created_at'], changed: 'updated_at', lasting: true,
    parents: { run_id: 'runs' }, owned: true,
  },
  run_events: { count: 'runEvents', key: [], parents: { run_id: 'runs', plan_unit_id: 'plan_units' }, owned: true },
  resource_state: {
    count: 'resourceStates', key: ['resource_type', 'resource_name'], kept: ['id', 'created_at'], changed: 'updated_at',
    lasting: true, parents: { last_run_id: 'runs' },
  },
  facts: {
    count: 'facts', key: ['target_id', 'namespace', 'key'], kept: ['id', 'created_at'], changed: 'updated_at',
    lasting: true, expiresColumn: 'expires_at',
  },
  projects: { count: 'projects', key: ['path'] },
  task_history: {
    count: 'taskHistory', key: ['project_path', 'task_type'], changed: 'last_run_at', project: 'project_path',
  },
  assigned_tasks: { count: 'assignedTasks', key: ['task_id'], changed: 'assigned_at', project: 'project_path' },
  run_records: { count: 'runRecords', key: ['id'], fixed: ['started_at'], changed: 'ended_at', lasting: true },
} as const;

/** The tables of limits beyond the rules, whose rows only the store's own operations change. */
type LimitTable = 'overrides' | 'balances';
/** A table whose rows a report counts where the source's kind has such rows. */
export type CountedTable = TargetRow['table'] | LimitTable;

/** The names under which a report counts the rows of these tables. */
export type RowCount =
  | LimitTable | 'runs' | 'planUnits' | 'runEvents' | 'resourceStates' | 'facts'
  | 'projects' | 'taskHistory' | 'assignedTasks' | 'runRecords';

/** Gives the name under which a report counts the rows of a table. */
export function countOf(table: CountedTable): RowCount {
  return table === 'overrides' || table === 'balances' ? table : rules[table].count;
}

/** Makes a refusal: the row is listed, and the import goes on with the next one. */
export function refused(message: string): StoreError {
  return new StoreError('ERR_STORE_INVALID_ARGUMENT', message);
}

/** What earlier imports took. */
export interface Before {
  /** The fingerprint of each row as it was. */
  readonly rowFingerprints: Set<string>;
  /** The fingerprint of what each lasting row is about, by which the row is known after it has changed. */
  readonly identityFingerprints: Set<string>;
}

/** What became of a row, and the fingerprints that are to be recorded of it for the next import. */
interface Outcome {
  /** A row is `left` for the next import where the row that it belongs to came while this import was reading. */
  became: 'taken' | 'already there' | 'left';
  rowFingerprint?: string;
  identityFingerprint?: string;
}

const alreadyThere: Outcome = { became: 'already there' };

/** Writes rows into the store's tables, inside its transaction. */
export class TableWriter {
  readonly #connection: ModuleConnection;
  readonly #before: Before;
  /** The fingerprints of the rows that this import has taken. */
  readonly #rowFingerprints = new Set<string>();
  /** The keys of all rows of this import: nothing in a file keeps two rows from having the same key. */
  readonly #keys = new Set<string>();
  /** The keys of rows that an earlier import took: where such a row is not in this store, it was deleted here. */
  readonly #known = new Set<string>();
  /** The keys of rows that are left for the next import. */
  readonly #left = new Set<string>();
  /** The keys of rows that this import has added. */
  readonly #added = new Set<string>();

  /** Whether the source has a row at this moment. */
  readonly #hasNow: HasRow;

  constructor(connection: ModuleConnection, before: Before, hasNow: HasRow) {
    this.#connection = connection;
    this.#before = before;
    this.#hasNow = hasNow;
  }

  /**
   * Takes a row, unless an earlier import took it (if it was deleted here since, neither it nor what belongs to it
   * comes back) or the store has the same row or a later one. `skipped` says whether a row of the source was refused.
   * Throws what `isRefusal` recognises for a row that contradicts what this store has.
   */
  take(row: TargetRow, skipped: (table: string, id: string) => boolean): Outcome {
    const rowFingerprint = rowFingerprintOf(row);
    const rule: Rule = rules[row.table];
    const identityFingerprint = identityFingerprintOf(row, rule);
    const key = keyOf(row.table, ...keyValues(row.values, rule));
    const isRepeated = this.#keys.has(key);
    this.#keys.add(key);
    const parents = parentsOf(row, rule);
    // What belongs to a run that this import has added is new as well, even if an earlier import took the same row
    // under a run of the same id, which was deleted since.
    const isNew = rule.owned === true && parents.some(({ table, id }) => this.#added.has(keyOf(table, id)));
    const isSame = !isNew && this.#before.rowFingerprints.has(rowFingerprint);
    const hasIdentity = identityFingerprint !== undefined;
    const isRecorded = hasIdentity && this.#before.identityFingerprints.has(identityFingerprint);
    const isKnown = isSame || (!isNew && isRecorded);
    // The row may have been taken by an earlier version of this package, which did not record identities.
    const unrecorded = hasIdentity && !isRecorded ? { identityFingerprint } : undefined;
    if (isKnown) this.#known.add(key);
    if (isSame) return { became: 'already there', ...unrecorded };
    const stored = this.#stored(row, rule);
    if (this.#rowFingerprints.has(rowFingerprint) || (isKnown && !stored)) return alreadyThere;
    for (const parent of parents) {
      const outcome = this.#withoutParent(parent, rule, skipped);
      if (!outcome) continue;
      (outcome.became === 'left' ? this.#left : this.#known).add(key);
      return outcome;
    }
    if (!this.#put(row, rule, stored, isRepeated)) return alreadyThere;
    if (!stored) this.#added.add(key);
    this.#rowFingerprints.add(rowFingerprint);
    return { became: 'taken', rowFingerprint, ...unrecorded };
  }

  /**
   * Says what becomes of a row whose parent is not in this store; `undefined` where the parent is. Throws where nothing
   * explains why the parent is missing.
   */
  #withoutParent(
    { table, id }: Parent, rule: Rule, skipped: (table: string, id: string) => boolean,
  ): Outcome | undefined {
    const what = `the ${table === 'runs' ? 'run' : 'plan unit'} ${quote(id)}`;
    if (skipped(table, id)) throw refused(`it belongs to ${what}, which was not taken`);
    if (this.#get(`SELECT 1 FROM ${table} WHERE id = ?`, id)) return undefined;
    const key = keyOf(table, id);
    if (this.#known.has(key)) {
      if (rule.owned) return alreadyThere;
      throw refused(`it names ${what}, which was deleted here`);
    }
    // Every row that the source had when the parent's table was read has been dealt with above, so this one is newer.
    if (this.#left.has(key) || this.#hasNow(table, id)) return { became: 'left' };
    throw refused(`it belongs to ${what}, which is not there`);
  }

  /** Gives the row that the store has under the same key. */
  #stored({ table, values }: TargetRow, rule: Rule): Values | undefined {
    if (rule.key.length === 0) return undefined;
    const columns = Object.keys(values);
    const sql = `SELECT ${columns.join()} FROM ${table} WHERE ${whereOf(rule)}`;
    const found = this.#get(sql, ...keyValues(values, rule));
    return found && Object.fromEntries(columns.map((column, index) => [column, found[index]!]));
  }

  /** Writes a row where it is new or later than the stored one, and says whether it did. */
  #put(row: TargetRow, rule: Rule, stored: Values | undefined, isRepeated: boolean): boolean {
    const { table, values } = row;
    const columns = Object.keys(values);
    const merged = stored ? this.#merge(row, rule, stored, isRepeated) : values;
    if (!merged) return false;
    const project = rule.project === undefined ? undefined : values[rule.project]!;
    if (project !== undefined) this.#run('INSERT INTO projects (path) VALUES (?) ON CONFLICT DO NOTHING', project);
    if (stored) {
      const sql = `UPDATE ${table} SET ${columns.map((column) => `${column} = ?`).join()} WHERE ${whereOf(rule)}`;
      this.#run(sql, ...Object.values(merged), ...keyValues(values, rule));
    } else {
      const sql = `INSERT INTO ${table} (${columns.join()}) VALUES (${columns.map(() => '?').join()})`;
      this.#run(sql, ...Object.values(values));
    }
    return true;
  }

  /** Gives the values that are to replace the stored ones; `undefined` where those stay as they are. */
  #merge({ table, values }: TargetRow, rule: Rule, stored: Values, isRepeated: boolean): Values | undefined {
    if (table === 'projects') return mergeProjects(values, stored);
    const kept = Object.fromEntries((rule.kept ?? []).map((column) => [column, stored[column]!]));
    const merged: Values = { ...values, ...kept };
    if (isEqual(merged, stored)) return undefined;
    if (rule.fixed?.some((column) => values[column] !== stored[column])) {
      throw refused('the store has another one with the same id');
    }
    const [theirs, ours] = [values, stored].map((each) => String(each[rule.changed!] ?? '')) as [string, string];
    // The source's own triggers cut a time to the second, so a change within a second may look earlier than the row
    // that it changed.
    const isSameSecond = theirs.slice(0, 19) === ours.slice(0, 19);
    const isSuccessor = !isRepeated && isSameSecond
      && this.#before.rowFingerprints.has(rowFingerprintOf({ table, values: stored }));
    if (theirs > ours || isSuccessor) return merged;
    if (theirs < ours) return undefined;
    throw refused('the store has another one of the same time');
  }

  #get(sql: string, ...values: SqlValue[]): SqlValue[] | undefined {
    return attempt('read what the store has', () => this.#connection.get<SqlValue[]>(sql, ...values));
  }

  #run(sql: string, ...values: SqlValue[]): void {
    try {
      attempt('write a row', () => this.#connection.prepare(sql).run(...values));
    } catch (error) {
      const cause = (error as Error).cause as { errcode?: number; message: string } | undefined;
      // SQLITE_CONSTRAINT (an id that another row has, or a CHECK) undoes this statement alone.
      if ((cause?.errcode ?? 0) % 256 === 19) throw refused(`it contradicts what the store has: ${cause!.message}`);
      throw error;
    }
  }
}

/** Takes the later run and the larger count: two sources may have the same runs, so their counts are never summed. */
function mergeProjects(values: Values, stored: Values): Values | undefined {
  const later = String(values['last_run_at'] ?? '') > String(stored['last_run_at'] ?? '') ? values : stored;
  const runCount = Math.max(Number(values['run_count']), Number(stored['run_count']));
  const merged = { path: stored['path']!, last_run_at: later['last_run_at']!, run_count: runCount };
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

function keyValues(values: Values, { key }: Rule): SqlValue[] {
  return key.map((column) => values[column]!);
}

interface Parent {
  table: ParentTable;
  id: string;
}

/** Gives the rows of other tables that a row names. */
function parentsOf({ values }: TargetRow, { parents = {} }: Rule): Parent[] {
  const named = Object.entries(parents).filter(([column]) => values[column] !== null);
  return named.map(([column, table]) => ({ table, id: String(values[column]) }));
}

/** Gives what tells a row from every other, whichever copy of the source it comes from. */
function rowFingerprintOf({ table, values, sourceRow }: TargetRow): string {
  return shortHash([table, sourceRow, ...Object.values(values)]);
}

/** Gives what tells the subject of a row, by what never changes in it; `undefined` for a row that may come back. */
function identityFingerprintOf({ table, values }: TargetRow, rule: Rule): string | undefined {
  const { key, fixed = [], kept = [], lasting, expiresColumn } = rule;
  if (!lasting || (expiresColumn !== undefined && values[expiresColumn] !== null)) return undefined;
  return shortHash(['thing', table, ...[...key, ...fixed, ...kept].map((column) => values[column])]);
}

/** Gives 96 bits of a hash. */
function shortHash(of: unknown): string {
  return hash('sha256', JSON.stringify(of), 'base64url').slice(0, 16);
}
