// Facts: what is stored, from which instant on it is absent, and that no operation reads more of the table than it
// must.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { type Fact, type FactFilter, type FactInput, FactStore } from '../../lib/modules/facts/facts.ts';
import { assertRefused, type Damages } from '../support/damage.ts';
import { TestFolder } from '../support/folder.ts';
import { openBoth } from '../support/ledger.ts';
import { seededRandom } from '../support/random.ts';
import { badCounts, badJson, badOptions, badTexts, escapedKeys, given, throwing } from '../support/values.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const osFamily: FactInput = { targetId: 'host-001', namespace: 'os.basic', key: 'os_family', value: 'debian' };
const cpuCount: FactInput = {
  targetId: 'host-001',
  namespace: 'hw.cpu',
  key: 'cpu_count',
  value: 4,
  ttlSeconds: 3_600,
};

/** A store of facts by a clock that a test moves by hand. */
class Facts {
  readonly folder: TestFolder;
  now = Date.parse('2026-11-21T09:00:00Z');
  readonly options: OpenOptions = { clock: () => new Date(this.now) };
  readonly store: SqliteStore;
  readonly facts: FactStore;

  constructor(t: TestContext, settings?: { checked: boolean }) {
    this.folder = new TestFolder(t, settings);
    this.store = this.folder.open(this.options);
    this.facts = new FactStore(this.store);
  }

  get date(): Date {
    return new Date(this.now);
  }

  /** The keys that a list has. */
  keys(filter?: FactFilter): string[] {
    return this.facts.listFacts(filter).map(({ key }) => key);
  }
}

test('upsertFact: a fact without an end is stored, and comes back as it is from every reader', (t) => {
  const fixture = new Facts(t);
  const stored = fixture.facts.upsertFact({ id: 'fact-001', ...osFamily });
  const expected: Fact = {
    id: 'fact-001',
    targetId: 'host-001',
    namespace: 'os.basic',
    key: 'os_family',
    value: 'debian',
    ttlSeconds: 0,
    createdAt: fixture.date,
    updatedAt: fixture.date,
  };
  assert.deepEqual(stored, expected);
  assert.deepEqual(fixture.facts.getFact('host-001', 'os.basic', 'os_family'), expected);
  assert.deepEqual(fixture.facts.listFacts(), [expected]);
  fixture.now += 7_000 * 365 * 86_400_000;
  assert.deepEqual(fixture.facts.getFact('host-001', 'os.basic', 'os_family'), expected);
  assert.equal(fixture.facts.deleteExpiredFacts(), 0);
  fixture.store.close();
  const store = fixture.folder.open(fixture.options);
  assert.deepEqual(new FactStore(store).listFacts(), [expected]);
  assert.equal(store.auditHead(), undefined);
});

test('upsertFact: keys of a value that need an escape in JSON come back as they are', (t) => {
  const { facts } = new Facts(t);
  for (let round = 0; round < 200; round++) {
    const value = { type: 'x', [escapedKeys[round % escapedKeys.length]!]: round };
    facts.upsertFact({ ...osFamily, value });
    assert.deepEqual(facts.getFact('host-001', 'os.basic', 'os_family')?.value, value);
  }
});

test('upsertFact: a fact with an end has the instant at which it expires', (t) => {
  const fixture = new Facts(t);
  const stored = fixture.facts.upsertFact(cpuCount);
  assert.match(stored.id, uuid);
  assert.deepEqual(stored, {
    ...cpuCount,
    id: stored.id,
    expiresAt: new Date('2026-11-21T10:00:00Z'),
    createdAt: fixture.date,
    updatedAt: fixture.date,
  });
  assert.deepEqual(
    { ...fixture.folder.raw().prepare('SELECT value, ttl_seconds, expires_at, created_at FROM facts').get() },
    { value: '4', ttl_seconds: 3_600, expires_at: '2026-11-21T10:00:00.000Z', created_at: '2026-11-21T09:00:00.000Z' },
  );
});

test('upsertFact: a second one replaces the value and the end, and keeps id and creation', (t) => {
  const fixture = new Facts(t);
  const { id, createdAt } = fixture.facts.upsertFact(cpuCount);
  fixture.now += 1_800_000;
  const second = fixture.facts.upsertFact({
    ...cpuCount,
    id: 'another',
    value: { count: 8, offline: [] },
    ttlSeconds: 60,
  });
  assert.deepEqual(second, {
    ...cpuCount,
    id,
    value: { count: 8, offline: [] },
    ttlSeconds: 60,
    expiresAt: new Date('2026-11-21T09:31:00Z'),
    createdAt,
    updatedAt: fixture.date,
  });
  assert.deepEqual(fixture.facts.listFacts(), [second]);
  const third = fixture.facts.upsertFact({ ...cpuCount, ttlSeconds: 0 });
  assert.ok(!('expiresAt' in third));
  assert.equal(third.id, id);
});

test('upsertFact: one that has expired is replaced by a new fact', (t) => {
  const fixture = new Facts(t);
  const { id } = fixture.facts.upsertFact(cpuCount);
  fixture.now += 3_600_000;
  const anew = fixture.facts.upsertFact(cpuCount);
  assert.notEqual(anew.id, id);
  assert.deepEqual(
    [anew.createdAt, anew.updatedAt, anew.expiresAt],
    [fixture.date, fixture.date, new Date(fixture.now + 3_600_000)],
  );
  assert.equal(fixture.facts.deleteExpiredFacts(), 0);
});

test('upsertFact: an id that another fact has is refused, until that one has expired', (t) => {
  const fixture = new Facts(t);
  fixture.facts.upsertFact({ ...cpuCount, id: 'taken' });
  fixture.facts.upsertFact({ ...osFamily, id: 'own' });
  const before = fixture.facts.listFacts();
  for (const fact of [
    osFamily,
    { ...osFamily, key: 'new' },
    { ...osFamily, targetId: 'host-002' },
    { ...cpuCount, namespace: 'hw' },
  ]) {
    assert.throws(() => fixture.facts.upsertFact({ ...fact, id: 'taken' }), { code: 'ERR_STORE_CONFLICT' });
  }
  assert.deepEqual(fixture.facts.listFacts(), before);
  assert.equal(fixture.facts.upsertFact({ ...cpuCount, id: 'taken' }).id, 'taken');
  fixture.now += 3_600_000;
  assert.equal(fixture.facts.upsertFact({ ...osFamily, key: 'new', id: 'taken' }).id, 'taken');
  assert.deepEqual(fixture.keys(), ['new', 'os_family']);
});

test('getFact: a fact is found by its target, namespace and key alone, and none is undefined', (t) => {
  const { facts } = new Facts(t);
  const names = [
    ['a', 'b', 'c'],
    ['A', 'b', 'c'],
    ['a', 'B', 'c'],
    ['a', 'b', 'C'],
    ['ab', 'c', 'c'],
    ['é', 'e\u0301', '日本'],
  ] as const;
  for (const [index, [targetId, namespace, key]] of names.entries())
    facts.upsertFact({ targetId, namespace, key, value: index });
  for (const [index, [targetId, namespace, key]] of names.entries())
    assert.equal(facts.getFact(targetId, namespace, key)?.value, index);
  assert.equal(facts.getFact('a', 'b', 'd'), undefined);
  assert.equal(facts.getFact("a' OR 1 --", 'b', 'c'), undefined);
});

const values = [
  null,
  true,
  false,
  0,
  -1.5e-7,
  2 ** 60,
  '',
  'text',
  '\0 and \u2028',
  '💾',
  [],
  {},
  [null, [1]],
  { a: { b: [] }, ' ': '' },
  JSON.parse('{"__proto__":{"a":1}}'),
];

test('upsertFact: every JSON value comes back as it was', (t) => {
  const { facts } = new Facts(t);
  for (const value of values) {
    assert.deepEqual(facts.upsertFact({ ...osFamily, value }).value, value);
    assert.deepEqual(facts.getFact('host-001', 'os.basic', 'os_family')?.value, value);
  }
  assert.deepEqual(facts.upsertFact({ ...osFamily, value: { kept: 1, left: undefined } }).value, { kept: 1 });
});

test('listFacts: by target, by namespace, by both, in order, page by page', (t) => {
  const fixture = new Facts(t);
  for (const targetId of ['h2', 'h1'])
    for (const namespace of ['os', 'hw'])
      for (const key of ['b', 'a'])
        fixture.facts.upsertFact({ targetId, namespace, key: `${targetId} ${namespace} ${key}`, value: 1 });
  const all = ['h1', 'h2'].flatMap((target) =>
    ['hw', 'os'].flatMap((namespace) => ['a', 'b'].map((key) => `${target} ${namespace} ${key}`)),
  );
  assert.deepEqual(fixture.keys(), all);
  assert.deepEqual(fixture.keys({}), all);
  assert.deepEqual(fixture.keys({ targetId: 'h1' }), all.slice(0, 4));
  assert.deepEqual(fixture.keys({ namespace: 'os' }), ['h1 os a', 'h1 os b', 'h2 os a', 'h2 os b']);
  assert.deepEqual(fixture.keys({ targetId: 'h2', namespace: 'hw' }), ['h2 hw a', 'h2 hw b']);
  assert.deepEqual(fixture.keys({ targetId: 'h3' }), []);
  assert.deepEqual(fixture.keys({ limit: 3 }), all.slice(0, 3));
  assert.deepEqual(fixture.keys({ limit: 3, offset: 6 }), all.slice(6));
  assert.deepEqual(fixture.keys({ offset: 7 }), all.slice(7));
  assert.deepEqual(fixture.keys({ namespace: 'os', limit: 2, offset: 1 }), ['h1 os b', 'h2 os a']);
  assert.deepEqual(fixture.keys({ limit: 0 }), []);
  assert.deepEqual(fixture.keys({ limit: Number.MAX_SAFE_INTEGER, offset: Number.MAX_SAFE_INTEGER }), []);
});

test('deleteFact: says whether there was one, and takes no other along', (t) => {
  const { facts } = new Facts(t);
  facts.upsertFact(osFamily);
  facts.upsertFact({ ...osFamily, targetId: 'host-002' });
  assert.equal(facts.deleteFact('host-001', 'os.basic', 'os_family'), true);
  assert.equal(facts.deleteFact('host-001', 'os.basic', 'os_family'), false);
  assert.equal(facts.getFact('host-001', 'os.basic', 'os_family'), undefined);
  assert.equal(facts.listFacts().length, 1);
});

test('deleteExpiredFacts: removes those that have expired from the file, and says how many', (t) => {
  const fixture = new Facts(t);
  fixture.facts.upsertFact(osFamily);
  for (const [key, ttlSeconds] of [
    ['a', 1],
    ['b', 2],
    ['c', 2],
    ['d', 3],
  ] as const)
    fixture.facts.upsertFact({ ...osFamily, key, ttlSeconds });
  assert.equal(fixture.facts.deleteExpiredFacts(), 0);
  fixture.now += 2_000;
  assert.equal(fixture.facts.deleteExpiredFacts(), 3);
  assert.equal(fixture.facts.deleteExpiredFacts(), 0);
  assert.deepEqual(
    fixture.folder
      .raw()
      .prepare('SELECT key FROM facts ORDER BY key')
      .all()
      .map(({ key }) => key),
    ['d', 'os_family'],
  );
});

test('at the instant of its end, and not a millisecond before, a fact is absent to every method', (t) => {
  for (const at of [3_599_999, 3_600_000]) {
    const fixture = new Facts(t);
    const isThere = at < 3_600_000;
    fixture.facts.upsertFact(cpuCount);
    fixture.now += at;
    assert.equal(fixture.facts.getFact('host-001', 'hw.cpu', 'cpu_count') !== undefined, isThere);
    for (const filter of [
      {},
      { targetId: 'host-001' },
      { namespace: 'hw.cpu' },
      { targetId: 'host-001', namespace: 'hw.cpu', limit: 1 },
    ])
      assert.equal(fixture.facts.listFacts(filter).length, Number(isThere));
    assert.equal(fixture.facts.deleteExpiredFacts(), Number(!isThere));
    fixture.facts.upsertFact({ ...cpuCount, ttlSeconds: 1 });
    fixture.now += isThere ? 999 : 1_000;
    assert.equal(fixture.facts.deleteFact('host-001', 'hw.cpu', 'cpu_count'), isThere);
  }
});

test('whether expired facts have been deleted or not, no other method tells', (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`SEED=${seed}`);
  const random = seededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const lazy = new Facts(t);
  const tidy = new Facts(t);
  const name = (): [string, string, string] => [pick(['t1', 't2']), pick(['n1', 'n2']), pick(['k1', 'k2'])];
  for (let step = 0; step < 400; step++) {
    const [[targetId, namespace, key], id, ttlSeconds, what] = [
      name(),
      pick(['i1', 'i2', 'i3', undefined]),
      pick([0, 1, 2, 5]),
      pick(['upsert', 'upsert', 'get', 'delete']),
    ];
    const passed = pick([0, 1, 999, 1_000, 2_000]);
    const [first, second] = [lazy, tidy].map((fixture) => {
      fixture.now += passed;
      if (fixture === tidy) fixture.facts.deleteExpiredFacts();
      try {
        if (what === 'upsert')
          return {
            ...fixture.facts.upsertFact({
              targetId,
              namespace,
              key,
              value: step,
              ttlSeconds,
              ...(id ? { id } : undefined),
            }),
            id,
          };
        if (what === 'get') return fixture.facts.getFact(targetId, namespace, key)?.value;
        return fixture.facts.deleteFact(targetId, namespace, key);
      } catch (error) {
        return (error as { code?: string }).code;
      }
    });
    assert.deepEqual(first, second, `step ${step}: ${what}`);
    const [left, right] = [lazy, tidy].map(({ facts }) =>
      facts.listFacts().map((fact) => ({ ...fact, id: uuid.test(fact.id) ? 'a new one' : fact.id })),
    );
    assert.deepEqual(left, right, `step ${step}: ${what}`);
  }
});

test('by a clock that was set back a fact holds again, unless it was deleted', (t) => {
  const fixture = new Facts(t);
  fixture.facts.upsertFact(cpuCount);
  fixture.facts.upsertFact({ ...cpuCount, key: 'deleted' });
  fixture.facts.upsertFact({ ...cpuCount, key: 'replaced' });
  fixture.now += 3_600_000;
  assert.deepEqual(fixture.keys(), []);
  assert.equal(fixture.facts.deleteFact('host-001', 'hw.cpu', 'deleted'), false);
  const replaced = fixture.facts.upsertFact({ ...cpuCount, key: 'replaced', value: 5 });
  fixture.now -= 3_600_000;
  assert.deepEqual(fixture.keys(), ['cpu_count', 'replaced']);
  // The end counts from the clock as it is.
  fixture.now -= 86_400_000;
  const back = fixture.facts.upsertFact({ ...cpuCount, key: 'replaced', value: 6 });
  assert.deepEqual(
    [back.id, back.createdAt, back.updatedAt, back.expiresAt],
    [replaced.id, replaced.createdAt, fixture.date, new Date(fixture.now + 3_600_000)],
  );
});

test('all of a transaction goes by one reading of the clock, and is undone with it', (t) => {
  const fixture = new Facts(t);
  const { store, facts } = fixture;
  facts.upsertFact(cpuCount);
  const before = facts.listFacts();
  assert.throws(() => store.transaction(() => {
    assert.equal(facts.getFact('host-001', 'hw.cpu', 'cpu_count')?.value, 4);
    fixture.now += 86_400_000;
    assert.equal(facts.getFact('host-001', 'hw.cpu', 'cpu_count')?.value, 4);
    facts.upsertFact(osFamily);
    store.appendAudit({ type: 'service_started' });
    assert.equal(facts.deleteFact('host-001', 'hw.cpu', 'cpu_count'), true);
    assert.throws(() => facts.upsertFact({ ...cpuCount, id: facts.getFact('host-001', 'os.basic', 'os_family')!.id }), {
      code: 'ERR_STORE_CONFLICT',
    });
    assert.deepEqual(fixture.keys(), ['os_family']);
    throw new Error('boom');
  }), /boom/);
  fixture.now -= 86_400_000;
  assert.deepEqual(facts.listFacts(), before);
  assert.equal(store.auditHead(), undefined);
  store.transaction(() => [facts.upsertFact(osFamily), store.appendAudit({ type: 'service_started' })]);
  assert.deepEqual([facts.listFacts().length, store.auditHead()?.id], [2, 1]);
});

test('beside a ledger facts are written as ever, and add no line to it', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const head = store.auditHead();
  const facts = new FactStore(store);
  const fact = facts.upsertFact(osFamily);
  assert.equal(facts.deleteFact('host-001', 'no', 'no'), false);
  assert.equal(facts.deleteExpiredFacts(), 0);
  assert.deepEqual(store.auditHead(), head);
  store.transaction(() => [facts.upsertFact(cpuCount), store.addUsage('a', '2026-11-21', 1)]);
  assert.equal(store.auditHead()!.id, head!.id + 1);
  store.close();
  assert.deepEqual(new FactStore(openBoth(folder)).getFact('host-001', 'os.basic', 'os_family'), fact);
});

test('bad values are refused before anything is written', (t) => {
  const { folder, store, facts } = new Facts(t);
  const version = (): unknown => folder.raw().prepare('PRAGMA data_version').get();
  const before = version();
  const refused = { code: 'ERR_STORE_INVALID_ARGUMENT' };
  for (const [what, value] of badTexts) {
    const bad = value as string;
    for (const name of ['targetId', 'namespace', 'key'])
      assert.throws(() => facts.upsertFact({ ...osFamily, [name]: bad }), refused, `${name}: ${what}`);
    for (const method of ['getFact', 'deleteFact'] as const) {
      for (const name of [
        [bad, 'n', 'k'],
        ['t', bad, 'k'],
        ['t', 'n', bad],
      ] as [string, string, string][])
        assert.throws(() => facts[method](...name), refused, `${method}: ${what}`);
    }
  }
  for (const [what, value] of given(badTexts)) {
    assert.throws(() => facts.upsertFact({ ...osFamily, id: value as string }), refused, `id: ${what}`);
    for (const name of ['targetId', 'namespace'])
      assert.throws(() => facts.listFacts({ [name]: value }), refused, `${name}: ${what}`);
  }
  for (const [what, value] of [
    ...given(badCounts),
    ['beyond the year 9999', 8_000 * 366 * 86_400] as [string, unknown],
    ['2^53 - 1', Number.MAX_SAFE_INTEGER] as [string, unknown],
  ]) {
    assert.throws(() => facts.upsertFact({ ...osFamily, ttlSeconds: value as number }), refused, `ttlSeconds: ${what}`);
  }
  for (const [what, value] of given(badCounts))
    for (const name of ['limit', 'offset'])
      assert.throws(() => facts.listFacts({ [name]: value }), refused, `${name}: ${what}`);
  for (const [what, value] of [...badOptions, ['a getter that throws', throwing('key')]] as [string, object][]) {
    assert.throws(() => facts.upsertFact(value as FactInput), refused, `fact: ${what}`);
    if (what !== 'a getter that throws') assert.throws(() => facts.listFacts(value), refused, `filter: ${what}`);
    assert.throws(() => new FactStore(value as SqliteStore), refused, `store: ${what}`);
  }
  assert.throws(() => facts.upsertFact(undefined as unknown as FactInput), refused);
  for (const [what, value] of [...badJson, ['undefined', undefined]])
    assert.throws(
      () => facts.upsertFact({ ...osFamily, value: value as string }),
      { code: 'ERR_STORE_SERIALIZATION' },
      `value: ${what}`,
    );
  assert.deepEqual([facts.listFacts(), version()], [[], before]);
  assert.equal(facts.upsertFact({ ...osFamily, ttlSeconds: 7_000 * 365 * 86_400 }).expiresAt?.getUTCFullYear(), 9022);
  assert.ok(store.isHealthy());
});

const methods: Record<string, { call: (facts: FactStore) => unknown; writes: boolean }> = {
  upsertFact: { call: (facts) => facts.upsertFact(osFamily), writes: true },
  getFact: { call: (facts) => facts.getFact('host-001', 'hw.cpu', 'cpu_count'), writes: false },
  listFacts: { call: (facts) => facts.listFacts(), writes: false },
  deleteFact: { call: (facts) => facts.deleteFact('host-001', 'hw.cpu', 'cpu_count'), writes: true },
  deleteExpiredFacts: { call: (facts) => facts.deleteExpiredFacts(), writes: true },
};

test('every method on a closed store is refused', (t) => {
  const { store, facts } = new Facts(t);
  store.close();
  assert.deepEqual(
    Object.keys(methods).sort(),
    Object.getOwnPropertyNames(FactStore.prototype)
      .filter((name) => name !== 'constructor')
      .sort(),
  );
  for (const [name, { call }] of Object.entries(methods))
    assert.throws(() => call(facts), { code: 'ERR_STORE_CLOSED' }, name);
});

test('a store opened read-only gives its facts and refuses to change them', (t) => {
  const fixture = new Facts(t);
  const fact = fixture.facts.upsertFact(cpuCount);
  fixture.store.close();
  const store = fixture.folder.closing(SqliteStore.openReadOnly(fixture.folder.file(), fixture.options));
  const facts = new FactStore(store);
  for (const [name, { call, writes }] of Object.entries(methods)) {
    if (writes) assert.throws(() => call(facts), { code: 'ERR_STORE_READ_ONLY' }, name);
  }
  assert.deepEqual([facts.getFact('host-001', 'hw.cpu', 'cpu_count'), facts.listFacts()], [fact, [fact]]);
  fixture.now += 3_600_000;
  assert.deepEqual([facts.getFact('host-001', 'hw.cpu', 'cpu_count'), facts.listFacts()], [undefined, []]);
});

test('a clock that gives no time is an error, and no fact is taken for one that holds', (t) => {
  const fixture = new Facts(t);
  fixture.facts.upsertFact(cpuCount);
  fixture.now = NaN;
  for (const [name, { call }] of Object.entries(methods))
    assert.throws(() => call(fixture.facts), { code: 'ERR_STORE_INVALID_ARGUMENT' }, name);
});

for (const damage of [
  "value = '{'",
  "expires_at = 'soon'",
  'expires_at = NULL',
  'ttl_seconds = 0',
  'ttl_seconds = -1',
  'ttl_seconds = 9223372036854775807',
  "created_at = 'yesterday'",
  "updated_at = ''",
]) {
  test(`a damaged fact is an error where it is read, and can be deleted: ${damage}`, (t) => {
    const fixture = new Facts(t, { checked: false });
    fixture.facts.upsertFact(cpuCount);
    fixture.facts.upsertFact(osFamily);
    fixture.folder
      .raw()
      .exec(`PRAGMA ignore_check_constraints = ON; UPDATE facts SET ${damage} WHERE key = 'cpu_count'`);
    assert.throws(() => fixture.facts.getFact('host-001', 'hw.cpu', 'cpu_count'), { code: 'ERR_STORE_CORRUPT' });
    assert.throws(() => fixture.facts.listFacts(), { code: 'ERR_STORE_CORRUPT' });
    assert.equal(fixture.facts.getFact('host-001', 'os.basic', 'os_family')?.value, 'debian');
    assert.equal(fixture.facts.deleteFact('host-001', 'hw.cpu', 'cpu_count'), true);
    assert.deepEqual(fixture.keys(), ['os_family']);
  });
}

test('every index of the table is used, no operation reads all of a large one, and none sorts', (t) => {
  const { folder, facts } = new Facts(t);
  const db = folder.raw();
  db.exec(`WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)
    INSERT INTO facts
      SELECT 'i' || i, 't' || (i / 100), 'n' || (i % 50), 'k' || i, '1', i % 2,
        iif(i % 2, '2026-11-21T10:00:00.000Z', NULL), '2026-11-21T09:00:00Z', '2026-11-21T09:00:00Z' FROM n`);
  const prepared: string[] = [];
  const { prepare } = DatabaseSync.prototype;
  t.mock.method(DatabaseSync.prototype, 'prepare', function (this: DatabaseSync, sql: string) {
    prepared.push(sql);
    return prepare.call(this, sql);
  });
  const planOf = (sql: string): string[] =>
    prepare
      .call(db, `EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(({ detail }) => String(detail));
  /** What SQLite plans for each statement that an operation prepares. */
  const plansOf = (operation: () => unknown): string[] => {
    const from = prepared.length;
    operation();
    const statements = prepared.slice(from).filter((sql) => /\bfacts\b/.test(sql));
    assert.ok(statements.length > 0);
    return statements.flatMap(planOf);
  };
  const byName = 'SEARCH facts USING INDEX sqlite_autoindex_facts_2 (target_id=? AND namespace=? AND key=?)';
  const byId = 'SEARCH facts USING INDEX sqlite_autoindex_facts_1 (id=?)';
  const expected: [operation: () => unknown, plans: string[]][] = [
    [() => facts.getFact('t1', 'n1', 'k1'), [byName]],
    [() => facts.upsertFact({ ...osFamily, id: 'x' }), [byName, byId, byId]],
    [() => facts.deleteFact('t1', 'n1', 'k1'), [byName]],
    [() => facts.listFacts({ targetId: 't1' }), ['SEARCH facts USING INDEX sqlite_autoindex_facts_2 (target_id=?)']],
    [
      () => facts.listFacts({ targetId: 't1', namespace: 'n1' }),
      ['SEARCH facts USING INDEX facts_namespace (namespace=? AND target_id=?)'],
    ],
    [() => facts.listFacts({ namespace: 'n1' }), ['SEARCH facts USING INDEX facts_namespace (namespace=?)']],
    // All of it in order, from its beginning to the limit.
    [() => facts.listFacts({ limit: 5 }), ['SCAN facts USING INDEX sqlite_autoindex_facts_2']],
    [() => facts.deleteExpiredFacts(), ['SEARCH facts USING INDEX facts_expires_at (expires_at<?)']],
  ];
  const found = expected.map(([operation]) => plansOf(operation));
  assert.deepEqual(found, expected.map(([, plans]) => plans));
  // An operator's ANALYZE changes none of them.
  const statements = [...new Set(prepared.filter((sql) => /\bfacts\b/.test(sql)))];
  const before = statements.map((sql) => planOf(sql));
  db.exec('ANALYZE');
  assert.deepEqual(statements.map((sql) => planOf(sql)), before);
  const indexes = prepare
    .call(db, "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'facts' ORDER BY name")
    .all()
    .map(({ name }) => name);
  assert.deepEqual(indexes, [...new Set(found.flat().map((plan) => /INDEX (\w+)/.exec(plan)?.[1]))].sort());
});

const damages: Damages<FactStore> = {
  columns: {
    value: 'json',
    ttl_seconds: 'count',
    expires_at: 'optional instant',
    created_at: 'instant',
    updated_at: 'instant',
    id: 'text',
  },
  calls: {
    getFact: (facts) => facts.getFact('host-001', 'hw.cpu', 'cpu_count'),
    listFacts: (facts) => facts.listFacts(),
  },
};
const names: Damages<FactStore> = {
  columns: { target_id: 'text', namespace: 'text', key: 'text' },
  calls: { listFacts: (facts) => facts.listFacts() },
};

for (const table of [damages, names]) {
  for (const column of Object.keys(table.columns)) {
    test(`${column} of a fact that cannot be right is an error for everyone who meets it`, (t) => {
      assertRefused('facts', column, table, () => {
        const { folder, store, facts } = new Facts(t, { checked: false });
        facts.upsertFact(cpuCount);
        return { path: folder.file(), store, modules: facts };
      });
    });
  }
}
