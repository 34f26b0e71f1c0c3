// Reads the instants that services written in Go store.
import { invalid, parseInstant } from '../values/checks.ts';

// The driver (modernc.org/sqlite) stores a time.Time as its debugging text, https://pkg.go.dev/time#Time.String: it has
// 0 to 9 digits of a fraction, the offset, the zone's name (or the offset again), and a reading of the process's own
// clock.
const debuggingText = /^(\d{4}-\d\d-\d\d) ([\d:.]+) ([+-]\d\d)(\d\d) \S+(?: m=[+-]\d+(?:\.\d+)?)?$/;
// SQLite's CURRENT_TIMESTAMP gives this form, in UTC.
const timestampText = /^(\d{4}-\d\d-\d\d) ([\d:.]+)$/;

/**
 * Gives the instant of a stored text, cut to the millisecond. The text may be as Go prints a time, as CURRENT_TIMESTAMP
 * gives it, or RFC 3339 with a `T` or a space. Gives `undefined` for anything else.
 */
export function parseGoTime(text: string): Date | undefined {
  const go = debuggingText.exec(text);
  if (go) return parseInstant(`${go[1]}T${go[2]}${go[3]}:${go[4]}`);
  const utc = timestampText.exec(text);
  return parseInstant(utc ? `${utc[1]}T${utc[2]}Z` : text.replace(' ', 'T'));
}

// Go's zero time, which means never.
const never = new Date('0001-01-01T00:00:00Z').getTime();

/** Gives an instant as this project writes it. Throws `ERR_STORE_INVALID_ARGUMENT` for other values, and for never. */
export function goInstant(name: string, value: unknown): string {
  const text = goInstantOrNever(name, value);
  if (text === null) throw invalid(name, value, 'an instant');
  return text;
}

/** The same as `goInstant`, but gives `null` where there is no value, or never. */
export function goInstantOrNever(name: string, value: unknown): string | null {
  if (value === undefined) return null;
  const instant = typeof value === 'string' ? parseGoTime(value) : undefined;
  if (!instant) throw invalid(name, value, 'an instant as Go, CURRENT_TIMESTAMP or RFC 3339 have it');
  return instant.getTime() === never ? null : instant.toISOString();
}
