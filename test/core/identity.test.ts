// The UUID of a store in transactions that give it another one, whatever becomes of them.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { encodeChecked, type StoreEvent } from '../../lib/core/events.ts';
import type { SqliteStore } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';
import { TestFolder } from '../support/folder.ts';

/** Gives the store another UUID, inside a transaction, as a renewal does. */
function renew(store: SqliteStore): string {
  const to = randomUUID();
  const { appendAudit, parts: { log } } = connect(store);
  const event: StoreEvent = { type: 'store_identity_renewed', from: log.uuid, to };
  log.takeIdentity(to, appendAudit(encodeChecked(event)));
  return to;
}

/** The UUID as the open store and its database have it. */
function uuids(store: SqliteStore): unknown[] {
  const door = connect(store);
  return [door.uuid, ...door.get<[string]>('SELECT uuid FROM store_meta WHERE id = 1')!];
}

function fail(): never {
  throw new Error('that fails');
}

test('a renewal that is undone gives back the UUID before, and one that commits stays', (t) => {
  const store = new TestFolder(t).open();
  const before = connect(store).uuid;
  assert.throws(() => store.transaction(() => [renew(store), fail()]), { message: 'that fails' });
  assert.deepEqual(uuids(store), [before, before]);
  const to = store.transaction(() => renew(store));
  assert.deepEqual(uuids(store), [to, to]);
  assert.throws(() => store.transaction(fail), { message: 'that fails' });
  assert.deepEqual(uuids(store), [to, to]);
});

test('what is undone of a transaction behind a renewal leaves the new UUID, and an undone part the one before', (t) => {
  const store = new TestFolder(t).open();
  const before = connect(store).uuid;
  const to = store.transaction(() => {
    const renewed = renew(store);
    assert.throws(() => store.transaction(fail), { message: 'that fails' });
    assert.equal(connect(store).uuid, renewed);
    return renewed;
  });
  assert.deepEqual(uuids(store), [to, to]);
  assert.notEqual(to, before);
  store.transaction(() => {
    assert.throws(() => store.transaction(() => [renew(store), fail()]), { message: 'that fails' });
    store.appendAudit({ type: 'service_started' });
  });
  assert.deepEqual(uuids(store), [to, to]);
});
