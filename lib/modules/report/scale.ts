// Lengths in a picture, as parts of its width: a picture is as wide as the screen lets it be.
import type { Frame } from './frame.ts';
import { type Html, html } from './html.ts';

/** The length that stands for the whole width, and the marks between. */
export interface Scale {
  max: number;
  marks: number[];
}

const minute = 60_000;
const hour = 60 * minute;
const steps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * minute);

/** A scale whose whole width is the longest of some durations, with at most four marks. */
export function scaleFor(longest: number): Scale {
  let step = steps.find((each) => longest <= 4 * each);
  for (let days = 24 * hour; step === undefined; days *= 2) if (longest <= 4 * days) step = days;
  const max = longest > 0 ? longest : step;
  const marks: number[] = [];
  for (let mark = step; mark <= max; mark += step) marks.push(mark);
  return { max, marks: marks.length > 0 ? marks : [max] };
}

/** A duration as a part of the width. A thousandth of a percent is a hundredth of a pixel. */
export function percent(ms: number, { max }: Scale): string {
  const share = Math.round((ms / max) * 1e5) / 1e3;
  return share === 0 ? '0' : `${share}%`;
}

/** The lines of the scale behind the bars, with what they stand for above. */
export function axis({ texts }: Frame, scale: Scale, height: number): Html {
  const marks = scale.marks.map((mark) => {
    const x = percent(mark, scale);
    return html`<line class="g" x1="${x}" x2="${x}" y1="14" y2="${height}"/><text class="a" x="${x}"
 y="10">${texts.hours(mark)}</text>`;
  });
  return html`<line class="z" x1="0" x2="0" y1="14" y2="${height}"/>${marks}`;
}
