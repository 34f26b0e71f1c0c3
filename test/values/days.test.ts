import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { type DayPart, localDay, splitByDay } from '../../lib/index.ts';
import { checkDay } from '../../lib/values/days.ts';
import { hasCode } from '../../lib/values/errors.ts';
import { randomNumbers } from '../support/values.ts';

const hour = 3_600_000;

function split(start: string, end: string, timeZone: string): DayPart[] {
  return splitByDay(new Date(start), new Date(end), timeZone);
}

test('a day is a text of the calendar and comes back as it was', () => {
  for (const day of ['2026-01-01', '2024-02-29', '2000-02-29', '0000-02-29', '9999-12-31'])
    assert.equal(checkDay('day', day), day);
  for (const day of [
    '1900-02-29',
    '2100-02-29',
    '2026-04-31',
    '2026-00-10',
    '2026-1-01',
    '+2026-01-01',
    '10000-01-01',
  ]) {
    assert.throws(() => checkDay('day', day), { code: 'ERR_STORE_INVALID_ARGUMENT' }, day);
  }
});

test('an instant falls on the day that the zone has then', () => {
  const instant = new Date('2026-11-21T23:30:00Z');
  assert.equal(localDay(instant, 'UTC'), '2026-11-21');
  assert.equal(localDay(instant, 'Europe/Berlin'), '2026-11-22');
  assert.equal(localDay(instant, 'Pacific/Kiritimati'), '2026-11-22');
  assert.equal(localDay(instant, 'Pacific/Niue'), '2026-11-21');
  assert.equal(localDay(new Date('0000-02-29T12:00:00Z'), 'UTC'), '0000-02-29');
  assert.equal(localDay(new Date('0999-12-31T12:00:00Z'), 'UTC'), '0999-12-31');
});

test('a day has the 23, 24, 24.5 or 25 hours that the zone gives it', () => {
  assert.deepEqual(split('2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z', 'Europe/Berlin'), [
    { day: '2026-03-29', durationMs: 23 * hour },
  ]);
  assert.deepEqual(split('2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z', 'Europe/Berlin'), [
    { day: '2026-10-25', durationMs: 25 * hour },
  ]);
  // Lord Howe Island moves its clocks by half an hour.
  assert.deepEqual(split('2026-04-04T13:00:00Z', '2026-04-05T13:30:00Z', 'Australia/Lord_Howe'), [
    { day: '2026-04-05', durationMs: 24.5 * hour },
  ]);
  assert.deepEqual(split('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', 'UTC'), [
    { day: '2026-01-01', durationMs: 24 * hour },
  ]);
});

test('a span over midnight is cut there, to the millisecond', () => {
  assert.deepEqual(split('2026-11-21T22:59:59.999Z', '2026-11-21T23:00:00.001Z', 'Europe/Berlin'), [
    { day: '2026-11-21', durationMs: 1 },
    { day: '2026-11-22', durationMs: 1 },
  ]);
  assert.deepEqual(split('2026-10-24T12:00:00Z', '2026-10-26T12:00:00Z', 'Europe/Berlin'), [
    { day: '2026-10-24', durationMs: 10 * hour },
    { day: '2026-10-25', durationMs: 25 * hour },
    { day: '2026-10-26', durationMs: 13 * hour },
  ]);
});

test('a day that a zone skipped has no part', () => {
  // Samoa went from the 29th to the 31st of December 2011.
  assert.deepEqual(split('2011-12-29T10:00:00Z', '2011-12-31T10:00:00Z', 'Pacific/Apia'), [
    { day: '2011-12-29', durationMs: 24 * hour },
    { day: '2011-12-31', durationMs: 24 * hour },
  ]);
});

test('a day whose midnight does not exist begins at the first instant that it has', () => {
  // Clocks in São Paulo went from 00:00 to 01:00; in Cairo they still do.
  assert.deepEqual(split('2018-11-03T12:00:00Z', '2018-11-04T12:00:00Z', 'America/Sao_Paulo'), [
    { day: '2018-11-03', durationMs: 15 * hour },
    { day: '2018-11-04', durationMs: 9 * hour },
  ]);
  assert.deepEqual(split('2026-04-23T21:00:00Z', '2026-04-24T21:00:00Z', 'Africa/Cairo'), [
    { day: '2026-04-23', durationMs: hour },
    { day: '2026-04-24', durationMs: 23 * hour },
  ]);
});

test('an hour that comes twice before midnight belongs to the one day', () => {
  // Clocks in São Paulo went back from 00:00 to 23:00 of the day before.
  assert.deepEqual(split('2018-02-17T02:00:00Z', '2018-02-18T03:00:00Z', 'America/Sao_Paulo'), [
    { day: '2018-02-17', durationMs: 25 * hour },
  ]);
});

test('an empty span has no parts, and one that ends before it begins is refused', () => {
  const instant = new Date('2026-01-01T00:00:00Z');
  assert.deepEqual(splitByDay(instant, instant, 'UTC'), []);
  assert.throws(() => splitByDay(instant, new Date(instant.getTime() - 1), 'UTC'), {
    code: 'ERR_STORE_INVALID_ARGUMENT',
  });
});

test('a day outside of the years 0000 to 9999 is refused and not written in another form', () => {
  const first = new Date('0000-01-01T00:00:00Z');
  const last = new Date('9999-12-31T23:59:59.999Z');
  assert.equal(localDay(first, 'UTC'), '0000-01-01');
  assert.equal(localDay(last, 'UTC'), '9999-12-31');
  assert.throws(() => localDay(first, 'America/New_York'), { code: 'ERR_STORE_INVALID_ARGUMENT' });
  assert.throws(() => localDay(last, 'Europe/Berlin'), { code: 'ERR_STORE_INVALID_ARGUMENT' });
});

test('a Date whose methods lie is taken at its own time', () => {
  const start = Object.assign(new Date('2026-01-01T00:00:00Z'), { getTime: () => 0, valueOf: () => 0 });
  const end = Object.assign(new Date('2026-01-01T01:00:00Z'), {
    getTime: () => Infinity,
    valueOf: () => Infinity,
    toISOString: () => '',
  });
  assert.deepEqual(splitByDay(start, end, 'UTC'), [{ day: '2026-01-01', durationMs: hour }]);
  assert.equal(localDay(end, 'UTC'), '2026-01-01');
});

test('the parts of any span add up to it, each on the day that its every minute has', (t) => {
  const { seed, between, pick } = randomNumbers();
  t.diagnostic(`seed ${seed}`);
  const zones = [
    'UTC',
    'Europe/Berlin',
    'Australia/Lord_Howe',
    'Pacific/Apia',
    'America/Sao_Paulo',
    'Asia/Kathmandu',
    'America/Havana',
    'Africa/Cairo',
    'Asia/Tehran',
  ];
  const changes = [
    '2011-12-30T12:00:00Z',
    '2018-11-04T03:00:00Z',
    '2026-03-29T01:00:00Z',
    '2026-10-25T01:00:00Z',
    '2026-04-05T00:00:00Z',
    '2026-04-24T00:00:00Z',
  ];
  for (let round = 0; round < 40; round++) {
    const timeZone = pick(zones);
    const start = new Date(Date.parse(pick(changes)) + between(-48 * hour, 24 * hour));
    const end = new Date(start.getTime() + between(0, 72 * hour));
    const parts = splitByDay(start, end, timeZone);
    const context = `seed ${seed}: ${start.toISOString()} to ${end.toISOString()} in ${timeZone}`;
    assert.equal(parts.reduce((sum, { durationMs }) => sum + durationMs, 0), end.getTime() - start.getTime(), context);
    assert.deepEqual(parts.map(({ day }) => day), parts.map(({ day }) => day).sort(), context);
    assert.ok(parts.every(({ durationMs }) => Number.isInteger(durationMs) && durationMs > 0), context);
    let at = start.getTime();
    for (const { day, durationMs } of parts) {
      for (const time of [at, at + Math.floor(durationMs / 2), at + durationMs - 1])
        assert.equal(localDay(new Date(time), timeZone), day, context);
      at += durationMs;
    }
  }
});

test('without a zone the system\'s own counts', () => {
  const code = `
    import { localDay, splitByDay } from ${JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href)};
    const parts = splitByDay(new Date('2026-10-24T22:00:00Z'), new Date('2026-10-25T23:00:01Z'));
    console.log(JSON.stringify([localDay(new Date('2026-11-21T23:30:00Z')), parts]));`;
  const answerIn = (zone: string): unknown => {
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
      encoding: 'utf8',
      env: { ...process.env, TZ: zone },
    });
    assert.equal(stderr, '');
    return JSON.parse(stdout);
  };
  assert.deepEqual(answerIn('Europe/Berlin'), [
    '2026-11-22',
    [
      { day: '2026-10-25', durationMs: 25 * hour },
      { day: '2026-10-26', durationMs: 1000 },
    ],
  ]);
  assert.deepEqual(answerIn('America/New_York'), [
    '2026-11-21',
    [
      { day: '2026-10-24', durationMs: 6 * hour },
      { day: '2026-10-25', durationMs: 19 * hour + 1000 },
    ],
  ]);
});

test('a zone is a name that this system knows', () => {
  for (const zone of [
    '',
    'Mars/Olympus',
    'Europe/Berlin\0',
    '../etc/passwd',
    5,
    null,
    Symbol('UTC'),
    ['UTC'],
    { toString: () => 'UTC' },
  ]) {
    assert.throws(
      () => localDay(new Date(), zone as string),
      (error) => hasCode(error, 'ERR_STORE_INVALID_ARGUMENT'),
      String(zone),
    );
  }
});
