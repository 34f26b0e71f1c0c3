// How long each day: a bar for each day, made of a part for each entry, and the figures behind it.
import type { Usage } from './contents.ts';
import { dayTables, isReadable } from './day-tables.ts';
import { dayParts, type Frame, nothingUsed, rough, stateOf } from './frame.ts';
import { type Content, Html, html } from './html.ts';
import { axis, percent, type Scale, scaleFor } from './scale.ts';
import { behind } from './tables.ts';

/** So many entries have a colour and a letter of their own. */
export const ownColours = 8;

/** Up to so many days stand in one picture, each with the day a week before beside it. */
export const daysWithWeekBefore = 31;

// A letter is drawn where its part of the bar is wide enough for it: on the narrowest screen, or on wider ones alone.
const roomForLetter = 0.075;
const roomOnWide = 0.03;

/** A part of each day's bar: an entry, or the sum of those that have no colour of their own. */
interface Layer {
  letter: string;
  byDay: number[];
}

/** The parts of the bars, the longest first. */
function layersOf(usage: Usage, days: number): Layer[] {
  const layers = usage.entries.slice(0, ownColours).map(({ byDay }, index) => {
    return { letter: String.fromCharCode(65 + index), byDay: byDay.map((ms) => ms ?? 0) };
  });
  const rest = usage.entries.slice(ownColours);
  if (rest.length === 0) return layers;
  const sum = Array.from({ length: days }, (_, day) => rest.reduce((ms, { byDay }) => ms + (byDay[day] ?? 0), 0));
  return [...layers, { letter: '+', byDay: sum }];
}

/** The picture of the days, and its tables. */
export function drawDays(frame: Frame, usage: Usage): Content {
  const { contents: { days }, texts } = frame;
  if (usage.entries.length === 0) {
    return [html`<p>${nothingUsed(frame)}</p>`, behind(frame, texts.days, dayTables(frame, usage))];
  }
  const layers = layersOf(usage, days.length);
  const isShort = days.length <= daysWithWeekBefore;
  const longest = isShort ? Math.max(...usage.dayTotals, ...usage.weekBefore) : usage.dayTotals.reduce(greater, 0);
  const hasWeekBefore = isShort && usage.weekBefore.some((ms) => ms > 0);
  const picture = new DaysPicture(frame, usage, layers, scaleFor(longest), isShort);
  return [
    legend(frame, usage, layers, hasWeekBefore),
    html`<figure><div class="${isShort ? 'picture' : 'picture months'}" role="img"
 aria-label="${texts.daysPicture(layers.length)}">${picture.blocks()}</div></figure>`,
    behind(frame, texts.days, dayTables(frame, usage)),
  ];
}

function greater(one: number, other: number): number {
  return Math.max(one, other);
}

/** What the letters and colours stand for. */
function legend(frame: Frame, usage: Usage, layers: readonly Layer[], hasWeekBefore: boolean): Html {
  const { texts } = frame;
  const items = layers.map(({ letter, byDay }, index) => {
    const entry = letter === '+' ? undefined : usage.entries[index]!;
    const name = entry ? frame.name(entry.entryId) : texts.others(usage.entries.length - ownColours);
    const total = entry ? entry.total : byDay.reduce((sum, ms) => sum + ms, 0);
    return html`<li>${key(index, letter)} ${name} <span class="quiet">${texts.hours(total)}</span></li>`;
  });
  if (hasWeekBefore) {
    items.push(html`<li><svg class="key" aria-hidden="true"><rect class="w" y="5" width="18" height="6"/></svg>
 ${texts.weekBeforeKey}</li>`);
  }
  if (usage.dayTotals.some((ms, index) => ms > 0 && !isReadable(usage, index))) {
    items.push(html`<li>+?: ${texts.partUnreadable}</li>`);
  }
  const { recorded = [] } = frame.contents.history.value ?? {};
  if (recorded.includes('silent')) items.push(html`<li>${texts.silentMeaning}</li>`);
  if (recorded.includes('archived')) items.push(html`<li>${texts.archivedMeaning}</li>`);
  return html`<ul class="legend">${items}</ul>`;
}

function key(index: number, letter: string): Html {
  return html`<svg class="key" aria-hidden="true"><rect class="${colourOf(letter, index)}" width="18" height="18"/><text
 class="k" x="9" y="13">${letter}</text></svg>`;
}

function colourOf(letter: string, layer: number): string {
  return letter === '+' ? 'others' : `c${layer}`;
}

/** Draws the days as rows, in one block or in one for each month. */
class DaysPicture {
  readonly #frame: Frame;
  readonly #usage: Usage;
  readonly #layers: readonly Layer[];
  readonly #scale: Scale;
  readonly #isShort: boolean;
  readonly #rowHeight: number;

  constructor(frame: Frame, usage: Usage, layers: readonly Layer[], scale: Scale, isShort: boolean) {
    this.#frame = frame;
    this.#usage = usage;
    this.#layers = layers;
    this.#scale = scale;
    this.#isShort = isShort;
    this.#rowHeight = isShort ? 23 : 14;
  }

  blocks(): Content {
    const { days } = this.#frame.contents;
    if (this.#isShort) return this.#block(days.map((_, index) => index));
    const months = Map.groupBy(days.keys(), (index) => days[index]!.slice(0, 7));
    return Array.from(months.values(), (indexes) => {
      const parts = dayParts(days[indexes[0]!]!);
      return html`<div class="block"><p>${parts && this.#frame.texts.month(parts)}</p>${this.#block(indexes)}</div>`;
    });
  }

  #block(indexes: readonly number[]): Html {
    const height = 18 + indexes.length * this.#rowHeight;
    const rows = indexes.map((index, row) => this.#row(index, 18 + row * this.#rowHeight));
    return html`<svg class="bars${!this.#isShort && ' thin'}" height="${height}" aria-hidden="true">
${axis(this.#frame, this.#scale, height)}${rows}</svg>
`;
  }

  #row(index: number, y: number): Html {
    const { days } = this.#frame.contents;
    const total = this.#usage.dayTotals[index] ?? 0;
    const parts = dayParts(days[index]!);
    const label = this.#isShort ? this.#frame.day(days[index]!) : parts ? String(parts.day) : '';
    const isWhole = isReadable(this.#usage, index);
    const note = this.#noteOf(index, total, isWhole);
    return html`<g transform="translate(0 ${y})"><text class="d" x="-8" y="11">${label}</text>${this.#stack(index)}${
      this.#isShort && this.#weekBefore(index)
    }${note !== undefined && html`<text class="n" x="4" y="11">${note}</text>`}${
      note === undefined && html`<text class="v" x="100%" dx="8" y="11">${rough(total)}${!isWhole && ' +?'}</text>`
    }</g>
`;
  }

  /** What stands in place of a bar. */
  #noteOf(index: number, total: number, isWhole: boolean): string | undefined {
    if (total > 0) return undefined;
    return isWhole ? stateOf(this.#frame, index) : this.#frame.texts.partUnreadable;
  }

  /** The parts of a bar. It is put together of numbers as one text, because a year has thousands of them. */
  #stack(index: number): Html {
    let begin = 0;
    let text = '';
    this.#layers.forEach(({ letter, byDay }, layer) => {
      const ms = byDay[index]!;
      if (ms === 0) return;
      const x = percent(begin, this.#scale);
      const width = percent(ms, this.#scale);
      text += `<rect class="${colourOf(letter, layer)}" x="${x}" width="${width}" data-ms="${ms}"/>`;
      if (begin > 0) text += `<rect class="s" x="${x}"/>`;
      const share = ms / this.#scale.max;
      if (this.#isShort && share >= roomOnWide) {
        const kind = share >= roomForLetter ? 'k' : 'k wide';
        text += `<text class="${kind}" x="${percent(begin + ms / 2, this.#scale)}" y="11">${letter}</text>`;
      }
      begin += ms;
    });
    return new Html(text);
  }

  #weekBefore(index: number): Content {
    const ms = this.#usage.weekBefore[index] ?? 0;
    return ms > 0 && html`<rect class="w" width="${percent(ms, this.#scale)}" data-ms="${ms}"/>`;
  }
}
