// Migration: from one schema version to another, step by step, up or down, and what a step down would lose.
import { migrations, type MigrationStep, readSql } from '../core/sql-files.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { StoreError, toStoreError } from '../values/errors.ts';
import { adopt } from './adopt.ts';
import { recordVersion, rememberMachine, setHeaderVersion } from './create.ts';

// The step to this version brings the column in which a store remembers on which machine it is.
const firstToKnowMachine = 10;

/** Lists the steps from one version to another in the order in which they run. */
export function stepsBetween(from: number, to: number): MigrationStep[] {
  const between = migrations.slice(Math.min(from, to), Math.max(from, to));
  const steps = between.map(({ version, description }) => ({ version, description }));
  return from < to ? steps : steps.reverse();
}

/**
 * Moves a file from one version to another and records each step; version 0 is a database of only the four tables. This
 * runs inside the caller's transaction, so a failing step leaves the file as it was. A step down that would lose rows
 * or columns needs `force`. Throws `ERR_STORE_MIGRATION`.
 */
export function migrateSchema(db: DatabaseSync, from: number, to: number, now: Date, force: boolean): void {
  for (let version = from + 1; version <= to; version++) {
    const step = migrations[version - 1]!;
    runStep(`migrate up to version ${version} (${step.description})`, () => {
      const script = (): void => runScript(db, readSql(step.up));
      if (version === 1) adopt(db, now, script);
      else script();
      if (version === firstToKnowMachine) rememberMachine(db);
      recordVersion(db, version, step.description, now);
    });
  }
  for (let version = from; version > to; version--) {
    const step = migrations[version - 1]!;
    runStep(`migrate down from version ${version} (${step.description})`, () => {
      const before = force ? undefined : contents(db);
      runScript(db, readSql(step.down));
      if (version === 1) db.exec('PRAGMA application_id = 0');
      else db.prepare('DELETE FROM schema_version WHERE version = ?').run(version);
      setHeaderVersion(db, version - 1);
      if (before) refuseLoss(version, before, contents(db));
    });
  }
}

function runScript(db: DatabaseSync, sql: string): void {
  db.exec(sql);
  // If the script ended the transaction, the version would be recorded in a transaction of its own.
  if (!db.isTransaction) throw new StoreError('ERR_STORE_MIGRATION', 'the step ended the transaction that it runs in');
}

function runStep(what: string, step: () => void): void {
  try {
    step();
  } catch (error) {
    const cause = toStoreError(error, what);
    // An error such as a full disk keeps its own code, because the caller can do something about it.
    if (cause instanceof StoreError && cause.code !== 'ERR_STORE_DATABASE') throw cause;
    throw new StoreError('ERR_STORE_MIGRATION', `failed to ${what}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Counts the values in each column, to find what a step down loses. What the file says of itself is left out.
 */
export function contents(db: DatabaseSync): Map<string, number> {
  const columns = db.prepare(`SELECT t.name AS tbl, c.name AS col
    FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
    WHERE t.type = 'table' AND t.name <> 'schema_version' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
      AND c.name NOT IN ('writable_from', 'readable_from', 'limits_id', 'ledger_path', 'archived_hash',
        'machine_id')`).all();
  return new Map(columns.map(({ tbl, col }) => {
    const count = db.prepare(`SELECT count("${String(col)}") AS n FROM "${String(tbl)}"`).get();
    return [`${String(tbl)}.${String(col)}`, Number(count?.['n'])];
  }));
}

/** Refuses a step down. `loss` says what would be lost; each caller adds its own way of forcing the step. */
export class LossError extends StoreError {
  readonly loss: string;

  constructor(loss: string) {
    super('ERR_STORE_MIGRATION', `${loss}: use force to lose them`);
    this.loss = loss;
  }
}

// What stands for more than its value, in the words of whoever has to decide on it.
const namedLosses: Record<string, string> = {
  'store_meta.archived_id': 'where the log begins, so that its archived rows look lost',
};

/** What is there no more, and how much of it: `values of table.column`, or `rows of table` where all of it is gone. */
export function lostBetween(before: Map<string, number>, after: Map<string, number>): Map<string, number> {
  const tableOf = (column: string): string => column.slice(0, column.indexOf('.'));
  const left = new Set([...after.keys()].map(tableOf));
  const lost = new Map<string, number>();
  for (const [column, count] of before) {
    if (count <= (after.get(column) ?? 0)) continue;
    const rows = left.has(tableOf(column)) ? `values of ${column}` : `rows of ${tableOf(column)}`;
    const what = namedLosses[column] ?? rows;
    lost.set(what, Math.max(count, lost.get(what) ?? 0));
  }
  return lost;
}

function refuseLoss(version: number, before: Map<string, number>, after: Map<string, number>): void {
  const lost = lostBetween(before, after);
  if (lost.size === 0) return;
  const list = [...lost].map(([what, count]) => `${what} (${count})`).join(', ');
  throw new LossError(`migrating down from version ${version} would lose ${list}`);
}
