// What every part of the page needs: the contents, the texts, the names of entries, and days and times as they read.
import type { Contents, Part } from './contents.ts';
import { type Content, given, type Html, html, shortened } from './html.ts';
import type { DayParts, Texts } from './texts.ts';

const nameLength = 40;

/** Two digits of a number at least. */
function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

/** A duration as `h:mm:ss`, with its milliseconds where it has some. */
export function exact(ms: number): string {
  if (ms < 0) return `−${exact(-ms)}`;
  const seconds = Math.floor(ms / 1000);
  const rest = Math.round(ms % 1000);
  const fraction = rest === 0 ? '' : `.${String(rest).padStart(3, '0')}`;
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${fraction}`;
}

/** A duration as `h:mm`, for a picture; one below a minute does not read as nothing. */
export function rough(ms: number): string {
  if (ms > 0 && ms < 60_000) return '<0:01';
  const minutes = Math.floor(ms / 60_000);
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}`;
}

/** The parts of a day of the calendar; `undefined` for another text. */
export function dayParts(day: string): DayParts | undefined {
  const date = /^\d{4}-\d\d-\d\d$/.test(day) ? new Date(`${day}T00:00:00Z`) : undefined;
  if (date === undefined || Number.isNaN(date.getTime())) return undefined;
  return {
    year: date.getUTCFullYear(), month: date.getUTCMonth(), day: date.getUTCDate(),
    weekday: (date.getUTCDay() + 6) % 7,
  };
}

/** How an instant reads in the zone of the report. */
export interface Moment {
  /** `YYYY-MM-DD`. */
  day: string;
  /** `HH:MM:SS`. */
  time: string;
  /** `HH:MM`. */
  minute: string;
}

/** What every part of the page needs. */
export class Frame {
  readonly contents: Contents;
  readonly texts: Texts;
  readonly #names = new Map<string, Html>();
  readonly #days = new Map<string, string>();
  /** Names that more than one entry would have. */
  readonly #twice = new Set<string>();
  readonly #format: Intl.DateTimeFormat;
  readonly #needsYear: boolean;

  constructor(contents: Contents, texts: Texts) {
    this.contents = contents;
    this.texts = texts;
    const once = new Set<string>();
    const shown = [...contents.usage.value?.entries ?? [], ...contents.history.value?.sessions ?? []];
    for (const entryId of new Set([...contents.labels.keys(), ...shown.map((each) => each.entryId)])) {
      const name = this.#shortName(entryId);
      (once.has(name) ? this.#twice : once).add(name);
    }
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: contents.timeZone, calendar: 'gregory', numberingSystem: 'latn', hourCycle: 'h23',
      year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
    });
    this.#needsYear = contents.days.length > 366;
  }

  /** The name of an entry; with its id where another entry has the same name. */
  name(entryId: string): Html {
    const known = this.#names.get(entryId);
    if (known) return known;
    const name = given(this.nameText(entryId), 2 * nameLength);
    this.#names.set(entryId, name);
    return name;
  }

  /** The same, as the text of an attribute. */
  nameText(entryId: string): string {
    const name = this.#shortName(entryId);
    return this.#isAmbiguous(entryId, name) ? `${name} (${shortened(entryId, nameLength - 8)})` : name;
  }

  #shortName(entryId: string): string {
    return shortened(this.contents.labels.get(entryId) ?? entryId, nameLength);
  }

  // An entry without a label is named by its id, and to give that once more would not help.
  #isAmbiguous(entryId: string, name: string): boolean {
    return this.#twice.has(name) && this.contents.labels.has(entryId);
  }

  /** The id of an entry that has another name. */
  id(entryId: string): Html | undefined {
    const label = this.contents.labels.get(entryId);
    if (label === undefined || label === entryId || this.#twice.has(this.#shortName(entryId))) return undefined;
    return given(entryId, nameLength);
  }

  /** An entry, or a group. */
  subject(subject: string): Html {
    if (!subject.startsWith('group:')) return this.name(subject);
    return this.texts.group(given(subject.slice('group:'.length), nameLength));
  }

  /** An instant in the zone of the report. */
  moment(instant: Date): Moment {
    if (Number.isNaN(instant.getTime())) {
      return { day: '', time: this.texts.cannotBeRead, minute: this.texts.cannotBeRead };
    }
    const [month, day, year, hour, minute, second] = this.#format.format(instant).match(/\d+/g)!;
    const short = `${hour}:${minute}`;
    return { day: `${year!.padStart(4, '0')}-${month}-${day}`, time: `${short}:${second}`, minute: short };
  }

  /** An instant as the first column of a list has it. */
  when(instant: Date): string {
    const { day, time } = this.moment(instant);
    return day === '' ? time : `${this.day(day)} ${time}`;
  }

  /** A day as rows name it. A text that is no day is shown as it is. */
  day(day: string): string {
    const known = this.#days.get(day);
    if (known !== undefined) return known;
    const parts = this.#needsYear ? undefined : dayParts(day);
    const name = parts ? this.texts.day(parts) : this.fullDay(day);
    this.#days.set(day, name);
    return name;
  }

  /** A day with its year. */
  fullDay(day: string): string {
    const parts = dayParts(day);
    return parts ? this.texts.fullDay(parts) : shortened(day, 20);
  }

  /** What a part shows, or that it cannot be read. */
  part<T>(part: Part<T>, show: (value: T) => Content): Content {
    if (part.unreadable === undefined) return show(part.value);
    return html`<p class="bad" role="note">${this.texts.unreadable} ${given(part.unreadable, 400)}</p>`;
  }
}

/** A part of the page under a heading. */
export function section(id: string, heading: string, content: Content): Html {
  return html`<section aria-labelledby="${id}"><h2 id="${id}">${heading}</h2>
${content}
</section>
`;
}

/** What there is of a day that has no record, in words. */
export function stateOf({ contents, texts }: Frame, index: number): string | undefined {
  const state = contents.history.value?.recorded[index];
  return state === undefined || state === 'recorded' ? undefined : texts[state];
}

/** The same of the day a week before. */
export function stateBefore({ contents, texts }: Frame, index: number): string | undefined {
  const state = contents.history.value?.recordedBefore[index];
  return state === undefined || state === 'recorded' ? undefined : texts[state];
}

/** That nothing was used, and of how many days that is not known. */
export function nothingUsed({ contents, texts }: Frame): string {
  if (contents.usage.value && contents.usage.value.unreadable.length > 0) return texts.nothingReadable;
  const recorded = contents.history.value?.recorded ?? [];
  const silent = recorded.filter((state) => state === 'silent').length;
  if (silent === 0) return texts.nothingUsed;
  return recorded.some((state) => state === 'recorded' || state === 'archived')
    ? texts.nothingRecorded(silent) : texts.noneRecorded;
}
