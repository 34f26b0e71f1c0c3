// What must not change under an open connection: the files that it has open, and the schema.
import { accessSync, readlinkSync, statSync } from 'node:fs';
import { findName, linkOf, type OpenName, openNameOf } from '../values/descriptors.ts';
import { couldNotBegin, StoreError } from '../values/errors.ts';
import type { CommitParticipant } from './commit-participant.ts';
import type { Connection } from './connection.ts';
import { readValue, schemaMarkSql } from './handle.ts';
import type { DatabaseSync } from './sqlite.ts';

/** The file at a path, and how to see that it is still the same. */
interface Watched {
  path: string;
  isWal: boolean;
  identity: string | undefined;
  /** How this process has the file open, where it is a -wal and the system tells. */
  open: OpenName | undefined;
  /** Goes on with the file that is there now, and watches that, if it may be there; says whether it does. */
  follow: (() => boolean) | undefined;
}

/** Notices that a path no longer leads to the open file, because commits to a deleted -wal are lost. */
export class FileWatch {
  #watched: Watched[] = [];

  constructor(paths: readonly string[]) {
    for (const path of paths) this.watch(path);
  }

  /** `follow` is asked about another file at the path: it may watch that one and go on with it. */
  watch(path: string, follow?: () => boolean): void {
    const isWal = path.endsWith('-wal');
    const open = isWal ? openNameOf(path) : undefined;
    this.#watched.push({ path, isWal, identity: fileIdentity(path, isWal), open, follow });
  }

  unwatch(path: string): void {
    this.#watched = this.#watched.filter((watched) => watched.path !== path);
  }

  /** Says which file was deleted, renamed or replaced since `watch` was called for it. */
  problem(): string | undefined {
    for (const { path, isWal, identity, open, follow } of this.#watched) {
      const now = fileIdentity(path, isWal);
      if (now === undefined && identity !== undefined) return `${path} was deleted or renamed while it was open`;
      const isReplaced = now !== identity || (open && !isStillNamed(open));
      if (isReplaced && !follow?.()) return `${path} was replaced by another file while it was open`;
    }
    return undefined;
  }

  /** Throws `ERR_STORE_BUSY` for a problem, where an operation has only looked at the files so far. */
  check(what: string): void {
    const problem = this.problem();
    if (problem !== undefined) throw new StoreError('ERR_STORE_BUSY', `failed to ${what}: ${problem}`);
  }
}

/** Which file is at a path; `undefined` where none can be found. */
function fileIdentity(path: string, isWal: boolean): string | undefined {
  try {
    // Only the presence of the -wal is checked: since Linux 6.13 a stat makes the next write to that file take a
    // timestamp of its own, so that every commit would have one inode more to flush.
    if (isWal) {
      accessSync(path);
      return 'present';
    }
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    if (couldNotBegin(error)) throw error; // what is there is unknown
    return undefined;
  }
}

/** Whether the open file still has its name, found out without touching its timestamps. */
function isStillNamed(open: OpenName): boolean {
  try {
    if (readlinkSync(open.link) === open.name) return true;
  } catch {
    // that descriptor was closed since
  }
  // SQLite has one descriptor for each handle, and this one may have been another handle's, which was closed since.
  if (findName(`${open.name} (deleted)`) !== undefined) return false;
  const fd = findName(open.name);
  if (fd !== undefined) open.link = linkOf(fd);
  return fd !== undefined;
}

/** Notices that another process has changed the schema. */
class SchemaWatch {
  readonly #db: DatabaseSync;
  readonly #text: unknown;
  /** Changes with the schema and with its version. */
  mark: unknown;

  constructor(db: DatabaseSync) {
    this.#db = db;
    // The text is read first: a change between the two reads is then in the mark alone, which the opener compares.
    this.#text = schemaText(db);
    this.mark = readValue(db, schemaMarkSql);
  }

  /** Whether a handle sees the schema that was there at first. */
  isAsBefore(db: DatabaseSync): boolean {
    return schemaText(db) === this.#text;
  }

  /**
   * Whether the schema or its version has changed since the first look: VACUUM and ANALYZE change the mark, too, and
   * nothing that matters.
   */
  isChanged(): boolean {
    const mark = readValue(this.#db, schemaMarkSql);
    if (mark !== this.mark && !this.isAsBefore(this.#db)) return true;
    this.mark = mark;
    return false;
  }
}

/** The version of the schema, and the SQL of all that is in it. */
function schemaText(db: DatabaseSync): unknown {
  const own = "SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
  const text = `SELECT group_concat(sql, char(10)) FROM (${own})`;
  return readValue(db, `SELECT user_version || char(10) || (${text}) FROM pragma_user_version`);
}

/** Watches the files and the schema of an open store, and stops its writes where one of them has changed. */
export class StoreWatch implements CommitParticipant {
  readonly files: FileWatch;
  readonly schema: SchemaWatch;
  readonly #connection: Connection;

  constructor(connection: Connection, db: DatabaseSync) {
    this.#connection = connection;
    this.schema = new SchemaWatch(db);
    // After the first read SQLite has made the -wal and -shm, and keeps these very files until the last handle closes.
    const { path, reader } = connection;
    this.files = new FileWatch(path === undefined || reader ? [] : ['', '-wal', '-shm'].map((suffix) => path + suffix));
  }

  /** Stops the store where another process has migrated the file, because what this code writes no longer fits. */
  beginChanged(): void {
    if (!this.schema.isChanged()) return;
    throw this.#connection.stop(new StoreError('ERR_STORE_MIGRATION', 'found that another process changed the schema'));
  }

  /** Stops the store where its file was renamed or deleted: it would go on "working", and nobody would ever read it. */
  prepare(): void {
    const problem = this.files.problem();
    if (problem !== undefined) throw this.#connection.stop(new StoreError('ERR_STORE_IO', `found that ${problem}`));
  }
}
