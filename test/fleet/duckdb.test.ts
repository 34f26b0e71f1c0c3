// The statement of the fleet's document with which DuckDB reads archives.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { archiveUpTo } from '../support/archive.ts';
import { Clocks } from '../support/clocks.ts';
import { documentAt, examplesOf } from '../support/documents.ts';
import { fetchTool } from '../support/fetched.ts';
import { TestFolder } from '../support/folder.ts';
import { run } from '../support/project.ts';
import { needs } from '../support/tools.ts';

const statement = [...examplesOf(documentAt('lib/fleet/README.md')).values()].flat()
  .find(({ savedAs }) => savedAs === 'archives.sql')!.text;

const program = `
  import { createRequire } from 'node:module';
  const { DuckDBInstance } = createRequire(process.argv[2] + '/')('@duckdb/node-api');
  const connection = await (await DuckDBInstance.create()).connect();
  const answer = await connection.runAndReadAll(process.argv[3]);
  console.log(JSON.stringify(answer.getRowObjectsJson()));`;

test('DuckDB adds up the sessions in plain and compressed archives', needs('duckdb'), async (t) => {
  const folder = new TestFolder(t);
  const clocks = new Clocks('2026-01-01T08:00:00Z');
  const kiosk = { clocks, store: folder.open(clocks.options), archives: folder.file('archives') };
  const tracker = new SessionTracker(kiosk.store, { timeZone: 'UTC', ...clocks.forTracker });
  mkdirSync(kiosk.archives);
  for (const [entryId, minutes] of [['tuxmath', 30], ['film', 45], ['tuxmath', 40]] as const) {
    tracker.start({ entryId });
    clocks.pass(minutes * 60_000);
    tracker.end({ type: 'user_stop' });
  }
  const middle = kiosk.store.auditHead()!.id - 2;
  clocks.pass(3 * 86_400_000);
  kiosk.store.appendAudit({ type: 'service_stopped' });
  await archiveUpTo(kiosk, middle);
  await archiveUpTo(kiosk, middle + 2, true);
  writeFileSync(folder.file('read.mjs'), program);
  const modules = join(fetchTool('duckdb')!, 'node_modules');
  const { status, stdout, stderr } = run(folder.path, process.execPath, 'read.mjs', modules, statement);
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), [{ entry: 'tuxmath', minutes: '70' }, { entry: 'film', minutes: '45' }]);
});
