// Shared tables of values that must be refused, each with a name for the message of a failing test.

const cycle: Record<string, unknown> = {};
cycle['self'] = cycle;

/** No text: entry ids, event types, attributes. */
export const badTexts: [name: string, value: unknown][] = [
  ['undefined', undefined], ['null', null], ['empty', ''], ['a number', 5], ['an object', {}], ['an array', ['a']], ['NUL', 'a\0b'],
  ['a lone high surrogate', 'a\ud800'], ['a lone low surrogate', '\udc00b'], ['a String object', new String('a')], ['a symbol', Symbol('a')],
];

/** No whole number of milliseconds that is not negative. */
export const badDurations: [name: string, value: unknown][] = [
  ['undefined', undefined], ['null', null], ['NaN', NaN], ['Infinity', Infinity], ['negative', -1], ['a fraction', 0.5], ['2^53', 2 ** 53],
  ['a string', '5'], ['a BigInt', 5n], ['an object', {}], ['true', true],
];

/** No day of the calendar. */
export const badDays: [name: string, value: unknown][] = [
  ['undefined', undefined], ['null', null], ['empty', ''], ['February 30th', '2026-02-30'], ['February 29th of no leap year', '2026-02-29'], ['month 13', '2026-13-01'],
  ['day 0', '2026-01-00'], ['one digit', '2026-1-1'], ['a time', '2026-01-01T00:00:00Z'], ['space around', ' 2026-01-01'], ['a newline', '2026-01-01\n'],
  ['a Date', new Date()], ['a number', 20260101], ['other digits', '２０２６-01-01'],
];

/** No instant of the years 0000 to 9999. */
export const badInstants: [name: string, value: unknown][] = [
  ['undefined', undefined], ['null', null], ['an Invalid Date', new Date(NaN)], ['a string', '2026-01-01T00:00:00Z'], ['a number', 0],
  ['the year 10000', new Date('+010000-01-01T00:00:00Z')], ['the year -1', new Date('-000001-12-31T00:00:00Z')], ['an object', {}],
];

/** Nothing that JSON carries there and back, as the value of an event's field. */
export const badJson: [name: string, value: unknown][] = [
  ['NaN', NaN], ['Infinity', Infinity], ['1e400', 1e400], ['undefined in an array', [undefined]], ['a hole in an array', [, 1]], ['a function', () => 1],
  ['a symbol', Symbol('a')], ['a BigInt', 1n], ['a Date', new Date()], ['a Map', new Map()], ['a Set', new Set()], ['a RegExp', /a/], ['a class instance', new (class A {})()],
  ['a cycle', cycle], ['a Uint8Array', new Uint8Array(1)], ['a lone surrogate', '\ud800'], ['a key with a lone surrogate', { '\ud800': 1 }],
  ['toJSON', { toJSON: () => 1 }], ['a getter that throws', { get a(): number { throw new Error('boom'); } }], ['a Number object', new Number(1)],
  ['a promise', Promise.resolve(1)], ['an Error', new Error('a')],
];

/** No whole number from 0. */
export const badCounts: [name: string, value: unknown][] = badDurations;

/** No options object. */
export const badOptions: [name: string, value: unknown][] = [
  ['null', null], ['a number', 5], ['a string', 'a'], ['an array', []], ['an unknown name', { unknown: 1 }], ['a misspelt name', { busyTimeoutMS: 1 }],
];
