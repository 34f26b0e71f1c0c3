// Nightshift's audit log, a file of lines a day: what becomes of each line, once and again.
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { type ImportReport, importStore } from '../../lib/import/index.ts';
import type { SqliteStore } from '../../lib/index.ts';
import { TestFolder } from '../support/folder.ts';
import { abortAt, importModule, runModule, timeless } from '../support/import.ts';
import { dump, filesOf } from '../support/shepherdd.ts';

const none = { events: 0, usage: 0, cooldowns: 0, snapshots: 0 };

// As Go's encoding/json writes them, an absent field left out.
const start = '{"timestamp":"2026-07-20T02:10:47.112233638-07:00","event_type":"agent_start","agent":"claude",'
  + '"task_id":"lint:/srv/a","project":"/srv/a","action":"start","request_id":"req-1","session_id":"sess-1"}';
const commit = '{"timestamp":"2026-07-20T02:11:00-07:00","event_type":"git_commit","agent":"claude","target":"main",'
  + '"action":"commit","metadata":{"hash":"ab\\u003cc","n":"1"},"request_id":"req-2","session_id":"sess-1"}';
const complete = '{"timestamp":"2026-07-20T09:30:00.5Z","event_type":"agent_complete","agent":"codex",'
  + '"duration":5000000000,"tokens_used":9007199254740993,"request_id":"req-3","session_id":"sess-1"}';
const log = `${start}\n${commit}\n${complete}\n`;

interface Imported {
  folder: TestFolder;
  source: string;
  report: ImportReport;
  store: SqliteStore;
}

async function importLines(t: TestContext, text: string | Buffer): Promise<Imported> {
  const folder = new TestFolder(t);
  const source = folder.file('audit-2026-07-20.jsonl');
  writeFileSync(source, text);
  const report = await importStore(source, folder.file());
  return { folder, source, report, store: folder.open() };
}

const listed = ({ skipped }: ImportReport): string[] => skipped.map(({ table, row }) => `${table} ${row}`);

test('each line is an event, with its fields as they are and its attributes in their places', async (t) => {
  const { folder, report, store } = await importLines(t, log);
  const taken = { ...none, events: 3 };
  assert.deepEqual(report, { kind: 'nightshift-audit', taken, alreadyThere: none, skipped: [] });
  const [first, second] = [...store.iterateAudits()];
  const { event, eventId, ...attributes } = first!;
  assert.deepEqual(event, {
    type: 'agent_start', task_id: 'lint:/srv/a', project: '/srv/a', action: 'start', session_id: 'sess-1',
  });
  assert.match(eventId!, /^nightshift:audit:[0-9a-f]{32}$/);
  const timestamp = new Date('2026-07-20T09:10:47.112Z');
  assert.deepEqual(attributes, { id: 1, timestamp, observedAt: timestamp, source: 'claude', traceId: 'req-1' });
  assert.deepEqual([second!.event.type, second!.target], ['git_commit', 'main']);
  assert.deepEqual(second!.timestamp, new Date('2026-07-20T09:11:00Z'));
  const row = folder.raw().prepare('SELECT event_data, event_meta FROM audit_log WHERE id = 3').get()!;
  assert.equal(row['event_data'], '{"duration":5000000000,"tokens_used":9007199254740993,"session_id":"sess-1"}');
  assert.match(String(row['event_meta']), /"sourceTimestamp":"2026-07-20T09:30:00.5Z"/);
  assert.ok((await store.verifyAudit()).ok);
});

test('a second import adds nothing at all, and a log that has gone on brings what is new', async (t) => {
  const { folder, source, store } = await importLines(t, log);
  store.close();
  const before = [dump(folder.file()), filesOf(source)];
  assert.deepEqual((await importStore(source, folder.file())).alreadyThere, { ...none, events: 3 });
  assert.deepEqual([dump(folder.file()), filesOf(source)], before);
  appendFileSync(source, `${start.replace('agent_start', 'agent_error')}\n`);
  const { taken, alreadyThere } = await importStore(source, folder.file());
  assert.deepEqual([taken.events, alreadyThere.events], [1, 3]);
});

test('the files of several days, put together or cut at their beginning, bring each line once', async (t) => {
  const { folder } = await importLines(t, log);
  const other = `${start.replace('07-20T', '07-21T')}\n`;
  writeFileSync(folder.file('all.jsonl'), other + log + other.replace('agent_start', 'agent_error'));
  const { taken, alreadyThere } = await importStore(folder.file('all.jsonl'), folder.file());
  assert.deepEqual([taken.events, alreadyThere.events], [2, 3]);
});

test('lines that say the same one behind the other are as many events', async (t) => {
  const { folder, source, report } = await importLines(t, `${start}\n${start}\n${start}\n${commit}\n`);
  assert.equal(report.taken.events, 4);
  assert.equal((await importStore(source, folder.file())).alreadyThere.events, 4);
});

const badLines: [why: string, line: string | Buffer][] = [
  ['no JSON', 'not valid json'],
  ['a beginning alone', start.slice(0, 100)],
  ['a list', '[]'],
  ['no type', '{"timestamp":"2026-07-20T02:10:47Z","request_id":"r","session_id":"s"}'],
  ['an empty type', start.replace('agent_start', '')],
  ['a type of the store itself', start.replace('agent_start', 'store_adopted')],
  ['a field named type', start.replace('"task_id"', '"type"')],
  ['no time', start.replace('"timestamp"', '"at"')],
  ['the zero time', start.replace(/2026[^"]*/, '0001-01-01T00:00:00Z')],
  ['a name twice', start.replace('"task_id"', '"action"')],
  ['an agent that is no text', start.replace('"claude"', '5')],
  ['a number that is none here', complete.replace('5000000000', '1e400')],
  ['bytes that are no UTF-8', Buffer.concat([Buffer.from(start.slice(0, -2)), Buffer.from([0x80]), Buffer.from('"}')])],
];

for (const [why, line] of badLines) {
  test(`a line with ${why} is listed by its number, and those around it are taken, wherever it stands`, async (t) => {
    const bad = Buffer.concat([Buffer.from(line), Buffer.from('\n')]);
    const good = [`${commit}\n`, `${complete}\n`].map((text) => Buffer.from(text));
    for (const [at, lines] of [[1, [bad, ...good]], [2, [good[0]!, bad, good[1]!]], [3, [...good, bad]]] as const) {
      const { report } = await importLines(t, Buffer.concat(lines));
      assert.deepEqual([report.taken.events, listed(report)], [2, [`audit line ${at}`]]);
    }
  });
}

test('a last line that was cut off is listed, and taken once it is whole', async (t) => {
  const { folder, source, report } = await importLines(t, log + start.replace('07-20T', '07-21T').slice(0, 150));
  assert.deepEqual([report.taken.events, listed(report)], [3, ['audit line 4']]);
  appendFileSync(source, start.slice(150));
  const whole = await importStore(source, folder.file());
  assert.deepEqual([whole.taken.events, whole.skipped], [1, []]);
  appendFileSync(source, '\n');
  assert.deepEqual((await importStore(source, folder.file())).taken, none);
});

test('empty lines and the line ends of another system say nothing', async (t) => {
  const { report } = await importLines(t, `\n${start}\r\n\r\n${commit}\n\n`);
  assert.deepEqual([report.taken.events, report.skipped], [2, []]);
});

test('a line that is too long to be held is listed', async (t) => {
  const long = Buffer.alloc(33 * 1024 * 1024, 'a');
  const after = Buffer.from(`\n${start.replace('07-20T', '07-21T')}\n`);
  const { report } = await importLines(t, Buffer.concat([Buffer.from(log), long, after]));
  assert.deepEqual([report.taken.events, listed(report)], [4, ['audit line 4']]);
});

const strange: [what: string, text: string][] = [
  ['lines of another program', '{"timestamp":"2026-07-20T02:10:47Z","event_type":"a"}\n'.repeat(3)],
  ['a text', 'Shopping list: bread, butter, a database.\n'.repeat(300)],
  ['an entry behind a hundred other lines', `${'x\n'.repeat(100)}${log}`],
];

for (const [what, text] of strange) {
  test(`${what} is refused by name, and no store is made`, async (t) => {
    const folder = new TestFolder(t);
    writeFileSync(folder.file('log.jsonl'), text);
    await assert.rejects(importStore(folder.file('log.jsonl'), folder.file()), { code: 'ERR_STORE_NOT_A_STORE' });
    assert.ok(!existsSync(folder.file()));
  });
}

/** A day of many lines. */
function busyDay(lines: number): string {
  const nanos = Array.from({ length: lines }, (_, index) => String(index).padStart(9, '0'));
  return nanos.map((each) => `${start.replace('112233638', each)}\n`).join('');
}

test('the progress goes page by page to its end, and an abort leaves the store as it was', async (t) => {
  const { folder, source } = await importLines(t, log);
  writeFileSync(source, busyDay(3000));
  const before = dump(folder.file());
  for (const share of [0.1, 0.5, 0.75, 1]) {
    const reason = new Error('enough');
    await assert.rejects(importStore(source, folder.file(), abortAt(share, reason)), (error) => error === reason);
    assert.deepEqual(dump(folder.file()), before);
  }
  const seen: { done: number; total: number }[] = [];
  await importStore(source, folder.file(), { onProgress: (progress) => seen.push(progress) });
  assert.ok(seen.length >= 12);
  assert.ok(seen.every(({ done, total }, index) => total === 6000 && done >= (seen[index - 1]?.done ?? 0)));
  assert.equal(seen.at(-1)!.done, 6000);
});

test('killed while it is written and run again, an import has done what it does at once', async (t) => {
  const folder = new TestFolder(t);
  const source = folder.file('audit-2026-07-20.jsonl');
  writeFileSync(source, busyDay(3000));
  const killed = runModule(`
    import { importStore } from ${JSON.stringify(importModule)};
    const onProgress = ({ done, total }) => { if (done >= total * 0.8) process.kill(process.pid, 'SIGKILL'); };
    await importStore(${JSON.stringify(source)}, ${JSON.stringify(folder.file())}, { onProgress });
  `);
  assert.equal(killed.signal, 'SIGKILL', killed.stderr);
  assert.deepEqual(await importStore(source, folder.file()), await importStore(source, folder.file('at-once.db')));
  assert.deepEqual(timeless(folder.file()), timeless(folder.file('at-once.db')));
  assert.equal(readFileSync(source, 'utf8'), busyDay(3000));
});
