// The command export: that what it writes is what the store has, read back by other programs as well.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { forgetArchives } from '../../lib/modules/archive/archive.ts';
import { logPages } from '../../lib/cli/export-log.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { connect, SqliteStore } from '../../lib/store.ts';
import { makeLong } from '../bench/fill.ts';
import { archiveUpTo, dayMs, kioskIn, range } from '../support/archive.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { Clocks } from '../support/clocks.ts';
import { shepherd } from '../support/command.ts';
import { fetchTool } from '../support/fetched.ts';
import { TestFolder } from '../support/folder.ts';
import { hostileTexts } from '../support/hostile.ts';
import { run } from '../support/project.ts';
import { seededRandom } from '../support/random.ts';
import { needs } from '../support/tools.ts';

process.env['TZ'] = 'Europe/Berlin';
const program = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));

type Any = { type: string; [field: string]: unknown };
type Cells = Record<string, string | undefined>;

/** CSV as RFC 4180 has it; a cell without quotes that is empty is absent. */
function parse(csv: string): Cells[] {
  const rows: (string | undefined)[][] = [[]];
  assert.ok(csv.endsWith('\r\n'));
  let at = 0;
  while (at < csv.length) {
    const [whole, quoted, bare, end] = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y[Symbol.match](csv.slice(at))!;
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? (bare || undefined));
    at += whole.length;
    if (end === '\r\n') rows.push([]);
  }
  const [header, ...others] = rows.slice(0, -1);
  return others.map((row) => {
    assert.equal(row.length, header!.length);
    return Object.fromEntries(row.map((cell, column) => [header![column]!, cell]));
  });
}

/** A stored text, as the documents say it is got back; NUL is in no CSV. */
const stored = (text: string | undefined): string | undefined => text?.replace(/(^|[;\t\r\n])'/g, '$1');
const written = (text: string): string => text.replaceAll('\0', '\ufffd');

async function exported(path: string, ...argv: string[]): Promise<Cells[]> {
  const { code, out, err } = await shepherd(['export', ...argv, '--db', path]);
  assert.deepEqual([code, err], [0, ''], argv.join(' '));
  return parse(out);
}

async function lines(path: string, ...argv: string[]): Promise<Record<string, unknown>[]> {
  const { code, out, err } = await shepherd(['export', ...argv, '--json', '--db', path]);
  assert.deepEqual([code, err], [0, ''], argv.join(' '));
  return out.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Record<string, unknown>);
}

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('each subject has the rows that the store has, hostile texts included', async (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-11-20T23:00:00Z');
  const store = folder.open<Any>(clocks.options);
  const tracker = new SessionTracker(store as never, { timeZone: 'UTC', ...clocks.forTracker });
  const texts = hostileTexts.filter((text) => !text.includes('\0'));
  const [facts, runs] = [new FactStore(store as never), new RunStore(store as never)];
  const ended = texts.map((text, index) => {
    tracker.start({ entryId: text, label: text });
    clocks.pass(61_000);
    store.grantTime({ subject: text, day: '2026-11-21', durationMs: -60_000, reason: text });
    store.adjustBalance({ subject: text, durationMs: 1_000 + index });
    facts.upsertFact({ targetId: text, namespace: text, key: 'k', value: text, ttlSeconds: index * 1e8 });
    const { id } = runs.createRun({ planPath: text, metadata: { text } });
    runs.createPlanUnit({
      runId: id, resourceType: 'x', resourceName: text, action: 'create', desiredState: null,
    });
    if (index % 2 === 0) runs.updateRunStatus(id, 'running');
    if (index % 4 === 0) runs.updateRunStatus(id, 'failed', text);
    return tracker.end({ type: 'launch_failed', error: text }, { cooldownMs: 60_000 });
  });
  store.appendAudit({ type: 'with nul', text: 'a\0b' }, { source: '=1', target: '@x' });
  const path = folder.file();
  const project = folder.file('=project');
  mkdirSync(project);
  new ProjectStore(store as never).claimProjectRun(project);
  const audits = [...store.iterateAudits()];
  const csv = await exported(path, 'audit');
  assert.deepEqual(csv.map((row) => ({ ...JSON.parse(row['event']!) as object, type: row['type'] })),
    plain(audits.map(({ event }) => event)));
  assert.deepEqual(csv.map(({ id, timestamp, source, target }) => [id, timestamp, stored(source), stored(target)]),
    audits.map(({ id, timestamp, source, target }) => [String(id), timestamp.toISOString(), source, target]));
  const hash = connect(store as never).all<[string]>('SELECT event_hash FROM audit_log ORDER BY id').flat();
  assert.deepEqual(csv.map((row) => row['hash']), hash);
  assert.deepEqual(await lines(path, 'audit'), plain(audits.map((event, index) => ({ ...event, hash: hash[index] }))));
  const sessions = await exported(path, 'sessions');
  assert.deepEqual(
    sessions.map((row) => [row['session_id'], ...['entry_id', 'label', 'error'].map((name) => stored(row[name]))]),
    ended.map(({ sessionId, entryId }) => [sessionId, entryId, entryId, entryId].map(written)),
  );
  for (const row of sessions) {
    const { duration_ms: ms, duration, reason, started_at: from, ended_at: to } = row;
    assert.deepEqual([ms, duration, reason], ['61000', '0:01:01', 'launch_failed']);
    assert.equal(Date.parse(to!) - Date.parse(from!), 61_000);
  }
  assert.deepEqual(
    (await lines(path, 'sessions')).map(({ sessionId, label, reason }) => ({ sessionId, label, reason })),
    ended.map(({ sessionId, entryId, reason }) => ({ sessionId, label: entryId, reason })),
  );
  const usage = ['2026-11-20', '2026-11-21'].flatMap((day) => {
    return store.getUsageForDay(day).map((row) => ({ day, entryId: row.entryId, durationMs: row.durationMs }));
  });
  assert.deepEqual(await lines(path, 'usage'), usage);
  const usageRows = await exported(path, 'usage');
  assert.deepEqual(usageRows.map((row) => [row['day'], stored(row['entry_id']), row['duration_ms']]),
    usage.map(({ day, entryId, durationMs }) => [day, entryId, String(durationMs)]));
  const byName = (a: string, b: string): number => (a < b ? -1 : 1);
  const cooldowns = await exported(path, 'cooldowns');
  const ends = store.listCooldowns().map(({ until }) => until.toISOString()).sort();
  assert.deepEqual(cooldowns.map((row) => row['until']), ends);
  assert.deepEqual(cooldowns.map((row) => stored(row['entry_id'])!).sort(byName), [...texts].sort(byName));
  const limits = await exported(path, 'limits');
  const granted = limits.filter(({ kind }) => kind === 'override');
  assert.deepEqual(granted.map((row) => stored(row['subject'])!).sort(byName), [...texts].sort(byName));
  assert.ok(granted.every((row) => row['granted_ms'] === '-60000' && row['granted'] === '-0:01:00'));
  assert.deepEqual((await lines(path, 'limits')).filter(({ kind }) => kind === 'balance'),
    store.listBalances().map((row) => ({ kind: 'balance', ...row })));
  assert.equal((await exported(path, 'limits', '--from', '2026-11-21')).length, granted.length);
  assert.deepEqual(await lines(path, 'facts'), plain(facts.listFacts()));
  const factRows = await exported(path, 'facts');
  assert.deepEqual(factRows.map((row) => [stored(row['target_id']), JSON.parse(row['value']!)]),
    facts.listFacts().map(({ targetId, value }) => [targetId, value]));
  const listed = runs.listRuns().reverse();
  const runRows = await exported(path, 'runs');
  assert.deepEqual(
    runRows.map((row) => [row['id'], stored(row['plan_path']), row['status'], stored(row['error']), row['units'],
      row['units_pending'], JSON.parse(row['metadata']!)]),
    listed.map(({ id, planPath, status, error, metadata }) => [id, planPath, status, error, '1', '1', metadata]),
  );
  assert.deepEqual((await lines(path, 'runs')).map(({ units: _units, durationMs: _ms, ...row }) => row), plain(listed));
  const [row] = await exported(path, 'projects');
  assert.deepEqual([row!['path'], row!['run_count']], [project, '0']);
  assert.equal((await lines(path, 'projects'))[0]!['path'], project);
});

/** A store with random sessions, usage and events. */
function fillAtRandom(folder: TestFolder, seed: number): void {
  const random = seededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const clocks = new Clocks('2026-01-01T08:00:00Z');
  const store = folder.open<Any>(clocks.options);
  const tracker = new SessionTracker(store as never, { timeZone: 'UTC', ...clocks.forTracker });
  // DuckDB drops a byte order mark also from the beginning of a cell.
  const texts = hostileTexts.filter((text) => !/\0|^\ufeff/.test(text) && text.length < 100);
  for (let number = 0; number < 700; number++) {
    clocks.pass(Math.floor(random() * 5_000_000));
    if (random() < 0.3) store.appendAudit({ type: pick(texts), text: pick(texts) }, { source: pick(texts) });
    if (random() < 0.5) continue;
    tracker.start({ entryId: pick(texts), label: pick(texts) });
    clocks.pass(Math.floor(random() * 5_000_000));
    tracker.end({ type: 'process_exited', exitCode: Math.floor(random() * 9) - 4 });
  }
}

const readByDuckDB = `
  import { createRequire } from 'node:module';
  const { DuckDBInstance } = createRequire(process.argv[2] + '/')('@duckdb/node-api');
  const connection = await (await DuckDBInstance.create()).connect();
  const all = [];
  for (const sql of process.argv.slice(3)) all.push((await connection.runAndReadAll(sql)).getRowObjectsJson());
  console.log(JSON.stringify(all));`;

test('DuckDB reads back from CSV what the store has', needs('duckdb'), async (t) => {
  const folder = new TestFolder(t);
  const seed = Date.now() % 2 ** 32;
  t.diagnostic(`seed ${seed}`);
  fillAtRandom(folder, seed);
  const store = folder.open<Any>();
  for (const subject of ['audit', 'sessions', 'usage']) {
    const { out } = await shepherd(['export', subject, '--db', folder.file()]);
    writeFileSync(folder.file(`${subject}.csv`), out);
  }
  writeFileSync(folder.file('read.mjs'), readByDuckDB);
  const text = (column: string): string => `regexp_replace(${column}, '(^|[;\\t\\r\\n])''', '\\1', 'g') AS ${column}`;
  const from = (subject: string): string => `FROM read_csv('${subject}.csv', header = true, all_varchar = true)`;
  const { status, stdout, stderr } = run(
    folder.path, process.execPath, 'read.mjs', join(fetchTool('duckdb')!, 'node_modules'),
    `SELECT id, timestamp, ${text('type')}, ${text('source')}, event ${from('audit')} ORDER BY id::BIGINT`,
    `SELECT ${text('entry_id')}, sum(duration_ms::BIGINT)::VARCHAR AS ms ${from('sessions')} GROUP BY ALL`,
    `SELECT ${text('entry_id')}, sum(duration_ms::BIGINT)::VARCHAR AS ms ${from('usage')} GROUP BY ALL`,
  );
  assert.equal(status, 0, stderr);
  const [audit, sessions, usage] = JSON.parse(stdout) as [Cells[], Cells[], Cells[]];
  const audits = [...store.iterateAudits()];
  assert.deepEqual(
    audit.map(({ id, timestamp, type, source, event }) => [id, timestamp, type, source, JSON.parse(event!)]),
    plain(audits.map(({ id, timestamp, source = null, event: { type, ...fields } }) => {
      return [String(id), timestamp, type, source, fields];
    })),
  );
  const sorted = (rows: Cells[]): string[] => rows.map((row) => JSON.stringify([row['entry_id'], row['ms']])).sort();
  assert.deepEqual(sorted(sessions), sorted(usage)); // all of it was charged
  assert.ok(sessions.length > 5);
});

test('with its archives a log is read from the first event on, without a gap and without a double', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const { store } = kiosk;
  const all = (await exported(folder.file(), 'audit')).map((row) => JSON.stringify(row));
  await archiveUpTo(kiosk, 30);
  await archiveUpTo(kiosk, 57, true);
  const path = folder.file();
  const { code, out, err } = await shepherd(['export', 'audit', '--db', path]);
  assert.equal(code, 0);
  assert.match(err, /^the events up to 57 are in archives: --archives DIR gives them too\n$/);
  assert.equal(parse(out)[0]!['id'], '58');
  const told = await shepherd(['export', 'audit', '--json', '--db', path]);
  assert.deepEqual(JSON.parse(told.err), { archivedId: 57 });
  const joined = await exported(path, 'audit', '--archives', kiosk.archives);
  assert.deepEqual(joined.slice(0, 120).map((row) => JSON.stringify(row)), all);
  assert.deepEqual(joined.map(({ id }) => Number(id)), range(1, store.auditHead()!.id));
  for (const after of [0, 1, 29, 30, 31, 57, 58, 120, 122]) {
    const rows = await exported(path, 'audit', '--archives', kiosk.archives, '--after', String(after));
    assert.deepEqual(rows.map(({ id }) => Number(id)), range(after + 1, store.auditHead()!.id), String(after));
  }
  assert.equal((await exported(path, 'audit', '--after', '57'))[0]!['id'], '58'); // nothing is left out
  const beyond = await shepherd(['export', 'audit', '--after', '999', '--db', path]);
  assert.deepEqual([beyond.code, parse(beyond.out)], [0, []]);
  assert.match(beyond.err, /there is no event 999/);
});

test('a gap, a foreign archive and one with other rows are refused before anything is written', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  await archiveUpTo(kiosk, 30);
  await archiveUpTo(kiosk, 50);
  const [first, second] = readdirSync(kiosk.archives).sort();
  const refused = async (pattern: RegExp, expected = 1, dir = kiosk.archives): Promise<void> => {
    for (const subject of ['audit', 'sessions']) {
      const { code, out, err } = await shepherd(['export', subject, '--db', folder.file(), '--archives', dir]);
      assert.deepEqual([code, out], [expected, ''], err);
      assert.match(err, pattern);
    }
  };
  await refused(/ERR_STORE_NOT_FOUND/, 2, folder.file('none'));
  const otherFolder = new TestFolder(t);
  const other = kioskIn(otherFolder);
  await archiveUpTo(other, 50);
  await refused(/events 1 to 50 are in no archive of this store/, 1, other.archives);
  const text = readFileSync(join(kiosk.archives, second!), 'utf8');
  rmSync(join(kiosk.archives, second!));
  await refused(/events 31 to 50 are in no archive of this store/);
  const gapOf = async (subject: string): Promise<string> => {
    return (await shepherd(['export', subject, '--db', folder.file(), '--archives', kiosk.archives])).err;
  };
  assert.match(await gapOf('audit'), /--after 50 leaves them out/);
  assert.doesNotMatch(await gapOf('sessions'), /--after/); // which it does not take
  // One that ends early, and one whose rows are another store's under this one's header.
  writeFileSync(join(kiosk.archives, second!), text.split('\n').slice(0, -3).map((line) => `${line}\n`).join(''));
  await refused(/ERR_STORE_CORRUPT/);
  const [header] = text.split('\n');
  const foreign = readdirSync(other.archives)[0]!;
  const others = readFileSync(join(other.archives, foreign), 'utf8').split('\n');
  writeFileSync(join(kiosk.archives, second!), [header, ...others.slice(31)].join('\n'));
  await refused(/ERR_STORE_CORRUPT/);
  writeFileSync(join(kiosk.archives, second!), text);
  rmSync(join(kiosk.archives, first!));
  await refused(/events 1 to 30 are in no archive of this store/);
  assert.equal((await exported(folder.file(), 'audit', '--archives', kiosk.archives, '--after', '30'))[0]!['id'], '31');
});

test('a damaged line of an archive ends the export behind the rows before it, and is named', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, { days: 10, perDay: 400 });
  const { path } = await archiveUpTo(kiosk, 1_000);
  const lines = readFileSync(path, 'utf8').split('\n');
  const line = lines.findIndex((text) => text.includes('"id":350,'));
  writeFileSync(path, lines.with(line, lines[line]!.replace('policy_loaded', 'policy_Loaded')).join('\n'));
  const { code, out, err } = await shepherd(
    ['export', 'audit', '--db', folder.file(), '--archives', kiosk.archives],
  );
  assert.equal(code, 1);
  const ids = parse(out).map(({ id }) => Number(id));
  assert.deepEqual(ids, range(1, ids.length));
  assert.ok(ids.length >= 200 && ids.length < 350, String(ids.length)); // a part of the page may be missing
  assert.match(err, new RegExp(`line ${line + 1}.*ERR_STORE_CORRUPT`));
});

test('archives that were deleted are told, and the export begins behind them', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  await archiveUpTo(kiosk, 30);
  await archiveUpTo(kiosk, 57);
  const before = new Date('2026-01-05T00:00:00Z');
  assert.equal(forgetArchives(kiosk.store, kiosk.archives, { before }).length, 1);
  const last = kiosk.store.auditHead()!.id;
  for (const [after, told] of [[0, true], [29, true], [30, false], [40, false]] as const) {
    const argv = ['export', 'audit', '--archives', kiosk.archives, '--after', String(after), '--db', folder.file()];
    const { code, out, err } = await shepherd(argv);
    assert.equal(code, 0, err);
    assert.deepEqual(parse(out).map(({ id }) => Number(id)), range(Math.max(after, 30) + 1, last));
    assert.equal(/^the archives of the events up to 30 were deleted$/m.test(err), told, err);
  }
  forgetArchives(kiosk.store, kiosk.archives, { before: new Date('2026-01-10T00:00:00Z') });
  assert.deepEqual(readdirSync(kiosk.archives), []);
  const { code, out, err } = await shepherd(
    ['export', 'audit', '--json', '--archives', kiosk.archives, '--db', folder.file()],
  );
  assert.deepEqual([code, JSON.parse(err)], [0, { forgottenId: 57 }]);
  assert.equal((JSON.parse(out.split('\n')[0]!) as { id: number }).id, 58);
});

test('sessions have their ends wherever these are, and one without an end holds up no other', async (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-01-01T08:00:00Z');
  const store = folder.open(clocks.options);
  const start = (sessionId: string): object => ({ event: { type: 'session_started', sessionId, entryId: 'x' } });
  const end = (sessionId: string): object => {
    return { event: { type: 'session_ended', sessionId, entryId: 'x', reason: { type: 'expired' }, durationMs: 5 } };
  };
  const names = range(1, 6_000).map((number) => `s${number}`);
  const append = (items: object[]): void => void store.appendAudits(items as never);
  append([start('lost'), start('late'), start('again'), start('twice'), start('twice'), end('twice')]);
  for (let from = 0; from < names.length; from += 1_000) {
    append(names.slice(from, from + 1_000).flatMap((name) => [start(name), end(name)]));
  }
  append([start('again'), end('again'), end('late'), start('running')]);
  const expected = [
    ['lost', false], ['late', true], ['again', false], ['twice', false], ['twice', true],
    ...names.map((name) => [name, true]), ['again', true], ['running', false],
  ];
  const found = async (...argv: string[]): Promise<unknown[]> => {
    const rows = await exported(folder.file(), 'sessions', ...argv);
    return rows.map((row) => [row['session_id'], row['ended_at'] !== undefined]);
  };
  assert.deepEqual(await found(), expected);
  clocks.pass(5 * dayMs);
  append([end('running')]);
  clocks.pass(2 * dayMs);
  await archiveUpTo({ clocks, store, archives: folder.file('archives') }, 8_001);
  assert.deepEqual(await found('--archives', folder.file('archives')), expected.with(-1, ['running', true]));
  const { out } = await shepherd(['export', 'sessions', '--json', '--db', folder.file()]);
  const rows = out.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Cells);
  const unbegun = rows.filter((row) => row['startedAt'] === undefined).map((row) => row['sessionId']);
  assert.deepEqual(unbegun, ['s3998', 'late']);
});

test('--from and --to are days of the local time zone, also where these have 23 or 25 hours', async (t) => {
  const folder = new TestFolder(t);
  let at = new Date(0);
  const store = folder.open<Any>({ clock: () => at });
  const times = [
    '2026-03-28T23:59:59.999+01:00', '2026-03-29T00:00:00+01:00', '2026-03-29T23:59:59.999+02:00',
    '2026-03-30T00:00:00+02:00', '2026-10-24T23:59:59.999+02:00', '2026-10-25T00:00:00+02:00',
    '2026-10-25T23:59:59.999+01:00', '2026-10-26T00:00:00+01:00',
  ];
  for (const [index, text] of times.entries()) {
    at = new Date(text);
    store.appendAudit({ type: 'session_started', sessionId: String(index + 1), entryId: 'x' });
    store.addUsage('x', text.slice(0, 10), 1);
  }
  const path = folder.file();
  const ids = async (...argv: string[]): Promise<string[]> => {
    const [events, sessions] = [await exported(path, 'audit', ...argv), await exported(path, 'sessions', ...argv)];
    assert.deepEqual(sessions.map((row) => row['session_id']), events.map(({ id }) => id));
    return events.map(({ id }) => id!);
  };
  assert.deepEqual(await ids('--from', '2026-03-29', '--to', '2026-03-29'), ['2', '3']);
  assert.deepEqual(await ids('--from', '2026-10-25', '--to', '2026-10-25'), ['6', '7']);
  assert.deepEqual(await ids('--to', '2026-03-28'), ['1']);
  assert.deepEqual(await ids('--from', '2026-10-26'), ['8']);
  const days = (await exported(path, 'usage', '--from', '2026-03-29', '--to', '2026-10-24')).map(({ day }) => day);
  assert.deepEqual(days, ['2026-03-29', '2026-03-30', '2026-10-24']);
});

test('a row that cannot be read hides no other, and the exit code is 1', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  for (let number = 1; number <= 5; number++) {
    store.appendAudit({ type: 'session_started', sessionId: `s${number}`, entryId: 'x' });
    store.addUsage(`e${number}`, '2026-11-21', number);
  }
  store.close();
  const raw = folder.raw();
  raw.exec(`DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '[' WHERE id = 3;
    UPDATE audit_log SET timestamp = 'soon' WHERE id = 4; UPDATE usage SET duration_secs = -1 WHERE entry_id = 'e2'`);
  raw.close();
  const audit = await shepherd(['export', 'audit', '--db', folder.file()]);
  assert.deepEqual([audit.code, parse(audit.out).map(({ id }) => id)], [1, ['1', '2', '5']]);
  assert.deepEqual(audit.err.match(/^cannot be read: id \d/gm), ['cannot be read: id 3', 'cannot be read: id 4']);
  const { code, out, err } = await shepherd(['export', 'audit', '--json', '--db', folder.file()]);
  assert.deepEqual([code, err], [1, '']);
  const rows = out.split('\n').slice(0, -1).map((line) => JSON.parse(line) as { id: number; error?: { code: string } });
  assert.deepEqual(rows.map(({ id, error }) => [id, error?.code]), [
    [1, undefined], [2, undefined], [3, 'ERR_STORE_CORRUPT'], [4, 'ERR_STORE_CORRUPT'], [5, undefined],
  ]);
  const sessions = await shepherd(['export', 'sessions', '--db', folder.file()]);
  assert.deepEqual([sessions.code, parse(sessions.out).map((row) => row['session_id'])], [1, ['s1', 's2', 's5']]);
  const usage = await shepherd(['export', 'usage', '--db', folder.file()]);
  assert.deepEqual([usage.code, parse(usage.out).map((row) => row['entry_id'])], [1, ['e1', 'e3', 'e4', 'e5']]);
  assert.match(usage.err, /^cannot be read: day 2026-11-21, entryId e2/);
});

test('beside a service that writes, an export ends at the event that was the newest one', async (t) => {
  const folder = new TestFolder(t);
  const worker = new Worker(t, 'cli', ['write', folder.file()]);
  await worker.told(50);
  for (let round = 0; round < 5; round++) {
    const rows = await exported(folder.file(), 'audit');
    assert.deepEqual(rows.map(({ id }) => Number(id)), range(1, rows.length));
    assert.ok(rows.length >= 50);
  }
  worker.kill();
  await worker.end();
});

test('where a restore takes away rows that an export was to have, it fails and does not end early', async (t) => {
  const folder = new TestFolder(t);
  const append = (rows: number): void => {
    using store = folder.open<Any>();
    store.transaction(() => range(1, rows).forEach((step) => store.appendAudit({ type: 'step', step })));
  };
  append(250);
  {
    using store = folder.open();
    await backup(store, folder.file('older.db'));
  }
  append(250);
  using store = SqliteStore.openReadOnly(folder.file());
  const pages = logPages({ door: connect(store), lastId: 500, archived: undefined }, { id: 0, hash: undefined });
  assert.equal(pages.next().value!.rows.length, 100);
  await restore(folder.file('older.db'), folder.file());
  assert.throws(() => [...pages], { code: 'ERR_STORE_BUSY' });
});

test('what does not go together is refused, and so is an option that a subject has no use for', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  for (const argv of [
    [], ['audits'], ['audit', '--json', '--format', 'csv'], ['audit', '--format', 'xml'], ['usage', '--after', '1'],
    ['sessions', '--after', '1'], ['cooldowns', '--from', 'today'], ['facts', '--to', 'today'],
    ['projects', '--from', 'today'], ['usage', '--archives', 'x'], ['audit', '--after', '-1'],
    ['audit', '--from', '2026-11-22', '--to', '2026-11-21'], ['audit', folder.file()],
  ]) {
    const { code, out } = await shepherd(['export', ...argv, '--db', folder.file()]);
    assert.deepEqual([code, out], [2, ''], argv.join(' '));
  }
  assert.match((await shepherd(['export', 'audits', '--db', folder.file()])).err, /did you mean audit\?/);
  const empty = await shepherd(['export', 'usage', '--db', folder.file()]);
  assert.deepEqual([empty.code, empty.out], [0, 'day,entry_id,duration_ms,duration\r\n']);
});

test('a terminal gets no character that it obeys, and a pipe the exact text', async (t) => {
  const folder = new TestFolder(t);
  folder.open().addUsage('\u001b[2J', '2026-11-21', 1);
  const path = folder.file();
  assert.ok(!(await shepherd(['export', 'usage', '--db', path], { terminal: 80 })).out.includes('\u001b'));
  assert.equal((await exported(path, 'usage'))[0]!['entry_id'], '\u001b[2J');
});

test('a long log takes little memory, and an export that nobody reads to its end ends quietly', (t) => {
  const folder = new TestFolder(t, { checked: false });
  makeLong(folder.file(), 100_000);
  const head = `${process.execPath} ${program} export audit --db ${folder.file()} | head -n 2`;
  const { stdout, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', head], {
    encoding: 'utf8', env: plainEnvironment(),
  });
  assert.deepEqual([parse(stdout).length, stderr], [1, '']);
  const code = `
    import { readFileSync, writeFileSync } from 'node:fs';
    import { setTimeout } from 'node:timers/promises';
    import { main } from ${JSON.stringify(new URL('../../lib/cli/program.ts', import.meta.url).href)};
    await main(['export', 'cooldowns', '--db', process.argv[2]], process); // loads the command, and writes a line
    await setTimeout(200);
    writeFileSync('/proc/self/clear_refs', '5'); // the highest begins anew
    const idle = process.memoryUsage.rss();
    await main(['export', process.argv[1], '--db', process.argv[2]], process);
    const highest = Number(/VmHWM:\\s*(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    console.error((highest - idle) / 2 ** 20);`;
  for (const subject of ['audit', 'sessions']) {
    const said = spawnSync(process.execPath, ['--input-type=module', '-e', code, subject, folder.file()], {
      encoding: 'utf8', env: plainEnvironment(), maxBuffer: 2 ** 30,
    });
    t.diagnostic(`${subject}: ${said.stderr.trim()} MiB`);
    assert.equal(said.stdout.split('\n').length, 100_003);
    assert.ok(Number(said.stderr) <= 32, said.stderr);
  }
});
