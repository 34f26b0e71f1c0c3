// The file that is taken over, read and never changed; and what a kind of source has to say of itself.
import * as fs from 'node:fs';
import { accessSync, closeSync, constants, openSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { attempt, hasCode, StoreError } from '../errors.ts';
import { readLines } from '../ledger/read-lines.ts';
import type { RawLine } from '../ledger/read-lines.ts';
import { ReadOnlyFile } from '../read-only.ts';
import { identify } from '../schema.ts';
import type { FileKind } from '../schema.ts';
import type { Sink } from './sink.ts';
import type { HasRow, TargetRow } from './tables.ts';

/** A kind of store that can be taken over. */
export interface SourceKind {
  /** What it is called in reports, in events and in the ids of what comes from it. */
  name: string;
  /** Whether the file is of this kind: asked of the names of its tables and columns, or of its first lines. */
  recognise(source: Source): boolean;
  /** How many rows `walk` will pass, more or less: the source may be live. */
  count(source: Source): number;
  /**
   * What tells this source from others of its kind, the same for as long as its service writes it; for a kind that has
   * nothing of the sort, and only rows that are recognised each by itself, its name.
   */
  identity(source: Source): string;
  /** The modules' tables that its rows go to. */
  tables?(source: Source): readonly TargetRow['table'][];
  /** Whether it has a run or plan unit at this moment; where rows of one table belong to those of another. */
  has?(source: Source, ...row: Parameters<HasRow>): boolean;
  /** Hands every row to the sink, converted or refused, and yields how many it has passed since the last time. */
  walk(source: Source, sink: Sink): Generator<number, void, undefined>;
}

// Nightshift keeps the last 100 runs, so its state is a few hundred kilobytes at most.
const maxJsonBytes = 16 * 2 ** 20;

// A link or pipe that was put in the place of the file since is not followed, nor waited for.
const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * A source file. Each read is one consistent state of it; no read stays open between two, because a service that is
 * still running could not reuse its WAL meanwhile.
 */
export class Source {
  readonly path: string;
  readonly file: FileKind | { kind: 'no-database' };
  /** The columns of each table; empty where the file is no database. */
  readonly tables: ReadonlyMap<string, readonly string[]>;
  readonly #reader: ReadOnlyFile;
  #json: { value: unknown } | undefined;

  /**
   * Throws `ERR_STORE_NOT_FOUND` where there is no file, `ERR_STORE_PERMISSION`, `ERR_STORE_NOT_A_STORE` for what is no
   * regular file, `ERR_STORE_CORRUPT` for a damaged database.
   */
  constructor(path: string) {
    // SQLite looks for the -wal beside the file that a link leads to.
    this.path = attempt(`import ${path}`, () => realpathSync(path));
    this.#reader = attempt(`import ${path}`, () => {
      if (!statSync(this.path).isFile()) throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to import ${path}: it is not a regular file`);
      accessSync(this.path, constants.R_OK);
      return new ReadOnlyFile(this.path, 5_000);
    });
    try {
      this.file = this.#identify();
      this.tables = this.file.kind === 'other' ? this.#readTables() : new Map();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #identify(): Source['file'] {
    try {
      return this.#read(() => identify(this.#reader.db));
    } catch (error) {
      if (!hasCode(error, 'ERR_STORE_NOT_A_STORE')) throw error;
      return { kind: 'no-database' };
    }
  }

  #readTables(): Map<string, string[]> {
    const tables = new Map<string, string[]>();
    const sql = `SELECT t.name, c.name FROM pragma_table_list AS t, pragma_table_info(t.name) AS c
      WHERE t.schema = 'main' AND t.type IN ('table', 'virtual') AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY t.name, c.cid`;
    for (const [table, column] of this.all<[string, string]>(sql)) tables.set(table, [...(tables.get(table) ?? []), column]);
    return tables;
  }

  /** Whether the tables, or their columns, are others now than they were at first. */
  hasOtherTables(): boolean {
    return !isDeepStrictEqual(this.#readTables(), this.tables);
  }

  /**
   * What the file holds as JSON, `undefined` where it holds none; read once, so that every walk finds the same. Throws
   * `ERR_STORE_NOT_A_STORE` for a file that is too large to be a state that a service writes anew at each change.
   */
  json(): unknown {
    if (this.file.kind !== 'no-database') return undefined;
    return (this.#json ??= { value: this.#readJson() }).value;
  }

  #readJson(): unknown {
    const bytes = attempt(`import ${this.path}`, () => {
      const { size } = statSync(this.path);
      if (size > maxJsonBytes) throw new StoreError('ERR_STORE_NOT_A_STORE', `failed to import ${this.path}: it is no SQLite database, and with ${size} bytes too large for a JSON file (at most ${maxJsonBytes})`);
      return readFileSync(this.path, { flag: readFlags });
    });
    try {
      return JSON.parse(utf8OfFile.decode(bytes)) as unknown;
    } catch {
      return undefined;
    }
  }

  /** The lines of a file that is no database, up to the end that it has now. The bytes of each are good until the next. */
  *lines(): Generator<RawLine, void, undefined> {
    const fd = attempt(`read ${this.path}`, () => openSync(this.path, readFlags));
    try {
      const lines = readLines(fs, fd, 0, fs.fstatSync(fd).size);
      for (;;) {
        const next = attempt(`read ${this.path}`, () => lines.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      closeSync(fd);
    }
  }

  /** All rows that `sql` gives, as arrays; whole numbers as BigInt, because one beyond 2^53 may be among them. */
  all<Row extends readonly unknown[]>(sql: string, ...values: (bigint | string)[]): Row[] {
    return this.#read(() => {
      // Prepared for each page: the reader may have had to open the file anew.
      const statement = this.#reader.db.prepare(sql);
      statement.setReturnArrays(true);
      statement.setReadBigInts(true);
      return statement.all(...values) as unknown as Row[];
    });
  }

  #read<T>(fn: () => T): T {
    return attempt(`read ${this.path}`, () => this.#reader.read(fn));
  }

  close(): void {
    this.#reader.close();
  }
}

/**
 * The SQL for a column whose text is to be read as it is: bytes, or NULL for anything but a text. Node 24 ends a text at
 * its first NUL, and bytes that are no UTF-8 become U+FFFD: either way one entry id turns into another.
 */
export function exact(column: string): string {
  return `CASE typeof(${column}) WHEN 'text' THEN CAST(${column} AS BLOB) END`;
}

// Without the byte order mark that an editor may have put before it.
const utf8OfFile = new TextDecoder('utf-8', { fatal: true });

/** A name in SQL, whatever it contains. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
