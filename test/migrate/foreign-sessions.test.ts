// The running session of a database that is taken over, by an import or by adoption: taken, or told; never forgotten.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { importStore, type ImportEvent } from '../../lib/import/index.ts';
import { type JsonObject, SqliteStore, type StateSnapshot } from '../../lib/index.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { TestFolder } from '../support/folder.ts';
import { fourTables, makeDatabase } from '../support/foreign.ts';
import { change, makeSource } from '../support/shepherdd.ts';
import { randomNumbers } from '../support/values.ts';

const fields = {
  session_id: '"s9"', entry_id: '"tux-math"', started_at: '"2026-03-14T16:00:00.123456789+01:00"',
  deadline: '"2026-03-14T16:00:00Z"', warnings_issued: '[300,60]', billable: '{"secs":1799,"nanos":999600000}',
};
type Fields = Record<string, string | undefined>;

/** The text of a service's snapshot; a field that is `undefined` is left out. */
function snapshotText(session: Fields, more = ''): string {
  const members = Object.entries(session).filter(([, text]) => text !== undefined);
  const text = members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join();
  return `{"timestamp":"2026-03-14T15:45:00.5Z","active_session":{${text}}${more}}`;
}

const sqlText = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const expected: StateSnapshot = {
  timestamp: new Date('2026-03-14T15:45:00.5Z'),
  activeSession: {
    sessionId: 's9', entryId: 'tux-math', startedAt: new Date('2026-03-14T15:00:00.123Z'),
    deadline: new Date('2026-03-14T16:00:00Z'),
    warningsIssued: [300, 60], elapsedMs: 1_800_000,
  },
};

interface TakenOver {
  /** The store's state; the code where it cannot be loaded. */
  state: StateSnapshot | string | undefined;
  /** What is listed of the snapshot. */
  listed: string[];
  /** What an event has of it. */
  kept: JsonObject | undefined;
  /** Whether the store says that something is wrong with it. */
  isTold: boolean;
}

function stateOf(store: SqliteStore): StateSnapshot | string | undefined {
  try {
    return store.loadSnapshot();
  } catch (error) {
    return (error as { code: string }).code;
  }
}

async function imported(folder: TestFolder, text: string): Promise<TakenOver> {
  const source = makeSource(folder, `UPDATE snapshot SET snapshot_json = ${sqlText(text)}`);
  const { skipped } = await importStore(source, folder.file());
  using store = SqliteStore.open(folder.file());
  const [event] = store.getRecentAudits(1,
    { type: 'store_import_kept' }).map((audit) => audit.event as unknown as ImportEvent);
  const listed = skipped.flatMap(({ table, row }) => (table === 'snapshot' ? [row] : []));
  const kept = event?.type === 'store_import_kept' ? event.fields : undefined;
  return { state: stateOf(store), listed, kept, isTold: listed.includes('1') };
}

function adopted(folder: TestFolder, text: string): TakenOver {
  makeDatabase(folder.file(), `${fourTables} UPDATE snapshot SET data = ${sqlText(text)}`);
  using store = SqliteStore.open(folder.file());
  const { event } = store.getRecentAudits(1, { type: 'store_adopted' })[0]!;
  assert.ok(event.type === 'store_adopted');
  const kept = event.snapshotFields;
  const listed = Object.keys(kept ?? {}).map((path) => `1 ${path}`);
  return { state: stateOf(store), listed, kept, isTold: event.unreadableSnapshot !== undefined };
}

type TakeOver = (folder: TestFolder, text: string) => TakenOver | Promise<TakenOver>;
const ways: [what: string, takeOver: TakeOver][] = [['import', imported], ['adoption', adopted]];

/** Takes a snapshot over into a folder of its own. */
async function taken(t: TestContext, takeOver: TakeOver, text: string): Promise<TakenOver> {
  return takeOver(new TestFolder(t, { inMemory: true }), text);
}

for (const [way, takeOver] of ways) {
  test(`${way} takes a running session with its billable time, rounded to the millisecond`, async (t) => {
    const whole = { state: expected, listed: [], kept: undefined, isTold: false };
    assert.deepEqual(await taken(t, takeOver, snapshotText(fields)), whole);
    for (const [nanos, elapsedMs] of [[0, 5_000], [499_999, 5_000], [500_000, 5_001], [999_999_999, 6_000]]) {
      const { state } = await taken(t, takeOver, snapshotText({ ...fields, billable: `{"secs":5,"nanos":${nanos}}` }));
      assert.equal((state as StateSnapshot).activeSession?.elapsedMs, elapsedMs);
    }
  });

  test(`${way} takes a session without what may be absent or null`, async (t) => {
    for (const absent of [undefined, 'null']) {
      const text = snapshotText({ ...fields, deadline: absent, billable: absent, warnings_issued: absent });
      const { state, listed, isTold } = await taken(t, takeOver, text);
      const { sessionId, entryId, startedAt } = expected.activeSession!;
      assert.deepEqual(state, { ...expected, activeSession: { sessionId, entryId, startedAt, warningsIssued: [] } });
      assert.deepEqual([listed, isTold], [[], false]);
    }
  });

  test(`${way} takes a session with fields of a later service, lists them and keeps them in an event`, async (t) => {
    const billable = '{"secs":1800,"nanos":0,"source":"monotonic"}';
    const later = { billable, balance: '600', pid: '9007199254740993', tags: '[1.0,{"a":null}]', gone: 'null' };
    const text = snapshotText({ ...fields, ...later }, ',"admin_mode":{"on":true}');
    const { state, listed, kept, isTold } = await taken(t, takeOver, text);
    assert.deepEqual([state, isTold], [expected, false]);
    const values = {
      'active_session.balance': 600, 'active_session.billable.source': 'monotonic',
      'active_session.pid': 9007199254740992, 'active_session.tags': [1, { a: null }], admin_mode: { on: true },
    };
    assert.deepEqual(kept, values);
    assert.deepEqual(listed.toSorted(), Object.keys(values).map((path) => `1 ${path}`));
  });

  test(`${way} takes a snapshot of this package's own, which was migrated down, as it was`, async (t) => {
    const days = [{ day: '2026-03-14', durationMs: 1_800_000 }];
    const own = { ...expected, activeSession: { ...expected.activeSession, days, balance: 'group:games' } };
    const whole = { state: own, listed: [], kept: undefined, isTold: false };
    assert.deepEqual(await taken(t, takeOver, JSON.stringify(own)), whole);
  });
}

const unreadable: [why: string, text: string][] = [
  ['no JSON', '{"timestamp":'],
  ['a list', '[]'],
  ['a text', '"state"'],
  ['nothing', ''],
  ['no timestamp', '{"active_session":null}'],
  ['a timestamp that is none', '{"timestamp":"now","active_session":null}'],
  ['a session and none', snapshotText(fields, ',"active_session":null')],
  ['a session that is a text', '{"timestamp":"2026-03-14T15:45:00Z","active_session":"s9"}'],
  ['a session that is a list', '{"timestamp":"2026-03-14T15:45:00Z","active_session":[]}'],
  ['a session that is false', '{"timestamp":"2026-03-14T15:45:00Z","active_session":false}'],
  ['an empty session', '{"timestamp":"2026-03-14T15:45:00Z","active_session":{}}'],
  ['a session under both names', '{"timestamp":"2026-03-14T15:45:00Z","active_session":null,"activeSession":null}'],
  ['no session id', snapshotText({ ...fields, session_id: undefined })],
  ['a session id twice', snapshotText(fields).replace('{"session_id"', '{"session_id":"s8","session_id"')],
  ['an entry id with NUL', snapshotText({ ...fields, entry_id: '"a\\u0000b"' })],
  ['half a surrogate pair', snapshotText({ ...fields, entry_id: '"\\ud800"' })],
  ['no start', snapshotText({ ...fields, started_at: 'null' })],
  ['a start on February 30th', snapshotText({ ...fields, started_at: '"2026-02-30T00:00:00Z"' })],
  ['a deadline that is none', snapshotText({ ...fields, deadline: '"soon"' })],
  ['a deadline that is a number', snapshotText({ ...fields, deadline: '1773504000' })],
  ['a deadline that is an empty text', snapshotText({ ...fields, deadline: '""' })],
  ['a deadline that is false', snapshotText({ ...fields, deadline: 'false' })],
  ['warnings that are no list', snapshotText({ ...fields, warnings_issued: '300' })],
  ['a warning of a fraction', snapshotText({ ...fields, warnings_issued: '[1.5]' })],
  ['billable time that is a number', snapshotText({ ...fields, billable: '1800' })],
  ['billable time without seconds', snapshotText({ ...fields, billable: '{"nanos":0}' })],
  ['billable time without nanoseconds', snapshotText({ ...fields, billable: '{"secs":5}' })],
  ['negative billable time', snapshotText({ ...fields, billable: '{"secs":-1,"nanos":0}' })],
  ['a second of nanoseconds', snapshotText({ ...fields, billable: '{"secs":1,"nanos":1000000000}' })],
  ['billable time beyond 2^53 ms', snapshotText({ ...fields, billable: '{"secs":9007199254741,"nanos":0}' })],
  ['billable seconds twice', snapshotText({ ...fields, billable: '{"secs":1,"secs":2,"nanos":0}' })],
  ['two elapsed times', snapshotText({ ...fields, elapsed_ms: '5' })],
  ['an unknown field that no event can hold', snapshotText({ ...fields, load: '1e400' })],
];

for (const [why, text] of unreadable) {
  test(`a snapshot with ${why} is listed by an import, which takes no state from it`, async (t) => {
    const { state, listed, kept } = await taken(t, imported, text);
    assert.deepEqual([state, listed, kept], [undefined, ['1'], undefined]);
  });

  test(`a snapshot with ${why} is adopted as it is, and told: to its reader, by health, in the event`, async (t) => {
    const folder = new TestFolder(t, { inMemory: true });
    const { state, isTold } = adopted(folder, text);
    assert.deepEqual([state, isTold], ['ERR_STORE_CORRUPT', true]);
    using store = SqliteStore.open(folder.file());
    const { ok, findings } = store.health();
    assert.ok(!ok && findings.some(({ kind }) => kind === 'snapshot-row-damaged'));
    assert.equal(folder.raw().prepare('SELECT data FROM snapshot').get()!['data'], text);
    assert.throws(() => new SessionTracker(store).recover(), { code: 'ERR_STORE_CORRUPT' });
    store.saveSnapshot({ timestamp: new Date() });
    assert.ok(store.health().ok);
  });
}

test('a snapshot that is no text, or no UTF-8, is adopted as it is and told', (t) => {
  const blob = `CAST(${sqlText(snapshotText(fields))} AS BLOB)`;
  for (const data of [blob, `CAST(${blob} || x'80' AS TEXT)`, '5']) {
    const folder = new TestFolder(t, { inMemory: true });
    makeDatabase(folder.file(), `${fourTables} UPDATE snapshot SET data = ${data}`);
    const bytes = (): unknown => folder.raw().prepare('SELECT typeof(data), hex(data) FROM snapshot').get();
    const before = bytes();
    const store = folder.open();
    assert.deepEqual(bytes(), before);
    assert.equal(stateOf(store), 'ERR_STORE_CORRUPT');
  }
});

test('a session that an import brought is charged once, with its billable time', async (t) => {
  const folder = new TestFolder(t);
  await imported(folder, snapshotText(fields));
  const store = folder.open();
  const tracker = new SessionTracker(store, { timeZone: 'UTC' });
  assert.deepEqual(tracker.recover()?.charged, [{ day: '2026-03-14', durationMs: 1_800_000 }]);
  assert.equal(tracker.recover(), undefined);
});

// Two states meet: whose session goes on

const withSession = (sessionId: string, minute: number): StateSnapshot => ({
  timestamp: new Date(Date.UTC(2026, 2, 14, 15, minute)),
  activeSession: { sessionId, entryId: 'own', startedAt: new Date(Date.UTC(2026, 2, 14, 15)), warningsIssued: [] },
});

type Counts = [taken: number, alreadyThere: number];
type Meeting = [what: string, own: StateSnapshot, snapshots: Counts, listed: string[], sessionId?: string];
const withoutSession = (time: string): StateSnapshot => ({ timestamp: new Date(`2026-03-14T${time}Z`) });
const meetings: Meeting[] = [
  ['a later state without a session keeps the running one of a source out, which is listed', withoutSession('16:00:00'),
    [0, 0], ['1']],
  ['a later state with another session does so too', withSession('own', 50), [0, 0], ['1'], 'own'],
  ['a later state of the same session stands', withSession('s9', 50), [0, 1], [], 's9'],
  ['an earlier state of the same session is replaced', withSession('s9', 40), [1, 0], [], 's9'],
  ["the later state of a source does not end the store's own session, and is listed", withSession('own', 40),
    [0, 0], ['1'], 'own'],
  ['an earlier state without a session is replaced', withoutSession('15:00:00'), [1, 0], [], 's9'],
];

for (const [what, own, snapshots, listed, sessionId] of meetings) {
  test(what, async (t) => {
    const folder = new TestFolder(t);
    const store = folder.open();
    store.saveSnapshot(own);
    const source = makeSource(folder, `UPDATE snapshot SET snapshot_json = ${sqlText(snapshotText(fields))}`);
    const first = await importStore(source, folder.file());
    assert.deepEqual([first.taken.snapshots, first.alreadyThere.snapshots], snapshots);
    assert.deepEqual(first.skipped.map(({ row }) => row), listed);
    assert.equal(store.loadSnapshot()?.activeSession?.sessionId, sessionId);
    assert.deepEqual((await importStore(source, folder.file())).skipped, first.skipped);
  });
}

test('a session may be forgotten that has ended in the log, or that its own source has forgotten', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const ended = { type: 'session_ended', sessionId: 's9', entryId: 'tux-math', durationMs: 5 } as const;
  store.appendAudit({ ...ended, reason: { type: 'expired' } }, { eventId: 'session_ended:s9' });
  store.saveSnapshot(withoutSession('16:00:00'));
  const source = makeSource(folder, `UPDATE snapshot SET snapshot_json = ${sqlText(snapshotText(fields))}`);
  const report = await importStore(source, folder.file());
  assert.deepEqual([report.alreadyThere.snapshots, report.skipped], [1, []]);
  await importStore(makeSource(folder, '', 'other.db'), folder.file('other-store.db'));
  const text = '{"timestamp":"2026-03-15T00:00:00Z","active_session":null}';
  change(folder.file('other.db'), `UPDATE snapshot SET snapshot_json = '${text}'`);
  const later = await importStore(folder.file('other.db'), folder.file('other-store.db'));
  assert.deepEqual([later.taken.snapshots, later.skipped], [1, []]);
});

// Every field of the session, whatever is in it

const oddTexts = [
  'null', 'true', 'false', '0', '-1', '1.5', '1e400', '9007199254740993', '""', '"x"', '"a\\u0000b"', '"\\ud800"', '[]',
  '[1]', '["x"]', '[null]',
  '{}', '{"secs":1}', '{"secs":1,"nanos":2,"more":3}',
  '{"secs":"1","nanos":0}', '{"secs":0,"nanos":0}', '"2026-03-14T15:00:00Z"', '"2026-02-30T00:00:00Z"',
  '"9999-12-31T23:59:59-01:00"', '"0000-01-01T00:00:00Z"', `${'['.repeat(5000)}${']'.repeat(5000)}`,
];
const names = [
  ...Object.keys(fields), 'elapsed_ms', 'sessionId', 'entryId', 'startedAt', 'warningsIssued', 'elapsedMs',
  'later', 'constructor', 'pid ', 'load', 'seat', 'mode', 'Billable', 'deadline_ms', '',
];

/** What a field of the service is in a state here. */
const placeOf: Record<string, string> = {
  session_id: 'sessionId', entry_id: 'entryId', started_at: 'startedAt', warnings_issued: 'warningsIssued',
  billable: 'elapsedMs', elapsed_ms: 'elapsedMs',
};

test('whatever stands in the fields of a running session, each is taken, or told: none is neither', async (t) => {
  const { seed, pick } = randomNumbers();
  t.diagnostic(`SEED=${seed}`);
  let [sessions, refusals] = [0, 0];
  for (let round = 0; round < 60; round++) {
    const session: Fields = { ...fields };
    for (let changes = pick([1, 1, 1, 1, 2, 3]); changes > 0; changes--) {
      session[pick(names)] = pick([undefined, ...oddTexts]);
    }
    const text = snapshotText(session, pick(['', '', ',"later":1']));
    const [way, takeOver] = ways[round % ways.length]!;
    const why = `SEED=${seed} round ${round} (${way}): ${text.slice(0, 1000)}`;
    const { state, listed, isTold } = await taken(t, takeOver, text);
    if (isTold) {
      refusals++;
      assert.equal(state, way === 'import' ? undefined : 'ERR_STORE_CORRUPT', why);
      continue;
    }
    sessions++;
    assert.ok(typeof state === 'object' && state.activeSession, why);
    for (const [name, given] of Object.entries(session)) {
      if (given === undefined || given === 'null') continue;
      const isTaken = Object.hasOwn(state.activeSession, placeOf[name] ?? name);
      assert.ok(isTaken || listed.includes(`1 active_session.${name}`), `${name}: ${why}`);
    }
    assert.equal(text.includes(',"later":1}'), listed.includes('1 later'), why);
  }
  t.diagnostic(`${sessions} sessions taken, ${refusals} told`);
  assert.ok(sessions > 0 && refusals > 0, `SEED=${seed}`);
});
