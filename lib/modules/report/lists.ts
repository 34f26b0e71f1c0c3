// Lists of what has happened: what was refused, what was changed by hand, and what the machine had.
import type { Change, History, MachineEvent } from './contents.ts';
import { exact, type Frame } from './frame.ts';
import { type Content, given, type Html, html } from './html.ts';
import { latest, row, table } from './tables.ts';

/** So many rows of a list are shown. */
const listed = 500;
const allEvents = 'shepherd-store export audit';

/** What was refused, and why. */
export function drawDenied(frame: Frame, { denied }: History): Content {
  const { texts } = frame;
  if (denied.length === 0) return html`<p>${texts.noneDenied}</p>`;
  const { shown, note } = latest(
    denied, listed, texts.earlierDenied, 'shepherd-store audit --type launch_denied',
  );
  const columns = [texts.when, texts.entry, texts.why];
  return [
    html`<p>${texts.deniedOf(denied.length)}</p>`, note,
    table('list when', texts.deniedCaption, columns, shown.map(({ at, entryId, reasons }) => {
      return row(undefined, [frame.when(at), frame.name(entryId), reasonsOf(frame, reasons)]);
    })),
  ];
}

function reasonsOf({ texts }: Frame, reasons: readonly string[]): Content {
  const words = reasons.slice(0, 10).map((reason, index) => {
    const known = Object.hasOwn(texts.limits, reason) ? texts.limits[reason]! : given(reason, 120);
    return [index > 0 && ', ', known];
  });
  return [words, reasons.length > 10 && ' …'];
}

/** What was changed by hand. */
export function drawChanges(frame: Frame, { changes }: History): Content {
  const { texts } = frame;
  if (changes.length === 0) return html`<p>${texts.noChanges}</p>`;
  const { shown, note } = latest(changes, listed, texts.earlierChanges, allEvents);
  const columns = [texts.when, texts.whom, texts.what, texts.why];
  return [note, table('list when', texts.changesCaption, columns, shown.map((change) => changeRow(frame, change)))];
}

function changeRow(frame: Frame, change: Change): Html {
  const { texts } = frame;
  const { at, subject, day, reason, source } = change;
  const what = [changeText(frame, change), day !== undefined && [' ', texts.forDay(given(frame.day(day), 40))]];
  const by = source !== undefined && html` <span class="quiet">${texts.bySource(given(source, 60))}</span>`;
  return row(undefined, [frame.when(at), frame.subject(subject), what, [reason !== undefined && given(reason), by]]);
}

function changeText({ texts }: Frame, { kind, durationMs = 0, availability }: Change): string {
  const size = exact(Math.abs(durationMs));
  if (kind === 'granted') return durationMs < 0 ? texts.taken(size) : texts.granted(size);
  if (kind === 'earned') return durationMs < 0 ? texts.spent(size) : texts.earned(size);
  if (kind === 'corrected') return texts.corrected(durationMs < 0 ? exact(durationMs) : `+${size}`);
  if (availability === 'allowed') return texts.opened;
  return availability === 'denied' ? texts.closed : texts.byRule;
}

/** What the machine had. */
export function drawMachine(frame: Frame, { machine }: History): Content {
  const { texts } = frame;
  if (machine.length === 0) return html`<p>${texts.noMachine}</p>`;
  const { shown, note } = latest(machine, listed, texts.earlierMachine, allEvents);
  const counts = Array.from(Map.groupBy(machine, ({ kind }) => kind), ([kind, events]) => {
    return html`<li>${machineKind(frame, kind)} <strong>${events.length} ×</strong></li>`;
  });
  return [
    html`<ul class="legend">${counts}</ul>`, note,
    table('list when', texts.machineCaption, [texts.when, texts.what], shown.map((event) => {
      return row(undefined, [frame.when(event.at), machineText(frame, event)]);
    })),
  ];
}

function machineKind({ texts }: Frame, kind: string): Content {
  return Object.hasOwn(texts.machineKinds, kind) ? texts.machineKinds[kind]! : given(kind, 60);
}

function machineText(frame: Frame, { kind, found, lost, backMs }: MachineEvent): Content {
  const { texts } = frame;
  const words: Content[] = [machineKind(frame, kind)];
  if (backMs !== undefined) words.push(' ', texts.back(exact(backMs)));
  if (found !== undefined && backMs === undefined) words.push(': ', given(found));
  if (lost) words.push(', ', html`<strong>${texts.lost(lost.to, lost.from)}</strong>`);
  return kind === 'crashed' || kind === 'recovered' ? html`<strong>${words}</strong>` : words;
}
