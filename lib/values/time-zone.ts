// Which time zone names the days, and whether it is the one that this machine was given: where Node cannot make out
// what TZ says it counts by another one without a word, and what it has made out it keeps while the machine is given a
// new one.
import { readlinkSync, statSync } from 'node:fs';
import { show } from './checks.ts';

type Offset = (at: number) => number | undefined;

/** The zone that days are of where none is given: an IANA name, or `UTC+01:00` where it is a mere difference. */
export function timeZoneInUse(): string {
  const name = new Intl.DateTimeFormat().resolvedOptions().timeZone as string | undefined;
  const offset = name === undefined || /^[+-]/.test(name) ? undefined : offsetOf(name);
  if (name !== undefined && offset && isInUse(offset)) return name;
  const minutes = dateOffset(Date.now());
  if (minutes === 0) return 'UTC';
  const [hour, minute] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? '-' : '+'}${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`;
}

/** The zone that the system is set to: a link to a file of the zone database, or a copy of one. */
export class SystemZone {
  readonly #path: string;
  readonly #atStart: string;

  constructor(path: string) {
    this.#path = path;
    this.#atStart = this.#identity();
  }

  /**
   * Why days may come out wrong, `undefined` where nothing speaks for it: `variable` is what TZ says, and the system's
   * zone counts where that is absent. Only differences that a day can show are told.
   */
  problem(variable: string | undefined): string | undefined {
    if (variable !== undefined) {
      const given = variable.replace(/^:/, '') === this.#path ? this.#offset() : offsetOfVariable(variable);
      if (given && isInUse(given)) return undefined;
      return `TZ is ${show(variable)}, which Node does not take: days are those of ${timeZoneInUse()}; `
        + 'it takes names such as Europe/Berlin';
    }
    const system = this.#offset();
    if (system ? isInUse(system) : this.#identity() === this.#atStart) return undefined;
    return `the system's time zone (${this.#path}) is another one than when this process started: days are those of `
      + `${timeZoneInUse()} until it is started again`;
  }

  #offset(): Offset | undefined {
    try {
      return offsetOf(nameIn(readlinkSync(this.#path)));
    } catch {
      return undefined; // no link: which zone the file has, Node finds out at its start
    }
  }

  /** What tells one state of the file from the next. */
  #identity(): string {
    try {
      const { dev, ino, size, mtimeMs } = statSync(this.#path);
      return JSON.stringify([dev, ino, size, mtimeMs]);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'unknown';
    }
  }
}

/** This machine's. */
export const systemZone = new SystemZone('/etc/localtime');

/** What a C library makes of TZ, as far as it means a zone by name, or a fixed difference such as `EST5`. */
function offsetOfVariable(variable: string): Offset | undefined {
  if (variable === '') return () => 0;
  const fixed = /^:?(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)([+-]?)(\d{1,2})(?::(\d\d))?$/.exec(variable);
  if (!fixed) return offsetOf(nameIn(variable.replace(/^:/, '')));
  const [, sign, hours, minutes = '0'] = fixed;
  const west = Number(hours) * 60 + Number(minutes);
  return () => (sign === '-' ? west : -west);
}

/** The name of the zone that a path in the zone database leads to; any other text as it is. */
function nameIn(path: string): string {
  return path.replace(/^.*\/zoneinfo\//, '').replace(/^(?:posix|right)\//, '');
}

/** By name: `health` may be asked every second, and to make a formatter takes it longer than to ask it for a year. */
const offsets = new Map<string, Offset | undefined>();

/** In minutes; `undefined` for a name that is no zone's. */
function offsetOf(name: string): Offset | undefined {
  if (!offsets.has(name)) offsets.set(name, makeOffset(name));
  return offsets.get(name);
}

function makeOffset(name: string): Offset | undefined {
  try {
    // By the name that it is short for: BST is Bangladesh to Intl, and where TZ says that as well it is UTC to it.
    const { timeZone } = new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions();
    const formatter = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
    return (at) => {
      const text = formatter.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value;
      const [, sign, hours = '0', minutes = '0'] = /^GMT(?:([+-])(\d\d):(\d\d))?$/.exec(text ?? '') ?? [];
      return (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -1 : 1);
    };
  } catch {
    return undefined;
  }
}

function dateOffset(at: number): number {
  return -new Date(at).getTimezoneOffset();
}

const monthMs = 30.4 * 86_400_000;

/** Whether days come out by this: asked of `Date` for each month of the year, as a zone may differ in summer alone. */
function isInUse(offset: Offset): boolean {
  const now = Date.now();
  return Array.from({ length: 12 }, (_, month) => now + month * monthMs).every((at) => offset(at) === dateOffset(at));
}
