import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  composePolicyOutcomes, decideAppend, parityRuleId, type PolicyContribution, type PolicyDecision, type PolicyOutcome,
} from '../../lib/ledger/policy.ts';
import { badOptions, badTexts, throwing } from '../support/values.ts';

const outcomes: PolicyOutcome[] = ['allow', 'warn', 'break_glass', 'quarantine', 'reject'];
const grant = { reason: 'the doctor is on the phone' };

/** A contribution from a word like `reject+`, where + allows the glass to be broken and - forbids it by name. */
function rule(word: string, index = 0): PolicyContribution {
  const sign = /[+-]$/.exec(word)?.[0];
  return {
    ruleId: `rule.${index}`,
    outcome: word.replace(/[+-]$/, '') as PolicyOutcome,
    reason: `because of ${word}`,
    ...(sign ? { breakGlassAllowed: sign === '+' } : undefined),
  };
}

/** The same in words: final outcome, which contributions decided, which did not. */
function summary({ finalOutcome, contributing, discarded, breakGlass }: PolicyDecision): unknown[] {
  const indexes = (list: PolicyContribution[]): number[] => list.map(({ ruleId }) => Number(ruleId.slice(5)));
  return [finalOutcome, indexes(contributing), indexes(discarded), breakGlass !== undefined];
}

test('of every two outcomes the stronger one decides, whichever comes first, and of two equal ones both', () => {
  for (const [strength, first] of outcomes.entries()) {
    for (const [other, second] of outcomes.entries()) {
      const expected =
        strength === other
          ? [first, [0, 1], [], false]
          : strength > other
            ? [first, [0], [1], false]
            : [second, [1], [0], false];
      assert.deepEqual(
        summary(composePolicyOutcomes([rule(first, 0), rule(second, 1)])),
        expected,
        `${first}, ${second}`,
      );
    }
  }
});

test('one contribution decides alone, and none at all are a reject that no grant lifts', () => {
  for (const outcome of outcomes) {
    assert.deepEqual(composePolicyOutcomes([rule(outcome)]), {
      finalOutcome: outcome,
      contributing: [rule(outcome)],
      discarded: [],
    });
  }
  assert.deepEqual(composePolicyOutcomes([]), { finalOutcome: 'reject', contributing: [], discarded: [] });
  assert.deepEqual(composePolicyOutcomes([], grant), { finalOutcome: 'reject', contributing: [], discarded: [] });
});

test('a grant lowers quarantine or reject only where every contribution of that outcome allows it', () => {
  const table: [words: string, expected: unknown[]][] = [
    // all allow it
    ['reject+', ['break_glass', [0], [], true]],
    ['quarantine+', ['break_glass', [0], [], true]],
    ['reject+ reject+', ['break_glass', [0, 1], [], true]],
    ['warn reject+ allow', ['break_glass', [1], [0, 2], true]],
    ['quarantine+ reject+', ['break_glass', [0, 1], [], true]],
    // one that was a break_glass by itself decides with those that became one
    ['break_glass quarantine+ warn', ['break_glass', [0, 1], [2], true]],
    // some
    ['reject+ reject', ['reject', [0, 1], [], false]],
    ['reject+ reject-', ['reject', [0, 1], [], false]],
    ['quarantine+ allow quarantine', ['quarantine', [0, 2], [1], false]],
    // the reject is lifted, the quarantine beside it is not; and the other way round
    ['reject+ quarantine', ['quarantine', [1], [0], false]],
    ['reject quarantine+', ['reject', [0], [1], false]],
    // none
    ['reject', ['reject', [0], [], false]],
    ['quarantine- reject-', ['reject', [1], [0], false]],
    // there is nothing to lower, whatever is allowed
    ['allow+', ['allow', [0], [], false]],
    ['warn+ allow+', ['warn', [0], [1], false]],
    ['break_glass+ warn', ['break_glass', [0], [1], false]],
  ];
  for (const [words, expected] of table) {
    const contributions = words.split(' ').map(rule);
    assert.deepEqual(summary(composePolicyOutcomes(contributions, grant)), expected, words);
    const without = composePolicyOutcomes(contributions);
    const strongest = contributions
      .map(({ outcome }) => outcomes.indexOf(outcome))
      .reduce((most, each) => Math.max(most, each));
    assert.deepEqual(
      [without.finalOutcome, without.breakGlass],
      [outcomes[strongest], undefined],
      `${words} without a grant`,
    );
  }
});

test('a decision holds copies of what was given, in its order, with the reason of the grant', () => {
  const contributions = [rule('reject+', 0), rule('allow', 1), rule('quarantine+', 2), rule('warn-', 3)];
  const decision = composePolicyOutcomes(contributions, grant);
  assert.deepEqual(decision, {
    finalOutcome: 'break_glass',
    contributing: [contributions[0], contributions[2]],
    discarded: [contributions[1], contributions[3]],
    breakGlass: grant,
  });
  decision.contributing[0]!.reason = 'another';
  decision.breakGlass!.reason = 'another';
  assert.deepEqual([contributions[0]!.reason, grant.reason], ['because of reject+', 'the doctor is on the phone']);
});

test('the mirror lets pass where both heads agree, and rejects where they do not, whatever was granted', () => {
  const [agree, differ] = [true, false].map((headsAgree) => decideAppend([], undefined, headsAgree));
  assert.deepEqual([agree?.finalOutcome, differ?.finalOutcome], ['allow', 'reject']);
  for (const decision of [agree, differ, decideAppend([rule('reject+')], grant, false)])
    assert.equal(decision?.contributing.at(-1)?.ruleId, parityRuleId);
  assert.equal(parityRuleId, 'mirror.append.parity_invariant');
  assert.equal(decideAppend([rule('reject+')], grant, false).finalOutcome, 'reject');
  assert.equal(decideAppend([rule('reject+')], grant, true).finalOutcome, 'break_glass');
  assert.equal(decideAppend([rule('quarantine')], undefined, false).finalOutcome, 'reject');
  assert.equal(decideAppend([rule('quarantine')], undefined, true).finalOutcome, 'quarantine');
});

test('contributions and grants that are none are refused', () => {
  const good = rule('allow');
  const badContributions: unknown[] = [
    undefined,
    null,
    'reject',
    { 0: good, length: 1 },
    new Set([good]),
    [, good],
    [undefined],
    [null],
    ['allow'],
    [{ ...good, extra: 1 }],
    [{ ...good, breakglassAllowed: true }],
    ...badTexts.flatMap(([, value]) => [
      [{ ...good, ruleId: value }],
      [{ ...good, reason: value }],
      [{ ...good, outcome: value }],
    ]),
    ...['Allow', 'ALLOW', ' allow', 'breakGlass', 'deny', 'toString', 0].map((outcome) => [{ ...good, outcome }]),
    ...[null, 0, 1, 'true', {}].map((breakGlassAllowed) => [{ ...good, breakGlassAllowed }]),
    [throwing('ruleId')],
    [good, throwing('reason')],
  ];
  for (const value of badContributions)
    assert.throws(() => composePolicyOutcomes(value as PolicyContribution[]), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  const badGrants: unknown[] = [
    ...badOptions.map(([, value]) => value),
    {},
    { reason: 'a', by: 'b' },
    throwing('reason'),
    ...badTexts.map(([, reason]) => ({ reason })),
  ];
  for (const value of badGrants)
    assert.throws(() => composePolicyOutcomes([good], value as typeof grant), { code: 'ERR_STORE_INVALID_ARGUMENT' });
});
