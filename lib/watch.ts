// What must not change under an open connection: the files that it has open, and the schema.
import { accessSync, statSync } from 'node:fs';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { findName, nameOf, openNameOf } from './descriptors.ts';
import type { OpenName } from './descriptors.ts';
import { couldNotBegin, StoreError } from './errors.ts';
import { readPragma } from './schema.ts';

/** What stands at a path, and how to see that it is still the same. */
interface Watched {
  path: string;
  identity: string | undefined;
  /** How this process has the file open, where it is a -wal and the system tells. */
  open?: OpenName | undefined;
}

/** Notices that a path does not lead to the file any more that is open: commits to a deleted -wal are lost. */
export class FileWatch {
  #watched: Watched[] = [];

  constructor(paths: readonly string[]) {
    for (const path of paths) this.watch(path);
  }

  watch(path: string): void {
    this.#watched.push({ path, identity: identify(path), open: isWal(path) ? openNameOf(path) : undefined });
  }

  unwatch(path: string): void {
    this.#watched = this.#watched.filter((watched) => watched.path !== path);
  }

  /** Says which file was deleted, renamed or replaced since it was looked at first. */
  problem(): string | undefined {
    for (const watched of this.#watched) {
      const { path, identity } = watched;
      const now = identify(path);
      if (now !== identity) return `${path} was ${now === undefined ? 'deleted or renamed' : 'replaced by another file'} while it was open`;
      if (watched.open && !isStillNamed(watched.open)) return `${path} was replaced by another file while it was open`;
    }
    return undefined;
  }
}

function isWal(path: string): boolean {
  return path.endsWith('-wal');
}

/** Which file stands at a path; `undefined` where none can be found. */
function identify(path: string): string | undefined {
  try {
    // Since Linux 6.13 a stat makes the next write to that file take a timestamp of its own, and with it every commit an
    // inode more to flush: of the -wal only the presence is asked.
    if (isWal(path)) {
      accessSync(path);
      return 'present';
    }
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    if (couldNotBegin(error)) throw error; // what stands there is unknown
    return undefined;
  }
}

/** Whether the open file still has its name, by a look that leaves its timestamps alone. */
function isStillNamed(open: OpenName): boolean {
  if (nameOf(open.fd) === open.name) return true;
  // SQLite has one descriptor for each handle. The one that was asked may have been another handle's, closed since.
  if (findName(`${open.name} (deleted)`) !== undefined) return false;
  const fd = findName(open.name);
  if (fd !== undefined) open.fd = fd;
  return fd !== undefined;
}

/** Notices that another process changed the schema, or whether the store has a ledger. */
export class SchemaWatch {
  readonly #db: DatabaseSync;
  readonly #text: string;
  /** SQLite's own number of the schema, which each change of it raises. */
  cookie: unknown;
  #statement: StatementSync | undefined;
  /** Changes with every commit of another connection, and costs a tenth of the look itself. */
  readonly #versionStatement: StatementSync;
  /** The same until another connection commits, as it was at the last look. */
  version: unknown;
  #isMirrored: boolean | undefined;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#versionStatement = db.prepare('PRAGMA data_version');
    this.#versionStatement.setReturnArrays(true);
    // The text first: what changes between the two changes the cookie that the opener compares, and not this text alone.
    this.#text = schemaText(db);
    this.cookie = readPragma(db, 'schema_version');
  }

  /** Whether a handle sees the schema that was there at first. */
  isAsBefore(db: DatabaseSync): boolean {
    return schemaText(db) === this.#text;
  }

  /** Why nothing more may be written. `isMirrored`: true with a ledger, false while one is being attached, else undefined. */
  change(isMirrored: boolean | undefined): StoreError | undefined {
    const [version] = this.#versionStatement.get() as unknown as [number];
    if (version === this.version && isMirrored === this.#isMirrored) return undefined;
    const [cookie, hasLedger] = this.#look() ?? [];
    if (hasLedger === 1 && isMirrored === undefined) return new StoreError('ERR_STORE_CONFLICT', 'found that another process has given the store a ledger, without which nothing may be written');
    if (hasLedger === 0 && isMirrored) return new StoreError('ERR_STORE_CONFLICT', 'found that another process has detached the ledger');
    // VACUUM and ANALYZE change the cookie too, and change nothing that matters here.
    if (cookie !== this.cookie && schemaText(this.#db) !== this.#text) return new StoreError('ERR_STORE_MIGRATION', 'found that another process changed the schema');
    this.cookie = cookie;
    this.version = version;
    this.#isMirrored = isMirrored;
    return undefined;
  }

  #look(): [cookie: number, hasLedger: number] | undefined {
    try {
      if (!this.#statement) {
        this.#statement = this.#db.prepare('SELECT schema_version, has_ledger FROM pragma_schema_version, store_meta WHERE id = 1');
        this.#statement.setReturnArrays(true);
      }
      return this.#statement.get() as unknown as [number, number] | undefined;
    } catch (error) {
      if (schemaText(this.#db) !== this.#text) return undefined; // the very table may be gone
      throw error;
    }
  }
}

function schemaText(db: DatabaseSync): string {
  const rows = db.prepare("SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name").all();
  return rows.map(({ sql }) => sql).join('\n');
}
