// What a page of a report says of what is not known: days that are not recorded, archived or to come, and lost figures.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { english } from '../../lib/modules/report/texts.ts';
import { elementsOf, textOf } from '../support/markup.ts';
import { makeContents, unusedContents } from '../support/report.ts';
import { pageOf, section, tablesOf, textsOf } from '../support/report-page.ts';

test('a day that is not recorded reads otherwise than one on which nothing was used', () => {
  const contents = makeContents({ days: 14 });
  const { recorded } = contents.history.value!;
  const { dayTotals } = contents.usage.value!;
  const [days] = tablesOf(pageOf(contents), 'days');
  const words = { recorded: '0:00:00', silent: 'not recorded', archived: 'events archived', future: 'not yet' };
  const seen = new Set<string>();
  recorded.forEach((state, index) => {
    if (dayTotals[index]! > 0) return;
    assert.equal(days![index + 1]![1], words[state]);
    seen.add(state);
  });
  assert.deepEqual([...seen].sort(), ['archived', 'future', 'recorded', 'silent']);

  for (const id of ['days', 'quotas']) {
    const byEntry = tablesOf(pageOf(contents), id).at(id === 'days' ? 2 : 0)!;
    const cells = { recorded: /^(0|\d.*)$/, silent: /^–/, archived: /^0/, future: /^–/ };
    recorded.forEach((state, index) => assert.match(byEntry[index + 1]![1]!, cells[state], id));
  }

  dayTotals[recorded.indexOf('silent')] = 61_001;
  const [again] = tablesOf(pageOf(contents), 'days');
  assert.equal(again![recorded.indexOf('silent') + 1]![1], '0:01:01.001 (not recorded)');
});

test('that nothing was used a week before is said of days that are known alone', () => {
  const contents = makeContents({ days: 7 });
  const [usage, history] = [contents.usage.value!, contents.history.value!];
  const shown = (): string[] => {
    const page = pageOf(contents);
    const cards = elementsOf(section(page, 'summary'), 'div').map(textOf);
    const compared = cards.find((card) => card.startsWith(english.comparison));
    return [compared!, ...tablesOf(page, 'days')[0]!.map((row) => row[2]!)];
  };
  usage.weekBefore.fill(0);
  assert.match(shown()[0]!, /nothing was used on the same days a week before\s*$/);
  history.recordedBefore.fill('silent', 0, 3);
  const [card, , ...cells] = shown();
  assert.match(card!, /nothing was used on the same days a week before; 3 of these not recorded/);
  assert.deepEqual(cells.slice(0, 4), ['not recorded', 'not recorded', 'not recorded', '0:00:00']);
  usage.weekBefore[0] = 60_000;
  assert.match(shown()[0]!, /the 1 min of the same days a week before; 2 of these not recorded/);
  usage.weekBefore[0] = 0;
  history.recordedBefore.fill('silent');
  assert.match(shown()[0]!, /not recorded.*is not known/);
});

test('that nothing was used is said of days that are known alone', () => {
  const wordsOf = (...settings: Parameters<typeof unusedContents>): string => {
    const contents = unusedContents(...settings);
    contents.quotas = { value: [{ subject: 'a', members: ['a'], dailyMs: 1, allowedMs: [], usedMs: [] }] };
    const [days, quotas] = ['days', 'quotas'].map((id) => textOf(elementsOf(section(pageOf(contents), id), 'p')[0]!));
    assert.equal(days, quotas);
    return days!;
  };
  assert.equal(wordsOf(Array(7).fill('recorded')), english.nothingUsed);
  assert.equal(wordsOf(['archived', 'recorded', 'future']), english.nothingUsed);
  assert.equal(wordsOf(['archived', 'silent', 'recorded', 'silent']), english.nothingRecorded(2));
  assert.match(english.nothingRecorded(1), /: 1 day is not recorded/);
  assert.equal(wordsOf(['silent', 'silent', 'future']), english.noneRecorded);
  assert.equal(wordsOf(['recorded'], [{ entryId: 'a', day: 'x', message: 'a text' }]), english.nothingReadable);
});

test('a day of the week of which nothing is known has no row in the picture of the hours', () => {
  const contents = makeContents({ days: 7 });
  const { hours, clockHours } = contents.history.value!;
  hours[3]!.fill(0);
  clockHours[3]!.fill(0);
  assert.deepEqual(textsOf(section(pageOf(contents), 'hours'), 'n'), [english.notKnown]);
  assert.match(textOf(section(pageOf(contents), 'hours')), new RegExp(english.noHourMeaning));
  hours[4]!.fill(0); // a day on which nothing was used has one
  assert.deepEqual(textsOf(section(pageOf(contents), 'hours'), 'n'), [english.notKnown]);
});

test('a session whose hours are not known is a session', () => {
  assert.equal(textOf(elementsOf(section(pageOf(unusedContents(['recorded'])), 'hours'), 'p')[0]!), english.noHours);
});
