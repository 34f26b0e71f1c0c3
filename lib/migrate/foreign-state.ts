// The state of a running service in the text of another writer of it: with names in snake case, a duration as seconds
// and nanoseconds, and perhaps fields that this package does not have. Nothing in such a text is passed over: a session
// that is forgotten is time that nobody is charged for.
import { checkState, sessionFields, type StateSnapshot } from '../core/state.ts';
import { checkInteger, invalid } from '../values/checks.ts';
import { checkJsonText, membersOf } from '../values/json-text.ts';

/** What a foreign text says. */
export interface ForeignState {
  state: StateSnapshot;
  /**
   * The fields that a state has no place for: the path of each, such as `active_session.pid`, and its value's very
   * text.
   */
  unknown: ReadonlyMap<string, string>;
}

/**
 * The state in a text of `{"timestamp","active_session"}`, with the names in snake case or as this package writes them.
 * `null` is an absent value; `billable`, a duration, is the session's `elapsedMs`. Throws `ERR_STORE_INVALID_ARGUMENT`
 * or `ERR_STORE_SERIALIZATION`, with the name of the field, where one of its fields cannot be read: a session without
 * its deadline would run for ever.
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
  const session = Object.fromEntries(sessionFields.map((name) => [name, fields.value(snakeCase(name))]));
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

/** To the nearest millisecond. */
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

/** The fields of one object, each of which is taken or ends among the unknown ones. */
class ForeignFields {
  readonly #path: string;
  readonly #members: Map<string, string>;
  readonly #unknown: Map<string, string>;

  constructor(path: string, text: string, unknown: Map<string, string>) {
    this.#path = path;
    this.#members = membersOf(path === '' ? 'the snapshot' : path.slice(0, -1), text);
    this.#unknown = unknown;
  }

  /** The text of a field; `undefined` where it is absent or null. */
  take(name: string): string | undefined {
    const camelCase = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const [found, other] = new Set([name, camelCase].filter((each) => this.#members.has(each)));
    if (other !== undefined) throw invalid(`${this.#path}${name}`, `${found} and ${other}`, 'there under one name');
    const text = found === undefined ? 'null' : this.#members.get(found)!;
    if (found !== undefined) this.#members.delete(found);
    return text === 'null' ? undefined : text;
  }

  /** The value of a field, for a check. */
  value(name: string): unknown {
    const text = this.take(name);
    return text === undefined ? undefined : JSON.parse(text);
  }

  nested(name: string): ForeignFields | undefined {
    const text = this.take(name);
    return text === undefined ? undefined : new ForeignFields(`${this.#path}${name}.`, text, this.#unknown);
  }

  /** What is left is unknown; an absent value says nothing. */
  keepOthers(): void {
    for (const [name, text] of this.#members) {
      if (text !== 'null') this.#unknown.set(`${this.#path}${name}`, checkJsonText(`${this.#path}${name}`, text));
    }
  }
}
