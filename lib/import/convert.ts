// Converts a source's row to a row of this store's tables, column by column. Each value is checked before any is
// written.
import { checkArray, checkText, invalid } from '../values/checks.ts';
import { checkJsonText, jsonOf } from '../values/json-text.ts';
import type { TargetRow } from './tables.ts';
import type { Cells } from './walk.ts';

/** Gives what is stored for a value of the source; `undefined` is an absent one. Throws what `isRefusal` recognises. */
export type Convert = (name: string, value: unknown) => string | number | null;
/** For each column of this store, the column of the source that it comes from, and how its values are converted. */
export type Conversion = Readonly<Record<string, readonly [from: string, convert: Convert]>>;

/** Makes the conversion of columns that have the same name in the source and in this store. */
export function sameNames(columns: Readonly<Record<string, Convert>>): Conversion {
  return Object.fromEntries(Object.entries(columns).map(([name, convert]) => [name, [name, convert] as const]));
}

/** Gives the values for this store's columns. */
export function convertRow(conversion: Conversion, cells: Cells): TargetRow['values'] {
  const columns = Object.entries(conversion);
  return Object.fromEntries(columns.map(([name, [from, convert]]) => [name, convert(from, cells(from))]));
}

/** Makes a conversion for a value that may be absent: the source has no value or, as Go writes it, an empty text. */
export function optional(convert: Convert, absent: string | null = null): Convert {
  return (name, value) => (value === undefined || value === '' ? absent : convert(name, value));
}

/** Converts a text for people to read, which may be empty. */
export const freeText: Convert = (name, value) => (value === '' ? '' : checkText(name, value));

export const jsonText: Convert = (name, value) => checkJsonText(name, checkText(name, value));

/** Converts a JSON text of an array of texts. Go writes null for an empty array. */
export const textsOfJson: Convert = (name, value) => {
  const items = jsonOf(name, checkText(name, value)) ?? [];
  return JSON.stringify(checkArray(name, items, 'an array of texts', checkText));
};

export function oneOf(...known: readonly string[]): Convert {
  return (name, value) => {
    if (!known.includes(value as string)) throw invalid(name, value, known.join(', '));
    return value as string;
  };
}
