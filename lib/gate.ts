// The gate before every append of a store with a mirror: what rules say about an event, how that is checked and kept, and
// the refusal. How the rules are composed to one decision is the mirror's business.
import { StoreError } from './errors.ts';
import { checkArray, checkOptions, checkText, invalid, quote } from './values.ts';
import type { JsonObject } from './values.ts';

/** What a rule can say about an append, the weakest first. The last two keep the event out. */
export const policyOutcomes = ['allow', 'warn', 'break_glass', 'quarantine', 'reject'] as const;
/** What a rule says about an append: allow < warn < break_glass < quarantine < reject. */
export type PolicyOutcome = (typeof policyOutcomes)[number];

/** What one rule says about an append. `breakGlassAllowed`: a grant may lower its quarantine or reject; false if absent. */
export interface PolicyContribution {
  ruleId: string;
  outcome: PolicyOutcome;
  reason: string;
  breakGlassAllowed?: boolean;
}

/** Somebody's word that an event must go into the log although a rule forbids it, and why. */
export interface BreakGlassGrant {
  reason: string;
}

/**
 * What the rules come to together. `contributing` are the contributions that decided, `discarded` all others; both keep the
 * given order. `breakGlass` is there only where `finalOutcome` is owed to it.
 */
export interface PolicyDecision {
  finalOutcome: PolicyOutcome;
  contributing: PolicyContribution[];
  discarded: PolicyContribution[];
  breakGlass?: BreakGlassGrant;
}

/** The decision as it stays with the event: `contributing` are rule ids, whose reasons are in the event's `policy`. */
export interface RecordedDecision {
  finalOutcome: PolicyOutcome;
  contributing: string[];
  breakGlass?: BreakGlassGrant;
}

/** What a caller of `appendAudit` hands in for the gate; kept with the event. */
export interface PolicyAttributes {
  /** What the caller's rules say about this event; only for a store with a ledger. */
  policy?: PolicyContribution[];
  /** Lowers a quarantine or reject of `policy` where all its contributions of that outcome allow it. */
  breakGlass?: BreakGlassGrant;
}

// What a mirror says about itself nobody else may say.
const reservedPrefix = 'mirror.';
const maxNamed = 10;

/** Refuses anything but an array of contributions. */
export function checkContributions(name: string, value: unknown): PolicyContribution[] {
  return checkArray(name, value, 'an array of { ruleId, outcome, reason, breakGlassAllowed? }', checkContribution);
}

function checkContribution(name: string, value: unknown): PolicyContribution {
  const { ruleId, outcome, reason, breakGlassAllowed } = checkOptions(name, value as PolicyContribution, ['ruleId', 'outcome', 'reason', 'breakGlassAllowed']);
  checkText(`${name}.ruleId`, ruleId);
  checkOutcome(`${name}.outcome`, outcome);
  checkText(`${name}.reason`, reason);
  if (breakGlassAllowed === undefined) return { ruleId, outcome, reason };
  if (typeof breakGlassAllowed !== 'boolean') throw invalid(`${name}.breakGlassAllowed`, breakGlassAllowed, 'true or false');
  return { ruleId, outcome, reason, breakGlassAllowed };
}

function checkOutcome(name: string, value: unknown): PolicyOutcome {
  const outcome = policyOutcomes.find((known) => known === value);
  if (outcome === undefined) throw invalid(name, value, `one of ${policyOutcomes.join(', ')}`);
  return outcome;
}

/** Refuses anything but a grant with a reason. */
export function checkGrant(name: string, value: unknown): BreakGlassGrant {
  const { reason } = checkOptions(name, value as BreakGlassGrant, ['reason']);
  return { reason: checkText(`${name}.reason`, reason) };
}

/** Checks what a caller hands in for the gate; `undefined` where that is nothing. A grant alone has nothing to lower. */
export function checkPolicy({ policy, breakGlass }: PolicyAttributes): PolicyAttributes | undefined {
  if (policy === undefined && breakGlass === undefined) return undefined;
  const checked = checkContributions('policy', policy);
  const index = checked.findIndex(({ ruleId }) => ruleId.startsWith(reservedPrefix));
  if (index >= 0) throw invalid(`policy[${index}].ruleId`, checked[index]!.ruleId, `an id that does not begin with ${reservedPrefix}, which is the mirror's own`);
  return { policy: checked, ...(breakGlass === undefined ? undefined : { breakGlass: checkGrant('breakGlass', breakGlass) }) };
}

/** What of an event's `event_meta` is the gate's. Names that a later version added are passed over; throws for a wrong value. */
export function decodePolicy({ policy, breakGlass, policyDecision }: JsonObject): PolicyAttributes & { policyDecision?: RecordedDecision } {
  const known = (value: unknown, names: string[]): unknown => {
    if (typeof value !== 'object' || value === null) return value ?? null;
    return Object.fromEntries(names.map((name) => [name, (value as JsonObject)[name]]));
  };
  const decoded: PolicyAttributes & { policyDecision?: RecordedDecision } = {};
  const grantOf = (value: unknown): BreakGlassGrant => checkGrant('breakGlass', known(value, ['reason']));
  if (policy !== undefined) {
    decoded.policy = checkArray('policy', policy, 'an array', (name, item) => checkContribution(name, known(item, ['ruleId', 'outcome', 'reason', 'breakGlassAllowed'])));
  }
  if (breakGlass !== undefined) decoded.breakGlass = grantOf(breakGlass);
  if (policyDecision !== undefined) {
    const decision = known(policyDecision, ['finalOutcome', 'contributing', 'breakGlass']) as JsonObject | null;
    decoded.policyDecision = {
      finalOutcome: checkOutcome('policyDecision.finalOutcome', decision?.['finalOutcome']),
      contributing: checkArray('policyDecision.contributing', decision?.['contributing'], 'an array of strings', checkText),
      ...(decision?.['breakGlass'] === undefined ? undefined : { breakGlass: grantOf(decision['breakGlass']) }),
    };
  }
  return decoded;
}

/** The decision as it stays with the event. */
export function toRecorded({ finalOutcome, contributing, breakGlass }: PolicyDecision): RecordedDecision {
  return { finalOutcome, contributing: contributing.map(({ ruleId }) => ruleId), ...(breakGlass ? { breakGlass } : undefined) };
}

/** Lets pass what is allowed, warned of or let in by breaking the glass. Throws `ERR_STORE_POLICY`, with the rules that decided. */
export function requirePermission(what: string, { finalOutcome, contributing }: PolicyDecision): void {
  if (finalOutcome !== 'quarantine' && finalOutcome !== 'reject') return;
  const rules = contributing.slice(0, maxNamed).map(({ ruleId, reason }) => `${quote(ruleId)} (${quote(reason)})`);
  if (contributing.length > maxNamed) rules.push(`${contributing.length - maxNamed} more`);
  throw new StoreError('ERR_STORE_POLICY', `failed to ${what}: ${finalOutcome} by ${rules.join(', ')}`);
}
