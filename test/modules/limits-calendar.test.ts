// The calendar of a time zone, beside the days that the rest of the package names, and beside what Intl shows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { localDay, splitByDay } from '../../lib/index.ts';
import { Calendar, dayIn, textOf, weekdayOf, weekStart } from '../../lib/modules/calendar.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** Zones whose days have 23, 23.5, 24.5 or 25 hours, whose midnights are missing or come twice, and others. */
const zones = [
  'UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Pacific/Apia', 'America/Sao_Paulo', 'Asia/Beirut',
  'America/Havana', 'Africa/Cairo', 'Asia/Kathmandu', 'Pacific/Chatham', 'Africa/Casablanca', 'America/Asuncion',
];
const years = [1890, 1975, 2011, 2018, 2026];

test('each day begins where the one before ends, with the name of localDay and the length of splitByDay', () => {
  for (const timeZone of zones) {
    const calendar = new Calendar(timeZone);
    for (const year of years) {
      for (let day = dayIn(`${year}-01-01`)!; textOf(day) < `${year + 1}-01-05`; day++) {
        const [start, end] = [calendar.startOf(day), calendar.startOf(day + 1)];
        const context = `${textOf(day)} in ${timeZone}`;
        if (calendar.isLeftOut(day)) {
          assert.equal(context, '2011-12-30 in Pacific/Apia');
          assert.equal(end, start);
          continue;
        }
        assert.equal(localDay(new Date(start), timeZone), textOf(day), context);
        assert.ok(localDay(new Date(start - 1), timeZone) < textOf(day), context);
        const lengths = splitByDay(new Date(start), new Date(end), timeZone);
        assert.deepEqual(lengths, [{ day: textOf(day), durationMs: end - start }], context);
        for (const time of [start, start + 7 * hourMs, end - 1]) assert.equal(calendar.dayOf(time), day, context);
      }
    }
  }
});

test('a day of a zone has 23, 23.5, 24, 24.5 or 25 hours', () => {
  const hoursOf = (day: string, timeZone: string): number => {
    const calendar = new Calendar(timeZone);
    return (calendar.startOf(dayIn(day)! + 1) - calendar.startOf(dayIn(day)!)) / hourMs;
  };
  assert.equal(hoursOf('2026-03-29', 'Europe/Berlin'), 23);
  assert.equal(hoursOf('2026-10-25', 'Europe/Berlin'), 25);
  assert.equal(hoursOf('2026-04-05', 'Australia/Lord_Howe'), 24.5);
  assert.equal(hoursOf('2026-10-04', 'Australia/Lord_Howe'), 23.5);
  assert.equal(hoursOf('2026-10-03', 'Australia/Lord_Howe'), 24);
  assert.equal(hoursOf('2018-11-04', 'America/Sao_Paulo'), 23);
  assert.equal(hoursOf('2018-02-17', 'America/Sao_Paulo'), 25);
});

/** The instant of a time on a day, as UTC. */
function instantOf(day: string, time: string, timeZone: string): string {
  const [hours, minutes] = time.split(':').map(Number);
  const instant = new Calendar(timeZone).instantOf(dayIn(day)!, (hours! * 60 + minutes!) * minuteMs);
  return new Date(instant).toISOString().slice(0, 16);
}

for (const [what, day, time, timeZone, expected] of [
  ['an ordinary time', '2026-11-21', '17:30', 'Europe/Berlin', '2026-11-21T16:30'],
  ['the end of the day', '2026-11-21', '24:00', 'Europe/Berlin', '2026-11-21T23:00'],
  ['a time that is left out', '2026-03-29', '02:30', 'Europe/Berlin', '2026-03-29T01:00'],
  ['a time that comes twice', '2026-10-25', '02:30', 'Europe/Berlin', '2026-10-25T00:30'],
  ['the end of what comes twice', '2026-10-25', '03:00', 'Europe/Berlin', '2026-10-25T02:00'],
  ['half an hour that is left out', '2026-10-04', '02:15', 'Australia/Lord_Howe', '2026-10-03T15:30'],
  ['a midnight that is left out', '2018-11-04', '00:00', 'America/Sao_Paulo', '2018-11-04T03:00'],
  ['a time after it that is left out as well', '2018-11-04', '00:30', 'America/Sao_Paulo', '2018-11-04T03:00'],
  ['a time behind it', '2018-11-04', '01:30', 'America/Sao_Paulo', '2018-11-04T03:30'],
  ['the hour before midnight, which comes twice', '2018-02-17', '23:30', 'America/Sao_Paulo', '2018-02-18T01:30'],
  ['midnight behind it', '2018-02-18', '00:00', 'America/Sao_Paulo', '2018-02-18T03:00'],
  ['a time of a day that is left out', '2011-12-30', '12:00', 'Pacific/Apia', '2011-12-30T10:00'],
  ['a day that begins twice', '2010-11-07', '00:00', 'America/St_Johns', '2010-11-07T02:30'],
] as const) {
  test(`${what}: ${time} on ${day} in ${timeZone}`, () => {
    assert.equal(instantOf(day, time, timeZone), expected);
  });
}

test('a day that begins twice goes on from where it first began', () => {
  const calendar = new Calendar('America/St_Johns');
  const day = dayIn('2010-11-07')!;
  const start = calendar.startOf(day);
  for (const minutes of [0, 0.5, 1, 30, 61, 120]) assert.equal(calendar.dayOf(start + minutes * minuteMs), day);
  assert.equal(calendar.dayOf(start - 1), day - 1);
});

test('the day after and before pass over a day that was left out', () => {
  const calendar = new Calendar('Pacific/Apia');
  const day = dayIn('2011-12-29')!;
  assert.equal(textOf(calendar.after(day)), '2011-12-31');
  assert.equal(textOf(calendar.before(day + 2)), '2011-12-29');
});

test('without a zone the calendar is that of the system', () => {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  const [own, named] = [new Calendar(), new Calendar(timeZone)];
  for (let day = dayIn('2025-12-25')!; textOf(day) < '2027-01-05'; day++) {
    assert.equal(own.startOf(day), named.startOf(day));
    assert.equal(own.instantOf(day, 2.5 * hourMs), named.instantOf(day, 2.5 * hourMs));
  }
});

test('days of the week and the beginnings of weeks are those of ISO 8601', () => {
  const day = dayIn('2026-11-21')!;
  assert.equal(weekdayOf(day), 6);
  assert.equal(weekdayOf(dayIn('1969-12-28')!), 7);
  const starts = [1, 2, 3, 4, 5, 6, 7].map((startsOn) => textOf(weekStart(day, startsOn)).slice(8));
  assert.deepEqual(starts, ['16', '17', '18', '19', '20', '21', '15']);
});
