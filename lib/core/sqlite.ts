// Node's SQLite. It is not imported: on a Node that has none an import fails before any line of this package can say
// which Node has one.
import type { backup as sqliteBackup, DatabaseSync as Database } from 'node:sqlite';
import { StoreError } from '../values/errors.ts';
import { nodeProblem } from '../values/node-version.ts';

function load(): typeof import('node:sqlite') {
  try {
    const sqlite = process.getBuiltinModule('node:sqlite') as typeof import('node:sqlite') | undefined;
    if (sqlite) return sqlite;
  } catch {
    // an even older Node has no getBuiltinModule either
  }
  const { node } = process.versions;
  throw new StoreError('ERR_STORE_UNSUPPORTED', nodeProblem(node) ?? `Node ${node} was built without its SQLite`);
}

const sqlite = load();
export const DatabaseSync: typeof Database = sqlite.DatabaseSync;
export const backup: typeof sqliteBackup = sqlite.backup;
export type DatabaseSync = Database;
