// Shared tables of values that must be refused, each with a name for the message of a failing test.
import { seededRandom } from './random.ts';

const cycle: Record<string, unknown> = {};
cycle['self'] = cycle;

/** No text: entry ids, event types, attributes. */
export const badTexts: [name: string, value: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['empty', ''],
  ['a number', 5],
  ['an object', {}],
  ['an array', ['a']],
  ['NUL', 'a\0b'],
  ['a lone high surrogate', 'a\ud800'],
  ['a lone low surrogate', '\udc00b'],
  ['a String object', new String('a')],
  ['a symbol', Symbol('a')],
];

/** No whole number of milliseconds that is not negative. */
export const badDurations: [name: string, value: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['negative', -1],
  ['a fraction', 0.5],
  ['2^53', 2 ** 53],
  ['a string', '5'],
  ['a BigInt', 5n],
  ['an object', {}],
  ['true', true],
];

/** No day of the calendar. */
export const badDays: [name: string, value: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['empty', ''],
  ['February 30th', '2026-02-30'],
  ['February 29th of no leap year', '2026-02-29'],
  ['month 13', '2026-13-01'],
  ['day 0', '2026-01-00'],
  ['one digit', '2026-1-1'],
  ['a time', '2026-01-01T00:00:00Z'],
  ['space around', ' 2026-01-01'],
  ['a newline', '2026-01-01\n'],
  ['a Date', new Date()],
  ['a number', 20260101],
  ['other digits', '２０２６-01-01'],
];

/** No instant of the years 0000 to 9999. */
export const badInstants: [name: string, value: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['an Invalid Date', new Date(NaN)],
  ['a string', '2026-01-01T00:00:00Z'],
  ['a number', 0],
  ['the year 10000', new Date('+010000-01-01T00:00:00Z')],
  ['the year -1', new Date('-000001-12-31T00:00:00Z')],
  ['an object', {}],
];

/** Nothing that JSON carries there and back, as the value of an event's field. */
export const badJson: [name: string, value: unknown][] = [
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['1e400', 1e400],
  ['undefined in an array', [undefined]],
  ['a hole in an array', [, 1]],
  ['a function', () => 1],
  ['a symbol', Symbol('a')],
  ['a BigInt', 1n],
  ['a Date', new Date()],
  ['a Map', new Map()],
  ['a Set', new Set()],
  ['a RegExp', /a/],
  ['a class instance', new (class A {})()],
  ['a cycle', cycle],
  ['a Uint8Array', new Uint8Array(1)],
  ['a lone surrogate', '\ud800'],
  ['a key with a lone surrogate', { '\ud800': 1 }],
  ['toJSON', { toJSON: () => 1 }],
  [
    'a getter that throws',
    {
      get a(): number {
        throw new Error('boom');
      },
    },
  ],
  ['a Number object', new Number(1)],
  ['a promise', Promise.resolve(1)],
  ['an Error', new Error('a')],
  ['10,000 levels', deep(10_000)],
  ['10,000 levels of arrays', deepArray(10_000)],
  ['a symbol as a key', { [Symbol('a')]: 1 }],
  ['an array with a name', Object.assign([1], { index: 0 })],
  ['an inherited toJSON', Object.create({ toJSON: () => 1 })],
  ...hostileObjects(),
];

/**
 * Keys that need an escape in JSON, some of one length: V8's `JSON.parse` takes one for another (`parseJson` in
 * lib/values/json.ts).
 */
export const escapedKeys = ['field \n', 'field \\', 'field "', 'field \t', 'field \u2028', '__proto__ \n', '\u0001'];

/** An object that holds an object, and so on. */
export function deep(levels: number): object {
  let value: object = {};
  for (let level = 1; level < levels; level++) value = { a: value };
  return value;
}

function deepArray(levels: number): unknown[] {
  let value: unknown[] = [];
  for (let level = 1; level < levels; level++) value = [value];
  return value;
}

/** No whole number from 0. */
export const badCounts: [name: string, value: unknown][] = badDurations;

/** No options object. */
export const badOptions: [name: string, value: unknown][] = [
  ['null', null],
  ['a number', 5],
  ['a string', 'a'],
  ['an array', []],
  ['a function', () => 1],
  ['a Map', new Map()],
  ['a Date', new Date()],
  ['a class instance', new (class A {})()],
  ['an object with a prototype', Object.create({ inherited: 1 })],
  ['an unknown name', { unknown: 1 }],
  ['a misspelt name', { busyTimeoutMS: 1 }],
  ['toJSON', { toJSON: () => ({}) }],
  ['an own __proto__', JSON.parse('{"__proto__":1}')],
  ...hostileObjects(),
];

/** Objects that throw when they are looked at. */
export function hostileObjects(): [name: string, value: unknown][] {
  const boom = (): never => {
    throw new Error('boom');
  };
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  return [
    ['a proxy that does not list its keys', new Proxy({}, { ownKeys: boom })],
    ['a proxy without a prototype to show', new Proxy({}, { getPrototypeOf: boom })],
    ['a revoked proxy', revoked.proxy],
  ];
}

/** An object whose property throws when it is read. */
export function throwing(property: string): object {
  return Object.defineProperty({}, property, {
    enumerable: true,
    get: (): never => {
      throw new Error('boom');
    },
  });
}

/** No array of texts. */
export const badTextLists: [name: string, value: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['a string', 'abc'],
  ['a Set', new Set(['a'])],
  ['an object with a length', { length: 1, 0: 'a' }],
  ['a hole', [, 'a']],
  [
    'a proxy that throws',
    new Proxy(['a'], {
      get: () => {
        throw new Error('boom');
      },
    }),
  ],
  ...badTexts.map(([name, value]): [string, unknown] => [`an array with ${name}`, ['a', value]]),
];

/** No path of a file. */
export const badPaths: [name: string, value: unknown][] = [
  ...badTexts,
  ['memory', ':memory:'],
  ['a file: URL as text', 'file:///tmp/a.db'],
  ['a URL', new URL('file:///tmp/a.db')],
];

/** No function. */
export const badFunctions: [name: string, value: unknown][] = [
  ['null', null],
  ['a string', 'a'],
  ['an object', {}],
  ['true', true],
  ['a class instance', new Date()],
];

/** A table without `undefined`, for what may be left out. */
export function given(table: [name: string, value: unknown][]): [name: string, value: unknown][] {
  return table.filter(([, value]) => value !== undefined);
}

/** The same numbers for the same seed: the `SEED` of the environment, or one of now. Say it in the test's output. */
export function randomNumbers(): {
  seed: number;
  between: (from: number, to: number) => number;
  pick: <T>(list: readonly T[]) => T;
} {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  const next = seededRandom(seed);
  const between = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return { seed, between, pick: (list) => list[between(0, list.length - 1)]! };
}
