import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { rowHash } from '../../lib/core/chain.ts';
import { decodeEvent } from '../../lib/core/events.ts';
import {
  type AuditAttributes, type AuditEvent, type PolicyContribution, type PolicyOutcome, SqliteStore, StoreError,
} from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { type LedgerLine, lineText } from '../../lib/ledger/line.ts';
import { connect } from '../../lib/store.ts';
import { TestFolder } from '../support/folder.ts';
import { badOptions, badTexts, given, throwing } from '../support/values.ts';

const event = { type: 'service_started' } as const;
const invalid = { code: 'ERR_STORE_INVALID_ARGUMENT' };
const refused = { code: 'ERR_STORE_POLICY' };
const parityRuleId = 'mirror.append.parity_invariant';

function rule(outcome: PolicyOutcome, more?: Partial<PolicyContribution>): PolicyContribution {
  return { ruleId: `kiosk.${outcome}`, outcome, reason: `because of ${outcome}`, ...more };
}

/** A store with its ledger and both files' contents. */
class Gate {
  readonly folder: TestFolder;
  readonly store: SqliteStore;

  constructor(t: TestContext) {
    this.folder = new TestFolder(t);
    this.store = this.folder.open({ ledger: Ledger.open(this.path) });
  }

  get path(): string {
    return this.folder.file('audit.jsonl');
  }

  get lines(): LedgerLine[] {
    return [...Ledger.open(this.path).iterate()];
  }

  /** The types of all events, which both files must agree on to the hash. */
  get types(): string[] {
    const audits = [...this.store.iterateAudits()];
    assert.deepEqual(this.lines.map(({ id, type }) => [id, type]), audits.map(({ id, event: { type } }) => [id, type]));
    assert.equal(this.lines.at(-1)?.hash, this.store.auditHead()?.hash);
    return audits.map(({ event: { type } }) => type);
  }

  /** Asserts that `fn` throws this and that neither file has anything new. */
  assertRefused(fn: () => unknown, expected: { code: string }, message?: string): void {
    const before = [this.types, readFileSync(this.path, 'utf8')];
    assert.throws(fn, (error) => error instanceof StoreError && error.code === expected.code, message);
    assert.deepEqual([this.types, readFileSync(this.path, 'utf8')], before, message);
  }
}

function policyOf({ policy, breakGlass, policyDecision }: AuditEvent): Partial<AuditEvent> {
  return { ...(policy && { policy }), ...(breakGlass && { breakGlass }), ...(policyDecision && { policyDecision }) };
}

test('allow, warn and break_glass are appended to both files, quarantine and reject to neither', (t) => {
  const gate = new Gate(t);
  const passing: PolicyOutcome[] = ['allow', 'warn', 'break_glass'];
  for (const outcome of passing)
    gate.store.appendAudit(
      { type: 'policy_loaded', entryCount: passing.indexOf(outcome) },
      { policy: [rule(outcome)] },
    );
  for (const outcome of ['quarantine', 'reject'] as const)
    gate.assertRefused(
      () => gate.store.appendAudit(event, { policy: [rule('allow'), rule(outcome)] }),
      refused,
      outcome,
    );
  assert.deepEqual(gate.types, ['ledger_attached', 'policy_loaded', 'policy_loaded', 'policy_loaded']);
  gate.store.appendAudit(event);
  assert.deepEqual(gate.types.at(-1), 'service_started');
  assert.equal(gate.store.isHealthy(), true);
});

test('the error names the deciding rules with their reasons, and no others', (t) => {
  const { store } = new Gate(t);
  const policy = [
    rule('quarantine'),
    rule('reject', { ruleId: 'kiosk.hours', reason: 'after bedtime' }),
    rule('reject', { ruleId: 'kiosk.list' }),
    rule('warn'),
  ];
  assert.throws(() => store.appendAudit(event, { policy }), (error) => {
    assert.ok(error instanceof StoreError);
    const named = [
      'service_started',
      'kiosk.hours',
      'after bedtime',
      'kiosk.list',
      'kiosk.quarantine',
      'kiosk.warn',
      parityRuleId,
    ].filter((text) => error.message.includes(text));
    assert.deepEqual(
      [error.code, named],
      ['ERR_STORE_POLICY', ['service_started', 'kiosk.hours', 'after bedtime', 'kiosk.list']],
    );
    return true;
  });
  const many = Array.from({ length: 10_000 }, (_, index) =>
    rule('reject', { ruleId: `rule.${index}`, reason: 'x'.repeat(1_000) }),
  );
  assert.throws(
    () => store.appendAudit(event, { policy: many }),
    (error) => error instanceof StoreError && error.code === 'ERR_STORE_POLICY' && error.message.length < 4_000,
  );
});

test('policy, grant and decision come back with the event, from the append, from both files and after '
  + 'reopening', (t) => {
  const gate = new Gate(t);
  const breakGlass = { reason: 'the doctor is on the phone' };
  const both: AuditAttributes = {
    source: 'admin',
    policy: [rule('reject', { breakGlassAllowed: true }), rule('warn')],
    breakGlass,
  };
  const cases: [given: AuditAttributes, expected: Partial<AuditEvent>][] = [
    [
      { policy: [rule('warn'), rule('allow')] },
      { policy: [rule('warn'), rule('allow')], policyDecision: { finalOutcome: 'warn', contributing: ['kiosk.warn'] } },
    ],
    [
      { policy: [rule('allow')] },
      {
        policy: [rule('allow')],
        policyDecision: { finalOutcome: 'allow', contributing: ['kiosk.allow', parityRuleId] },
      },
    ],
    [{ policy: [] }, { policy: [], policyDecision: { finalOutcome: 'allow', contributing: [parityRuleId] } }],
    [
      both,
      {
        policy: both.policy!,
        breakGlass,
        policyDecision: { finalOutcome: 'break_glass', contributing: ['kiosk.reject'], breakGlass },
      },
    ],
    // A grant that was not needed stays beside the event and is no part of the decision.
    [
      { policy: [rule('warn', { breakGlassAllowed: false })], breakGlass },
      {
        policy: [rule('warn', { breakGlassAllowed: false })],
        breakGlass,
        policyDecision: { finalOutcome: 'warn', contributing: ['kiosk.warn'] },
      },
    ],
    [{ source: 'admin' }, {}],
  ];
  const appended = cases.map(([attributes]) => gate.store.appendAudit(event, attributes));
  assert.deepEqual(
    appended.map(policyOf),
    cases.map(([, expected]) => expected),
  );
  assert.equal(appended[3]?.source, 'admin');
  assert.deepEqual(gate.store.getRecentAudits(cases.length).reverse(), appended);
  gate.store.close();
  const again = gate.folder.open({ ledger: Ledger.open(gate.path) });
  assert.deepEqual(again.getRecentAudits(cases.length).reverse(), appended);
  assert.deepEqual(
    gate.lines.slice(1).map(({ meta }) => policyOf({ ...JSON.parse(meta ?? '{}') } as AuditEvent)),
    cases.map(([, expected]) => expected),
  );
});

test('events without a policy carry no word of the gate', (t) => {
  const gate = new Gate(t);
  gate.store.appendAudit(event);
  gate.store.addUsage('minecraft', '2026-11-21', 1_000);
  assert.deepEqual(gate.lines.map(({ meta }) => meta), [undefined, undefined, undefined]);
});

test('the kept decision is under the hash: changing it is tampering', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open({ ledger: Ledger.open(folder.file('audit.jsonl')) });
  store.appendAudit(event, {
    policy: [rule('reject', { breakGlassAllowed: true })],
    breakGlass: { reason: 'the doctor is on the phone' },
  });
  const db = folder.raw();
  db.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_meta = json_set(event_meta, "
    + "'$.policyDecision.finalOutcome', 'allow') WHERE id = 2");
  db.close();
  assert.deepEqual((await store.verifyAudit()).findings.map(({ id, kind }) => [id, kind]), [[2, 'tampered']]);
});

test('a grant lets in what every deciding rule allows, and nothing else', (t) => {
  const gate = new Gate(t);
  const breakGlass = { reason: 'the doctor is on the phone' };
  const allowing = rule('reject', { breakGlassAllowed: true });
  gate.assertRefused(() => gate.store.appendAudit(event, { policy: [allowing] }), refused, 'no grant');
  gate.assertRefused(
    () => gate.store.appendAudit(event, { policy: [allowing, rule('reject')], breakGlass }),
    refused,
    'some',
  );
  gate.assertRefused(
    () => gate.store.appendAudit(event, { policy: [allowing, rule('quarantine')], breakGlass }),
    refused,
    'not the quarantine',
  );
  assert.equal(
    gate.store.appendAudit(event, { policy: [allowing, allowing], breakGlass }).policyDecision?.finalOutcome,
    'break_glass',
  );
  assert.deepEqual(gate.types, ['ledger_attached', 'service_started']);
});

test('one refused event refuses its whole group', (t) => {
  const gate = new Gate(t);
  for (const policy of [[rule('reject')], [rule('allow', { reason: '' })]]) {
    const items = [
      { event },
      { event, attributes: { policy: [rule('allow')] } },
      { event, attributes: { policy } },
      { event },
    ];
    gate.assertRefused(() => gate.store.appendAudits(items), policy[0]!.reason === '' ? invalid : refused);
  }
  gate.store.appendAudits([{ event, attributes: { policy: [rule('warn')] } }, { event }]);
  assert.deepEqual(gate.types, ['ledger_attached', 'service_started', 'service_started']);
});

test('in a transaction the refusal can be caught, and all but the refused event is kept', (t) => {
  const gate = new Gate(t);
  gate.store.transaction(() => {
    gate.store.appendAudit({ type: 'policy_loaded', entryCount: 1 });
    assert.throws(
      () => gate.store.appendAudits([{ event }, { event, attributes: { policy: [rule('quarantine')] } }]),
      refused,
    );
    gate.store.appendAudit(
      { type: 'launch_denied', entryId: 'minecraft', reasons: ['policy'] },
      { policy: [rule('warn')] },
    );
    gate.store.addUsage('minecraft', '2026-11-21', 1_000);
  });
  assert.deepEqual(gate.types, ['ledger_attached', 'policy_loaded', 'launch_denied', 'usage_added']);
});

test('in a transaction a refusal that nobody catches undoes all of it', (t) => {
  const gate = new Gate(t);
  gate.assertRefused(() => gate.store.transaction(() => {
    gate.store.addUsage('minecraft', '2026-11-21', 1_000);
    gate.store.transaction(() => gate.store.appendAudit(event, { policy: [rule('reject')] }));
  }), refused);
  assert.equal(gate.store.getUsage('minecraft', '2026-11-21'), 0);
});

/** What may happen to the ledger behind the store's back while a transaction is open. */
const disturbances: [name: string, disturb: (path: string) => void][] = [
  ['noise at its end', (path) => appendFileSync(path, 'noise')],
  [
    'a line that ends it already',
    (path) => appendFileSync(path, `${readFileSync(path, 'utf8').trimEnd().split('\n').at(-1)}\n`),
  ],
  ['its last line is gone', (path) => truncateSync(path, readFileSync(path, 'utf8').trimEnd().lastIndexOf('\n') + 1)],
  ['it was emptied', (path) => truncateSync(path, 0)],
];

for (const [name, disturb] of disturbances) {
  test(`a ledger that does not end where the log does gets no line, and is healed by the next write: ${name}`, (t) => {
    const gate = new Gate(t);
    gate.store.appendAudit(event);
    const seen: unknown[] = [];
    const append = (attributes?: AuditAttributes): void => {
      assert.throws(
        () => gate.store.appendAudit(event, attributes),
        (error) => error instanceof StoreError && seen.push([error.code, error.message.includes(parityRuleId)]) > 0,
      );
    };
    assert.throws(() => gate.store.transaction(() => {
      disturb(gate.path);
      append();
      append({ policy: [rule('allow')] });
      append({ policy: [rule('reject', { breakGlassAllowed: true })], breakGlass: { reason: 'it must go in' } });
      gate.store.addUsage('minecraft', '2026-11-21', 1_000);
    }), refused);
    assert.deepEqual(seen, Array.from({ length: 3 }, () => ['ERR_STORE_POLICY', true]));
    assert.equal(gate.store.getUsage('minecraft', '2026-11-21'), 0);
    gate.store.appendAudit(event);
    assert.deepEqual(
      gate.types.filter((type) => type !== 'ledger_set_aside'),
      ['ledger_attached', 'service_started', 'service_started'],
    );
  });

  test(`nor do the store's own events and a module's: ${name}`, (t) => {
    const gate = new Gate(t);
    gate.store.appendAudit(event);
    const writes: (() => unknown)[] = [
      () => gate.store.addUsage('minecraft', '2026-11-21', 1_000),
      () => gate.store.setCooldownUntil('minecraft', new Date(0)),
      () => connect(gate.store).appendAudit({ type: 'x', data: '{}', meta: null }),
      () => gate.store.appendAudit(event),
    ];
    for (const write of writes) {
      assert.throws(() => gate.store.transaction(() => {
        write();
        disturb(gate.path);
      }), refused);
    }
    assert.throws(() => gate.store.transaction(() => {
      disturb(gate.path);
      gate.store.saveSnapshot({ timestamp: new Date(0) });
      gate.store.clearCooldown('minecraft');
      gate.store.addUsage('minecraft', '2026-11-21', 1_000);
    }), refused);
    gate.store.appendAudit(event);
    assert.deepEqual(
      gate.types.filter((type) => type !== 'ledger_set_aside'),
      ['ledger_attached', 'service_started', 'service_started'],
    );
  });
}

test('a ledger that ends with another line than the log gets none either, and neither file is overwritten', (t) => {
  const gate = new Gate(t);
  gate.store.appendAudit(event);
  const { hash: _hash, ...last } = gate.lines.at(-1)!;
  const forged = { ...last, data: '{"forged":true}' };
  const hash = rowHash(forged.prev, {
    id: forged.id,
    timestamp: forged.at,
    type: forged.type,
    data: forged.data,
    meta: null,
  });
  const text =
    readFileSync(gate.path, 'utf8').trimEnd().split('\n').slice(0, -1).join('\n') +
    `\n${lineText({ ...forged, hash })}`;
  assert.throws(() => gate.store.transaction(() => {
    writeFileSync(gate.path, text);
    gate.store.appendAudit(event);
  }), refused);
  assert.throws(() => gate.store.appendAudit(event, { policy: [rule('allow')] }), { code: 'ERR_STORE_PARITY' });
  assert.equal(readFileSync(gate.path, 'utf8'), text);
  assert.equal(gate.store.auditHead()?.id, 2);
});

test('bad values are refused before anything is written', (t) => {
  const gate = new Gate(t);
  const good = rule('allow');
  const breakGlass = { reason: 'the doctor is on the phone' };
  const bad: unknown[] = [
    ...[
      null,
      'allow',
      good,
      new Set([good]),
      [, good],
      [undefined],
      [null],
      [{ ...good, extra: 1 }],
      [throwing('ruleId')],
    ].map((policy) => ({ policy })),
    ...badTexts
      .flatMap(([, value]) => [
        { ...good, ruleId: value },
        { ...good, reason: value },
        { ...good, outcome: value },
      ])
      .map((each) => ({ policy: [good, each] })),
    ...['Allow', 'deny', 'constructor'].map((outcome) => ({ policy: [{ ...good, outcome }] })),
    ...[null, 1, 'true'].map((breakGlassAllowed) => ({ policy: [{ ...good, breakGlassAllowed }] })),
    // What the mirror says of itself nobody else says.
    ...[parityRuleId, 'mirror.append.other', 'mirror.'].map((ruleId) => ({ policy: [good, { ...good, ruleId }] })),
    ...[
      ...given(badOptions).map(([, value]) => value),
      {},
      { reason: 'a', by: 'b' },
      throwing('reason'),
      ...badTexts.map(([, reason]) => ({ reason })),
    ].map((grant) => ({ policy: [good], breakGlass: grant })),
    // A grant alone, or what only the store says.
    { breakGlass },
    { policy: undefined, breakGlass },
    { policyDecision: { finalOutcome: 'allow', contributing: [] } },
    { policy: [good], breakglass: breakGlass },
  ];
  for (const [index, attributes] of bad.entries())
    gate.assertRefused(() => gate.store.appendAudit(event, attributes as AuditAttributes), invalid, String(index));
  gate.store.appendAudit(event, { policy: [good, rule('warn', { ruleId: 'mirrored' }), good], breakGlass });
  assert.equal(gate.types.length, 2);
});

test('a store without a ledger takes neither policy nor grant', (t) => {
  const folder = new TestFolder(t);
  const withLedger = folder.open({ ledger: Ledger.open(folder.file('audit.jsonl')) });
  withLedger.detachLedger();
  const stores = [SqliteStore.inMemory(), withLedger];
  for (const store of stores) {
    const before = store.auditHead();
    for (const attributes of [
      { policy: [] },
      { policy: [rule('allow')] },
      { policy: [rule('reject')] },
      { policy: [rule('allow')], breakGlass: { reason: 'a' } },
    ]) {
      assert.throws(() => store.appendAudit(event, attributes), invalid);
      assert.throws(() => store.appendAudits([{ event }, { event, attributes }]), invalid);
    }
    assert.deepEqual(store.auditHead(), before);
    store.appendAudit(event, Object.fromEntries([['policy', undefined], ['breakGlass', undefined]]) as AuditAttributes);
  }
});

test('what is stored is read as what it is: names of a later version are passed over, and what is no policy is '
  + 'damage', () => {
  const decode = (meta: unknown): AuditEvent =>
    decodeEvent([7, '2026-11-21T09:00:00Z', 'service_started', '{}', JSON.stringify(meta)]);
  const kept = {
    policy: [rule('warn', { breakGlassAllowed: true })],
    breakGlass: { reason: 'a' },
    policyDecision: { finalOutcome: 'warn' as const, contributing: ['kiosk.warn'], breakGlass: { reason: 'a' } },
  };
  assert.deepEqual(policyOf(decode(kept)), kept);
  const later = {
    policy: [{ ...kept.policy[0], later: 1 }],
    breakGlass: { reason: 'a', later: 1 },
    policyDecision: { ...kept.policyDecision, later: 1 },
    later: 1,
  };
  assert.deepEqual(policyOf(decode(later)), kept);
  const damages: unknown[] = [
    ...[
      null,
      'allow',
      {},
      [null],
      [[]],
      ['allow'],
      [{ ...rule('warn'), outcome: 'deny' }],
      [{ ...rule('warn'), reason: '' }],
      [{ ...rule('warn'), breakGlassAllowed: 1 }],
    ].map((policy) => ({ policy })),
    ...[null, 'a', [], {}, { reason: 5 }].map((breakGlass) => ({ breakGlass })),
    ...[
      null,
      'allow',
      [],
      {},
      { finalOutcome: 'allow' },
      { ...kept.policyDecision, finalOutcome: 'deny' },
      { ...kept.policyDecision, contributing: [5] },
      { ...kept.policyDecision, breakGlass: null },
    ].map((policyDecision) => ({ policyDecision })),
  ];
  for (const damage of damages)
    assert.throws(
      () => decode(damage),
      (error) =>
        error instanceof StoreError &&
        error.code === 'ERR_STORE_CORRUPT' &&
        error.message.includes('row 7: event_meta'),
      JSON.stringify(damage),
    );
});

test('a getter is read once: what was decided on is what is stored', (t) => {
  const gate = new Gate(t);
  let reads = 0;
  const policy = [
    Object.defineProperty(rule('warn'), 'outcome', {
      enumerable: true,
      get: () => (reads++ === 0 ? 'warn' : 'reject'),
    }),
  ];
  const appended = gate.store.appendAudit(event, { policy });
  assert.deepEqual(policyOf(appended), {
    policy: [rule('warn')],
    policyDecision: { finalOutcome: 'warn', contributing: ['kiosk.warn'] },
  });
});
