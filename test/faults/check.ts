// What must hold of a store after a power cut: it opens, has everything that was acknowledged, has nothing twice, and
// is whole.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import type { SqliteStore } from '../../lib/index.ts';
import { Ledger, verifyParity } from '../../lib/ledger/index.ts';
import { isSound, parseLine } from '../../lib/ledger/line.ts';
import { connect } from '../../lib/store.ts';
import { finishArchiving, rowsInArchives } from './archives.ts';
import { laterClock, openStore, type Settings } from './child.ts';
import { fileView, type View, viewOf } from './view.ts';

/** What is to be expected besides the views. */
export interface Rules {
  /** Something was lost before the recording began, so that recovering it is no fault. */
  mayRecover: boolean;
  /**
   * Whether each file must have all by itself before the store heals it: the snapshot file every acknowledged state,
   * the ledger every committed event. Not so where a page of one was destroyed, or an fsync had failed.
   */
  eachFile: boolean;
  /** Whether a newer version may have migrated the store, which is a finding; one that is only read is not written. */
  isNewer: boolean;
}

/**
 * Opens the store twice and throws what is wrong. The first of the views is what was acknowledged last; in the others
 * what was being done is there, as a whole.
 */
export async function checkStore(settings: Settings, views: readonly View[], rules: Rules): Promise<void> {
  const before = views[0]!;
  const { path, ledger } = settings;
  const expected = views.map(({ tables }) => tables);
  // The ledger has no snapshots: an unacknowledged group that it brings in comes without the one of its transaction.
  if (ledger !== undefined)
    expected.push(...views.slice(1).map(({ tables }) => ({ ...tables, snapshot: before.tables['snapshot']! })));
  const file = fileView(path);
  assert.notEqual(file, 'damaged', 'the snapshot file is damaged');
  if (rules.eachFile) assert.ok(views.some((view) => view.file === file), `the snapshot file holds another state `
    + `than the one acknowledged last: ${file}, not ${views.map((view) => view.file).join(' or ')}`);
  const lines = ledger === undefined ? 0 : countLines(ledger);
  if (rules.eachFile && ledger !== undefined)
    assert.ok(lines >= before.head, `the ledger has ${lines} of ${before.head} acknowledged events`);
  const archived = rowsInArchives(settings);
  const store = openStore(settings, laterClock);
  try {
    // What was being written to the ledger may have become a torn end: it is set aside, and told.
    if (!rules.mayRecover)
      assert.ok(
        !store.recovery || store.recovery.found === 'ledger-torn',
        `something was lost: ${store.recovery?.found}`,
      );
    const found = viewOf(store, undefined, connect, archived);
    const { tables, head: last } = found;
    const head = last - (store.recovery?.setAside?.length ?? 0);
    assert.ok(expected.some((each) => isSame(each, tables)), `the store holds ${differences(tables, expected)}`);
    if (rules.eachFile && ledger !== undefined && before.head > 0)
      assert.ok(lines >= head, `the database had ${head} events and the ledger ${lines}: they were committed first`);
    await checkWhole(store, settings, rules);
    if (rules.isNewer && store.isReadOnly) return;
    if (settings.archives !== undefined) {
      await finishArchiving(store, settings, found);
      await checkWhole(store, settings, rules);
    }
    store.appendAudit({ type: 'service_started' });
  } finally {
    store.close();
  }
  checkAgain(settings, rules);
}

/** The second open: nothing is left to heal, and the first one's event is there. */
function checkAgain(settings: Settings, rules: Rules): void {
  const { recover: _recover, ...plain } = settings;
  const store = openStore(plain, laterClock);
  try {
    assert.equal(store.recovery, undefined, 'a second open found something to heal');
    assert.equal(store.getRecentAudits(1)[0]?.event.type, 'service_started');
    assert.deepEqual(findingsOf(store, rules), []);
  } finally {
    store.close();
  }
}

function findingsOf(store: SqliteStore, { isNewer }: Rules): string[] {
  const findings = store.health().findings.filter(({ kind }) => !isNewer || kind !== 'schema-newer');
  return findings.map(({ kind, message }) => `${kind}: ${message}`);
}

async function checkWhole(store: SqliteStore, { path, ledger }: Settings, rules: Rules): Promise<void> {
  assert.deepEqual(findingsOf(store, rules), []);
  const { prepare } = connect(store);
  assert.deepEqual(prepare('PRAGMA integrity_check').all(), [['ok']]);
  assert.deepEqual(prepare('PRAGMA foreign_key_check').all(), []);
  assert.deepEqual((await store.verifyAudit()).findings, []);
  const state = prepare('SELECT data FROM snapshot').all()[0] as unknown as [string] | undefined;
  if (state) assert.ok(fileView(path) !== undefined && fileView(path) !== 'damaged', 'the snapshot file is not there');
  if (ledger === undefined) return;
  const { isConsistent } = await verifyParity(store, Ledger.open(ledger));
  assert.ok(isConsistent, 'the ledger is not like the database');
}

/** How many whole lines stand at the beginning of a ledger as it was left. */
function countLines(path: string): number {
  if (!existsSync(path)) return 0;
  const [, ...lines] = readFileSync(path, 'latin1').split('\n');
  let last = 0;
  for (const text of lines) {
    const line = parseLine(Buffer.from(text, 'latin1'));
    if (!line || !isSound(line)) break;
    last = line.id;
  }
  return last;
}

function isSame(a: Record<string, string>, b: Record<string, string>): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function differences(found: Record<string, string>, expected: readonly Record<string, string>[]): string {
  const names = Object.keys(found).filter(
    (name) => expected.every((each) => each[name] !== found[name]) || !isSame(found, expected[0]!),
  );
  return names
    .filter((name) => expected.some((each) => each[name] !== found[name]))
    .map((name) => `in ${name} ${found[name]}, not ${expected.map((each) => each[name]).join(' or ')}`)
    .join('; ');
}
