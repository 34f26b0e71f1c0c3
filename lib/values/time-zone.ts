// Which time zone names the days, and whether it is the one that the machine was given. Node counts by another zone
// without saying so where it cannot read TZ, and it keeps its zone when the machine is given a new one.
import { readlinkSync, statSync } from 'node:fs';
import { show } from './checks.ts';

type Offset = (at: number) => number | undefined;

/** The zone of days for which no zone is given: an IANA name, or `UTC+01:00` if only the offset is known. */
export function timeZoneInUse(): string {
  const name = new Intl.DateTimeFormat().resolvedOptions().timeZone as string | undefined;
  const offset = name === undefined || /^[+-]/.test(name) ? undefined : offsetOf(name);
  if (name !== undefined && offset && isInUse(offset)) return name;
  const minutes = dateOffset(Date.now());
  if (minutes === 0) return 'UTC';
  const [hour, minute] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? '-' : '+'}${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`;
}

/** The time zone that the system is set to by a file: a link to a file of the zone database, or a copy of one. */
export class SystemZone {
  readonly #path: string;
  readonly #atStart: string;

  constructor(path: string) {
    this.#path = path;
    this.#atStart = this.#identity();
  }

  /**
   * Says why days may be wrong; `undefined` if nothing indicates that. `variable` is the value of TZ; if TZ is not set,
   * the system's zone counts. Only a difference that can change a day is reported.
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
      return undefined; // a copy has no zone name; Node identified it when the process started
    }
  }

  /** A text that changes when the file is replaced or written. */
  #identity(): string {
    try {
      const { dev, ino, size, mtimeMs } = statSync(this.#path);
      return JSON.stringify([dev, ino, size, mtimeMs]);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'unknown';
    }
  }
}

export const systemZone: SystemZone = new SystemZone('/etc/localtime');

/** Reads TZ as a C library does, if it names a zone or a fixed offset such as `EST5`; other forms give `undefined`. */
function offsetOfVariable(variable: string): Offset | undefined {
  if (variable === '') return () => 0;
  const fixed = /^:?(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)([+-]?)(\d{1,2})(?::(\d\d))?$/.exec(variable);
  if (!fixed) return offsetOf(nameIn(variable.replace(/^:/, '')));
  const [, sign, hours, minutes = '0'] = fixed;
  const west = Number(hours) * 60 + Number(minutes);
  return () => (sign === '-' ? west : -west);
}

/** Returns the zone name in a path of the zone database; any other text unchanged. */
function nameIn(path: string): string {
  return path.replace(/^.*\/zoneinfo\//, '').replace(/^(?:posix|right)\//, '');
}

/** Offsets by zone name, kept because `health` may run every second and making a formatter costs more than using it. */
const offsets = new Map<string, Offset | undefined>();

/** Returns a zone's offset from UTC in minutes as a function of time; `undefined` if no zone has this name. */
function offsetOf(name: string): Offset | undefined {
  if (!offsets.has(name)) offsets.set(name, makeOffset(name));
  return offsets.get(name);
}

function makeOffset(name: string): Offset | undefined {
  try {
    // Intl reads BST as Asia/Dhaka, but as UTC when TZ is BST too. So the formatter gets the full name of the zone.
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

/** Whether `Date` counts by this offset, in each month of the year because a zone may differ in summer only. */
function isInUse(offset: Offset): boolean {
  const now = Date.now();
  return Array.from({ length: 12 }, (_, month) => now + month * monthMs).every((at) => offset(at) === dateOffset(at));
}
