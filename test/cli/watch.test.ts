// watch: what is on its screen, and that it leaves the terminal as it was found.
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { fitSections } from '../../lib/cli/screen.ts';
import { cutLine, textWidth } from '../../lib/cli/text.ts';
import { SqliteStore } from '../../lib/index.ts';
import { backup, restore } from '../../lib/modules/backup/backup.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { localDay } from '../../lib/values/days.ts';
import { shepherd } from '../support/command.ts';
import { TestFolder } from '../support/folder.ts';
import { hostileTexts } from '../support/hostile.ts';
import { type Size, Terminal } from '../support/terminal.ts';
import { needs } from '../support/tools.ts';

process.env['TZ'] = 'UTC';
const usual: Size = { columns: 80, rows: 24 };
const low: Size = { columns: 40, rows: 12 };

function watch(t: TestContext, folder: TestFolder, size: Size = usual, ...options: readonly string[]): Terminal {
  return new Terminal(t, folder.file('terminal'), ['watch', '--db', folder.file(), ...options], size);
}

/** A store with some of everything; the session runs as long as the store is open. */
function fill(folder: TestFolder): SqliteStore {
  const store = folder.open();
  store.addUsage('minecraft', localDay(new Date()), 3_600_000);
  store.addUsage('tuxmath', localDay(new Date()), 1_200_000);
  store.setCooldownUntil('film', new Date(Date.now() + 3_600_000));
  new SessionTracker(store).start({ entryId: 'gcompris', deadline: new Date(Date.now() + 1_800_000) });
  return store;
}

/** Every line is as narrow as the screen, and there are no more of them than fit. */
function assertFits({ screen }: Terminal, { columns, rows }: Size): void {
  assert.ok(screen.length <= rows + 1 && (screen.length <= rows || screen.at(-1) === ''), screen.join('\n'));
  for (const line of screen) assert.ok(textWidth(line) <= columns, line);
}

test('it shows what runs, what was used, what is blocked and the last events, until q', needs('script'), async (t) => {
  const folder = new TestFolder(t);
  fill(folder);
  const policy = { entries: { tuxmath: { dailyMs: 7_200_000 }, film: {} } };
  writeFileSync(folder.file('policy.json'), JSON.stringify(policy));
  const terminal = watch(t, folder, { columns: 80, rows: 40 }, '--policy', folder.file('policy.json'));
  await terminal.shows(/session_started/);
  const text = terminal.screen.join('\n');
  for (const part of [
    /^\w{3} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00  \/.*store\.db$/m, /^state +healthy$/m, /^session +gcompris/m,
    /until .*\(\d\d min.* left\)/, /^Today, /m,
    /^  minecraft +1 h 00 min 00 s  █{20,}$/m, /^  tuxmath +20 min.* █/m,
    /^Cooldowns\n  film .* \d+ min \d\d s left$/m, /^What may start\n  tuxmath +may start, .* left/m,
    /^  film +may not start until/m, /^Last events\n/m, /session_started +gcompris/,
  ]) assert.match(text, part);
  assertFits(terminal, { columns: 80, rows: 40 });
  terminal.type('q');
  assert.equal(await terminal.ended, 0);
  terminal.assertRestored();
});

test('what is written is on the screen after about a second, and Ctrl-C ends it with 0', needs('script'), async (t) => {
  const folder = new TestFolder(t);
  const store = fill(folder);
  const terminal = watch(t, folder);
  await terminal.shows(/Last events/);
  store.appendAudit({ type: 'launch_denied', entryId: 'doom', reasons: ['unknown'] });
  await terminal.shows(/launch_denied +doom/);
  store.addUsage('krita', localDay(new Date()), 60_000);
  await terminal.shows(/^  krita +1 min 00 s/m);
  terminal.type('\x03');
  assert.equal(await terminal.ended, 0);
  terminal.assertRestored();
});

test('it is drawn anew when the size changes, and SIGTERM ends it with 0', needs('script'), async (t) => {
  const folder = new TestFolder(t);
  fill(folder);
  const terminal = watch(t, folder);
  await terminal.shows(/Last events/);
  assertFits(terminal, usual);
  terminal.resize(low);
  await terminal.shows(/^(?!.*since)[^]*…/);
  assertFits(terminal, low);
  terminal.resize({ columns: 120, rows: 50 });
  await terminal.shows(/session=[-0-9a-f]{36}/);
  terminal.kill('SIGTERM');
  assert.equal(await terminal.ended, 0);
  terminal.assertRestored();
});

test('no text that somebody gave has power over the terminal, on any size', needs('script'), async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  for (const given of hostileTexts) {
    const text = given.replaceAll('\0', '');
    store.addUsage(text, localDay(new Date()), 60_000);
    store.setCooldownUntil(text, new Date(Date.now() + 3_600_000));
    store.appendAudit({ type: 'launch_denied', entryId: text, reasons: [text] }, { source: text });
  }
  const terminal = watch(t, folder, { columns: 100, rows: 300 });
  await terminal.shows(/Last events/);
  assertFits(terminal, { columns: 100, rows: 300 });
  terminal.resize(low);
  await terminal.shows(/^[^]{0,500}$/);
  assertFits(terminal, low);
  terminal.type('q');
  assert.equal(await terminal.ended, 0);
  const own = /\x1b\[(\?(1049|25|7)[hl]|[HKJ]|\d+m)|[\r\n]/g;
  assert.doesNotMatch(terminal.output.replaceAll(own, ''), /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u);
});

test('where the store is away it says so in its place, and goes on when it is back', needs('script'), async (t) => {
  const folder = new TestFolder(t);
  const store = fill(folder);
  await backup(store, folder.file('backup.db'));
  store.appendAudit({ type: 'launch_denied', entryId: 'doom', reasons: [] });
  store.close();
  const terminal = watch(t, folder);
  await terminal.shows(/launch_denied +doom/);
  renameSync(folder.file(), folder.file('away.db'));
  await terminal.shows(/cannot be read: [^]*it is tried again every\s+second/);
  assertFits(terminal, usual);
  renameSync(folder.file('away.db'), folder.file());
  await terminal.shows(/launch_denied +doom/);
  await restore(folder.file('backup.db'), folder.file());
  await terminal.shows(/^(?![^]*doom)[^]*Last events/);
  terminal.type('q');
  assert.equal(await terminal.ended, 0);
});

test('an error that ends it is told on the screen that was there before', needs('script'), async (t) => {
  const folder = new TestFolder(t, { checked: false });
  fill(folder).close();
  const terminal = watch(t, folder);
  await terminal.shows(/Last events/);
  const db = folder.raw();
  db.exec('UPDATE store_meta SET writable_from = 99, readable_from = 99; PRAGMA user_version = 99');
  db.close();
  assert.equal(await terminal.ended, 1);
  terminal.assertRestored();
  assert.match(terminal.output.split('\x1b[?1049l').at(-1)!, /ERR_STORE_SCHEMA_TOO_NEW/);
});

test('without a terminal it is refused and names what to use, as are a missing store and a bad policy', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  writeFileSync(folder.file('bad.json'), '{');
  const piped = await shepherd(['watch', folder.file()]);
  assert.deepEqual([piped.code, piped.out], [2, '']);
  assert.match(piped.err, /needs a terminal: status .* audit --follow/);
  for (const argv of [[folder.file('none.db')], [folder.file(), '--policy', folder.file('bad.json')]]) {
    const { code, out, err } = await shepherd(['watch', ...argv], { terminal: 80 });
    assert.deepEqual([code, out], [2, ''], argv.join(' '));
    assert.match(err, /ERR_STORE_NOT_FOUND|is no JSON/);
  }
});

test('in little room the longest parts are cut first, and say how much is missing', () => {
  const section = (title: string, count: number): { title: string; lines: string[] } => {
    return { title, lines: Array.from({ length: count }, (_, line) => `${title} ${line}`) };
  };
  const fitted = (room: number, ...sections: { title: string; lines: string[]; isOpen?: boolean }[]): string[] => {
    return fitSections(process.stdout, sections, room).map((line) => stripVTControlCharacters(line));
  };
  const [long, short] = [section('long', 9), section('short', 2)];
  assert.equal(fitted(20, long, section('none', 0), short).length, 2 + 9 + 2 + 2);
  const ofShort = ['', 'short', ...short.lines];
  assert.deepEqual(fitted(9, long, short), ['', 'long', 'long 0', 'long 1', '  … 7 more', ...ofShort]);
  assert.deepEqual(fitted(8, { ...long, isOpen: true }, short), ['', 'long', 'long 0', 'long 1', ...ofShort]);
  assert.deepEqual(fitted(4, long, short), ['long  … 8 more', 'long 0', 'short  … 1 more', 'short 0']);
  assert.deepEqual(fitted(3, long, short), ['', 'long  … 8 more', 'long 0']);
  assert.deepEqual([fitted(0, long), fitted(-5, long)], [[], []]);
});

test('a low screen shows what runs, how long yet, today and an event before all else', needs('script'), async (t) => {
  const folder = new TestFolder(t);
  fill(folder);
  writeFileSync(folder.file('policy.json'), JSON.stringify({ entries: { tuxmath: {}, film: {} } }));
  const size = { columns: 40, rows: 10 };
  const terminal = watch(t, folder, size, '--policy', folder.file('policy.json'));
  await terminal.shows(/session_started/);
  const text = terminal.screen.join('\n');
  for (const part of [
    /^session +gcompris.*\n +\d\d min \d\d s left, until/m, /^Today, .*\n  minecraft +1 h 00 min/m,
    /^Last events\n.*\n.* session_started/m,
  ]) assert.match(text, part);
  assertFits(terminal, size);
  terminal.type('q');
  assert.equal(await terminal.ended, 0);
});

test('a line with colours is cut to its width, and its last colour ends', () => {
  const line = '\x1b[31mred 漢字\x1b[39m and more';
  assert.equal(cutLine(line, 80), line);
  for (let width = 1; width < 16; width++) {
    const cut = cutLine(line, width);
    assert.ok(textWidth(stripVTControlCharacters(cut)) <= Math.max(width, 1), `${width}: ${cut}`);
    assert.ok(cut.includes('\x1b[39m'), cut);
  }
  assert.equal(stripVTControlCharacters(cutLine(line, 7)), 'red 漢…');
});
