// The state of a running service in the text of another writer of it: with names in snake case, a duration as seconds
// and nanoseconds, and perhaps fields that this package does not have. Nothing in such a text is passed over: a session
// that is forgotten is time that nobody is charged for.
import { checkState, sessionFields, type StateSnapshot } from '../core/state.ts';
import { checkInteger, invalid } from '../values/checks.ts';
import { checkJsonText, membersOf } from '../values/json-text.ts';

export interface ForeignState {
  state: StateSnapshot;
  /** The fields that a state has no place for: their paths, such as `active_session.pid`, and their unchanged texts. */
  unknown: ReadonlyMap<string, string>;
}

/**
 * Reads the state in a text of `{"timestamp","active_session"}`, with names in snake case or as this package writes
 * them. `null` counts as absent; `billable`, a duration, becomes the session's `elapsedMs`. If a field cannot be read,
 * throws `ERR_STORE_INVALID_ARGUMENT` or `ERR_STORE_SERIALIZATION` with its name, because a session without its
 * deadline would run for ever.
 */
export function readForeignState(text: string): ForeignState {
  const unknown = new Map<string, string>();
  const snapshot = new ForeignFields('', text, unknown);
  const [timestamp, active] = [snapshot.value('timestamp'), snapshot.take('active_session')];
  const fields = active === undefined ? undefined : new ForeignFields('active_session.', active, unknown);
  const activeSession = fields && readSession(fields);
  snapshot.keepOthers();
  return { state: checkState({ timestamp, activeSession }), unknown };
}

function readSession(fields: ForeignFields): Record<string, unknown> {
  // What another program calls a balance need not be the name of a subject. This package's own names are in camel case.
  const names = fields.has('sessionId') ? sessionFields : sessionFields.filter((name) => name !== 'balance');
  const session = Object.fromEntries(names.map((name) => [name, fields.value(snakeCase(name))]));
  session['warningsIssued'] ??= [];
  const billable = fields.nested('billable');
  if (billable !== undefined) {
    if (session['elapsedMs'] !== undefined) {
      throw invalid('active_session', 'billable and elapsed_ms', 'an object with one of the two');
    }
    session['elapsedMs'] = milliseconds(billable);
  }
  fields.keepOthers();
  return session;
}

/** Converts a duration to milliseconds, rounded to the nearest one. */
function milliseconds(duration: ForeignFields): number {
  const name = 'active_session.billable';
  const seconds = checkInteger(`${name}.secs`, duration.value('secs'), 0);
  const nanoseconds = checkInteger(`${name}.nanos`, duration.value('nanos'), 0, 999_999_999);
  duration.keepOthers();
  return checkInteger(name, seconds * 1000 + Math.round(nanoseconds / 1e6), 0);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The fields of one object. A field that is not taken is kept as an unknown one. */
class ForeignFields {
  readonly #path: string;
  readonly #members: Map<string, string>;
  readonly #unknown: Map<string, string>;

  constructor(path: string, text: string, unknown: Map<string, string>) {
    this.#path = path;
    this.#members = membersOf(path === '' ? 'the snapshot' : path.slice(0, -1), text);
    this.#unknown = unknown;
  }

  /** Whether there is a field with exactly this name. */
  has(name: string): boolean {
    return this.#members.has(name);
  }

  /** Takes the text of a field; `undefined` if it is absent or null. */
  take(name: string): string | undefined {
    const camelCase = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const [found, other] = new Set([name, camelCase].filter((each) => this.#members.has(each)));
    if (other !== undefined) throw invalid(`${this.#path}${name}`, `${found} and ${other}`, 'there under one name');
    const text = found === undefined ? 'null' : this.#members.get(found)!;
    if (found !== undefined) this.#members.delete(found);
    return text === 'null' ? undefined : text;
  }

  /** Takes the parsed value of a field, which the caller must check. */
  value(name: string): unknown {
    const text = this.take(name);
    return text === undefined ? undefined : JSON.parse(text);
  }

  nested(name: string): ForeignFields | undefined {
    const text = this.take(name);
    return text === undefined ? undefined : new ForeignFields(`${this.#path}${name}.`, text, this.#unknown);
  }

  /** Keeps the fields that were not taken as unknown ones, except those that are null. */
  keepOthers(): void {
    for (const [name, text] of this.#members) {
      if (text !== 'null') this.#unknown.set(`${this.#path}${name}`, checkJsonText(`${this.#path}${name}`, text));
    }
  }
}
