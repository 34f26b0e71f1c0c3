import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestFolder } from './support/folder.ts';

const corrupt = { code: 'ERR_STORE_CORRUPT' };
const at = (text: string): Date => new Date(text);

test('a cooldown is what was set last, earlier or later', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  assert.equal(store.getCooldownUntil('a'), undefined);
  for (const text of ['2026-11-21T10:00:00.001Z', '2030-01-01T00:00:00Z', '2026-11-21T09:00:00Z', '1970-01-01T00:00:00Z', '0000-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z']) {
    store.setCooldownUntil('a', at(text));
    assert.deepEqual(store.getCooldownUntil('a'), at(text));
  }
  store.close();
  assert.deepEqual(folder.open().getCooldownUntil('a'), at('9999-12-31T23:59:59.999Z'));
});

test('it is stored as ISO 8601 in UTC', (t) => {
  const folder = new TestFolder(t);
  folder.open().setCooldownUntil('a', at('2026-11-21T10:00:00+02:00'));
  assert.deepEqual({ ...folder.raw().prepare('SELECT * FROM cooldowns').get() }, { entry_id: 'a', until: '2026-11-21T08:00:00.000Z' });
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
  assert.deepEqual(list, [{ entryId: 'a', until: at('2030-01-01T00:00:00Z') }, { entryId: 'b', until: at('2026-11-21T09:00:00Z') }, { entryId: 'c', until: at('2001-01-01T00:00:00Z') }]);
  list[0]!.until.setTime(0);
  assert.deepEqual(store.getCooldownUntil('a'), at('2030-01-01T00:00:00Z'));
});

test('what another writer set is read in its own form', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  folder.raw().exec("INSERT INTO cooldowns VALUES ('a', '2026-11-21T10:00:00.123456789+02:00')");
  assert.deepEqual(store.getCooldownUntil('a'), at('2026-11-21T08:00:00.123Z'));
});

for (const until of ["''", "'soon'", "'2026-02-30T00:00:00Z'", "'2026-11-21'", "'2026-11-21T09:00:00'", "'1763715600'", '5', "x'00'", "'0000-01-01T00:00:00+01:00'"]) {
  test(`a damaged cooldown is an error and not the end of the cooldown: ${until}`, (t) => {
    const folder = new TestFolder(t);
    const store = folder.open();
    store.setCooldownUntil('b', at('2030-01-01T00:00:00Z'));
    folder.raw().exec(`INSERT INTO cooldowns VALUES ('a', ${until})`);
    assert.throws(() => store.getCooldownUntil('a'), corrupt);
    assert.throws(() => store.listCooldowns(), corrupt);
    assert.throws(() => store.getStatus(['b', 'a'], '2026-11-21'), corrupt);
    assert.deepEqual(store.getStatus(['b'], '2026-11-21'), [{ entryId: 'b', durationMs: 0, cooldownUntil: at('2030-01-01T00:00:00Z') }]);
    store.saveSnapshot({ timestamp: at('2026-11-21T09:00:00Z') });
    assert.equal(store.health().snapshot.file.state, 'whole');
    // Setting or clearing it is how an operator mends it.
    store.setCooldownUntil('a', at('2026-11-21T10:00:00Z'));
    assert.deepEqual(store.getCooldownUntil('a'), at('2026-11-21T10:00:00Z'));
    store.clearCooldown('a');
    assert.deepEqual(store.listCooldowns(), [{ entryId: 'b', until: at('2030-01-01T00:00:00Z') }]);
  });
}
