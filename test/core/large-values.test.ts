// What is too large is refused by its length, before any text is built of it: a process that runs out of memory is
// gone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxTextLength } from '../../lib/values/checks.ts';
import { checkJsonLength } from '../../lib/values/json.ts';
import { TestFolder } from '../support/folder.ts';
import { linesOf, openBoth } from '../support/ledger.ts';
import { run } from '../support/process.ts';

const modules = new URL('../../lib/', import.meta.url).href;

for (const mode of ['with a ledger', 'without one'] as const) {
  test(`texts of 300 million characters are refused by every method that takes one, again and again, ${mode}`, (t) => {
    const folder = new TestFolder(t);
    if (mode === 'with a ledger') openBoth(folder).close();
    const reported = run(folder.file(), `
      const { Ledger } = await import('${modules}ledger/index.ts');
      const { FactStore } = await import('${modules}modules/facts/facts.ts');
      const store = SqliteStore.open(path, ${mode === 'with a '
        + 'ledger'} ? { ledger: Ledger.open(path.replace('store.db', 'audit.jsonl')) } : {});
      const facts = new FactStore(store);
      for (let round = 0; round < 2; round++) {
        const text = 'x'.repeat(300e6);
        const part = text.slice(0, 100e6);
        const escaped = '\\u0001'.repeat(25e6);
        const day = '2026-11-21';
        const calls = [
          () => store.appendAudit({ type: 'launch_denied', entryId: 'a', reasons: [text] }),
          () => store.appendAudit({ type: 'launch_denied', entryId: 'a', reasons: [part, part] }),
          () => store.appendAudit({ type: 'launch_denied', entryId: 'a', reasons: [escaped] }),
          () => store.appendAudit({ type: text }),
          () => store.appendAudit({ type: 'x', [text]: 1 }),
          () => store.appendAudit({ type: 'service_started' }, { source: text }),
          () => store.appendAudit({ type: 'service_started' }, { tags: [part, part] }),
          () => store.addUsage(text, day, 1), () => store.setCooldownUntil(text, new Date(0)),
          () => store.clearCooldown(text), () => store.getUsage(text, day),
          () => store.getStatus([part, part], day),
          () => facts.upsertFact({ targetId: 'a', namespace: 'b', key: 'c', value: [text] }),
          () => store.grantTime({ subject: text, day, durationMs: 1 }),
          () => store.grantTime({ subject: 'a', day, durationMs: 1, id: part, source: part }),
          () => store.setAvailability({ subject: 'a', day, availability: 'denied', source: escaped }),
          () => store.adjustBalance({ subject: 'a', durationMs: 1, id: escaped }),
          () => store.correctUsage({ entryId: part, day, durationMs: 1, reason: part }),
          () => store.saveSnapshot({ timestamp: new Date(0), activeSession: { sessionId: text, entryId: 'a',
          startedAt: new Date(0), warningsIssued: [] } }),
        ];
        report(calls.map((call) => codeOf(call)));
      }
      store.appendAudit({ type: 'service_started' });
      report(store.isHealthy());
      store.close();`);
    assert.deepEqual(reported, [...Array(2).fill(Array(19).fill('ERR_STORE_INVALID_ARGUMENT')), true]);
  });
}

test('what a ledger cannot hold is refused before the row is inserted, with all of its group, and an event that '
  + 'fits is not', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const lines = linesOf(folder.file('audit.jsonl'));
  const denied = (reason: string): { event: { type: 'launch_denied'; entryId: string; reasons: string[] } } => ({
    event: { type: 'launch_denied', entryId: 'a', reasons: [reason] },
  });
  const tooLarge = [denied('x'.repeat(34e6)), denied('"'.repeat(9e6)), denied('\u00fc'.repeat(17e6))];
  for (const each of tooLarge)
    assert.throws(() => store.appendAudits([{ event: { type: 'service_started' } }, each]), {
      code: 'ERR_STORE_INVALID_ARGUMENT',
    });
  assert.throws(() => store.addUsage('x'.repeat(34e6), '2026-11-21', 1), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  assert.deepEqual(linesOf(folder.file('audit.jsonl')), lines);
  // Refused by the method and not by the commit: a transaction that heard of it goes on.
  store.transaction(() =>
    assert.throws(() => store.appendAudits([tooLarge[1]!]), { code: 'ERR_STORE_INVALID_ARGUMENT' }),
  );
  const grant = { subject: 'a', day: '2026-11-21', durationMs: 1, reason: 'x'.repeat(34e6) };
  store.transaction(() => assert.throws(() => store.grantTime(grant), { code: 'ERR_STORE_INVALID_ARGUMENT' }));
  store.appendAudits([denied('x'.repeat(30e6))]);
  assert.ok(store.isHealthy());
});

test('the length of JSON is known to a character without building it', () => {
  for (const [one, written] of [['x', 1], ['"', 2], ['\u0001', 6]] as const) {
    const fits = one.repeat(Math.floor((maxTextLength - 64) / written));
    checkJsonLength('value', { a: fits });
    assert.throws(() => checkJsonLength('value', { a: fits, b: one.repeat(Math.ceil(128 / written)) }), {
      code: 'ERR_STORE_INVALID_ARGUMENT',
      message: /^value is too large/,
    });
  }
});
