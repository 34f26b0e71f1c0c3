// Nightshift's state.json: what its database has, in one JSON object. A missing value is Go's zero value.
import { checkArray, checkText, show } from '../values.ts';
import type { JsonObject } from '../values.ts';
import type { Conversion } from './convert.ts';
import { objectOf } from '../json-text.ts';
import { common, destinations, sourceNames, takeRow } from './nightshift.ts';
import type { Destination } from './nightshift.ts';
import { named } from './sink.ts';
import type { Sink } from './sink.ts';
import type { Source, SourceKind } from './source.ts';
import { orSkip } from './walk.ts';

/** A list of entries in the state, or a map: in that an entry's `key` stands for the field of that name where it is empty. */
interface Section {
  destination: Destination;
  key?: string;
  /** Fields that are no column of the row. */
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
// As many entries as a database gives rows: an abort is heard between two pages.
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
      if (!members.includes(name)) sink.skip({ table: 'state.json', row: `field ${shown(name)}` }, 'this store has no place for it');
    }
    for (const [id, count] of unknown) {
      const [section, name] = JSON.parse(id) as [string, string];
      sink.skip({ table: section, row: `field ${shown(name)}` }, `this store has no place for it; ${count} entries have a value there`);
    }
  },
};

/** What a JSON value is that is no state. */
export function describeJson(value: unknown): string {
  if (!isObject(value) || value['version'] === 1) return 'JSON that is no state.json of Nightshift';
  const { version } = value;
  if (version === undefined) return 'JSON without a version';
  return `JSON of version ${show(version)} (of a ${nightshiftState.name}, only version 1 is known)`;
}

/** The state in a file; `undefined` where it is none, or of another version than the one that there is. */
function stateOf(source: Source): JsonObject | undefined {
  const state = source.json();
  if (!isObject(state) || state['version'] !== 1 || !Object.hasOwn(state, 'projects') || !Object.hasOwn(state, 'run_history')) return undefined;
  const isRight = ([name, { key }]: [string, Section]): boolean => (key === undefined ? Array.isArray(state[name] ?? []) : isObject(state[name] ?? {}));
  return Object.entries(sections).every(isRight) ? state : undefined;
}

function entriesOf(source: Source): Entry[] {
  const state = stateOf(source)!;
  return Object.keys(sections).flatMap((section) => Object.entries(state[section] ?? {}).map(([key, value]): Entry => [section, key, value]));
}

function takeEntry([section, key, value]: Entry, sink: Sink, unknown: Map<string, number>): void {
  const { destination, key: keyName, more = [] } = sections[section]!;
  const at = { table: section, row: shown(key) };
  // A project may be null: it was seen, and never run.
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

/** When each type of task was last done in a project. */
function takeTasks(project: ReadonlyMap<string, unknown>, row: string, sink: Sink): void {
  const tasks = orSkip(sink, { table: 'task_history', row }, () => objectOf('task_history', project.get('task_history') ?? {}));
  for (const [taskType, lastRun] of Object.entries(tasks ?? {})) {
    const fields: Record<string, unknown> = { project_path: project.get('path'), task_type: taskType, last_run: lastRun ?? undefined };
    takeRow(sink, 'task_history', destinations.task_history, (name) => fields[name]);
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(name: string): string {
  return named(Buffer.from(name));
}
