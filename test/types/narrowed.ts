// What is read has the type that was asked for. Only type-checked: see test/package/declarations.test.ts.
import type { AuditEvent, AuditFilter, CoreEvent, SqliteStore, Store } from '../../lib/index.ts';
import type { RunAuditEvent } from '../../lib/modules/runs/runs.ts';
import { type Equal, holds } from './equal.ts';

type DoorEvent =
  | { type: 'door_opened'; door: string }
  | { type: 'door_closed' | 'door_locked'; door: string; afterMs: number };
type DoorOpened = { type: 'door_opened'; door: string };

export async function namesAType(doors: SqliteStore<DoorEvent>, store: SqliteStore, any: Store): Promise<void> {
  const [opened] = doors.getRecentAudits(1, { type: 'door_opened', source: 'badge-17', since: undefined });
  holds<Equal<typeof opened, AuditEvent<DoorEvent, 'door_opened'> | undefined>>();
  holds<Equal<NonNullable<typeof opened>['event'], DoorOpened>>();

  // One of several types that an event of this shape can have.
  const [locked] = doors.getRecentAudits(1, { type: 'door_locked' });
  const afterMs: number | undefined = locked?.event.afterMs;
  const type: 'door_locked' | undefined = locked?.event.type;
  // @ts-expect-error: no door_locked is a door_closed
  const closed: 'door_closed' | undefined = locked?.event.type;

  // The core's events, of a store that has others too, and of one that has not.
  for (const reader of [doors, store, any]) {
    const durationMs: number | undefined = reader.getRecentAudits(1, { type: 'session_ended' })[0]?.event.durationMs;
    // @ts-expect-error: a session that has ended has no label
    const label: unknown = reader.getRecentAudits(1, { type: 'session_ended' })[0]?.event.label;
    void [durationMs, label];
  }

  for await (const { event } of doors.findAudits({ type: 'door_opened' }, { signal: AbortSignal.timeout(1) })) {
    holds<Equal<typeof event, DoorOpened>>();
  }

  // A type that the reader knows and the store's own type does not name: that of a module.
  const [created] = store.getRecentAudits<'run_created', RunAuditEvent>(1, { type: 'run_created' });
  const planPath: string | undefined = created?.event.planPath;
  // A type that nobody knows: nothing is known of its fields.
  const [unknown] = store.getRecentAudits(1, { type: 'run_created' });
  holds<Equal<NonNullable<typeof unknown>['event'], { type: 'run_created' }>>();
  void [afterMs, type, closed, planPath];
}

export function mayNameNoType(doors: SqliteStore<DoorEvent>, kind: 'door_opened' | undefined, text: string): void {
  type Any = DoorEvent | CoreEvent;
  const wide: AuditFilter = {};
  const all = [
    doors.getRecentAudits(1), doors.getRecentAudits(1, {}), doors.getRecentAudits(1, wide),
    doors.getRecentAudits(1, { type: kind }), doors.getRecentAudits(1, { type: text }),
    doors.getRecentAudits(1, { source: 'badge-17' }), Array.from(doors.iterateAudits()),
  ];
  for (const [first] of all) {
    if (!first) continue;
    holds<Equal<typeof first.event, Any>>();
    if (first.event.type === 'door_opened') holds<Equal<typeof first.event, DoorOpened>>();
    // @ts-expect-error: it may be any event
    const door: string = first.event.door;
    void door;
  }
}

export function mayNotBe(store: SqliteStore): void {
  // @ts-expect-error: a filter has no such field
  store.getRecentAudits(1, { type: 'service_started', sauce: 'badge-17' });
  // @ts-expect-error: a type is a text
  store.getRecentAudits(1, { type: 5 });
  // @ts-expect-error: without a filter nothing is of one type
  store.getRecentAudits<'service_started'>(1);
}
