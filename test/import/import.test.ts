import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { type ImportReport, importStore } from '../../lib/import/index.ts';
import type { JsonValue, SqliteStore } from '../../lib/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { TestFolder } from '../support/folder.ts';
import { change, dump, makeSource, serviceReading } from '../support/shepherdd.ts';

const none = { events: 0, usage: 0, cooldowns: 0, snapshots: 0 };
const all = { events: 24, usage: 9, cooldowns: 2, snapshots: 1 };

/** An import of the fixture, changed by `sql`, into the folder's store. */
async function importFixture(
  t: TestContext,
  sql = '',
): Promise<{ folder: TestFolder; source: string; report: ImportReport; store: SqliteStore }> {
  const folder = new TestFolder(t);
  const source = makeSource(folder, sql);
  const report = await importStore(source, folder.file());
  return { folder, source, report, store: folder.open() };
}

type AnyEvent = { type: string; [field: string]: JsonValue };

/** The source's events as the store gives them. */
function imported(store: SqliteStore): { id: number; timestamp: string; event: AnyEvent }[] {
  const events = Array.from(store.iterateAudits(), ({ id, timestamp, event }) => ({
    id,
    timestamp: timestamp.toISOString(),
    event: event as unknown as AnyEvent,
  }));
  return events.filter(({ event }) => !event.type.startsWith('store_'));
}

function eventsOf(store: SqliteStore, type: string): AnyEvent[] {
  return imported(store).flatMap(({ event }) => (event.type === type ? [event] : []));
}

const addEvent = (json: string, timestamp = '2026-03-15T10:00:00Z'): string =>
  `INSERT INTO audit_log (timestamp, event_json) VALUES ('${timestamp}', '${json}');`;

test('every event of the service is there, in its order, of its type and at its instant', async (t) => {
  const { report, store } = await importFixture(t);
  assert.deepEqual(report, { kind: 'shepherdd', taken: all, alreadyThere: none, skipped: [] });
  const read = serviceReading().audits.reverse();
  assert.deepEqual(
    imported(store).map(({ id, timestamp, event }) => [id, timestamp, event.type]),
    read.map(({ id, timestamp, event }) => [id, new Date(timestamp).toISOString(), event.type]),
  );
  assert.ok((await store.verifyAudit()).ok);
});

test('the eight known events get the names and units of this project, and an absent option is absent', async (t) => {
  const { store } = await importFixture(t);
  const id = (n: string): string => `000000${n}-0000-4000-8000-0000000000${n}`;
  const events = imported(store).map(({ event }) => event);
  assert.deepEqual(events[0], { type: 'service_started' });
  assert.deepEqual(events[1], { type: 'policy_loaded', entryCount: 3 });
  assert.deepEqual(events[4], {
    type: 'session_started',
    sessionId: id('01'),
    entryId: 'minecraft',
    label: 'Minecraft',
    deadline: '2026-03-14T16:09:26.123Z',
  });
  assert.deepEqual(events[5], {
    type: 'session_started', sessionId: id('02'), entryId: 'käse-日本語', label: 'Käse 日本語',
  });
  assert.deepEqual(events[6], {
    type: 'session_started',
    sessionId: id('03'),
    entryId: 'tux-math',
    label: 'Tux "Math" \\ \t🐧\n\0end',
    deadline: '2026-03-14T15:09:26.000Z',
  });
  assert.deepEqual(events[7], { type: 'warning_issued', sessionId: id('01'), thresholdSecs: 300 });
  assert.deepEqual(events[10], { type: 'launch_denied', entryId: 'minecraft', reasons: [] });
  assert.deepEqual(events[12], { type: 'config_reloaded', success: false });
  assert.deepEqual(events[23], { type: 'service_stopped' });
  assert.deepEqual(
    eventsOf(store, 'session_ended').map(({ reason, durationMs }) => [reason, durationMs]),
    [
      [{ type: 'expired' }, 1_800_000],
      [{ type: 'user_stop' }, 1_801_500],
      [{ type: 'admin_stop' }, 1_802_123],
      [{ type: 'process_exited', exitCode: 0 }, 1_803_000],
      [{ type: 'process_exited', exitCode: -15 }, 1_804_500],
      [{ type: 'process_exited' }, 1_805_123],
      [{ type: 'policy_stop' }, 1_806_000],
      [{ type: 'service_shutdown' }, 1_807_500],
      [{ type: 'launch_failed', error: 'spawn failed: Datei "käse" nicht gefunden (os error 2)' }, 1_808_123],
    ],
  );
});

test('other events are what the service reads, field by field', async (t) => {
  const { store } = await importFixture(t);
  const read = serviceReading().audits.reverse().filter(({ event }) => /^(client|session_extended)/.test(event.type));
  const kept = imported(store).filter(({ event }) => /^(client|session_extended)/.test(event.type));
  assert.equal(kept.length, 4);
  assert.deepEqual(kept.map(({ event }) => event), read.map(({ event }) => event));
});

test('usage, cooldowns and the running session are what the service reads', async (t) => {
  const { store } = await importFixture(t);
  const read = serviceReading();
  for (const { entry_id, day, secs } of read.usage) assert.equal(store.getUsage(entry_id, day), secs * 1000);
  assert.equal(store.getUsageRange('minecraft', '0000-01-01', '9999-12-31').length, 3);
  for (const { entry_id, until } of read.cooldowns)
    assert.deepEqual(store.getCooldownUntil(entry_id), until === null ? undefined : new Date(until));
  const session = read.snapshot.active_session;
  assert.deepEqual(store.loadSnapshot(), {
    timestamp: new Date(read.snapshot.timestamp),
    activeSession: {
      sessionId: session['session_id'],
      entryId: session['entry_id'],
      startedAt: new Date(String(session['started_at'])),
      deadline: new Date(String(session['deadline'])),
      warningsIssued: session['warnings_issued'],
    },
  });
});

test('the log keeps the text that the source has for each time', async (t) => {
  const { folder, source } = await importFixture(t);
  using from = new DatabaseSync(source);
  const texts = from.prepare('SELECT timestamp FROM audit_log ORDER BY id').all().map(({ timestamp }) => timestamp);
  const meta = folder
    .raw()
    .prepare('SELECT event_meta FROM audit_log ORDER BY id LIMIT 24')
    .all()
    .map((row) => JSON.parse(String(row['event_meta'])) as Record<string, unknown>);
  assert.deepEqual(meta.map(({ sourceTimestamp }) => sourceTimestamp), texts);
  assert.equal(meta[4]!['sourceDeadline'], '2026-03-14T16:09:26.123456789Z');
  assert.deepEqual(meta[15]!['sourceDuration'], { secs: 1802, nanos: 123456789 });
});

test('an instant with an offset is the same instant in UTC', async (t) => {
  const { store, report } = await importFixture(
    t,
    addEvent(
      '{"type":"session_started","session_id":"s","entry_id":"e","deadline":"2026-03-16T00:30:00.9999+02:00"}',
      '2026-03-15T23:30:00.123456+02:00',
    ),
  );
  assert.deepEqual(report.skipped, []);
  assert.deepEqual(imported(store).at(-1), {
    id: 25,
    timestamp: '2026-03-15T21:30:00.123Z',
    event: { type: 'session_started', sessionId: 's', entryId: 'e', deadline: '2026-03-15T22:30:00.999Z' },
  });
});

test('the fields of an unknown event are the very text of a source, even where JavaScript would differ', async (t) => {
  const json =
    '{"big":9007199254740993,"one":1.0,"zero":-0.0, "2":[ {"type":"inner"}, "a,}\\\\\\"{" ] , ' +
    '"type" : "later_event","1":"\\u00e4","duration":{"secs":1,"nanos":0}}';
  const { folder, report } = await importFixture(t, addEvent(json));
  assert.deepEqual(report.skipped, []);
  const row = folder
    .raw()
    .prepare("SELECT event_type, event_data FROM audit_log WHERE event_type = 'later_event'")
    .get();
  assert.equal(
    row?.['event_data'],
    '{"big":9007199254740993,"one":1.0,"zero":-0.0,"2":[ {"type":"inner"}, "a,}\\\\\\"{" ],' +
      '"1":"\\u00e4","duration":{"secs":1,"nanos":0}}',
  );
});

test('a field that a later version added to a known event stays, and so does an added reason to end', async (t) => {
  const { store, report } = await importFixture(
    t,
    addEvent(
      '{"type":"session_ended","session_id":"s","entry_id":"e","reason":{"type":"tokens_spent","left":0},' +
        '"duration":{"secs":1,"nanos":999999},"token_cost":1.5}',
    ),
  );
  assert.deepEqual(report.skipped, []);
  assert.deepEqual(imported(store).at(-1)!.event, {
    type: 'session_ended',
    sessionId: 's',
    entryId: 'e',
    reason: { type: 'tokens_spent', left: 0 },
    durationMs: 1000,
    token_cost: 1.5,
  });
});

test('what was taken is recorded in one event', async (t) => {
  const { store, source } = await importFixture(t, addEvent('no JSON'));
  const { sourceId, ...event } = store.getRecentAudits(1)[0]!.event as unknown as AnyEvent;
  assert.match(String(sourceId), /^[0-9a-f]{32}$/);
  assert.deepEqual(event, { type: 'store_imported', kind: 'shepherdd', from: source, ...all, skipped: 1 });
});

const badEvents: [why: string, json: string, timestamp?: string][] = [
  ['no JSON', '{"type":"service_started"'],
  ['no object', '["service_started"]'],
  ['no type', '{"success":true}'],
  ['a type that is no text', '{"type":5}'],
  ['an empty type', '{"type":""}'],
  ['two types', '{"type":"a","type":"b"}'],
  ['a name twice', '{"type":"a","x":1,"x":2}'],
  ['a type of the store itself', '{"type":"store_adopted","upToId":5}'],
  ['a type that the ledger replays', '{"type":"usage_added","entryId":"e"}'],
  ['a number that is none here', '{"type":"a","x":1e400}'],
  ['no duration', '{"type":"session_ended","session_id":"s","entry_id":"e","reason":{"type":"expired"}}'],
  [
    'a negative duration',
    '{"type":"session_ended","session_id":"s","entry_id":"e","reason":{"type":"expired"},' +
      '"duration":{"secs":-1,"nanos":0}}',
  ],
  [
    'a duration of fractions',
    '{"type":"session_ended","session_id":"s","entry_id":"e","reason":{"type":"expired"},' +
      '"duration":{"secs":1,"nanos":1000000000}}',
  ],
  [
    'a duration beyond 2^53 ms',
    '{"type":"session_ended","session_id":"s","entry_id":"e","reason":{"type":"expired"},' +
      '"duration":{"secs":9007199254741,"nanos":0}}',
  ],
  [
    'a reason without a type',
    '{"type":"session_ended","session_id":"s","entry_id":"e","reason":"expired","duration":{"secs":1,"nanos":0}}',
  ],
  [
    'a reason whose type is missing',
    '{"type":"session_ended","session_id":"s","entry_id":"e","reason":{},"duration":{"secs":1,"nanos":0}}',
  ],
  [
    'a failed launch without its error',
    '{"type":"session_ended","session_id":"s","entry_id":"e","reason":{"type":"launch_failed"},' +
      '"duration":{"secs":1,"nanos":0}}',
  ],
  [
    'an exit code that is a text',
    '{"type":"session_ended","session_id":"s","entry_id":"e","reason":{"type":"process_exited","exit_code":"0"},' +
      '"duration":{"secs":1,"nanos":0}}',
  ],
  ['no session', '{"type":"warning_issued","threshold_seconds":5}'],
  ['an entry id with NUL', '{"type":"launch_denied","entry_id":"a\\u0000b","reasons":[]}'],
  ['reasons that are no texts', '{"type":"launch_denied","entry_id":"e","reasons":[1]}'],
  ['a success that is a number', '{"type":"config_reloaded","success":1}'],
  ['a count of a fraction', '{"type":"policy_loaded","entry_count":1.5}'],
  ['a deadline that is none', '{"type":"session_started","session_id":"s","entry_id":"e","deadline":"soon"}'],
  ['one meaning twice', '{"type":"warning_issued","session_id":"s","threshold_seconds":5,"thresholdSecs":6}'],
  ['a time that is none', '{"type":"service_started"}', 'now'],
  ['February 30th', '{"type":"service_started"}', '2026-02-30T00:00:00Z'],
  ['a time beyond the years that there are', '{"type":"service_started"}', '+12026-01-01T00:00:00+00:00'],
];

for (const [why, json, timestamp] of badEvents) {
  test(`an event with ${why} is listed, and those around it are taken`, async (t) => {
    const { report, store } = await importFixture(t, addEvent(json, timestamp) + addEvent('{"type":"after"}'));
    assert.deepEqual(report.skipped.map(({ table, row }) => [table, row]), [['audit_log', '25']]);
    assert.notEqual(report.skipped[0]!.reason, '');
    assert.deepEqual(report.taken, { ...all, events: 25 });
    assert.equal(imported(store).at(-1)!.event.type, 'after');
  });
}

const badRows: [why: string, sql: string, table: string, row: string][] = [
  [
    'a log row that is bytes',
    `INSERT INTO audit_log (timestamp, event_json) VALUES ('2026-03-15T10:00:00Z', CAST('{"type":"a"}' AS BLOB))`,
    'audit_log',
    '25',
  ],
  ['negative usage', `INSERT INTO usage VALUES ('e', '2026-03-14', -1)`, 'usage', 'e 2026-03-14'],
  ['usage of a fraction', `INSERT INTO usage VALUES ('e', '2026-03-14', 1.5)`, 'usage', 'e 2026-03-14'],
  ['usage that is a text', `INSERT INTO usage VALUES ('e', '2026-03-14', 'much')`, 'usage', 'e 2026-03-14'],
  ['usage beyond 2^53 ms', `INSERT INTO usage VALUES ('e', '2026-03-14', 9007199254741)`, 'usage', 'e 2026-03-14'],
  ['usage beyond 2^53', `INSERT INTO usage VALUES ('e', '2026-03-14', 9223372036854775807)`, 'usage', 'e 2026-03-14'],
  ['usage on no day', `INSERT INTO usage VALUES ('e', '2026-02-30', 1)`, 'usage', 'e 2026-02-30'],
  [
    'usage of an entry with NUL',
    `INSERT INTO usage VALUES (CAST(x'6d696e656372616674007a' AS TEXT), '2026-03-14', 1)`,
    'usage',
    'minecraft\\u0000z 2026-03-14',
  ],
  [
    'usage of an entry that is no UTF-8',
    `INSERT INTO usage VALUES (CAST(x'80' AS TEXT), '2026-03-14', 1)`,
    'usage',
    '\ufffd 2026-03-14',
  ],
  ['usage of no entry', `INSERT INTO usage VALUES ('', '2026-03-14', 1)`, 'usage', ' 2026-03-14'],
  [
    'a cooldown of an entry with NUL',
    `INSERT INTO cooldowns VALUES (CAST(x'6d696e656372616674007a' AS TEXT), '2026-03-14T15:19:28Z')`,
    'cooldowns',
    'minecraft\\u0000z',
  ],
  ['a cooldown without an end', `INSERT INTO cooldowns VALUES ('e', 'later')`, 'cooldowns', 'e'],
  ['a cooldown of nothing', `INSERT INTO cooldowns VALUES (NULL, '2026-03-14T15:19:28Z')`, 'cooldowns', 'null'],
];

for (const [why, sql, table, row] of badRows) {
  test(`${why} is listed, and everything else is taken`, async (t) => {
    const { report } = await importFixture(t, sql);
    assert.deepEqual(report.skipped.map((skipped) => [skipped.table, skipped.row]), [[table, row]]);
    assert.deepEqual(report.taken, all);
  });
}

test('a snapshot that cannot be read is listed, and everything else is taken', async (t) => {
  const { report, store } = await importFixture(
    t,
    `UPDATE snapshot SET snapshot_json = '{"timestamp":"now","active_session":null}'`,
  );
  assert.deepEqual(report.skipped.map(({ table, row }) => [table, row]), [['snapshot', '1']]);
  assert.deepEqual(report.taken, { ...all, snapshots: 0 });
  assert.equal(store.loadSnapshot(), undefined);
});

test('a snapshot without a session is a state without one', async (t) => {
  const { store } = await importFixture(
    t,
    `UPDATE snapshot SET snapshot_json = '{"timestamp":"2026-03-14T15:09:29Z","active_session":null}'`,
  );
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date('2026-03-14T15:09:29Z') });
});

test('what later versions of the service have beside it is listed row by row, without its values', async (t) => {
  const { report } = await importFixture(t, `
    CREATE TABLE token_balances (entry_id TEXT PRIMARY KEY, secs INTEGER);
    INSERT INTO token_balances VALUES ('minecraft', 5), ('tux-math', 6);
    CREATE TABLE daily_overrides (entry_id TEXT, day TEXT, secs INTEGER, PRIMARY KEY (day, entry_id)) WITHOUT ROWID;
    INSERT INTO daily_overrides VALUES ('minecraft', '2026-03-14', 5);
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT); INSERT INTO settings VALUES ('pin', 'secret-4711');
    CREATE TABLE later (a, b); INSERT INTO later VALUES (1, 'x'); CREATE TABLE empty (a);
    ALTER TABLE usage ADD COLUMN source TEXT; UPDATE usage SET source = 'x' WHERE day = '2026-03-14';
    ALTER TABLE cooldowns ADD COLUMN unused TEXT;`);
  assert.deepEqual(
    report.skipped.map(({ table, row }) => [table, row]),
    [
      ['daily_overrides', '2026-03-14 minecraft'],
      ['later', '1 x'],
      ['settings', 'pin'],
      ['token_balances', 'minecraft'],
      ['token_balances', 'tux-math'],
      ['usage', 'column source'],
    ],
  );
  assert.ok(!JSON.stringify(report).includes('secret-4711'));
  assert.deepEqual(report.taken, all);
});

test('a second import adds nothing at all, also where there are rows that cannot be taken', async (t) => {
  const { folder, source, store, report } = await importFixture(t, addEvent('no JSON'));
  store.close();
  const before = [dump(folder.file()), readFileSync(folder.file('store.snapshot.json'), 'utf8')];
  const again = await importStore(source, folder.file());
  assert.deepEqual(again, { ...report, taken: none, alreadyThere: all });
  assert.deepEqual([dump(folder.file()), readFileSync(folder.file('store.snapshot.json'), 'utf8')], before);
});

test('a copy of the source under another name is the same source', async (t) => {
  const { folder, source } = await importFixture(t);
  copyFileSync(source, folder.file('copy.db'));
  assert.deepEqual((await importStore(folder.file('copy.db'), folder.file())).taken, none);
});

test('a source that has grown brings what is new, beside what the store has counted itself', async (t) => {
  const { folder, source, store } = await importFixture(t);
  store.addUsage('minecraft', '2026-03-14', 10_500);
  store.appendAudit({ type: 'service_started' });
  store.setCooldownUntil('käse-日本語', new Date('2026-03-14T18:00:00Z'));
  change(
    source,
    `UPDATE usage SET duration_secs = duration_secs + 100 WHERE entry_id = 'minecraft' AND day = '2026-03-14';
    INSERT INTO usage VALUES ('minecraft', '2026-03-15', 60);
    UPDATE cooldowns SET until = '2026-03-14T17:00:00Z';
    UPDATE snapshot SET snapshot_json = '{"timestamp":"2026-03-15T15:00:00Z","active_session":null}';
    ${addEvent('{"type":"service_stopped"}')}`,
  );
  const report = await importStore(source, folder.file());
  assert.deepEqual(
    [report.taken, report.alreadyThere],
    [
      { events: 1, usage: 2, cooldowns: 1, snapshots: 1 },
      { events: 24, usage: 8, cooldowns: 1, snapshots: 0 },
    ],
  );
  assert.equal(store.getUsage('minecraft', '2026-03-14'), 1_013_500);
  assert.equal(store.getUsage('minecraft', '2026-03-15'), 60_000);
  assert.deepEqual(store.getCooldownUntil('minecraft'), new Date('2026-03-14T17:00:00Z'));
  assert.deepEqual(store.getCooldownUntil('käse-日本語'), new Date('2026-03-14T18:00:00Z'));
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date('2026-03-15T15:00:00Z') });
  // And once more: the first difference is part of what is known then.
  change(
    source,
    `UPDATE usage SET duration_secs = duration_secs + 1 WHERE entry_id = 'minecraft' AND day = '2026-03-14'`,
  );
  assert.deepEqual((await importStore(source, folder.file())).taken, { ...none, usage: 1 });
  assert.equal(store.getUsage('minecraft', '2026-03-14'), 1_014_500);
});

test('usage that has shrunk in the source takes nothing away, and counts again from where it was', async (t) => {
  const { folder, source, store } = await importFixture(t);
  const set = (secs: number): void =>
    change(source, `UPDATE usage SET duration_secs = ${secs} WHERE entry_id = 'minecraft' AND day = '2026-03-14'`);
  set(500);
  assert.deepEqual(await importStore(source, folder.file()), {
    kind: 'shepherdd',
    taken: none,
    alreadyThere: all,
    skipped: [],
  });
  set(904);
  await importStore(source, folder.file());
  assert.equal(store.getUsage('minecraft', '2026-03-14'), 904_000);
});

test('what was taken is known however much it was: more totals than one event records', async (t) => {
  const sql = `
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
    INSERT INTO usage SELECT 'e' || i, '2026-03-15', i FROM n`;
  const { folder, source, store } = await importFixture(t, sql);
  assert.equal(store.getRecentAudits(9, { type: 'store_import_taken' }).length, 3);
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
  change(source, `
    UPDATE usage SET duration_secs = duration_secs + 1
    WHERE entry_id IN ('minecraft', 'e1', 'e600', 'e1200') AND day IN ('2026-03-12', '2026-03-15')`);
  assert.deepEqual((await importStore(source, folder.file())).taken, { ...none, usage: 4 });
  assert.deepEqual(
    ['e1', 'e600', 'e1200'].map((entryId) => store.getUsage(entryId, '2026-03-15')),
    [2_000, 601_000, 1_201_000],
  );
});

test('a cooldown that was cleared, and a state that was replaced, do not come back with the next import', async (t) => {
  const { folder, source, store } = await importFixture(t);
  store.clearCooldown('minecraft');
  store.saveSnapshot({ timestamp: new Date('1970-01-01T00:00:05Z') }); // a clock that has lost its time
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
  assert.equal(store.getCooldownUntil('minecraft'), undefined);
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date('1970-01-01T00:00:05Z') });
});

test('two sources go into one store, each with its own totals', async (t) => {
  const { folder, store } = await importFixture(t);
  const other = makeSource(
    folder,
    `UPDATE audit_log SET timestamp = replace(timestamp, '2026-03-14', '2026-03-13')`,
    'other.db',
  );
  const report = await importStore(other, folder.file());
  assert.deepEqual(report.taken, { ...all, cooldowns: 0, snapshots: 0 });
  assert.equal(store.getUsage('minecraft', '2026-03-14'), 1_806_000);
  assert.equal(imported(store).length, 48);
});

test('a store that has data of its own keeps it, and its events stay in front', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit(
    { type: 'session_started', sessionId: '00000001-0000-4000-8000-000000000001', entryId: 'own' },
    { eventId: 'session_started:00000001-0000-4000-8000-000000000001' },
  );
  store.addUsage('minecraft', '2026-03-14', 250);
  store.setCooldownUntil('minecraft', new Date('2026-03-14T16:00:00Z'));
  store.setCooldownUntil('käse-日本語', new Date('2026-03-14T10:00:00Z'));
  store.saveSnapshot({ timestamp: new Date('2026-03-15T00:00:00Z') });
  const source = makeSource(folder);
  const report = await importStore(source, folder.file());
  assert.deepEqual(
    [report.taken, report.alreadyThere],
    [
      { ...all, cooldowns: 1, snapshots: 0 },
      { ...none, cooldowns: 1 },
    ],
  );
  assert.deepEqual(
    report.skipped.map(({ table, row }) => [table, row]),
    [['snapshot', '1']],
  ); // its session has not ended
  assert.deepEqual(
    imported(store).map(({ id }) => id),
    Array.from({ length: 25 }, (_, index) => index + 1),
  );
  assert.deepEqual(imported(store)[0]!.event, {
    type: 'session_started',
    sessionId: '00000001-0000-4000-8000-000000000001',
    entryId: 'own',
  });
  assert.equal(store.getUsage('minecraft', '2026-03-14'), 903_250);
  assert.deepEqual(store.getCooldownUntil('minecraft'), new Date('2026-03-14T16:00:00Z'));
  assert.deepEqual(store.getCooldownUntil('käse-日本語'), new Date('2026-03-14T15:14:26Z'));
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date('2026-03-15T00:00:00Z') });
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

test('an unreadable total or cooldown of the store stays as it is, and the row it kept out is listed', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.addUsage('minecraft', '2026-03-14', 1);
  store.addUsage('tux-math', '2026-03-14', Number.MAX_SAFE_INTEGER);
  store.setCooldownUntil('minecraft', new Date(0));
  folder
    .raw()
    .exec(`UPDATE usage SET duration_secs = 'much' WHERE entry_id = 'minecraft'; UPDATE cooldowns SET until = 'later'`);
  const report = await importStore(makeSource(folder), folder.file());
  assert.deepEqual(
    report.skipped.map(({ table, row }) => [table, row]),
    [
      ['usage', 'minecraft 2026-03-14'],
      ['usage', 'tux-math 2026-03-14'],
      ['cooldowns', 'minecraft'],
    ],
  );
  assert.deepEqual(report.taken, { ...all, usage: 7, cooldowns: 1 });
  assert.throws(() => store.getUsage('minecraft', '2026-03-14'), { code: 'ERR_STORE_CORRUPT' });
});

test('a damaged file of the store is no reason to leave rows out: it ends the import', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  store.setCooldownUntil('own', new Date(0));
  const raw = folder.raw();
  const { page, bytes: pageBytes } = raw
    .prepare(
      `SELECT rootpage AS page, page_size AS bytes FROM sqlite_schema, pragma_page_size
      WHERE name = 'sqlite_autoindex_cooldowns_1'`,
    )
    .get() as { page: number; bytes: number };
  raw.close();
  store.close();
  const bytes = readFileSync(folder.file());
  writeFileSync(folder.file(), bytes.fill(0xff, (page - 1) * pageBytes, page * pageBytes));
  // Without a snapshot, whose file is made from the same rows and would fail by itself.
  const source = makeSource(folder, 'DELETE FROM snapshot');
  await assert.rejects(importStore(source, folder.file()), { code: 'ERR_STORE_CORRUPT' });
});

test('a session that runs in the snapshot and has ended in the log is not charged again', async (t) => {
  const { folder, source, store } = await importFixture(t);
  change(
    source,
    addEvent(
      '{"type":"session_ended","session_id":"00000001-0000-4000-8000-000000000001","entry_id":"minecraft",' +
        '"reason":{"type":"expired"},"duration":{"secs":60,"nanos":0}}',
    ),
  );
  await importStore(source, folder.file());
  assert.equal(new SessionTracker(store).recover(), undefined);
  assert.equal(store.getUsage('minecraft', '2026-03-14'), 903_000);
});

test('a session that runs in the snapshot and nowhere ends is recovered', async (t) => {
  const { store } = await importFixture(t);
  assert.equal(new SessionTracker(store).recover()?.durationMs, 3_535);
});

test('once rows are archived no import is taken, which would charge what an earlier one has taken again', async (t) => {
  const { folder, source, store } = await importFixture(t);
  store.saveSnapshot({ timestamp: new Date() }); // the session that ran in the source
  const { id } = store.auditHead()!;
  store.close();
  const later = folder.open({ clock: () => new Date('2100-01-01T00:00:00Z') });
  await archiveAudits(later, { folder: folder.file('archives'), upTo: { id } });
  const before = dump(folder.file());
  await assert.rejects(importStore(source, folder.file()), { code: 'ERR_STORE_CONFLICT' });
  assert.deepEqual(dump(folder.file()), before);
});
