import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goInstant, goInstantOrNever, parseGoTime } from '../../lib/import/go-time.ts';
import { badTexts, randomNumbers } from '../support/values.ts';

const instants: [text: string, instant: string][] = [
  ['2026-07-20 02:10:47.112233638 -0700 PDT m=+84630.747193824', '2026-07-20T09:10:47.112Z'],
  ['2026-07-20 02:10:47 -0700 PDT', '2026-07-20T09:10:47.000Z'],
  ['2026-07-20 02:10:47.9999999 +0000 UTC m=-0.000000001', '2026-07-20T02:10:47.999Z'],
  ['2026-07-20 02:10:47.5 +0330 +0330', '2026-07-19T22:40:47.500Z'],
  ['2026-07-20 02:10:47.05 -0930 -0930 m=+1', '2026-07-20T11:40:47.050Z'],
  ['2024-02-29 23:59:59 +0545 +0545', '2024-02-29T18:14:59.000Z'],
  ['1969-12-31 23:59:59.9999 +0000 GMT', '1969-12-31T23:59:59.999Z'],
  ['2026-11-21 07:47:24', '2026-11-21T07:47:24.000Z'],
  ['2026-11-21 07:47:24.25', '2026-11-21T07:47:24.250Z'],
  ['2026-11-21 07:47:24.123456+02:00', '2026-11-21T05:47:24.123Z'],
  ['2026-03-14T02:15:09.123456789-07:00', '2026-03-14T09:15:09.123Z'],
  ['2026-03-14T02:15:09Z', '2026-03-14T02:15:09.000Z'],
];

test('an instant of a Go service is the same instant here, cut to the millisecond', () => {
  for (const [text, instant] of instants) assert.equal(parseGoTime(text)?.toISOString(), instant, text);
});

const noInstants = [
  '',
  'now',
  '2026-07-20',
  '2026-02-30 00:00:00 +0000 UTC',
  '2026-13-01 00:00:00',
  '2026-07-20 24:00:00 +0000 UTC',
  '2026-07-20 02:60:00',
  '2026-07-20 02:10:60 +0000 UTC',
  '2026-07-20 02:10:47 -0700',
  '2026-07-20 02:10:47 PDT',
  '2026-07-20 02:10:47 -9900 X',
  '2026-07-20 02:10:47.1234567890 -0700 PDT',
  '2026-07-20 02:10:47. +0000 UTC',
  '2026-07-20 02:10:47 -0700 PDT m=soon',
  '2026-07-20 02:10:47 -0700 PDT x',
  ' 2026-07-20 02:10:47',
  '2026-07-20 02:10:47\n',
  '2026-07-20T02:10:47',
  '12026-07-20 02:10:47 +0000 UTC',
  '-2026-07-20 02:10:47 +0000 UTC',
  '9999-12-31 23:59:59 -0100 X',
  '0000-01-01 00:00:00 +0100 X',
  '1784502233',
  '２０２６-07-20 02:10:47',
];

test('what is no instant is refused, and nothing is guessed', () => {
  for (const text of noInstants) assert.equal(parseGoTime(text), undefined, text);
  for (const [name, value] of [
    ...badTexts.filter(([, each]) => each !== undefined),
    ['a number', 1784502233],
  ] as const) {
    assert.throws(() => goInstant('t', value), { code: 'ERR_STORE_INVALID_ARGUMENT' }, name);
    assert.throws(() => goInstantOrNever('t', value), { code: 'ERR_STORE_INVALID_ARGUMENT' }, name);
  }
});

test('the zero time, in whatever form, is never, and so is no value', () => {
  for (const text of ['0001-01-01T00:00:00Z', '0001-01-01 00:00:00 +0000 UTC', '0001-01-01 00:00:00', undefined]) {
    assert.equal(goInstantOrNever('t', text), null);
    assert.throws(() => goInstant('t', text), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  }
  assert.equal(goInstantOrNever('t', '0001-01-01T00:00:01Z'), '0001-01-01T00:00:01.000Z');
});

test('random instants are read as they were printed, in whatever zone and with however many digits', (t) => {
  const { seed, between, pick } = randomNumbers();
  t.diagnostic(`SEED=${seed}`);
  for (let round = 0; round < 2_000; round++) {
    const instant = new Date(between(Date.UTC(1000, 0), Date.UTC(9990, 0)));
    const offsetMinutes = pick([0, 60, -480, 330, 345, -210, 840, -720]);
    const [day = '', time = ''] = new Date(instant.getTime() + offsetMinutes * 60_000)
      .toISOString()
      .slice(0, -1)
      .split('T');
    const minutes = Math.abs(offsetMinutes);
    const [hour, minute] = [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0'));
    const offset = `${offsetMinutes < 0 ? '-' : '+'}${hour}${minute}`;
    const digits = `${time}${String(between(0, 999_999)).padStart(6, '0')}`.replace(/\.?0+$/, '').padEnd(8, '0');
    const clock = digits.length < 9 ? time.slice(0, 8) : digits;
    const zone = pick([offset, 'PDT', 'UTC']);
    const text = `${day} ${clock} ${offset} ${zone}${pick(['', ' m=+12.000000001', ' m=-5.5'])}`;
    assert.equal(
      parseGoTime(text)?.toISOString(),
      digits.length < 9 ? `${instant.toISOString().slice(0, 19)}.000Z` : instant.toISOString(),
      text,
    );
  }
});
