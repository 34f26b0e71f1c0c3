// When each cooldown was set, in a ledger: what rebuilds the table must give the same.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger, rebuildDatabase, verifyParity } from '../../lib/ledger/index.ts';
import { TestFolder } from '../support/folder.ts';

/** A folder whose store is opened with a ledger, at a minute of the day. */
class Mirrored {
  readonly folder: TestFolder;
  minute = 0;

  constructor(t: TestContext) {
    this.folder = new TestFolder(t);
  }

  get ledger(): Ledger {
    return this.folder.closing(Ledger.open(this.folder.file('audit.jsonl')));
  }

  at(minute: number): Date {
    return new Date(Date.UTC(2026, 10, 21, 9, minute));
  }

  /** Runs `fn` with the store open, with its ledger or without. */
  run(fn: (store: SqliteStore) => void, withLedger = true): void {
    using store = SqliteStore.open(this.folder.file(), {
      clock: () => this.at(this.minute),
      recover: true,
      ...(withLedger ? { ledger: this.ledger } : undefined),
    });
    fn(store);
  }

  sql(sql: string): object[] {
    using db = new DatabaseSync(this.folder.file());
    return db.prepare(sql).all().map((row) => ({ ...row }));
  }

  rows(): object[] {
    return this.sql('SELECT entry_id, until, set_at FROM cooldowns ORDER BY entry_id');
  }

  async parity(): Promise<unknown> {
    using store = SqliteStore.openReadOnly(this.folder.file());
    const { isConsistent, state } = await verifyParity(store, this.ledger);
    return { isConsistent, state: state.sort((a, b) => a.entryId.localeCompare(b.entryId)) };
  }
}

const consistent = { isConsistent: true, state: [] };

/** One set with a ledger, one before there was one, and one of which nobody knows when. */
function filled(t: TestContext): Mirrored {
  const kiosk = new Mirrored(t);
  kiosk.run((store) => {
    store.setCooldownUntil('before', kiosk.at(10));
    store.setCooldownUntil('unknown', kiosk.at(20));
  }, false);
  kiosk.sql("UPDATE cooldowns SET set_at = NULL WHERE entry_id = 'unknown'");
  kiosk.minute = 5;
  kiosk.run((store) => store.transaction(() => {
    store.setCooldownUntil('after', kiosk.at(30));
    store.setCooldownUntil('again', kiosk.at(30));
  }));
  kiosk.minute = 6;
  kiosk.run((store) => store.setCooldownUntil('again', kiosk.at(40)));
  return kiosk;
}

const rows = [
  ['after', 30, 5], ['again', 40, 6], ['before', 10, 0], ['unknown', 20, null],
].map(([entry, until, set]) => ({
  entry_id: entry, until: new Date(Date.UTC(2026, 10, 21, 9, until as number)).toISOString(),
  set_at: set === null ? null : new Date(Date.UTC(2026, 10, 21, 9, set as number)).toISOString(),
}));

test('a database that is rebuilt knows of each cooldown when it was set, as the one that was lost did', async (t) => {
  const kiosk = filled(t);
  assert.deepEqual(kiosk.rows(), rows);
  assert.deepEqual(await kiosk.parity(), consistent);
  rmSync(kiosk.folder.file());
  await rebuildDatabase(kiosk.ledger, kiosk.folder.file());
  assert.deepEqual(kiosk.rows(), rows);
  assert.deepEqual(await kiosk.parity(), consistent);
});

test('a database that is recovered beside its ledger does too, and one healed from the plain file', async (t) => {
  const kiosk = filled(t);
  kiosk.run((store) => store.saveSnapshot({ timestamp: kiosk.at(6) }));
  rmSync(kiosk.folder.file());
  kiosk.minute = 7;
  kiosk.run((store) => assert.equal(store.recovery?.found, 'missing'));
  assert.deepEqual(kiosk.rows(), rows);
  assert.deepEqual(await kiosk.parity(), consistent);
  for (const name of ['store.db', 'audit.jsonl']) rmSync(kiosk.folder.file(name));
  kiosk.run((store) => assert.equal(store.recovery?.restored.cooldowns, 4));
  assert.deepEqual(kiosk.rows(), rows);
  assert.deepEqual(await kiosk.parity(), consistent);
});

test('a time of setting other than the events say is a difference, and one that the table lacks is none', async (t) => {
  const kiosk = filled(t);
  kiosk.sql("UPDATE cooldowns SET set_at = '2026-11-21T08:00:00Z' WHERE entry_id IN ('after', 'unknown')");
  assert.deepEqual(await kiosk.parity(), {
    isConsistent: false,
    state: ['after', 'unknown'].map((entryId) => ({
      entryId,
      of: 'setAt',
      expected: entryId === 'after' ? '2026-11-21T09:05:00.000Z' : undefined,
      stored: '2026-11-21T08:00:00Z',
    })),
  });
  kiosk.sql('UPDATE cooldowns SET set_at = NULL');
  assert.deepEqual(await kiosk.parity(), consistent);
});
