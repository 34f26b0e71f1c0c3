// The process that test/faults/crash.test.ts kills: it does the operations of a plan, from one number on, until it is
// killed. Each operation follows from the seed and its number alone, so that the test knows what it was.
import { type CoreEvent, SqliteStore, type StateSnapshot } from '../../lib/index.ts';
import { tell } from './child.ts';
import { callLimit, type LimitCall } from './limits-model.ts';
import { seededRandom } from './random.ts';

/** One operation: everything it writes, as one call of the store's. */
interface Operation {
  kind: 'append' | 'usage' | 'cooldown' | 'clear' | 'snapshot' | 'limit' | 'transaction';
  events: CoreEvent[];
  usage: { entryId: string; day: string; durationMs: number }[];
  cooldowns: { entryId: string; until: Date | undefined }[];
  limits: LimitCall[];
  snapshot?: StateSnapshot;
}

/** The day of all usage. */
export const day = '2026-11-21';
const firstUntil = Date.parse('2026-11-21T10:00:00Z');

/** The operation with this number: one in three changes limits. */
export function operation(seed: number, number: number): Operation {
  const other = operationBesideLimits(seed, number);
  const calls = [limitCall(seed, 2 * number), limitCall(seed, 2 * number + 1)];
  if (seededRandom(seed * 999_983 + number)() < 2 / 3) return other;
  if (other.kind === 'transaction') return { ...other, limits: calls };
  return { kind: 'limit', events: [], usage: [], cooldowns: [], limits: calls.slice(1) };
}

/**
 * A change of limits. Those with an id follow from the first of sixteen numbers, so that later ones repeat it; some
 * have the same id and other values. What is corrected is no entry whose total is traced to the service's own events.
 */
export function limitCall(seed: number, number: number): LimitCall {
  const first = number - (number % 16);
  const how = seededRandom(seed * 999_979 + number)();
  const random = seededRandom(seed * 999_961 + (how < 0.5 ? number : first));
  const below = (count: number): number => Math.floor(random() * count);
  const method = (['grantTime', 'setAvailability', 'adjustBalance', 'correctUsage'] as const)[below(4)]!;
  const subject = ['entry-0', 'entry-1', 'group:games'][below(3)]!;
  const durationMs = (below(3) === 0 ? -1 : 1) * (1 + below(5_000)) + (how > 0.9 ? 10_000 : 0);
  const id = how < 0.5 ? undefined : { id: `tap ${first}` };
  switch (method) {
    case 'grantTime':
      return { method, options: { subject, day, durationMs, ...id } };
    case 'setAvailability':
      return { method, options: { subject, day, availability: ([undefined, 'allowed', 'denied'] as const)[below(3)] } };
    case 'adjustBalance':
      return { method, options: { subject, durationMs, ...(below(2) === 0 ? { capMs: 9_000 } : undefined), ...id } };
    case 'correctUsage':
      return { method, options: { entryId: 'unaudited', day, durationMs, reason: `reason ${first}`, ...id } };
  }
}

function operationBesideLimits(seed: number, number: number): Operation {
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
        limits: [],
      };
    // Booked without an event, so on an entry of its own: the others' totals are traced to their events.
    case 'usage':
      return {
        kind,
        events: [],
        usage: [{ entryId: 'unaudited', day, durationMs: 1 + below(5_000) }],
        cooldowns: [],
        limits: [],
      };
    case 'cooldown':
      return { kind, events: [], usage: [], cooldowns: [cooldown], limits: [] };
    case 'clear':
      return { kind, events: [], usage: [], cooldowns: [{ entryId, until: undefined }], limits: [] };
    case 'snapshot':
      return { kind, events: [], usage: [], cooldowns: [], limits: [], snapshot: snapshot() };
    case 'transaction': {
      const events = Array.from({ length: 1 + below(6) }, (_, part) => session(part));
      const usage = events.map((event) => ({ entryId: event.entryId, day, durationMs: event.durationMs }));
      const saved = below(2) === 0 ? { snapshot: snapshot() } : undefined;
      return { kind, events, usage, cooldowns: [cooldown], limits: [], ...saved };
    }
  }
}

/** Does an operation: one call that is durable on return, or everything in one transaction. */
export function perform(store: SqliteStore, { kind, events, usage, cooldowns, limits, snapshot }: Operation): void {
  const all = (): void => {
    for (const event of events) store.appendAudit(event);
    for (const { entryId, day, durationMs } of usage) store.addUsage(entryId, day, durationMs);
    for (const { entryId, until } of cooldowns) {
      if (until) store.setCooldownUntil(entryId, until);
      else store.clearCooldown(entryId);
    }
    for (const call of limits) callLimit(store, call);
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
