// The statements of a connection: each prepared once, with rows as arrays.
import type { SQLInputValue, StatementSync } from 'node:sqlite';
import type { Reader } from './handle.ts';
import type { DatabaseSync } from './sqlite.ts';

export class Statements {
  readonly reader: Reader | undefined;
  protected db: DatabaseSync;
  /** How many statements have been used since this was last set to 0. */
  protected uses = 0;
  readonly #prepared = new Map<string, StatementSync>();

  /** `reader`, whose handle may be another one at each read, is there for a store that was opened read-only. */
  constructor(db: DatabaseSync, reader?: Reader) {
    this.db = db;
    this.reader = reader;
  }

  /** The statement for this SQL. Ask again for each use, because a reader may have opened another handle. */
  statement(sql: string): StatementSync {
    if (this.reader && this.reader.db !== this.db) {
      this.db = this.reader.db;
      this.#prepared.clear();
    }
    this.uses++;
    let statement = this.#prepared.get(sql);
    if (!statement) {
      statement = this.db.prepare(sql);
      statement.setReturnArrays(true);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }

  /** The first row that `sql` gives. */
  get<Row extends readonly unknown[]>(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.statement(sql).get(...values) as Row | undefined;
  }

  /** All rows that `sql` gives. */
  all<Row extends readonly unknown[]>(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.statement(sql).all(...values) as unknown as Row[];
  }

  /** Runs `sql` and gives how many rows it changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.statement(sql).run(...values).changes);
  }
}
