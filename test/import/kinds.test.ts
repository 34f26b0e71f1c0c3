// Every kind of source that fills the modules' tables: all or nothing whatever happens, and the source stays what it
// is.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { importStore } from '../../lib/import/index.ts';
import type { Sink } from '../../lib/import/sink.ts';
import type { Source } from '../../lib/import/source.ts';
import { type Row, walkRows } from '../../lib/import/walk.ts';
import { hasCode } from '../../lib/values/errors.ts';
import { TestFolder } from '../support/folder.ts';
import { abortAt, importModule, loosen, makeFrom, runModule, runService, timeless } from '../support/import.ts';
import { change, dump, filesOf } from '../support/shepherdd.ts';
import { randomNumbers } from '../support/values.ts';

const count = (rows: number): string =>
  `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})`;

/** A source of each kind with some thousand rows, or its fixture as it is. */
const makers: Record<string, (folder: TestFolder, isLarge?: boolean) => string> = {
  'nightshift.db': (folder, isLarge) =>
    makeFrom(
      folder,
      'nightshift.db',
      isLarge
        ? `${count(3000)} INSERT INTO projects SELECT '/p/' || i, '2026-07-20 02:10:47.5 -0700 PDT', i FROM n`
        : '',
    ),
  'openfroyo.db': (folder, isLarge) =>
    makeFrom(
      folder,
      'openfroyo.db',
      isLarge
        ? `${count(3000)} INSERT INTO events (run_id, level, message) SELECT 'run-001', 'info', 'm' || i FROM n`
        : '',
    ),
  'state.json': (folder, isLarge) => {
    const state = JSON.parse(readFileSync(new URL('../fixtures/nightshift-state.json', import.meta.url), 'utf8')) as {
      run_history: object[];
    };
    if (isLarge)
      state.run_history = Array.from({ length: 3000 }, (_, index) => ({ ...state.run_history[0], id: `r${index}` }));
    writeFileSync(folder.file('state.json'), JSON.stringify(state));
    return folder.file('state.json');
  },
};

for (const [kind, make] of Object.entries(makers)) {
  for (const share of [0, 0.3, 0.5, 0.6, 0.9, 1]) {
    test(`killed at ${share * 100} % and run again, an import of a ${kind} does what it does at once`, async (t) => {
      const folder = new TestFolder(t);
      const source = make(folder, true);
      const before = filesOf(source);
      const killed = runModule(`
        import { importStore } from ${JSON.stringify(importModule)};
        const onProgress = ({ done, total }) => { if (done >= total * ${share}) process.kill(process.pid, 'SIGKILL'); };
        await importStore(${JSON.stringify(source)}, ${JSON.stringify(folder.file())}, { onProgress });
      `);
      assert.equal(killed.signal, 'SIGKILL', killed.stderr);
      const again = await importStore(source, folder.file());
      const atOnce = await importStore(source, folder.file('at-once.db'));
      assert.deepEqual(again, atOnce);
      assert.deepEqual(timeless(folder.file()), timeless(folder.file('at-once.db')));
      assert.deepEqual(filesOf(source), before);
    });
  }

  test(`aborted reading or writing a ${kind}, an import has written nothing and rejects with the reason`, async (t) => {
    const folder = new TestFolder(t);
    const source = make(folder, true);
    folder.open().close();
    const before = dump(folder.file());
    for (const share of [0.1, 0.5, 0.75, 1]) {
      const reason = new Error('enough');
      await assert.rejects(importStore(source, folder.file(), abortAt(share, reason)), (error) => error === reason);
      assert.deepEqual(dump(folder.file()), before);
    }
  });

  test(`the progress of an import of a ${kind} goes page by page to its end`, async (t) => {
    const folder = new TestFolder(t);
    const seen: { done: number; total: number }[] = [];
    await importStore(make(folder, true), folder.file(), { onProgress: (progress) => seen.push(progress) });
    assert.ok(seen.length >= 14);
    assert.ok(seen.every(({ done, total }, index) => total === seen[0]!.total && done >= (seen[index - 1]?.done ?? 0)));
    assert.equal(seen.at(-1)!.done, seen[0]!.total);
  });

  test(`a ${kind} is read where its folder and file are not writable, by a link too, and not touched`, async (t) => {
    const folder = new TestFolder(t);
    mkdirSync(folder.file('new'));
    const source = make(folder);
    mkdirSync(folder.file('links'));
    symlinkSync(source, folder.file('links/old'));
    chmodSync(source, 0o444);
    chmodSync(folder.path, 0o555);
    const nobody = process.getuid?.() === 0 ? 65534 : undefined; // the superuser may write everywhere
    if (nobody !== undefined) chownSync(folder.file('new'), nobody, nobody);
    const before = filesOf(source);
    const { status, stderr } = runModule(`
      import { importStore } from ${JSON.stringify(importModule)};
      ${nobody === undefined ? '' : `process.seteuid(${nobody});`}
      const { skipped } = await importStore(
        ${JSON.stringify(folder.file('links/old'))},
        ${JSON.stringify(folder.file('new/store.db'))},
      );
      if (skipped.length > 1) process.exit(9);
    `);
    chmodSync(folder.path, 0o700);
    assert.equal(status, 0, stderr);
    assert.deepEqual(filesOf(source), before);
  });
}

const live: [kind: string, sql: string, table: 'projects' | 'facts'][] = [
  ['nightshift.db', "INSERT INTO projects VALUES ('/live', NULL, 1)", 'projects'],
  [
    'openfroyo.db',
    "INSERT INTO facts (id, target_id, namespace, key, value) VALUES ('f', 't', 'n', 'k', '1')",
    'facts',
  ],
];

for (const [kind, sql, table] of live) {
  test(`a ${kind} whose service runs, or was killed, is read with its latest commit and not touched`, async (t) => {
    const folder = new TestFolder(t);
    const source = makers[kind]!(folder);
    const service = await runService(source, sql);
    try {
      const before = filesOf(source);
      assert.equal(before.length, 3); // -wal and -shm
      const report = await importStore(source, folder.file());
      assert.deepEqual(filesOf(source), before);
      await service.kill();
      const after = filesOf(source);
      assert.equal((await importStore(source, folder.file())).alreadyThere[table], report.taken[table]);
      assert.deepEqual(filesOf(source), after);
      assert.equal(report.taken[table], table === 'projects' ? 4 : 3);
    } finally {
      await service.kill();
    }
  });
}

const meanwhile = `
  INSERT INTO runs (id, plan_path, status, started_at) VALUES ('run-live', '/p', 'running', CURRENT_TIMESTAMP);
  INSERT INTO plan_units (id, run_id, resource_type, resource_name, action, status, desired_state)
    VALUES ('pu-live', 'run-live', 't', 'n', 'create', 'running', '{}');
  INSERT INTO events (run_id, level, message) VALUES ('run-live', 'info', 'a'), ('run-001', 'info', 'b');
  INSERT INTO events (plan_unit_id, level, message) VALUES ('pu-live', 'info', 'c');
  UPDATE resource_state SET state = '[]', last_run_id = 'run-live';`;

for (const wal of [false, true]) {
  const when = `${wal ? 'into the WAL ' : ''}while an openfroyo.db was written`;
  test(`what belongs to a run that came ${when} is left for the next import, not refused`, async (t) => {
    const folder = new TestFolder(t);
    const source = makers['openfroyo.db']!(folder);
    const service = wal ? await runService(source, 'SELECT 1') : undefined;
    try {
      await importStore(source, folder.file());
      let isWritten = false;
      // The first page of the second half is that of the runs.
      const onProgress = ({ done, total }: { done: number; total: number }): void => {
        if (done <= total / 2 || isWritten) return;
        isWritten = true;
        const { status, stderr } = runModule(
          `import { DatabaseSync } from 'node:sqlite';
          new DatabaseSync(${JSON.stringify(source)}).exec(${JSON.stringify(meanwhile)});`,
        );
        assert.equal(status, 0, stderr);
      };
      const during = await importStore(source, folder.file(), { onProgress });
      const after = await importStore(source, folder.file());
      assert.deepEqual(
        [during.skipped, after.skipped].map((skipped) => skipped.map(({ table, row }) => `${table} ${row}`)),
        [['facts fact-003'], ['facts fact-003']],
      );
      assert.deepEqual(
        [during.taken.runs, during.taken.planUnits, during.taken.runEvents, during.taken.resourceStates],
        [0, 0, 1, 0],
      );
      assert.deepEqual(
        [after.taken.runs, after.taken.planUnits, after.taken.runEvents, after.taken.resourceStates],
        [1, 1, 2, 1],
      );
      const counted = ({ taken, alreadyThere }: typeof during): number => taken.runEvents! + alreadyThere.runEvents!;
      assert.deepEqual([counted(during), counted(after)], [11, 13]);
    } finally {
      await service?.kill();
    }
  });
}

const strange: [what: string, fixture: string, sql: string][] = [
  ['projects that lack a column', 'nightshift.db', 'ALTER TABLE projects RENAME COLUMN run_count TO runs'],
  ['no run history', 'nightshift.db', 'DROP TABLE run_history'],
  ['a view for a table', 'nightshift.db', 'ALTER TABLE projects RENAME TO p; CREATE VIEW projects AS SELECT * FROM p'],
  ['facts that lack a column', 'openfroyo.db', 'ALTER TABLE facts RENAME COLUMN ttl TO seconds'],
  ['no audit trail', 'openfroyo.db', 'DROP TABLE audit'],
];

for (const [what, fixture, sql] of strange) {
  test(`a database like ${fixture} with ${what} is refused by name, and no store is made`, async (t) => {
    const folder = new TestFolder(t);
    const source = makeFrom(folder, fixture, sql);
    await assert.rejects(importStore(source, folder.file()), {
      code: 'ERR_STORE_NOT_A_STORE',
      message:
        /which is none of the kinds .*lunchbox, shepherdd, openfroyo, nightshift, nightshift-audit, nightshift-state/,
    });
    assert.ok(!existsSync(folder.file()));
  });
}

test('a table whose rowid is something else is an error of the store, whatever it is', async (t) => {
  const folder = new TestFolder(t);
  const rowids = `
    DROP TABLE projects;
    CREATE TABLE projects (path TEXT, last_run TEXT, run_count INTEGER, rowid TEXT);
    ${count(600)} INSERT INTO projects SELECT '/' || i, NULL, 0, 'x' FROM n`;
  const without = `
    DROP TABLE projects;
    CREATE TABLE projects (path TEXT PRIMARY KEY, last_run TEXT, run_count INTEGER) WITHOUT ROWID`;
  await assert.rejects(importStore(makeFrom(folder, 'nightshift.db', rowids), folder.file()), {
    code: 'ERR_STORE_NOT_A_STORE',
  });
  await assert.rejects(importStore(makeFrom(folder, 'nightshift.db', without, 'other.db'), folder.file()), {
    name: 'StoreError',
  });
});

test('a row at the very end of the numbers is taken, and the walk ends there', async (t) => {
  const folder = new TestFolder(t);
  const sql = `
    ${count(496)} INSERT INTO projects SELECT '/' || i, NULL, 0 FROM n;
    INSERT INTO projects (rowid, path, run_count) VALUES (9223372036854775807, '/last', 1)`;
  const source = makeFrom(folder, 'nightshift.db', sql);
  assert.equal((await importStore(source, folder.file())).taken.projects, 500);
});

test('a pipe is no source', { timeout: 20_000 }, async (t) => {
  const folder = new TestFolder(t);
  assert.equal(spawnSync('mkfifo', [folder.file('state.json')]).status, 0);
  await assert.rejects(importStore(folder.file('state.json'), folder.file()), { code: 'ERR_STORE_NOT_A_STORE' });
});

test('all kinds go into one store, and its log is sound', async (t) => {
  const folder = new TestFolder(t);
  for (const make of Object.values(makers)) await importStore(make(folder), folder.file());
  await importStore(makeFrom(folder, 'shepherdd-utc.db'), folder.file());
  const store = folder.open();
  assert.deepEqual(
    store.getRecentAudits(9, { type: 'store_imported' }).map(({ event }) => 'kind' in event && event.kind),
    ['shepherdd', 'nightshift-state', 'openfroyo', 'nightshift'],
  );
  assert.ok((await store.verifyAudit()).ok);
});

const oddValues = [
  'NULL',
  "x'00ff'",
  "CAST(x'80' AS TEXT)",
  "CAST(x'610062' AS TEXT)",
  '0',
  '-1',
  '9223372036854775807',
  '9e999',
  '1.5',
  "''",
  "'x'",
  "'[]'",
  "'{}'",
  "'null'",
  "'[1]'",
  `'{"type":"a"}'`,
  `'{"a":1,"a":2}'`,
  `'"\\ud800"'`,
  "'1e400'",
  "'0001-01-01 00:00:00 +0000 UTC'",
  "'9999-12-31 23:59:59 -0100 X'",
  "'2026-02-30 00:00:00'",
  "'run-001'",
  "'pu-001-0'",
  "'store_adopted'",
  "'completed'",
  "'__proto__'",
  `'${'['.repeat(600)}${']'.repeat(600)}'`,
  `'${'['.repeat(100_000)}${']'.repeat(100_000)}'`,
];
const tablesOf: Record<string, readonly string[]> = {
  'nightshift.db': ['projects', 'task_history', 'assigned_tasks', 'run_history', 'snapshots', 'schema_version'],
  'openfroyo.db': ['runs', 'plan_units', 'events', 'resource_state', 'facts', 'audit', 'schema_migrations'],
};

test('of any source an import lists what it cannot take, alike the second time, and takes nothing twice', async (t) => {
  const { seed, between, pick } = randomNumbers();
  t.diagnostic(`SEED=${seed}`);
  for (let round = 0; round < 30; round++) {
    const folder = new TestFolder(t);
    const fixture = pick(Object.keys(tablesOf));
    const source = makeFrom(folder, fixture, loosen(...tablesOf[fixture]!));
    const columns = dump(source);
    for (let changes = between(1, 12); changes > 0; changes--) {
      const table = pick(tablesOf[fixture]!);
      const column = pick(Object.keys(columns[table]![0] as object));
      change(
        source,
        between(1, 15) === 1
          ? `INSERT INTO ${table} SELECT * FROM ${table}`
          : `UPDATE ${table} SET ${column} = ${pick(oddValues)} WHERE rowid % 3 = ${between(0, 2)}`,
      );
    }
    try {
      const report = await importStore(source, folder.file());
      const again = await importStore(source, folder.file());
      assert.ok(
        Object.values(again.taken).every((taken) => taken === 0),
        `SEED=${seed}`,
      );
      assert.deepEqual(again.skipped, report.skipped, `SEED=${seed}`);
    } catch (error) {
      if (!hasCode(error, 'ERR_STORE_NOT_A_STORE')) throw error;
    }
  }
});

test('a damaged page that leads back to an earlier row ends the walk over a table', () => {
  const page = Array.from({ length: 500 }, (_, index): Row => [BigInt(index + 1)]);
  const source = { path: 'damaged.db', all: () => page } as unknown as Source;
  const walk = walkRows(source, {} as Sink, 'SELECT rowid FROM a WHERE rowid >= ?', () => undefined);
  assert.equal(walk.next().value, 500);
  assert.equal(walk.next().value, 500);
  assert.throws(() => walk.next(), { code: 'ERR_STORE_CORRUPT' });
});
