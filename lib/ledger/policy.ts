// How what several rules say about an append becomes one decision, and what the mirror itself says. Pure functions, no I/O.
import { checkContributions, checkGrant, policyOutcomes } from '../gate.ts';
import type { BreakGlassGrant, PolicyContribution, PolicyDecision, PolicyOutcome } from '../gate.ts';

export type { BreakGlassGrant, PolicyContribution, PolicyDecision, PolicyOutcome } from '../gate.ts';

/** The rule that the mirror contributes to every decision: log and ledger end at the same row. No grant lowers it. */
export const parityRuleId = 'mirror.append.parity_invariant';

/**
 * What these contributions come to: the strongest outcome wins, in the order allow, warn, break_glass, quarantine, reject.
 * A break-glass grant makes quarantine a break_glass where every contribution of a quarantine allows it, and reject
 * likewise, each for itself. No contributions at all are a reject: nobody has looked. Throws `ERR_STORE_INVALID_ARGUMENT`
 * for contributions or a grant that are none.
 */
export function composePolicyOutcomes(contributions: readonly PolicyContribution[], breakGlass?: BreakGlassGrant): PolicyDecision {
  const checked = checkContributions('contributions', contributions);
  const grant = breakGlass === undefined ? undefined : checkGrant('breakGlass', breakGlass);
  const lowered = new Set<PolicyOutcome>(grant ? ['quarantine', 'reject'] : []);
  for (const { outcome, breakGlassAllowed } of checked) {
    if (breakGlassAllowed !== true) lowered.delete(outcome);
  }
  const rankOf = ({ outcome }: PolicyContribution): number => policyOutcomes.indexOf(lowered.has(outcome) ? 'break_glass' : outcome);
  const strongest = checked.reduce((most, each) => Math.max(most, rankOf(each)), -1);
  const contributing = checked.filter((each) => rankOf(each) === strongest);
  return {
    finalOutcome: policyOutcomes[strongest] ?? 'reject',
    contributing,
    discarded: checked.filter((each) => rankOf(each) !== strongest),
    ...(grant && contributing.some(({ outcome }) => lowered.has(outcome)) ? { breakGlass: grant } : undefined),
  };
}

/** The decision over an append to log and ledger: the caller's contributions and the mirror's own, from the evidence. */
export function decideAppend(contributions: readonly PolicyContribution[], breakGlass: BreakGlassGrant | undefined, headsAgree: boolean): PolicyDecision {
  const own: PolicyContribution = headsAgree
    ? { ruleId: parityRuleId, outcome: 'allow', reason: 'log and ledger end at the same row' }
    : { ruleId: parityRuleId, outcome: 'reject', reason: 'log and ledger do not end at the same row' };
  return composePolicyOutcomes([...contributions, own], breakGlass);
}
