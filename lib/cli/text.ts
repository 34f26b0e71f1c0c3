// What people and machines are shown: texts made harmless, durations, instants, sizes, columns, bars.
import { styleText } from 'node:util';
import { localDay } from '../days.ts';

/** What is written to: a terminal, a pipe, a file, or a test's own stream. */
export type Output = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

/** The colours of one stream; plain text where it is no terminal, or where NO_COLOR or FORCE_COLOR say so. */
export function painter(stream: Output): (format: Parameters<typeof styleText>[0], text: string) => string {
  return (format, text) => styleText(format, text, { stream, validateStream: true });
}

/** How wide a line may be: what the terminal has, 80 where there is none; a line beyond 120 is hard to follow. */
export function lineWidth(stream: Output): number {
  const columns = stream.isTTY && stream.columns ? stream.columns : 80;
  return Math.min(120, Math.max(60, columns));
}

/**
 * How many columns a name may have where `taken` are taken by others: those of the terminal. Where there is none nothing is
 * cut: whoever searches the output looks for the whole name.
 */
export function nameRoom(stream: Output, taken = 0): number {
  return stream.isTTY && stream.columns ? Math.max(8, stream.columns - taken) : Infinity;
}

/** A column of names. */
export interface Column {
  width: number;
  /** A name, cut where it does not fit, and filled up to the width. */
  cell(name: string): string;
}

// Where nothing is cut, one endless name shifts its own line and no other.
const widestFill = 60;

/** A column as wide as the widest of the names, within the room that others leave, whose columns and gaps are `taken`. */
export function nameColumn(stream: Output, names: readonly string[], taken: number): Column {
  const room = nameRoom(stream, taken);
  const width = columnWidth(names, Number.isFinite(room) ? room : widestFill);
  return { width, cell: (name) => pad(fit(name, room), width) };
}

// Controls move the cursor, set the window's title or answer as if typed; format characters turn the direction of the
// line or hide. Only the two joiners stay, which emoji and some scripts are written with.
const unsafe = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A stored or given text on one line and without power over the terminal. */
export function plain(text: string): string {
  return text.replace(unsafe, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** One JSON text; what JSON leaves raw and a terminal would obey is escaped, which changes no value. */
export function json(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''));
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const wide = /^(?:[\u1100-\u115f\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{20000}-\u{3ffff}]|\p{Emoji_Presentation}|.\ufe0f)/u;

function graphemeWidth(grapheme: string): number {
  if (/^\p{M}/u.test(grapheme)) return 0;
  return wide.test(grapheme) ? 2 : 1;
}

/** How many columns a terminal gives to a text: two for each wide character. */
export function textWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment);
  return width;
}

/** A harmless text, cut with an ellipsis where it is wider than `width`. */
export function fit(text: string, width: number): string {
  if (width === Infinity) return plain(text);
  // A stored text may have megabytes, of which only the beginning has to be looked at.
  const whole = plain(text.length > 8 * width ? `${text.slice(0, 8 * width)}…` : text);
  return textWidth(whole) <= width ? whole : `${beginning(whole, width - 1)}…`;
}

/** As much of a text as fits into a width, but at least one character. */
function beginning(text: string, width: number): string {
  let part = '';
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    used += graphemeWidth(segment);
    if (used > width && part !== '') break;
    part += segment;
  }
  return part;
}

/** A text filled with spaces to a width: behind it, or before it where `right`. */
export function pad(text: string, width: number, right = false): string {
  const fill = ' '.repeat(Math.max(0, width - textWidth(text)));
  return right ? fill + text : text + fill;
}

/** The width that a column of texts needs, within limits. */
export function columnWidth(texts: readonly string[], max: number, min = 0): number {
  return Math.min(max, texts.reduce((widest, text) => Math.max(widest, textWidth(plain(text))), min));
}

/**
 * Words on as many lines as they need. One that is too long for a line is broken: at its spaces, or wherever it must; but
 * none of those that stay `whole`.
 */
export function wrap(words: readonly string[], width: number, whole: readonly string[] = []): string[] {
  const lines: string[] = [];
  const partsOf = (word: string): string[] => {
    if (textWidth(word) <= width || whole.includes(word)) return [word];
    return word.split(' ').flatMap((part) => broken(part, width));
  };
  for (const word of words.flatMap(partsOf)) {
    const last = lines.at(-1);
    if (last !== undefined && textWidth(last) + 1 + textWidth(word) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function broken(word: string, width: number): string[] {
  const parts: string[] = [];
  for (let rest = word; rest !== ''; ) {
    const part = beginning(rest, width);
    parts.push(part);
    rest = rest.slice(part.length);
  }
  return parts;
}

/** A bar for a part of a whole. Half blocks at the finest: the font of a plain Linux console has no others. */
export function bar(value: number, whole: number, width: number): string {
  if (value <= 0 || whole <= 0) return '';
  const halves = Math.max(1, Math.round(Math.min(1, value / whole) * width * 2));
  return '█'.repeat(halves >> 1) + (halves % 2 === 1 ? '▌' : '');
}

const two = (value: number): string => String(value).padStart(2, '0');

/** `1 h 02 min 03 s`; the milliseconds of what is shorter than a minute are shown, so that little is not nothing. */
export function duration(ms: number): string {
  const secs = Math.floor(ms / 1000);
  if (secs < 60) return ms % 1000 === 0 ? `${secs} s` : `${(ms / 1000).toFixed(3)} s`;
  const minutes = Math.floor(secs / 60);
  if (minutes < 60) return `${minutes} min ${two(secs % 60)} s`;
  return `${count(Math.floor(minutes / 60))} h ${two(minutes % 60)} min ${two(secs % 60)} s`;
}

/** How long ago or ahead something is, as exact as one reads it: seconds up to an hour, then minutes, then hours. */
export function span(ms: number): string {
  const secs = Math.max(0, Math.floor(ms / 1000));
  if (secs < 60) return `${secs} s`;
  if (secs < 3_600) return `${Math.floor(secs / 60)} min ${two(secs % 60)} s`;
  const hours = Math.floor(secs / 3600);
  return hours < 48 ? `${hours} h ${two(Math.floor(secs / 60) % 60)} min` : `${count(Math.floor(hours / 24))} d ${hours % 24} h`;
}

/** Where an instant lies seen from now. A negative age is a clock that was set back. */
export function ago(ms: number): string {
  return ms < 0 ? `${span(-ms)} ahead of the clock` : `${span(ms)} ago`;
}

/** `Sat 2026-11-21`, with the day as the log and the tables name it. */
export function dayLabel(day: string): string {
  const weekday = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][new Date(`${day}T00:00:00Z`).getUTCDay()];
  return weekday === undefined ? fit(day, 14) : `${weekday} ${day}`; // an adopted file may name its days as it likes
}

/** The hours, minutes and seconds of an instant, local time. */
export function clockTime(instant: Date): string {
  return `${two(instant.getHours())}:${two(instant.getMinutes())}:${two(instant.getSeconds())}`;
}

/** How far local time is from UTC at an instant: `+01:00`. */
export function offset(instant: Date): string {
  const minutes = -instant.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** `Sat 2026-11-21 18:30:00 +01:00`: local time, with everything that makes it unambiguous. */
export function instantText(instant: Date): string {
  return `${dayLabel(localDay(instant))} ${clockTime(instant)} ${offset(instant)}`;
}

/** `2,345`. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `2,345 events`, `1 event`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** `1.5 MiB`. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A text as one word of a shell's. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
