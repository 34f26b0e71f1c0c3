import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import {
  checkArray, checkDuration, checkInstant, checkInteger, checkOptions, checkText, isDate, parseInstant, show,
} from '../../lib/values/checks.ts';
import { checkJson, type JsonValue, parseJson } from '../../lib/values/json.ts';
import { TestFolder } from '../support/folder.ts';
import {
  badInstants, badJson, badTexts, deep, escapedKeys, hostileObjects, randomNumbers, throwing,
} from '../support/values.ts';

const invalidArgument = { code: 'ERR_STORE_INVALID_ARGUMENT' };
const serialization = { code: 'ERR_STORE_SERIALIZATION' };

/** Texts that are unusual and whole. */
const texts = [
  ' ',
  '\n',
  '"',
  "'); DROP TABLE usage; --",
  '__proto__',
  'constructor',
  '🎮',
  '👩‍👩‍👧‍👦',
  'مرحبا',
  '\u202Eabc',
  '\uFEFFa',
  '\uFFFD',
  '\uFFFF',
  '\u{10FFFF}',
  'e\u0301',
  '\u2028',
  'a'.repeat(100_000),
];

test('a text that is whole comes back as it was, whatever it says', () => {
  for (const text of texts) assert.equal(checkText('entryId', text), text);
  for (const [name, value] of badTexts) assert.throws(() => checkText('entryId', value), invalidArgument, name);
});

test('a whole number comes back as it was, and minus nought as nought', () => {
  for (const number of [0, 1, 2 ** 31, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER])
    assert.equal(checkInteger('n', number, 0), number);
  assert.ok(Object.is(checkInteger('n', -0, 0), 0));
  assert.ok(Object.is(checkDuration('n', -0), 0));
  assert.equal(checkInteger('n', 5, 5, 5), 5);
  for (const number of [4, 6, 5.5, 2 ** 53, -1])
    assert.throws(() => checkInteger('n', number, 5, 5), invalidArgument, String(number));
});

test('an instant is stored in one form, and reads back as the same instant', () => {
  for (const text of [
    '0000-01-01T00:00:00.000Z',
    '1969-12-31T23:59:59.999Z',
    '2024-02-29T12:00:00.001Z',
    '9999-12-31T23:59:59.999Z',
  ]) {
    assert.equal(checkInstant('until', new Date(text)), text);
    assert.deepEqual(parseInstant(text), new Date(text));
  }
  // Every 37 days and some, of every year.
  for (
    let time = Date.parse('0000-01-01T00:00:00Z');
    time < Date.parse('+010000-01-01T00:00:00Z');
    time += 3_217_654_321
  ) {
    assert.equal(parseInstant(new Date(time).toISOString())?.getTime(), time);
  }
  for (const [name, value] of badInstants) assert.throws(() => checkInstant('until', value), invalidArgument, name);
});

test('what another writer stored is read where it names an instant, and nothing else is', () => {
  for (const [text, instant] of [
    ['2026-11-21T09:00:00Z', '2026-11-21T09:00:00.000Z'],
    ['2026-11-21T09:00:00+00:00', '2026-11-21T09:00:00.000Z'],
    ['2026-11-21T00:30:00.123456789-09:30', '2026-11-21T10:00:00.123Z'],
    ['2024-02-29T23:59:59.5+14:00', '2024-02-29T09:59:59.500Z'],
  ] as const) {
    assert.equal(parseInstant(text)?.toISOString(), instant, text);
  }
  for (const text of [
    '',
    '2026-11-21',
    '2026-11-21T09:00:00',
    '2026-11-21 09:00:00Z',
    '2026-11-21T24:00:00Z',
    '2026-11-21T09:60:00Z',
    '2026-11-21T09:00:60Z',
    '2026-02-30T09:00:00Z',
    '2026-13-01T09:00:00Z',
    '2026-11-21T09:00:00.Z',
    '2026-11-21T09:00:00+99:99',
    '2026-11-21T09:00:00Z ',
    '2026-11-21T09:00:00Z\n',
    '+002026-11-21T09:00:00Z',
    '0000-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59-01:00',
    'never',
    '1763715600',
    1_763_715_600,
    null,
    undefined,
    new Date(),
  ]) {
    assert.equal(parseInstant(text), undefined, inspect(text));
  }
});

test('the calendar is the Gregorian one of every year', () => {
  for (const year of [0, 4, 100, 400, 1900, 2000, 2023, 2024, 2100, 9999]) {
    const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
    const lengths = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    lengths.forEach((days, index) => {
      assert.ok(isDate(year, index + 1, 1) && isDate(year, index + 1, days), `${year}-${index + 1}`);
      assert.ok(!isDate(year, index + 1, 0) && !isDate(year, index + 1, days + 1), `${year}-${index + 1}`);
    });
    assert.ok(!isDate(year, 0, 1) && !isDate(year, 13, 1));
  }
});

test('any value can be shown in a message: on one line, short, without running its code', () => {
  const ran: string[] = [];
  const hostile = {
    get a() {
      ran.push('getter');
      return 1;
    },
    [inspect.custom]: () => ran.push('custom'),
    toString: () => ran.push('toString'),
  };
  const values = [
    hostile,
    new Proxy(hostile, { get: () => ran.push('trap') }),
    'a'.repeat(1e6),
    'a\nb\u001B[31m',
    Symbol('a'),
    1n,
    -0,
    null,
    undefined,
    new Array(1e6).fill(0),
    deep(10_000),
    ...hostileObjects().map(([, value]) => value),
  ];
  for (const value of values) {
    const text = show(value);
    assert.ok(text.length < 200 && !/[\n\u001B]/.test(text), text);
  }
  assert.deepEqual(ran, []);
});

test('options are copied, each property read once, and misspelt names named', () => {
  let reads = 0;
  const options = { get limit(): number { return ++reads; } };
  assert.deepEqual(checkOptions('options', options, ['limit']), { limit: 1 });
  assert.equal(reads, 1);
  assert.deepEqual(checkOptions('options', undefined, ['limit']), {});
  assert.deepEqual(checkOptions('options', Object.assign(Object.create(null), { limit: 1 }) as object, ['limit']), {
    limit: 1,
  });
  assert.throws(
    () => checkOptions('options', { Limit: 1 }, ['limit']),
    (error: Error) => error.message.includes("'Limit'"),
  );
  assert.throws(() => checkOptions('options', throwing('limit'), ['limit']), invalidArgument);
});

test('an array is copied, its holes are items like others, and its own methods do not run', () => {
  class Odd extends Array<unknown> {
    override map(): never[] { return []; }
  }
  assert.deepEqual(checkArray('tags', Odd.of('a', 'b'), 'an array', checkText), ['a', 'b']);
  assert.throws(() => checkArray('tags', Odd.of<unknown>('a', 5), 'an array', checkText), invalidArgument);
  assert.throws(() => checkArray('tags', [, 'a'], 'an array', checkText), invalidArgument);
});

test('a JSON value is copied as JSON carries it', () => {
  const value = {
    a: [1, -0, 'x', null, true, { b: undefined }],
    ['__proto__']: { polluted: 1 },
    '': 0,
    'é🎮': 1.5e-7,
    big: 2 ** 53,
    empty: {},
  };
  const copy = checkJson('event', value);
  assert.deepEqual(copy, JSON.parse(JSON.stringify(value)));
  assert.equal(Reflect.get({}, 'polluted'), undefined);
  assert.ok(Object.hasOwn(copy as object, '__proto__'));
  assert.deepEqual(checkJson('event', Object.assign(Object.create(null), { a: 1 })), { a: 1 });
  for (const [name, bad] of badJson) assert.throws(() => checkJson('event', bad), serialization, name);
});

test('an object that is used twice is no cycle; 500 levels are accepted, and a cycle or 10,000 are not', () => {
  const shared = { a: 1 };
  assert.deepEqual(checkJson('event', [shared, shared]), [shared, shared]);
  assert.doesNotThrow(() => checkJson('event', deep(500)));
  assert.throws(() => checkJson('event', deep(503)), serialization);
  const cycle: unknown[] = [];
  cycle.push([cycle]);
  assert.throws(() => checkJson('event', cycle), serialization);
});

test('whatever JSON value an event carries, every reader gets it back equal', (t) => {
  const { seed, between, pick } = randomNumbers();
  t.diagnostic(`seed ${seed}`);
  const leaves = [
    null,
    true,
    false,
    0,
    -1,
    1.5e-7,
    1e308,
    5e-324,
    Number.MAX_SAFE_INTEGER,
    2 ** 53,
    '',
    ...texts.slice(0, -1),
  ];
  const value = (depth: number): JsonValue => {
    const kind = depth > 4 ? 0 : between(0, 2);
    if (kind === 0) return pick(leaves);
    const items = Array.from({ length: between(0, 4) }, () => value(depth + 1));
    return kind === 1 ? items : Object.fromEntries(items.map((item) => [pick(texts), item]));
  };
  const folder = new TestFolder(t);
  const store = folder.open<{ type: string; value: JsonValue }>();
  const given = Array.from({ length: 200 }, () => ({ type: pick(texts.slice(0, -1)), value: value(0) }));
  const appended = store.appendAudits(given.map((event) => ({ event })));
  assert.deepEqual(appended.map(({ event }) => event), given, `seed ${seed}`);
  assert.deepEqual([...store.iterateAudits()], appended, `seed ${seed}`);
  store.close();
  assert.deepEqual([...folder.open().iterateAudits()], appended, `seed ${seed}`);
});

test('a key with an escape comes back as itself, whatever keys of its length were read before', () => {
  for (let round = 0; round < 500; round++) {
    const key = escapedKeys[round % escapedKeys.length]!;
    const value = { type: 'x', [key]: ['\\', { [key]: { '}:["': 1 } }, [], {}], list: [['{', ':']] };
    assert.deepEqual(parseJson(JSON.stringify(value)), value);
  }
  const own = '{"__proto__":{"a\\n":1}}';
  assert.equal(JSON.stringify(parseJson(own)), own);
  for (const bad of ['{"a","\\n"}', '["\\n":1]', '', '{"\\n":1,}']) assert.throws(() => parseJson(bad), SyntaxError);
});
