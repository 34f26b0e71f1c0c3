// Usage, cooldowns and limits for export. Each row is read by itself, and the rows of a page are those of one moment.
import { connect, type SqliteStore } from '../store.ts';
import { durationCells } from './csv.ts';
import { type Asked, type DayRange, hasDay, type Table, Unread } from './export-table.ts';
import { type BalanceRow, type OverrideRow, readBalances, readOverrides } from './limit-rows.ts';
import { type CooldownRow, keyText, readCooldowns, readUsage, type RowError, type UsageRow } from './rows.ts';

/** The totals by day and entry. */
export function usageTable({ store, range }: Asked): Table<UsageRow> {
  return {
    columns: ['day', 'entry_id', 'duration_ms', 'duration'],
    pages: byDay(store, 'usage', range, (day) => {
      return readUsage(store, day, day).map((row) => orUnread(row, { day: row.day, entryId: row.entryId }));
    }),
    cells: ({ day, entryId, durationMs }) => [day, entryId, ...durationCells(durationMs)],
    document: ({ day, entryId, durationMs }) => ({ day, entryId, durationMs }),
  };
}

/** A page for each day of a table, which holds no more than what all entries have used or were given on it. */
function* byDay<T>(
  store: SqliteStore, table: 'usage' | 'overrides', range: DayRange, read: (day: string) => T[],
): Generator<T[], void, undefined> {
  const door = connect(store);
  const sql = `SELECT DISTINCT day FROM ${table} ORDER BY day`;
  const days = door.read('list the days', () => door.all<[unknown]>(sql));
  for (const [day] of days) {
    // A day that is no text comes from damage. It may be any day, so that its rows are read, which says what is wrong.
    if (typeof day === 'string' && !hasDay(range, day)) continue;
    yield door.readTogether('read the rows of a day', () => read(day as string));
  }
}

function orUnread<T extends { error?: RowError }>(row: T, key: Record<string, unknown>): T | Unread {
  return row.error ? new Unread(key, row.error) : row;
}

/** The cooldowns in the order of their ends. */
export function cooldownsTable({ store, now }: Asked): Table<CooldownRow> {
  return {
    columns: ['entry_id', 'until', 'running'],
    pages: cooldownsIn(store, now),
    cells: ({ entryId, until, running }) => [entryId, until, running],
    document: (row) => row,
  };
}

function* cooldownsIn(store: SqliteStore, now: Date): Generator<(CooldownRow | Unread)[], void, undefined> {
  const rows = connect(store).readTogether('read the cooldowns', () => readCooldowns(store, now));
  const end = ({ until }: CooldownRow): number => until?.getTime() ?? -Infinity;
  yield rows.sort((a, b) => end(a) - end(b) || 0).map((row) => orUnread(row, { entryId: row.entryId }));
}

type LimitRow = ({ kind: 'override' } & OverrideRow) | ({ kind: 'balance' } & BalanceRow);

/** What was permitted beyond the rules by day and subject, and then the balances, which are of now and of no day. */
export function limitsTable({ store, range }: Asked): Table<LimitRow> {
  return {
    columns: ['kind', 'day', 'subject', 'granted_ms', 'granted', 'availability', 'balance_ms', 'balance'],
    pages: limitsIn(store, range),
    cells: (row) => {
      const { kind, subject } = row;
      if (kind === 'balance') {
        return [kind, undefined, subject, undefined, undefined, undefined, ...durationCells(row.balanceMs)];
      }
      return [kind, row.day, subject, ...durationCells(row.grantedMs), row.availability, undefined, undefined];
    },
    document: (row) => row,
  };
}

function* limitsIn(store: SqliteStore, range: DayRange): Generator<(LimitRow | Unread)[], void, undefined> {
  yield* byDay(store, 'overrides', range, (day) => {
    return readOverrides(store, day).map((row) => {
      return orUnread({ kind: 'override' as const, ...row }, { day: keyText(day), subject: row.subject });
    });
  });
  if ((range.from ?? range.to) !== undefined) return;
  const balances = connect(store).readTogether('read the balances', () => readBalances(store));
  yield balances.map((row) => orUnread({ kind: 'balance' as const, ...row }, { subject: row.subject }));
}
