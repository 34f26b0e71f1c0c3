// The public names of the ledger, nothing else.
export { Ledger } from './ledger.ts';
export type { LedgerFiles } from './file.ts';
export type { LedgerOptions } from './ledger.ts';
export type { LedgerHeader, LedgerLine } from './line.ts';
export { composePolicyOutcomes, parityRuleId } from './policy.ts';
export type { BreakGlassGrant, PolicyContribution, PolicyDecision, PolicyOutcome } from './policy.ts';
export { mirrorEvent, rebuildDatabase, rebuildLedger, replay } from './rebuild.ts';
export type { ReplayReport } from './rebuild.ts';
export { verifyParity } from './parity.ts';
export type { LinesAhead, Mismatch, ParityReport } from './parity.ts';
export type { StateDifference } from './sums.ts';
