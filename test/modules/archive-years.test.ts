// A kiosk that archives every night for longer than it keeps its log: see also `npm run bench -- --years`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestFolder } from '../support/folder.ts';
import { live } from '../support/years.ts';

const days = 70;
const keepDays = 20;

for (const withLedger of [false, true]) {
  const mode = withLedger ? 'with a ledger' : 'without a ledger';
  test(`a kiosk ${mode} that archives every night: its database stops growing, and all of it verifies`, async (t) => {
    const { path } = new TestFolder(t, { inMemory: true });
    const lived = await live({
      folder: path, withLedger, days, eventsADay: 120, keepDays, sessionsAnHour: 1, settledAt: 2 * keepDays,
      isVerified: (night) => night % 5 === 0,
    });
    t.diagnostic(JSON.stringify(lived));
    assert.ok(lived.largestBytes <= 1.2 * lived.settledBytes, `${lived.largestBytes} beside ${lived.settledBytes}`);
    assert.deepEqual([lived.archives, lived.checked], [days - keepDays, lived.events]);
    assert.ok(lived.carried < lived.archives / 4, `${lived.carried} events that carry over`);
  });
}
