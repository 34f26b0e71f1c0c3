// Writes CSV (RFC 4180) in which no spreadsheet takes a stored text for a formula.
import { types } from 'node:util';
import { json } from './text.ts';

/**
 * What a cell shows: nothing, a number, an instant (ISO 8601, UTC), a stored text, or a text that this package has made
 * and that is left as it is, such as JSON.
 */
export type Cell = string | number | boolean | Date | { made: string } | undefined;

// What may stand before a formula without being seen. A quote is among them, because only a program that splits fields
// at the commas takes the quotes of a field for quotes.
const blank = '(?:[^\\S\\t\\r\\n]|(?![\\t\\r\\n])\\p{C}|")';
const formula = '[=+\\-@＝＋－＠﹦﹢﹣﹫−]';
// A spreadsheet of a country with decimal commas splits lines at semicolons, and a text that is pasted is split at
// tabs: so a formula can begin behind these and behind a line break as well.
const begins = new RegExp(`(?<![^;\\t\\r\\n])(?=${blank}*(?:${formula}|'))|^(?=[\\t\\r\\n])`, 'gu');
const semicolon = new RegExp(`;(?=${blank}*${formula})`, 'gu');

/**
 * A text with an apostrophe before what a spreadsheet would take for a formula, which makes a text of it. One that has
 * an apostrophe there gets another, so that taking one away gives the exact text again.
 */
export function harmless(text: string): string {
  return text.replace(begins, "'");
}

/** A value as JSON, in which a semicolon before what looks like a formula is escaped. */
export function jsonCell(value: unknown): Cell {
  return value === undefined ? undefined : { made: json(value).replace(semicolon, '\\u003b') };
}

/** A duration twice: in milliseconds, to calculate with, and as `h:mm:ss`, to be read. */
export function durationCells(ms: number | undefined): [Cell, Cell] {
  if (ms === undefined) return [undefined, undefined];
  const secs = Math.floor(Math.abs(ms) / 1000);
  const parts = [Math.floor(secs / 60) % 60, secs % 60].map((part) => String(part).padStart(2, '0'));
  const made = [Math.floor(secs / 3600), ...parts].join(':');
  return [ms, { made: ms < 0 && secs > 0 ? `-${made}` : made }];
}

/** A line of CSV with its line end; `shown` changes the text of each cell, as a terminal needs it. */
export function csvLine(cells: readonly Cell[], shown?: (text: string) => string): string {
  let line = fieldOf(cells[0], shown);
  for (let index = 1; index < cells.length; index++) line += `,${fieldOf(cells[index], shown)}`;
  return `${line}\r\n`;
}

function fieldOf(cell: Cell, shown: ((text: string) => string) | undefined): string {
  if (cell === undefined) return '';
  const text = shown ? shown(textOf(cell)) : textOf(cell);
  // An empty text is quoted, because without quotes it would be an absent one.
  const isPlain = text !== '' && !/[",;\t\r\n]|^\s|\s$/.test(text);
  return isPlain ? text : `"${text.replace(/"/g, '""')}"`;
}

function textOf(cell: Exclude<Cell, undefined>): string {
  if (types.isDate(cell)) return cell.toISOString();
  // No text file can hold a lone surrogate, and many programs end a text at NUL.
  if (typeof cell === 'string') return harmless(cell.toWellFormed().replaceAll('\0', '\ufffd'));
  return typeof cell === 'object' ? cell.made : String(cell);
}
