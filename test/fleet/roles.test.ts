// Who may do what in the centre of a fleet, and what its views tell.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { Clocks } from '../support/clocks.ts';
import { type Draft, ledgerOf, notes, partOf } from '../support/fleet.ts';
import { TestFolder } from '../support/folder.ts';
import { centreSql, type Database, PostgreSql } from '../support/postgresql.ts';
import { needs } from '../support/tools.ts';

const server = new PostgreSql();
after(() => server.stop());
const options = needs('postgres');

/** A database, with two roles of kiosks, one that reads and one that may nothing. They are made once for all. */
async function withRoles(): Promise<Database> {
  const centre = await server.database();
  await centre.must(`DO $$ BEGIN
    CREATE ROLE kiosk1 LOGIN IN ROLE shepherd_kiosk; CREATE ROLE kiosk2 LOGIN IN ROLE shepherd_kiosk;
    CREATE ROLE reader LOGIN IN ROLE shepherd_reader; CREATE ROLE nobody LOGIN;
    EXCEPTION WHEN duplicate_object THEN NULL; END $$`);
  return centre;
}

const refused = '42501';

test('the role of a kiosk may send, and nothing else', options, async () => {
  const centre = await withRoles();
  const made = ledgerOf(notes(4));
  assert.equal((await centre.send(made.text, { role: 'kiosk1' })).code, 'ok');
  const uuid = `'${made.store}'`;
  const statements = [
    ...['kiosk', 'event', 'event_00', 'inbox', 'permitted', 'version', 'kiosks', 'sessions', 'usage_by_day', 'denied']
      .flatMap((table) => [`TABLE shepherd.${table}`, `DELETE FROM shepherd.${table}`, `TRUNCATE shepherd.${table}`,
        `DROP TABLE shepherd.${table}`, `COPY shepherd.${table} TO STDOUT`]),
    "UPDATE shepherd.event SET type = 'x'",
    'UPDATE shepherd.kiosk SET role = current_user',
    "UPDATE shepherd.inbox SET line = ''",
    `INSERT INTO shepherd.event (store, id, hash, prev, line) VALUES (${uuid}, 9, '', '', '')`,
    "INSERT INTO shepherd.inbox (n, line) OVERRIDING SYSTEM VALUE VALUES (1, '')",
    "INSERT INTO shepherd.inbox (line) VALUES ('') RETURNING line",
    `SELECT shepherd.ledger(${uuid})`,
    `SELECT shepherd.verify(${uuid})`,
    `SELECT shepherd.forget(${uuid})`,
    `SELECT shepherd.permit(${uuid}, 1, '${'0'.repeat(64)}')`,
    `SELECT shepherd.refusals(${uuid})`,
    `SELECT shepherd.refuse('SHFRK', ${uuid}, '')`,
    `SELECT shepherd.as_jsonb('1')`,
    'SELECT shepherd.take()',
    'CREATE TRIGGER t AFTER INSERT ON shepherd.inbox EXECUTE FUNCTION shepherd.take()',
    'ALTER TABLE shepherd.inbox DISABLE TRIGGER ALL',
    'SET session_replication_role = replica',
    `SELECT nextval('shepherd."refused_${made.store}"')`,
    `SELECT last_value FROM shepherd."refused_${made.store}"`,
    'CREATE TABLE shepherd.mine ()',
    'SET ROLE shepherd_owner',
    'SET ROLE kiosk2',
  ];
  for (const sql of statements) {
    const { code } = await centre.ask(sql, { role: 'kiosk1' });
    // A view is no table (42809), and one that sums up cannot be changed by anybody (55000).
    assert.ok([refused, '42809', '55000'].includes(code), `${code}: ${sql}`);
  }
  assert.deepEqual(await centre.must('SELECT count(*) FROM shepherd.event'), ['4']);
});

test('nobody but the owner may call any function that changes something', options, async () => {
  const centre = await withRoles();
  const callable = (role: string): string => `SELECT proname FROM pg_proc WHERE pronamespace = 'shepherd'::regnamespace
    AND has_function_privilege('${role}', oid, 'EXECUTE') ORDER BY 1`;
  assert.deepEqual(await centre.must(callable('nobody')), []);
  assert.deepEqual(await centre.must(callable('kiosk1')), []);
  const reader = await centre.must(callable('reader'));
  assert.deepEqual(reader.filter((name) => ['permit', 'forget', 'refuse', 'take'].includes(name)), []);
  assert.ok(reader.includes('ledger') && reader.includes('verify'));
  const owners = `SELECT DISTINCT proowner::regrole, rolsuper FROM pg_proc JOIN pg_roles r ON r.oid = proowner
    WHERE pronamespace = 'shepherd'::regnamespace`;
  assert.deepEqual(await centre.must(owners), ['shepherd_owner|f']);
});

test('the file needs no superuser, but who may be the owner of the schema', options, async () => {
  const empty = await server.database({ empty: true });
  await empty.must(`CREATE ROLE plain LOGIN; CREATE ROLE administrator LOGIN; GRANT shepherd_owner TO administrator;
    ALTER DATABASE ${empty.name} OWNER TO administrator`);
  assert.equal((await empty.ask(centreSql, { role: 'plain' })).code, refused);
  for (let times = 0; times < 2; times++) await empty.must(centreSql, { role: 'administrator' });
  const made = ledgerOf(notes(3), { after: { id: 5, hash: '0'.repeat(64) } });
  await empty.must(`SELECT shepherd.permit('${made.store}', 5, '${'0'.repeat(64)}')`, { role: 'administrator' });
  assert.equal((await empty.send(made.text, { role: 'administrator' })).code, 'ok');
  assert.deepEqual(await empty.must(`SELECT shepherd.verify('${made.store}')`, { role: 'administrator' }), ['t']);
});

test('the first batch binds a store to its role, and another role may not send for it', options, async () => {
  const centre = await withRoles();
  const [one, two] = [ledgerOf(notes(4)), ledgerOf(notes(4))];
  const send = async (text: string, role: string): Promise<string> => (await centre.send(text, { role })).code;
  assert.equal(await send(partOf(one, 0, 2), 'kiosk1'), 'ok');
  assert.equal(await send(partOf(one, 2), 'kiosk2'), 'SHROL');
  assert.equal(await send(one.header, 'kiosk2'), 'SHROL', 'not even that it was seen');
  assert.equal(await send(two.text + one.text, 'kiosk2'), 'SHROL');
  assert.equal(await send(two.text, 'nobody'), refused);
  // What an administrator loads belongs to nobody yet.
  assert.equal(await send(partOf(two, 0, 2), 'postgres'), 'ok');
  assert.equal(await send(partOf(one, 2, 3), 'postgres'), 'ok');
  assert.equal(await send(two.text, 'kiosk2'), 'ok');
  assert.equal(await send(two.text, 'kiosk1'), 'SHROL');
  await centre.must(`UPDATE shepherd.kiosk SET role = 'kiosk2' WHERE store = '${one.store}'`);
  assert.equal(await send(one.text, 'kiosk1'), 'SHROL');
  assert.equal(await send(one.text, 'kiosk2'), 'ok', 'two kiosks may share a role');
  const roles = await centre.must('SELECT DISTINCT role, refused FROM shepherd.kiosks');
  assert.deepEqual(roles, ['kiosk2|0'], 'what a stranger sends is not counted');
  const third = ledgerOf(notes(2));
  assert.equal(await send(partOf(third, 0, 1), 'postgres'), 'ok');
  assert.equal(await send(third.header, 'kiosk2'), 'ok', 'a header alone binds nothing');
  assert.equal(await send(third.text, 'kiosk1'), 'ok');
  const fourth = ledgerOf(notes(2));
  await centre.must(`SELECT shepherd.bind('${fourth.store}', 'kiosk1')`);
  await centre.must('TABLE shepherd.kiosks');
  assert.equal(await send(fourth.text, 'kiosk2'), 'SHROL');
  assert.equal(await send(fourth.header, 'kiosk1'), 'ok');
  assert.equal(await send(fourth.text, 'kiosk2'), 'SHROL');
  assert.equal(await send(fourth.text, 'kiosk1'), 'ok');
});

test('readers see all stores, and a kiosk that may read its own', options, async () => {
  const centre = await withRoles();
  const [one, two] = [ledgerOf(notes(4)), ledgerOf([...notes(4), { type: 'launch_denied', data: '{"entryId":"x"}' }])];
  for (const [made, role] of [[one, 'kiosk1'], [two, 'kiosk2']] as const) await centre.send(made.text, { role });
  await centre.must(`GRANT SELECT ON shepherd.event, shepherd.kiosk, shepherd.denied TO kiosk1, kiosk2;
    GRANT EXECUTE ON FUNCTION shepherd.ledger TO kiosk1`);
  const counts = 'SELECT (SELECT count(*) FROM shepherd.event), (SELECT count(*) FROM shepherd.denied)';
  const seen = async (role: string): Promise<string[]> => centre.must(counts, { role });
  assert.deepEqual([await seen('reader'), await seen('kiosk1'), await seen('kiosk2')], [['9|1'], ['4|0'], ['5|1']]);
  assert.equal(await centre.ledger(one.store, { role: 'kiosk1' }), one.text);
  assert.equal((await centre.ask(`SELECT shepherd.ledger('${two.store}')`, { role: 'kiosk1' })).code, 'P0002');
  assert.equal(await centre.ledger(two.store, { role: 'reader' }), two.text);
  assert.deepEqual(await centre.must(`SELECT shepherd.verify('${two.store}')`, { role: 'reader' }), ['t']);
  assert.deepEqual(await centre.must('SELECT count(*) FROM shepherd.kiosks', { role: 'reader' }), ['2']);
  assert.equal((await centre.ask('DELETE FROM shepherd.event', { role: 'reader' })).code, refused);
});

test('settings of a hostile session change nothing of what is taken', options, async () => {
  const centre = await withRoles();
  const made = ledgerOf([
    { data: '{"a":"\\u0000"}' }, { at: 'yesterday' }, { at: '2026-11-21T09:00:00.5+01:00' }, { data: '{"Ü":1}' },
  ]);
  const values = made.text.trimEnd().split('\n').map((line) => `($x$${line}$x$)`).join();
  await centre.must(`CREATE SCHEMA hostile; GRANT ALL ON SCHEMA hostile TO PUBLIC`);
  await centre.must(`
    CREATE FUNCTION hostile.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea';
    CREATE FUNCTION hostile.octet_length(text) RETURNS integer LANGUAGE sql AS 'SELECT 0';
    CREATE FUNCTION hostile.yes(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
    CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.yes);
    CREATE OPERATOR hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.yes);
    CREATE TEMP TABLE batch (n bigint, line text);
    SET search_path = hostile, pg_temp, pg_catalog; SET standard_conforming_strings = off; SET DateStyle = 'SQL, DMY';
    SET TimeZone = 'Asia/Tokyo'; SET quote_all_identifiers = on; SET bytea_output = 'escape';
    SET IntervalStyle = 'sql_standard'; SET transform_null_equals = on; SET backslash_quote = on;
    INSERT INTO shepherd.inbox (line) VALUES ${values};`, { role: 'kiosk1' });
  assert.equal(await centre.ledger(made.store), made.text);
  assert.deepEqual(await centre.must(`SELECT shepherd.verify('${made.store}')`), ['t']);
  const at = `SELECT id, at AT TIME ZONE 'UTC' FROM shepherd.event WHERE id IN (2, 3) ORDER BY id`;
  assert.deepEqual(await centre.must(at), ['2|', '3|2026-11-21 08:00:00.5']);
});

test('the views of sessions, usage and denials tell what the store itself tells', options, async (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-11-20T22:00:00Z');
  const ledger = Ledger.open(folder.file('audit.jsonl'));
  const store = folder.open({ ...clocks.options, ledger });
  const tracker = new SessionTracker(store, { timeZone: 'UTC', ...clocks.forTracker });
  const play = (entryId: string, hours: number): void => {
    tracker.start({ entryId, sessionId: `${entryId} ${hours}`, label: 'Übung' });
    clocks.pass(hours * 3_600_000);
    tracker.end({ type: 'user_stop' });
  };
  play('minecraft', 3); // over midnight
  play('film', 1);
  store.correctUsage({ entryId: 'film', day: '2026-11-21', durationMs: -600_000, reason: 'it hung' });
  play('film', 2);
  store.appendAudit({ type: 'launch_denied', entryId: 'minecraft', reasons: ['quota'] });
  tracker.start({ entryId: 'music', sessionId: 'open' });
  const usage = ['2026-11-20', '2026-11-21'].flatMap((day) => {
    return store.getUsageForDay(day).map(({ entryId, durationMs }) => `${day}|${entryId}|${durationMs}`);
  });
  store.close();
  const centre = await server.database();
  const { code, message } = await centre.send(readFileSync(folder.file('audit.jsonl')));
  assert.equal(code, 'ok', message);
  const told = await centre.must('SELECT day, entry_id, duration_ms FROM shepherd.usage_by_day ORDER BY 1, 2');
  assert.deepEqual(told, usage.sort());
  assert.deepEqual(told, [
    '2026-11-20|minecraft|7200000', '2026-11-21|film|10200000', '2026-11-21|minecraft|3600000',
  ]);
  assert.deepEqual(await centre.must(`SELECT session_id, label, reason, duration_ms, ended_at - started_at
    FROM shepherd.sessions ORDER BY 1`), [
    'film 1|Übung|user_stop|3600000|01:00:00', 'film 2|Übung|user_stop|7200000|02:00:00',
    'minecraft 3|Übung|user_stop|10800000|03:00:00', 'open||||',
  ]);
  assert.deepEqual(await centre.must('SELECT entry_id, reasons FROM shepherd.denied'), ['minecraft|["quota"]']);
});

test('usage without a ledger is that of the sessions, with one that of its events', options, async () => {
  const centre = await server.database();
  const ended = (day: string, durationMs: number): Draft => {
    const data = JSON.stringify({ sessionId: day, entryId: 'a', durationMs });
    return { type: 'session_ended', at: `${day}T12:00:00.000Z`, data };
  };
  const added = (day: string, durationMs: number): Draft => {
    return { type: 'usage_added', data: JSON.stringify({ entryId: 'a', day, durationMs }) };
  };
  const made = ledgerOf([
    ended('2026-01-01', 1), added('2026-01-01', 1_000), ended('2026-01-01', 2), { type: 'ledger_attached', data: '{}' },
    added('2026-01-02', 10), ended('2026-01-02', 99), { type: 'ledger_detached', data: '{}' }, ended('2026-01-03', 5),
    { type: 'balances_carried', data: JSON.stringify({ usage: [['a', '2026-01-04', 7], ['b', '2026-01-04', 8]] }) },
    added('2026-01-04', 1),
  ]);
  assert.equal((await centre.send(made.text)).code, 'ok');
  assert.deepEqual(await centre.must('SELECT day, entry_id, duration_ms FROM shepherd.usage_by_day ORDER BY 1, 2'), [
    '2026-01-01|a|3', '2026-01-02|a|10', '2026-01-03|a|5', '2026-01-04|a|8', '2026-01-04|b|8',
  ]);
});

test('the view of the kiosks tells how far each is, and which one was not heard of', options, async () => {
  const centre = await server.database();
  const [one, two] = [ledgerOf(notes(4)), ledgerOf(notes(2), { store: '00000000-0000-4000-8000-000000000001' })];
  for (const { text } of [one, two]) await centre.send(text);
  await centre.must(`UPDATE shepherd.kiosk SET seen_at = seen_at - interval '3 days' WHERE store = '${two.store}'`);
  const told = await centre.must(`SELECT head_id, head_hash, events, date_trunc('day', behind), created
    FROM shepherd.kiosks ORDER BY behind`);
  const created = '2026-11-21 09:00:00+00';
  assert.equal(told[0], `4|${one.head.hash}|4|00:00:00|${created}`);
  assert.match(told[1]!, new RegExp(`^2\\|${two.head.hash}\\|2\\|[23] days\\|`));
});
