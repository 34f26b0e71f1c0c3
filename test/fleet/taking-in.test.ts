// The centre of a fleet takes in what real stores have written, once, and gives it back as it was.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { rebuildDatabase } from '../../lib/ledger/index.ts';
import { signingKey } from '../fixtures/ledgers/make.ts';
import { archiveUpTo, kioskIn } from '../support/archive.ts';
import { ledgerOf, notes, partOf } from '../support/fleet.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { centreSql, type Database, PostgreSql } from '../support/postgresql.ts';
import { needs } from '../support/tools.ts';

const server = new PostgreSql();
after(() => server.stop());
const options = needs('postgres');

/** That the centre has exactly this ledger, byte for byte, finds nothing wrong with it, and keeps nothing else. */
async function has(centre: Database, text: string): Promise<void> {
  const { store } = JSON.parse(text.slice(0, text.indexOf('\n'))) as { store: string };
  assert.ok((await centre.ledger(store)) === text, 'another text than was sent');
  assert.deepEqual(await centre.must(`SELECT shepherd.verify('${store}')`), ['t']);
  assert.deepEqual(await centre.must('SELECT count(*) FROM shepherd.inbox'), ['0']);
}

async function takes(centre: Database, text: string): Promise<void> {
  const { code, message } = await centre.send(text);
  assert.equal(code, 'ok', message);
}

test('a signed ledger with any texts comes back byte for byte, and makes an equal store', options, async (t) => {
  const folder = new TestFolder(t);
  const clock = (): Date => new Date('2026-11-21T10:00:00Z');
  const store = folder.open({ clock, ledger: Ledger.open(folder.file('audit.jsonl'), { signingKey }) });
  const texts = [
    'Übung für Zoë', '🎮 \u{10ffff} \uffff', 'nul \0 and \u0001 \u007f \u2028', '\\ \\\\ \\. "quoted" \'"',
    '\t\r\n\b\f',
  ];
  for (const text of texts) store.appendAudit({ type: 'note', text } as never, { source: text.replace('\0', '') });
  store.appendAudit({ type: 'note', numbers: [1e308, 5e-324, -0, 2 ** 53, 1.5e-7] } as never, { tags: ['🎮'] });
  store.addUsage('minecraft', '2026-11-21', 90_500);
  store.setCooldownUntil('minecraft', new Date('2026-11-21T11:00:00Z'));
  const dump = (from: SqliteStore): unknown => {
    return [[...from.iterateAudits()], from.getUsageForDay('2026-11-21'), from.listCooldowns(), from.auditHead()];
  };
  const expected = dump(store);
  store.close();
  const text = readFileSync(folder.file('audit.jsonl'), 'utf8');
  const centre = await server.database();
  await takes(centre, text);
  await has(centre, text);
  const counts = "count(*) FILTER (WHERE data IS NULL), count(meta), count(signature), count(DISTINCT at)";
  // U+0000 is what jsonb cannot hold: its event has no data beside its line.
  const [nulls, metas, signatures] = (await centre.must(`SELECT ${counts} FROM shepherd.event`))[0]!.split('|');
  assert.deepEqual([nulls, metas, Number(signatures) > 5], ['1', '7', true]);
  assert.deepEqual(await centre.must("SELECT data ->> 'text' FROM shepherd.event WHERE data ->> 'text' LIKE 'Ü%'"), [
    'Übung für Zoë',
  ]);
  const [, uuid] = /"store":"([^"]*)"/.exec(text)!;
  const printed = `${(await centre.must(`SELECT shepherd.ledger('${uuid}')`)).join('\n')}\n`;
  assert.equal(printed, text.replaceAll('\u{10ffff}', ''), 'psql prints some noncharacters not');
  writeFileSync(folder.file('back.jsonl'), await centre.ledger(uuid!));
  await rebuildDatabase(Ledger.open(folder.file('back.jsonl')), folder.file('back.db'));
  const back = folder.closing(SqliteStore.openReadOnly(folder.file('back.db')));
  assert.deepEqual(dump(back), expected);
});

test('an adopted log with gaps between its ids and with BLOBs is taken in line by line', options, async (t) => {
  const folder = new TestFolder(t, { checked: false });
  makeDatabase(folder.file(), `${fourTables}; DELETE FROM audit_log;
    INSERT INTO audit_log (id, timestamp, event_type, event_data) VALUES
    (3, '2026-11-20T09:00:00Z', 'note', '{}'), (7, 'yesterday', 'note', 'no JSON'),
    (8, '2026-13-45T09:00:00Z', 'note', '1'), (20, x'ff00', x'6e6f7465', x'fffe'),
    (21, '2026-11-20T09:00:00+02:00', 'note', x'')`);
  const store = folder.open({ ledger: Ledger.open(folder.file('audit.jsonl')) });
  store.appendAudit({ type: 'service_started' });
  store.close();
  const text = readFileSync(folder.file('audit.jsonl'), 'utf8');
  const [header, ...lines] = text.split(/(?<=\n)/);
  const centre = await server.database();
  assert.match(text, /"blob":\["at","type","data"\]/);
  for (const line of lines) await takes(centre, header + line);
  await has(centre, text);
  const rows = await centre.must('SELECT id, at IS NULL, type, data FROM shepherd.event WHERE id <= 21 ORDER BY id');
  assert.deepEqual(rows, ['3|f|note|{}', '7|t|note|', '8|t|note|1', '20|t||', '21|f|note|']);
  // Behind the event of the adoption no id is left out any more.
  const { id, hash } = JSON.parse(lines.at(-1)!) as { id: number; hash: string };
  const { store: uuid } = JSON.parse(header!) as { store: string };
  const jumped = ledgerOf([{ id: id + 2 }], { store: uuid, after: { id, hash } });
  assert.equal((await centre.send(jumped.text)).code, 'SHGAP');
});

test('what is sent twice, whole or in part, is here once', options, async () => {
  const centre = await server.database();
  const made = ledgerOf(notes(30));
  await takes(centre, made.header);
  assert.deepEqual(await centre.must('SELECT count(*) FROM shepherd.kiosk'), ['0'], 'a header alone proves nothing');
  for (const [from, to] of [[0, 10], [0, 10], [5, 15], [3, 9], [14, 15], [15, 15], [0, 30], [29, 30]] as const) {
    await takes(centre, partOf(made, from, to));
  }
  await has(centre, made.text);
  assert.deepEqual(await centre.must('SELECT events, head_id, refused, forked FROM shepherd.kiosks'), ['30|30|0|0']);
});

test('two of one store at once are both taken, whoever comes first', options, async () => {
  const centre = await server.database();
  const stores = Array.from({ length: 3 }, () => ledgerOf(notes(400)));
  for (let to = 100; to <= 400; to += 100) {
    const batches = [stores, stores.toReversed()].map((made) => made.map((each) => partOf(each, 0, to)).join(''));
    const answers = await Promise.all([...batches, ...batches].map(async (batch) => centre.send(batch)));
    assert.deepEqual(answers.map(({ code }) => code), ['ok', 'ok', 'ok', 'ok']);
  }
  for (const { text } of stores) await has(centre, text);
});

test('archives and the ledger behind them are taken one after the other, and in one batch', options, async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { days: 5, perDay: 4, ledger: Ledger.open(folder.file('audit.jsonl')) });
  copyFileSync(folder.file('audit.jsonl'), folder.file('all.jsonl'));
  const archives = [await archiveUpTo(kiosk, 5), await archiveUpTo(kiosk, 10, true)];
  kiosk.store.close();
  const [first, second] = archives.map(({ path }) => {
    const bytes = readFileSync(path);
    return (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString();
  });
  const rest = readFileSync(folder.file('audit.jsonl'), 'utf8');
  const whole = first! + second!.replace(/^.*\n/, '') + rest.replace(/^.*\n/, '');
  const [one, all] = [await server.database(), await server.database()];
  assert.equal((await one.send(rest)).code, 'SHGAP');
  assert.equal((await one.send(second!)).code, 'SHGAP');
  for (const text of [first!, second!, rest, first!]) await takes(one, text);
  await has(one, whole);
  await takes(all, first! + second! + rest + second!);
  await has(all, whole);
});

test('a clone that got a new identity begins behind the event that says so', options, async () => {
  const [image, clone] = ['00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000b'];
  const old = ledgerOf(notes(5), { store: image });
  const renewed = [{ store: image, until: 6 }];
  const renewal = { type: 'store_identity_renewed', data: JSON.stringify({ from: image, to: clone }) };
  const { events: [event], head } = ledgerOf([renewal], { store: clone, after: old.head, renewed });
  const made = ledgerOf(notes(5), { store: clone, after: head, renewed });
  const centre = await server.database();
  await takes(centre, old.text);
  await takes(centre, partOf(made, 0, 3));
  await takes(centre, partOf(made, 2));
  await has(centre, made.text);
  await has(centre, old.text);
  // A header may leave out where it begins, and the whole of the file has the rows of the image as well.
  const other = await server.database();
  await takes(other, ledgerOf(notes(5), { store: clone, after: head, renewed, silent: true }).text);
  await has(other, made.text);
  const whole = ledgerOf([...old.events, event!, ...made.events], { store: clone, renewed });
  await takes(other, whole.text);
  await has(other, made.text);
  assert.equal((await other.send(partOf(whole, 0, 4))).code, 'SHGAP', 'nothing shows whose rows these are');
  const third = await server.database();
  await takes(third, whole.text);
  await has(third, whole.text);
  const wrong: Parameters<typeof ledgerOf>[] = [
    [notes(1), { store: clone, after: head, renewed: [{ store: image, until: 7 }] }],
    [notes(1), { store: clone, after: head, renewed: [{ store: image, until: 5 }] }],
    [notes(1), { store: clone, after: head }],
  ];
  for (const each of wrong) {
    assert.equal((await (await server.database()).send(ledgerOf(...each).text)).code, 'SHGAP');
  }
});

test('a log whose archives were forgotten begins where an administrator permits it', options, async () => {
  const centre = await server.database();
  const made = ledgerOf(notes(3), { after: { id: 100, hash: 'ab'.repeat(32) } });
  const permit = (id: number, hash: string): string => `SELECT shepherd.permit('${made.store}', ${id}, '${hash}')`;
  assert.equal((await centre.send(made.text)).code, 'SHGAP');
  await centre.must(permit(100, 'cd'.repeat(32)));
  assert.equal((await centre.send(made.text)).code, 'SHGAP');
  assert.notEqual((await centre.ask(permit(100, 'AB'.repeat(32)))).code, 'ok');
  await centre.must(permit(100, 'ab'.repeat(32)));
  await takes(centre, made.text);
  await has(centre, made.text);
  assert.notEqual((await centre.ask(permit(100, 'ab'.repeat(32)))).code, 'ok');
  await centre.must(`SELECT shepherd.forget('${made.store}')`);
  const left = 'SELECT (SELECT count(*) FROM shepherd.kiosk), (SELECT count(*) FROM shepherd.event)';
  assert.deepEqual(await centre.must(left), ['0|0']);
});

test('the file can be run again while somebody reads, and keeps grants and what was built on it', options, async () => {
  const centre = await server.database();
  await centre.must('CREATE ROLE looker LOGIN; GRANT SELECT ON shepherd.denied TO looker; '
    + 'CREATE VIEW public.board AS SELECT * FROM shepherd.kiosks');
  await takes(centre, ledgerOf(notes(3)).text);
  const reading = centre.ask('BEGIN; SELECT count(*) FROM shepherd.event; SELECT pg_sleep(60); COMMIT');
  // Asked in a transaction of its own each time, because within one pg_stat_activity shows what it showed first.
  const reader = "FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
  for (let times = 0; (await centre.must(`SELECT pid ${reader}`)).length === 0; times++) assert.ok(times < 1_000);
  await centre.must(centreSql);
  await takes(centre, ledgerOf(notes(3)).text);
  await centre.must(`SELECT pg_cancel_backend(pid) ${reader}`);
  assert.equal((await reading).code, '57014'); // cancelled while it was reading
  assert.deepEqual(await centre.must("SELECT has_table_privilege('looker', 'shepherd.denied', 'SELECT')"), ['t']);
  assert.deepEqual(await centre.must('SELECT count(*) FROM public.board'), ['2']);
});

test('the file can be run again on what it has made, and keeps what is there', options, async () => {
  const centre = await server.database();
  const made = ledgerOf(notes(8));
  await takes(centre, partOf(made, 0, 4));
  await centre.must(centreSql);
  await takes(centre, partOf(made, 4));
  await has(centre, made.text);
});

test('a newer file brings an older centre up, and an older one refuses a newer', options, async () => {
  const newer = centreSql
    .replace('newest CONSTANT integer := 1;', 'newest CONSTANT integer := 2;')
    .replace('  INSERT INTO shepherd.version', (line) => {
      return `  IF found < 2 THEN ALTER TABLE shepherd.kiosk ADD place text; END IF;\n${line}`;
    });
  assert.notEqual(newer, centreSql);
  const centre = await server.database();
  const made = ledgerOf(notes(8));
  await takes(centre, partOf(made, 0, 4));
  for (let times = 0; times < 2; times++) await centre.must(newer);
  await takes(centre, partOf(made, 4));
  await has(centre, made.text);
  assert.deepEqual(await centre.must('SELECT version, place FROM shepherd.version, shepherd.kiosk'), ['2|']);
  assert.equal((await centre.ask(centreSql)).code, 'P0001');
});

test('what is changed in the centre itself is found', options, async () => {
  const harm = [
    "UPDATE shepherd.event SET line = replace(line, 'note', 'nota') WHERE id = 3",
    "UPDATE shepherd.event SET line = 'no JSON' WHERE id = 3",
    'UPDATE shepherd.event SET type = \'other\' WHERE id = 3',
    "UPDATE shepherd.event SET data = '{}' WHERE id = 3",
    'UPDATE shepherd.event SET data = NULL WHERE id = 3',
    "UPDATE shepherd.event SET meta = '{}' WHERE id = 3",
    'UPDATE shepherd.event SET at = NULL WHERE id = 3',
    'UPDATE shepherd.event SET at = now() WHERE id = 3',
    "UPDATE shepherd.event SET signature = 'x' WHERE id = 3",
    'UPDATE shepherd.event SET hash = prev WHERE id = 3',
    'DELETE FROM shepherd.event WHERE id = 1',
    'DELETE FROM shepherd.event WHERE id = 3',
    'DELETE FROM shepherd.event WHERE id = 5',
    'DELETE FROM shepherd.event',
    'UPDATE shepherd.kiosk SET head_hash = begun_hash',
    'UPDATE shepherd.kiosk SET events = 6',
    "UPDATE shepherd.kiosk SET header = replace(header, store::text, '00000000-0000-4000-8000-00000000000c')",
  ];
  const centre = await server.database();
  const made = ledgerOf(notes(5));
  await takes(centre, made.text);
  const verify = `SELECT shepherd.verify('${made.store}')`;
  assert.deepEqual(await centre.must(verify), ['t']);
  for (const sql of harm) assert.deepEqual(await centre.must(`BEGIN; ${sql}; ${verify}; ROLLBACK`), ['f'], sql);
});
