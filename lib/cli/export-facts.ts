// Facts for export: those that hold.
import { type Fact, FactStore } from '../modules/facts/facts.ts';
import { holds } from '../modules/facts/holds.ts';
import { connect, type SqliteStore } from '../store.ts';
import { durationCells, jsonCell } from './csv.ts';
import { type Asked, pageSize, type Table, Unread } from './export-table.ts';
import { attemptRow, keyText } from './rows.ts';

/** The facts by target, namespace and key. */
export function factsTable({ store }: Asked): Table<Fact> {
  return {
    columns: [
      'target_id', 'namespace', 'key', 'value', 'created_at', 'updated_at', 'expires_at', 'ttl_ms', 'ttl', 'id',
    ],
    pages: factsIn(store),
    cells: ({ id, targetId, namespace, key, value, ttlSeconds, expiresAt, createdAt, updatedAt }) => [
      targetId, namespace, key, jsonCell(value), createdAt, updatedAt, expiresAt,
      ...durationCells(expiresAt && ttlSeconds * 1000), id,
    ],
    document: (fact) => fact,
  };
}

type Key = [targetId: string, namespace: string, key: string];

function* factsIn(store: SqliteStore): Generator<(Fact | Unread)[], void, undefined> {
  const door = connect(store);
  const factStore = new FactStore(store);
  const order = `ORDER BY target_id, namespace, key LIMIT ${pageSize}`;
  const firstSql = `SELECT target_id, namespace, key FROM facts WHERE ${holds} ${order}`;
  const nextSql = `SELECT target_id, namespace, key FROM facts
    WHERE (target_id, namespace, key) > (?, ?, ?) AND ${holds} ${order}`;
  for (let last: Key | undefined; ; ) {
    const after: Key | [] = last ?? [];
    const [next, rows] = door.readTogether('read the facts', () => {
      const keys = door.all<Key>(after.length > 0 ? nextSql : firstSql, ...after, door.now().toISOString());
      return [keys.at(-1), keys.flatMap((key) => readFact(factStore, key))];
    });
    yield rows;
    if (!next) return;
    last = next;
  }
}

function readFact(factStore: FactStore, names: Key): (Fact | Unread)[] {
  const { value, error } = attemptRow(() => factStore.getFact(...names));
  const [targetId, namespace, key] = names.map(keyText);
  if (error) return [new Unread({ targetId, namespace, key }, error)];
  return value ? [value] : []; // it has expired since the keys were listed
}
