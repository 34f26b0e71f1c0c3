// What the columns of the modules' rows hold, as values: strictly. Whatever cannot be right is an error and never a
// friendlier value, since a word that no method knows would only fail later and elsewhere.
import { StoreError } from './errors.ts';
import { isText, parseInstant, parseJson, show } from './values.ts';
import type { JsonValue } from './values.ts';

/** Reads the columns of one row. What cannot be read is `ERR_STORE_CORRUPT`, whatever type it has: damage keeps to none. */
export class RowReader {
  readonly #row: string;

  /** `row` names it in messages. */
  constructor(row: string) {
    this.#row = row;
  }

  /** A text, which may be empty: what was taken over from elsewhere may have said nothing. */
  text(column: string, value: unknown): string {
    if (value !== '' && !isText(value)) throw this.damaged(column, value);
    return value;
  }

  optionalText(column: string, value: unknown): string | undefined {
    return value === null ? undefined : this.text(column, value);
  }

  /** One of the words that the column knows. */
  word<T extends string>(column: string, value: unknown, words: readonly T[]): T {
    if (!words.includes(value as T)) throw this.damaged(column, value);
    return value as T;
  }

  /** A whole number from 0. */
  count(column: string, value: unknown): number {
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw this.damaged(column, value);
    return value as number;
  }

  instant(column: string, value: unknown): Date {
    const instant = parseInstant(value);
    if (!instant) throw this.damaged(column, value);
    return instant;
  }

  optionalInstant(column: string, value: unknown): Date | undefined {
    return value === null ? undefined : this.instant(column, value);
  }

  json(column: string, value: unknown): JsonValue {
    try {
      // JSON.parse would take a number or bytes for their text.
      return parseJson(this.text(column, value));
    } catch (cause) {
      throw cause instanceof StoreError ? cause : this.damaged(column, value, cause);
    }
  }

  optionalJson(column: string, value: unknown): JsonValue | undefined {
    return value === null ? undefined : this.json(column, value);
  }

  /** A JSON array of texts. */
  texts(column: string, value: unknown): string[] {
    const items = this.json(column, value);
    if (!Array.isArray(items) || !items.every((item) => typeof item === 'string')) throw this.damaged(column, value);
    return items;
  }

  damaged(column: string, value: unknown, cause?: unknown): StoreError {
    return new StoreError('ERR_STORE_CORRUPT', `${this.#row}: ${column} cannot be read: ${show(value)}`, { cause });
  }
}

/** An object without the properties that are `undefined`. */
export function present<T extends object>(properties: { [Name in keyof T]-?: T[Name] | undefined }): T {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined)) as T;
}
