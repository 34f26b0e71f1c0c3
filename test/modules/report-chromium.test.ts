// The report as a browser shows it: on narrow and wide screens, by day and by night, on paper, and by name.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Contents, Quota } from '../../lib/modules/report/contents.ts';
import { renderPage } from '../../lib/modules/report/page.ts';
import { Chromium } from '../support/chromium.ts';
import { TestFolder } from '../support/folder.ts';
import { emptyContents, hostileContents, makeContents, unreadableContents } from '../support/report.ts';
import { type DrawnBar, probes } from '../support/report-probe.ts';
import { needs } from '../support/tools.ts';

const screens = [360, 1280].flatMap((width) => (['light', 'dark'] as const).map((scheme) => ({ width, scheme })));

/** Opens a report in a browser; `check` is called on each screen, with the tables closed and open. */
class Shown {
  readonly #folder: TestFolder;
  readonly browser: Chromium;

  constructor(folder: TestFolder, browser: Chromium) {
    this.#folder = folder;
    this.browser = browser;
  }

  static async start(t: TestContext): Promise<Shown> {
    return new Shown(new TestFolder(t), await Chromium.start(t));
  }

  async open(contents: Contents, title?: string): Promise<string> {
    const file = this.#folder.file('report.html');
    writeFileSync(file, renderPage(contents, { title }));
    const url = pathToFileURL(file).href;
    this.browser.notices.length = 0;
    await this.browser.open(url);
    return url;
  }

  /** Nothing but the document was fetched, nothing complained, and nothing ran. */
  assertQuiet(url: string): void {
    const { notices } = this.browser;
    const requests = notices.filter(({ method }) => method === 'Network.requestWillBeSent');
    const urls = requests.map(({ params }) => (params['request'] as { url: string }).url);
    assert.deepEqual([...new Set(urls)], [url]);
    const told = notices.filter(({ method }) => /^(Log\.|Runtime\.(console|exception)|Page\.javascript)/.test(method));
    assert.deepEqual(told, []);
  }
}

const pages: [string, () => Contents, title?: string][] = [
  ['a month', () => makeContents()],
  ['a week of one entry', () => makeContents({ days: 7, entries: 1, quotas: 1 })],
  ['half a year', () => makeContents({ days: 180, entries: 12, quotas: 9, sessions: 1 })],
  ['hostile texts', hostileContents, '<script>alert(1)</script>\u202e'],
  ['nothing', emptyContents],
  ['what cannot be read', unreadableContents],
];

test('on every screen all of it is there, can be read, and nothing else is fetched', needs('chromium'), async (t) => {
  const shown = await Shown.start(t);
  const { browser } = shown;
  for (const [name, make, title] of pages) {
    const backgrounds = new Map<string, string>();
    for (const { width, scheme } of screens) {
      await browser.screen(width, scheme);
      const url = await shown.open(make(), title);
      for (const tables of ['closed', 'open']) {
        const where = `${name}, ${width} px, ${scheme}, tables ${tables}`;
        assert.deepEqual(await browser.evaluate(probes.beyondScreen()), [], where);
        assert.deepEqual(await browser.evaluate(probes.faint()), [], where);
        assert.deepEqual(await browser.evaluate(probes.active()), [], where);
        await browser.evaluate(probes.openDetails());
      }
      shown.assertQuiet(url);
      backgrounds.set(scheme, await browser.evaluate(probes.background()));
    }
    assert.deepEqual([...backgrounds], [['light', 'rgb(255, 255, 255)'], ['dark', 'rgb(20, 24, 28)']]);
  }
});

function assertLength(drawn: DrawnBar, expected: number, where: string): void {
  assert.ok(Math.abs(drawn.width - expected) <= 1, `${where}: ${drawn.width} px and not ${expected}`);
}

/** Compares the bars of the days with the figures; `hasWeekBefore`: with those of a week before beside them. */
function assertDays(rows: DrawnBar[][], contents: Contents, hasWeekBefore: boolean): void {
  const { entries, dayTotals, weekBefore } = contents.usage.value!;
  const longest = Math.max(...dayTotals, ...(hasWeekBefore ? weekBefore : []));
  assert.equal(rows.length, contents.days.length);
  rows.forEach((bars, index) => {
    const own = entries.slice(0, 8).map(({ byDay }, entry) => ({ kind: `c${entry}`, ms: byDay[index]! }));
    const others = entries.slice(8).reduce((sum, { byDay }) => sum + byDay[index]!, 0);
    const expected = [...own, { kind: 'others', ms: others }];
    if (hasWeekBefore) expected.push({ kind: 'w', ms: weekBefore[index]! });
    const there = expected.filter(({ ms }) => ms > 0);
    assert.deepEqual(bars.map(({ kind }) => kind), there.map(({ kind }) => kind), contents.days[index]);
    let sum = 0;
    there.forEach(({ kind, ms }, place) => {
      const { whole, left } = bars[place]!;
      assertLength(bars[place]!, (ms / longest) * whole, `${contents.days[index]} ${kind}`);
      if (kind === 'w') return;
      assert.ok(Math.abs(left - (sum / longest) * whole) <= 1);
      sum += ms;
    });
  });
}

function assertQuotas(rows: DrawnBar[][], quotas: readonly Quota[], days: number): void {
  assert.equal(rows.length, quotas.length * days);
  quotas.forEach(({ usedMs, allowedMs, dailyMs }, subject) => {
    const longest = Math.max(dailyMs, ...usedMs.map((ms) => ms!), ...allowedMs.map((ms) => ms!));
    usedMs.forEach((used, index) => {
      const bars = rows[subject * days + index]!;
      const allowed = allowedMs[index]!;
      const lengths = { u: Math.min(used!, allowed), o: Math.max(0, used! - allowed) };
      for (const bar of bars) assertLength(bar, (lengths[bar.kind as 'u'] / longest) * bar.whole, `quota ${index}`);
      assert.equal(bars.length, Number(lengths.u > 0) + Number(lengths.o > 0));
    });
  });
}

function assertHours(rows: DrawnBar[][], { hours, clockHours }: { hours: number[][]; clockHours: number[][] }): void {
  assert.equal(rows.length, 7);
  rows.forEach((bars, weekday) => {
    const means = hours[weekday]!.map((ms, hour) => ms / clockHours[weekday]![hour]!).filter((share) => share > 0);
    assert.equal(bars.length, means.length);
    const expected = means.map((share) => share * 24);
    bars.forEach(({ height }, place) => assert.ok(Math.abs(height - expected[place]!) <= 1));
  });
}

test('every bar is as long as its figure says, to a pixel', needs('chromium'), async (t) => {
  const shown = await Shown.start(t);
  const { browser } = shown;
  for (const { width, scheme } of screens.filter((each) => each.scheme === 'light')) {
    await browser.screen(width, scheme);
    for (const [seed, days] of [[1, 28], [2, 7], [3, 31], [4, 90]] as const) {
      const contents = makeContents({ seed, days, entries: 11 });
      await shown.open(contents);
      assertDays(await browser.evaluate(probes.barsOf('days')), contents, days <= 31);
      if (days <= 31) assertQuotas(await browser.evaluate(probes.barsOf('quotas')), contents.quotas!.value!, days);
      assertHours(await browser.evaluate(probes.barsOf('hours')), contents.history.value!);
    }
  }
});

/** What somebody is told who cannot see the page. */
interface Told {
  role: string;
  name: string;
  level: number | undefined;
}

test('who cannot see it is told the parts, the pictures and the tables by name', needs('chromium'), async (t) => {
  const shown = await Shown.start(t);
  const { browser } = shown;
  await browser.screen(1280, 'light');
  for (const [name, make, title] of pages) {
    await shown.open(make(), title);
    await browser.evaluate(probes.openDetails());
    const told = await tree(browser);
    const of = (role: RegExp): Told[] => told.filter((each) => role.test(each.role));
    for (const role of ['banner', 'navigation', 'main', 'contentinfo']) {
      assert.equal(of(new RegExp(`^${role}$`)).length, 1, `${name}: ${role}`);
    }
    const levels = of(/^heading$/).map(({ level }) => level!);
    assert.equal(levels[0], 1);
    assert.ok(levels.slice(1).every((level, index) => level > 1 && level <= levels[index]! + 1), `${name}: ${levels}`);
    const named = [...of(/^(img|image|table|region|heading|link)$/)];
    assert.deepEqual(named.filter((each) => each.name.trim() === ''), [], name);
    const pictures = await browser.evaluate<number>('document.querySelectorAll("[role=img]").length');
    assert.equal(of(/^(img|image)$/).length, pictures, name);
    const tables = await browser.evaluate<number>('document.querySelectorAll("table").length');
    assert.equal(of(/^table$/).length, tables, name);
    assert.ok(tables === 0 || of(/^columnheader$/).length >= tables, name);
  }
});

async function tree(browser: Chromium): Promise<Told[]> {
  const { nodes } = await browser.ask('Accessibility.getFullAXTree') as { nodes: Record<string, any>[] };
  const isLevel = ({ name }: { name: string }): boolean => name === 'level';
  return nodes.filter((node) => !node['ignored']).map((node) => ({
    role: String(node['role']?.value),
    name: String(node['name']?.value ?? ''),
    level: node['properties']?.find(isLevel)?.value.value as number | undefined,
  }));
}

test('the figures behind a picture can be opened by keyboard', needs('chromium'), async (t) => {
  const shown = await Shown.start(t);
  const { browser } = shown;
  await shown.open(makeContents());
  await browser.evaluate('document.querySelector("summary").focus()');
  const enter = { key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13, text: '\r' };
  await browser.ask('Input.dispatchKeyEvent', { type: 'keyDown', ...enter });
  await browser.ask('Input.dispatchKeyEvent', { type: 'keyUp', ...enter });
  assert.equal(await browser.evaluate('document.querySelector("details").open'), true);
});

test('on paper it has A4 pages in light colours, with the tables open', needs('chromium'), async (t) => {
  const shown = await Shown.start(t);
  const { browser } = shown;
  await browser.screen(1280, 'dark');
  await shown.open(makeContents());
  const text = (await browser.paper()).toString('latin1');
  const boxes = [...text.matchAll(/\/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]/g)];
  assert.ok(boxes.length >= 4 && boxes.length <= 25, `${boxes.length} pages`);
  for (const [, width, height] of boxes) {
    assert.ok(Math.abs(Number(width) - 595.28) < 1 && Math.abs(Number(height) - 841.89) < 1, `${width} x ${height}`);
  }
  await browser.ask('Emulation.setEmulatedMedia', {
    media: 'print', features: [{ name: 'prefers-color-scheme', value: 'dark' }],
  });
  assert.equal(await browser.evaluate(probes.background()), 'rgb(255, 255, 255)');
  assert.deepEqual(await browser.evaluate(probes.faint()), []);
  const heights = '[...document.querySelectorAll("details table")].map((each) => each.getBoundingClientRect().height)';
  assert.ok(Math.min(...await browser.evaluate<number[]>(heights)) > 40);
});
