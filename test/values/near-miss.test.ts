import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import { didYouMean, nearMisses } from '../../lib/values/near-miss.ts';

const commands = ['status', 'audit', 'runs', 'run', 'verify', 'rebuild-ledger', 'rebuild-database', 'backup', 'import'];
const options = ['clock', 'busyTimeoutMs', 'snapshotPath', 'recover', 'ledger'];

test('a name with a slip of the finger is known again: exchanged, missing, doubled and wrong letters', () => {
  const slips = {
    status: ['stauts', 'statu', 'tatus', 'statuss', 'stafus'],
    backup: ['bakcup', 'bakup'],
    verify: ['verfiy', 'vrify'],
    import: ['imprt'],
    runs: ['rnus'],
  };
  for (const [meant, typed] of Object.entries(slips)) {
    for (const given of typed) assert.deepEqual(nearMisses(given, commands), [meant], given);
  }
});

test('case, dashes, underscores and a missing unit make no other name', () => {
  for (const given of ['busyTimeout', 'busytimeoutms', 'busy_timeout_ms', '--busy-timeout-ms', 'BUSY']) {
    assert.deepEqual(nearMisses(given, options), ['busyTimeoutMs'], given);
  }
  for (const given of ['recovery', 'Recover', 'rec', '--recover']) {
    assert.deepEqual(nearMisses(given, options), ['recover'], given);
  }
});

test('the nearest is named, and where several are, each of them', () => {
  assert.deepEqual(nearMisses('rns', commands), ['runs']);
  assert.deepEqual(nearMisses('runz', commands), ['runs', 'run']);
  assert.deepEqual(nearMisses('rebuild', commands), ['rebuild-ledger', 'rebuild-database']);
  assert.equal(didYouMean('rebuild', commands), 'did you mean rebuild-ledger or rebuild-database?');
  assert.equal(didYouMean('stauts', commands), 'did you mean status?');
});

test('nothing is suggested for a name that is near to none, whatever it is made of', () => {
  for (const given of ['', '-', 'x', 'zz', 'frobnicate', '🎮', '\0', '__proto__', 'a'.repeat(1_000_000)]) {
    assert.equal(didYouMean(given, commands), undefined, given.slice(0, 20));
  }
  assert.equal(didYouMean('status', []), undefined);
});

test('a misspelled option is refused with the name that was meant, or else with all that there are', () => {
  using store = SqliteStore.inMemory();
  const refusals: [refused: () => unknown, message: string][] = [
    [() => SqliteStore.inMemory({ clocks: 5 } as object), "unknown option 'clocks'; did you mean clock?"],
    [() => SqliteStore.open('a.db', { wal: true } as object), `unknown option 'wal'; known are ${options.join(', ')}`],
    [() => store.getRecentAudits(1, { sessionID: '' } as object), "filter has no 'sessionID'; did you mean sessionId?"],
  ];
  for (const [refused, message] of refusals) assert.throws(refused, { code: 'ERR_STORE_INVALID_ARGUMENT', message });
});
