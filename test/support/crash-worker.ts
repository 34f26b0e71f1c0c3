// The process that test/faults/crash.test.ts kills: it does the operations of a plan, from one number on, until it is
// killed. Each operation follows from the seed and its number alone, so that the test knows what it was.
import { type CoreEvent, SqliteStore, type StateSnapshot } from '../../lib/index.ts';
import { tell } from './child.ts';
import { seededRandom } from './random.ts';

/** One operation: everything it writes, as one call of the store's. */
interface Operation {
  kind: 'append' | 'usage' | 'cooldown' | 'clear' | 'snapshot' | 'transaction';
  events: CoreEvent[];
  usage: { entryId: string; day: string; durationMs: number }[];
  cooldowns: { entryId: string; until: Date | undefined }[];
  snapshot?: StateSnapshot;
}

/** The day of all usage. */
export const day = '2026-11-21';
const firstUntil = Date.parse('2026-11-21T10:00:00Z');

/** The operation with this number. */
export function operation(seed: number, number: number): Operation {
  const random = seededRandom(seed * 1_000_003 + number);
  const below = (count: number): number => Math.floor(random() * count);
  const kind = (['append', 'usage', 'cooldown', 'clear', 'snapshot', 'transaction', 'transaction'] as const)[below(7)]!;
  const entryId = `entry-${below(5)}`;
  const session = (part: number): CoreEvent & { type: 'session_ended' } => ({
    type: 'session_ended',
    sessionId: `${number}.${part}`,
    entryId: `entry-${below(5)}`,
    reason: { type: 'user_stop' },
    durationMs: 1 + below(5_000),
  });
  const snapshot = (): StateSnapshot => ({
    timestamp: new Date(firstUntil + number),
    activeSession: {
      sessionId: `session of ${number}`,
      entryId,
      startedAt: new Date(firstUntil),
      warningsIssued: Array.from({ length: below(50) }, (_, index) => index),
    },
  });
  const cooldown = { entryId, until: new Date(firstUntil + number) };
  switch (kind) {
    case 'append':
      return {
        kind,
        events: [{ type: 'launch_denied', entryId, reasons: ['x'.repeat(below(6_000)), String(number)] }],
        usage: [],
        cooldowns: [],
      };
    // Booked without an event, so on an entry of its own: the others' totals are traced to their events.
    case 'usage':
      return { kind, events: [], usage: [{ entryId: 'unaudited', day, durationMs: 1 + below(5_000) }], cooldowns: [] };
    case 'cooldown':
      return { kind, events: [], usage: [], cooldowns: [cooldown] };
    case 'clear':
      return { kind, events: [], usage: [], cooldowns: [{ entryId, until: undefined }] };
    case 'snapshot':
      return { kind, events: [], usage: [], cooldowns: [], snapshot: snapshot() };
    case 'transaction': {
      const events = Array.from({ length: 1 + below(6) }, (_, part) => session(part));
      const usage = events.map((event) => ({ entryId: event.entryId, day, durationMs: event.durationMs }));
      return { kind, events, usage, cooldowns: [cooldown], ...(below(2) === 0 ? { snapshot: snapshot() } : undefined) };
    }
  }
}

/** Does an operation: one call that is durable on return, or everything in one transaction. */
export function perform(store: SqliteStore, { kind, events, usage, cooldowns, snapshot }: Operation): void {
  const all = (): void => {
    for (const event of events) store.appendAudit(event);
    for (const { entryId, day, durationMs } of usage) store.addUsage(entryId, day, durationMs);
    for (const { entryId, until } of cooldowns) {
      if (until) store.setCooldownUntil(entryId, until);
      else store.clearCooldown(entryId);
    }
    if (snapshot) store.saveSnapshot(snapshot);
  };
  if (kind === 'transaction') store.transaction(all);
  else all();
}

/** Does `count` operations from a number on and tells each; `end` is how. */
export function performPlan(store: SqliteStore, [seed, from, count = 'Infinity', end]: string[]): void {
  // A group of the ledger that was cut off was not acknowledged.
  const isLost = store.recovery !== undefined && store.recovery.found !== 'ledger-torn';
  if (isLost) throw new Error(`a killed process lost something: ${JSON.stringify(store.recovery)}`);
  tell('open');
  for (let number = Number(from); number < Number(from) + Number(count); number++) {
    perform(store, operation(Number(seed), number));
    tell(String(number));
  }
  if (end === 'killed') process.kill(process.pid, 'SIGKILL');
  store.close();
  tell('closed');
}

const [path, ...plan] = process.argv.slice(2);
if (import.meta.main && path !== undefined) performPlan(SqliteStore.open(path), plan);
