// Events as people read them: each begins a line below the heading of its day, and what does not fit follows below.
import { types } from 'node:util';
import type { AuditEvent, EventBase } from '../core/events.ts';
import { parseInstant } from '../values/checks.ts';
import { localDay } from '../values/days.ts';
import type { Io } from './command.ts';
import { errorLines, type RowError } from './rows.ts';
import {
  clockTime, columnWidth, dayLabel, duration, fit, instantText, lineWidth, nameRoom, offset, type Output, pad, painter,
  plain, textWidth, wrap,
} from './text.ts';

/** An event, or the error of a row that cannot be read. */
export type AuditRow = AuditEvent<EventBase> | { id: number; error: RowError };

// A longer type stands on a line of its own, so that it takes no room from the details of the other events.
const typeColumns = 22;

/** How wide the columns of a table are. */
interface Columns {
  id: number;
  type: number;
}

/** A table of events that is written page by page. The first page decides how wide its columns are, unless given. */
export class AuditTable {
  readonly #io: Io;
  #heading = '';
  #columns: Columns | undefined;
  lastId = 0;

  constructor(io: Io, columns?: Columns) {
    this.#io = io;
    this.#columns = columns;
  }

  /** The text of the next rows, a newline after each line. */
  add(rows: readonly AuditRow[]): string {
    this.#columns ??= {
      id: columnWidth(rows.map(({ id }) => String(id)), 16),
      type: columnWidth(rows.map((row) => ('error' in row ? '' : row.event.type)), typeColumns),
    };
    const columns = this.#columns;
    this.lastId = rows.at(-1)?.id ?? this.lastId;
    return rows.flatMap((row) => this.#linesOf(row, columns)).map((line) => `${line}\n`).join('');
  }

  #linesOf(row: AuditRow, columns: Columns): string[] {
    const { stdout } = this.#io;
    if ('error' in row) return errorLines(stdout, [row]);
    const paint = painter(stdout);
    const { id, timestamp, event } = row;
    const indent = columns.id + 10 + columns.type + 4;
    const type = pad(fit(event.type, nameRoom(stdout, columns.id + 12)), columns.type);
    const words = detailsOf(row, stdout);
    // A pipe gets the entry and the session's id in one piece, so that a search of the output finds them.
    const names = nameRoom(stdout) === Infinity ? words.filter((word) => namesIn(event).includes(word)) : [];
    const details = wrap(words, lineWidth(stdout) - indent, names);
    const firstDetails = textWidth(type) > columns.type ? '' : (details.shift() ?? '');
    const idText = paint('dim', pad(String(id), columns.id, true));
    const line = `${idText}  ${clockTime(timestamp)}  ${paint(colourOf(event.type), type)}  ${firstDetails}`;
    return [...this.#headingLines(timestamp), line.trimEnd(), ...details.map((text) => ' '.repeat(indent) + text)];
  }

  #headingLines(timestamp: Date): string[] {
    const heading = `${dayLabel(localDay(timestamp))} ${offset(timestamp)}`;
    if (heading === this.#heading) return [];
    const lines = [...(this.#heading === '' ? [] : ['']), painter(this.#io.stdout)('bold', heading)];
    this.#heading = heading;
    return lines;
  }
}

function colourOf(type: string): 'green' | 'yellow' | 'magenta' | 'cyan' {
  if (type === 'launch_denied' || type === 'warning_issued') return 'yellow';
  if (type.startsWith('store_')) return 'magenta';
  return type.startsWith('session_') ? 'green' : 'cyan';
}

/**
 * The fields of an event of any type: the entry first, and the session's id last, because it is long. The event id is
 * left out, because it only keeps an event from being recorded twice and tells people nothing.
 */
function detailsOf(row: AuditEvent<EventBase>, stdout: Output): string[] {
  const { id: _id, timestamp, event, eventId: _eventId, ...attributes } = row;
  const { type: _type, entryId, sessionId, ...fields } = event as { type: string; [field: string]: unknown };
  const nameText = (value: unknown): string => {
    return typeof value === 'string' ? fit(value, nameRoom(stdout)) : valueText(value, timestamp);
  };
  const words = entryId === undefined ? [] : [nameText(entryId)];
  for (const [field, value] of Object.entries({ ...fields, ...attributes })) {
    words.push(fieldText(field, value, timestamp));
  }
  if (sessionId !== undefined) words.push(`session=${nameText(sessionId)}`);
  return words;
}

/** The words of an event's details that are names, as `detailsOf` gives them where nothing is cut. */
function namesIn(event: EventBase): string[] {
  const { entryId, sessionId } = event as { entryId?: unknown; sessionId?: unknown };
  const words = [typeof entryId === 'string' && entryId, typeof sessionId === 'string' && `session=${sessionId}`];
  return words.filter((word) => word !== false).map(plain);
}

// An event may hold a long text that somebody sent, and the whole of it would push the other events off the screen.
const longestValue = 200;

function fieldText(name: string, value: unknown, timestamp: Date): string {
  const [, stem, unit] = /^(.+)(Ms|Secs)$/.exec(name) ?? [];
  if (stem !== undefined && typeof value === 'number') {
    const size = duration(Math.abs(unit === 'Ms' ? value : value * 1000));
    return `${fit(stem, longestValue)}=${value < 0 ? '-' : ''}${size}`;
  }
  return `${fit(name, longestValue)}=${valueText(value, timestamp)}`;
}

function valueText(value: unknown, timestamp: Date): string {
  const instant = types.isDate(value) ? value : parseInstant(value);
  if (instant) return localDay(instant) === localDay(timestamp) ? clockTime(instant) : instantText(instant);
  if (typeof value === 'string') return fit(value, longestValue);
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) {
    return fit(value.join(', '), longestValue);
  }
  if (typeof value === 'object' && value !== null && 'type' in value) {
    return variantText(value as { type: unknown }, timestamp);
  }
  return fit(JSON.stringify(value), longestValue);
}

/** A value with a type and fields of that type, such as the reason of a session's end: `process_exited, exitCode=3`. */
function variantText({ type, ...fields }: { type: unknown }, timestamp: Date): string {
  const fieldTexts = Object.entries(fields).map(([name, value]) => fieldText(name, value, timestamp));
  return [valueText(type, timestamp), ...fieldTexts].join(', ');
}
