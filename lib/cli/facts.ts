// The command facts: shows what is known of targets.
import { type Fact, type FactFilter, FactStore } from '../modules/facts/facts.ts';
import { holds } from '../modules/facts/holds.ts';
import { connect, type SqliteStore } from '../store.ts';
import { type Args, storeFile } from './args.ts';
import { type Command, dbOption, type Io, jsonOption, now, print, printJson } from './command.ts';
import { attemptRow, errorLines, keyText, type RowError, unreadable } from './rows.ts';
import { openStore } from './store-path.ts';
import { columnWidth, counted, fit, json, lineWidth, nameColumn, nameRoom, pad, painter, span } from './text.ts';

/** `facts`: shows what was found out about targets. */
export const facts: Command = {
  name: 'facts',
  summary: 'Shows what is known of targets, and for how long it holds',
  takes: [storeFile],
  options: {
    ...dbOption,
    target: { value: 'ID', help: 'only facts about this target' },
    namespace: { value: 'NAME', help: 'only facts of this namespace' },
    limit: { value: 'N', help: 'how many at most; 100 by default' },
    ...jsonOption,
  },
  notes: [
    'Facts that have expired are absent. Long values are cut; --json has them whole.',
    'A fact that cannot be read is shown as an error, and the exit code is 1.',
  ],
  examples: ['facts --db shepherdd.db --target host-001'],
  run: runFacts,
};

/** A fact, or the key and the error of one that cannot be read. */
type Row = Fact | { targetId: string; namespace: string; key: string; error: RowError };

async function runFacts(args: Args, io: Io): Promise<number> {
  const options = { targetId: args.text('target'), namespace: args.text('namespace') };
  const filter: FactFilter = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const limit = args.integer('limit', 1, 1_000_000) ?? 100;
  using store = await openStore(args, io);
  // One fact more than asked for is read, so that the output can say whether there are more.
  const rows = readFacts(store, filter, limit + 1);
  const isMore = rows.length > limit;
  const shown = rows.slice(0, limit);
  if (args.flag('json')) printJson(io, { now: now(io), ...filter, facts: shown, more: isMore });
  else print(io, factLines(io, shown, isMore));
  return shown.some((row) => 'error' in row) ? 1 : 0;
}

/** The store throws for a list of which one fact cannot be read; the facts are then read one by one. */
function readFacts(store: SqliteStore, filter: FactFilter, limit: number): Row[] {
  const factStore = new FactStore(store);
  const all = attemptRow(() => factStore.listFacts({ ...filter, limit }));
  if (all.value) return all.value;
  const sql = `SELECT target_id, namespace, key FROM facts
    WHERE (?1 IS NULL OR target_id = ?1) AND (?2 IS NULL OR namespace = ?2)
    AND ${holds} ORDER BY target_id, namespace, key LIMIT ?`;
  const door = connect(store);
  const values = [filter.targetId ?? null, filter.namespace ?? null, door.now().toISOString(), limit];
  const keys: unknown = door.read('list facts', () => door.prepare(sql).all(...values));
  return (keys as [unknown, unknown, unknown][]).flatMap((factKey): Row[] => {
    const { value, error } = attemptRow(() => factStore.getFact(...(factKey as [string, string, string])));
    const [targetId, namespace, key] = factKey.map(keyText) as [string, string, string];
    if (error) return [{ targetId, namespace, key, error }];
    return value ? [value] : []; // the fact has expired or was deleted since the keys were listed
  });
}

// Long names leave at least this width to each of the other columns.
const shortestColumn = 14;
// A value may have megabytes, but no line shows more of it than this.
const longestValue = 120;

/** The facts of each target below its id: namespace, key, value, and for how long the fact holds. */
function factLines(io: Io, rows: readonly Row[], isMore: boolean): string[] {
  if (rows.length === 0) return ['No facts.'];
  const paint = painter(io.stdout);
  const texts = new Map(rows.map((row) => [row, textsOf(row, now(io))]));
  const expiryWidth = columnWidth([...texts.values()].map(({ expiry }) => expiry), 24);
  const taken = expiryWidth + 8 + shortestColumn;
  const namespaces = nameColumn(io.stdout, rows.map(({ namespace }) => namespace), taken + shortestColumn);
  const keys = nameColumn(io.stdout, rows.map(({ key }) => key), taken + namespaces.width);
  const valueRoom = lineWidth(io.stdout) - namespaces.width - keys.width - expiryWidth - 8;
  const valueTexts = [...texts.values()].map(({ value }) => value);
  const valueWidth = columnWidth(valueTexts, Math.max(shortestColumn, valueRoom));
  const lines: string[] = [];
  for (const [targetId, facts] of Map.groupBy(rows, (row) => row.targetId)) {
    if (lines.length > 0) lines.push('');
    lines.push(paint('bold', fit(targetId, nameRoom(io.stdout))));
    for (const row of facts) {
      const name = `  ${namespaces.cell(row.namespace)}  ${keys.cell(row.key)}`;
      const { value, expiry } = texts.get(row)!;
      const shownValue = fit(value, valueWidth);
      if ('error' in row) lines.push(`${name}  ${paint('red', unreadable)}`);
      else if (expiry === '') lines.push(`${name}  ${shownValue}`);
      else lines.push(`${name}  ${pad(shownValue, valueWidth)}  ${paint('dim', expiry)}`);
    }
  }
  const errors = errorLines(io.stdout, rows.filter((row) => 'error' in row));
  if (errors.length > 0) lines.push('', ...errors);
  if (isMore) lines.push('', paint('dim', `The first ${counted(rows.length, 'fact')}; --limit shows more`));
  return lines;
}

function textsOf(row: Row, at: Date): { value: string; expiry: string } {
  if ('error' in row) return { value: '', expiry: '' };
  const expiry = row.expiresAt ? `${span(row.expiresAt.getTime() - at.getTime())} left` : '';
  return { value: fit(json(row.value), longestValue), expiry };
}
