// The current schema given to a new file, and the marks of a store: application id, identity, and the record of each
// version.
import { randomUUID } from 'node:crypto';
import { type Identity, renewedSql } from '../core/identity.ts';
import { applicationId, firstInHeader, writableFrom } from '../core/schema.ts';
import { migrations, readSql } from '../core/sql-files.ts';
import type { DatabaseSync } from '../core/sqlite.ts';
import { machineId } from '../values/machine.ts';

/**
 * Gives an empty file the current schema, the application id and an identity, inside the caller's transaction. A
 * recovery passes the identity of the lost database.
 */
export function createSchema(db: DatabaseSync, now: Date, lost: Identity = { uuid: randomUUID() }): void {
  const { uuid, createdAt = now.toISOString(), renewed = [] } = lost;
  db.exec(readSql('schema.sql'));
  mark(db, uuid, createdAt);
  db.exec(`UPDATE store_meta SET writable_from = ${writableFrom}`);
  const insert = db.prepare('INSERT INTO former_identities (uuid, until_id) VALUES (?, ?)');
  for (const { store, until } of renewed) insert.run(store, until);
  if (renewed.length > 0) db.exec(renewedSql);
  rememberMachine(db);
  for (const { version, description } of migrations) recordVersion(db, version, description, now);
}

/** Marks a file as this package's and gives it an identity. */
export function mark(db: DatabaseSync, uuid: string, createdAt: string): void {
  db.exec(`PRAGMA application_id = ${applicationId}`);
  db.prepare('INSERT INTO store_meta (id, uuid, created_at) VALUES (1, ?, ?)').run(uuid, createdAt);
}

/** Notes on which machine the store is, where nothing says so yet. */
export function rememberMachine(db: DatabaseSync): void {
  db.prepare('UPDATE store_meta SET machine_id = ? WHERE machine_id IS NULL').run(machineId() ?? null);
}

/** Records that a file has reached a schema version. */
export function recordVersion(db: DatabaseSync, version: number, description: string, now: Date): void {
  const sql = 'INSERT INTO schema_version (version, description, applied_at) VALUES (?, ?, ?)';
  db.prepare(sql).run(version, description, now.toISOString());
  setHeaderVersion(db, version);
}

/** Writes the version to the file's header; schemas before `firstInHeader` have 0 there. */
export function setHeaderVersion(db: DatabaseSync, version: number): void {
  db.exec(`PRAGMA user_version = ${version >= firstInHeader ? version : 0}`);
}
