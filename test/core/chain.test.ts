import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { genesisHash, rowHash } from '../../lib/core/chain.ts';
import { TestFolder } from '../support/folder.ts';

const uuid = '00000000-0000-4000-8000-000000000001';

// Each computed by hand from the docstring with printf and sha256sum; a change here makes every existing log look
// forged.
const golden = {
  genesis: '4125f74992512cafcbf9aae77d4138db73a07b1759161fb6901cdeb59e804803',
  plain: '0368f3a7ffa13f135cb83a906b502746f094543bb4e9bde183718e590ac14cb1',
  withMetaAndUnicode: '83f75a839c6ec7096904e6e5d0b7bc1c67a45e2ebabaf5ae0d7e5b00b3ec6fee',
  withNewline: 'af2d3c17dadd9d1795384e09765b42a84b7f8b881ac277834f8af078270cdae6',
  blobAndLastId: 'a7a8f6db29c705439c95bd16e547524ab7add4995ec822944a075bd1004da4bd',
};

test('the chain gives the hashes that printf and sha256sum give', () => {
  assert.equal(genesisHash(uuid), golden.genesis);
  assert.equal(
    rowHash(golden.genesis, {
      id: 1,
      timestamp: '2026-11-21T09:00:00.000Z',
      type: 'service_started',
      data: '{}',
      meta: null,
    }),
    golden.plain,
  );
  assert.equal(
    rowHash(golden.plain, {
      id: 2,
      timestamp: '2026-11-21T09:00:00.001Z',
      type: 'session_started',
      data: '{"sessionId":"s1","entryId":"Ünïcødé 🎮"}',
      meta: '{"source":"admin"}',
    }),
    golden.withMetaAndUnicode,
  );
  assert.equal(
    rowHash(golden.withMetaAndUnicode, {
      id: 3,
      timestamp: '2026-11-21T09:00:00.002Z',
      type: 'x\n3:{}',
      data: '{}',
      meta: null,
    }),
    golden.withNewline,
  );
  assert.equal(
    rowHash(golden.withMetaAndUnicode, {
      id: Number.MAX_SAFE_INTEGER,
      timestamp: 't',
      type: 'y',
      data: new Uint8Array([0, 255]),
      meta: '-',
    }),
    golden.blobAndLastId,
  );
});

test('what a store writes can be checked with string concatenation, bytes counted, and SHA-256', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'session_started', sessionId: 's1', entryId: 'עברית 🎮', label: 'a\nb' });
  store.appendAudit({ type: 'service_stopped' }, { source: 'Zoë', tags: ['a', 'b'] });

  const db = folder.raw();
  const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');
  const framed = (text: unknown): string =>
    text === null ? '-\n' : `${Buffer.byteLength(String(text), 'utf8')}:${String(text)}\n`;
  let previous = sha256(
    `shepherd-store genesis v1\n${String(db.prepare('SELECT uuid FROM store_meta').get()?.['uuid'])}\n`,
  );
  const rows = db.prepare('SELECT * FROM audit_log ORDER BY id').all();
  for (const row of rows) {
    const text = 'shepherd-store audit v1\n' + previous + '\n' + String(row['id']) + '\n'
      + framed(row['timestamp']) + framed(row['event_type']) + framed(row['event_data']) + framed(row['event_meta']);
    previous = sha256(text);
    assert.equal(row['event_hash'], previous);
  }
  assert.equal(rows.length, 2);
  assert.deepEqual(store.auditHead(), { id: 2, hash: previous });
});

test('a hash changes with every field, and no two framings of different fields are the same text', () => {
  const row = { id: 1, timestamp: 't', type: 'ab', data: 'c', meta: null };
  const hashes = [
    rowHash('p', row),
    rowHash('q', row),
    rowHash('p', { ...row, id: 2 }),
    rowHash('p', { ...row, timestamp: 'u' }),
    rowHash('p', { ...row, type: 'a', data: 'bc' }),
    rowHash('p', { ...row, type: 'abc', data: '' }),
    rowHash('p', { ...row, data: 'd' }),
    rowHash('p', { ...row, meta: '' }),
    rowHash('p', { ...row, meta: '-' }),
    rowHash('p', { ...row, type: 'ab\n1:c' }),
  ];
  assert.equal(new Set(hashes).size, hashes.length);
  assert.ok(hashes.every((hash) => /^[0-9a-f]{64}$/.test(hash)));
  assert.notEqual(genesisHash(uuid), genesisHash(uuid.replace('1', '2')));
});
