import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { StatementSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { schemaVersion } from '../../lib/core/schema.ts';
import { type SqliteStore, StoreError } from '../../lib/index.ts';
import { connect } from '../../lib/store.ts';
import { TestFolder } from '../support/folder.ts';

const day = '2026-11-21';
const io = { code: 'ERR_STORE_IO' };
const conflict = { code: 'ERR_STORE_CONFLICT' };
const own = new Error('the caller\'s own');
const isOwn = (error: unknown): boolean => error === own;
const at = (minute: number): Date => new Date(Date.UTC(2026, 10, 21, 9, minute));

/** One of every kind of write, told apart by `n`. */
function writeAll(store: SqliteStore, n: number): void {
  store.appendAudit({ type: 'policy_loaded', entryCount: n });
  store.addUsage('a', day, n);
  store.setCooldownUntil('a', at(n));
  store.saveSnapshot({ timestamp: at(n) });
}

/** All that a reader sees, and the plain file. */
function contents(store: SqliteStore, folder: TestFolder): unknown {
  return [
    store.getRecentAudits(99),
    store.getUsageForDay(day),
    store.listCooldowns(),
    store.loadSnapshot(),
    readFileSync(folder.file('store.snapshot.json'), 'utf8'),
    readdirSync(folder.path).sort(),
  ];
}

test('all that a transaction writes is there when it returns, with what its function gave', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const given = {};
  assert.equal(store.transaction(() => {
    writeAll(store, 1);
    writeAll(store, 2);
    return given;
  }), given);
  const other = folder.open();
  assert.deepEqual(
    other.getRecentAudits(9).map(({ id, event }) => [id, event]),
    [
      [2, { type: 'policy_loaded', entryCount: 2 }],
      [1, { type: 'policy_loaded', entryCount: 1 }],
    ],
  );
  assert.equal(other.getUsage('a', day), 3);
  assert.deepEqual(other.getCooldownUntil('a'), at(2));
  assert.deepEqual(other.loadSnapshot(), { timestamp: at(2) });
  assert.equal(store.transaction(() => undefined), undefined);
});

test('a throw undoes everything, the snapshot file included, and comes out as it was thrown', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  writeAll(store, 1);
  const before = contents(store, folder);
  const thrown: unknown[] = [
    own,
    'a text',
    undefined,
    null,
    0,
    { code: 'ERR_STORE_IO' },
    new StoreError('ERR_STORE_IO', 'the caller says so'),
    new TypeError('a'),
  ];
  for (const error of thrown) {
    let caught: unknown = 'nothing was thrown';
    try {
      store.transaction(() => {
        writeAll(store, 2);
        throw error;
      });
    } catch (out) {
      caught = out;
    }
    assert.equal(caught, error);
    assert.deepEqual(contents(store, folder), before);
  }
  assert.equal(store.isHealthy(), true);
  assert.equal(store.health().lastError, undefined);
  assert.equal(store.appendAudit({ type: 'service_started' }).id, 2); // the id is used again
});

test('an error of the caller\'s own files or databases is not taken for the store\'s', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const raw = folder.raw();
  for (const fail of [
    () => readFileSync(folder.path), // EISDIR
    () => readFileSync(folder.file('never')),
    () => writeFileSync('/proc/version', 'a'),
    () => raw.exec('SELECT * FROM never'),
    () => { throw Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO', syscall: 'write' }); },
    () => { throw Object.assign(new Error('EROFS'), { code: 'EROFS', syscall: 'open' }); },
    () => { throw Object.assign(new Error('disk I/O error'), { code: 'ERR_SQLITE_ERROR', errcode: 10 }); },
  ]) {
    for (const nested of [false, true]) {
      assert.throws(
        () => store.transaction(() => (nested ? store.transaction(fail) : fail())),
        (error) => !(error instanceof StoreError),
      );
      assert.equal(store.isHealthy(), true);
      store.addUsage('a', day, 1);
    }
  }
});

test('an event is chained to the row that is there, after an inner transaction that was undone and after another '
  + 'handle', async (t) => {
  const folder = new TestFolder(t);
  const [store, other] = [folder.open(), folder.open()];
  const append = (each: SqliteStore): number => each.appendAudit({ type: 'service_started' }).id;
  for (let round = 0; round < 3; round++) {
    store.transaction(() => {
      append(store);
      assert.throws(
        () =>
          store.transaction(() => {
            append(store);
            throw own;
          }),
        isOwn,
      );
      append(store);
    });
    append(other);
    append(store);
  }
  assert.deepEqual(await store.verifyAudit(), {
    ok: true,
    checked: 12,
    head: other.auditHead(),
    findings: [],
    more: 0,
  });
});

test('an inner transaction that throws undoes only itself, if its error is caught', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.transaction(() => {
    writeAll(store, 1);
    assert.throws(() => store.transaction(() => {
      writeAll(store, 2);
      assert.equal(store.getUsage('a', day), 3);
      store.transaction(() => writeAll(store, 3));
      throw own;
    }), isOwn);
    assert.equal(store.getUsage('a', day), 1);
    assert.deepEqual(store.loadSnapshot(), { timestamp: at(1) });
    store.transaction(() => store.addUsage('b', day, 7));
  });
  const other = folder.open();
  assert.deepEqual(other.getUsageForDay(day), [{ entryId: 'a', durationMs: 1 }, { entryId: 'b', durationMs: 7 }]);
  assert.deepEqual(other.getRecentAudits(9).map(({ id }) => id), [1]);
  assert.deepEqual(other.loadSnapshot(), { timestamp: at(1) });
  assert.deepEqual(other.health().findings, []);
});

test('a snapshot that was rolled back inside does not reach the file', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  writeAll(store, 1);
  const file = readFileSync(folder.file('store.snapshot.json'), 'utf8');
  store.transaction(() => {
    assert.throws(() => store.transaction(() => { store.saveSnapshot({ timestamp: at(2) }); throw own; }), isOwn);
    store.addUsage('a', day, 1);
  });
  assert.equal(readFileSync(folder.file('store.snapshot.json'), 'utf8'), file);
  assert.deepEqual(store.loadSnapshot(), { timestamp: at(1) });
});

test('a refused operation inside undoes nothing of the rest, if its error is caught', (t) => {
  const store = new TestFolder(t).open();
  store.transaction(() => {
    store.appendAudit({ type: 'service_started' }, { eventId: 'e' });
    assert.throws(() => store.appendAudit({ type: 'service_stopped' }, { eventId: 'e' }), conflict);
    assert.throws(() => store.addUsage('a', 'today', 1), { code: 'ERR_STORE_INVALID_ARGUMENT' });
    store.addUsage('a', day, Number.MAX_SAFE_INTEGER);
    assert.throws(() => store.addUsage('a', day, 1), { code: 'ERR_STORE_INVALID_ARGUMENT' });
    store.appendAudit({ type: 'service_stopped' });
  });
  assert.deepEqual(
    store.getRecentAudits(9).map(({ id, event }) => [id, event.type]),
    [
      [2, 'service_stopped'],
      [1, 'service_started'],
    ],
  );
  assert.equal(store.getUsage('a', day), Number.MAX_SAFE_INTEGER);
});

test('a group of which one is refused inside leaves none of its events, if its error is caught', (t) => {
  const store = new TestFolder(t).open();
  store.transaction(() => {
    store.appendAudit({ type: 'service_started' }, { eventId: 'e' });
    assert.throws(
      () =>
        store.appendAudits([
          { event: { type: 'service_stopped' } },
          { event: { type: 'service_stopped' }, attributes: { eventId: 'e' } },
        ]),
      conflict,
    );
    store.appendAudit({ type: 'service_started' });
  });
  assert.deepEqual(
    store.getRecentAudits(9).map(({ id, event }) => [id, event.type]),
    [
      [2, 'service_started'],
      [1, 'service_started'],
    ],
  );
});

const full = { code: 'ERR_STORE_DISK_FULL' };
const sqliteError = (errcode: number): Error =>
  Object.assign(new Error('what SQLite says'), { code: 'ERR_SQLITE_ERROR', errcode });

/** Has `instead` done in the place of each statement that matches, until the function that comes back is called. */
function intercept(t: TestContext, pattern: RegExp, instead: (run: () => unknown) => unknown): () => void {
  const mocks = (['run', 'get', 'all'] as const).map((method) => {
    const original = StatementSync.prototype[method] as (...values: unknown[]) => unknown;
    return t.mock.method(StatementSync.prototype, method, function (this: StatementSync, ...values: unknown[]) {
      const run = (): unknown => original.apply(this, values);
      return pattern.test(this.sourceSQL) ? instead(run) : run();
    } as never);
  });
  return () => mocks.forEach(({ mock }) => mock.restore());
}

// After a full disk SQLite may roll back everything by itself; what the caller goes on with must not be committed
// without the rest.
for (const [what, pattern, inner] of [
  ['one statement', /^INSERT INTO cooldowns/, (store) => store.setCooldownUntil('a', new Date(5))],
  [
    'several statements',
    /^INSERT INTO audit_log/,
    (store) => store.appendAudits([{ event: { type: 'service_started' } }, { event: { type: 'service_stopped' } }]),
  ],
  ['a read', /^SELECT until/, (store) => store.getCooldownUntil('a')],
  ['a read of several rows at one moment', /^SELECT data, generation/, (store) => store.loadSnapshot()],
  [
    'an inner transaction that swallows the error',
    /^SELECT until/,
    (store) =>
      store.transaction(() => {
        assert.throws(() => store.getCooldownUntil('a'), full);
      }),
  ],
] as [what: string, pattern: RegExp, inner: (store: SqliteStore) => unknown][]) {
  test(`nothing of a transaction is committed that SQLite itself rolled back during ${what}, whatever is `
    + `caught`, async (t) => {
    const folder = new TestFolder(t);
    const store = folder.open();
    store.appendAudit({ type: 'service_started' });
    const rollback = connect(store).prepare('ROLLBACK');
    const restore = intercept(t, pattern, () => {
      rollback.run();
      throw sqliteError(13);
    });
    assert.throws(
      () =>
        store.transaction(() => {
          store.appendAudit({ type: 'service_stopped' });
          store.addUsage('a', day, 1);
          assert.throws(() => inner(store), full);
          assert.throws(() => store.addUsage('a', day, 2), full);
          assert.throws(() => store.appendAudit({ type: 'service_stopped' }), full);
        }),
      full,
    );
    restore();
    assert.equal(store.getUsage('a', day), 0);
    assert.equal(store.addUsage('a', day, 4), 4);
    assert.equal(store.appendAudit({ type: 'service_stopped' }).id, 2);
    assert.deepEqual((await store.verifyAudit()).findings, []);
  });
}

test('a rollback of SQLite\'s own that nobody was told of stops the transaction all the same', (t) => {
  const store = new TestFolder(t).open();
  const rollback = connect(store).prepare('ROLLBACK');
  assert.throws(() => store.transaction(() => {
    store.addUsage('a', day, 1);
    rollback.run();
    assert.throws(() => store.addUsage('a', day, 2), io);
  }), io);
  assert.throws(() => store.transaction(() => {
    store.addUsage('a', day, 1);
    rollback.run();
  }), io);
  assert.equal(store.getUsage('a', day), 0);
});

test("an operation that fails at its statement, or after it for no reason of SQLite's, leaves nothing in a "
  + "transaction that goes on", (t) => {
  const store = new TestFolder(t).open();
  let restore = intercept(t, /^SAVEPOINT/, () => {
    throw sqliteError(13);
  });
  store.transaction(() => assert.throws(() => store.addUsage('a', day, 1), full));
  restore();
  assert.equal(store.getUsage('a', day), 0);
  restore = intercept(t, /^INSERT INTO usage/, (run) => {
    run();
    throw new RangeError('Maximum call stack size exceeded');
  });
  store.transaction(() => assert.throws(() => store.addUsage('a', day, 1), RangeError));
  restore();
  assert.equal(store.getUsage('a', day), 0);
  assert.equal(store.addUsage('a', day, 1), 1);
});

test('reads of one moment that fail say why, also where SQLite has ended them', (t) => {
  const store = new TestFolder(t).open();
  const rollback = connect(store).prepare('ROLLBACK');
  const restore = intercept(t, /^SELECT data, generation/, () => {
    rollback.run();
    throw sqliteError(266);
  });
  assert.throws(() => store.loadSnapshot(), io);
  restore();
  assert.equal(store.loadSnapshot(), undefined);
});

test('an asynchronous function is refused before it runs, and a promise undoes what was done', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  writeAll(store, 1);
  const before = contents(store, folder);
  const refused = { code: 'ERR_STORE_INVALID_ARGUMENT' };
  let ran = 0;
  assert.throws(() => store.transaction(async () => { ran++; }), refused);
  assert.equal(ran, 0);
  const late: Promise<unknown>[] = [];
  const writeLater = (): Promise<void> => Promise.resolve().then(() => { store.addUsage('late', day, 1); });
  assert.throws(
    () =>
      store.transaction(() => {
        writeAll(store, 2);
        late.push(writeLater());
        return late[0];
      }),
    refused,
  );
  assert.throws(() => store.transaction(() => { writeAll(store, 2); return { then: () => ran++ }; }), refused);
  assert.throws(
    () =>
      store.transaction(() => {
        writeAll(store, 2);
        return Object.assign(() => 1, { then: () => ran++ });
      }),
    refused,
  );
  store.transaction(() => {
    assert.throws(() => store.transaction(() => { writeAll(store, 2); return Promise.resolve(); }), refused);
  });
  assert.equal(ran, 0);
  assert.deepEqual(contents(store, folder), before);
  await Promise.all(late);
  assert.equal(store.getUsage('late', day), 1); // on its own, after the transaction
});

test('a transaction reads the clock once', (t) => {
  let minute = 0;
  const store = new TestFolder(t).open({ clock: () => at(minute++) });
  minute = 10;
  const times = store.transaction(() => {
    const first = store.appendAudit({ type: 'service_started' });
    first.timestamp.setTime(0);
    return [
      store.appendAudit({ type: 'service_stopped' }),
      ...store.transaction(() => store.appendAudits([{ event: { type: 'service_started' } }])),
    ].map(({ timestamp }) => timestamp);
  });
  assert.deepEqual(times, [at(10), at(10)]);
  assert.deepEqual(store.appendAudit({ type: 'service_started' }).timestamp, at(11));
});

test('a clock that gives no time undoes the transaction, and the next one works', (t) => {
  let now: unknown = at(0);
  const store = new TestFolder(t).open({ clock: () => now as Date });
  for (const bad of [new Date(NaN), undefined, 0, '2026-11-21T09:00:00Z', new Date('+010000-01-01T00:00:00Z')]) {
    now = bad;
    assert.throws(
      () =>
        store.transaction(() => {
          store.addUsage('a', day, 1);
          store.appendAudit({ type: 'service_started' });
        }),
      { code: 'ERR_STORE_INVALID_ARGUMENT' },
    );
    now = at(0);
    assert.equal(store.getUsage('a', day), 0);
  }
  assert.equal(store.appendAudit({ type: 'service_started' }).id, 1);
});

test('of two connections that append in turn each goes on from the row of the other', async (t) => {
  const folder = new TestFolder(t);
  const stores = [folder.open(), folder.open()];
  for (let turn = 0; turn < 3; turn++) for (const store of stores) store.appendAudit({ type: 'service_started' });
  const { ok, checked } = await stores[0]!.verifyAudit();
  assert.deepEqual({ ok, checked }, { ok: true, checked: 6 });
});

test('others see a transaction when it has committed, and not before', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const other = folder.open();
  store.transaction(() => {
    store.addUsage('a', day, 1);
    store.appendAudit({ type: 'service_started' });
    assert.equal(store.getUsage('a', day), 1);
    assert.equal(other.getUsage('a', day), 0);
    assert.equal(other.auditHead(), undefined);
  });
  assert.equal(other.getUsage('a', day), 1);
  assert.equal(other.auditHead()?.id, 1);
});

test('a writer waits for another as long as it was told, and then says that it is busy', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const other = folder.open({ busyTimeoutMs: 50 });
  store.transaction(() => {
    store.addUsage('a', day, 1);
    const started = performance.now();
    assert.throws(() => other.addUsage('a', day, 1), { code: 'ERR_STORE_BUSY' });
    assert.throws(() => other.transaction(() => assert.fail('it must not begin')), { code: 'ERR_STORE_BUSY' });
    assert.ok(performance.now() - started >= 100);
    assert.equal(other.isHealthy(), true);
  });
  assert.equal(other.addUsage('a', day, 1), 2);
  assert.equal(other.appendAudit({ type: 'service_started' }).id, 1);
  assert.equal(store.appendAudit({ type: 'service_started' }).id, 2); // both chain onto one log
});

test('a store is not closed inside a transaction, and can be afterwards', (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.transaction(() => {
    store.addUsage('a', day, 1);
    assert.throws(() => store.close(), conflict);
    store.transaction(() => assert.throws(() => store[Symbol.dispose](), conflict));
    store.addUsage('a', day, 1);
  });
  store.close();
  assert.equal(folder.open().getUsage('a', day), 2);
});

for (const [what, harm] of [
  ['deleted', (path) => rmSync(path)],
  ['renamed', (path) => renameSync(path, `${path}.away`)],
  [
    'replaced by another file',
    (path) => {
      renameSync(path, `${path}.away`);
      writeFileSync(path, '');
    },
  ],
  [
    "replaced by a folder's worth of nothing",
    (path) => {
      for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
    },
  ],
] as [string, (path: string) => void][]) {
  test(`a database that was ${what} takes no more writes, says why, and can still be read`, (t) => {
    const folder = new TestFolder(t, { checked: false });
    const store = folder.open();
    writeAll(store, 1);
    const file = readFileSync(folder.file('store.snapshot.json'), 'utf8');
    harm(folder.file());
    assert.throws(() => store.transaction(() => writeAll(store, 2)), io);
    assert.throws(() => store.addUsage('a', day, 1), io);
    assert.equal(store.isHealthy(), false);
    const { ok, findings, lastError } = store.health();
    assert.equal(ok, false);
    assert.deepEqual(
      findings
        .map(({ kind }) => kind)
        .filter((kind) => kind !== 'unreadable')
        .sort(),
      ['replaced', 'stopped'],
    );
    assert.equal(lastError?.code, 'ERR_STORE_IO');
    assert.equal(store.getUsage('a', day), 1); // what was rolled back is not there
    assert.equal(readFileSync(folder.file('store.snapshot.json'), 'utf8'), file);
    assert.ok(!readdirSync(folder.path).some((name) => name.endsWith('.tmp')));
    if (what === 'renamed') {
      renameSync(`${folder.file()}.away`, folder.file());
      assert.throws(() => store.addUsage('a', day, 1), io); // until it is reopened
      store.close();
      assert.equal(folder.open().addUsage('a', day, 1), 2);
    }
  });
}

test('a schema that another connection changed stops the writes; VACUUM, ANALYZE and REINDEX do not', (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  writeAll(store, 1);
  const db = folder.raw();
  for (const sql of ['VACUUM', 'ANALYZE', 'REINDEX', `PRAGMA user_version = ${schemaVersion}`, 'VACUUM']) {
    db.exec(sql);
    assert.equal(store.addUsage('b', day, 1) > 0, true, sql);
  }
  db.exec('ALTER TABLE usage ADD COLUMN colour TEXT');
  assert.throws(() => store.addUsage('b', day, 1), { code: 'ERR_STORE_MIGRATION' });
  assert.throws(() => store.transaction(() => assert.fail('it must not begin')), { code: 'ERR_STORE_MIGRATION' });
  assert.equal(store.isHealthy(), false);
  assert.deepEqual(store.health().findings.map(({ kind }) => kind).sort(), ['schema-changed', 'stopped']);
  assert.equal(store.getUsage('b', day), 5);
});
