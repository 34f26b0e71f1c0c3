// What the functions of archives refuse, and what of a shortened log SQLite itself refuses.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { SqliteStore } from '../../lib/index.ts';
import * as archives from '../../lib/modules/archive/archive.ts';
import { archiveUpTo, idsOf, kindsOfLog, kioskIn, range } from '../support/archive.ts';
import { TestFolder } from '../support/folder.ts';
import { checkArity, codeOf } from '../support/refusals.ts';
import {
  badCounts, badDays, badFunctions, badInstants, badOptions, badPaths, throwing,
} from '../support/values.ts';

type Table = [name: string, value: unknown][];
interface Argument {
  name: string;
  bad: Table;
  call: (store: SqliteStore, folder: string, value: never) => unknown;
}

const badStores: Table = [['undefined', undefined], ['null', null], ['an object', {}], ['a path', '/tmp/a.db']];
const badFlags: Table = [['null', null], ['a number', 1], ['a text', 'true']];
const upTo = { id: 1 };
const before = new Date('2020-01-01T00:00:00Z');
const badBefores: Table = [...badOptions, ['undefined', undefined], ['none', {}]];

const everyFunction: Record<string, Argument[]> = {
  archiveAudits: [
    { name: 'store', bad: badStores, call: (_, folder, store) => archives.archiveAudits(store, { folder, upTo }) },
    {
      name: 'options',
      bad: [...badOptions, ['undefined', undefined], ['no folder', { upTo }], ['no upTo', { folder: 'a' }]],
      call: (store, _, options) => archives.archiveAudits(store, options),
    },
    {
      name: 'options.folder', bad: badPaths,
      call: (store, _, folder) => archives.archiveAudits(store, { folder, upTo }),
    },
    {
      name: 'options.upTo',
      bad: [...badOptions, ['undefined', undefined], ['none', {}], ['two', { id: 1, keepDays: 1 }],
        ['all undefined', { id: undefined, before: undefined, keepDays: undefined }], ['throwing', throwing('id')]],
      call: (store, folder, value) => archives.archiveAudits(store, { folder, upTo: value }),
    },
    ...(['id', 'keepDays'] as const).map((name): Argument => ({
      name: `options.upTo.${name}`, bad: [...badCounts, ['0', 0], ['-0', -0]],
      call: (store, folder, value) => archives.archiveAudits(store, { folder, upTo: { [name]: value } as never }),
    })),
    {
      name: 'options.upTo.keepDays beyond a hundred years', bad: [['36,501', 36_501], ['2^53 - 1', 2 ** 53 - 1]],
      call: (store, folder, keepDays) => archives.archiveAudits(store, { folder, upTo: { keepDays } }),
    },
    {
      name: 'options.upTo.before', bad: badInstants,
      call: (store, folder, value) => archives.archiveAudits(store, { folder, upTo: { before: value } }),
    },
    {
      name: 'options.gzip', bad: badFlags,
      call: (store, folder, gzip) => archives.archiveAudits(store, { folder, upTo, gzip }),
    },
    {
      name: 'options.onProgress', bad: badFunctions,
      call: (store, folder, onProgress) => archives.archiveAudits(store, { folder, upTo, onProgress }),
    },
    {
      name: 'options.signal', bad: badFlags,
      call: (store, folder, signal) => archives.archiveAudits(store, { folder, upTo, signal }),
    },
  ],
  verifyArchives: [
    { name: 'store', bad: badStores, call: (_, folder, store) => archives.verifyArchives(store, folder) },
    { name: 'folder', bad: badPaths, call: (store, _, folder) => archives.verifyArchives(store, folder) },
    { name: 'options', bad: badOptions, call: (store, folder, value) => archives.verifyArchives(store, folder, value) },
    {
      name: 'options.anchor', bad: [...badOptions, ['no hash', { id: 1 }], ['no id', { hash: '0'.repeat(64) }]],
      call: (store, folder, anchor) => archives.verifyArchives(store, folder, { anchor }),
    },
    {
      name: 'options.publicKey', bad: [['null', null], ['a text', 'key'], ['an object', {}]],
      call: (store, folder, publicKey) => archives.verifyArchives(store, folder, { publicKey }),
    },
  ],
  listArchives: [{ name: 'folder', bad: badPaths, call: (_store, _folder, path) => archives.listArchives(path) }],
  readArchive: [{ name: 'path', bad: badPaths, call: (_store, _folder, path) => [...archives.readArchive(path)] }],
  forgetUsage: [
    {
      name: 'store', bad: badStores,
      call: (_store, _folder, store) => archives.forgetUsage(store, { before: '2020-01-01' }),
    },
    { name: 'options', bad: badBefores, call: (store, _, options) => archives.forgetUsage(store, options) },
    { name: 'options.before', bad: badDays, call: (store, _, day) => archives.forgetUsage(store, { before: day }) },
    {
      name: 'options.before of the last seven days', bad: [['today', '2026-01-13'], ['a week ago', '2026-01-08']],
      call: (store, _, day) => archives.forgetUsage(store, { before: day }),
    },
  ],
  forgetArchives: [
    { name: 'store', bad: badStores, call: (_, folder, store) => archives.forgetArchives(store, folder, { before }) },
    { name: 'folder', bad: badPaths, call: (store, _, folder) => archives.forgetArchives(store, folder, { before }) },
    { name: 'options', bad: badBefores, call: (store, folder, value) => archives.forgetArchives(store, folder, value) },
    {
      name: 'options.before', bad: badInstants,
      call: (store, folder, value) => archives.forgetArchives(store, folder, { before: value }),
    },
  ],
};

test('every function of archives refuses what it cannot take before anything is written', async (t) => {
  assert.deepEqual(Object.keys(everyFunction).sort(), Object.keys(archives).sort());
  const folder = new TestFolder(t);
  const { store } = kioskIn(folder);
  const target = folder.file('archives');
  for (const [name, rows] of Object.entries(everyFunction)) {
    checkArity(name, archives[name as keyof typeof archives], rows);
    for (const row of rows) {
      for (const [what, value] of row.bad) {
        const code = await codeOf(() => row.call(store, target, value as never));
        assert.equal(code, 'ERR_STORE_INVALID_ARGUMENT', `${name}: ${row.name}: ${what}`);
      }
    }
  }
  assert.deepEqual([existsSync(target), idsOf(store)], [false, range(1, 120)]);
});

test('a folder or an archive that is not there is not found', async (t) => {
  const folder = new TestFolder(t);
  const { store } = kioskIn(folder);
  const nowhere = folder.file('nowhere');
  const missing = { code: 'ERR_STORE_NOT_FOUND' };
  await assert.rejects(archives.verifyArchives(store, nowhere), missing);
  assert.throws(() => archives.listArchives(nowhere), missing);
  assert.throws(() => [...archives.readArchive(nowhere)], missing);
  assert.throws(() => archives.forgetArchives(store, nowhere, { before }), missing);
});

test('SQLite lets no row go that is not archived, and none come where rows are archived', async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder);
  const db = folder.raw();
  const refused = /append-only/;
  assert.throws(() => db.exec('DELETE FROM audit_log WHERE id = 1'), refused);
  await archiveUpTo(kiosk, 40);
  for (const rows of ['1', 'id = 41', 'id = 121', 'id IN (40, 41)']) {
    assert.throws(() => db.exec(`DELETE FROM audit_log WHERE ${rows}`), refused, rows);
  }
  for (const [id, word] of [[1, 'INSERT'], [40, 'INSERT'], [0, 'INSERT'], [-1, 'INSERT OR REPLACE'], [40, 'REPLACE']]) {
    const sql = `${word} INTO audit_log (id, timestamp, event_type, event_data, event_hash)
      VALUES (${id}, '2026-01-01T00:00:00Z', 'x', '{}', '${'0'.repeat(64)}')`;
    assert.throws(() => db.exec(sql), refused, `${word} ${id}`);
  }
  assert.equal(await kindsOfLog(kiosk.store), 'ok');
  const versions = db.prepare('SELECT writable_from, readable_from, archived_id FROM store_meta').get();
  assert.deepEqual({ ...versions }, { writable_from: 9, readable_from: 6, archived_id: 40 });
});
