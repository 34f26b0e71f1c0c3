// What a store can be handed to. Only type-checked: see test/package/declarations.test.ts.
import {
  type AuditAttributes, type AuditEvent, type AuditFilter, type CoreEvent, type EventBase, SqliteStore,
  type StateSnapshot, type Store,
} from '../../lib/index.ts';
import { type Ledger, mirrorEvent, rebuildLedger, replay, verifyParity } from '../../lib/ledger/index.ts';
import { backup } from '../../lib/modules/backup/backup.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { checkPolicy, evaluate, evaluateAll } from '../../lib/modules/limits/limits.ts';
import { renderReport } from '../../lib/modules/report/report.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { type Equal, holds } from './equal.ts';

type DoorEvent = { type: 'door_opened'; door: string };
type LiftEvent = { type: 'lift_called'; floor: number };

function takesStore(store: Store): void {
  store.appendAudit({ type: 'launch_denied', entryId: 'minecraft', reasons: [] });
}

function takesSqliteStore(store: SqliteStore): void {
  takesStore(store);
  store.transaction(() => store.addUsage('minecraft', '2026-11-21', 1_000));
}

function takesDoorStore(store: SqliteStore<DoorEvent>): void {
  store.appendAudits([{ event: { type: 'door_opened', door: 'left' } }, { event: { type: 'service_started' } }]);
}

/** A store of other events goes to whoever appends the core's alone, and not to whoever appends others. */
export function handsOn(doors: SqliteStore<DoorEvent>, both: SqliteStore<DoorEvent | LiftEvent>): void {
  const plain = SqliteStore.open('kiosk.db');
  for (const store of [plain, doors, both]) {
    takesStore(store);
    takesSqliteStore(store);
  }
  takesDoorStore(doors);
  takesDoorStore(both);
  takesDoorStore(SqliteStore.open('kiosk.db')); // its events are those that it is asked for
  // @ts-expect-error: this store does not take door events
  takesDoorStore(plain);
  // @ts-expect-error: nor does one of which nothing is said
  const narrowed: (store: SqliteStore) => void = takesDoorStore;
  const field: { store: SqliteStore; doors: Store<DoorEvent> } = { store: plain, doors: both };
  void [narrowed, field];
}

export async function handsToModules(doors: SqliteStore<DoorEvent>, ledger: Ledger): Promise<void> {
  const tracker: SessionTracker = new SessionTracker(doors);
  const runs: RunStore = new RunStore(doors, { source: 'deployer' });
  const [facts, projects]: [FactStore, ProjectStore] = [new FactStore(doors), new ProjectStore(doors)];
  await backup(doors, 'backup.db');
  const policy = checkPolicy({ entries: { minecraft: { dailyMs: 3_600_000 } } });
  void renderReport(doors);
  void [evaluate(doors, policy, 'minecraft'), evaluateAll(doors, policy, ['minecraft'])];
  for (const line of ledger.iterate()) mirrorEvent(doors, line);
  await replay(doors, ledger);
  await verifyParity(doors, ledger);
  await rebuildLedger(doors, 'audit.jsonl');
  void [tracker, runs, facts, projects];
}

/** What is read of a store that was handed on is typed by what the reader knows. */
export function reads(doors: SqliteStore<DoorEvent>): void {
  const store: SqliteStore = doors;
  for (const { event } of store.getRecentAudits(10)) holds<Equal<typeof event, CoreEvent>>();
  for (const { event } of store.getRecentAudits<DoorEvent>(10)) holds<Equal<typeof event, DoorEvent | CoreEvent>>();
  const opened = SqliteStore.openReadOnly('kiosk.db').getRecentAudits(10);
  const events: AuditEvent[] = opened;
  const own: AuditEvent<DoorEvent> = doors.appendAudit({ type: 'door_opened', door: 'left' });
  void [events, own];
}

/** What a store takes is checked, whatever was handed on. */
export function appends(doors: SqliteStore<DoorEvent>, store: Store): void {
  // @ts-expect-error: door_opned
  doors.appendAudit({ type: 'door_opned', door: 'left' });
  // @ts-expect-error: a door is a text
  doors.appendAudit({ type: 'door_opened', door: 5 });
  // @ts-expect-error: lable
  store.appendAudit({ type: 'session_started', sessionId: 's', entryId: 'minecraft', lable: 'Minecraft' });
  // @ts-expect-error: this store does not take door events
  store.appendAudit({ type: 'door_opened', door: 'left' });
}

/** A store of one's own, such as one for tests. */
export class MemoryStore implements Store {
  readonly #events: AuditEvent[] = [];

  appendAudit<Known extends EventBase>(event: CoreEvent, attributes?: AuditAttributes): AuditEvent<Known> {
    const appended = { ...attributes, id: this.#events.length + 1, timestamp: new Date(), event };
    this.#events.push(appended);
    return appended;
  }

  getRecentAudits(limit: number, filter?: AuditFilter): AuditEvent[] {
    const matching = this.#events.filter(({ event }) => filter?.type === undefined || event.type === filter.type);
    return matching.reverse().slice(0, limit);
  }

  getUsage(): number {
    return 0;
  }

  addUsage(_entryId: string, _day: string, durationMs: number): number {
    return durationMs;
  }

  getCooldownUntil(): Date | undefined {
    return undefined;
  }

  setCooldownUntil(): void {}

  clearCooldown(): void {}

  loadSnapshot(): StateSnapshot | undefined {
    return undefined;
  }

  saveSnapshot(): void {}

  isHealthy(): boolean {
    return true;
  }
}
