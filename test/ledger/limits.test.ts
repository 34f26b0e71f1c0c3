// Limits and the events that changed them: whether both agree is compared for every row of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger, type StateDifference, verifyParity } from '../../lib/ledger/index.ts';
import { TestFolder } from '../support/folder.ts';
import { openBoth } from '../support/ledger.ts';

const day = '2026-11-21';

const changes: [sql: string, difference: StateDifference][] = [
  ["UPDATE overrides SET granted_ms = 5 WHERE subject = 'a'",
    { entryId: 'a', day, of: 'grantedMs', expected: 600, stored: 5 }],
  ["UPDATE overrides SET availability = 'allowed' WHERE subject = 'group:g'",
    { entryId: 'group:g', day, of: 'availability', expected: 'denied', stored: 'allowed' }],
  ["UPDATE overrides SET availability = NULL WHERE subject = 'group:g'",
    { entryId: 'group:g', day, of: 'availability', expected: 'denied', stored: undefined }],
  ["DELETE FROM overrides WHERE subject = 'a'",
    { entryId: 'a', day, of: 'grantedMs', expected: 600, stored: undefined }],
  [`INSERT INTO overrides VALUES ('b', '${day}', 7, NULL)`,
    { entryId: 'b', day, of: 'grantedMs', expected: undefined, stored: 7 }],
  ['UPDATE balances SET balance_ms = 301', { entryId: 'a', of: 'balanceMs', expected: 300, stored: 301 }],
  ['DELETE FROM balances', { entryId: 'a', of: 'balanceMs', expected: 300, stored: undefined }],
  ["INSERT INTO balances VALUES ('b', 1)", { entryId: 'b', of: 'balanceMs', expected: undefined, stored: 1 }],
  ['UPDATE usage SET carry_ms = carry_ms + 1', { entryId: 'a', day, expected: 4_000, stored: 4_001 }],
];

for (const [sql, difference] of changes) {
  test(`limits that the events do not account for are a difference: ${sql}`, async (t) => {
    const folder = new TestFolder(t);
    using store = openBoth(folder);
    store.grantTime({ subject: 'a', day, durationMs: 600 });
    store.setAvailability({ subject: 'group:g', day, availability: 'denied' });
    store.adjustBalance({ subject: 'a', durationMs: 500, capMs: 300 });
    store.addUsage('a', day, 5_000);
    store.correctUsage({ entryId: 'a', day, durationMs: -1_000, reason: 'r' });
    const compare = (): ReturnType<typeof verifyParity> => verifyParity(store, Ledger.open(folder.file('audit.jsonl')));
    assert.ok((await compare()).isConsistent);
    folder.raw().exec(sql);
    const { isConsistent, state } = await compare();
    assert.deepEqual([isConsistent, state], [false, [difference]]);
  });
}
