// The command metrics: each figure against the store, what is told of a store that cannot be read, and the file that an
// exporter reads.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { labelOf } from '../../lib/cli/exposition.ts';
import { schemaVersion } from '../../lib/core/schema.ts';
import { SqliteStore } from '../../lib/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { backup } from '../../lib/modules/backup/backup.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { temporaryName } from '../../lib/values/files.ts';
import { Worker } from '../support/child.ts';
import { type Said, shepherd } from '../support/command.ts';
import { byLabel, type Figure, figureOf, figuresIn } from '../support/figures.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { hostileTexts } from '../support/hostile.ts';
import { manifest, root } from '../support/project.ts';
import { needs } from '../support/tools.ts';

process.env['TZ'] = 'Europe/Berlin';
const now = new Date('2026-11-21T18:00:00+01:00');
const clock = (): Date => now;
const today = '2026-11-21';
const seconds = (date: Date): number => date.getTime() / 1000;
const day = 86_400_000;

const metrics = (path: string, ...args: string[]): Promise<Said> => shepherd(['metrics', path, ...args], { clock });
async function figures(path: string): Promise<Figure[]> {
  const { code, out, err } = await metrics(path);
  assert.deepEqual([code, err], [0, '']);
  return figuresIn(out);
}

/** What promtool, where it is there, finds in a text. */
function checked(text: string): string {
  const { stdout, stderr, status } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  return status === 0 ? stdout + stderr : `${status}: ${stdout}${stderr}`;
}

/** A store with a figure for everything. */
async function fill(t: TestContext): Promise<{ folder: TestFolder; path: string; times: Record<string, number> }> {
  const folder = new TestFolder(t);
  let at = now.getTime() - 200 * day;
  const store = SqliteStore.open(folder.file(), { clock: () => new Date(at) });
  store.appendAudits(Array.from({ length: 40 }, () => ({ event: { type: 'service_started' } })));
  at = now.getTime() - 2 * day;
  const archived = at;
  await archiveAudits(store, { folder: folder.file('archives'), upTo: { keepDays: 90 } });
  at += 1_000;
  const backedUp = at;
  await backup(store, folder.file('copy.db'), { record: true });
  at = new Date('2026-11-20T23:59:59+01:00').getTime();
  store.appendAudit({ type: 'launch_denied', entryId: 'a', reasons: [] }); // yesterday, here
  at = new Date('2026-11-21T00:00:00+01:00').getTime();
  store.appendAudit({ type: 'launch_denied', entryId: 'a', reasons: [] }); // today here, and yesterday in UTC
  at = now.getTime() - 3_600_000;
  new Outbox(store, 'centre').acknowledge(store.auditHead()!);
  store.addUsage('tuxmath', today, 90_500);
  store.addUsage('minecraft', today, 3_600_000);
  store.addUsage('minecraft', '2026-11-20', 7_200_000);
  store.setCooldownUntil('tuxmath', new Date(now.getTime() + 60_000));
  store.setCooldownUntil('old', new Date(now.getTime() - 60_000));
  let elapsed = 0;
  const tracker = new SessionTracker(store, { monotonicMs: () => elapsed });
  tracker.start({ entryId: 'minecraft', sessionId: 's' });
  elapsed = 600_000;
  at += 600_000;
  const saved = at;
  tracker.touch();
  at += 1_000;
  store.appendAudit({ type: 'launch_denied', entryId: 'a', reasons: [] });
  const newest = at;
  store.close();
  return { folder, path: folder.file(), times: { archived, backedUp, saved, newest } };
}

test('each figure is what the store says', async (t) => {
  const { path, times } = await fill(t);
  const all = await figures(path);
  using store = SqliteStore.openReadOnly(path, { clock });
  const { freePageBytes, databaseBytes, walBytes, sqliteVersion, timeZone, archivedId } = store.health();
  const head = store.auditHead()!.id;
  const position = new Outbox(store, 'centre').position.id;
  const uuid = figureOf(all, 'up') === 1 && all.find(({ name }) => name === 'info')!.labels['uuid']!;
  const expected: [name: string, value: number | undefined, labels?: object][] = [
    ['up', 1],
    ['info', 1, { uuid, version: manifest.version, sqlite_version: sqliteVersion, time_zone: timeZone }],
    ['schema_version', schemaVersion],
    ['database_bytes', databaseBytes],
    ['wal_bytes', walBytes],
    ['free_page_bytes', freePageBytes],
    ['events_total', head],
    ['archived_events_total', archivedId],
    ['newest_event_timestamp_seconds', times['newest']! / 1000],
    ['usage_today_seconds', 3_600, { entry: 'minecraft' }],
    ['usage_today_seconds', 90.5, { entry: 'tuxmath' }],
    ['usage_today_others_seconds', 0],
    ['usage_today_entries', 2],
    ['session_running', 1],
    ['session_seconds', 600, { entry: 'minecraft' }],
    ['snapshot_timestamp_seconds', times['saved']! / 1000],
    ['cooldowns_running', 1],
    ['denied_launches_today', 2],
    ['outbox_lag_events', head - position, { outbox: 'centre' }],
    ['outbox_oldest_unsent_timestamp_seconds', seconds(store.getRecentAudits(head - position).at(-1)!.timestamp),
      { outbox: 'centre' }],
    ['outbox_acknowledged_timestamp_seconds', seconds(now) - 3_600, { outbox: 'centre' }],
    ['last_backup_timestamp_seconds', times['backedUp']! / 1000],
    ['last_archive_timestamp_seconds', times['archived']! / 1000],
    ['last_verification_timestamp_seconds', undefined],
    ['figures_timestamp_seconds', seconds(now)],
  ];
  for (const [name, value, labels] of expected) assert.equal(figureOf(all, name, labels), value, name);
  const free = figureOf(all, 'filesystem_free_bytes')!;
  assert.ok(Math.abs(free - store.health().freeBytes!) < 1e9, String(free));
  const kinds = byLabel(all, 'finding');
  assert.deepEqual(new Set(Object.values(kinds)), new Set([0]));
  assert.deepEqual(byLabel(all, 'unreadable'), {
    log: 0, usage: 0, snapshot: 0, cooldowns: 0, denied: 0, outboxes: 0, upkeep: 0,
  });
  // Nothing is told that is not looked at here.
  const known = new Set([...expected.map(([name]) => name), 'filesystem_free_bytes', 'finding', 'unreadable']);
  assert.deepEqual(all.filter(({ name }) => !known.has(name)), []);

  const { out } = await metrics(path, '--json');
  const document = JSON.parse(out) as { metrics: { name: string; samples: { labels: object; value: number }[] }[] };
  const told = document.metrics
    .flatMap(({ name, samples }) => samples.map((each) => ({ name: name.replace('shepherd_store_', ''), ...each })));
  const isSteady = ({ name }: { name: string }): boolean => name !== 'filesystem_free_bytes';
  assert.deepEqual(told.filter(isSteady), all.filter(isSteady));
});

test('a new store has figures of nothing, and none of what never was', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const all = await figures(folder.file());
  for (const name of ['events_total', 'usage_today_others_seconds', 'usage_today_entries', 'session_running',
    'cooldowns_running', 'denied_launches_today', 'archived_events_total']) assert.equal(figureOf(all, name), 0, name);
  assert.deepEqual(all.filter(({ name }) => /^(last_|newest|session_s|snapshot|outbox|usage_today_s)/.test(name)), []);
});

test('a finding is a figure, and the exit code stays 0', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  store.close();
  chmodSync(folder.path, 0o777);
  const before = new Date('2020-01-01');
  const { code, out } = await shepherd(['metrics', folder.file()], { clock: () => before });
  const findings = byLabel(figuresIn(out), 'finding');
  assert.deepEqual([code, findings['folder-shared'], findings['clock-behind'], findings['replaced']], [0, 1, 1, 0]);
});

test('the entries beyond the first hundred are summed, and all of it is what usage shows', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  store.transaction(() => {
    for (let entry = 0; entry < 250; entry++) store.addUsage(`entry ${entry}`, today, 1_000 * ((entry * 37) % 251) + 1);
  });
  store.close();
  const all = await figures(folder.file());
  const named = byLabel(all, 'usage_today_seconds');
  const shown = await shepherd(['usage', '--day', 'today', '--json', '--db', folder.file()], { clock });
  const { usage } = JSON.parse(shown.out) as { usage: { entryId: string; durationMs: number }[] };
  const longest = usage.sort((a, b) => b.durationMs - a.durationMs).slice(0, 100);
  assert.deepEqual(named, Object.fromEntries(longest.map(({ entryId, durationMs }) => [entryId, durationMs / 1000])));
  const sum = usage.reduce((total, { durationMs }) => total + durationMs, 0);
  const others = figureOf(all, 'usage_today_others_seconds')!;
  assert.equal(Math.round(1000 * (Object.values(named).reduce((total, value) => total + value) + others)), sum);
  assert.equal(figureOf(all, 'usage_today_entries'), 250);
});

/** The texts that a store takes as an entry's id. */
const ids = hostileTexts.filter((text) => !text.includes('\0'));

test('hostile texts are labels of their own, that no terminal obeys and that are not long', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  // What a changed text becomes is itself taken by an entry, and so is what that becomes.
  const all = [...new Set([...ids, ...ids.map(labelOf), ...ids.map(labelOf).map(labelOf)])];
  store.transaction(() => all.forEach((id, index) => store.addUsage(id, today, 1_000 * (index + 1))));
  store.close();
  const { out, code } = await metrics(folder.file());
  assert.equal(code, 0);
  assert.doesNotMatch(out.replaceAll('\n', ''), /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
  const found = figuresIn(out);
  const named = byLabel(found, 'usage_today_seconds');
  assert.equal(Object.keys(named).length, Math.min(100, all.length));
  for (const [index, id] of all.entries()) {
    const label = labelOf(id);
    assert.ok(label.length <= 265, label);
    if (index + 1 > all.length - 100) assert.equal(named[label], index + 1, label);
    if (id.length > 200) assert.ok(label.endsWith(`…${createHash('sha256').update(id).digest('hex')}`), label);
  }
  assert.equal(new Set(all.map(labelOf)).size, all.length);
  for (const plain of ['minecraft', 'a"b', '\\"\\n\\\\', '日本語', '👩‍👩‍👧‍👦', '<script>'])
    assert.equal(labelOf(plain), plain);
});

test('promtool finds nothing wrong with the figures, whatever the entries are called', needs('promtool'), async (t) => {
  const { folder, path } = await fill(t);
  const store = folder.open({ clock });
  for (const id of ids) store.addUsage(id, today, 1_000);
  store.close();
  assert.equal(checked('shepherd_store_x_count 1\n').startsWith('3: '), true);
  for (const args of [[], ['--label', 'a "b"\\\n']]) assert.equal(checked((await metrics(path, ...args)).out), '');
  assert.equal(checked((await metrics(folder.file('none.db'))).out), '');
});

const down = '# HELP shepherd_store_up Whether the store could be read.\n# TYPE shepherd_store_up gauge\n' +
  'shepherd_store_up 0\n';

test('a store that cannot be read is told as down, on the output or in the file, with exit code 1', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const whole = await fill(t);
  const bytes = readFileSync(whole.path);
  const cases: [name: string, make: (path: string) => void, code: string][] = [
    ['missing', () => {}, 'ERR_STORE_NOT_FOUND'],
    ['empty', (path) => writeFileSync(path, ''), 'ERR_STORE_NOT_A_STORE'],
    ['text', (path) => writeFileSync(path, 'no database '.repeat(1_000)), 'ERR_STORE_NOT_A_STORE'],
    ['folder', (path) => mkdirSync(path), 'ERR_STORE_NOT_A_STORE'],
    ['older', (path) => {
      writeFileSync(path, bytes);
      SqliteStore.migrate(path, schemaVersion - 1, { force: true });
    }, 'ERR_STORE_SCHEMA_TOO_OLD'],
    ['newer', (path) => {
      writeFileSync(path, bytes);
      using db = new DatabaseSync(path);
      db.exec(`INSERT INTO schema_version VALUES (${schemaVersion + 1}, 'x', '2027-01-01T00:00:00.000Z');
        UPDATE store_meta SET writable_from = ${schemaVersion + 1}, readable_from = ${schemaVersion + 1};
        PRAGMA user_version = ${schemaVersion + 1}`);
    }, 'ERR_STORE_SCHEMA_TOO_NEW'],
  ];
  for (const [name, make, code] of cases) {
    const path = folder.file(`${name}.db`);
    make(path);
    const said = await metrics(path);
    assert.deepEqual([said.code, said.out], [1, down], name);
    assert.ok(said.err.includes(`(${code})`), said.err);
    const file = folder.file('x.prom');
    writeFileSync(file, 'the old figures');
    const written = await metrics(path, '--textfile', file, '--json');
    assert.deepEqual([written.code, written.out, readFileSync(file, 'utf8')], [1, '', down], name);
    assert.equal((JSON.parse(written.err) as { error: { code: string } }).error.code, code);
  }
});

test('with any page destroyed, the store is down, or what is told of it is what it was', async (t) => {
  const { path } = await fill(t);
  const whole = readFileSync(path);
  const steady = (all: Figure[]): Figure[] =>
    all.filter(({ name }) => !/^(finding|filesystem_free_bytes|free_page_bytes)$/.test(name));
  const right = steady(await figures(path));
  const damaged = new TestFolder(t, { checked: false });
  let downs = 0;
  for (let page = 1; page <= whole.length / 4096; page++) {
    writeFileSync(damaged.file(), Buffer.from(whole).fill(0xa5, (page - 1) * 4096, page * 4096));
    const { code, out } = await metrics(damaged.file());
    if (out === down) {
      assert.equal(code, 1);
      downs++;
      continue;
    }
    // The page was read by nothing.
    const found = steady(figuresIn(out));
    assert.deepEqual([code, found], [0, right], `page ${page}`);
  }
  assert.ok(downs > 3, `${downs}`);
});

test('a value that cannot be right takes its part away and nothing else: no sum is too low', async (t) => {
  const { path } = await fill(t);
  const whole = readFileSync(path);
  const folder = new TestFolder(t, { checked: false });
  const cases: [part: string, sql: string, gone: RegExp][] = [
    ['usage', "UPDATE usage SET duration_secs = -5 WHERE entry_id = 'tuxmath'", /^usage_/],
    ['usage', "UPDATE usage SET duration_secs = 'x' WHERE entry_id = 'tuxmath'", /^usage_/],
    ['usage', "UPDATE usage SET entry_id = x'00ff' WHERE entry_id = 'tuxmath'", /^usage_/],
    ['cooldowns', "UPDATE cooldowns SET until = 'soon' WHERE entry_id = 'old'", /^cooldowns_/],
    ['denied', `DROP TRIGGER audit_log_no_update;
      UPDATE audit_log SET timestamp = 'then' WHERE event_type = 'launch_denied'`,
      /^(denied_|newest_|events_|archived_)/],
    ...["'x'", "x'fffe'", '9e999', '-5', '0.5'].map((id): typeof cases[number] => (
      ['log', `UPDATE store_meta SET archived_id = ${id}, archived_hash = ''`, /^(newest_|events_|archived_)/]
    )),
    ['upkeep', `DROP TRIGGER audit_log_no_update;
      UPDATE audit_log SET timestamp = 'then' WHERE event_type = 'store_backed_up'`, /^last_/],
  ];
  const right = await figures(path);
  for (const [part, sql, gone] of cases) {
    writeFileSync(folder.file(), whole);
    const schema = readFileSync(join(root, 'schema.sql'), 'utf8');
    const [trigger] = /CREATE TRIGGER audit_log_no_update[^]*?END;/.exec(schema)!;
    using db = new DatabaseSync(folder.file());
    db.exec(sql.includes('DROP') ? `${sql}; ${trigger}` : sql);
    db.close();
    const { code, out, err } = await metrics(folder.file());
    const found = figuresIn(out);
    assert.deepEqual([code, figureOf(found, 'up'), byLabel(found, 'unreadable')[part]], [1, 1, 1], part);
    assert.match(err, /^(shepherd-store: .* \(ERR_STORE_[A-Z_]+\)\n)+$/);
    const names = (all: Figure[]): string[] => [...new Set(all.map(({ name }) => name))];
    assert.deepEqual(names(found), names(right).filter((name) => !gone.test(name)), part);
  }
});

test('denied launches are counted by the clock, also behind rows whose time is another, within bounds', async (t) => {
  const folder = new TestFolder(t, { inMemory: true });
  let at = now.getTime();
  const store = SqliteStore.open(folder.file(), { clock: () => new Date(at) });
  const append = (type: string, count: number): void => {
    store.appendAudits(Array.from({ length: count }, () => ({ event: { type, entryId: 'a', reasons: [] } as never })));
  };
  append('launch_denied', 1_200);
  at -= 30 * day; // the clock is set back for a while
  append('launch_denied', 400);
  at += 31 * day; // and ahead
  append('launch_denied', 1);
  at = now.getTime();
  append('launch_denied', 2_000);
  assert.equal(figureOf(await figures(folder.file()), 'denied_launches_today'), 3_200);
  append('service_started', 99_000);
  const all = await figures(folder.file());
  assert.deepEqual([figureOf(all, 'denied_launches_today'), byLabel(all, 'unreadable')['denied']], [undefined, 0]);
  store.close();
});

test('a wrong call writes nothing', async (t) => {
  const { folder, path } = await fill(t);
  const file = folder.file('x.prom');
  writeFileSync(file, 'the old figures');
  for (const args of [['--textfil', file], ['--textfile', folder.file('x.txt')], ['--textfile', ''],
    ['--textfile', file, '--db', path], ['--textfile', file, '--label', '']]) {
    const { code, out } = await metrics(path, ...args);
    assert.deepEqual([code, out], [2, ''], args.join(' '));
  }
  assert.equal(readFileSync(file, 'utf8'), 'the old figures');
  assert.ok(!readdirSync(folder.path).includes('x.txt'));
});

test('--textfile replaces what is there as a whole, follows no link, and every user may read it', async (t) => {
  const { folder, path } = await fill(t);
  mkdirSync(folder.file('out'));
  const file = folder.file('out/kiosk.prom');
  const other = folder.file('other');
  writeFileSync(other, 'not to be touched', { mode: 0o600 });
  symlinkSync(other, file);
  const umask = process.umask(0o777);
  t.after(() => process.umask(umask));
  assert.deepEqual(await metrics(path, '--textfile', file), { code: 0, out: '', err: '' });
  process.umask(umask);
  assert.equal(readFileSync(other, 'utf8'), 'not to be touched');
  assert.deepEqual([lstatSync(file).isFile(), lstatSync(file).mode & 0o777], [true, 0o644]);
  const first = statSync(file).ino;
  const held = readFileSync(file, 'utf8');
  assert.deepEqual(figuresIn(held).length > 40, true);
  await metrics(path, '--textfile', file, '--label', 'hall');
  assert.notEqual(statSync(file).ino, first);
  for (const { labels } of figuresIn(readFileSync(file, 'utf8'))) assert.equal(labels['store'], 'hall');
  assert.deepEqual(readdirSync(folder.file('out')), ['kiosk.prom']);
});

test('where the file cannot be written the old one stays, and nothing else is left', async (t) => {
  const { folder, path } = await fill(t);
  mkdirSync(folder.file('out/taken.prom/full'), { recursive: true });
  const said = await metrics(path, '--textfile', folder.file('out/taken.prom'));
  assert.deepEqual([said.code, said.out], [1, '']);
  assert.match(said.err, /failed to write .*taken\.prom/);
  assert.deepEqual(readdirSync(folder.file('out')), ['taken.prom']);
  assert.match((await metrics(path, '--textfile', folder.file('none/x.prom'))).err, /ERR_STORE_NOT_FOUND/);
  assert.deepEqual(readdirSync(folder.path).includes('none'), false);
});

test('what a killed call has left beside the file is removed once it is old, and what one writes stays', async (t) => {
  const { folder, path } = await fill(t);
  mkdirSync(folder.file('out'));
  const file = folder.file('out/kiosk.prom');
  const [left, written] = [temporaryName(file), temporaryName(file)];
  for (const name of [left, written]) writeFileSync(name, 'half');
  utimesSync(left, new Date(0), new Date(0));
  await metrics(path, '--textfile', file);
  assert.deepEqual(readdirSync(folder.file('out')).sort(), [basename(written), 'kiosk.prom'].sort());
});

test('it changes nothing, and reads one state beside a writer', async (t) => {
  const { folder, path } = await fill(t);
  const before = picture(folder.path);
  await figures(path);
  assert.deepEqual(picture(folder.path), before);
  const store = folder.open({ clock });
  store.addUsage('film', today, 1_000);
  assert.equal(byLabel(await figures(path), 'usage_today_seconds')['film'], 1);
});

test('what a writer adds together is told together', async (t) => {
  const folder = new TestFolder(t);
  const writer = new Worker(t, 'metrics', [folder.file(), today]);
  await writer.told(1);
  let last = 0;
  for (let round = 0; round < 15; round++) {
    const all = await figures(folder.file());
    const { a, b } = byLabel(all, 'usage_today_seconds');
    assert.equal(a, b);
    assert.equal(figureOf(all, 'events_total'), a);
    assert.ok(a! >= last);
    last = a!;
  }
  writer.go();
});
