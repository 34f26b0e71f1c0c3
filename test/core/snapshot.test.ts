// The pair: the row in the database and the plain file beside it, each standing in for the other.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { StatementSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { readSnapshotFile } from '../../lib/core/snapshot-file.ts';
import { type HealthFinding, SqliteStore, type StateSnapshot } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';
import { modeOf, namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { makeDatabase } from '../support/foreign.ts';
import { Companion, nobody, run } from '../support/process.ts';

const state: StateSnapshot = {
  timestamp: new Date('2026-11-21T09:00:00.123Z'),
  activeSession: {
    sessionId: 's1',
    entryId: 'minecraft',
    startedAt: new Date('2026-11-21T08:00:00Z'),
    deadline: new Date('2026-11-21T10:00:00Z'),
    warningsIssued: [300, 60],
    elapsedMs: 3_600_123,
  },
};
const later: StateSnapshot = { timestamp: new Date('2026-11-21T09:30:00Z') };

function findings(store: SqliteStore): HealthFinding['kind'][] {
  return store.health().findings.map(({ kind }) => kind);
}

/**
 * A closed store that saved `state` and then `later`; the files of the first save are kept as `first.db` and
 * `first.json`.
 */
function savedTwice(t: TestContext): TestFolder {
  const folder = new TestFolder(t);
  for (const each of [state, later]) {
    const store = SqliteStore.open(folder.file());
    store.saveSnapshot(each);
    store.close();
    if (each === later) continue;
    copyFileSync(folder.file(), folder.file('first.db'));
    copyFileSync(folder.file('store.snapshot.json'), folder.file('first.json'));
  }
  return folder;
}

const damageRow = (folder: TestFolder): void =>
  makeDatabase(folder.file(), 'UPDATE snapshot SET data = substr(data, 1, 10)');
const damageFile = (folder: TestFolder): void => writeFileSync(folder.file('store.snapshot.json'), 'noise');

test('without a save there is no state', (t) => {
  const store = new TestFolder(t).open();
  assert.equal(store.loadSnapshot(), undefined);
  assert.deepEqual(store.health().snapshot, { row: { state: 'absent' }, file: { state: 'absent' } });
});

test('every field of a state comes back, from the row and from the file alike', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.saveSnapshot(state);
  assert.deepEqual(store.loadSnapshot(), state);
  const file = readSnapshotFile(folder.file('store.snapshot.json'));
  assert.deepEqual(file.state === 'whole' && file.content.state, state);
  store.saveSnapshot(later);
  assert.deepEqual(store.loadSnapshot(), later);
});

test('a damaged file alone is a finding, and the row is used', (t) => {
  const folder = savedTwice(t);
  damageFile(folder);
  const store = folder.open();
  assert.equal(store.recovery, undefined);
  assert.deepEqual(findings(store), ['snapshot-file-damaged']);
  assert.deepEqual(store.loadSnapshot(), later);
  store.saveSnapshot(state);
  assert.deepEqual(findings(store), []);
});

test('a file that is missing or older than the row is written again at the next open, without an event', (t) => {
  for (const older of [false, true]) {
    const folder = savedTwice(t);
    const path = folder.file('store.snapshot.json');
    const newest = readFileSync(path);
    const store = folder.open();
    const head = store.auditHead();
    store.saveSnapshot(state);
    store.close();
    if (older) writeFileSync(path, newest);
    else rmSync(path);
    const reader = folder.closing(SqliteStore.openReadOnly(folder.file()));
    assert.deepEqual(findings(reader), older ? [] : ['snapshot-file-missing']);
    reader.close();
    const again = folder.open();
    assert.deepEqual(findings(again), []);
    assert.deepEqual(again.health().snapshot.file.generation, again.health().snapshot.row.generation);
    assert.deepEqual(again.loadSnapshot(), state);
    assert.deepEqual(again.auditHead(), head);
    again.close();
  }
});

test('a damaged row alone is a finding, and the file is used', (t) => {
  const folder = savedTwice(t);
  damageRow(folder);
  const store = folder.open();
  assert.deepEqual(findings(store), ['snapshot-row-damaged']);
  assert.deepEqual(store.loadSnapshot(), later);
  store.saveSnapshot(state);
  assert.deepEqual(findings(store), []);
  assert.deepEqual(store.loadSnapshot(), state);
});

test('a file from before does not win over the row', (t) => {
  const folder = savedTwice(t);
  renameSync(folder.file('first.json'), folder.file('store.snapshot.json'));
  const store = folder.open();
  assert.deepEqual(store.loadSnapshot(), later);
  assert.equal(store.recovery, undefined);
});

test('a damaged row and a damaged file are ERR_STORE_CORRUPT, never an empty state; the next save mends both', (t) => {
  const folder = savedTwice(t);
  damageRow(folder);
  damageFile(folder);
  const store = folder.open();
  assert.deepEqual(findings(store), ['snapshot-file-damaged', 'snapshot-row-damaged']);
  assert.throws(() => store.loadSnapshot(), { code: 'ERR_STORE_CORRUPT' });
  store.saveSnapshot(state);
  assert.deepEqual(store.loadSnapshot(), state);
  assert.deepEqual(findings(store), []);
});

test('a damaged row and no file are ERR_STORE_CORRUPT', (t) => {
  const folder = savedTwice(t);
  damageRow(folder);
  rmSync(folder.file('store.snapshot.json'));
  assert.throws(() => folder.open().loadSnapshot(), { code: 'ERR_STORE_CORRUPT' });
});

test('a damaged file where there is no row is ERR_STORE_CORRUPT; recover moves it aside', (t) => {
  const folder = savedTwice(t);
  makeDatabase(folder.file(), 'DELETE FROM snapshot');
  damageFile(folder);
  const store = folder.open();
  assert.throws(() => store.loadSnapshot(), { code: 'ERR_STORE_CORRUPT' });
  store.close();
  const recovered = folder.open({ recover: true });
  assert.equal(recovered.recovery?.found, 'other-file');
  assert.equal(readFileSync(recovered.recovery.moved[0]!, 'utf8'), 'noise');
  assert.equal(recovered.loadSnapshot(), undefined);
});

test('a damaged file beside a whole row is left to the next save by recover', (t) => {
  const folder = savedTwice(t);
  damageFile(folder);
  const store = folder.open({ recover: true });
  assert.equal(store.recovery, undefined);
  assert.deepEqual(store.loadSnapshot(), later);
});

const shapes: [what: string, make: (path: string) => void][] = [
  ['a folder', (path) => mkdirSync(path)],
  [
    'a pipe',
    (path) =>
      void run(path, "import('node:child_process').then(({ execFileSync }) => execFileSync('mkfifo', [path]));"),
  ],
  ['a link', (path) => symlinkSync('first.json', path)],
  ['an empty file', (path) => writeFileSync(path, '')],
  ['a JSON file of something else', (path) => writeFileSync(path, '{"timestamp":"2026-11-21T09:00:00Z"}\n')],
];
for (const [what, make] of shapes) {
  test(`${what} in the place of the plain file is a damaged one`, (t) => {
    const folder = savedTwice(t);
    rmSync(folder.file('store.snapshot.json'));
    make(folder.file('store.snapshot.json'));
    const store = folder.open();
    assert.deepEqual(findings(store), ['snapshot-file-damaged']);
    assert.deepEqual(store.loadSnapshot(), later);
  });
}

test('a file torn at any length, or with any bit flipped, is never taken for another state', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.addUsage('minecraft', '2026-11-21', 90_500);
  store.saveSnapshot(state);
  store.close();
  const path = folder.file('store.snapshot.json');
  const bytes = readFileSync(path);
  for (let length = 0; length < bytes.length; length++) {
    writeFileSync(path, bytes.subarray(0, length));
    assert.equal(readSnapshotFile(path).state, 'damaged', `${length} bytes`);
  }
  for (let offset = 0; offset < bytes.length; offset++) {
    for (const bit of [0, 3, 5, 7]) {
      const flipped = Buffer.from(bytes);
      flipped[offset]! ^= 1 << bit;
      writeFileSync(path, flipped);
      assert.equal(readSnapshotFile(path).state, 'damaged', `bit ${bit} of byte ${offset}`);
    }
  }
  for (const more of ['\n', ' ', '}\n', '\0']) {
    writeFileSync(path, Buffer.concat([bytes, Buffer.from(more)]));
    assert.equal(readSnapshotFile(path).state, 'damaged');
  }
  writeFileSync(path, bytes);
  assert.equal(readSnapshotFile(path).state, 'whole');
});

/** A file as its writer makes it, whatever it says. */
function forge(content: object): string {
  const text = JSON.stringify(content);
  return `{"format":"shepherd-store snapshot `
    + `1","checksum":"${createHash('sha256').update(text).digest('hex')}","content":${text}}\n`;
}

test('what a whole file says is checked value by value', (t) => {
  const folder = new TestFolder(t);
  const path = folder.file('forged.json');
  const sound = {
    store: '3e0f9a52-9e0e-4d0b-8b9b-0d6f3a3c1a11',
    generation: 1,
    savedAt: '2026-11-21T09:00:00.000Z',
    usage: [{ entryId: 'a', day: '2026-11-21', durationMs: 1 }],
    cooldowns: [{ entryId: 'a', until: '2026-11-21T09:00:00.000Z' }],
    limits: {
      overrides: [{ subject: 'a', day: '2026-11-21', grantedMs: -5, availability: 'denied' }],
      balances: [{ subject: 'a', balanceMs: 0 }],
      asOf: { id: 1, hash: '0'.repeat(64) },
    },
    head: { id: 1, hash: '0'.repeat(64) },
    state: { timestamp: '2026-11-21T09:00:00.000Z' },
  };
  writeFileSync(path, forge(sound));
  assert.equal(readSnapshotFile(path).state, 'whole');
  const unsound: Record<string, unknown[]> = {
    store: [
      undefined,
      null,
      5,
      '',
      'not-a-uuid',
      ['3e0f9a52-9e0e-4d0b-8b9b-0d6f3a3c1a11'],
      '../../../../../../../../etc/passwd    ',
    ],
    generation: [undefined, null, 0, -1, 1.5, '1', 2 ** 53],
    savedAt: [undefined, null, 5, 'yesterday'],
    usage: [
      undefined,
      null,
      {},
      [null],
      [{ ...sound.usage[0], entryId: '' }],
      [{ ...sound.usage[0], day: '2026-02-30' }],
      [{ ...sound.usage[0], durationMs: -1 }],
      [{ ...sound.usage[0], durationMs: 1e300 }],
    ],
    cooldowns: [
      undefined,
      null,
      [null],
      [{ entryId: 'a\0b', until: sound.cooldowns[0]!.until }],
      [{ entryId: 'a', until: 'never' }],
      ...[null, 5, 'then'].map((setAt) => [{ ...sound.cooldowns[0], setAt }]),
    ],
    limits: [
      ...[null, 0, '', 5, [], {}],
      ...['overrides', 'balances', 'asOf'].flatMap((name) =>
        [undefined, null, 5, {}, [null]].map((value) => ({ ...sound.limits, [name]: value }))),
      ...[{ subject: '' }, { day: '2026-02-30' }, { grantedMs: 0.5 }, { grantedMs: 2 ** 53 }, { availability: 'open' }]
        .map((wrong) => ({ ...sound.limits, overrides: [{ ...sound.limits.overrides[0], ...wrong }] })),
      ...[{ subject: 5 }, { balanceMs: -1 }, { balanceMs: '1' }, { balanceMs: 2 ** 53 }]
        .map((wrong) => ({ ...sound.limits, balances: [{ ...sound.limits.balances[0], ...wrong }] })),
      ...[{ id: 0, hash: '0'.repeat(64) }, { id: 1, hash: 'x' }].map((asOf) => ({ ...sound.limits, asOf })),
    ],
    head: [undefined, 5, {}, { id: 0, hash: '0'.repeat(64) }, { id: 1, hash: 'x' }, { id: 1 }],
    state: [undefined, null, {}, { timestamp: 'now' }, { ...sound.state, activeSession: { sessionId: 's' } }],
  };
  for (const [field, values] of Object.entries(unsound)) {
    for (const value of values) {
      writeFileSync(path, forge({ ...sound, [field]: value }));
      assert.equal(readSnapshotFile(path).state, 'damaged', `${field}: ${JSON.stringify(value)}`);
    }
  }
});

test("the file carries the usage of the days written last and of the clock's today and yesterday, the cooldowns and "
  + "the head", (t) => {
  const folder = new TestFolder(t);
  const now = new Date(2026, 10, 21, 12);
  const store = folder.open({ clock: () => now });
  for (const day of ['2026-11-18', '2026-11-19', '2026-11-20', '2026-11-21', '2027-03-05', '2027-03-06'])
    store.addUsage('minecraft', day, 1_001);
  store.addUsage('tuxpaint', '2027-03-06', 3_003);
  store.setCooldownUntil('minecraft', new Date('2026-11-21T10:00:00Z'));
  store.setCooldownUntil('tuxpaint', new Date('2036-11-21T10:00:00Z'));
  store.appendAudit({ type: 'service_started' });
  store.saveSnapshot(state);
  const file = readSnapshotFile(folder.file('store.snapshot.json'));
  assert.ok(file.state === 'whole');
  assert.deepEqual(file.content.usage, [
    { entryId: 'minecraft', day: '2026-11-20', durationMs: 1_001 },
    { entryId: 'minecraft', day: '2026-11-21', durationMs: 1_001 },
    { entryId: 'minecraft', day: '2027-03-05', durationMs: 1_001 },
    { entryId: 'minecraft', day: '2027-03-06', durationMs: 1_001 },
    { entryId: 'tuxpaint', day: '2027-03-06', durationMs: 3_003 },
  ]);
  const setAt = now.toISOString();
  assert.deepEqual(file.content.cooldowns, [
    { entryId: 'minecraft', until: '2026-11-21T10:00:00.000Z', setAt },
    { entryId: 'tuxpaint', until: '2036-11-21T10:00:00.000Z', setAt },
  ]);
  assert.deepEqual(file.content.head, store.auditHead());
  assert.equal(file.content.savedAt, now.toISOString());
  assert.equal(file.content.generation, 1);
});

test('the file has the days of the clock also where nothing but the clock has changed since the last save', (t) => {
  const folder = new TestFolder(t);
  let now = new Date(2026, 10, 21, 12);
  const store = folder.open({ clock: () => now });
  for (const day of ['2026-11-20', '2026-11-21', '2026-11-22', '2026-11-23', '2026-12-01', '2026-12-02'])
    store.addUsage('minecraft', day, 1);
  for (const [day, expected] of [
    [21, ['20', '21', '01', '02']],
    [22, ['21', '22', '01', '02']],
    [23, ['22', '23', '01', '02']],
  ] as const) {
    now = new Date(2026, 10, day, 12);
    store.saveSnapshot(state);
    const file = readSnapshotFile(folder.file('store.snapshot.json'));
    assert.deepEqual(file.state === 'whole' && file.content.usage.map(({ day }) => day.slice(-2)), expected);
  }
});

test('a save that failed is forgotten: the next write leaves the file of another process as it is', (t) => {
  const folder = new TestFolder(t);
  const [store, other] = [
    folder.open({ snapshotPath: folder.file('states/state.json') }),
    folder.open({ snapshotPath: folder.file('states/state.json') }),
  ];
  store.saveSnapshot(state);
  renameSync(folder.file('states'), folder.file('away'));
  assert.throws(() => store.saveSnapshot(later), { code: 'ERR_STORE_NOT_FOUND' });
  renameSync(folder.file('away'), folder.file('states'));
  other.saveSnapshot(later);
  const { ino } = statSync(folder.file('states/state.json'));
  store.addUsage('minecraft', '2026-11-21', 1);
  assert.equal(statSync(folder.file('states/state.json')).ino, ino);
});

test('the file has totals up to the largest there can be', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const totals = [Number.MAX_SAFE_INTEGER, 9_007_199_254_740_000, 9_007_199_254_739_999];
  for (const [index, total] of totals.entries()) store.addUsage(`entry-${index}`, '2026-11-21', total);
  store.saveSnapshot(state);
  const file = readSnapshotFile(folder.file('store.snapshot.json'));
  assert.deepEqual(file.state === 'whole' && file.content.usage.map(({ durationMs }) => durationMs), totals);
});

test('the two days that got rows last are in the plain file, whoever wrote them, in whatever transaction, and not '
  + 'what was undone', (t) => {
  const folder = new TestFolder(t);
  const open = (): SqliteStore => folder.open({ clock: () => new Date(2030, 0, 1, 12) });
  let store = open();
  const add = (...days: string[]): void => days.forEach((day) => store.addUsage('minecraft', `2026-11-${day}`, 1));
  const together = (fn: () => void): void => store.transaction(fn);
  const undone = (fn: () => void): void =>
    assert.throws(
      () =>
        store.transaction(() => {
          fn();
          throw new Error('never mind');
        }),
      { message: 'never mind' },
    );
  const daysAfter = (fn: () => void): string[] => {
    fn();
    store.saveSnapshot(state);
    const file = readSnapshotFile(folder.file('store.snapshot.json'));
    assert.ok(file.state === 'whole');
    return file.content.usage.map(({ day }) => day.slice(-2));
  };
  assert.deepEqual(
    daysAfter(() => {}),
    [],
  );
  assert.deepEqual(
    daysAfter(() => add('05')),
    ['05'],
  );
  assert.deepEqual(
    daysAfter(() => add('01', '02', '01')),
    ['01', '02'],
  );
  assert.deepEqual(
    daysAfter(() => add('03')),
    ['02', '03'],
  );
  assert.deepEqual(
    daysAfter(() => together(() => add('01', '03', '01'))),
    ['02', '03'],
    'totals that were there already are no new rows',
  );
  assert.deepEqual(
    daysAfter(() => add('04')),
    ['03', '04'],
  );
  assert.deepEqual(
    daysAfter(() => undone(() => add('05', '06'))),
    ['03', '04'],
  );
  assert.deepEqual(
    daysAfter(() => together(() => add('02', '04'))),
    ['03', '04'],
  );
  assert.deepEqual(
    daysAfter(() => add('01', '04')),
    ['03', '04'],
  );
  assert.deepEqual(
    daysAfter(() =>
      together(() => {
        add('07');
        undone(() => add('08', '09'));
        together(() => undone(() => add('10')));
      }),
    ),
    ['04', '07'],
  );
  assert.deepEqual(
    daysAfter(() =>
      together(() => {
        add('11', '12');
        store.saveSnapshot(state);
      }),
    ),
    ['11', '12'],
    'saved in the transaction that wrote them',
  );
  const other = open();
  assert.deepEqual(
    daysAfter(() => other.addUsage('minecraft', '2026-11-13', 1)),
    ['12', '13'],
  );
  assert.deepEqual(
    daysAfter(() => add('12')),
    ['12', '13'],
  );
  assert.deepEqual(
    daysAfter(() => other.addUsage('minecraft', '2026-11-14', 1)),
    ['13', '14'],
    'the other process has seen this one',
  );
  store.close();
  store = open();
  assert.deepEqual(
    daysAfter(() => add('15')),
    ['14', '15'],
  );
});

test('the file has the usage and cooldowns of the moment of each save, whoever changed them and however', (t) => {
  const folder = new TestFolder(t);
  const options = { clock: () => new Date(2026, 10, 21, 12), snapshotPath: folder.file('states/state.json') };
  const [store, other] = [folder.open(options), folder.open(options)];
  const { prepare, write } = connect(store);
  const day = '2026-11-21';
  const run = StatementSync.prototype.run;
  let isFailing = false;
  t.mock.method(StatementSync.prototype, 'run', function (this: StatementSync, ...values: Parameters<typeof run>) {
    if (isFailing && this.sourceSQL === 'COMMIT')
      throw Object.assign(new Error('database or disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 });
    return run.apply(this, values);
  });
  const undone = (fn: () => void): void => assert.throws(() => store.transaction(() => {
    fn();
    throw new Error('never mind');
  }), { message: 'never mind' });
  const changes: Record<string, () => unknown> = {
    'nothing': () => undefined,
    'usage': () => store.addUsage('a', day, 1_001),
    'a cooldown': () => store.setCooldownUntil('a', new Date(Date.UTC(2026, 10, 22) + 1)),
    'a cooldown of the same length': () => store.setCooldownUntil('a', new Date(Date.UTC(2026, 10, 22) + 2)),
    'a cooldown cleared': () => store.clearCooldown('a'),
    'an event': () => store.appendAudit({ type: 'service_started' }),
    'usage by another process': () => other.addUsage('a', day, 1),
    'a snapshot by another process': () => other.saveSnapshot(later),
    'usage by another process between two saves of a third': () => [
      other.addUsage('b', day, 1),
      other.saveSnapshot(later),
    ],
    'rows deleted by a module': () => write('test', 'delete', () => prepare('DELETE FROM usage').run()),
    'usage that is undone': () => undone(() => store.addUsage('a', day, 5)),
    'usage and a save that are undone': () => undone(() => [store.addUsage('a', day, 5), store.saveSnapshot(state)]),
    'usage and a save inside that are undone, in a transaction that saves': () =>
      store.transaction(() => {
        undone(() => [store.addUsage('a', day, 5), store.saveSnapshot(state)]);
        store.saveSnapshot(later);
      }),
    'usage after a save in one transaction': () =>
      store.transaction(() => [store.saveSnapshot(state), store.addUsage('c', day, 7), store.saveSnapshot(later)]),
    'usage and a save whose file could not be written': () => {
      renameSync(folder.file('states'), folder.file('away'));
      assert.throws(() => store.transaction(() => [store.addUsage('a', day, 5), store.saveSnapshot(state)]), {
        code: 'ERR_STORE_NOT_FOUND',
      });
      renameSync(folder.file('away'), folder.file('states'));
    },
    'usage and a save whose COMMIT failed': () => {
      isFailing = true;
      assert.throws(() => store.transaction(() => [store.addUsage('a', day, 5), store.saveSnapshot(state)]), {
        code: 'ERR_STORE_DISK_FULL',
      });
      isFailing = false;
    },
  };
  for (const [first, change] of Object.entries(changes)) {
    for (const [second, then] of Object.entries(changes)) {
      for (const each of [change, then]) {
        each();
        store.saveSnapshot(state);
        const file = readSnapshotFile(options.snapshotPath);
        assert.ok(file.state === 'whole');
        assert.deepEqual(
          file.content.usage,
          store.getUsageForDay(day).map((row) => ({ ...row, day })),
          `${first}, then ${second}`,
        );
        assert.deepEqual(
          file.content.cooldowns.map(({ entryId, until }) => ({ entryId, until: new Date(until) })),
          store.listCooldowns(),
          `${first}, then ${second}`,
        );
      }
    }
  }
});

/** The generation that the plain file has. */
function generationOf(folder: TestFolder): number | undefined {
  const file = readSnapshotFile(folder.file('store.snapshot.json'));
  return file.state === 'whole' ? file.content.generation : undefined;
}

test('a save that is rolled back leaves row and file as they were', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.saveSnapshot(state);
  assert.throws(() => store.transaction(() => {
    store.saveSnapshot(later);
    throw new Error('never mind');
  }), { message: 'never mind' });
  store.transaction(() => {
    assert.throws(() => store.transaction(() => {
      store.saveSnapshot(later);
      throw new Error('never mind');
    }));
    store.addUsage('minecraft', '2026-11-21', 5);
  });
  assert.deepEqual(store.loadSnapshot(), state);
  assert.equal(generationOf(folder), 1);
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.db-shm', 'store.db-wal', 'store.snapshot.json']);
});

test('of several saves in one transaction the file gets the last that was not rolled back', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.transaction(() => {
    store.saveSnapshot(later);
    store.saveSnapshot(state);
    assert.throws(() => store.transaction(() => {
      store.saveSnapshot(later);
      throw new Error('never mind');
    }));
    assert.equal(generationOf(folder), undefined);
  });
  assert.deepEqual(store.loadSnapshot(), state);
  const file = readSnapshotFile(folder.file('store.snapshot.json'));
  assert.deepEqual(file.state === 'whole' && file.content.state, state);
});

test('where the file cannot be written nothing is saved, and it works again once it can', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ snapshotPath: folder.file('states/state.json') });
  store.saveSnapshot(state);
  renameSync(folder.file('states'), folder.file('away'));
  assert.throws(() => store.transaction(() => {
    store.addUsage('minecraft', '2026-11-21', 5);
    store.saveSnapshot(later);
  }), { code: 'ERR_STORE_NOT_FOUND' });
  assert.equal(store.getUsage('minecraft', '2026-11-21'), 0);
  renameSync(folder.file('away'), folder.file('states'));
  store.saveSnapshot(later);
  assert.deepEqual(store.loadSnapshot(), later);
  assert.deepEqual(namesIn(folder.file('states')), ['state.json']);
});

test('a file that cannot be put in place after the commit is a finding, is published, and the row counts', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  mkdirSync(folder.file('store.snapshot.json'));
  const published: unknown[] = [];
  const listen = (fault: unknown): void => void published.push((fault as { kind: string }).kind);
  subscribe('shepherd-store:fault', listen);
  t.after(() => unsubscribe('shepherd-store:fault', listen));
  store.saveSnapshot(state);
  assert.deepEqual(published, ['snapshot-not-placed']);
  assert.deepEqual(store.loadSnapshot(), state);
  assert.ok(findings(store).includes('snapshot-not-placed'));
  assert.equal(store.isHealthy(), true);
  assert.deepEqual(namesIn(folder.path).filter((name) => name.endsWith('.tmp')), []);
  rmSync(folder.file('store.snapshot.json'), { recursive: true });
  store.saveSnapshot(later);
  assert.deepEqual(findings(store), []);
});

test('a file that another process took for a left-over before it was in its place is written again', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const run = StatementSync.prototype.run;
  let taken = 0;
  t.mock.method(StatementSync.prototype, 'run', function (this: StatementSync, ...values: Parameters<typeof run>) {
    const result = run.apply(this, values);
    for (const name of this.sourceSQL === 'COMMIT'
      ? namesIn(folder.path).filter((each) => each.endsWith('.tmp'))
      : []) {
      rmSync(folder.file(name));
      taken++;
    }
    return result;
  });
  store.saveSnapshot(state);
  assert.deepEqual(store.health().findings, []);
  store.saveSnapshot(later);
  assert.equal(taken, 2);
  const file = readSnapshotFile(folder.file('store.snapshot.json'));
  assert.deepEqual(file.state === 'whole' && [file.content.generation, file.content.state], [2, later]);
  assert.deepEqual(store.health().findings, []);
  assert.deepEqual(namesIn(folder.path).filter((name) => name.endsWith('.tmp')), []);
});

test('generations go on after those of the file, whichever of the two is ahead', (t) => {
  const folder = savedTwice(t);
  renameSync(folder.file('first.db'), folder.file());
  const store = folder.open();
  assert.equal(store.recovery?.found, 'behind');
  assert.deepEqual(store.loadSnapshot(), later);
  assert.equal(generationOf(folder), 3);
  store.saveSnapshot(state);
  assert.equal(generationOf(folder), 4);
});

test('of two processes that save at once, neither ever puts an older file over a newer one', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const saver = `
    const store = SqliteStore.open(path);
    report('ready');
    await told();
    for (let i = 0; i < 100; i++) store.saveSnapshot({ timestamp: new Date() });
    report(store.health().findings.map(({ kind }) => kind));
    store.close();`;
  const savers = [new Companion(t, folder.file(), saver), new Companion(t, folder.file(), saver)];
  for (const each of savers) await each.next();
  for (const each of savers) each.tell('go');
  const ended = Promise.all(savers.map(async (each) => {
    const found = await each.next();
    await each.end();
    return found;
  }));
  let highest = 0;
  let running = true;
  void ended.finally(() => (running = false));
  while (running) {
    const generation = generationOf(folder) ?? 0;
    assert.ok(generation >= highest, `${generation} came after ${highest}`);
    highest = generation;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await ended, [[], []]);
  assert.equal(generationOf(folder), 200);
  assert.equal(folder.open().recovery, undefined);
});

test("the plain file of another store that is put there under an open store is never loaded", (t) => {
  const folder = new TestFolder(t);
  const other = folder.closing(SqliteStore.open(folder.file('other.db')));
  for (let round = 0; round < 5; round++) other.saveSnapshot(later);
  const store = folder.open();
  store.saveSnapshot(state);
  copyFileSync(folder.file('other.snapshot.json'), folder.file('store.snapshot.json'));
  assert.deepEqual(store.loadSnapshot(), state);
  assert.deepEqual(findings(store), ['snapshot-file-damaged']);
});

test('an adopted entry id or cooldown that cannot be read does not make the file a damaged one', (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  makeDatabase(folder.file(), `
    INSERT INTO usage VALUES ('', '2026-11-21', 5, 0), (x'00ff', '2026-11-21', 5, 0), ('minecraft', '2026-11-21',
    'many', 0), ('tuxpaint', '2026-11-21', 5, 7);
    INSERT INTO cooldowns (entry_id, until) VALUES ('', '2026-11-21T10:00:00Z'), ('minecraft', 'never'),
    ('tuxpaint', '2026-11-21T10:00:00+01:00');`);
  folder.open({ clock: () => new Date(2026, 10, 21, 12) }).saveSnapshot(state);
  const file = readSnapshotFile(folder.file('store.snapshot.json'));
  assert.ok(file.state === 'whole');
  assert.deepEqual(file.content.usage, [{ entryId: 'tuxpaint', day: '2026-11-21', durationMs: 5_007 }]);
  assert.deepEqual(file.content.cooldowns, [{ entryId: 'tuxpaint', until: '2026-11-21T09:00:00.000Z' }]);
});

test('a file that this user may not read keeps the store from opening: what it knows would be lost', (t) => {
  const folder = savedTwice(t);
  chmodSync(folder.path, 0o777);
  for (const name of ['store.db', 'store.snapshot.json']) chmodSync(folder.file(name), 0o666);
  chmodSync(folder.file('store.snapshot.json'), 0);
  assert.deepEqual(run(folder.file(), 'report(codeOf(() => SqliteStore.open(path)));', { uid: nobody }), [
    'ERR_STORE_PERMISSION',
  ]);
  assert.equal(modeOf(folder.file('store.snapshot.json')), '0');
});

test('a commit that fails leaves no temporary file of its snapshot', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.saveSnapshot(state);
  const { run: original } = StatementSync.prototype;
  const failing = t.mock.method(StatementSync.prototype, 'run', function (this: StatementSync, ...values: never[]) {
    if (this.sourceSQL === 'COMMIT')
      throw Object.assign(new Error('database or disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 });
    return original.apply(this, values as never);
  });
  for (let count = 0; count < 3; count++)
    assert.throws(() => store.saveSnapshot(later), { code: 'ERR_STORE_DISK_FULL' });
  failing.mock.restore();
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.db-shm', 'store.db-wal', 'store.snapshot.json']);
  assert.deepEqual(store.loadSnapshot(), state);
  store.saveSnapshot(later);
  assert.deepEqual(store.loadSnapshot(), later);
});
