// The figures behind the picture of the days: each day, each entry, and each day by entry.
import type { Usage } from './contents.ts';
import { exact, type Frame, stateBefore, stateOf } from './frame.ts';
import { type Content, given, type Html, html } from './html.ts';
import { abreast, cell, row, table } from './tables.ts';

/** All tables behind the picture of the days. */
export function dayTables(frame: Frame, usage: Usage): Content {
  if (usage.entries.length === 0) return dayTable(frame, usage);
  return [dayTable(frame, usage), totalsTable(frame, usage), entryTables(frame, usage)];
}

function dayTable(frame: Frame, usage: Usage): Html {
  const { contents: { days }, texts } = frame;
  const rows = days.map((day, index) => {
    const before = usage.weekBefore[index] ?? 0;
    const figure = before > 0 ? exact(before) : stateBefore(frame, index) ?? exact(0);
    return row(frame.day(day), [dayFigure(frame, usage, index), figure]);
  });
  const before = usage.weekBefore.reduce((sum, ms) => sum + ms, 0);
  rows.push(row(texts.total, [exact(usage.total), exact(before)]));
  return table('figures', texts.daysCaption, [texts.dayColumn, texts.used, texts.weekBefore], rows);
}

/** Whether every entry's total of a day can be read. */
export function isReadable({ entries }: Usage, index: number): boolean {
  return entries.every(({ byDay }) => byDay[index] !== undefined);
}

/** A day's total; words where there is none because the day is not recorded, or cannot be read. */
function dayFigure(frame: Frame, usage: Usage, index: number): string {
  const notes = [stateOf(frame, index)];
  if (!isReadable(usage, index)) notes.push(frame.texts.partUnreadable);
  const words = notes.filter((note) => note !== undefined).join(', ');
  const used = usage.dayTotals[index] ?? 0;
  if (words === '') return exact(used);
  return used === 0 ? words : `${exact(used)} (${words})`;
}

function totalsTable(frame: Frame, { entries }: Usage): Html {
  const { texts } = frame;
  const rows = entries.map(({ entryId, total }) => {
    const id = frame.id(entryId);
    return row([frame.name(entryId), id && html` <span class="quiet">${id}</span>`], [exact(total)]);
  });
  return table('figures totals', texts.entryTotals, [texts.entry, texts.used], rows);
}

function entryTables(frame: Frame, { entries }: Usage): Content {
  const { contents: { days }, texts } = frame;
  return abreast(entries, (columns, part, parts) => {
    const head = [texts.dayColumn, ...columns.map(({ entryId }) => frame.name(entryId))];
    const rows = days.map((day, index) => {
      return row(frame.day(day), columns.map(({ byDay }) => cell(frame, byDay[index], index)));
    });
    return table('figures', texts.entriesCaption(part, parts), head, rows);
  });
}

/** What cannot be read of the usage, below all that adds it up. */
export function drawUnreadable(frame: Frame, { unreadable }: Usage): Content {
  if (unreadable.length === 0) return undefined;
  const items = unreadable.slice(0, 20).map(({ entryId, day, message }) => {
    return html`<li>${frame.day(day)}, ${frame.name(entryId)}: ${given(message, 200)}</li>`;
  });
  const more = unreadable.length > 20 && html`<li>+ ${unreadable.length - 20}</li>`;
  return html`<div class="bad" role="note"><p>${frame.texts.lacking}</p><ul>${items}${more}</ul></div>`;
}
