// What the centre of a fleet refuses: the whole batch, by a code, with nothing of it taken.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { lineText } from '../../lib/ledger/line.ts';
import { ledgerOf, type Made, notes, partOf } from '../support/fleet.ts';
import { type Database, PostgreSql } from '../support/postgresql.ts';
import { needs } from '../support/tools.ts';

const server = new PostgreSql();
after(() => server.stop());
const options = needs('postgres');

// The tests of this file share a database: each has stores of its own, and nothing that is refused may change anything.
let shared: Promise<Database> | undefined;
const database = (): Promise<Database> => (shared ??= server.database());

/** All that is there, and how often batches of a store were refused, and for a fork. */
async function stateOf(centre: Database, store?: string): Promise<{ all: string; refused: number; forked: number }> {
  const of = store === undefined ? 'NULL' : `'${store}'`;
  const [counted = '', ...all] = await centre.must(`
    SELECT coalesce((SELECT concat(refused, '|', forked) FROM shepherd.kiosks WHERE store = ${of}), '0|0');
    SELECT md5(string_agg(k::text, ',' ORDER BY store)) FROM shepherd.kiosk k;
    SELECT count(*), sum(('x' || left(hash, 8))::bit(32)::bigint) FROM shepherd.event; TABLE shepherd.inbox`);
  const [refused, forked] = counted.split('|').map(Number) as [number, number];
  return { all: all.join(), refused, forked };
}

/** That a batch is refused with this code, changes nothing, and is counted where the store is known. */
async function refuses(code: string, batch: string | Uint8Array, store?: string): Promise<string> {
  const centre = await database();
  const { all, refused, forked } = await stateOf(centre, store);
  const answer = await centre.send(batch);
  assert.equal(answer.code, code, answer.message);
  const counted = store === undefined ? { refused, forked }
    : { refused: refused + 1, forked: forked + (code === 'SHFRK' ? 1 : 0) };
  assert.deepEqual(await stateOf(centre, store), { all, ...counted });
  return answer.message;
}

/** A store whose first ten rows are known. */
async function known(): Promise<Made> {
  const made = ledgerOf([
    ...notes(9), { type: 'note', data: '{"Zoë":"🎮"}', meta: '{"source":"Zoë"}' },
    ...notes(1), { data: '{"last":true}', meta: '{"source":"Zoë"}', more: true, sig: 'c2ln' }, ...notes(1),
  ]);
  const { code, message } = await (await database()).send(partOf(made, 0, 10));
  assert.equal(code, 'ok', message);
  return made;
}

const other = (digit: string): string => (digit === '0' ? '1' : '0');
const blob = (value: string) => (line: string): string => line.replace(',"prev"', `,"blob":${value},"prev"`);

// Each changes the second of three new lines.
const badLines: Record<string, [code: string, change: (line: string) => string]> = {
  'another id': ['SHTMP', (line) => line.replace('"id":12', '"id":13')],
  'another time': ['SHTMP', (line) => line.replace(/"at":"2026/, '"at":"2025')],
  'another type': ['SHTMP', (line) => line.replace('"type":"note"', '"type":"nota"')],
  'other data': ['SHTMP', (line) => line.replace('true}', 'null}')],
  'another blank in the data': ['SHTMP', (line) => line.replace('{\\"last', '{ \\"last')],
  'other attributes': ['SHTMP', (line) => line.replace('Zoë', 'Zoe')],
  'no attributes': ['SHTMP', (line) => line.replace(/"meta":"[^,]*",/, '')],
  'another predecessor': ['SHTMP', (line) => line.replace(/(?<="prev":")./, other)],
  'another hash': ['SHTMP', (line) => line.replace(/(?<="hash":")./, other)],
  'a hash in capitals': ['SHTMP', (line) => line.replace(/(?<="hash":")[0-9a-f]+/, (hash) => hash.toUpperCase())],
  'data that are said to be a BLOB': ['SHTMP', (line) => {
    return blob('["data"]')(line.replace(/"data":"[^,]*"/, '"data":"00"'));
  }],
  'a BLOB that is no hexadecimal': ['SHLIN', blob('["data"]')],
  'a BLOB of another field': ['SHLIN', blob('["meta"]')],
  'BLOBs in another order': ['SHLIN', blob('["data","type"]')],
  'a BLOB of nothing': ['SHLIN', blob('[]')],
  'an id as a text': ['SHLIN', (line) => line.replace('"id":12', '"id":"12"')],
  'an id with a fraction': ['SHLIN', (line) => line.replace('"id":12', '"id":12.0')],
  'an id with an exponent': ['SHLIN', (line) => line.replace('"id":12', '"id":12e0')],
  'an id beyond 2^53': ['SHLIN', (line) => line.replace('"id":12', '"id":9007199254740992')],
  'an id of 30 digits': ['SHLIN', (line) => line.replace('"id":12', `"id":1${'0'.repeat(29)}`)],
  'a negative id': ['SHLIN', (line) => line.replace('"id":12', '"id":-12')],
  'no id': ['SHLIN', (line) => line.replace('"id":12,', '')],
  'no data': ['SHLIN', (line) => line.replace(/"data":"[^,]*",/, '')],
  'data null': ['SHLIN', (line) => line.replace(/"data":"[^,]*",/, '"data":null,')],
  'data that are an object': ['SHLIN', (line) => line.replace(/"data":"[^,]*",/, '"data":{"last":true},')],
  'attributes null': ['SHLIN', (line) => line.replace(/"meta":"[^,]*",/, '"meta":null,')],
  'more: false': ['SHLIN', (line) => line.replace('"more":true', '"more":false')],
  'a signature that is a number': ['SHLIN', (line) => line.replace('"c2ln"', '1')],
  'a further field': ['SHLIN', (line) => line.replace(/\}\n$/, ',"more2":true}\n')],
  'a field twice': ['SHLIN', (line) => line.replace('"type":"note"', '"type":"note","type":"note"')],
  'another order': ['SHLIN', (line) => line.replace(/("at":"[^"]*"),("type":"note")/, '$2,$1')],
  'a blank': ['SHLIN', (line) => line.replace('{"id"', '{ "id"')],
  'an escape that is not needed': ['SHLIN', (line) => line.replace('"note"', '"n\\u006fte"')],
  'an escape with capitals': ['SHLIN', (line) => line.replace('"note"', '"\\u001F"')],
  'U+0000 in a type': ['SHLIN', (line) => line.replace('"note"', '"\\u0000"')],
  'half of a surrogate pair': ['SHLIN', (line) => line.replace('"note"', '"\\ud800"')],
  'an array': ['SHLIN', (line) => `[${line.trimEnd()}]\n`],
  'a number': ['SHLIN', () => '12\n'],
  'no JSON': ['SHLIN', (line) => line.replace('{', '')],
  'half a line': ['SHLIN', (line) => `${line.slice(0, 60)}\n`],
  'an empty line': ['SHLIN', () => '\n'],
  'a million brackets': ['SHLIN', () => `${'['.repeat(1_000_000)}\n`],
  'a BOM': ['SHLIN', (line) => `\ufeff${line}`],
  'no line': ['SHGAP', () => ''],
  'the line twice': ['SHGAP', (line) => line + line],
};

for (const [name, [code, change]] of Object.entries(badLines)) {
  test(`a batch is refused with ${name}`, options, async () => {
    const made = await known();
    const [first, line, last] = made.lines.slice(10) as [string, string, string];
    const changed = change(line);
    assert.notEqual(changed, line);
    const message = await refuses(code, made.header + first + changed + last, made.store);
    assert.ok(message.includes(made.store));
    assert.equal((await (await database()).send(made.text)).code, 'ok', 'the true one is taken then');
  });
}

test('a batch without the lines before is refused, and told from where to send', options, async () => {
  const made = await known();
  const message = await refuses('SHGAP', partOf(made, 11), made.store);
  assert.match(message, /row 12\b.*row 10\b.*row 11\b/);
  const shorter = ledgerOf(notes(2), { store: made.store, after: { id: 10, hash: 'ab'.repeat(32) } });
  await refuses('SHFRK', shorter.text, made.store);
});

test('a store that was restored from a backup or cloned is refused from its first other row on', options, async () => {
  const made = await known();
  const { store } = made;
  const fork = ledgerOf([...made.events.slice(0, 5), { data: '{"restored":true}' }, ...notes(7)], { store });
  for (const [from, to] of [[0, 13], [4, 7], [5, 6], [6, 13], [9, 10], [10, 13]] as const) {
    const message = await refuses('SHFRK', partOf(fork, from, to), made.store);
    assert.match(message, new RegExp(`row ${Math.max(from + 1, 6)}\\b.*renew-identity`));
  }
  // What both have is passed over. An id that was left out is no way around.
  assert.equal((await (await database()).send(partOf(fork, 0, 5))).code, 'ok');
  const gap = ledgerOf([...made.events.slice(0, 5), { id: 12 }], { store: made.store });
  await refuses('SHGAP', gap.text, made.store);
});

test('a store that is unknown here begins nowhere but at its first row', options, async () => {
  const store = '00000000-0000-4000-8000-0000000000f1';
  const made = ledgerOf(notes(5), { store });
  await refuses('SHGAP', partOf(made, 1));
  await refuses('SHGAP', ledgerOf(notes(5), { store, after: { id: 7, hash: 'ab'.repeat(32) } }).text);
  await refuses('SHFRK', ledgerOf(notes(5), { store, renewed: [{ store: store.replace('f1', 'f0'), until: 3 }] }).text
    .replace(/,"renewed":.*(?=\}\n)/, ''));
});

test('lines of another store, with or without its header, are refused', options, async () => {
  const [one, two] = [await known(), await known()];
  await refuses('SHFRK', two.header + one.lines.slice(0, 10).join(''), two.store);
  await refuses('SHFRK', two.header + one.lines[10], two.store);
  await refuses('SHGAP', two.header + two.lines[10] + one.lines.slice(11).join(''), two.store);
  const stranger = '00000000-0000-4000-8000-0000000000f2';
  await refuses('SHFRK', one.text.replace(one.store, stranger));
  // A sound ledger in front is not taken either.
  await refuses('SHFRK', one.text + two.text.replace(two.store, stranger));
});

const header = ledgerOf([], { store: '00000000-0000-4000-8000-0000000000f3' }).header;
const after100 = `,"after":{"id":100,"hash":"${'ab'.repeat(32)}"}}`;
const badHeaders: Record<string, string> = {
  'no header': '',
  'a BOM before the header': `\ufeff${header}`,
  'another format': header.replace('ledger 1', 'ledger 2'),
  'a store that is no UUID': header.replace('00000000-', '../etc/passwd'),
  'a UUID in capitals': header.replace('f3"', 'F3"'),
  'a header that is no JSON': header.replace('}', ',}'),
  'a header of another order': header.replace(/("store":[^,]*),("created":[^}]*)/, '$2,$1'),
  'a store twice': header.replace('}', ',"store":"00000000-0000-4000-8000-0000000000f4"}'),
  'a beginning that is no row': header.replace('}', after100.replace('100', '0')),
  'a beginning twice': header.replace('}', after100.replace(/\}$/, after100)),
  'a beginning elsewhere': header.replace('}', `,"x":1${after100}`),
  'identities that are no list': header.replace('}', ',"renewed":{}}'),
  'identities without a store': header.replace('}', ',"renewed":[1]}'),
  'a header of 2 MiB': header.replace('}', `,"x":"${'x'.repeat(2 * 1024 * 1024)}"}`),
  'more than 1,000 headers': header.repeat(1_001),
};

for (const [name, text] of Object.entries(badHeaders)) {
  test(`a batch is refused with ${name}`, options, async () => {
    await refuses('SHHDR', text + ledgerOf(notes(3), { store: '00000000-0000-4000-8000-0000000000f3' }).lines.join(''));
  });
}

test('a header with fields that this version does not know is taken, and given back', options, async () => {
  const made = ledgerOf(notes(3));
  const text = made.text.replace('Z"}\n', 'Z","newer":{"a":[1.0,"Ü"]},"after2":null}\n');
  const centre = await database();
  assert.equal((await centre.send(text)).code, 'ok');
  assert.equal(await centre.ledger(made.store), text);
});

test('100 MB of a kiosk and a line of more than 32 MiB are refused, and 60 MB are taken', options, async () => {
  const data = JSON.stringify({ text: 'x'.repeat(1_000_000) });
  const made = ledgerOf(Array.from({ length: 100 }, () => ({ data })));
  const centre = await database();
  await centre.must('CREATE ROLE large LOGIN IN ROLE shepherd_kiosk');
  const before = await stateOf(centre);
  assert.equal((await centre.send(made.text, { role: 'large' })).code, 'SHBIG');
  assert.deepEqual(await stateOf(centre), before);
  const long = ledgerOf([{ data: JSON.stringify('x'.repeat(33 * 1024 * 1024)) }]);
  await refuses('SHBIG', long.text);
  assert.equal((await centre.send(partOf(made, 0, 60), { role: 'large' })).code, 'ok');
  assert.equal((await centre.send(partOf(made, 30))).code, 'ok', 'an administrator loads archives of any size');
  assert.deepEqual(await centre.must(`SELECT shepherd.verify('${made.store}')`), ['t']);
  await centre.must(`SELECT shepherd.forget('${made.store}')`);
});

test('what is no UTF-8 is refused, and so is a text in another encoding', options, async () => {
  const made = await known();
  const [first = '', second = ''] = made.lines.slice(10);
  const bytes = Buffer.from(made.header + first + second);
  for (const bad of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xf5, 0x80, 0x80, 0x80]]) {
    await refuses('22021', Buffer.concat([bytes.subarray(0, -40), Buffer.from(bad), bytes.subarray(-40)]));
  }
  await refuses('22021', Buffer.from(made.text, 'latin1'));
});

test('SQL in each field is a text like any other', options, async () => {
  const sql = "'); DROP TABLE shepherd.event; --' \\'; \\copy x to y $$ $1 %s {} \"";
  const centre = await database();
  const made = ledgerOf([
    { type: sql, data: JSON.stringify({ [sql]: sql, entryId: sql }), meta: JSON.stringify({ source: sql }), sig: sql },
    { at: sql, data: sql, meta: sql },
    ...['launch_denied', 'session_started', 'session_ended', 'usage_added', 'ledger_attached'].map((type) => {
      return { type, data: JSON.stringify({ entryId: sql, sessionId: sql, durationMs: sql, reasons: sql, day: sql }) };
    }),
  ]);
  const text = JSON.stringify({ ...JSON.parse(made.header) as object, created: sql, [sql]: sql });
  const { code, message } = await centre.send(`${text}\n${made.lines.join('')}`);
  assert.equal(code, 'ok', message);
  assert.equal(await centre.ledger(made.store), `${text}\n${made.lines.join('')}`);
  assert.deepEqual(await centre.must(`SELECT shepherd.verify('${made.store}')`), ['t']);
  for (const view of ['kiosks', 'sessions', 'usage_by_day', 'denied']) await centre.must(`TABLE shepherd.${view}`);
  await refuses('SHTMP', made.header + lineText({ ...made.events[0]!, hash: sql }));
  await refuses('SHTMP', made.header + lineText({ ...made.events[0]!, prev: sql }));
  await refuses('SHHDR', made.text.replace(made.store, `${made.store}'; DROP TABLE x`));
});

test('an event of a known type may have anything in it, and no view fails', options, async () => {
  const huge = '9e131071'; // two of them are more than PostgreSQL can add up
  const values = [`{"durationMs":${huge},"sessionId":"a","entryId":"a","reasons":[${huge},${huge}]}`,
    `{"durationMs":${huge},"sessionId":"b","entryId":"a","reasons":[${huge},${huge}]}`,
    'null', '1', '"x"', '[]', '{}', '[[[]]]', '1e400', 'no JSON',
    '{"durationMs":"x","totalMs":[],"usage":{},"day":1}',
    '{"sessionId":{},"entryId":[],"durationMs":1e300,"usage":[1,[],["a","b","c"],["a",null,1]],"reason":1}'];
  const types = ['launch_denied', 'session_started', 'session_ended', 'usage_added', 'usage_corrected',
    'balances_carried', 'ledger_attached', 'ledger_detached', 'store_adopted', 'store_identity_renewed'];
  const made = ledgerOf(types.flatMap((type) => values.map((data) => ({ type, data, at: data }))));
  const centre = await database();
  assert.equal((await centre.send(made.text)).code, 'ok');
  for (const view of ['kiosks', 'sessions', 'usage_by_day', 'denied']) await centre.must(`TABLE shepherd.${view}`);
  assert.deepEqual(await centre.must(`SELECT shepherd.verify('${made.store}')`), ['t']);
});
