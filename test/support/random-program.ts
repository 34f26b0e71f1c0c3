// Random programs of all public operations against a model in memory: two handles on one file, transactions that throw,
// reopening, migrating down and up, clocks that jump or fail, hostile texts and hostile JSON.
import assert from 'node:assert/strict';
import type { EventBase, StateSnapshot } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';
import { byBytes, callLimit, type LimitCall } from './limits-model.ts';
import { days, type Event, Model, plain, type Store, texts, values } from './random-model.ts';
import { badDays, badDurations, badInstants, badJson, badOptions, badTexts, given } from './values.ts';

const ledgerEvents = ['ledger_attached', 'usage_added', 'cooldown_set', 'cooldown_cleared'];
const archiveEvents = [
  'log_archived', 'archives_forgotten', 'usage_forgotten', 'balances_carried', 'limits_carried',
];

/** A program on two handles of one store, which compares what it finds with the model. */
export class Program {
  readonly model = new Model();
  readonly #random: () => number;
  readonly #open: () => Store;
  readonly #withLedger: boolean;
  handles: Store[];
  time = Date.UTC(2026, 10, 21);
  refused = 0;
  undone = 0;
  /** The last row that is in no handle's log any more, because it went into an archive. */
  archivedTo = 0;
  /** The rows of the events that changes of limits with ids have left. */
  readonly limitIds = new Map<string, number>();

  constructor(random: () => number, withLedger: boolean, open: () => Store) {
    this.#random = random;
    this.#withLedger = withLedger;
    this.#open = open;
    this.handles = [open(), open()];
  }

  below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  close(): void {
    for (const store of this.handles) store.close();
  }

  reopen(migrate: (version: number) => void): void {
    this.close();
    // With a ledger a step down to the four tables would lose what says so.
    // What is archived has no place in them.
    if (this.below(4) === 0 && this.archivedTo === 0) {
      migrate(1 + this.below(4));
      // Those versions do not know when a cooldown was set: its end stands.
      for (const cooldown of this.model.cooldowns.values()) cooldown.setAt = -Infinity;
    }
    this.handles = [this.#open(), this.#open()];
    for (const store of this.handles) assert.equal(store.recovery, undefined);
  }

  /** So many steps, and a comparison of everything now and then and at the end. */
  async run(steps: number, migrate: (version: number) => void): Promise<void> {
    for (let step = 0; step < steps; step++) {
      try {
        await this.step();
        if (step % 50 === 49) this.checkAll();
        if (step % 80 === 79) this.reopen(migrate);
      } catch (error) {
        throw new Error(`step ${step}`, { cause: error });
      }
    }
    this.checkAll();
  }

  /** One step by one of the handles. */
  async step(): Promise<void> {
    const store = this.pick(this.handles);
    const kind = this.below(100);
    if (kind < 8) this.jump();
    else if (kind < 25) this.#refuse(store);
    else if (kind < 40) this.#transact(store);
    else if (kind < 75) this.#write(store);
    else if (kind < 98) this.#read(store);
    else {
      const { ok, checked, head } = await store.verifyAudit();
      const last = store.auditHead();
      assert.deepEqual([ok, checked, head], [true, (last?.id ?? 0) - this.archivedTo, last]);
    }
  }

  jump(): void {
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
    for (const store of this.handles)
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
    if (event && 'id' in call.options) {
      this.limitIds.set(`${event.type}:${call.options.id}`, store.auditHead()!.id);
    }
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
          this.own(store.getRecentAudits(20, { type: 'door_opened', sessionId: entryId })).map(({ id }) => id),
          model.events
            .filter(({ id, event }) => id > this.archivedTo && event.type === 'door_opened'
              && event['sessionId'] === entryId)
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
          const other = this.handles.find((each) => each !== store)!;
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

  /** Without the events that a ledger or an archiving adds. */
  own<T extends { event: EventBase }>(events: T[]): T[] {
    const added = this.#withLedger ? [...archiveEvents, ...ledgerEvents] : archiveEvents;
    return events.filter(({ event }) => !added.includes(event.type));
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

  /** The events that a store has, wherever they are. */
  logged(store: Store): ReturnType<Store['getRecentAudits']> {
    return [...store.iterateAudits()];
  }

  /** Both handles see what the model has. */
  checkAll(): void {
    const { model } = this;
    for (const store of this.handles) {
      const found = this.own(this.logged(store));
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
