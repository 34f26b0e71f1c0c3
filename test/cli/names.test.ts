// Names in what the command shows: cut only where a terminal is too narrow, and without power over it, whatever a file
// holds.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { fit, nameColumn, nameRoom, type Output, textWidth } from '../../lib/cli/text.ts';
import { FactStore } from '../../lib/modules/facts/facts.ts';
import { ProjectStore } from '../../lib/modules/projects/projects.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { shepherd } from '../support/command.ts';
import { TestFolder } from '../support/folder.ts';

const now = new Date('2026-11-21T18:00:00Z');
const clock = (): Date => now;
const long = (letter: string): string => letter + '-long-name'.repeat(7); // 71 columns

const commands: string[][] = [
  ['status'],
  ['audit'],
  ['usage'],
  ['usage', '--day', '2026-11-21'],
  ['cooldowns'],
  ['snapshot'],
  ['runs'],
  ['run', long('r')],
  ['facts'],
  ['projects'],
  ['due', `${long('k')}=1h`],
  ['balance'],
];

/** A store whose every name is longer than a narrow terminal. */
function fill(folder: TestFolder): string {
  const store = folder.open<{ type: string; [field: string]: unknown }>({ clock });
  store.appendAudit({ type: long('t'), entryId: long('e'), sessionId: long('s') });
  store.addUsage(long('e'), '2026-11-21', 60_000);
  store.setCooldownUntil(long('e'), new Date(now.getTime() + 60_000));
  store.grantTime({ subject: long('o'), day: '2026-11-21', durationMs: -1_000 });
  store.adjustBalance({ subject: long('b'), durationMs: 5_400_000 });
  store.saveSnapshot({
    timestamp: now,
    activeSession: { sessionId: long('s'), entryId: long('e'), startedAt: now, warningsIssued: [], elapsedMs: 0 },
  });
  new FactStore(store).upsertFact({ targetId: long('h'), namespace: long('n'), key: long('k'), value: 1 });
  const runs = new RunStore(store);
  runs.createRun({ id: long('r'), planPath: long('p') });
  runs.createPlanUnit({
    runId: long('r'),
    id: long('u'),
    resourceType: 'x',
    resourceName: long('z'),
    desiredState: {},
    action: 'create',
  } as never);
  new ProjectStore(store).recordProjectRun(`/srv/${long('j')}`);
  store.close();
  return folder.file();
}

test('no name is cut in a pipe, nor on a wide enough terminal, and none is wider than a narrow one', async (t) => {
  const path = fill(new TestFolder(t));
  const shown: Record<string, string[]> = {
    status: ['e', 'o', 'b'],
    audit: ['t', 'e', 's'],
    usage: ['e'],
    cooldowns: ['e'],
    snapshot: ['e', 's'],
    runs: ['r', 'p'],
    run: ['r', 'p', 'u', 'z'],
    facts: ['h', 'n', 'k'],
    projects: ['j'],
    due: ['k', 'j'],
    balance: ['b'],
  };
  for (const argv of commands) {
    const piped = await shepherd([...argv, '--db', path], { clock });
    assert.equal(piped.code, 0, piped.err);
    for (const terminal of [undefined, 300]) {
      const { out } = await shepherd([...argv, '--db', path], {
        clock,
        ...(terminal === undefined ? {} : { terminal }),
      });
      const joined = stripVTControlCharacters(out).replaceAll(/[\s│]+/g, '');
      for (const letter of shown[argv[0]!]!)
        assert.ok(joined.includes(long(letter)), `${argv.join(' ')} ${terminal ?? 'pipe'}: ${letter}\n${out}`);
    }
    for (const terminal of [60, 80, 120]) {
      const { out } = await shepherd([...argv, '--db', path], { clock, terminal });
      for (const line of stripVTControlCharacters(out).replaceAll(path, '').split('\n'))
        assert.ok(textWidth(line) <= terminal, `${argv[0]} at ${terminal}: ${line}`);
    }
  }
});

test('what a log is searched for stands on one line in a pipe: the entry, and the id of the session', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  const [entryId, sessionId] = [`/srv/${long('e')}`, '0b5b7a3e-7d3e-4c1c-9a53-5a3d2f6f9c11'];
  for (const type of ['session_started', 'session_recovered'] as const) {
    store.appendAudits(Array.from({ length: 60 }, () => ({ event: { type, sessionId, entryId } as never })));
  }
  store.close();
  const { out } = await shepherd(['audit', folder.file(), '--limit', '1'], { clock });
  const lines = out.split('\n').map((line) => line.trim());
  assert.ok(lines.includes(`session=${sessionId}`) && lines.some((line) => line.endsWith(entryId)), out);
});

test('one endless name in a pipe shifts no other', () => {
  const output = { isTTY: false } as unknown as Output;
  const { width, cell } = nameColumn(output, ['a', 'b'.repeat(10_000)], 20);
  assert.deepEqual([width, cell('a').length, cell('b'.repeat(10_000)).length], [60, 60, 10_000]);
  assert.equal(nameRoom({ isTTY: true, columns: 70 } as unknown as Output, 20), 50);
  assert.equal(nameRoom(output, 20), Infinity);
  assert.equal(fit('x'.repeat(500), Infinity).length, 500);
});

const hostile = 'evil\x1b[31m\x1b]0;t\x07\x9b2J\u202e\u2066\u2028\n\r\t\x7f\u{e0041}\u00ad';

test('whatever stands in any text column of any table has no power over the terminal, in any command', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const path = fill(folder);
  const db = new DatabaseSync(path, { enableForeignKeyConstraints: false });
  db.exec(
    `PRAGMA writable_schema = OFF; ${db
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
      .all()
      .map(({ name }) => `DROP TRIGGER "${String(name)}"`)
      .join(';')}`,
  );
  const columns = db
    .prepare(
      `SELECT m.name AS 'table', c.name AS 'column' FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
      WHERE m.type = 'table' AND c.type IN ('TEXT', '') AND m.name NOT IN ('schema_version', 'store_meta')`,
    )
    .all() as { table: string; column: string }[];
  assert.ok(columns.length > 40, String(columns.length));
  for (const { table, column } of columns) {
    db.exec('PRAGMA ignore_check_constraints = ON; SAVEPOINT one');
    try {
      db.prepare(`UPDATE "${table}" SET "${column}" = ?`).run(`${hostile}`);
    } catch {
      db.exec('ROLLBACK TO one; RELEASE one'); // an index on an expression takes JSON alone
      continue;
    }
    db.exec('RELEASE one');
  }
  db.close();
  for (const argv of [
    ...commands,
    ['run', hostile],
    ['verify'],
    ['anchor'],
    ['audit', '--entry', hostile],
    ['audit', '--type', hostile],
    ['nosuch' + hostile],
    ['status', `--no${hostile}`],
    ['usage', hostile],
  ]) {
    for (const json of [[], ['--json']]) {
      const { out, err } = await shepherd([...argv, ...json, '--db', path], { clock, terminal: 80 });
      const text = (out + err).replaceAll(/\x1b\[\d+m|\r\x1b\[K/g, '').replaceAll('\n', '');
      assert.doesNotMatch(
        text,
        /[\p{Cc}\u00ad\u2028-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/u,
        `${argv.join(' ')} ${json.join('')}`,
      );
    }
  }
});
