// The sessions in a list by day: from, to, how long, and why each has ended.
import type { History, ReportSession } from './contents.ts';
import { exact, type Frame } from './frame.ts';
import { type Content, given, type Html, html } from './html.ts';
import { latest, row, tableOf } from './tables.ts';

/** So many sessions are listed. */
const listed = 1_000;

/** The list of the sessions. */
export function drawSessions(frame: Frame, history: History): Content {
  const { texts } = frame;
  const archived = history.recorded.filter((state) => state === 'archived').length;
  const note = archived > 0 && html`<p class="quiet">${texts.sessionsArchived(archived)}</p>`;
  if (history.sessions.length === 0) return [html`<p>${texts.noSessions}</p>`, note];
  const { shown, note: cut } = latest(
    history.sessions, listed, texts.earlierSessions, 'shepherd-store export sessions',
  );
  const columns = [texts.from, texts.to, texts.howLong, texts.entry, texts.ended];
  let sum = 0;
  for (const { durationMs } of history.sessions) sum += durationMs ?? 0;
  return [
    html`<p>${texts.sessionsOf(history.sessions.length)}, ${texts.hours(sum)}</p>`, note, cut,
    tableOf('list sessions', texts.sessionsCaption, columns, groups(frame, shown)),
  ];
}

function groups(frame: Frame, sessions: readonly ReportSession[]): Html[] {
  const days = Map.groupBy(sessions, ({ from, to }) => {
    const instant = from ?? to;
    return instant ? frame.moment(instant).day : '';
  });
  return Array.from(days, ([day, ofDay]) => {
    const name = day === '' ? frame.texts.unknownDay : frame.fullDay(day);
    return html`<tbody><tr class="day"><th scope="rowgroup" colspan="5">${name}</th></tr>
${ofDay.map((session) => sessionRow(frame, session, day))}</tbody>
`;
  });
}

function sessionRow(frame: Frame, session: ReportSession, day: string): Html {
  const { texts } = frame;
  const from = session.from ? frame.moment(session.from).minute : texts.noBeginning;
  const time = session.durationMs === undefined ? '–' : exact(session.durationMs);
  return row(undefined, [
    from, endOf(frame, session, day), time, frame.name(session.entryId), reasonOf(frame, session),
  ]);
}

function endOf(frame: Frame, { from, to }: ReportSession, day: string): Content {
  if (!to) return '–';
  const end = frame.moment(to);
  const later = from ? Math.round((Date.parse(end.day) - Date.parse(day)) / 86_400_000) : 0;
  return [end.minute, later !== 0 && html` <span class="quiet">${frame.texts.laterDay(later)}</span>`];
}

function reasonOf({ texts }: Frame, { reason, isRunning, to }: ReportSession): Content {
  if (!reason) return isRunning ? html`<strong>${texts.running}</strong>` : to ? '–' : texts.endUnknown;
  const words = Object.hasOwn(texts.reasons, reason.type) ? texts.reasons[reason.type]! : given(reason.type, 60);
  if (reason.type === 'process_exited' && reason.exitCode) return [words, ` ${texts.exitCode(reason.exitCode)}`];
  if (reason.type === 'launch_failed' && reason.error) return [words, ': ', given(reason.error, 120)];
  return words;
}
