// Nightshift's state.json, which holds the same as its database in one JSON object. A missing value is Go's zero value.
import { checkArray, checkText, show } from '../values/checks.ts';
import { objectOf } from '../values/json-text.ts';
import type { JsonObject } from '../values/json.ts';
import type { Conversion } from './convert.ts';
import { common, type Destination, destinations, sourceNames, takeRow } from './nightshift.ts';
import { named, type Sink } from './sink.ts';
import type { Source, SourceKind } from './source.ts';
import { orSkip } from './walk.ts';

/** A list or a map of entries in the state. */
interface Section {
  destination: Destination;
  /** Only for a map: the field that gets an entry's key as its value where the entry leaves it empty. */
  key?: string;
  /** Known fields that do not become columns of the row. */
  more?: readonly string[];
}

const runHistory: Conversion = {
  ...destinations.run_history.conversion,
  tasks: ['tasks', (name, value) => JSON.stringify(checkArray(name, value ?? [], 'an array of texts', checkText))],
};
const sections: Readonly<Record<string, Section>> = {
  projects: { destination: destinations.projects, key: 'path', more: ['task_history'] },
  assigned: { destination: destinations.assigned_tasks, key: 'task_id' },
  run_history: { destination: { ...destinations.run_history, conversion: runHistory } },
};
const members = ['version', ...Object.keys(sections), 'last_update'];

type Entry = [section: string, key: string, value: unknown];
// A page has as many entries as one of a database has rows: an abort is heard between two pages.
const pageEntries = 500;

export const nightshiftState: SourceKind = {
  ...common,
  name: 'nightshift-state',
  recognise: (source) => stateOf(source) !== undefined,
  count: (source) => entriesOf(source).length,
  *walk(source, sink) {
    const entries = entriesOf(source);
    const unknown = new Map<string, number>();
    for (let first = 0; first < entries.length; first += pageEntries) {
      const page = entries.slice(first, first + pageEntries);
      for (const entry of page) takeEntry(entry, sink, unknown);
      yield page.length;
    }
    for (const name of Object.keys(stateOf(source)!)) {
      if (members.includes(name)) continue;
      sink.skip({ table: 'state.json', row: `field ${shown(name)}` }, 'this store has no place for it');
    }
    for (const [id, count] of unknown) {
      const [section, name] = JSON.parse(id) as [string, string];
      const reason = `this store has no place for it; ${count} entries have a value there`;
      sink.skip({ table: section, row: `field ${shown(name)}` }, reason);
    }
  },
};

/** Describes a JSON value that is not a state. */
export function describeJson(value: unknown): string {
  if (!isObject(value) || value['version'] === 1) return 'JSON that is no state.json of Nightshift';
  const { version } = value;
  if (version === undefined) return 'JSON without a version';
  return `JSON of version ${show(version)} (of a ${nightshiftState.name}, only version 1 is known)`;
}

/** Gives the state in a file; `undefined` where the file holds none, or one of another version than 1. */
function stateOf(source: Source): JsonObject | undefined {
  const state = source.json();
  if (!isObject(state) || state['version'] !== 1) return undefined;
  if (!Object.hasOwn(state, 'projects') || !Object.hasOwn(state, 'run_history')) return undefined;
  const isRight = ([name, { key }]: [string, Section]): boolean => {
    return key === undefined ? Array.isArray(state[name] ?? []) : isObject(state[name] ?? {});
  };
  return Object.entries(sections).every(isRight) ? state : undefined;
}

function entriesOf(source: Source): Entry[] {
  const state = stateOf(source)!;
  return Object.keys(sections).flatMap((section) => {
    return Object.entries(state[section] ?? {}).map(([key, value]): Entry => [section, key, value]);
  });
}

function takeEntry([section, key, value]: Entry, sink: Sink, unknown: Map<string, number>): void {
  const { destination, key: keyName, more = [] } = sections[section]!;
  const at = { table: section, row: shown(key) };
  // A project that was seen and never run may be null.
  const entry = orSkip(sink, at, () => objectOf(section, section === 'projects' ? (value ?? {}) : value));
  if (!entry) return;
  const fields = new Map<string, unknown>(Object.entries(entry));
  if (keyName !== undefined && (fields.get(keyName) ?? '') === '') fields.set(keyName, key);
  takeRow(sink, section, destination, (name) => fields.get(name) ?? undefined);
  if (section === 'projects') takeTasks(fields, at.row, sink);
  for (const name of fields.keys()) {
    if (sourceNames(destination).includes(name) || more.includes(name)) continue;
    const id = JSON.stringify([section, name]);
    unknown.set(id, (unknown.get(id) ?? 0) + 1);
  }
}

/** Takes the times when each type of task was last done in a project. */
function takeTasks(project: ReadonlyMap<string, unknown>, row: string, sink: Sink): void {
  const history = project.get('task_history') ?? {};
  const tasks = orSkip(sink, { table: 'task_history', row }, () => objectOf('task_history', history));
  for (const [taskType, lastRun] of Object.entries(tasks ?? {})) {
    const fields: Record<string, unknown> = {
      project_path: project.get('path'), task_type: taskType, last_run: lastRun ?? undefined,
    };
    takeRow(sink, 'task_history', destinations.task_history, (name) => fields[name]);
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(name: string): string {
  return named(Buffer.from(name));
}
