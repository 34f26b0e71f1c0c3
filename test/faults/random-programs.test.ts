// Full run: SHEPHERD_STEPS=10000 node --test test/faults/random-programs.test.ts
//
// Random programs of all public operations against a model in memory: two handles on one file, transactions that throw,
// reopening, migrating down and up, clocks that jump or fail, hostile texts and hostile JSON.
//
// SHEPHERD_STEPS: how many steps, 1,000 by default. SHEPHERD_STEPS_SEED: repeats another run.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { type EventBase, SqliteStore, type StateSnapshot } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, verifyParity } from '../../lib/ledger/index.ts';
import { connect } from '../../lib/store.ts';
import { TestFolder } from '../support/folder.ts';
import { byBytes, callLimit, type LimitCall, LimitModel, type Totals } from '../support/limits-model.ts';
import { seededRandom } from '../support/random.ts';
import { badDays, badDurations, badInstants, badJson, badOptions, badTexts, deep, given } from '../support/values.ts';

const steps = Number(process.env['SHEPHERD_STEPS'] ?? 1_000);
const seed = Number(process.env['SHEPHERD_STEPS_SEED'] ?? 1);

type Event = EventBase & { [field: string]: unknown };
type Store = SqliteStore<Event>;

/** Texts that are stored as they are, whatever they mean to somebody else. */
const texts = [
  'minecraft',
  "Robert'); DROP TABLE usage;--",
  '__proto__',
  'constructor',
  'toString',
  '"',
  '\\',
  '%_',
  'ä\u0308\u200d',
  '\u202eenilno\u202c',
  'שלום',
  '👩‍👩‍👧',
  ' ',
  '\n',
  'null',
  '0',
  '-1',
  '1e400',
  'x'.repeat(1_000),
  "' OR 1=1",
  '${x}',
  '../../etc/passwd',
  '\uffff',
  '\ufeff',
  'A',
  'a',
];
const days = ['2026-11-20', '2026-11-21', '2026-11-22', '0000-01-01', '9999-12-31', '2024-02-29'];
/** Values that JSON carries, and how they come back. */
const values: (() => unknown)[] = [
  () => null,
  () => -0,
  () => 1.5e-7,
  () => Number.MAX_SAFE_INTEGER,
  () => 5e-324,
  () => ['', [], {}],
  () => deep(50),
  () => JSON.parse('{"__proto__":{"a":1},"constructor":2}'),
  () => ({ a: undefined, b: 1 }),
  () => Object.create(null),
  () => ({
    get a() {
      return 1;
    },
  }),
  () => new Proxy([1, 2], {}),
  () => '\u2028</script>',
  () => 'y'.repeat(20_000),
];

/** What a store must hold. */
class Model {
  events: { id: number; event: Event; timestamp: Date }[] = [];
  usage = new Map<string, number>();
  cooldowns = new Map<string, { until: Date; setAt: number }>();
  readonly limits = new LimitModel();
  snapshot: StateSnapshot | undefined;

  /** For a transaction that is undone. */
  copy(): () => void {
    const { snapshot } = this;
    const [length, usage, cooldowns] = [this.events.length, new Map(this.usage), new Map(this.cooldowns)];
    const restoreLimits = this.limits.copy();
    return () => {
      this.events.length = length;
      Object.assign(this, { usage, cooldowns, snapshot });
      restoreLimits();
    };
  }

  usageOf(entryId: string, day: string): number {
    return this.usage.get(JSON.stringify([entryId, day])) ?? 0;
  }

  readonly totals: Totals = {
    get: (entryId, day) => this.usageOf(entryId, day),
    set: (entryId, day, totalMs) => void this.usage.set(JSON.stringify([entryId, day]), totalMs),
  };
}

/** What comes back of a value. Not by `JSON.parse`, which mistakes keys with escapes. */
function plain(value: unknown): unknown {
  if (typeof value === 'number') return value + 0;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [key, plain(item)]),
  );
}

class Program {
  readonly model = new Model();
  readonly #random: () => number;
  readonly #open: () => Store;
  readonly #withLedger: boolean;
  #handles: Store[];
  time = Date.UTC(2026, 10, 21);
  refused = 0;
  undone = 0;

  constructor(random: () => number, withLedger: boolean, open: () => Store) {
    this.#random = random;
    this.#withLedger = withLedger;
    this.#open = open;
    this.#handles = [open(), open()];
  }

  below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  close(): void {
    for (const store of this.#handles) store.close();
  }

  reopen(migrate: (version: number) => void): void {
    this.close();
    // With a ledger a step down to the four tables would lose what says so.
    if (this.below(4) === 0) {
      migrate(1 + this.below(4));
      // Those versions do not know when a cooldown was set: its end stands.
      for (const cooldown of this.model.cooldowns.values()) cooldown.setAt = -Infinity;
    }
    this.#handles = [this.#open(), this.#open()];
    for (const store of this.#handles) assert.equal(store.recovery, undefined);
  }

  /** One step by one of the handles. */
  async step(): Promise<void> {
    const store = this.pick(this.#handles);
    const kind = this.below(100);
    if (kind < 8) this.#jump();
    else if (kind < 25) this.#refuse(store);
    else if (kind < 40) this.#transact(store);
    else if (kind < 75) this.#write(store);
    else if (kind < 98) this.#read(store);
    else {
      const { ok, checked, head } = await store.verifyAudit();
      assert.deepEqual([ok, checked, head], [true, store.auditHead()?.id ?? 0, store.auditHead()]);
    }
  }

  #jump(): void {
    this.time = this.pick([
      0,
      Date.UTC(2026, 10, 21),
      Date.UTC(9999, 11, 31, 23),
      this.time + 1,
      this.time - 86_400_000,
      Date.UTC(2026, 10, 21) + this.below(1e9),
    ]);
    if (this.below(5) > 0) return;
    const time = this.time;
    this.time = NaN;
    for (const store of this.#handles)
      assert.throws(() => store.appendAudit({ type: 'x' }), { code: 'ERR_STORE_INVALID_ARGUMENT' });
    this.time = time;
  }

  #event(): Event {
    const fields = Array.from({ length: this.below(4) }, (_, index) => [
      index === 0 ? 'sessionId' : `field ${this.pick(texts).slice(0, 50)}`,
      index === 0 ? this.pick(texts) : this.pick(values)(),
    ]);
    return { type: this.pick(['door_opened', 'x y', 'constructor', '__proto__']), ...Object.fromEntries(fields) };
  }

  #noted(store: Store, event: Event, id: number): void {
    const [at] = [...store.iterateAudits({ fromId: id, toId: id })];
    const timestamp = at!.timestamp;
    this.model.events.push({ id, event: plain(event) as Event, timestamp });
  }

  #write(store: Store): void {
    const { model } = this;
    const entryId = this.below(200) === 0 ? 'm'.repeat(1 << 20) : this.pick(texts);
    const day = this.pick(days);
    const actions = [
      () => {
        const event = this.#event();
        const attributes =
          this.below(3) === 0
            ? {
                eventId: `event ${model.events.length} ${this.below(1e9)}`,
                source: this.pick(texts),
                tags: [this.pick(texts)],
              }
            : undefined;
        this.#noted(store, event, store.appendAudit(event, attributes).id);
        if (attributes) assert.throws(() => store.appendAudit(event, attributes), { code: 'ERR_STORE_CONFLICT' });
      },
      () => {
        const events = Array.from({ length: this.below(5) }, () => this.#event());
        for (const [index, { id }] of store.appendAudits(events.map((event) => ({ event }))).entries())
          this.#noted(store, events[index]!, id);
      },
      () => {
        const durationMs = this.pick([0, 1, 999, 1_000, this.below(1e7)]);
        model.usage.set(JSON.stringify([entryId, day]), model.usageOf(entryId, day) + durationMs);
        assert.equal(store.addUsage(entryId, day, durationMs), model.usageOf(entryId, day));
      },
      () => {
        const until = new Date(this.pick([0, 253_402_300_799_999, Date.UTC(2026, 10, 21) + this.below(1e9)]));
        store.setCooldownUntil(entryId, until);
        model.cooldowns.set(entryId, { until, setAt: connect(store).now().getTime() });
      },
      () => {
        store.clearCooldown(entryId);
        model.cooldowns.delete(entryId);
      },
      () => {
        const snapshot: StateSnapshot = {
          timestamp: new Date(this.below(1e12)),
          ...(this.below(2) === 0
            ? {
                activeSession: {
                  sessionId: this.pick(texts),
                  entryId,
                  startedAt: new Date(0),
                  warningsIssued: [this.below(9)],
                },
              }
            : undefined),
        };
        store.saveSnapshot(snapshot);
        model.snapshot = snapshot;
      },
      () => this.#limit(store, entryId, day),
      () => this.#limit(store, entryId, day),
    ];
    this.pick(actions)();
  }

  /** A change of limits; its id may have been used already, for the same values or for others. */
  #limit(store: Store, subject: string, day: string): void {
    const { model } = this;
    const call = this.#limitCall(subject, day);
    const { given, event } = model.limits.apply(call, model.totals);
    assert.deepEqual(callLimit(store, call), given);
    if (event) this.#noted(store, event, store.auditHead()!.id);
    if (!('id' in call.options) || this.below(2) === 0) return;
    const again = model.limits.apply(call, model.totals);
    assert.ok(!again.event || !event, 'the model repeats it');
    assert.deepEqual(callLimit(store, call), again.given);
    if (again.event) this.#noted(store, again.event, store.auditHead()!.id);
  }

  #limitCall(subject: string, day: string): LimitCall {
    const durationMs = this.pick([1, -1, 999, -1_000, 1 + this.below(1e7), -1 - this.below(1e7)]);
    const large = this.pick([durationMs, durationMs, 2 ** 53 - 1, 1 - 2 ** 53]);
    const id = this.below(3) === 0 ? { id: `${this.pick(texts)} ${this.below(5)}` } : undefined;
    switch (this.below(4)) {
      case 0:
        return { method: 'grantTime', options: { subject, day, durationMs: large, ...id } };
      case 1: {
        const availability = this.pick([undefined, 'allowed', 'denied'] as const);
        return { method: 'setAvailability', options: { subject, day, availability } };
      }
      case 2: {
        const cap = this.below(2) === 0 ? { capMs: this.pick([0, 1_000, this.below(1e7)]) } : undefined;
        return { method: 'adjustBalance', options: { subject, durationMs: large, ...cap, ...id } };
      }
      default: {
        const options = { entryId: subject, day, durationMs, reason: this.pick(texts), ...id };
        return { method: 'correctUsage', options };
      }
    }
  }

  #read(store: Store): void {
    const { model } = this;
    const [entryId, day] = [this.pick(texts), this.pick(days)];
    const actions = [
      () => assert.equal(store.getUsage(entryId, day), model.usageOf(entryId, day)),
      () => this.#checkCooldown(store, entryId, store.getCooldownUntil(entryId)),
      () => assert.deepEqual(store.loadSnapshot(), model.snapshot),
      () =>
        assert.deepEqual(
          store.getUsageRange(entryId, '0000-01-01', '9999-12-31'),
          days
            .filter((each) => model.usage.has(JSON.stringify([entryId, each])))
            .sort()
            .map((each) => ({ day: each, durationMs: model.usageOf(entryId, each) })),
        ),
      () =>
        assert.deepEqual(
          store.getStatus([entryId, 'minecraft'], day).map(({ durationMs }) => durationMs),
          [entryId, 'minecraft'].map((each) => model.usageOf(each, day)),
        ),
      () =>
        assert.deepEqual(
          this.#own(store.getRecentAudits(20, { type: 'door_opened', sessionId: entryId })).map(({ id }) => id),
          model.events
            .filter(({ event }) => event.type === 'door_opened' && event['sessionId'] === entryId)
            .map(({ id }) => id)
            .reverse()
            .slice(0, 20),
        ),
      () => {
        const found = model.limits.overrides().find((each) => each.subject === entryId && each.day === day);
        const { subject: _subject, day: _day, ...override } = found ?? { subject: '', day: '', grantedMs: 0 };
        assert.deepEqual(store.getOverride(entryId, day), override);
      },
      () => {
        const found = model.limits.balances().find(({ subject }) => subject === entryId);
        assert.equal(store.getBalance(entryId), found?.balanceMs ?? 0);
      },
      () =>
        assert.deepEqual(
          store.listOverrides({ subject: entryId }),
          model.limits.overrides().filter(({ subject }) => subject === entryId),
        ),
      () => assert.ok(store.isHealthy()),
      () =>
        assert.deepEqual(
          store.health().findings.filter(({ kind }) => kind !== 'clock-behind' && kind !== 'snapshot-file-missing'),
          [],
        ),
    ];
    this.pick(actions)();
  }

  /** An argument that is refused, with nothing changed. */
  #refuse(store: Store): void {
    const pick = (table: [string, unknown][]): never => this.pick(table)[1] as never;
    const actions = [
      () => store.appendAudit({ type: 'x', field: pick(badJson) }),
      () => store.appendAudit({ type: pick(badTexts) }),
      () =>
        store.appendAudit({
          type: 'x',
          field: {
            toJSON: () => {
              throw new Error('boom');
            },
          },
        }),
      () => store.appendAudits([{ event: { type: 'x' } }, { event: { type: 'y', field: [1e400] } }]),
      () => store.appendAudit({ type: 'x' }, { source: pick(given(badTexts)) }),
      () => store.addUsage(pick(badTexts), '2026-11-21', 1),
      () => store.addUsage('a', pick(badDays), 1),
      () => store.addUsage('a', '2026-11-21', pick(badDurations)),
      () => store.setCooldownUntil('a', pick(badInstants)),
      () => store.clearCooldown(pick(badTexts)),
      () => store.saveSnapshot(pick(badOptions)),
      () => store.getUsage(pick(badTexts), '2026-11-21'),
      () => store.grantTime({ subject: 'a', day: '2026-11-21', durationMs: pick([['0', 0], ['a half', 0.5]]) }),
      () => store.grantTime({ subject: 'a', day: pick(badDays), durationMs: 1 }),
      () => store.setAvailability({ subject: pick(badTexts), day: '2026-11-21', availability: 'denied' }),
      () => store.adjustBalance({ subject: 'a', durationMs: 1, capMs: pick(given(badDurations)) }),
      () => store.correctUsage({ entryId: 'a', day: '2026-11-21', durationMs: 1, reason: pick(badTexts) }),
      () =>
        store.transaction(
          pick([
            ['null', null],
            ['async', async () => {}],
          ]),
        ),
    ];
    this.refused++;
    assert.throws(this.pick(actions), (error: { code?: string }) =>
      ['ERR_STORE_INVALID_ARGUMENT', 'ERR_STORE_SERIALIZATION'].includes(error.code ?? ''),
    );
  }

  #transact(store: Store, depth = 0): void {
    const restore = this.model.copy();
    try {
      store.transaction(() => {
        for (let count = this.below(4); count >= 0; count--) {
          const kind = this.below(8);
          if (kind === 0 && depth < 3) this.#transact(store, depth + 1);
          else if (kind === 1) this.#refuse(store);
          else if (kind < 4) this.#read(store);
          else this.#write(store);
        }
        if (depth === 0 && this.below(3) === 0) {
          const other = this.#handles.find((each) => each !== store)!;
          assert.throws(() => other.addUsage('a', '2026-11-21', 1), { code: 'ERR_STORE_BUSY' });
        }
        if (this.below(3) === 0) throw new RangeError('undone');
      });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      restore();
      this.undone++;
    }
  }

  /** Without the events that a ledger adds. */
  #own<T extends { event: EventBase }>(events: T[]): T[] {
    return this.#withLedger
      ? events.filter(
          ({ event }) => !['ledger_attached', 'usage_added', 'cooldown_set', 'cooldown_cleared'].includes(event.type),
        )
      : events;
  }

  /**
   * One that was set by a clock ahead of this one lasts at most as long as it was set for; since when depends on what
   * was read.
   */
  #checkCooldown(store: Store, entryId: string, found: Date | undefined): void {
    const now = connect(store).now().getTime();
    const { until, setAt = 0 } = this.model.cooldowns.get(entryId) ?? {};
    if (!until || setAt <= now) return assert.deepEqual(found, until);
    const left = Math.max(0, until.getTime() - setAt);
    assert.ok(found && found.getTime() <= Math.min(until.getTime(), now + left));
  }

  /** Both handles see what the model has. */
  checkAll(): void {
    const { model } = this;
    for (const store of this.#handles) {
      const found = this.#own([...store.iterateAudits()]);
      assert.equal(found.length, model.events.length);
      for (const [index, { id, event, timestamp }] of found.entries())
        assert.deepEqual({ id, event, timestamp }, model.events[index]);
      for (const day of days) {
        const wanted = [...model.usage]
          .map(([key, durationMs]) => ({ key: JSON.parse(key) as [string, string], durationMs }))
          .filter(({ key }) => key[1] === day);
        assert.deepEqual(
          store.getUsageForDay(day),
          wanted
            .map(({ key, durationMs }) => ({ entryId: key[0], durationMs }))
            .sort((a, b) => byBytes(a.entryId, b.entryId)),
        );
      }
      const listed = store.listCooldowns();
      assert.deepEqual(
        listed.map(({ entryId }) => entryId),
        [...model.cooldowns.keys()].sort(byBytes),
      );
      for (const { entryId, until } of listed) this.#checkCooldown(store, entryId, until);
      assert.deepEqual(store.listOverrides(), model.limits.overrides());
      assert.deepEqual(store.listBalances(), model.limits.balances());
      assert.deepEqual(store.loadSnapshot(), model.snapshot);
    }
  }
}

/** What a store has that follows from its events. The clock may be behind that of a cooldown, which reads find out. */
function contentOf(path: string): unknown {
  using db = new DatabaseSync(path, { readOnly: true });
  const queries = [
    'SELECT id, timestamp, event_type, event_data, event_meta, event_hash FROM audit_log ORDER BY id',
    'SELECT entry_id, day, duration_secs, carry_ms FROM usage ORDER BY 1, 2',
    'SELECT entry_id, until FROM cooldowns ORDER BY 1',
    'SELECT subject, day, granted_ms, availability FROM overrides ORDER BY 1, 2',
    'SELECT subject, balance_ms FROM balances ORDER BY 1',
    'SELECT limits_id FROM store_meta',
  ];
  return queries.map((sql) => {
    const statement = db.prepare(sql);
    statement.setReadBigInts(true);
    return statement.all().map((row) => ({ ...row }));
  });
}

/** Rebuilt from its ledger, the store has the same. */
async function checkRebuilt(folder: TestFolder): Promise<void> {
  await rebuildDatabase(Ledger.open(folder.file('audit.jsonl')), folder.file('rebuilt.db'));
  assert.deepEqual(contentOf(folder.file('rebuilt.db')), contentOf(folder.file()));
  using store = SqliteStore.openReadOnly(folder.file('rebuilt.db'));
  assert.ok((await verifyParity(store, Ledger.open(folder.file('audit.jsonl')))).isConsistent);
}

for (const withLedger of [false, true]) {
  test(`a random program finds in the store${withLedger ? ' with a ledger' : ''} what a model in memory `
    + `has`, async (t) => {
    t.diagnostic(`SHEPHERD_STEPS_SEED=${seed} SHEPHERD_STEPS=${steps}`);
    const folder = new TestFolder(t, { inMemory: true });
    const clock = (): Date => new Date(program?.time ?? 0);
    const open = (): Store =>
      folder.closing(
        SqliteStore.open<Event>(folder.file(), {
          clock,
          busyTimeoutMs: 0,
          ...(withLedger ? { ledger: Ledger.open(folder.file('audit.jsonl')) } : undefined),
        }),
      );
    let program: Program | undefined = undefined as Program | undefined;
    program = new Program(seededRandom(seed), withLedger, open);
    for (let step = 0; step < steps / 2; step++) {
      try {
        await program.step();
        if (step % 50 === 49) program.checkAll();
        if (step % 80 === 79) program.reopen((version) => SqliteStore.migrate(folder.file(), version, { force: true }));
      } catch (error) {
        throw new Error(`step ${step}`, { cause: error });
      }
    }
    program.checkAll();
    program.close();
    if (withLedger) await checkRebuilt(folder);
    t.diagnostic(
      `${steps / 2} steps, ${program.model.events.length} events, ${program.refused} refusals, ${program.undone} `
        + `transactions undone`,
    );
  });
}
