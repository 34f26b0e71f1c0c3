// How a source's row becomes a row of this store's tables: column by column, each checked before anything is written.
import { checkArray, checkInteger, checkText, invalid } from '../values.ts';
import { checkJsonText, parseJson } from '../json-text.ts';
import type { TargetRow } from './tables.ts';
import type { Cells } from './walk.ts';

/** Gives what is stored for a value of the source; `undefined` is an absent one. Throws what `isRefusal` knows. */
export type Convert = (name: string, value: unknown) => string | number | null;
/** A column of this store: of which one of the source, and how. */
export type Conversion = Readonly<Record<string, readonly [from: string, convert: Convert]>>;

/** The columns that have the same name in both. */
export function sameNames(columns: Readonly<Record<string, Convert>>): Conversion {
  return Object.fromEntries(Object.entries(columns).map(([name, convert]) => [name, [name, convert] as const]));
}

/** The values for this store's columns. */
export function convertRow(conversion: Conversion, cells: Cells): TargetRow['values'] {
  return Object.fromEntries(Object.entries(conversion).map(([name, [from, convert]]) => [name, convert(from, cells(from))]));
}

/** What may be absent: no value, or, as Go writes it, an empty text. */
export function optional(convert: Convert, absent: string | null = null): Convert {
  return (name, value) => (value === undefined || value === '' ? absent : convert(name, value));
}

/** A text for people to read, which may be empty. */
export const freeText: Convert = (name, value) => (value === '' ? '' : checkText(name, value));

export const wholeNumber: Convert = (name, value) => checkInteger(name, value, 0);

export const jsonText: Convert = (name, value) => checkJsonText(name, checkText(name, value));

/** A JSON text of an array of texts, each as `check` gives it; null is how Go writes an empty one. */
export const textsOfJson: Convert = (name, value) =>
  JSON.stringify(checkArray(name, parseJson(name, checkText(name, value)) ?? [], 'an array of texts', checkText));

export function oneOf(...known: readonly string[]): Convert {
  return (name, value) => {
    if (!known.includes(value as string)) throw invalid(name, value, known.join(', '));
    return value as string;
  };
}
