// The operations of a store, and the one place that says what the type of a store promises.
import type { AuditAttributes, AuditEvent, CoreEvent, EventBase } from './core/events.ts';
import type { StateSnapshot } from './core/state.ts';
import type { AuditFilter } from './reading/filter.ts';

/**
 * The operations that a service needs, whatever its data is kept in. `SqliteStore` implements them and says what each
 * throws.
 *
 * `E` names the events of a service's own that the store takes, besides the core's. Whoever takes a `Store` or a
 * `SqliteStore` without naming any appends the core's events alone, and every store takes those: so a store of
 * `DoorEvent` can be handed to it. Whoever takes a store of `DoorEvent` appends door events too, and a store without
 * them is refused.
 *
 * The events that are read have the types that the reader knows (`Known`): `E` and the core's, unless it names others.
 * TypeScript cannot check that, because a log holds whatever was ever appended to it: by a module, another version,
 * another service, or whoever handed the store on. So a reader of all events passes over the types that it does not
 * know. A reader that names a type in its filter gets events of that type alone.
 */
export interface Store<in E extends EventBase = never> {
  /** Appends an event to the audit log and gives it with its id and time. */
  appendAudit<Known extends EventBase = E>(event: E | CoreEvent, attributes?: AuditAttributes): AuditEvent<Known>;
  /** The newest events of one type, newest first; at most `limit`. */
  getRecentAudits<T extends string, Known extends EventBase = E>(
    limit: number, filter: AuditFilter & { type: T },
  ): AuditEvent<Known, T>[];
  /** The newest events that match, newest first; at most `limit`. */
  getRecentAudits<Known extends EventBase = E>(limit: number, filter?: AuditFilter): AuditEvent<Known>[];
  /** An entry's total of a day in milliseconds; 0 where there is none. */
  getUsage(entryId: string, day: string): number;
  /** Adds to an entry's total of a day and gives the new total. */
  addUsage(entryId: string, day: string, durationMs: number): number;
  /** When an entry becomes available again; `undefined` where no cooldown is set. */
  getCooldownUntil(entryId: string): Date | undefined;
  /** Sets when an entry becomes available again, whatever was set before. */
  setCooldownUntil(entryId: string, until: Date): void;
  /** Removes an entry's cooldown, if there is one. */
  clearCooldown(entryId: string): void;
  /** The state saved last; `undefined` where none was ever saved. */
  loadSnapshot(): StateSnapshot | undefined;
  /** Saves the state to resume from after a crash. */
  saveSnapshot(snapshot: StateSnapshot): void;
  /** Whether reading and writing work. Never throws. */
  isHealthy(): boolean;
}
