// The texts that people and machines are shown: harmless texts, durations, instants, sizes, columns and bars.
import { stripVTControlCharacters, styleText } from 'node:util';
import { localDay } from '../values/days.ts';
import { plain } from '../values/plain.ts';

export { plain };

/** The stream that a command writes to: a terminal, a pipe, a file, or a test's own stream. */
export type Output = NodeJS.WritableStream & { isTTY?: boolean; columns?: number; rows?: number };

/** Colours texts for one stream, where that is a terminal; NO_COLOR and FORCE_COLOR override this. */
export function painter(stream: Output): (format: Parameters<typeof styleText>[0], text: string) => string {
  return (format, text) => styleText(format, text, { stream, validateStream: true });
}

/** The width of a line: that of the terminal, or 80 where there is none. Readers lose a line beyond 120 columns. */
export function lineWidth(stream: Output): number {
  const columns = stream.isTTY && stream.columns ? stream.columns : 80;
  return Math.min(120, Math.max(60, columns));
}

/**
 * How many columns a name may have on the terminal, where other texts take `taken` of them. Without a terminal no name
 * is cut, because whoever searches the output looks for the whole name.
 */
export function nameRoom(stream: Output, taken = 0): number {
  return stream.isTTY && stream.columns ? Math.max(8, stream.columns - taken) : Infinity;
}

/** A column of names. */
interface Column {
  width: number;
  /** Gives the name cut where it is too long, and filled up to the width. */
  cell(name: string): string;
}

// Where names are not cut, a column is no wider than this, so that one endless name shifts its own line and no other.
const widestFill = 60;

/** A column as wide as its widest name, within the room that other columns and gaps leave, which take `taken`. */
export function nameColumn(stream: Output, names: readonly string[], taken: number): Column {
  const room = nameRoom(stream, taken);
  const width = columnWidth(names, Number.isFinite(room) ? room : widestFill);
  return { width, cell: (name) => pad(fit(name, room), width) };
}

/** A value as JSON. Characters that JSON leaves raw and a terminal would obey are escaped, which changes no value. */
export function json(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    // JSON has only escapes of four digits, so a character beyond them is written as its two UTF-16 units.
    const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
  });
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const wideRanges = '\\u1100-\\u115f\\u2e80-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe30-\\ufe6f' +
  '\\uff01-\\uff60\\uffe0-\\uffe6\\u{1b000}-\\u{1b2ff}\\u{20000}-\\u{3ffff}';
const wide = new RegExp(`^(?:[${wideRanges}]|\\p{Emoji_Presentation}|.\\ufe0f)`, 'u');

function graphemeWidth(grapheme: string): number {
  if (/^\p{M}/u.test(grapheme)) return 0;
  return wide.test(grapheme) ? 2 : 1;
}

/** How many columns of a terminal a text takes: two for each wide character. */
export function textWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment);
  return width;
}

/** A text made harmless by `plain`, and cut with an ellipsis where it is wider than `width`. */
export function fit(text: string, width: number): string {
  if (width === Infinity) return plain(text);
  // A stored text may have megabytes, so only its beginning is escaped and measured.
  const whole = plain(text.length > 8 * width ? `${text.slice(0, 8 * width)}…` : text);
  return textWidth(whole) <= width ? whole : `${beginning(whole, width - 1)}…`;
}

/** The beginning of a text that fits into a width, but at least one character. */
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

/** A line with colours, cut with an ellipsis where it is wider than `width`. Its other texts are harmless already. */
export function cutLine(line: string, width: number): string {
  if (textWidth(stripVTControlCharacters(line)) <= width) return line;
  let room = width - 1;
  const parts = line.split(/(\x1b\[[\d;]*m)/).map((part, index) => {
    if (index % 2 === 1) return part; // a colour, which takes no room; the one that ends it stays too
    const shown = room > 0 ? beginning(part, room) : '';
    room = shown.length < part.length ? 0 : room - textWidth(shown);
    return shown;
  });
  return `${parts.join('')}…`;
}

/** A text filled with spaces to a width. The spaces follow it or, with `alignRight`, stand before it. */
export function pad(text: string, width: number, alignRight = false): string {
  const fill = ' '.repeat(Math.max(0, width - textWidth(text)));
  return alignRight ? fill + text : text + fill;
}

/** The width that a column of texts needs, at most `max`. */
export function columnWidth(texts: readonly string[], max: number): number {
  return Math.min(max, texts.reduce((widest, text) => Math.max(widest, textWidth(plain(text))), 0));
}

/**
 * Words on as many lines as they need. A word that is too long for a line is broken at its spaces, and anywhere if that
 * is not enough; the words in `whole` are never broken.
 */
export function wrap(words: readonly string[], width: number, whole: readonly string[] = []): string[] {
  const lines: string[] = [];
  const partsOf = (word: string): string[] => {
    if (textWidth(word) <= width || whole.includes(word)) return [word];
    return word.split(' ').flatMap((part) => piecesOf(part, width));
  };
  for (const word of words.flatMap(partsOf)) {
    const last = lines.at(-1);
    const fits = last !== undefined && textWidth(last) + 1 + textWidth(word) <= width;
    if (fits) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function piecesOf(word: string, width: number): string[] {
  const pieces: string[] = [];
  for (let rest = word; rest !== ''; ) {
    const piece = beginning(rest, width);
    pieces.push(piece);
    rest = rest.slice(piece.length);
  }
  return pieces;
}

/** A bar for a part of a whole, in steps of half blocks: the font of a plain Linux console has no finer ones. */
export function bar(value: number, whole: number, width: number): string {
  if (value <= 0 || whole <= 0) return '';
  const halves = Math.max(1, Math.round(Math.min(1, value / whole) * width * 2));
  return '█'.repeat(halves >> 1) + (halves % 2 === 1 ? '▌' : '');
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');

/** `1 h 02 min 03 s`. Below a minute the milliseconds are shown too, so that a short time does not read as nothing. */
export function duration(ms: number): string {
  const secs = Math.floor(ms / 1000);
  if (secs < 60) return ms % 1000 === 0 ? `${secs} s` : `${(ms / 1000).toFixed(3)} s`;
  const minutes = Math.floor(secs / 60);
  if (minutes < 60) return `${minutes} min ${twoDigits(secs % 60)} s`;
  return `${count(Math.floor(minutes / 60))} h ${twoDigits(minutes % 60)} min ${twoDigits(secs % 60)} s`;
}

/** A duration without the units that are zero: `1 h 30 min`, `45 min`, `20 s`; `0 min` for none. */
export function brief(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  const units: [number, string][] = [
    [Math.floor(minutes / 60), 'h'], [minutes % 60, 'min'], [(ms % 60_000) / 1000, 's'],
  ];
  const parts = units.filter(([value]) => value > 0).map(([value, unit]) => `${count(value)} ${unit}`);
  return parts.length > 0 ? parts.join(' ') : '0 min';
}

/** A distance in time, as exactly as people need it: with seconds up to an hour, then with minutes, then with hours. */
export function span(ms: number): string {
  const secs = Math.max(0, Math.floor(ms / 1000));
  if (secs < 60) return `${secs} s`;
  if (secs < 3_600) return `${Math.floor(secs / 60)} min ${twoDigits(secs % 60)} s`;
  const hours = Math.floor(secs / 3_600);
  if (hours < 48) return `${hours} h ${twoDigits(Math.floor(secs / 60) % 60)} min`;
  return `${count(Math.floor(hours / 24))} d ${hours % 24} h`;
}

/** The age of something in words. An age is negative where the clock was set back. */
export function ago(ms: number): string {
  return ms < 0 ? `${span(-ms)} ahead of the clock` : `${span(ms)} ago`;
}

/** `Sat 2026-11-21`: the weekday and the day as the log and the tables name it. */
export function dayLabel(day: string): string {
  const weekday = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][new Date(`${day}T00:00:00Z`).getUTCDay()];
  return weekday === undefined ? fit(day, 14) : `${weekday} ${day}`; // an adopted file may hold any text as a day
}

/** The hours, minutes and seconds of an instant, local time. */
export function clockTime(instant: Date): string {
  return [instant.getHours(), instant.getMinutes(), instant.getSeconds()].map(twoDigits).join(':');
}

/** How far local time is from UTC at an instant: `+01:00`. */
export function offset(instant: Date): string {
  const minutes = -instant.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${twoDigits(Math.floor(size / 60))}:${twoDigits(size % 60)}`;
}

/** `Sat 2026-11-21 18:30:00 +01:00`: the local time of an instant with its offset, so that it is unambiguous. */
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

/** A text quoted so that a shell reads it as one word. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
