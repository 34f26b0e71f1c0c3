// What test/core/cost.test.ts counts: operations of the store, each one followed by a dot that strace sees among the
// system calls.
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { SqliteStore } from '../../lib/index.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { tell } from './child.ts';

const day = '2026-11-21';
const now = new Date('2026-11-21T10:00:00Z');

// Everything has the same length whatever its number is, so that the bytes written are the same in every run.
const entry = (number: number): string => `entry-${String(number).padStart(4, '0')}`;

/** The operations by name. Each is done `count` times in this order, on one store. */
const operations: Record<string, (store: SqliteStore, number: number) => unknown> = {
  appendAudit: (store, number) =>
    store.appendAudit({ type: 'session_started', sessionId: `session-${entry(number)}`, entryId: 'minecraft' }),
  'appendAudit with an eventId': (store, number) =>
    store.appendAudit({ type: 'service_started' }, { eventId: `event-${entry(number)}` }),
  'addUsage to a total': (store) => store.addUsage('minecraft', day, 1_001),
  'addUsage of a new entry': (store, number) => store.addUsage(entry(number), day, 1_001),
  setCooldownUntil: (store, number) => store.setCooldownUntil(entry(number), now),
  clearCooldown: (store, number) => store.clearCooldown(entry(number)),
  // Here, because the WAL is counted after each of these: no checkpoint is due in what follows and changes nothing.
  'appendAudits of 50': (store) =>
    store.appendAudits(Array.from({ length: 50 }, () => ({ event: { type: 'service_started' } }))),
  'clearCooldown of none': (store) => store.clearCooldown('none'),
  'transaction of nothing': (store) => store.transaction(() => undefined),
  'transaction of 2': (store) =>
    store.transaction(() => [store.appendAudit({ type: 'service_started' }), store.addUsage('minecraft', day, 1)]),
  'transaction of 40': (store) =>
    store.transaction(() =>
      Array.from({ length: 20 }, () => [
        store.appendAudit({ type: 'service_started' }),
        store.addUsage('minecraft', day, 1),
      ]),
    ),
  'a session from start to end': (store, number) => {
    store.transaction(() => {
      const tracker = new SessionTracker(store, { timeZone: 'UTC', monotonicMs: () => 0 });
      tracker.start({ entryId: 'minecraft', sessionId: `session-${number + 1000}` });
      tracker.end({ type: 'user_stop' }, { cooldownMs: 1000 });
    });
  },
  'two days in one transaction': (store) =>
    store.transaction(() => [store.addUsage('minecraft', day, 1), store.addUsage('minecraft', '2026-11-22', 1)]),
  saveSnapshot: (store) =>
    store.saveSnapshot({
      timestamp: now,
      activeSession: { sessionId: 's', entryId: 'minecraft', startedAt: now, warningsIssued: [300] },
    }),
  getUsage: (store, number) => store.getUsage(entry(number), day),
  getUsageRange: (store, number) => store.getUsageRange(entry(number), day, '2026-11-28'),
  getUsageForDay: (store) => store.getUsageForDay(day),
  getCooldownUntil: (store, number) => store.getCooldownUntil(entry(number)),
  listCooldowns: (store) => store.listCooldowns(),
  getStatus: (store, number) => store.getStatus([entry(number), 'minecraft'], day),
  'getRecentAudits(100)': (store) => store.getRecentAudits(100),
  auditHead: (store) => store.auditHead(),
  'iterateAudits over 100': (store) => [...store.iterateAudits({ fromId: 101, toId: 200 })],
  loadSnapshot: (store) => store.loadSnapshot(),
  isHealthy: (store) => store.isHealthy(),
  health: (store) => store.health(),
};

let statements = 0;

/** Counts every statement that is run. */
function countStatements(): void {
  for (const [owner, methods] of [
    [StatementSync.prototype, ['run', 'get', 'all', 'iterate']],
    [DatabaseSync.prototype, ['exec']],
  ] as const) {
    for (const method of methods) {
      const original = (owner as unknown as Record<string, (...values: unknown[]) => unknown>)[method]!;
      const counting = function (this: unknown, ...values: unknown[]): unknown {
        statements++;
        return original.apply(this, values);
      };
      Object.defineProperty(owner, method, { value: counting });
    }
  }
}

/** Tells how many statements something took. */
function measure(name: string, count: number, fn: (number: number) => unknown): void {
  tell(`begin ${name}`);
  const before = statements;
  for (let number = 0; number < count; number++) {
    fn(number);
    tell('.');
  }
  tell(`statements ${statements - before}`);
}

const [path, count] = process.argv.slice(2);
if (import.meta.main && path !== undefined) {
  countStatements();
  let store: SqliteStore | undefined;
  const open = (): void => {
    store = SqliteStore.open(path, { clock: () => now });
  };
  measure('make', 1, open);
  measure('first write', 1, () => store!.addUsage('minecraft', '2026-11-20', 1));
  for (const [name, operation] of Object.entries(operations))
    measure(name, Number(count), (number) => operation(store!, number));
  measure('close', 1, () => store!.close());
  measure('open', 1, open);
  measure('write after open', 1, () => store!.addUsage('minecraft', day, 1));
  measure('close again', 1, () => store!.close());
}
