// The public names, nothing else.
export { SqliteStore } from './store.ts';
export type { Store } from './store-interface.ts';
export { StoreError } from './values/errors.ts';
export type { StoreErrorCode } from './values/errors.ts';
export { localDay, splitByDay } from './values/days.ts';
export { defaultPath } from './default-path.ts';
export type { DayPart } from './values/days.ts';
export type {
  AuditAttributes, AuditEvent, Availability, CoreEvent, EventBase, EventOfType, LimitEvent, RetentionEvent,
  SessionEndReason, StoreEvent,
} from './core/events.ts';
export type {
  BreakGlassGrant, PolicyAttributes, PolicyContribution, PolicyOutcome, RecordedDecision,
} from './core/policy.ts';
export type { Anchor } from './core/chain.ts';
export type { Finding, VerifyOptions, VerifyReport } from './verify/chain-walk.ts';
export type { LongOperation } from './values/long.ts';
export type { AuditFilter, SearchOptions } from './reading/filter.ts';
export type { Cooldown } from './core/cooldowns.ts';
export type { Balance, DayOverride, Override } from './core/limits.ts';
export type { LimitChange } from './store-limits.ts';
export type { EntryStatus } from './core/usage.ts';
export type { SessionSnapshot, StateSnapshot } from './core/state.ts';
export type { SnapshotCopy } from './core/snapshot-findings.ts';
export type { StoreHealth } from './health.ts';
export type { Fault, HealthFinding } from './core/faults.ts';
export type { EndedWrite } from './core/writes.ts';
export type { Recovery } from './recovery/heal.ts';
export type { MigrationReport } from './opening/migrate.ts';
export type { MigrationStep } from './core/sql-files.ts';
export type { OpenOptions } from './core/options.ts';
export type { SetAside } from './core/mirror-port.ts';
export type { JsonObject, JsonValue } from './values/json.ts';
