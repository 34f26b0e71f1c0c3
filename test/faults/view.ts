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

// The identity is a new one where a store was lost before anything was acknowledged.
const columns: Record<string, string> = {
  // A recovery from the snapshot file changes limits by events, at a time of its own.
  audit_log: "SELECT timestamp, event_type, event_data, event_meta FROM audit_log WHERE event_type NOT IN "
    + "('store_adopted', 'store_recovered', 'ledger_attached', 'ledger_set_aside') "
    + `AND event_meta IS NOT '{"source":"recovery"}' ORDER BY id`,
  snapshot: 'SELECT data FROM snapshot',
};
const leftOut = ['store_meta', 'schema_version'];

/** How many of the log's events of limits are not in the tables; an adopted store passes over those of before. */
const behindSql = `SELECT count(*) FROM audit_log
  WHERE event_type IN ('time_granted', 'availability_set', 'balance_adjusted', 'usage_corrected')
    AND id > (SELECT limits_id FROM store_meta WHERE id = 1)`;

/** `door` is the `connect` of the package that has opened the store. */
export function viewOf(store: SqliteStore, path?: string, door: typeof connect = connect): View {
  const { prepare } = door(store);
  const names = prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .map((row) => String((row as unknown as unknown[])[0]));
  const tables = names.filter((name) => !leftOut.includes(name)).map((name) => {
    const rows = prepare(columns[name] ?? `SELECT * FROM "${name}" ORDER BY 1, 2`).all();
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
