// The command facts: what is known of targets.
import { FactStore } from '../modules/facts.ts';
import type { Fact, FactFilter } from '../modules/facts.ts';
import { holds } from '../modules/facts/holds.ts';
import { connect } from '../store.ts';
import type { SqliteStore } from '../store.ts';
import { storeFile } from './args.ts';
import type { Args } from './args.ts';
import { dbOption, jsonOption, now, print, printJson } from './command.ts';
import type { Command, Io } from './command.ts';
import { attemptRow, errorLines, keyText } from './rows.ts';
import type { RowError } from './rows.ts';
import { openStore } from './store-path.ts';
import { columnWidth, counted, fit, json, lineWidth, nameColumn, nameRoom, pad, painter, span } from './text.ts';

/** `facts`: what was found out about targets. */
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

/** A fact, or the place of one that cannot be read. */
type Row = Fact | { targetId: string; namespace: string; key: string; error: RowError };

function runFacts(args: Args, io: Io): number {
  const given = { targetId: args.text('target'), namespace: args.text('namespace') };
  const filter: FactFilter = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const limit = args.integer('limit', 1, 1_000_000) ?? 100;
  using store = openStore(args, io);
  // One more than asked for tells whether there are others.
  const rows = readFacts(store, filter, limit + 1);
  const shown = rows.slice(0, limit);
  if (args.flag('json')) printJson(io, { now: now(io), ...filter, facts: shown, more: rows.length > limit });
  else print(io, factLines(io, shown, rows.length > limit));
  return shown.some((row) => 'error' in row) ? 1 : 0;
}

/** The store gives all or, where one fact among them cannot be read, none; then they are read one by one. */
function readFacts(store: SqliteStore, filter: FactFilter, limit: number): Row[] {
  const factStore = new FactStore(store);
  const all = attemptRow(() => factStore.listFacts({ ...filter, limit }));
  if (all.value) return all.value;
  const sql = `SELECT target_id, namespace, key FROM facts WHERE (?1 IS NULL OR target_id = ?1) AND (?2 IS NULL OR namespace = ?2)
    AND ${holds} ORDER BY target_id, namespace, key LIMIT ?`;
  const door = connect(store);
  const names = door.read('list facts', () => door.prepare(sql).all(filter.targetId ?? null, filter.namespace ?? null, door.now().toISOString(), limit)) as unknown as [unknown, unknown, unknown][];
  return names.flatMap((name): Row[] => {
    const { value, error } = attemptRow(() => factStore.getFact(...(name as [string, string, string])));
    const [targetId, namespace, key] = name.map(keyText) as [string, string, string];
    if (error) return [{ targetId, namespace, key, error }];
    return value ? [value] : []; // expired or deleted meanwhile
  });
}

// What long names leave of the line for the other columns.
const shortestColumn = 14;
// A value may have megabytes, of which no line shows more.
const longestValue = 120;

/** The facts of a target below its id: namespace, key, value, and how long it holds. */
function factLines(io: Io, rows: readonly Row[], isMore: boolean): string[] {
  if (rows.length === 0) return ['No facts.'];
  const paint = painter(io.stdout);
  const texts = new Map(rows.map((row) => [row, textsOf(row, now(io))]));
  const endWidth = columnWidth([...texts.values()].map(({ end }) => end), 24);
  const taken = endWidth + 8 + shortestColumn;
  const namespaces = nameColumn(io.stdout, rows.map(({ namespace }) => namespace), taken + shortestColumn);
  const keys = nameColumn(io.stdout, rows.map(({ key }) => key), taken + namespaces.width);
  const valueWidth = columnWidth([...texts.values()].map(({ value }) => value), Math.max(shortestColumn, lineWidth(io.stdout) - namespaces.width - keys.width - endWidth - 8));
  const lines: string[] = [];
  for (const [targetId, facts] of Map.groupBy(rows, (row) => row.targetId)) {
    lines.push(...(lines.length > 0 ? [''] : []), paint('bold', fit(targetId, nameRoom(io.stdout))));
    for (const row of facts) {
      const name = `  ${namespaces.cell(row.namespace)}  ${keys.cell(row.key)}`;
      const { value, end } = texts.get(row)!;
      if ('error' in row) lines.push(`${name}  ${paint('red', 'cannot be read')}`);
      else lines.push(end === '' ? `${name}  ${fit(value, valueWidth)}` : `${name}  ${pad(fit(value, valueWidth), valueWidth)}  ${paint('dim', end)}`);
    }
  }
  const errors = errorLines(io.stdout, rows.filter((row) => 'error' in row));
  return [...lines, ...(errors.length > 0 ? ['', ...errors] : []), ...(isMore ? ['', paint('dim', `The first ${counted(rows.length, 'fact')}; --limit shows more`)] : [])];
}

function textsOf(row: Row, at: Date): { value: string; end: string } {
  if ('error' in row) return { value: '', end: '' };
  return { value: fit(json(row.value), longestValue), end: row.expiresAt ? `${span(row.expiresAt.getTime() - at.getTime())} left` : '' };
}
