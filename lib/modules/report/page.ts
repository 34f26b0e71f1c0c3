// The page of a report: one HTML document that needs nothing else, runs nothing and fetches nothing.
import { hash } from 'node:crypto';
import { drawDays } from './bars.ts';
import type { Contents, History } from './contents.ts';
import { drawUnreadable } from './day-tables.ts';
import { Frame, section } from './frame.ts';
import { drawHours } from './heat.ts';
import { type Content, given, Html, html, shortened } from './html.ts';
import { drawChanges, drawDenied, drawMachine } from './lists.ts';
import { drawProof } from './proof.ts';
import { drawQuotas } from './quotas.ts';
import { drawSessions } from './sessions.ts';
import { style } from './style.ts';
import { drawSummary } from './summary.ts';
import { english, type Texts } from './texts.ts';

/** How a page is made. */
export interface PageOptions {
  /** The heading; by default that of the texts. */
  title?: string | undefined;
}

// So many entries are named where the report is limited to some.
const namedEntries = 20;

/** How every page begins, in any language: by this, whoever is to replace a page tells it from other files. */
export const pageBeginning = '<!DOCTYPE html>\n<html class="shepherd-store-report"';

/** The whole document. */
export function renderPage(contents: Contents, { title }: PageOptions = {}, texts: Texts = english): string {
  const frame = new Frame(contents, texts);
  const sections = sectionsOf(frame);
  const heading = title === undefined ? texts.title : shortened(title, 200);
  const range = rangeOf(frame);
  return html`${new Html(pageBeginning)} lang="${texts.language}">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="${policyFor(style)}"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="referrer" content="no-referrer"/>
<meta name="color-scheme" content="light dark"/>
<title>${heading} · ${range}</title>
<style>${new Html(style)}</style>
</head>
<body>
<header>
<h1><bdi>${heading}</bdi></h1>
${about(frame, range)}
${contentsOf(frame, sections)}
</header>
<main>
${sections.map(({ id, name, content }) => section(id, name, content))}</main>
<footer>
${section('proof', texts.proof, drawProof(frame))}</footer>
</body>
</html>
`.text;
}

/** Refuses everything but the style sheet of the page itself, so that a browser would not even obey a mistake here. */
function policyFor(sheet: string): string {
  const allowed = `'sha256-${hash('sha256', sheet, 'base64')}'`;
  return `default-src 'none'; style-src ${allowed}; base-uri 'none'; form-action 'none'`;
}

function rangeOf(frame: Frame): string {
  const { days } = frame.contents;
  return frame.texts.range(frame.fullDay(days[0] ?? ''), frame.fullDay(days.at(-1) ?? ''), days.length);
}

/** What the report is about, and when it was made. */
function about(frame: Frame, range: string): Content {
  const { contents: { entryIds, timeZone, madeAt }, texts } = frame;
  const { day, time } = frame.moment(madeAt);
  const names = entryIds?.slice(0, namedEntries).map((entryId) => frame.name(entryId));
  return [
    html`<p>${range}</p>
<p>${texts.zone(given(timeZone, 60))}, ${texts.made(frame.fullDay(day), time)}</p>`,
    names && html`
<p>${texts.only(names, entryIds!.length - names.length)}</p>`,
  ];
}

/** A part of the page. */
interface Section {
  id: string;
  name: string;
  content: Content;
}

function sectionsOf(frame: Frame): Section[] {
  const { contents: { usage, quotas, history }, texts } = frame;
  const ofHistory = (id: string, name: string, draw: (frame: Frame, history: History) => Content): Section => {
    return { id, name, content: frame.part(history, (value) => draw(frame, value)) };
  };
  return [
    {
      id: 'summary', name: texts.summary,
      content: frame.part(usage, (value) => [drawSummary(frame, value), drawUnreadable(frame, value)]),
    },
    { id: 'days', name: texts.days, content: frame.part(usage, (value) => drawDays(frame, value)) },
    ...(quotas ? [{
      id: 'quotas', name: texts.quotas, content: frame.part(quotas, (value) => drawQuotas(frame, value)),
    }] : []),
    ofHistory('hours', texts.hoursOfDay, drawHours),
    ofHistory('sessions', texts.sessions, (_, value) => [eventsUnreadable(frame, value), drawSessions(frame, value)]),
    ofHistory('denied', texts.denied, drawDenied),
    ofHistory('changes', texts.changes, drawChanges),
    ofHistory('machine', texts.machine, drawMachine),
  ];
}

function eventsUnreadable({ texts }: Frame, { unreadable }: History): Content {
  return unreadable > 0 && html`<p class="bad" role="note">${texts.eventsUnreadable(unreadable)}</p>`;
}

/** The way to each part. */
function contentsOf({ texts }: Frame, sections: readonly Section[]): Html {
  const items = [...sections, { id: 'proof', name: texts.proof }].map(({ id, name }) => {
    return html`<li><a href="#${id}">${name}</a></li>`;
  });
  return html`<nav aria-label="${texts.contentsOfPage}"><ul>${items}</ul></nav>`;
}
