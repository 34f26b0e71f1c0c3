import assert from 'node:assert/strict';
import { copyFileSync, renameSync, rmSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { type OpenOptions, SqliteStore } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';

const corrupt = { code: 'ERR_STORE_CORRUPT' };
const at = (text: string): Date => new Date(text);

test('a cooldown is what was set last, earlier or later', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  assert.equal(store.getCooldownUntil('a'), undefined);
  for (const text of [
    '2026-11-21T10:00:00.001Z',
    '2030-01-01T00:00:00Z',
    '2026-11-21T09:00:00Z',
    '1970-01-01T00:00:00Z',
    '0000-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999Z',
  ]) {
    store.setCooldownUntil('a', at(text));
    assert.deepEqual(store.getCooldownUntil('a'), at(text));
  }
  store.close();
  assert.deepEqual(folder.open().getCooldownUntil('a'), at('9999-12-31T23:59:59.999Z'));
});

test('it is stored as ISO 8601 in UTC', (t) => {
  const folder = new TestFolder(t);
  folder.open({ clock: () => at('2026-11-21T09:30:00+02:00') }).setCooldownUntil('a', at('2026-11-21T10:00:00+02:00'));
  assert.deepEqual({ ...folder.raw().prepare('SELECT * FROM cooldowns').get() }, {
    entry_id: 'a', until: '2026-11-21T08:00:00.000Z', set_at: '2026-11-21T07:30:00.000Z', clock_behind_at: null,
  });
});

test('clearing removes one cooldown, and none is fine', (t) => {
  const store = new TestFolder(t).open();
  store.setCooldownUntil('a', at('2026-11-21T10:00:00Z'));
  store.setCooldownUntil('A', at('2026-11-21T11:00:00Z'));
  store.clearCooldown('a');
  store.clearCooldown('a');
  store.clearCooldown('never');
  assert.equal(store.getCooldownUntil('a'), undefined);
  assert.deepEqual(store.getCooldownUntil('A'), at('2026-11-21T11:00:00Z'));
});

test('the list has every entry in order, with the cooldowns that have ended', (t) => {
  const store = new TestFolder(t).open({ clock: () => at('2026-11-21T09:00:00Z') });
  assert.deepEqual(store.listCooldowns(), []);
  store.setCooldownUntil('b', at('2026-11-21T09:00:00Z'));
  store.setCooldownUntil('a', at('2030-01-01T00:00:00Z'));
  store.setCooldownUntil('c', at('2001-01-01T00:00:00Z'));
  const list = store.listCooldowns();
  assert.deepEqual(list, [
    { entryId: 'a', until: at('2030-01-01T00:00:00Z') },
    { entryId: 'b', until: at('2026-11-21T09:00:00Z') },
    { entryId: 'c', until: at('2001-01-01T00:00:00Z') },
  ]);
  list[0]!.until.setTime(0);
  assert.deepEqual(store.getCooldownUntil('a'), at('2030-01-01T00:00:00Z'));
});

test('what another writer set is read in its own form', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  folder.raw().exec("INSERT INTO cooldowns (entry_id, until) VALUES ('a', '2026-11-21T10:00:00.123456789+02:00')");
  assert.deepEqual(store.getCooldownUntil('a'), at('2026-11-21T08:00:00.123Z'));
});

for (const until of [
  "''",
  "'soon'",
  "'2026-02-30T00:00:00Z'",
  "'2026-11-21'",
  "'2026-11-21T09:00:00'",
  "'1763715600'",
  '5',
  "x'00'",
  "'0000-01-01T00:00:00+01:00'",
]) {
  test(`a damaged cooldown is an error and not the end of the cooldown: ${until}`, (t) => {
    const folder = new TestFolder(t);
    const store = folder.open();
    store.setCooldownUntil('b', at('2030-01-01T00:00:00Z'));
    folder.raw().exec(`INSERT INTO cooldowns (entry_id, until) VALUES ('a', ${until})`);
    assert.throws(() => store.getCooldownUntil('a'), corrupt);
    assert.throws(() => store.listCooldowns(), corrupt);
    assert.throws(() => store.getStatus(['b', 'a'], '2026-11-21'), corrupt);
    assert.deepEqual(store.getStatus(['b'], '2026-11-21'), [
      { entryId: 'b', durationMs: 0, cooldownUntil: at('2030-01-01T00:00:00Z') },
    ]);
    store.saveSnapshot({ timestamp: at('2026-11-21T09:00:00Z') });
    assert.equal(store.health().snapshot.file.state, 'whole');
    // Setting or clearing it is how an operator mends it.
    store.setCooldownUntil('a', at('2026-11-21T10:00:00Z'));
    assert.deepEqual(store.getCooldownUntil('a'), at('2026-11-21T10:00:00Z'));
    store.clearCooldown('a');
    assert.deepEqual(store.listCooldowns(), [{ entryId: 'b', until: at('2030-01-01T00:00:00Z') }]);
  });
}

/** A store whose clock is set by the test, the time of day of one day or an instant. */
class Kiosk {
  readonly folder: TestFolder;
  readonly options: OpenOptions;
  store: SqliteStore;
  now = 0;

  constructor(t: TestContext, options: OpenOptions = {}) {
    this.folder = new TestFolder(t);
    this.options = { ...options, clock: () => new Date(this.now) };
    this.at('2026-11-21T09:00');
    this.store = this.folder.open(this.options);
  }

  /** Sets the clock, to a minute. */
  at(minute: string): this {
    this.now = Date.parse(`${minute}:00Z`);
    return this;
  }

  reopen(): this {
    this.store.close();
    this.store = this.folder.open(this.options);
    return this;
  }

  /** For how many more minutes the entry is blocked, as every method says; 0 where it is not. */
  minutesLeft(entryId = 'a'): number {
    const until = this.store.getCooldownUntil(entryId);
    assert.deepEqual(this.store.getStatus([entryId], '2026-11-21')[0]!.cooldownUntil, until);
    assert.deepEqual(this.store.listCooldowns().find((each) => each.entryId === entryId)?.until, until);
    return Math.max(0, ((until?.getTime() ?? 0) - this.now) / 60_000);
  }

  block(minutes: number, entryId = 'a'): void {
    this.store.setCooldownUntil(entryId, new Date(this.now + minutes * 60_000));
  }
}

test('a cooldown that a clock far ahead has set lasts no longer than it was set for, counted from when that was '
  + 'seen', (t) => {
  const kiosk = new Kiosk(t);
  kiosk.at('2036-05-01T10:00').block(10);
  assert.equal(kiosk.minutesLeft(), 10);
  assert.equal(kiosk.at('2036-05-01T10:04').minutesLeft(), 6);
  assert.equal(kiosk.at('2026-11-21T09:00').minutesLeft(), 10);
  assert.equal(kiosk.at('2026-11-21T09:07').minutesLeft(), 3);
  assert.equal(kiosk.at('2026-11-21T09:10').minutesLeft(), 0);
  assert.equal(kiosk.at('2029-01-01T00:00').minutesLeft(), 0);
});

test('a restart does not begin it anew, once anything was written', (t) => {
  const kiosk = new Kiosk(t);
  kiosk.at('2036-05-01T10:00').block(10);
  assert.equal(kiosk.at('2026-11-21T09:00').minutesLeft(), 10);
  kiosk.at('2026-11-21T09:06').store.appendAudit({ type: 'service_stopped' });
  assert.equal(kiosk.reopen().minutesLeft(), 4);
  assert.equal(kiosk.at('2026-11-22T09:00').reopen().minutesLeft(), 0);
});

test('it is as it was set again when the clock is right again, as after a start in 1970', (t) => {
  const kiosk = new Kiosk(t);
  kiosk.block(60);
  assert.equal(kiosk.at('1970-01-01T00:00').reopen().minutesLeft(), 60);
  kiosk.store.appendAudit({ type: 'service_started' });
  assert.equal(kiosk.at('1970-01-01T00:50').minutesLeft(), 10);
  assert.equal(kiosk.at('2026-11-21T09:30').minutesLeft(), 30);
  kiosk.store.appendAudit({ type: 'service_stopped' });
  // Behind once more: what is left counts from this start and not from the one before.
  assert.equal(kiosk.at('2026-11-20T00:00').reopen().minutesLeft(), 60);
  assert.equal(kiosk.at('2026-11-21T09:59').minutesLeft(), 1);
  assert.equal(kiosk.at('2026-11-21T10:00').minutesLeft(), 0);
});

test('a clock that is set back again and again is followed, and one that was over when it was set stays so', (t) => {
  const kiosk = new Kiosk(t);
  kiosk.at('2036-05-01T10:00').block(10);
  kiosk.block(0, 'b');
  assert.equal(kiosk.at('2026-11-21T09:00').minutesLeft(), 10);
  assert.equal(kiosk.at('2025-01-01T00:00').minutesLeft(), 10);
  assert.equal(kiosk.at('2025-01-01T00:04').minutesLeft(), 6);
  assert.equal(kiosk.minutesLeft('b'), 0);
});

test('one that is set or cleared anew forgets what its clock was', (t) => {
  const kiosk = new Kiosk(t);
  kiosk.at('2036-05-01T10:00').block(10);
  assert.equal(kiosk.at('2026-11-21T09:00').minutesLeft(), 10);
  kiosk.store.appendAudit({ type: 'service_started' });
  kiosk.at('2026-11-21T09:05').block(30);
  assert.equal(kiosk.at('2026-11-21T09:10').minutesLeft(), 25);
  assert.equal(kiosk.at('2026-11-21T09:00').minutesLeft(), 30);
  kiosk.store.clearCooldown('a');
  assert.equal(kiosk.minutesLeft(), 0);
});

test('one that another process has set anew meanwhile is a new one, also for a clock that was read before', (t) => {
  const kiosk = new Kiosk(t);
  const other = kiosk.folder.open(kiosk.options);
  kiosk.at('2036-05-01T10:00').block(10);
  assert.equal(kiosk.at('2026-11-21T09:00').minutesLeft(), 10);
  kiosk.at('2037-01-01T00:00');
  other.setCooldownUntil('a', at('2037-01-01T00:30:00Z'));
  assert.equal(kiosk.at('2026-11-21T09:20').minutesLeft(), 30);
});

test('a read writes nothing, and a read-only store says the same', (t) => {
  const kiosk = new Kiosk(t);
  kiosk.at('2036-05-01T10:00').block(10);
  kiosk.at('2026-11-21T09:00');
  const reader = kiosk.folder.closing(SqliteStore.openReadOnly(kiosk.folder.file(), kiosk.options));
  const rows = (): unknown[] => kiosk.folder.raw().prepare('SELECT * FROM cooldowns').all().map((row) => ({ ...row }));
  const before = rows();
  assert.equal(kiosk.minutesLeft(), 10);
  kiosk.at('2026-11-21T09:04');
  assert.equal(kiosk.minutesLeft(), 6);
  assert.deepEqual(rows(), before);
  kiosk.store.appendAudit({ type: 'service_started' });
  assert.deepEqual(rows(), [{ ...(before[0] as object), clock_behind_at: '2026-11-21T09:00:00.000Z' }]);
  assert.deepEqual(reader.getCooldownUntil('a'), at('2026-11-21T09:10:00Z'));
});

test('one whose time of setting is unknown ends when it says, and one that cannot be read is an error', (t) => {
  const kiosk = new Kiosk(t);
  kiosk.block(60);
  const raw = kiosk.folder.raw();
  raw.exec('UPDATE cooldowns SET set_at = NULL');
  assert.equal(kiosk.at('2026-11-20T10:00').minutesLeft(), 24 * 60);
  for (const column of ['set_at', 'clock_behind_at']) {
    for (const value of ["''", "'then'", '5', "'2026-02-30T00:00:00Z'"]) {
      raw.exec(`UPDATE cooldowns SET set_at = '2026-11-21T09:00:00Z', clock_behind_at = NULL; UPDATE cooldowns SET `
        + `${column} = ${value}`);
      assert.throws(() => kiosk.store.getCooldownUntil('a'), corrupt, `${column} = ${value}`);
      assert.throws(() => kiosk.store.getStatus(['a'], '2026-11-21'), corrupt);
      assert.throws(() => kiosk.store.listCooldowns(), corrupt);
    }
  }
  kiosk.block(1);
  assert.equal(kiosk.minutesLeft(), 1);
});

test('a database of the version before keeps its cooldowns as they are', (t) => {
  const kiosk = new Kiosk(t);
  kiosk.block(60);
  kiosk.store.close();
  SqliteStore.migrate(kiosk.folder.file(), 4, { force: true });
  assert.equal(kiosk.at('2026-11-20T10:00').reopen().minutesLeft(), 24 * 60);
  kiosk.block(5);
  assert.equal(kiosk.at('2026-11-19T10:00').minutesLeft(), 5);
});

test('a lost database gets back from the file when each cooldown was set', (t) => {
  const kiosk = new Kiosk(t, { recover: true });
  kiosk.at('2036-05-01T10:00').block(10);
  kiosk.block(20, 'b');
  kiosk.store.saveSnapshot({ timestamp: at('2026-11-21T09:00:00Z') });
  kiosk.store.close();
  rmSync(kiosk.folder.file());
  kiosk.at('2026-11-21T09:00').reopen();
  assert.deepEqual(kiosk.store.recovery!.restored, { usage: 0, cooldowns: 2, snapshot: true });
  assert.deepEqual([kiosk.minutesLeft(), kiosk.minutesLeft('b')], [10, 20]);
  assert.deepEqual([kiosk.at('2026-11-21T09:12').minutesLeft(), kiosk.minutesLeft('b')], [0, 8]);
});

test('of two cooldowns the one that lasts longer is healed, also under a clock that is behind both', (t) => {
  const kiosk = new Kiosk(t);
  kiosk.block(60);
  kiosk.store.saveSnapshot({ timestamp: at('2026-11-21T09:00:00Z') });
  kiosk.store.close();
  copyFileSync(kiosk.folder.file(), kiosk.folder.file('before.db'));
  kiosk.at('2026-11-21T09:30').reopen().block(60);
  kiosk.store.saveSnapshot({ timestamp: at('2026-11-21T09:30:00Z') });
  kiosk.store.close();
  renameSync(kiosk.folder.file('before.db'), kiosk.folder.file());
  assert.equal(kiosk.at('1970-01-01T00:00').reopen().minutesLeft(), 60);
  assert.equal(kiosk.store.recovery!.restored.cooldowns, 1);
  assert.equal(kiosk.at('2026-11-21T10:00').minutesLeft(), 30);
});
