// The report in short: the total, a day's mean, the week before, and what was used the most.
import type { Usage } from './contents.ts';
import { exact, type Frame } from './frame.ts';
import { type Content, type Html, html } from './html.ts';

/** The figures that somebody looks for who looks once. */
export function drawSummary(frame: Frame, usage: Usage): Content {
  const { texts } = frame;
  const first = usage.entries[0];
  return html`<dl class="cards">${card(texts.used, texts.hours(usage.total), exact(usage.total))}${
    meanCard(frame, usage)
  }${comparison(frame, usage)}${
    first && usage.total > 0 && card(texts.mostUsed, frame.name(first.entryId), texts.hours(first.total))
  }</dl>`;
}

function card(name: string, figure: Content, note: Content): Html {
  return html`<div><dt>${name}</dt><dd><strong>${figure}</strong> <span>${note}</span></dd></div>
`;
}

/** Days that are not over the horizon, each with whether there is anything of it: a record, or usage. */
function pastDays({ contents }: Frame, { dayTotals }: Usage): { index: number; isKnown: boolean }[] {
  const recorded = contents.history.value?.recorded;
  return contents.days.flatMap((_, index) => {
    const state = recorded?.[index];
    if (state === 'future' && !dayTotals[index]) return [];
    return [{ index, isKnown: state !== 'silent' || dayTotals[index]! > 0 }];
  });
}

function meanCard(frame: Frame, usage: Usage): Html | undefined {
  const { texts } = frame;
  const past = pastDays(frame, usage);
  const known = past.filter(({ isKnown }) => isKnown).length;
  if (known === 0) return undefined;
  return card(texts.mean, texts.hours(usage.total / known), texts.meanOf(known, past.length - known));
}

function comparison(frame: Frame, usage: Usage): Html | undefined {
  const { texts } = frame;
  let now = 0;
  let before = 0;
  let unknown = 0;
  const past = pastDays(frame, usage);
  for (const { index } of past) {
    now += usage.dayTotals[index] ?? 0;
    const used = usage.weekBefore[index] ?? 0;
    before += used;
    if (used === 0 && frame.contents.history.value?.recordedBefore[index] === 'silent') unknown++;
  }
  if (now === 0 && before === 0) return undefined;
  if (unknown === past.length) return card(texts.comparison, texts.silent, texts.unknownBefore);
  const note = unknown > 0 && texts.partUnknownBefore(unknown);
  if (before === 0) return card(texts.comparison, texts.nothingBefore, [texts.nothingCompared, note]);
  const whole = texts.hours(before);
  if (now === before) return card(texts.comparison, texts.equallyUsed, [texts.comparedEqual(whole), note]);
  const by = texts.hours(Math.abs(now - before));
  const figure = now > before ? texts.moreUsed(by) : texts.lessUsed(by);
  return card(texts.comparison, figure, [texts.compared(whole), note]);
}
