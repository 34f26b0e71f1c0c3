import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestFolder } from './support/folder.ts';

test('what was written is there after closing and opening again', (t) => {
  const folder = new TestFolder(t);
  const first = folder.open();
  first.appendAudit({ type: 'session_started', sessionId: 's1', entryId: 'minecraft' });
  assert.equal(first.addUsage('minecraft', '2026-11-21', 90_500), 90_500);
  first.setCooldownUntil('minecraft', new Date('2026-11-21T10:00:00Z'));
  first.saveSnapshot({ timestamp: new Date('2026-11-21T09:00:00Z') });
  first.close();

  const again = folder.open();
  assert.deepEqual(again.getRecentAudits(5).map(({ id, event }) => ({ id, event })), [
    { id: 1, event: { type: 'session_started', sessionId: 's1', entryId: 'minecraft' } },
  ]);
  assert.equal(again.getUsage('minecraft', '2026-11-21'), 90_500);
  assert.deepEqual(again.getCooldownUntil('minecraft'), new Date('2026-11-21T10:00:00Z'));
  assert.deepEqual(again.loadSnapshot(), { timestamp: new Date('2026-11-21T09:00:00Z') });
  assert.equal(again.recovery, undefined);
});
