// What renderReport refuses, and what it throws.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import * as reports from '../../lib/modules/report/report.ts';
import { checkArity, codeOf } from '../support/refusals.ts';
import { TestFolder } from '../support/folder.ts';
import { badDays, badOptions, badTextLists, badTexts, given, throwing } from '../support/values.ts';

type Table = [name: string, value: unknown][];
const { renderReport } = reports;
const clock = (): Date => new Date('2026-11-21T12:00:00Z');
const badStores: Table = [['undefined', undefined], ['null', null], ['an object', {}], ['a path', '/tmp/a.db']];
const badFlags: Table = [['null', null], ['a number', 1], ['a text', 'true'], ['an object', {}]];
const badZones: Table = [
  ['null', null], ['empty', ''], ['unknown', 'Mars/Olympus'], ['a number', 1], ['an array', ['UTC']],
];

const rows: { name: string; bad: Table; call: (store: SqliteStore, value: never) => unknown }[] = [
  { name: 'store', bad: badStores, call: (_, store) => renderReport(store) },
  { name: 'options', bad: [...badOptions, ['throwing', throwing('from')]], call: renderReport },
  { name: 'options.from', bad: given(badDays), call: (store, from) => renderReport(store, { from }) },
  {
    name: 'options.from and the last day',
    bad: [['after it', '2026-11-22'], ['more than ten years before it', '2016-11-13'], ['the year 0', '0000-01-01']],
    call: (store, from) => renderReport(store, { from, to: '2026-11-21' }),
  },
  { name: 'options.to', bad: given(badDays), call: (store, to) => renderReport(store, { to }) },
  { name: 'options.entryIds', bad: given(badTextLists), call: (store, entryIds) => renderReport(store, { entryIds }) },
  {
    name: 'options.policy',
    bad: [...badOptions, ['no entries', {}], ['a bad quota', { entries: { a: { dailyMs: -1 } } }]],
    call: (store, policy) => renderReport(store, { policy }),
  },
  { name: 'options.title', bad: given(badTexts), call: (store, title) => renderReport(store, { title }) },
  { name: 'options.timeZone', bad: badZones, call: (store, timeZone) => renderReport(store, { timeZone }) },
  { name: 'options.signal', bad: badFlags, call: (store, signal) => renderReport(store, { signal }) },
];

for (const { name, bad, call } of rows) {
  test(`renderReport refuses a bad ${name}`, async () => {
    using store = SqliteStore.inMemory({ clock });
    for (const [what, value] of bad) {
      assert.equal(await codeOf(() => call(store, value as never)), 'ERR_STORE_INVALID_ARGUMENT', `${name}: ${what}`);
    }
  });
}

test('every public function of reports is in this table', () => {
  assert.deepEqual(Object.keys(reports), ['renderReport']);
  checkArity('renderReport', renderReport, rows);
});

test('a report of ten years is made, and an entry that there never was is none', async () => {
  using store = SqliteStore.inMemory({ clock });
  const tenYears = { from: '2016-11-14', to: '2026-11-21' };
  assert.equal(typeof await renderReport(store, { ...tenYears, entryIds: ['nobody'] }), 'string');
  assert.equal(typeof await renderReport(store, { entryIds: [], timeZone: '+01:00' }), 'string');
});

test('a closed store throws, and so does a signal that is aborted, with its own reason', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  for (let index = 0; index < 1_200; index++) store.appendAudit({ type: 'service_started' });
  const reason = new Error('enough');
  const same = (error: unknown): boolean => error === reason;
  await assert.rejects(renderReport(store, { signal: AbortSignal.abort(reason) }), same);
  const controller = new AbortController();
  const pending = renderReport(store, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(pending, same);
  store.close();
  assert.equal(await codeOf(() => renderReport(store)), 'ERR_STORE_CLOSED');
  const reader = SqliteStore.openReadOnly(folder.file());
  reader.close();
  assert.equal(await codeOf(() => renderReport(reader)), 'ERR_STORE_CLOSED');
});

test('a failing clock is no damage of the store', async () => {
  let isBroken = false;
  using store = SqliteStore.inMemory({ clock: () => isBroken ? new Date(NaN) : clock() });
  isBroken = true;
  assert.equal(await codeOf(() => renderReport(store)), 'ERR_STORE_INVALID_ARGUMENT');
});
