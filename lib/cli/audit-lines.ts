// Events as people read them: a line each, its day above, what does not fit below.
import { types } from 'node:util';
import { localDay } from '../days.ts';
import type { AuditEvent, EventBase } from '../events.ts';
import { parseInstant } from '../values.ts';
import type { Io } from './command.ts';
import { errorLines } from './rows.ts';
import type { RowError } from './rows.ts';
import {
  clockTime, columnWidth, dayLabel, duration, fit, instantText, lineWidth, nameRoom, offset, pad, painter, plain, textWidth, wrap,
} from './text.ts';
import type { Output } from './text.ts';

/** An event, or the place of one that cannot be read. */
export type AuditRow = AuditEvent<EventBase> | { id: number; error: RowError };

// A longer type stands on a line of its own, so that it leaves the others their room.
const typeColumns = 22;

/** A table of events that is written page by page: the columns are those of the first page. */
export class AuditTable {
  readonly #io: Io;
  #heading = '';
  #columns: { id: number; type: number } | undefined;
  lastId = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  /** The lines of the next rows. */
  add(rows: readonly AuditRow[]): string {
    this.#columns ??= {
      id: columnWidth(rows.map(({ id }) => String(id)), 16),
      type: columnWidth(rows.map((row) => ('error' in row ? '' : row.event.type)), typeColumns),
    };
    const columns = this.#columns;
    this.lastId = rows.at(-1)?.id ?? this.lastId;
    return rows.flatMap((row) => this.#linesOf(row, columns)).map((line) => `${line}\n`).join('');
  }

  #linesOf(row: AuditRow, columns: { id: number; type: number }): string[] {
    const { stdout } = this.#io;
    if ('error' in row) return errorLines(stdout, [row]);
    const paint = painter(stdout);
    const { id, timestamp, event } = row;
    const indent = columns.id + 10 + columns.type + 4;
    const type = pad(fit(event.type, nameRoom(stdout, columns.id + 12)), columns.type);
    const words = detailsOf(row, stdout);
    // Where nothing is cut, nothing that is searched for is broken either: the entry, the session's id.
    const names = nameRoom(stdout) === Infinity ? words.filter((word) => namesIn(event).includes(word)) : [];
    const details = wrap(words, lineWidth(stdout) - indent, names);
    const first = textWidth(type) > columns.type ? '' : (details.shift() ?? '');
    const line = `${paint('dim', pad(String(id), columns.id, true))}  ${clockTime(timestamp)}  ${paint(colourOf(event.type), type)}  ${first}`;
    return [...this.#headingLines(timestamp), line.trimEnd(), ...details.map((more) => ' '.repeat(indent) + more)];
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
 * What an event says, whatever its type: the entry first, the session's id, which is long, last. The event id, which
 * keeps an event from being recorded twice, says nothing to people.
 */
function detailsOf({ id: _id, timestamp, event, eventId: _eventId, ...attributes }: AuditEvent<EventBase>, stdout: Output): string[] {
  const { type: _type, entryId, sessionId, ...fields } = event as { type: string; [field: string]: unknown };
  const name = (value: unknown): string => (typeof value === 'string' ? fit(value, nameRoom(stdout)) : valueText(value, timestamp));
  const words = entryId === undefined ? [] : [name(entryId)];
  for (const [field, value] of Object.entries({ ...fields, ...attributes })) words.push(fieldText(field, value, timestamp));
  if (sessionId !== undefined) words.push(`session=${name(sessionId)}`);
  return words;
}

/** The words of an event's details that are names, as a pipe has them. */
function namesIn(event: EventBase): string[] {
  const { entryId, sessionId } = event as { entryId?: unknown; sessionId?: unknown };
  const words = [typeof entryId === 'string' && entryId, typeof sessionId === 'string' && `session=${sessionId}`];
  return words.filter((word) => word !== false).map(plain);
}

// An event may hold what somebody sent; it must not push the others off the screen.
const longestValue = 200;

function fieldText(name: string, value: unknown, timestamp: Date): string {
  const [, stem, unit] = /^(.+)(Ms|Secs)$/.exec(name) ?? [];
  if (stem !== undefined && typeof value === 'number' && value >= 0) return `${fit(stem, longestValue)}=${duration(unit === 'Ms' ? value : value * 1000)}`;
  return `${fit(name, longestValue)}=${valueText(value, timestamp)}`;
}

function valueText(value: unknown, timestamp: Date): string {
  const instant = types.isDate(value) ? value : parseInstant(value);
  if (instant) return localDay(instant) === localDay(timestamp) ? clockTime(instant) : instantText(instant);
  if (typeof value === 'string') return fit(value, longestValue);
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return fit(value.join(', '), longestValue);
  if (typeof value === 'object' && value !== null && 'type' in value) return kindText(value as { type: unknown }, timestamp);
  return fit(JSON.stringify(value), longestValue);
}

/** What is of one kind among several, such as the reason of an end: `process_exited, exitCode=3`. */
function kindText({ type, ...rest }: { type: unknown }, timestamp: Date): string {
  return [valueText(type, timestamp), ...Object.entries(rest).map(([name, value]) => fieldText(name, value, timestamp))].join(', ');
}
