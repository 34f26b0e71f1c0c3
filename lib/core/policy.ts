// What rules may say about an append to a store with a ledger (contributions, grants, decisions): checked, and kept
// with the event in `event_meta`. How a decision comes about is the business of lib/ledger/policy.ts.
import { checkArray, checkOneOf, checkOptions, checkText, invalid } from '../values/checks.ts';
import type { JsonObject } from '../values/json.ts';

/** What a rule can say about an append, the weakest first. The last two keep the event out. */
export const policyOutcomes = ['allow', 'warn', 'break_glass', 'quarantine', 'reject'] as const;
/** What a rule says about an append: allow < warn < break_glass < quarantine < reject. */
export type PolicyOutcome = (typeof policyOutcomes)[number];

/**
 * What one rule says about an append. `breakGlassAllowed`: a grant may lower its quarantine or reject; false if absent.
 */
export interface PolicyContribution {
  ruleId: string;
  outcome: PolicyOutcome;
  reason: string;
  breakGlassAllowed?: boolean | undefined;
}

/** A person's word that an event must go into the log although a rule forbids it, and the reason. */
export interface BreakGlassGrant {
  reason: string;
}

/** The decision as kept with the event: `contributing` are rule ids, whose reasons are in the event's `policy`. */
export interface RecordedDecision {
  finalOutcome: PolicyOutcome;
  contributing: string[];
  breakGlass?: BreakGlassGrant;
}

/** What a caller of `appendAudit` gives for the decision; kept with the event. */
export interface PolicyAttributes {
  /** What the caller's rules say about this event; only for a store with a ledger. */
  policy?: PolicyContribution[] | undefined;
  /** Lowers a quarantine or reject of `policy` where all its contributions of that outcome allow it. */
  breakGlass?: BreakGlassGrant | undefined;
}

// Only the ledger itself may contribute what it finds about itself.
const reservedPrefix = 'mirror.';

/** Refuses anything but an array of contributions. */
export function checkContributions(name: string, value: unknown): PolicyContribution[] {
  return checkArray(name, value, 'an array of { ruleId, outcome, reason, breakGlassAllowed? }', checkContribution);
}

const contributionNames: readonly (keyof PolicyContribution)[] = ['ruleId', 'outcome', 'reason', 'breakGlassAllowed'];

function checkContribution(name: string, value: unknown): PolicyContribution {
  const given = checkOptions(name, value as PolicyContribution, contributionNames);
  const { ruleId, outcome, reason, breakGlassAllowed } = given;
  checkText(`${name}.ruleId`, ruleId);
  checkOneOf(`${name}.outcome`, outcome, policyOutcomes);
  checkText(`${name}.reason`, reason);
  if (breakGlassAllowed === undefined) return { ruleId, outcome, reason };
  if (typeof breakGlassAllowed === 'boolean') return { ruleId, outcome, reason, breakGlassAllowed };
  throw invalid(`${name}.breakGlassAllowed`, breakGlassAllowed, 'true or false');
}

/** Refuses anything but a grant with a reason. */
export function checkGrant(name: string, value: unknown): BreakGlassGrant {
  const { reason } = checkOptions(name, value as BreakGlassGrant, ['reason']);
  return { reason: checkText(`${name}.reason`, reason) };
}

/** Checks a caller's contributions and grant; `undefined` where there are neither. Refuses a grant alone. */
export function checkPolicyAttributes({ policy, breakGlass }: PolicyAttributes): PolicyAttributes | undefined {
  if (policy === undefined && breakGlass === undefined) return undefined;
  const checked = checkContributions('policy', policy);
  const index = checked.findIndex(({ ruleId }) => ruleId.startsWith(reservedPrefix));
  if (index >= 0) {
    const accepted = `an id that does not begin with ${reservedPrefix}, which is the ledger's own`;
    throw invalid(`policy[${index}].ruleId`, checked[index]!.ruleId, accepted);
  }
  if (breakGlass === undefined) return { policy: checked };
  return { policy: checked, breakGlass: checkGrant('breakGlass', breakGlass) };
}

/**
 * The fields of an `event_meta` that concern policy. Names that a later version added are ignored; a wrong value
 * throws.
 */
export function decodePolicy({ policy, breakGlass, policyDecision }: JsonObject): DecodedPolicy {
  const decoded: DecodedPolicy = {};
  if (policy !== undefined) {
    const decode = (name: string, item: unknown): PolicyContribution =>
      checkContribution(name, known(item, contributionNames));
    decoded.policy = checkArray('policy', policy, 'an array', decode);
  }
  if (breakGlass !== undefined) decoded.breakGlass = checkGrant('breakGlass', known(breakGlass, ['reason']));
  if (policyDecision !== undefined) decoded.policyDecision = decodeDecision(policyDecision);
  return decoded;
}

type DecodedPolicy = PolicyAttributes & { policyDecision?: RecordedDecision };

function decodeDecision(value: unknown): RecordedDecision {
  const decision = known(value, ['finalOutcome', 'contributing', 'breakGlass']) as JsonObject | null;
  const name = 'policyDecision';
  const { contributing, breakGlass } = decision ?? {};
  const decoded: RecordedDecision = {
    finalOutcome: checkOneOf(`${name}.finalOutcome`, decision?.['finalOutcome'], policyOutcomes),
    contributing: checkArray(`${name}.contributing`, contributing, 'an array of strings', checkText),
  };
  if (breakGlass !== undefined) decoded.breakGlass = checkGrant('breakGlass', known(breakGlass, ['reason']));
  return decoded;
}

/** The fields of a stored object whose names are known here. */
function known(value: unknown, names: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null) return value ?? null;
  return Object.fromEntries(names.map((name) => [name, (value as JsonObject)[name]]));
}
