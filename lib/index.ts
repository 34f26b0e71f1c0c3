// The public names, nothing else.
export { SqliteStore } from './store.ts';
export type { Store } from './store.ts';
export { StoreError } from './errors.ts';
export type { StoreErrorCode } from './errors.ts';
export { localDay, splitByDay } from './days.ts';
export type { DayPart } from './days.ts';
export type { AuditAttributes, AuditEvent, CoreEvent, EventBase, SessionEndReason, StoreEvent } from './events.ts';
export type { BreakGlassGrant, PolicyAttributes, PolicyContribution, PolicyOutcome, RecordedDecision } from './gate.ts';
export type { Anchor, AuditFilter, Finding, LongOperation, VerifyOptions, VerifyReport } from './audit.ts';
export type { Cooldown, EntryStatus } from './usage.ts';
export type { SessionSnapshot, StateSnapshot } from './snapshot-file.ts';
export type { SnapshotCopy } from './snapshot.ts';
export type { StoreHealth } from './health.ts';
export type { Fault, HealthFinding } from './faults.ts';
export type { Recovery } from './recovery.ts';
export type { OpenOptions } from './options.ts';
export type { AuditMirror, MirroredRow, MirrorEnd } from './mirroring.ts';
export type { JsonObject, JsonValue } from './values.ts';
