import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuditRow, decodeEvent, encodeEvent, encodeChecked } from '../../lib/core/events.ts';
import { type AuditAttributes, type CoreEvent, StoreError } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';

/** One of each type that a service records. */
const coreEvents: CoreEvent[] = [
  { type: 'service_started' },
  { type: 'service_stopped' },
  { type: 'policy_loaded', entryCount: 12 },
  { type: 'config_reloaded', success: false },
  {
    type: 'session_started',
    sessionId: 's1',
    entryId: 'minecraft',
    label: 'Minecraft 🎮',
    deadline: '2026-11-21T10:00:00.000Z',
  },
  {
    type: 'session_ended',
    sessionId: 's1',
    entryId: 'minecraft',
    reason: { type: 'process_exited', exitCode: 0 },
    durationMs: 90_500,
  },
  {
    type: 'session_ended',
    sessionId: 's2',
    entryId: 'minecraft',
    reason: { type: 'launch_failed', error: 'no such file' },
    durationMs: 0,
  },
  {
    type: 'session_ended',
    sessionId: 's3',
    entryId: 'minecraft',
    reason: { type: 'expired' },
    durationMs: Number.MAX_SAFE_INTEGER,
  },
  { type: 'warning_issued', sessionId: 's1', thresholdSecs: 60 },
  { type: 'launch_denied', entryId: 'minecraft', reasons: ['quota', 'cooldown'] },
];

const attributes: Required<Omit<AuditAttributes, 'policy' | 'breakGlass'>> = {
  eventId: 'e-1',
  observedAt: new Date('2026-11-20T23:59:59.999Z'),
  source: 'admin',
  target: 'minecraft',
  traceId: 't-1',
  tags: ['a', 'b', 'a'],
  ipAddress: '::1',
};

const damaged = { code: 'ERR_STORE_CORRUPT' };

test('every event of a service comes back equal, in this process and the next', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock: () => new Date('2026-11-21T09:00:00.123Z') });
  const expected = coreEvents.map((event, index) => ({
    id: index + 1,
    timestamp: new Date('2026-11-21T09:00:00.123Z'),
    event,
  }));
  assert.deepEqual(coreEvents.map((event) => store.appendAudit(event)), expected);
  store.close();
  assert.deepEqual(folder.open().getRecentAudits(50).reverse(), expected);
});

test('attributes come back beside the event: all, some or none', (t) => {
  const store = new TestFolder(t).open();
  const all = store.appendAudit({ type: 'service_started' }, attributes);
  assert.deepEqual(all, { id: 1, timestamp: all.timestamp, event: { type: 'service_started' }, ...attributes });
  const some = store.appendAudit({ type: 'service_started' }, { source: 'admin', tags: [] });
  assert.deepEqual(some, {
    id: 2,
    timestamp: some.timestamp,
    event: { type: 'service_started' },
    source: 'admin',
    tags: [],
  });
  const none = store.appendAudit({ type: 'service_started' }, {});
  assert.deepEqual(none, { id: 3, timestamp: none.timestamp, event: { type: 'service_started' } });
  assert.deepEqual(store.getRecentAudits(3), [none, some, all]);
});

test('undefined is absent: in an event, in its attributes, as the attributes', (t) => {
  const store = new TestFolder(t).open<{ type: string; a?: number | undefined; b: { c?: undefined } }>();
  const { timestamp, ...event } = store.appendAudit(
    { type: 'x', a: undefined, b: { c: undefined } },
    Object.fromEntries(Object.keys(attributes).map((name) => [name, undefined])),
  );
  assert.ok(timestamp instanceof Date);
  assert.deepEqual(event, { id: 1, event: { type: 'x', b: {} } });
  assert.ok(!('a' in event.event));
});

test('what is given back is a copy: changing it, or what was given, changes nothing', (t) => {
  const store = new TestFolder(t).open();
  const given = { type: 'launch_denied' as const, entryId: 'a', reasons: ['quota'] };
  const back = store.appendAudit(given);
  given.reasons.push('later');
  assert.deepEqual(back.event, { type: 'launch_denied', entryId: 'a', reasons: ['quota'] });
  back.timestamp.setTime(0);
  assert.notDeepEqual(store.getRecentAudits(1)[0]!.timestamp, new Date(0));
});

test('an event of a type that nobody here knows comes back as it was stored', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open<{ type: string; [field: string]: unknown }>();
  const events: { type: string; [field: string]: unknown }[] = [
    { type: 'door_opened', by: { name: 'Zoë', at: [1, 2.5] } },
    { type: 'constructor' },
    { type: '__proto__', toString: 'a' },
    { type: 'x', id: 7, timestamp: 'mine', event: { type: 'y' }, source: 'field' },
  ];
  for (const event of events) store.appendAudit(event);
  store.close();
  assert.deepEqual(folder.open().getRecentAudits(9).map(({ event }) => event).reverse(), events);
});

test('the types of the store itself are refused to others, and names like them are not', () => {
  for (const type of [
    'store_adopted',
    'store_recovered',
    'store_imported',
    'store_x',
    'usage_added',
    'cooldown_set',
    'cooldown_cleared',
    'signing_started',
  ]) {
    assert.throws(() => encodeEvent({ type }), { code: 'ERR_STORE_INVALID_ARGUMENT' }, type);
    assert.equal(encodeChecked({ type }).type, type);
  }
  for (const type of ['stored', 'usage_added_up', 'my_store_x', 'STORE_X', ' store_x'])
    assert.equal(encodeEvent({ type }).type, type);
});

test('the stored texts are the fields without the type, and null where there are no attributes', () => {
  assert.deepEqual(encodeEvent({ type: 'x', b: 1, a: 'ü' }), {
    type: 'x',
    data: '{"b":1,"a":"ü"}',
    meta: null,
    event: { type: 'x', b: 1, a: 'ü' },
  });
  assert.deepEqual(encodeEvent({ type: 'x' }, { tags: ['t'], source: 's', eventId: 'e', observedAt: new Date(0) }), {
    type: 'x',
    data: '{}',
    meta: '{"eventId":"e","source":"s","observedAt":"1970-01-01T00:00:00.000Z","tags":["t"]}',
    event: { type: 'x' },
  });
});

test('what is checked of an event is what is written, whatever a getter says next', () => {
  let asked = 0;
  const turning = { type: 'session_started', entryId: 'a', get sessionId() { return asked++ === 0 ? 'first' : 5; } };
  assert.equal(encodeEvent(turning).data, '{"entryId":"a","sessionId":"first"}');
  asked = 1;
  assert.throws(() => encodeEvent(turning), { code: 'ERR_STORE_INVALID_ARGUMENT' });
});

test('the column says what type an event is, whatever its fields say', () => {
  assert.deepEqual(decodeEvent([1, '2026-11-21T09:00:00Z', 'x', '{"type":"y","a":1}', null]).event, {
    type: 'x',
    a: 1,
  });
  assert.deepEqual(
    decodeEvent([1, '2026-11-21T09:00:00Z', 'x', '{"__proto__":{"type":"y"}}', null]).event,
    JSON.parse('{"type":"x","__proto__":{"type":"y"}}'),
  );
});

test('fields that are no object are kept under a name, and null is no fields', () => {
  const decode = (data: string): unknown => decodeEvent([1, '2026-11-21T09:00:00Z', 'x', data, null]).event;
  assert.deepEqual(decode('null'), { type: 'x' });
  assert.deepEqual(decode('[1]'), { type: 'x', data: [1] });
  assert.deepEqual(decode('"a"'), { type: 'x', data: 'a' });
  assert.deepEqual(decode('0'), { type: 'x', data: 0 });
});

test('a row that cannot be read is an error that names the row and the column', () => {
  const row: AuditRow = [7, '2026-11-21T09:00:00Z', 'x', '{}', null];
  const damages: [column: string, row: AuditRow][] = [
    ['timestamp', row.with(1, 'yesterday') as AuditRow],
    ['timestamp', row.with(1, '2026-02-30T09:00:00Z') as AuditRow],
    ['timestamp', row.with(1, '') as AuditRow],
    ['event_data', row.with(3, '{"a":') as AuditRow],
    ['event_data', row.with(3, '') as AuditRow],
    ['event_data', row.with(3, '{"a":NaN}') as AuditRow],
    ['event_meta', row.with(4, '{') as AuditRow],
    ['event_meta', row.with(4, '[]') as AuditRow],
    ['event_meta', row.with(4, 'null') as AuditRow],
    ['event_meta', row.with(4, '{"observedAt":"never"}') as AuditRow],
    ['event_meta', row.with(4, '{"observedAt":null}') as AuditRow],
    ['event_meta', row.with(4, '{"source":5}') as AuditRow],
    ['event_meta', row.with(4, '{"tags":"a"}') as AuditRow],
    ['event_meta', row.with(4, '{"tags":[5]}') as AuditRow],
  ];
  for (const [column, damage] of damages) {
    assert.throws(
      () => decodeEvent(damage),
      (error) =>
        error instanceof StoreError && error.code === 'ERR_STORE_CORRUPT' && error.message.includes(`row 7: ${column}`),
      String(damage),
    );
  }
});

test('one damaged row makes neither the others unreadable nor the log unwritable', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  for (let count = 0; count < 3; count++) store.appendAudit({ type: 'policy_loaded', entryCount: count });
  const db = folder.raw();
  db.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '{' WHERE id = 2");
  db.close();
  store.close();

  const again = folder.open();
  assert.throws(() => again.getRecentAudits(3), damaged);
  assert.equal(again.getRecentAudits(1)[0]?.id, 3);
  assert.equal(again.getRecentAudits(1, { beforeId: 2 })[0]?.id, 1);
  const walked: number[] = [];
  assert.throws(() => {
    for (const { id } of again.iterateAudits()) walked.push(id);
  }, damaged);
  assert.deepEqual(walked, [1]);
  assert.deepEqual([...again.iterateAudits({ fromId: 3 })].map(({ id }) => id), [3]);
  assert.equal(again.appendAudit({ type: 'service_started' }).id, 4);
  assert.throws(() => again.getRecentAudits(9, { sessionId: 's1' }), damaged); // it may be what was asked for
});
