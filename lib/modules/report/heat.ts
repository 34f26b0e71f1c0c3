// The hours of the day: for each weekday, how long sessions ran in each of its hours on average.
import type { History } from './contents.ts';
import type { Frame } from './frame.ts';
import { type Content, type Html, html } from './html.ts';
import { behind, row, table } from './tables.ts';

const rowHeight = 30;
const cellHeight = 24;
const minute = 60_000;

/** Minutes for which a whole bar can stand: their quarters are whole minutes. */
const wholes = [4, 8, 20, 40, 60];

/** The picture of the hours, and its table. */
export function drawHours(frame: Frame, history: History): Content {
  const { texts } = frame;
  const means = meansOf(history);
  const longest = Math.max(...means.flat().map((ms) => ms ?? 0));
  if (longest === 0) return html`<p>${history.sessions.length > 0 ? texts.noHours : texts.noSessions}</p>`;
  // Within an hour there are 60 minutes, or more where several sessions run at once.
  const whole = minute * (wholes.find((minutes) => longest <= minutes * minute) ?? Math.ceil(longest / minute));
  return [
    key(frame, whole, means.every(isKnown)),
    html`<figure><div class="picture" role="img" aria-label="${texts.hoursPicture}"><svg class="heat" height="${
      18 + 7 * rowHeight
    }" aria-hidden="true">
${axis()}${means.map((hours, weekday) => heatRow(frame, hours, weekday, whole))}</svg></div></figure>`,
    behind(frame, texts.hoursOfDay, hoursTable(frame, means)),
  ];
}

/** How long sessions ran of an hour, by weekday and hour; `undefined` where it was on no day of which that is known. */
function meansOf({ hours, clockHours }: History): (number | undefined)[][] {
  return hours.map((ofDay, weekday) => ofDay.map((ms, hour) => {
    const clockMs = clockHours[weekday]![hour]!;
    return clockMs > 0 ? (ms / clockMs) * 60 * minute : undefined;
  }));
}

/** Whether there is anything of a day of the week. */
function isKnown(hours: readonly (number | undefined)[]): boolean {
  return hours.some((ms) => ms !== undefined);
}

function axis(): Html[] {
  return [0, 6, 12, 18, 24].map((hour) => {
    const x = `${Math.round((hour / 24) * 1e4) / 100}%`;
    return html`<text class="a" x="${x}" y="10">${hour}</text>`;
  });
}

/** The steps of the scale; the height of a bar says the same as its colour. */
function stepOf(ms: number, whole: number): number {
  return Math.min(4, Math.ceil((ms / whole) * 4));
}

// A mean that is not nothing has to be seen.
function heightOf(ms: number, whole: number): number {
  return Math.max(1, Math.round((ms / whole) * cellHeight * 100) / 100);
}

function heatRow({ texts }: Frame, hours: readonly (number | undefined)[], weekday: number, whole: number): Html {
  const cells = hours.map((ms = 0, hour) => {
    const x = `${Math.round((hour / 24) * 1e4) / 100}%`;
    const height = heightOf(ms, whole);
    return ms > 0 && html`<rect class="h${stepOf(ms, whole)}" x="${x}" y="${
      Math.round((cellHeight - height) * 100) / 100
    }" height="${height}" data-mean="${Math.round(ms)}"/>`;
  });
  const track = isKnown(hours) ? html`<rect class="t"/>` : html`<text class="n" x="4" y="17">${texts.notKnown}</text>`;
  return html`<g transform="translate(0 ${18 + weekday * rowHeight})">${track}<text class="d" x="-8" y="17">${
    texts.weekdays[weekday]
  }</text>${cells}</g>
`;
}

function key({ texts }: Frame, whole: number, isComplete: boolean): Html {
  const items = [1, 2, 3, 4].map((step) => {
    const height = (step / 4) * cellHeight;
    const bar = html`<rect class="h${step}" y="${cellHeight - height}" width="18" height="${height}"/>`;
    const minutes = Math.round((step / 4) * (whole / minute));
    return html`<li><svg class="key tall" aria-hidden="true"><rect class="t" width="18"/>${bar}</svg> ${
      texts.minutes(minutes)
    }</li>`;
  });
  return html`<ul class="legend"><li>${texts.hoursKey}</li>${items}${
    !isComplete && html`<li>${texts.noHourMeaning}</li>`
  }</ul>`;
}

/** A mean as `m:ss`. */
function meanText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds === 0) return ms > 0 ? '<0:01' : '0';
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

function hoursTable({ texts }: Frame, means: readonly (number | undefined)[][]): Html {
  const rows = Array.from({ length: 24 }, (_, hour) => {
    return row(texts.hour(hour), means.map((hours) => {
      const mean = hours[hour];
      return mean === undefined ? texts.notKnown : meanText(mean);
    }));
  });
  return table('figures hours', texts.hoursCaption, [texts.hourColumn, ...texts.weekdays], rows);
}
