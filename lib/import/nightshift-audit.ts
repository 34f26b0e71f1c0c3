// Nightshift's audit log, a file a day, `audit-2026-07-20.jsonl`. Each line is an event, which becomes an event of this
// store's log. Instants are RFC 3339; an absent field is left out.
import { hash } from 'node:crypto';
import { encodeEvent } from '../core/events.ts';
import type { RawLine } from '../ledger/read-lines.ts';
import { checkText, invalid } from '../values/checks.ts';
import { checkUtf8, jsonOf, membersOf, objectText } from '../values/json-text.ts';
import type { JsonObject } from '../values/json.ts';
import { optional } from './convert.ts';
import { goInstant } from './go-time.ts';
import { common } from './nightshift.ts';
import type { Sink, SourceEvent } from './sink.ts';
import type { SourceKind } from './source.ts';
import { orSkip } from './walk.ts';

// The fields that the service writes into every line.
const required = ['timestamp', 'event_type', 'request_id', 'session_id'];
/** The fields that become attributes of an event, and do not stay among its fields. */
const attributes = { agent: 'source', target: 'target', request_id: 'traceId' } as const;

// A file that has no entry among its first lines is taken for another program's file, and need not be read to its end.
const linesToRecognise = 100;
const pageLines = 500;

export const nightshiftAudit: SourceKind = {
  name: 'nightshift-audit',
  identity: common.identity,
  recognise: (source) => {
    if (source.file.kind !== 'no-database') return false;
    for (const line of source.lines()) {
      if (line.number > linesToRecognise) return false;
      if (isEntry(line)) return true;
    }
    return false;
  },
  count: (source) => {
    let count = 0;
    for (const { number } of source.lines()) count = number;
    return count;
  },
  *walk(source, sink) {
    let passed = 0;
    let identity: LineIdentity = { textHash: '', repeats: 0 };
    for (const line of source.lines()) {
      const textHash = hash('sha256', line.bytes ?? '').slice(0, 32);
      identity = { textHash, repeats: textHash === identity.textHash ? identity.repeats + 1 : 0 };
      takeLine(line, identity, sink);
      if (++passed % pageLines === 0) yield pageLines;
    }
    yield passed % pageLines;
  },
};

function isEntry({ bytes }: RawLine): boolean {
  try {
    const members = membersOf('line', checkUtf8('line', bytes));
    return required.every((name) => typeof JSON.parse(members.get(name) ?? 'null') === 'string');
  } catch {
    return false; // because it is not UTF-8 or not a JSON object
  }
}

/** The hash of a line's text, and how many equal lines stand directly before it. */
interface LineIdentity {
  textHash: string;
  repeats: number;
}

/** Takes the event of a line. An empty line has none, and the service passes over it too. */
function takeLine({ number, bytes }: RawLine, { textHash, repeats }: LineIdentity, sink: Sink): void {
  if (bytes?.every((byte) => byte === 13)) return;
  // The line is recognised by its text and not by its number, because the files of several days may have been put
  // together.
  const sourceRow = `nightshift:audit:${textHash}${repeats === 0 ? '' : `:${repeats}`}`;
  const event = orSkip(sink, { table: 'audit', row: `line ${number}` }, () => {
    if (!bytes) throw invalid('line', 'a longer one', 'at most 32 MiB long');
    return { sourceRow, ...convertEntry(checkUtf8('line', bytes)) };
  });
  if (event) sink.event(event);
}

/** Converts a line to an event. Its fields keep their very text, but for those that become attributes. */
function convertEntry(line: string): Omit<SourceEvent, 'sourceRow'> {
  const members = membersOf('line', line);
  if (members.has('type')) throw invalid('type', members.get('type'), 'no field of a line');
  const take = (name: string): unknown => {
    const text = members.get(name);
    members.delete(name);
    return text === undefined ? undefined : jsonOf(name, text);
  };
  const type = checkText('event_type', take('event_type'));
  const sourceTimestamp = take('timestamp');
  const timestamp = goInstant('timestamp', sourceTimestamp);
  const meta: Record<string, unknown> = { observedAt: timestamp, sourceTimestamp };
  for (const [name, attribute] of Object.entries(attributes)) {
    const value = optional(checkText)(name, take(name));
    if (value !== null) meta[attribute] = value;
  }
  const data = objectText(members);
  encodeEvent({ ...(JSON.parse(data) as JsonObject), type }); // for its checks
  return { type, data, timestamp, meta };
}
