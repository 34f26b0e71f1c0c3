// The days against their quotas: a picture for each subject, and the figures behind it.
import type { Quota } from './contents.ts';
import { daysWithWeekBefore } from './bars.ts';
import { dayParts, exact, type Frame, nothingUsed, rough, stateOf } from './frame.ts';
import { type Content, type Html, html, shortened } from './html.ts';
import { axis, percent, type Scale, scaleFor } from './scale.ts';
import { abreast, behind, cell, row, table } from './tables.ts';

/** Beyond so many subjects only those that were used the most are drawn. */
const drawnSubjects = 8;

const rowHeight = 16;

function usedOf({ usedMs }: Quota): number {
  return usedMs.reduce<number>((sum, ms) => sum + (ms ?? 0), 0);
}

/** The subjects whose pictures are drawn. */
function drawnOf(quotas: readonly Quota[]): readonly Quota[] {
  if (quotas.length <= drawnSubjects) return quotas;
  const used = quotas.filter((quota) => usedOf(quota) > 0);
  return used.sort((one, other) => usedOf(other) - usedOf(one)).slice(0, drawnSubjects);
}

/** Whether more was used on a day than was allowed; `false` where that cannot be read. */
function isOver({ usedMs, allowedMs }: Quota, index: number): boolean {
  const [used, allowed] = [usedMs[index], allowedMs[index]];
  return used !== undefined && allowed !== undefined && used > allowed;
}

/** The pictures of the quotas, and their tables. */
export function drawQuotas(frame: Frame, quotas: readonly Quota[]): Content {
  const { contents: { days }, texts } = frame;
  if (quotas.length === 0) return html`<p>${texts.noQuotas}</p>`;
  const drawn = drawnOf(quotas);
  const from = Math.max(0, days.length - daysWithWeekBefore);
  const isUsed = drawn.some((quota) => usedOf(quota) > 0);
  return [
    legend(frame, drawn.length, quotas.length, from),
    !isUsed && html`<p>${nothingUsed(frame)}</p>`,
    html`<div class="months">${drawn.map((quota) => picture(frame, quota, from))}</div>`,
    behind(frame, texts.quotas, tables(frame, quotas)),
  ];
}

function legend({ contents, texts }: Frame, drawn: number, all: number, from: number): Html {
  const strokes = [3, 8, 13].map((x) => html`<line class="h" x1="${x}" x2="${x}" y1="3" y2="15"/>`);
  return html`<ul class="legend"><li><svg class="key" aria-hidden="true"><line class="q" x1="9" x2="9" y2="18"/></svg>
 ${texts.quotaKey}</li><li><svg class="key" aria-hidden="true"><rect class="o" y="3" width="18" height="12"/>${
    strokes
  }</svg> ${texts.overKey}</li>${
    drawn < all && html`<li>${texts.quotasShown(drawn, all)}</li>`
  }${from > 0 && html`<li>${texts.newestDrawn(contents.days.length - from)}</li>`}</ul>`;
}

function picture(frame: Frame, quota: Quota, from: number): Html {
  const { contents: { days }, texts } = frame;
  const scale = scaleFor([...quota.usedMs.slice(from), ...quota.allowedMs.slice(from)].reduce<number>(
    (most, ms) => Math.max(most, ms ?? 0), quota.dailyMs,
  ));
  const indexes = Array.from(days.keys()).slice(from);
  const height = 18 + indexes.length * rowHeight;
  const over = quota.usedMs.reduce<number>((count, _, index) => count + (isOver(quota, index) ? 1 : 0), 0);
  const name = quota.subject.startsWith('group:') ? quota.subject : frame.nameText(quota.subject);
  const heading = html`${frame.subject(quota.subject)} <span class="quiet">${
    texts.aDay(texts.hours(quota.dailyMs))
  }, ${texts.daysOver(over)}</span>`;
  const rows = indexes.map((index, place) => quotaRow(frame, quota, scale, index, 18 + place * rowHeight));
  return html`<figure class="block"><figcaption>${heading}</figcaption><div class="picture" role="img"
 aria-label="${texts.quotaPicture(shortened(name, 60))}"><svg class="bars quota" height="${height}" aria-hidden="true">
${axis(frame, scale, height)}${rows}</svg></div></figure>
`;
}

function quotaRow(frame: Frame, quota: Quota, scale: Scale, index: number, y: number): Html {
  const { texts } = frame;
  const [used, allowed] = [quota.usedMs[index], quota.allowedMs[index]];
  const parts = dayParts(frame.contents.days[index]!);
  const label = parts ? `${texts.weekdays[parts.weekday]} ${parts.day}` : '';
  const isBlank = used === undefined || used === 0;
  const note = noteOf(frame, used, index);
  const place = allowed !== undefined && note === undefined ? percent(allowed, scale) : undefined;
  const marker = place !== undefined && html`<line class="q" x1="${place}" x2="${place}" y1="0" y2="14"/>`;
  return html`<g transform="translate(0 ${y})"><text class="d" x="-8" y="11">${label}</text>${
    !isBlank && bar(used, allowed ?? Infinity, scale)
  }${marker}${note !== undefined && html`<text class="n" x="4" y="11">${note}</text>`}${
    note === undefined && html`<text class="v" x="100%" dx="8" y="11">${rough(used ?? 0)}${
      isOver(quota, index) && ` ${texts.over}`
    }</text>`
  }</g>
`;
}

/** What stands in place of a bar. Where a day's events are archived, its usage is known all the same. */
function noteOf(frame: Frame, used: number | undefined, index: number): string | undefined {
  if (used === undefined) return frame.texts.cannotBeRead;
  const isArchived = frame.contents.history.value?.recorded[index] === 'archived';
  return used > 0 || isArchived ? undefined : stateOf(frame, index);
}

// The hatching is lines and not a pattern, because a pattern is referred to by a url().
function bar(used: number, allowed: number, scale: Scale): Content {
  const within = Math.min(used, allowed);
  const over = used - within;
  const strokes = Math.min(12, Math.ceil((over / scale.max) * 40));
  return [
    within > 0 && html`<rect class="u" width="${percent(within, scale)}" data-ms="${within}"/>`,
    over > 0 && html`<rect class="o" x="${percent(within, scale)}" width="${percent(over, scale)}" data-ms="${over}"/>`,
    Array.from({ length: strokes }, (_, stroke) => {
      const x = percent(within + (over * (stroke + 0.5)) / strokes, scale);
      return html`<line class="h" x1="${x}" x2="${x}" y1="3" y2="11"/>`;
    }),
  ];
}

function tables(frame: Frame, quotas: readonly Quota[]): Content {
  const { contents: { days }, texts } = frame;
  return abreast(quotas, (columns, part, parts) => {
    const head = columns.map(({ subject, dailyMs }) => {
      return html`${frame.subject(subject)} <span class="quiet">${texts.aDay(exact(dailyMs))}</span>`;
    });
    const rows = days.map((day, index) => row(frame.day(day), columns.map((quota) => figure(frame, quota, index))));
    return table('figures', texts.quotasCaption(part, parts), [texts.dayColumn, ...head], rows);
  });
}

/** What was used, what was allowed where that is not the quota itself, and whether it was more. */
function figure(frame: Frame, quota: Quota, index: number): Content {
  const { texts } = frame;
  const allowed = quota.allowedMs[index];
  const isOther = allowed !== quota.dailyMs;
  return [
    cell(frame, quota.usedMs[index], index),
    isOther && ` ${allowed === undefined ? texts.allowed(texts.cannotBeRead) : texts.allowed(exact(allowed))}`,
    isOver(quota, index) && html` <strong>${texts.over}</strong>`,
  ];
}
