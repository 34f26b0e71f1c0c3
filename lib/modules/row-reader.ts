// Reads the columns of the modules' rows as values, strictly: whatever cannot be right is an error and never a
// friendlier value, because a word that no method knows would only fail later and elsewhere.
import { isText, parseInstant, show } from '../values/checks.ts';
import { StoreError } from '../values/errors.ts';
import { type JsonValue, parseJson } from '../values/json.ts';

/**
 * Reads the columns of one row. Throws `ERR_STORE_CORRUPT` for a value of a wrong type too, because damage keeps to no
 * type.
 */
export class RowReader {
  readonly #row: string;

  /** `row` names the row in messages. */
  constructor(row: string) {
    this.#row = row;
  }

  /** Reads a text, which may be empty: an imported row may have an empty text where this package would refuse one. */
  text(column: string, value: unknown): string {
    if (value !== '' && !isText(value)) throw this.damaged(column, value);
    return value;
  }

  optionalText(column: string, value: unknown): string | undefined {
    return value === null ? undefined : this.text(column, value);
  }

  /** Reads one of the words that the column may hold. */
  word<T extends string>(column: string, value: unknown, words: readonly T[]): T {
    if (!words.includes(value as T)) throw this.damaged(column, value);
    return value as T;
  }

  /** Reads a whole number from 0. */
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
      // The type is checked first, because JSON.parse would convert a number or bytes to a text.
      return parseJson(this.text(column, value));
    } catch (cause) {
      throw cause instanceof StoreError ? cause : this.damaged(column, value, cause);
    }
  }

  optionalJson(column: string, value: unknown): JsonValue | undefined {
    return value === null ? undefined : this.json(column, value);
  }

  /** Reads a JSON array of texts. */
  texts(column: string, value: unknown): string[] {
    const items = this.json(column, value);
    if (!Array.isArray(items) || !items.every((item) => typeof item === 'string')) throw this.damaged(column, value);
    return items;
  }

  damaged(column: string, value: unknown, cause?: unknown): StoreError {
    return new StoreError('ERR_STORE_CORRUPT', `${this.#row}: ${column} cannot be read: ${show(value)}`, { cause });
  }
}

/** Gives a copy of an object without the properties that are `undefined`. */
export function present<T extends object>(properties: { [Name in keyof T]-?: T[Name] | undefined }): T {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined)) as T;
}
