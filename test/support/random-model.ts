// What random programs write into a store, and a model in memory of what it must hold.
import { DatabaseSync } from 'node:sqlite';
import { type EventBase, SqliteStore, type StateSnapshot } from '../../lib/index.ts';
import { LimitModel, type Totals } from './limits-model.ts';
import { deep } from './values.ts';

export type Event = EventBase & { [field: string]: unknown };
export type Store = SqliteStore<Event>;

/** Texts that are stored as they are, whatever they mean to somebody else. */
export const texts = [
  'minecraft',
  "Robert'); DROP TABLE usage;--",
  '__proto__',
  'constructor',
  'toString',
  '"',
  '\\',
  '%_',
  'ä\u0308\u200d',
  '\u202eenilno\u202c',
  'שלום',
  '👩‍👩‍👧',
  ' ',
  '\n',
  'null',
  '0',
  '-1',
  '1e400',
  'x'.repeat(1_000),
  "' OR 1=1",
  '${x}',
  '../../etc/passwd',
  '\uffff',
  '\ufeff',
  'A',
  'a',
];
export const days = ['2026-11-20', '2026-11-21', '2026-11-22', '0000-01-01', '9999-12-31', '2024-02-29'];
/** Values that JSON carries, and how they come back. */
export const values: (() => unknown)[] = [
  () => null,
  () => -0,
  () => 1.5e-7,
  () => Number.MAX_SAFE_INTEGER,
  () => 5e-324,
  () => ['', [], {}],
  () => deep(50),
  () => JSON.parse('{"__proto__":{"a":1},"constructor":2}'),
  () => ({ a: undefined, b: 1 }),
  () => Object.create(null),
  () => ({
    get a() {
      return 1;
    },
  }),
  () => new Proxy([1, 2], {}),
  () => '\u2028</script>',
  () => 'y'.repeat(20_000),
];

/** What a store must hold. */
export class Model {
  events: { id: number; event: Event; timestamp: Date }[] = [];
  usage = new Map<string, number>();
  cooldowns = new Map<string, { until: Date; setAt: number }>();
  readonly limits = new LimitModel();
  snapshot: StateSnapshot | undefined;

  /** For a transaction that is undone. */
  copy(): () => void {
    const { snapshot } = this;
    const [length, usage, cooldowns] = [this.events.length, new Map(this.usage), new Map(this.cooldowns)];
    const restoreLimits = this.limits.copy();
    return () => {
      this.events.length = length;
      Object.assign(this, { usage, cooldowns, snapshot });
      restoreLimits();
    };
  }

  usageOf(entryId: string, day: string): number {
    return this.usage.get(JSON.stringify([entryId, day])) ?? 0;
  }

  readonly totals: Totals = {
    get: (entryId, day) => this.usageOf(entryId, day),
    set: (entryId, day, totalMs) => void this.usage.set(JSON.stringify([entryId, day]), totalMs),
  };
}

/** What comes back of a value. Not by `JSON.parse`, which mistakes keys with escapes. */
export function plain(value: unknown): unknown {
  if (typeof value === 'number') return value + 0;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [key, plain(item)]),
  );
}

/** What a store has that follows from its events. The clock may be behind that of a cooldown, which reads find out. */
export function contentOf(path: string): unknown {
  using db = new DatabaseSync(path, { readOnly: true });
  const queries = [
    'SELECT id, timestamp, event_type, event_data, event_meta, event_hash FROM audit_log ORDER BY id',
    'SELECT entry_id, day, duration_secs, carry_ms FROM usage ORDER BY 1, 2',
    'SELECT entry_id, until FROM cooldowns ORDER BY 1',
    'SELECT subject, day, granted_ms, availability FROM overrides ORDER BY 1, 2',
    'SELECT subject, balance_ms FROM balances ORDER BY 1',
    'SELECT limits_id FROM store_meta',
  ];
  return queries.map((sql) => {
    const statement = db.prepare(sql);
    statement.setReadBigInts(true);
    return statement.all().map((row) => ({ ...row }));
  });
}
