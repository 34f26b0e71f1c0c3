// What `Ledger.verify` and `verifyAudit({ publicKey })` find, beyond the corpus of test/ledger/corpus.test.ts.
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import * as system from 'node:fs';
import {
  appendFileSync, closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync, writeSync,
} from 'node:fs';
import { test, type TestContext } from 'node:test';
import { genesisHash, rowHash } from '../../lib/core/chain.ts';
import type { VerifyOptions } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import { headerText, type LedgerLine, lineText, signHash } from '../../lib/ledger/line.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { badFunctions, badOptions, given } from '../support/values.ts';

const uuid = '00000000-0000-4000-8000-00000000000a';
const header = headerText({ store: uuid, created: '2026-11-21T09:00:00.000Z' });
const keys = generateKeyPairSync('ed25519');
const others = generateKeyPairSync('ed25519');
const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();
const startOf = (key: KeyObject): Partial<LedgerLine> => ({
  type: 'signing_started',
  data: JSON.stringify({ publicKey: pemOf(key) }),
});

/** A chain of lines, each with some of its fields given; `key` signs the line. */
function chain(items: (Partial<LedgerLine> & { key?: KeyObject })[], previous = genesisHash(uuid)): string[] {
  let prev = previous;
  return items.map(({ key, ...fields }, index) => {
    const line = { id: index + 1, at: '2026-11-21T09:00:00.000Z', type: 'x', data: '{}', ...fields, prev };
    const hash = rowHash(prev, {
      id: line.id,
      timestamp: line.at,
      type: line.type,
      data: line.data,
      meta: line.meta ?? null,
    });
    prev = hash;
    return lineText({ hash, ...(key ? { sig: signHash(hash, key) } : undefined), ...line });
  });
}

/** Plain lines. */
const plain = (count: number): string[] => chain(Array.from({ length: count }, () => ({})));

function ledgerOf(t: TestContext, text: string | Buffer): Ledger {
  const folder = new TestFolder(t);
  const path = folder.file('audit.jsonl');
  writeFileSync(path, text);
  return folder.closing(Ledger.open(path));
}

/** Line and kind of each finding. */
async function told(t: TestContext, text: string | Buffer, options?: VerifyOptions): Promise<string[]> {
  const { findings } = await ledgerOf(t, text).verify(options);
  return findings.map(({ line, kind }) => `${line} ${kind}`);
}

test('a ledger as it was written verifies over several batches, and progress counts its bytes', async (t) => {
  const lines = plain(5_000);
  const ledger = ledgerOf(t, header + lines.join(''));
  const seen: { done: number; total: number }[] = [];
  const report = await ledger.verify({ onProgress: (progress) => seen.push(progress), anchor: ledger.head! });
  assert.deepEqual(report, { ok: true, checked: 5_000, head: ledger.head, findings: [], more: 0 });
  const { size } = statSync(ledger.path);
  assert.ok(seen.length > 3, `${seen.length} batches`);
  assert.ok(seen.every(({ done, total }, index) => total === size && done > (seen[index - 1]?.done ?? 0)));
  assert.equal(seen.at(-1)!.done, size);
});

test('a ledger that is absent, has no bytes or only a header is empty, and an anchor says what it had', async (t) => {
  const anchor = { id: 3, hash: 'a'.repeat(64) };
  const nowhere = Ledger.open(new TestFolder(t).file('audit.jsonl'));
  for (const ledger of [nowhere, ledgerOf(t, ''), ledgerOf(t, header)]) {
    assert.deepEqual(await ledger.verify({ publicKey: keys.publicKey }), {
      ok: true,
      checked: 0,
      findings: [],
      more: 0,
    });
    const { ok, findings } = await ledger.verify({ anchor });
    assert.deepEqual([ok, findings.map(({ id, kind }) => [id, kind])], [false, [[3, 'truncated']]]);
  }
});

test('verifying can be aborted, before it begins and between two batches, and rejects with the reason', async (t) => {
  const ledger = ledgerOf(t, header + plain(5_000).join(''));
  const reason = new Error('enough');
  await assert.rejects(ledger.verify({ signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  let batches = 0;
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  await assert.rejects(
    ledger.verify({
      signal: controller.signal,
      onProgress: () => {
        if (++batches === 2) controller.abort(reason);
      },
    }),
    reason,
  );
  assert.equal(batches, 2);
  assert.equal(open(), before, 'a descriptor stays open');
  await ledger.verify();
  assert.equal(open(), before, 'a descriptor stays open');
});

test('the event loop turns between two batches', async (t) => {
  const ledger = ledgerOf(t, header + plain(5_000).join(''));
  let turns = 0;
  let batches = 0;
  const count = (): void => void (turns++, timer = setImmediate(count));
  let timer = setImmediate(count);
  await ledger.verify({ onProgress: () => batches++ });
  clearImmediate(timer);
  assert.ok(turns >= batches, `${turns} turns, ${batches} batches`);
});

test('options that are none are refused, and a key that is no Ed25519 public key', async (t) => {
  const ledger = ledgerOf(t, header);
  const store = new TestFolder(t).open();
  const refused = { code: 'ERR_STORE_INVALID_ARGUMENT' };
  const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
  const badKeys: [string, unknown][] = [
    ['null', null],
    ['a number', 5],
    ['no PEM', 'key'],
    ['a private key', keys.privateKey],
    ['RSA', rsa],
    ['RSA as PEM', pemOf(rsa)],
    ['X25519', generateKeyPairSync('x25519').publicKey],
    ['a private key as PEM', keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()],
    ['bytes', Buffer.from(pemOf(keys.publicKey))],
  ];
  const hash = 'a'.repeat(64);
  const badAnchors: [string, unknown][] = [
    ...given(badOptions),
    ['no hash', { id: 1 }],
    ['id 0', { id: 0, hash }],
    ['capitals', { id: 1, hash: 'A'.repeat(64) }],
    ['a short hash', { id: 1, hash: 'a' }],
  ];
  const bad: [string, unknown][] = [
    ...given(badOptions),
    ...badKeys.map(([name, publicKey]): [string, unknown] => [`publicKey ${name}`, { publicKey }]),
    ['a signal of its own', { signal: { aborted: false } }],
    ...badAnchors.map(([name, anchor]): [string, unknown] => [`anchor ${name}`, { anchor }]),
    ...badFunctions.map(([name, onProgress]): [string, unknown] => [`onProgress ${name}`, { onProgress }]),
  ];
  for (const [name, options] of bad) {
    await assert.rejects(ledger.verify(options as VerifyOptions), refused, name);
    await assert.rejects(store.verifyAudit(options as VerifyOptions), refused, name);
  }
  const message = await ledger
    .verify({ publicKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() })
    .catch(String);
  assert.doesNotMatch(String(message), /BEGIN|MC4C/, 'the message shows the key');
});

test('of more than 1,000 bad lines the first are told of and the others counted', async (t) => {
  const report = await ledgerOf(t, header + 'noise\n'.repeat(1_500)).verify({
    anchor: { id: 1, hash: 'a'.repeat(64) },
  });
  assert.deepEqual([report.ok, report.checked, report.findings.length, report.more], [false, 1_500, 1_000, 501]);
  assert.deepEqual(report.findings.at(-1), { line: 1_001, kind: 'bad-line', message: report.findings[0]!.message });
});

test('each of several faults is told of at its line, and those between them are not', async (t) => {
  const lines = plain(60);
  lines[49] = lines[49]!.replace('"x"', '"y"');
  lines.splice(39, 1);
  lines[29] = 'noise\n';
  lines[19] = lines[19]!.replace('"x"', '"y"');
  lines[9] = Buffer.from([0xff, 0x0a]).toString('latin1');
  assert.deepEqual(await told(t, Buffer.from(header + lines.join(''), 'latin1')), [
    '11 bad-encoding',
    '21 tampered',
    '31 bad-line',
    '41 gap',
    '50 tampered',
  ]);
});

test('a line with another predecessor, or whose id does not follow, is a gap though its hash is right', async (t) => {
  const lines = plain(6);
  const other = chain([{ id: 4 }], 'b'.repeat(64));
  assert.deepEqual(await told(t, header + [...lines.slice(0, 3), ...other, ...lines.slice(4)].join('')), [
    '5 gap',
    '6 gap',
  ]);
  for (const id of [2, 9])
    assert.deepEqual(await told(t, header + chain([{}, {}, { id }]).join('')), ['4 gap'], `id ${id}`);
});

test('behind a line that cannot be read only a newer one is in its place', async (t) => {
  const lines = plain(6);
  assert.deepEqual(await told(t, header + [...lines.slice(0, 3), 'noise\n', ...lines.slice(3)].join('')), [
    '5 bad-line',
  ]);
  assert.deepEqual(await told(t, header + [...lines.slice(0, 3), 'noise\n', ...lines.slice(5)].join('')), [
    '5 bad-line',
  ]);
  assert.deepEqual(await told(t, header + [...lines.slice(0, 3), 'noise\n', lines[1]!, ...lines.slice(3)].join('')), [
    '5 bad-line',
    '6 gap',
  ]);
});

test('rows from before the store have whatever ids they had; those behind store_adopted leave none out', async (t) => {
  const adopted: Partial<LedgerLine>[] = [{ id: 2 }, { id: 5 }, { id: 6, type: 'store_adopted' }, { id: 7 }];
  assert.deepEqual(await told(t, header + chain(adopted).join('')), []);
  assert.deepEqual(await told(t, header + chain([...adopted, { id: 9 }, { id: 10, type: 'store_adopted' }]).join('')), [
    '6 gap',
  ]);
  assert.deepEqual(await told(t, header + chain([...adopted.slice(0, 2), { id: 7 }]).join('')), [
    '2 gap',
    '3 gap',
    '4 gap',
  ]);
  const unsaid = chain(Array.from({ length: 1_100 }, (_, n) => ({ id: 2 * n + 2 }))).join('');
  assert.equal((await ledgerOf(t, header + unsaid).verify()).more, 100);

  const folder = new TestFolder(t);
  makeDatabase(folder.file(), fourTables);
  folder.open({ ledger: Ledger.open(folder.file('audit.jsonl')) }).close();
  assert.deepEqual((await Ledger.open(folder.file('audit.jsonl')).verify()).findings, []);
});

test('lines of 10 and of 40 MB that mean nothing are one finding each, and the rest is read', async (t) => {
  const lines = plain(4);
  const text =
    header +
    [...lines.slice(0, 2), `${'x'.repeat(10_000_000)}\n`, lines[2]!, `${'x'.repeat(40_000_000)}\n`, lines[3]!].join('');
  assert.deepEqual(await told(t, text), ['4 bad-line', '6 bad-line']);
});

test('a line of 10 MB that the store wrote is a line like any other', async (t) => {
  const folder = new TestFolder(t);
  const ledger = Ledger.open(folder.file('audit.jsonl'));
  const store = folder.open<{ type: string; text?: string }>({ ledger });
  store.appendAudit({ type: 'note', text: 'x'.repeat(10_000_000) });
  store.appendAudit({ type: 'note' });
  assert.deepEqual(await ledger.verify({ anchor: store.auditHead()! }), {
    ok: true,
    checked: 3,
    head: store.auditHead(),
    findings: [],
    more: 0,
  });
});

test('what a writer has begun when the end is reached is read to its end', async (t) => {
  const lines = chain([{}, {}, { more: true }, { more: true }, {}]);
  for (const [first, rest] of [
    [lines[0]! + lines[1]!.slice(0, 40), lines[1]!.slice(40)],
    [lines.slice(0, 4).join(''), lines[4]!],
  ] as const) {
    const folder = new TestFolder(t);
    const path = folder.file('audit.jsonl');
    writeFileSync(path, header + first);
    let asked = -Infinity; // not while it is opened
    // Appends once the size has been read.
    const fstatSync = ((fd: number) => {
      const stat = system.fstatSync(fd);
      if (++asked === 2) appendFileSync(path, rest);
      return stat;
    }) as typeof system.fstatSync;
    const ledger = folder.closing(Ledger.open(path, { files: { ...system, fstatSync } }));
    asked = 0;
    const report = await ledger.verify();
    assert.ok(asked > 2);
    assert.deepEqual(report.findings, []);
    assert.equal(report.checked, (first + rest).split('\n').length - 1);
  }
});

test('a disk that fails, and a path that has become a folder, are errors and no findings', async (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('audit.jsonl');
  writeFileSync(path, header);
  const failing = { ...system, readSync: system.readSync };
  const ledger = folder.closing(Ledger.open(path, { files: failing }));
  failing.readSync = () => { throw Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'read' }); };
  await assert.rejects(ledger.verify(), { code: 'ERR_STORE_IO' });
  failing.readSync = system.readSync;
  rmSync(path);
  mkdirSync(path);
  await assert.rejects(ledger.verify(), { code: 'ERR_STORE_NOT_A_STORE' });
});

test('a first line that is changed after the ledger was opened is no header', async (t) => {
  const ledger = ledgerOf(t, header + plain(2).join(''));
  const fd = openSync(ledger.path, 'r+');
  writeSync(fd, '[', 0);
  closeSync(fd);
  assert.deepEqual((await ledger.verify()).findings.map(({ line, kind }) => [line, kind]), [[1, 'not-a-ledger']]);
  truncateSync(ledger.path, 0);
  assert.deepEqual((await ledger.verify()).findings, []);
});

// Signatures

const signed = (key: KeyObject, fields: Partial<LedgerLine> = {}): Partial<LedgerLine> & { key: KeyObject } => ({
  ...fields,
  key,
});
const mine = keys.privateKey;
const theirs = others.privateKey;
const start = startOf(keys.publicKey);
const theirStart = startOf(others.publicKey);

for (const [name, items, expected] of [
  ['signed from where signing starts', [{}, signed(mine, start), signed(mine)], []],
  ['signed before signing starts, too', [signed(mine), signed(mine, start)], []],
  ['where one line is not signed', [signed(mine, start), {}, signed(mine)], ['3 missing-signature']],
  ['where the start of signing is not signed', [start, signed(mine)], ['2 missing-signature']],
  ['where one line is signed by another key', [signed(mine, start), signed(theirs), signed(mine)], ['3 bad-signature']],
  [
    'where a line before the start is signed by another key',
    [signed(theirs), signed(mine, start)],
    ['2 bad-signature'],
  ],
  ['where signing never starts', [{}, {}], ['3 missing-signature']],
  ['where signing never starts and each line is signed', [signed(mine), signed(mine)], ['3 missing-signature']],
  [
    'where another key takes over',
    [signed(mine, start), signed(theirs, theirStart), signed(theirs)],
    ['3 bad-signature', '4 bad-signature'],
  ],
  [
    'that another key signed first',
    [signed(theirs, theirStart), signed(theirs), signed(mine, start), signed(mine)],
    ['2 bad-signature'],
  ],
  ['that another key signed', [signed(theirs, theirStart), signed(theirs)], ['2 bad-signature', '3 missing-signature']],
  [
    'whose start names no key',
    [signed(mine, { type: 'signing_started', data: 'null' }), signed(mine, start)],
    ['2 bad-signature'],
  ],
  [
    'whose start is no JSON',
    [signed(mine, { type: 'signing_started', data: '{' }), signed(mine, start)],
    ['2 bad-signature'],
  ],
] as const) {
  test(`a ledger ${name}, held against a key: ${String(expected) || 'nothing'}`, async (t) => {
    const text = header + chain([...items]).join('');
    assert.deepEqual(await told(t, text, { publicKey: keys.publicKey }), expected);
    assert.deepEqual(await told(t, text, { publicKey: pemOf(keys.publicKey) }), expected);
    assert.deepEqual(await told(t, text), []);
  });
}

test('a signature has one spelling', async (t) => {
  const [first, second] = chain([signed(mine, start), signed(mine)]);
  const { sig } = JSON.parse(second!) as { sig: string };
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const spare = sig.slice(0, 85) + alphabet[alphabet.indexOf(sig[85]!) ^ 1]! + '=='; // a bit that base64 does not use
  for (const spelling of [
    spare,
    sig.slice(0, 86),
    `${sig} `,
    sig.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''),
    '',
    'AAAA',
  ]) {
    assert.deepEqual(
      await told(t, header + first! + second!.replace(sig, spelling), { publicKey: keys.publicKey }),
      ['3 bad-signature'],
      spelling,
    );
  }
});

test('verifyAudit finds in the database what Ledger.verify finds in the file', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open<{ type: string }>({
    ledger: Ledger.open(folder.file('audit.jsonl'), { signingKey: mine }),
  });
  for (let n = 0; n < 4; n++) store.appendAudit({ type: 'x' });
  const verdict = async (publicKey?: KeyObject): Promise<[number, string][]> =>
    (await store.verifyAudit(publicKey ? { publicKey } : {})).findings.map(({ id, kind }) => [id, kind]);
  assert.deepEqual(await verdict(keys.publicKey), []);
  assert.deepEqual(await verdict(others.publicKey), [
    [1, 'bad-signature'],
    [2, 'bad-signature'],
    [6, 'missing-signature'],
  ]);

  const db = folder.raw();
  db.exec('DROP TRIGGER audit_log_no_update');
  db.exec(`
    UPDATE audit_log SET signature = NULL WHERE id = 3;
    UPDATE audit_log SET signature = signature || char(0) || 'x' WHERE id = 4;
    UPDATE audit_log SET signature = (SELECT signature FROM audit_log WHERE id = 1) WHERE id = 5`);
  assert.deepEqual(await verdict(keys.publicKey), [
    [3, 'missing-signature'],
    [4, 'bad-signature'],
    [5, 'bad-signature'],
  ]);
  assert.deepEqual(await verdict(), []);
  db.exec("UPDATE audit_log SET event_hash = 'h' WHERE id = 6");
  assert.deepEqual((await verdict(keys.publicKey)).at(-1), [6, 'tampered']); // one fault, one finding
});

test('a log that was never signed is not one that a key proves; one without events proves nothing', async (t) => {
  const store = new TestFolder(t).open();
  assert.ok((await store.verifyAudit({ publicKey: keys.publicKey })).ok);
  store.appendAudit({ type: 'service_started' });
  assert.deepEqual(
    (await store.verifyAudit({ publicKey: keys.publicKey })).findings.map(({ id, kind }) => [id, kind]),
    [[1, 'missing-signature']],
  );
});
