import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore } from '../lib/index.ts';
import { didYouMean, nearMisses } from '../lib/near-miss.ts';

const commands = ['status', 'audit', 'usage', 'runs', 'run', 'verify', 'rebuild-ledger', 'rebuild-database', 'backup', 'restore', 'import', 'migrate'];
const options = ['clock', 'monotonicMs', 'busyTimeoutMs', 'snapshotPath', 'recover', 'ledger'];

test('a name with a slip of the finger is known again: exchanged, missing, doubled and wrong letters', () => {
  for (const [given, meant] of [['stauts', 'status'], ['statu', 'status'], ['statuss', 'status'], ['stafus', 'status'], ['bakcup', 'backup'], ['verfiy', 'verify'], ['imprt', 'import'], ['rnus', 'runs']] as const) {
    assert.deepEqual(nearMisses(given, commands), [meant], given);
  }
});

test('case, dashes, underscores and a missing unit make no other name', () => {
  for (const given of ['busyTimeout', 'busytimeoutms', 'busy_timeout_ms', 'busy-timeout-ms', 'BUSY', 'busyTimeoutSecs']) assert.deepEqual(nearMisses(given, options), ['busyTimeoutMs'], given);
  for (const given of ['recovery', 'Recover', 'recovr', '--recover']) assert.deepEqual(nearMisses(given, options), ['recover'], given);
});

test('the nearest is named, and where several are, each of them', () => {
  assert.deepEqual(nearMisses('rns', commands), ['runs']);
  assert.deepEqual(nearMisses('runz', commands), ['runs', 'run']);
  assert.deepEqual(nearMisses('rebuild', commands), ['rebuild-ledger', 'rebuild-database']);
  assert.equal(didYouMean('rebuild', commands), 'did you mean rebuild-ledger or rebuild-database?');
  assert.equal(didYouMean('stauts', commands), 'did you mean status?');
});

test('nothing is suggested for a name that is near to none, whatever it is made of', () => {
  for (const given of ['', '-', 'x', 'zz', 'frobnicate', '🎮', '\0', '__proto__', 'a'.repeat(1_000_000)]) assert.equal(didYouMean(given, commands), undefined, given.slice(0, 20));
  assert.equal(didYouMean('status', []), undefined);
});

test('a misspelled option is refused with the name that was meant, or else with all that there are', () => {
  const refusal = (open: () => unknown): string => {
    let message = '';
    assert.throws(open, (error: { code: string; message: string }) => {
      ({ message } = error);
      return error.code === 'ERR_STORE_INVALID_ARGUMENT';
    });
    return message;
  };
  assert.equal(refusal(() => SqliteStore.open('a.db', { busyTimeout: 5 } as object)), "unknown option 'busyTimeout'; did you mean busyTimeoutMs?");
  assert.equal(refusal(() => SqliteStore.open('a.db', { wal: true } as object)), `unknown option 'wal'; known are ${options.join(', ')}`);
  using store = SqliteStore.inMemory();
  assert.equal(refusal(() => store.getRecentAudits(1, { sessionID: 'a' } as object)), "filter has no 'sessionID'; did you mean sessionId?");
});
