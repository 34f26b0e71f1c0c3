// CSV as the command export writes it: RFC 4180, and no text that a spreadsheet takes for a formula.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvLine, durationCells, harmless, jsonCell } from '../../lib/cli/csv.ts';
import { hostileTexts } from '../support/hostile.ts';
import { seededRandom } from '../support/random.ts';

/** What the documents say: an apostrophe at the beginning, and behind a semicolon, tab or line break, was added. */
const asStored = (text: string): string => text.replace(/(^|[;\t\r\n])'/g, '$1');

const formula = /^(?:\s|[\p{C}"])*[=+\-@＝＋－＠]|^[\t\r\n]/u;

test('an apostrophe stands before whatever may be a formula, and taking it away gives the exact text', () => {
  const formulas = [
    '=1', '+1', '-1', '@A1', '＝1', '－1', '\t=1', '\r\n=1', '\tx', '  =1', '\u200b=1', '\ufeff@x', '"=1', "'",
  ];
  for (const text of formulas) {
    assert.equal(harmless(text)[0], "'", JSON.stringify(text));
  }
  assert.equal(harmless('x;=1'), "x;'=1");
  assert.equal(harmless('x\n -1\ty'), "x\n' -1\ty");
  for (const text of ['', 'Tux Math', '1-1', 'a=b', 'x; y', "it's", '漢字']) assert.equal(harmless(text), text);
  const seed = Date.now() % 2 ** 32;
  const random = seededRandom(seed);
  const characters = [...`='"+-@;,\t\r\n ax＝\u200b`];
  const any = Array.from({ length: 5_000 }, () => {
    return Array.from({ length: random() * 8 }, () => characters[Math.floor(random() * characters.length)]).join('');
  });
  for (const text of [...hostileTexts, ...any]) {
    const written = harmless(text);
    assert.equal(asStored(written), text, `seed ${seed}: ${JSON.stringify(text)}`);
    for (const part of written.split(/[;\t\r\n]/)) {
      assert.doesNotMatch(part, formula, `seed ${seed}: ${JSON.stringify(text)}`);
    }
    assert.doesNotMatch(written, /^[\t\r\n]/);
  }
});

test('a text of many blanks or separators takes no time', () => {
  for (const text of [' '.repeat(1e6), ';'.repeat(1e6), '\n'.repeat(1e6), '"'.repeat(1e6), '\u200b'.repeat(1e6)]) {
    const start = performance.now();
    assert.equal(asStored(harmless(text)), text);
    assert.ok(performance.now() - start < 5_000, JSON.stringify(text[0]));
  }
});

test('a line has CRLF, quotes where RFC 4180 needs them, and an empty text is not an absent one', () => {
  const at = new Date('2026-11-21T18:30:00+01:00');
  const line = csvLine([undefined, '', 'a,b', 'a"b', 'a\nb', ' a', 7, -7, false, at, { made: '-0:30:00' }]);
  assert.equal(line, ',"","a,b","a""b","a\nb"," a",7,-7,false,2026-11-21T17:30:00.000Z,-0:30:00\r\n');
  assert.equal(csvLine(['a\0b', 'a\ud800b']), 'a\ufffdb,a\ufffdb\r\n');
});

test('a duration is told in milliseconds and as h:mm:ss', () => {
  const text = (ms: number): string => csvLine(durationCells(ms));
  assert.equal(text(0), '0,0:00:00\r\n');
  assert.equal(text(3_723_999), '3723999,1:02:03\r\n');
  assert.equal(text(400 * 3_600_000), '1440000000,400:00:00\r\n');
  assert.equal(text(-1_800_000), '-1800000,-0:30:00\r\n');
  assert.equal(text(-999), '-999,0:00:00\r\n');
  assert.equal(csvLine(durationCells(undefined)), ',\r\n');
});

test('JSON in a cell is the same value, and a semicolon in it begins no formula', () => {
  for (const text of [...hostileTexts, 'x;=1', ';"=1', '; \u200b+1', "';'-1"]) {
    const cell = jsonCell({ text }) as { made: string };
    assert.deepEqual(JSON.parse(cell.made), { text });
    assert.doesNotMatch(cell.made, /;[\s"]*[=+\-@]/);
  }
  assert.equal(jsonCell(undefined), undefined);
});
