// The exact bytes of a ledger, and that another program can check them: the script of the ledger's README.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { genesisHash, rowHash } from '../../lib/core/chain.ts';
import { type CoreEvent, type EventBase, SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/ledger.ts';
import {
  headerText, lineHash, type LedgerLine, lineText, parseHeader, parseLine, signHash, toLine, toRow,
} from '../../lib/ledger/line.ts';
import type { LedgerRow } from '../../lib/ledger/rows.ts';
import { renewIdentity } from '../../lib/modules/identity/identity.ts';
import { isSignedBy } from '../../lib/verify/signatures.ts';
import { otherKey, publicKey, signingKey } from '../fixtures/ledgers/make.ts';
import { archiveUpTo, kioskIn } from '../support/archive.ts';
import { documentAt, examplesOf } from '../support/documents.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { type Outcome, run } from '../support/project.ts';
import { needs } from '../support/tools.ts';

// Each was computed with printf, sha256sum and openssl from the docstrings of lib/core/chain.ts and lib/ledger/line.ts,
// with the key whose 32 secret bytes are all 01. A change here makes every existing ledger look forged.
const golden = {
  privateKey:
    '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n' +
    '-----END PRIVATE KEY-----\n',
  publicKey:
    '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=\n' +
    '-----END PUBLIC KEY-----\n',
  genesis: '4125f74992512cafcbf9aae77d4138db73a07b1759161fb6901cdeb59e804803',
  hashes: [
    '56c739759bf4cf3b5fc3aed9c1cb3cc47cc4e57369c56d724f31858dbcb9d2c5',
    'e35789e7a536010e8330a04bbc2f972ee9963ce3a2576ab93ccc3b8ea4beffdb',
  ],
  signatures: [
    'E+oeXKnr96n3AwPVRRhIl/3T4aP2x/gUnIhUCTkPmWbE5XIvwonjmERfDp44jf2kqx5JE8Km/oPdcoPaga6TAA==',
    'dpN1HmehLoP7sdXkWk5AoI4iAbzlTeVDHlqrWJqOwRR4zpvGEylzESNOAGyjtbaYNN2ubHZep7SiI5gTKycyBA==',
  ],
  header:
    '{"format":"shepherd-store ledger 1","store":"00000000-0000-4000-8000-000000000001",' +
    '"created":"2026-11-21T08:59:59.999Z"}\n',
  lines: [
    '{"id":1,"at":"2026-11-21T09:00:00.000Z","type":"note",' +
      String.raw`"data":"{\"entryId\":\"Ünïcødé 🎮\",\"n\":1.5e-7}","meta":"{\"source\":\"Zoë\"}",` +
      '"prev":"4125f74992512cafcbf9aae77d4138db73a07b1759161fb6901cdeb59e804803",' +
      '"hash":"56c739759bf4cf3b5fc3aed9c1cb3cc47cc4e57369c56d724f31858dbcb9d2c5","more":true,' +
      '"sig":"E+oeXKnr96n3AwPVRRhIl/3T4aP2x/gUnIhUCTkPmWbE5XIvwonjmERfDp44jf2kqx5JE8Km/oPdcoPaga6TAA=="}' +
      '\n',
    '{"id":2,"at":"2026-11-21T09:00:00.001Z","type":"service_stopped","data":"{}",' +
      '"prev":"56c739759bf4cf3b5fc3aed9c1cb3cc47cc4e57369c56d724f31858dbcb9d2c5",' +
      '"hash":"e35789e7a536010e8330a04bbc2f972ee9963ce3a2576ab93ccc3b8ea4beffdb",' +
      '"sig":"dpN1HmehLoP7sdXkWk5AoI4iAbzlTeVDHlqrWJqOwRR4zpvGEylzESNOAGyjtbaYNN2ubHZep7SiI5gTKycyBA=="}' +
      '\n',
  ],
};

test('the chain, the lines and the signatures have the bytes that printf, sha256sum and openssl give', () => {
  const uuid = '00000000-0000-4000-8000-000000000001';
  const key = createPrivateKey(golden.privateKey);
  const checker = createPublicKey(golden.publicKey);
  assert.equal(createPublicKey(key).export({ type: 'spki', format: 'pem' }), golden.publicKey);
  assert.equal(genesisHash(uuid), golden.genesis);
  const texts = [
    {
      id: 1,
      timestamp: '2026-11-21T09:00:00.000Z',
      type: 'note',
      data: '{"entryId":"Ünïcødé 🎮","n":1.5e-7}',
      meta: '{"source":"Zoë"}',
    },
    { id: 2, timestamp: '2026-11-21T09:00:00.001Z', type: 'service_stopped', data: '{}', meta: null },
  ];
  const rows: LedgerRow[] = texts.map((text, index) => ({
    ...text,
    previous: [golden.genesis, golden.hashes[0]!][index]!,
    hash: golden.hashes[index]!,
    signature: golden.signatures[index]!,
    more: index === 0,
  }));
  for (const [index, row] of rows.entries()) {
    assert.equal(rowHash(row.previous, texts[index]!), golden.hashes[index]);
    assert.equal(signHash(row.hash, key), golden.signatures[index]);
    assert.ok(isSignedBy(row.hash, golden.signatures[index]!, checker));
    assert.equal(lineText(toLine(row)), golden.lines[index]);
    assert.deepEqual(toRow(parseLine(Buffer.from(golden.lines[index]!.trimEnd()))!), row);
  }
  assert.equal(headerText({ store: uuid, created: '2026-11-21T08:59:59.999Z' }), golden.header);
  assert.deepEqual(parseHeader(Buffer.from(golden.header.trimEnd())), {
    format: 'shepherd-store ledger 1',
    store: uuid,
    created: '2026-11-21T08:59:59.999Z',
  });
});

test('the ledger of the golden bytes verifies, with the key and its head as the anchor', async (t) => {
  const folder = new TestFolder(t);
  writeFileSync(folder.file('audit.jsonl'), golden.header + golden.lines.join(''));
  const ledger = folder.closing(Ledger.open(folder.file('audit.jsonl')));
  const { findings, head } = await ledger.verify({ anchor: { id: 2, hash: golden.hashes[1]! } });
  assert.deepEqual([findings, head], [[], { id: 2, hash: golden.hashes[1] }]);
});

test('a header begins as this package writes it, to the byte, and only whole fields follow', () => {
  const header = golden.header.trimEnd();
  assert.ok(parseHeader(Buffer.from(header.replace(/}$/, ',"device":"kiosk"}'))));
  for (const [from, to] of [
    ['"store":', '"store": '], [/("store":"[^"]*"),("created":"[^"]*")/, '$2,$1'],
    ['{"format"', '{"device":1,"format"'],
    [/}$/, ',"created":"2030-01-01T00:00:00.000Z"}'], [/}$/, ',"device":1.0}'], [/}$/, ',"5":1}'],
  ] as const) {
    const changed = header.replace(from, to);
    assert.notEqual(changed, header);
    assert.equal(parseHeader(Buffer.from(changed)), undefined, changed);
  }
});

test('a line is what this package writes, to the byte, and nothing that only means the same', () => {
  const [line] = golden.lines.map((text) => text.trimEnd());
  assert.ok(parseLine(Buffer.from(line!)));
  for (const [from, to] of [
    ['"more":true', '"more":1'],
    ['"more":true', '"more":false'],
    ['"more":true', '"more":null'],
    ['"more":true,', '"more":true, '],
    ['"id":1', '"id":1.0'],
    ['"id":1', '"id":"1"'],
    ['"id":1', '"id":0'],
    ['"sig":', '"sig":null,"sig":'],
    [/"sig":"[^"]*"/, '"sig":null'],
    [/"meta":.*,"prev"/, '"meta":null,"prev"'],
    ['Ü', '\\u00dc'],
    ['"note"', '5'],
    ['"at":', '"__proto__":{},"at":'],
    ['{"id"', '\uFEFF{"id"'],
  ] as const) {
    const changed = line!.replace(from, to);
    assert.notEqual(changed, line);
    assert.equal(parseLine(Buffer.from(changed)), undefined, changed);
  }
});

/** The script in the section of the ledger's README on verifying without this program. */
const script = examplesOf(documentAt('lib/ledger/README.md')).get('Verifying without this program')!
  .find(({ savedAs }) => savedAs === 'verify.sh')!.text;

/** A ledger of a real store, signed unless it says otherwise; `verify` runs the script with the key, or without one. */
function realLedger(
  t: TestContext,
  adopted?: string,
  isSigned = true,
): {
  path: string;
  lines: string[];
  verify: (key?: 'without') => { status: number | null; stdout: string; stderr: string };
} {
  const folder = new TestFolder(t, { checked: false });
  const path = folder.file('audit.jsonl');
  if (adopted !== undefined) makeDatabase(folder.file(), adopted);
  const store = folder.open<CoreEvent | { type: 'note'; text: string }>({
    ledger: Ledger.open(path, isSigned ? { signingKey } : {}),
  });
  store.appendAudits([
    { event: { type: 'note', text: 'Ünïcødé 🎮 \u0001 \u2028 "quoted" \\ \n' }, attributes: { source: 'Zoë' } },
    { event: { type: 'service_stopped' } },
  ]);
  store.addUsage('עברית', '2026-11-21', 90_500);
  store.close();
  const file = folder.file('verify.sh');
  writeFileSync(file, script);
  writeFileSync(folder.file('key.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
  return {
    path,
    lines: readFileSync(path, 'utf8').split(/(?<=\n)/),
    verify: (key) => spawnSync('sh', [file, path, ...(key ? [] : [folder.file('key.pem')])], { encoding: 'utf8' }),
  };
}

test(
  'the script of the README fits a screen, verifies a real ledger and prints its head',
  needs('jq', 'openssl'),
  (t) => {
    const lengths = script.trimEnd().split('\n').map((line) => line.length);
    assert.ok(lengths.length <= 35 && Math.max(...lengths) <= 120, lengths.join());
    const { path, verify } = realLedger(t);
    const { status, stdout, stderr } = verify();
    assert.equal(status, 0, stderr);
    const { id, hash } = Ledger.open(path).head!;
    assert.equal(stdout.trimEnd(), `${id} ${hash}`);
  },
);

test(
  'the script of the README verifies a ledger without signatures, and says so where a key was to be found in it',
  needs('jq', 'openssl'),
  (t) => {
    const { path, lines, verify } = realLedger(t, undefined, false);
    const { id, hash } = Ledger.open(path).head!;
    const { status, stdout, stderr } = verify('without');
    assert.deepEqual([status, stdout.trimEnd()], [0, `${id} ${hash}`], stderr);
    assert.deepEqual([verify().status, verify().stderr], [1, 'nothing in it is signed\n']);
    writeFileSync(path, lines.join('').replace('quoted', 'Quoted'));
    assert.notEqual(verify('without').status, 0);
    writeFileSync(path, lines[0]!);
    assert.match(verify('without').stdout, /^0 [\da-f]{64}\n$/);
    for (const text of ['', '{}\n', lines.slice(1).join('')]) {
      writeFileSync(path, text);
      assert.partialDeepStrictEqual(verify('without'), { status: 1, stdout: '', stderr: 'this is no ledger\n' });
    }
    rmSync(path);
    assert.partialDeepStrictEqual(verify('without'), { status: 1, stdout: '' });
  },
);

test('the script of the README verifies the ledger of a renewed store', needs('jq', 'openssl'), (t) => {
  const { path, lines, verify } = realLedger(t, undefined, false);
  using store = SqliteStore.open(join(dirname(path), 'store.db'), { ledger: Ledger.open(path) });
  renewIdentity(store);
  store.close();
  const { id, hash } = Ledger.open(path).head!;
  const { status, stdout, stderr } = verify('without');
  assert.deepEqual([status, stdout.trimEnd()], [0, `${id} ${hash}`], stderr);
  writeFileSync(path, readFileSync(path, 'utf8').replace(/,"renewed":\[.*?\]/, ''));
  assert.notEqual(verify('without').status, 0);
  assert.notEqual(lines[0], readFileSync(path, 'utf8').split(/(?<=\n)/)[0]);
});

test(
  'the script of the README verifies a ledger whose store was adopted with bytes that are no text',
  needs('jq', 'openssl'),
  (t) => {
    const { path, lines, verify } = realLedger(
      t,
      `${fourTables} UPDATE audit_log SET event_data = x'00ff', event_type = x'41' WHERE id = 3;
      UPDATE audit_log SET event_type = 'a' || char(0) || 'b' WHERE id = 1;`,
    );
    const { status, stderr } = verify();
    assert.equal(status, 0, stderr);
    writeFileSync(path, lines.join('').replace('"blob":["type","data"]', '"blob":["data"]'));
    assert.notEqual(verify().status, 0);
  },
);

const damages: Record<string, (lines: string[]) => void> = {
  'a changed text': (lines) => (lines[3] = lines[3]!.replace('quoted', 'Quoted')),
  'a changed hash': (lines) =>
    (lines[4] = changed(lines[4]!, ({ hash, ...line }) => ({ ...line, hash: hash.replace(/^./, 'g') }))),
  'a line that is gone': (lines) => lines.splice(3, 1),
  'lines that changed places': (lines) => lines.splice(3, 2, lines[4]!, lines[3]!),
  'another store in the header': (lines) =>
    (lines[0] = headerText({ store: '00000000-0000-4000-8000-000000000001', created: '2026-11-21T09:00:00.000Z' })),
  'a signature that is gone': (lines) => (lines[4] = changed(lines[4]!, ({ sig, ...line }) => line)),
  'a signature by another key': (lines) =>
    (lines[5] = changed(lines[5]!, (line) => ({ ...line, sig: signHash(line.hash, otherKey) }))),
  "another line's signature": (lines) =>
    (lines[5] = changed(lines[5]!, (line) => ({ ...line, sig: parseLine(Buffer.from(lines[4]!.trimEnd()))!.sig! }))),
  'a signature that is none': (lines) => (lines[5] = changed(lines[5]!, (line) => ({ ...line, sig: 'none' }))),
  'a hash that names a file': (lines) =>
    (lines[5] = changed(lines[5]!, (line) => ({ ...line, hash: `${line.hash}  /dev/null\n${line.hash}` }))),
  'a predecessor that is none': (lines) =>
    (lines[4] = changed(lines[4]!, (line) => ({ ...line, prev: lines[5]!.slice(-70, -6) }))),
  'nothing from where signing began on': (lines) => lines.splice(2),
  'half of the last line': (lines) => (lines[5] = lines[5]!.slice(0, 100)),
};

function changed(text: string, change: (line: LedgerLine) => LedgerLine): string {
  return lineText(change(parseLine(Buffer.from(text.trimEnd()))!));
}

for (const [name, damage] of Object.entries(damages)) {
  test(`the script of the README refuses a ledger with ${name}`, needs('jq', 'openssl'), (t) => {
    const { path, lines, verify } = realLedger(t);
    damage(lines);
    writeFileSync(path, lines.join(''));
    const { status, stdout } = verify();
    assert.notEqual(status, 0);
    assert.equal(stdout, '');
  });
}

/** A ledger without signatures, of this many events, each of which is another. */
function longLedger(t: TestContext, count: number): { lines: string[]; verify(lines: string[]): Outcome } {
  const folder = new TestFolder(t, { checked: false, inMemory: true });
  const store = folder.open<EventBase & { number: number; text: string }>({
    ledger: Ledger.open(folder.file('audit.jsonl')),
  });
  // Each of these bytes means something to some shell: the escape of dash, what printf takes, blanks at both ends.
  const text = '\u0081\u0088āą 🎮 \\c \\0101 %s $(false) `false` "\'* \t\r';
  const events = Array.from({ length: count - 1 }, (_, number) => ({ type: `\nnote${text}`, number, text }));
  store.appendAudits(events.map((event) => ({ event, attributes: { source: text } })));
  store.close();
  writeFileSync(folder.file('verify.sh'), script);
  const lines = readFileSync(folder.file('audit.jsonl'), 'utf8').split(/(?<=\n)/);
  const verify = (damaged: string[]): Outcome => {
    writeFileSync(folder.file('audit.jsonl'), damaged.join(''));
    return run(folder.path, 'sh', 'verify.sh', 'audit.jsonl');
  };
  return { lines, verify };
}

// The script has sha256sum check a hundred events at once, so the places are the ends and beginnings of hundreds.
test('the script of the README finds whatever line is changed, missing, at another place or cut', needs('jq'), (t) => {
  const { lines, verify } = longLedger(t, 205);
  const { id, hash } = parseLine(Buffer.from(lines.at(-1)!.trimEnd()))!;
  assert.deepEqual(verify(lines), { status: 0, stdout: `${id} ${hash}\n`, stderr: '' });
  for (const at of [1, 100, 101, 204]) {
    const line = lines[at]!;
    const other = line.replace(/ledger_attached|(?<=\\"number\\":)\d+/, '7777');
    const damaged = {
      changed: lines.with(at, other),
      missing: lines.toSpliced(at, 1),
      swapped: lines.toSpliced(at, 2, lines[at + 1]!, line),
      repeated: lines.toSpliced(at, 0, line),
      cut: lines.with(at, `${line.slice(0, 90)}\n`),
      'cut off': [...lines.slice(0, at), line.slice(0, 90)],
      'made anew': lines.with(at, changed(other, (row) => ({ ...row, hash: lineHash(row) }))),
    };
    for (const [name, found] of Object.entries(damaged)) {
      assert.notDeepEqual(found, lines, `${name} at ${at}`);
      const { status, stdout, stderr } = verify(found);
      assert.deepEqual([status === 0, stdout], [false, ''], `${name} at ${at}`);
      if (name === 'changed') assert.match(stderr, new RegExp(`^event-${at}: FAILED`), name);
    }
  }
  // sha256sum passes over what is no hash, and no line follows the last one, whose predecessor it would not be.
  const noHash = changed(lines[205]!, (row) => ({ ...row, hash: row.hash.replace(/^./, 'g') }));
  assert.partialDeepStrictEqual(verify(lines.with(205, noHash)), { status: 1, stdout: '' });
  const shorter = verify(lines.slice(0, 150));
  assert.equal(shorter.status, 0, 'a whole line that is cut off shows by its head alone');
  assert.notEqual(shorter.stdout, `${id} ${hash}\n`);
});

test('the script of the README verifies 10,000 lines, and the time is shown', needs('jq'), (t) => {
  const { lines, verify } = longLedger(t, 10_000);
  const started = performance.now();
  const { status, stdout, stderr } = verify(lines);
  t.diagnostic(`10,000 unsigned lines in ${((performance.now() - started) / 1_000).toFixed(1)} s`);
  assert.deepEqual([status, stdout.split(' ')[0]], [0, '10000'], stderr);
});

test('the script of the README verifies archives and a cut ledger', needs('jq', 'openssl'), async (t) => {
  const folder = new TestFolder(t);
  const kiosk = kioskIn(folder, {
    days: 5, perDay: 4, ledger: Ledger.open(folder.file('audit.jsonl'), { signingKey }),
  });
  const archives = [await archiveUpTo(kiosk, 5), await archiveUpTo(kiosk, 10, true), await archiveUpTo(kiosk, 11)];
  kiosk.store.close();
  writeFileSync(folder.file('verify.sh'), script);
  writeFileSync(folder.file('key.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
  const verify = (path: string, ...key: string[]): Outcome => run(folder.path, 'sh', 'verify.sh', path, ...key);
  for (const key of [[], ['key.pem']]) {
    for (const { path, anchor: { id, hash } } of archives) {
      assert.deepEqual(verify(path, ...key), { status: 0, stdout: `${id} ${hash}\n`, stderr: '' });
    }
    const { id, hash } = Ledger.open(folder.file('audit.jsonl')).head!;
    assert.equal(verify('audit.jsonl', ...key).stdout, `${id} ${hash}\n`);
  }
  const { path, anchor } = archives[1]!;
  const bytes = readFileSync(path);
  const text = gunzipSync(bytes).toString();
  for (const damaged of [
    bytes.subarray(0, -10), bytes.subarray(0, 200), gzipSync(text.replace('policy_loaded', 'policy_laoded')),
    gzipSync(text.replace(/(?<="after":.*"hash":")[0-9a-f]{64}/, anchor.hash)),
  ]) {
    writeFileSync(path, damaged);
    assert.notEqual(verify(path).status, 0);
  }
  writeFileSync(path, gzipSync(text.replace(/,"sig":"[^"]*"(?=\}\n$)/, '')));
  assert.notEqual(verify(path, 'key.pem').status, 0, 'a signature that is gone');
});
