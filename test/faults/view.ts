// What a store holds, short enough to be told after each operation and compared ten thousand times.
import { hash } from 'node:crypto';
import { readSnapshotFile } from '../../lib/core/snapshot-file.ts';
import { SqliteStore } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';
import { snapshotPathOf } from '../../lib/values/paths.ts';

export interface View {
  /**
   * Of each table: how many rows, and their hash. Of the log without the store's own events about how it was opened.
   */
  tables: Record<string, string>;
  /** The id of the newest event. */
  head: number;
  /** The hash of the state in the snapshot file; undefined where there is none. */
  file?: string;
}

/** A row of the log, in the database or in an archive. */
export type LoggedRow = [id: number, timestamp: string, type: string, data: string, meta: string | null];

// The identity is a new one where a store was lost before anything was acknowledged.
const columns: Record<string, string> = {
  audit_log: 'SELECT id, timestamp, event_type, event_data, event_meta FROM audit_log ORDER BY id',
  snapshot: 'SELECT data FROM snapshot',
};
const ownEvents = [
  'store_adopted', 'store_recovered', 'ledger_attached', 'ledger_set_aside', 'signing_started', 'log_archived',
  'archives_forgotten', 'balances_carried', 'limits_carried',
];
const leftOut = ['store_meta', 'schema_version'];

/** How many of the log's events of limits are not in the tables; an adopted store passes over those of before. */
const behindSql = `SELECT count(*) FROM audit_log
  WHERE event_type IN ('time_granted', 'availability_set', 'balance_adjusted', 'usage_corrected')
    AND id > (SELECT limits_id FROM store_meta WHERE id = 1)`;

/**
 * The log as it was appended: what the archives have of it, and what the database has. A row that is in both must be
 * the same; those of archives that were forgotten are left out.
 */
function whole(log: readonly LoggedRow[], archived: readonly LoggedRow[]): unknown[] {
  const rows = new Map<number, string>();
  let forgotten = 0;
  for (const [id, ...row] of [...archived, ...log]) {
    const text = JSON.stringify(row);
    if ((rows.get(id) ?? text) !== text) throw new Error(`row ${id} is ${rows.get(id)} in an archive and ${text}`);
    rows.set(id, text);
    if (row[1] === 'archives_forgotten') forgotten = (JSON.parse(row[2]) as { to: number }).to;
  }
  return [...rows].filter(([id]) => id > forgotten).sort(([a], [b]) => a - b).flatMap(([, text]) => {
    const [timestamp, type, data, meta] = JSON.parse(text) as [string, string, string, string | null];
    // A recovery from the snapshot file changes limits by events, at a time of its own.
    const isOwn = ownEvents.includes(type) || meta === '{"source":"recovery"}';
    return isOwn ? [] : [[timestamp, type, data, meta]];
  });
}

/** `door` is the `connect` of the package that has opened the store; `archived` are the rows in its archives. */
export function viewOf(
  store: SqliteStore, path?: string, door: typeof connect = connect, archived: readonly LoggedRow[] = [],
): View {
  const { prepare } = door(store);
  const names = prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .map((row) => String((row as unknown as unknown[])[0]));
  const tables = names.filter((name) => !leftOut.includes(name)).map((name) => {
    const found = prepare(columns[name] ?? `SELECT * FROM "${name}" ORDER BY 1, 2`).all() as unknown[];
    const rows = name === 'audit_log' ? whole(found as LoggedRow[], archived) : found;
    return [name, `${rows.length} rows ${hash('sha1', JSON.stringify(rows)).slice(0, 16)}`];
  });
  const file = path === undefined ? undefined : fileView(path);
  return {
    tables: {
      ...(Object.fromEntries(tables) as View['tables']),
      'limits behind': JSON.stringify(prepare(behindSql).all()),
    },
    head: store.auditHead()?.id ?? 0,
    ...(file === undefined ? undefined : { file }),
  };
}

/** The state in the file beside a database; 'damaged' where it is not whole. */
export function fileView(path: string): string | undefined {
  const file = readSnapshotFile(snapshotPathOf(path));
  if (file.state === 'absent') return undefined;
  return file.state === 'whole' ? hash('sha1', JSON.stringify(file.content.state)).slice(0, 16) : 'damaged';
}

/** What an empty store holds. */
export function emptyView(): View {
  using store = SqliteStore.inMemory();
  return viewOf(store);
}
