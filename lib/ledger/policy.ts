// How the contributions of several rules become one decision over an append, and what the ledger itself contributes.
// Pure functions, no I/O.
import {
  type BreakGlassGrant, checkContributions, checkGrant, type PolicyContribution, type PolicyOutcome, policyOutcomes,
  type RecordedDecision,
} from '../core/policy.ts';
import { quote } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';

export type { BreakGlassGrant, PolicyContribution, PolicyOutcome } from '../core/policy.ts';

const maxNamed = 10;

/**
 * The decision that the contributions make together. `contributing` are the contributions that decided, `discarded` all
 * others; both keep the given order. `breakGlass` is there only where `finalOutcome` is due to it.
 */
export interface PolicyDecision {
  finalOutcome: PolicyOutcome;
  contributing: PolicyContribution[];
  discarded: PolicyContribution[];
  breakGlass?: BreakGlassGrant;
}

/** The part of a decision that is kept with the event. */
export function toRecorded({ finalOutcome, contributing, breakGlass }: PolicyDecision): RecordedDecision {
  const recorded = { finalOutcome, contributing: contributing.map(({ ruleId }) => ruleId) };
  return breakGlass ? { ...recorded, breakGlass } : recorded;
}

/** Throws `ERR_STORE_POLICY`, with the rules that decided, where the outcome is quarantine or reject. */
export function requirePermission(what: string, { finalOutcome, contributing }: PolicyDecision): void {
  if (finalOutcome !== 'quarantine' && finalOutcome !== 'reject') return;
  const rules = contributing.slice(0, maxNamed).map(({ ruleId, reason }) => `${quote(ruleId)} (${quote(reason)})`);
  if (contributing.length > maxNamed) rules.push(`${contributing.length - maxNamed} more`);
  throw new StoreError('ERR_STORE_POLICY', `failed to ${what}: ${finalOutcome} by ${rules.join(', ')}`);
}

/** The rule that the ledger adds to every decision: log and ledger end with the same row. No grant lowers it. */
export const parityRuleId = 'mirror.append.parity_invariant';

/**
 * Composes contributions into one decision: the strongest outcome wins, in the order allow, warn, break_glass,
 * quarantine, reject. A break-glass grant lowers quarantine to break_glass where every contribution with that outcome
 * allows it, and reject likewise, independently. Without any contribution the outcome is reject, because no rule has
 * looked. Throws `ERR_STORE_INVALID_ARGUMENT` for a malformed contribution or grant.
 */
export function composePolicyOutcomes(
  contributions: readonly PolicyContribution[], breakGlass?: BreakGlassGrant,
): PolicyDecision {
  const checked = checkContributions('contributions', contributions);
  const grant = breakGlass === undefined ? undefined : checkGrant('breakGlass', breakGlass);
  const lowered = new Set<PolicyOutcome>(grant ? ['quarantine', 'reject'] : []);
  for (const { outcome, breakGlassAllowed } of checked) {
    if (breakGlassAllowed !== true) lowered.delete(outcome);
  }
  const rankOf = ({ outcome }: PolicyContribution): number =>
    policyOutcomes.indexOf(lowered.has(outcome) ? 'break_glass' : outcome);
  const strongest = checked.reduce((most, each) => Math.max(most, rankOf(each)), -1);
  const contributing = checked.filter((each) => rankOf(each) === strongest);
  return {
    finalOutcome: policyOutcomes[strongest] ?? 'reject',
    contributing,
    discarded: checked.filter((each) => rankOf(each) !== strongest),
    ...(grant && contributing.some(({ outcome }) => lowered.has(outcome)) ? { breakGlass: grant } : undefined),
  };
}

/** Decides over an append to log and ledger from the caller's contributions and the ledger's own. */
export function decideAppend(
  contributions: readonly PolicyContribution[], breakGlass: BreakGlassGrant | undefined, headsAgree: boolean,
): PolicyDecision {
  const own: PolicyContribution = headsAgree
    ? { ruleId: parityRuleId, outcome: 'allow', reason: 'log and ledger end at the same row' }
    : { ruleId: parityRuleId, outcome: 'reject', reason: 'log and ledger do not end at the same row' };
  return composePolicyOutcomes([...contributions, own], breakGlass);
}
