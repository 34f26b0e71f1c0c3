// The page of a report as a document: well-formed whatever is in it, complete, and of a size that can be sent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Contents } from '../../lib/modules/report/contents.ts';
import { exact, rough } from '../../lib/modules/report/frame.ts';
import { renderPage } from '../../lib/modules/report/page.ts';
import { scaleFor } from '../../lib/modules/report/scale.ts';
import { english, type Texts } from '../../lib/modules/report/texts.ts';
import { hostileTexts } from '../support/hostile.ts';
import { elementsOf, readMarkup, textOf } from '../support/markup.ts';
import {
  emptyContents, hostileContents, makeContents, unreadableContents, unusedContents,
} from '../support/report.ts';
import { pageOf, section, tablesOf, textsOf } from '../support/report-page.ts';

const year = { days: 365, entries: 40, quotas: 40, sessions: 19 };

test('hostile texts stay texts, and the page refers to nothing outside', () => {
  for (const title of hostileTexts) {
    const page = pageOf(hostileContents(), title);
    const names = elementsOf(page).map(({ name }) => name);
    for (const name of ['script', 'link', 'img', 'iframe', 'object', 'base', 'form', 'use', 'image', 'foreignObject']) {
      assert.ok(!names.includes(name), name);
    }
    assert.equal(names.filter((name) => name === 'style').length, 1);
    const attributes = elementsOf(page).flatMap((element) => [...element.attributes]);
    for (const [name, value] of attributes) {
      assert.ok(!/^(on.*|src.*|style|xlink.*|action|data|xmlns)$/.test(name), name);
      if (name === 'href') assert.match(value, /^#[a-z]+$/);
    }
    assert.doesNotMatch(textOf(elementsOf(page, 'style')[0]!), /url|import|@font/);
  }
});

test('hostile texts are shown, with what is obeyed in them visible and what is too long cut', () => {
  const page = pageOf(hostileContents(), '\u202egnp.exe');
  const shown = new Set(elementsOf(page, 'bdi').map(textOf));
  assert.ok(shown.has('\\u{202e}gnp.exe'));
  assert.equal(textOf(elementsOf(page, 'h1')[0]!), '\\u{202e}gnp.exe');
  const whole = [
    '<script>alert(1)</script>', '-->', ']]>', '=1+1', '\\x09=1+1', 'a\\x00b',
    'نص عربي', '👩‍👩‍👧‍👦',
  ];
  for (const text of whole) assert.ok(shown.has(text), text);
  for (const text of shown) assert.ok(text.length < 1_700, `${text.length}`);
  assert.ok(shown.has(`${'x'.repeat(40)}…`));
});

test('every id is there once, and every way within the page leads to one', () => {
  for (const contents of [makeContents(), emptyContents(), unreadableContents(), hostileContents()]) {
    const elements = elementsOf(pageOf(contents));
    const ids = elements.flatMap(({ attributes }) => attributes.get('id') ?? []);
    assert.equal(new Set(ids).size, ids.length);
    for (const { attributes } of elements) {
      for (const name of ['href', 'aria-labelledby']) {
        const id = attributes.get(name)?.replace('#', '');
        if (id !== undefined) assert.ok(ids.includes(id), id);
      }
    }
  }
});

test('the tables have every figure to the millisecond, and headings for their columns and rows', () => {
  for (const settings of [{ days: 28, entries: 11 }, year]) {
    const contents = makeContents(settings);
    const page = pageOf(contents);
    const { entries, dayTotals, total } = contents.usage.value!;
    const [days, totals, ...byEntry] = tablesOf(page, 'days');
    assert.equal(days!.at(-1)![1], exact(total));
    dayTotals.forEach((ms, index) => {
      if (ms > 0) assert.equal(days![index + 1]![1], exact(ms));
    });
    assert.deepEqual(totals!.slice(1).map((row) => row[1]), entries.map((entry) => exact(entry.total)));
    entries.forEach(({ byDay }, entry) => {
      const table = byEntry[Math.floor(entry / 3)]!;
      const column = table.slice(1).map((row) => row[(entry % 3) + 1]);
      assert.deepEqual(column, byDay.map((ms, index) => {
        const isUnknown = ['silent', 'future'].includes(contents.history.value!.recorded[index]!);
        return ms! > 0 ? exact(ms!) : isUnknown ? english.notKnown : '0';
      }));
    });
    for (const table of elementsOf(page, 'table')) {
      assert.equal(elementsOf(table, 'caption').length, 1);
      for (const cell of elementsOf(table, 'th')) assert.match(cell.attributes.get('scope')!, /^(col|row|rowgroup)$/);
      const widths = new Set(elementsOf(table, 'tr').map((row) => {
        const cells = row.children.filter((child) => typeof child !== 'string');
        return cells.reduce((sum, cell) => sum + Number(cell.attributes.get('colspan') ?? 1), 0);
      }));
      assert.equal(widths.size, 1);
    }
  }
});

/** Contents of which a day's total, a quota, an event and an instant cannot be read. */
function partlyReadable(): Contents {
  const contents = makeContents({ days: 7, entries: 2, quotas: 1 });
  const [entry] = contents.usage.value!.entries;
  entry!.byDay[2] = undefined;
  contents.usage.value!.dayTotals[2] = 0;
  contents.usage.value!.unreadable = [{ entryId: entry!.entryId, day: contents.days[2]!, message: 'a text' }];
  contents.quotas!.value![0]!.usedMs[2] = undefined;
  contents.quotas!.value![0]!.allowedMs[3] = undefined;
  contents.history.value!.unreadable = 3;
  contents.history.value!.machine = [{ at: new Date(NaN), kind: 'started' }];
  return contents;
}

test('what cannot be read says so in its place', () => {
  const page = pageOf(unreadableContents());
  for (const id of ['summary', 'days', 'quotas', 'hours', 'sessions', 'denied', 'changes', 'machine', 'proof']) {
    assert.match(textOf(section(page, id)), /cannot be read: database disk image is malformed/, id);
  }
  assert.match(textOf(section(page, 'proof')), /Europe\/Berlin/);

  const partly = pageOf(partlyReadable());
  const [days, , byEntry] = tablesOf(partly, 'days');
  assert.equal(days![3]![1], 'part of it cannot be read');
  assert.equal(byEntry![3]![1], 'cannot be read');
  const half = partlyReadable();
  half.usage.value!.dayTotals[2] = 5_400_000;
  const picture = section(pageOf(half), 'days');
  assert.deepEqual(textsOf(picture, 'v').filter((text) => text.includes('?')), ['1:30 +?']);
  assert.match(textOf(elementsOf(picture, 'ul')[0]!), /\+\?: part of it cannot be read/);
  const [quotas] = tablesOf(partly, 'quotas');
  assert.equal(quotas![3]![1], 'cannot be read');
  assert.match(quotas![4]![1]!, / of cannot be read$/);
  assert.match(textOf(section(partly, 'summary')), /without what cannot be read:.*: a text/);
  assert.match(textOf(section(partly, 'sessions')), /^\D*3 events could not be read/);
  assert.deepEqual(tablesOf(partly, 'machine')[0]![1], ['cannot be read', 'started']);
});

test('where nothing has happened, words say so', () => {
  const page = pageOf(emptyContents());
  const { nothingUsed, noQuotas, noSessions, noneDenied, noChanges, noMachine, noAnchor } = english;
  const words = {
    days: nothingUsed, quotas: noQuotas, hours: noSessions, sessions: noSessions, denied: noneDenied,
    changes: noChanges, machine: noMachine, proof: noAnchor,
  };
  for (const [id, text] of Object.entries(words)) assert.ok(textOf(section(page, id)).includes(text), id);
  const withoutPolicy = emptyContents();
  delete withoutPolicy.quotas;
  assert.ok(!renderPage(withoutPolicy).includes(english.quotas));
});

test('a year of 40 entries, all of them with a quota, is at most 2 MB, and drawn at once', () => {
  const contents = makeContents(year);
  const times = Array.from({ length: 4 }, () => {
    const begun = performance.now();
    const page = renderPage(contents);
    assert.ok(Buffer.byteLength(page) < 2_000_000, String(page.length));
    return performance.now() - begun;
  });
  assert.ok(Math.min(...times) < 500, String(times));
  const long = { ...contents, labels: new Map(contents.usage.value!.entries.map(({ entryId }, index) => {
    return [entryId, `${index}${'漢'.repeat(10_000)}`] as const;
  })) };
  assert.ok(Buffer.byteLength(renderPage(long)) < 2_000_000);
});

test('of a long list the newest rows are shown, with how many are left out and where all of them are', () => {
  const contents = makeContents(year);
  const { sessions } = contents.history.value!;
  const shown = section(pageOf(contents), 'sessions');
  const rows = elementsOf(shown, 'tr').filter((row) => elementsOf(row, 'td').length > 0);
  assert.equal(rows.length, 1_000);
  assert.ok(textOf(shown).includes(english.earlierSessions(sessions.length - 1_000)));
  assert.deepEqual(elementsOf(shown, 'code').map(textOf), ['shepherd-store export sessions']);
  assert.ok(rows.some((row) => textOf(row).includes(english.running)));
});

test('a session over midnight, without an end or without a beginning is told as it is', () => {
  const [sessions] = tablesOf(pageOf(makeContents({ days: 7 })), 'sessions');
  const rows = sessions!.slice(-4).map(([from, to, time, , reason]) => [from, to, time, reason]);
  assert.deepEqual(rows, [
    ['23:30', '01:00 +1 d', '1:30:00', 'its time was up'],
    ['09:00', '–', '–', 'end not known'],
    ['not known', '10:00', '0:01:00', 'stopped by the user'],
    ['20:45', '–', '–', 'running'],
  ]);
});

test('two entries of one name are told apart by their ids, and a group by the word', () => {
  const contents = makeContents({ days: 7, entries: 2, quotas: 1, labels: ['Chess', 'Chess'] });
  contents.quotas!.value![0]!.subject = 'group:board';
  const text = textOf(pageOf(contents));
  assert.match(text, /Chess \(app-0\)/);
  assert.match(text, /Chess \(app-1\)/);
  assert.match(text, /group board/);

  const long = 'x'.repeat(60);
  const alike = textOf(pageOf(makeContents({ days: 7, entries: 3, labels: [`${long}1`, `${long}2`, 'app-0'] })));
  for (const id of ['app-0', 'app-1']) assert.match(alike, new RegExp(`x… \\(${id}\\)`));
  const asId = makeContents({ days: 7, entries: 2, labels: ['app-1', 'app-1'] });
  asId.labels.delete('app-1');
  assert.match(textOf(pageOf(asId)), /app-1 \(app-0\)/);
});

test('a session that ended the day before it began, or without a reason that is whole, is told as it is', () => {
  const contents = makeContents({ days: 7, sessions: 0 });
  const [from, to] = [new Date('2026-11-28T10:00:00Z'), new Date('2026-11-27T04:00:00Z')];
  const reason = { type: 'launch_failed' } as never; // another writer's, without an error
  contents.history.value!.sessions = [{ sessionId: 's', entryId: 'a', from, to, durationMs: 1_000, reason }];
  assert.deepEqual(tablesOf(pageOf(contents), 'sessions')[0]!.at(-1), [
    '11:00', '05:00 −1 d', '0:00:01', 'a', 'could not be started',
  ]);
});

test('with many quotas the most used are drawn, and the table has all', () => {
  const contents = makeContents({ days: 60, entries: 20, quotas: 20 });
  const quotas = section(pageOf(contents), 'quotas');
  assert.equal(elementsOf(quotas, 'figure').length, 8);
  assert.equal(elementsOf(quotas, 'table').length, 7);
  assert.match(textOf(quotas), /the newest 31 days/);
  const small = section(pageOf(makeContents({ days: 7, entries: 3, quotas: 3 })), 'quotas');
  assert.equal(elementsOf(small, 'figure').length, 3);
});

/** Texts in which each one that is used is noted, by its path. */
function noting(texts: object, used: Set<string>, path = ''): Texts {
  return new Proxy(texts, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      const place = `${path}${String(name)}`;
      used.add(place);
      return typeof value === 'object' && !Array.isArray(value) ? noting(value as object, used, `${place}.`) : value;
    },
  }) as Texts;
}

function pathsOf(texts: object, path = ''): string[] {
  return Object.entries(texts).flatMap(([name, value]) => {
    const isTable = typeof value === 'object' && !Array.isArray(value);
    return [path + name, ...(isTable ? pathsOf(value as object, `${path}${name}.`) : [])];
  });
}

test('every text is shown somewhere', () => {
  const used = new Set<string>();
  const everything = makeContents();
  const history = everything.history.value!;
  const { entryId } = everything.usage.value!.entries[0]!;
  for (const type of ['admin_stop', 'policy_stop', 'service_shutdown'] as const) {
    history.sessions.push({ sessionId: type, entryId, from: everything.madeAt, reason: { type } });
  }
  history.denied.push({ at: everything.madeAt, entryId, reasons: Object.keys(english.limits) });
  everything.entryIds = [entryId];
  everything.proof.value!.archivedId = 12;
  const earlier = makeContents();
  earlier.usage.value!.weekBefore.fill(1e9);
  const same = makeContents();
  same.usage.value!.weekBefore = same.usage.value!.dayTotals;
  const [unknown, partly] = [makeContents(), makeContents()];
  for (const { history, usage } of [unknown, partly]) {
    history.value!.recordedBefore.fill('silent');
    usage.value!.weekBefore.fill(0);
  }
  partly.usage.value!.weekBefore[0] = 1;
  const never = makeContents();
  never.usage.value!.weekBefore.fill(0);
  const pages = [
    unknown, partly, never, everything, earlier, same, makeContents(year), makeContents({ days: 3 }), hostileContents(),
    emptyContents(), unreadableContents(), partlyReadable(), unusedContents(['silent']),
    unusedContents(['silent', 'recorded']), unusedContents([], [{ entryId: 'a', day: 'x', message: 'a text' }]),
  ];
  for (const contents of pages) renderPage(contents, {}, noting(english, used));
  assert.deepEqual(pathsOf(english).filter((path) => !used.has(path)), []);
});

test('no word is written anywhere but in the table of texts', () => {
  const blank = (texts: object): object => Object.fromEntries(Object.entries(texts).map(([name, value]) => {
    if (Array.isArray(value)) return [name, value.map(() => '#')];
    if (typeof value === 'function') return [name, (...given: unknown[]) => given.filter((each) => `${each}` === each)];
    return [name, typeof value === 'object' ? blank(value as object) : '#'];
  }));
  const contents = makeContents({ days: 40, sessions: 40, labels: [1, 2, 3, 4, 5, 6].map(String) });
  const history = contents.history.value!;
  history.denied = Array.from({ length: 501 }, (_, index) => history.denied[index % history.denied.length]!);
  history.changes = Array.from({ length: 501 }, (_, index) => history.changes[index % history.changes.length]!);
  history.machine = Array.from({ length: 501 }, (_, index) => history.machine[index % history.machine.length]!);
  const page = readMarkup(renderPage(contents, {}, blank(english) as Texts));
  const body = elementsOf(page, 'body')[0]!;
  const commands = elementsOf(body, 'code').map(textOf);
  const text = commands.reduce((rest, command) => rest.replace(command, ''), textOf(body));
  const words = new Set(text.match(/\p{L}{2,}/gu));
  // What is left is what the contents themselves say.
  const given = JSON.stringify([contents, [...contents.labels]]);
  assert.deepEqual([...words].filter((word) => !given.includes(word)), []);
});

test('durations are exact in tables and never nothing in pictures', () => {
  assert.deepEqual([0, 1, 61_000, 3_600_000, 90_061_007, -1_200_500].map(exact), [
    '0:00:00', '0:00:00.001', '0:01:01', '1:00:00', '25:01:01.007', '−0:20:00.500',
  ]);
  assert.deepEqual([0, 1, 59_999, 60_000, 7_380_000].map(rough), ['0:00', '<0:01', '<0:01', '0:01', '2:03']);
});

test('a scale has a mark or more whatever its length is, and at most four', () => {
  for (const longest of [0, 1, 59_999, 60_000, 14_520_000, 86_400_000, 3e9, Number.MAX_SAFE_INTEGER]) {
    const { max, marks } = scaleFor(longest);
    assert.ok(max >= longest && max > 0);
    assert.ok(marks.length >= 1 && marks.length <= 4, `${longest}: ${marks}`);
    assert.ok(marks.every((mark) => mark > 0 && mark <= max));
  }
});
