// What becomes of an append when the ledger's file or the COMMIT fails: for each shape of an append and each fault,
// what the caller is told, whether the store goes on, and what both files hold after the store is opened again.
import assert from 'node:assert/strict';
import * as system from 'node:fs';
import { StatementSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import type { SqliteStore, StoreError } from '../../lib/index.ts';
import type { LedgerFiles } from '../../lib/ledger/file.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { connect } from '../../lib/store.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { namesIn } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { checkBoth, filesWith, linesOf, openBoth, plant, systemError } from '../support/ledger.ts';

const day = '2026-11-21';

/** What is appended, by name: each leaves the events `wanted`, whole or not at all. */
const appends: Record<string, { append: (store: SqliteStore) => unknown; wanted: string[] }> = {
  'one event': { append: (store) => store.appendAudit({ type: 'service_started' }), wanted: ['service_started'] },
  'a group': {
    append: (store) =>
      store.appendAudits([
        { event: { type: 'service_started' } },
        { event: { type: 'service_stopped' } },
        { event: { type: 'service_started' } },
      ]),
    wanted: ['service_started', 'service_stopped', 'service_started'],
  },
  'a change of usage': { append: (store) => store.addUsage('a', day, 1_001), wanted: ['usage_added'] },
  'nested transactions': {
    append: (store) =>
      store.transaction(() => {
        store.appendAudit({ type: 'service_started' });
        try {
          store.transaction(() => {
            store.appendAudit({ type: 'policy_loaded', entryCount: 1 });
            throw new Error('undone');
          });
        } catch {
          /* the inner one is rolled back, the outer one goes on */
        }
        store.transaction(() => store.addUsage('a', day, 5));
        store.setCooldownUntil('a', new Date(0));
      }),
    wanted: ['service_started', 'usage_added', 'cooldown_set'],
  },
};

/** A fault: `arm` makes the next append fail. `left`: whether the events are there after reopening. */
interface FileFault {
  files: (next: () => boolean) => Partial<LedgerFiles>;
  code: StoreError['code'];
  healthy: boolean;
  left: boolean;
}

const full = systemError('ENOSPC', 'write');
const broken = systemError('EIO', 'fsync');

const fileFaults: Record<string, FileFault> = {
  'the disk is full before the first byte': {
    files: (next) => ({ writeSync: failing('writeSync', next, full) }),
    code: 'ERR_STORE_DISK_FULL',
    healthy: true,
    left: false,
  },
  'the disk is full after some bytes': {
    files: (next) => ({ writeSync: shortThen(next, full) }),
    code: 'ERR_STORE_DISK_FULL',
    healthy: true,
    left: false,
  },
  'no byte is taken, and no error said': {
    files: (next) => ({
      writeSync: ((...args: Parameters<typeof system.writeSync>) =>
        next() ? 0 : system.writeSync(...args)) as typeof system.writeSync,
    }),
    code: 'ERR_STORE_IO',
    healthy: false,
    left: false,
  },
  'the write fails': {
    files: (next) => ({ writeSync: shortThen(next, systemError('EIO', 'write')) }),
    code: 'ERR_STORE_IO',
    healthy: false,
    left: false,
  },
  'the fsync fails': {
    files: (next) => ({ fsyncSync: failing('fsyncSync', next, broken) }),
    code: 'ERR_STORE_IO',
    healthy: false,
    left: false,
  },
  'the file system is read-only': {
    files: (next) => ({ writeSync: failing('writeSync', next, systemError('EROFS', 'write')) }),
    code: 'ERR_STORE_IO',
    healthy: false,
    left: false,
  },
  'the disk is full and the bytes stay': {
    files: (next) => ({
      writeSync: shortThen(next, full),
      ftruncateSync: failing('ftruncateSync', next, systemError('EIO', 'ftruncate')),
    }),
    code: 'ERR_STORE_IO',
    healthy: false,
    left: false,
  },
  'the disk is full and the cut is not durable': {
    files: (next) => ({ writeSync: shortThen(next, full), fsyncSync: failing('fsyncSync', next, broken) }),
    code: 'ERR_STORE_IO',
    healthy: false,
    left: false,
  },
  // Whole lines whose fsync failed and that could not be taken back: the next open brings them into the database.
  'the fsync and the cut fail': {
    files: (next) => ({
      fsyncSync: failing('fsyncSync', next, broken),
      ftruncateSync: failing('ftruncateSync', next, broken),
    }),
    code: 'ERR_STORE_IO',
    healthy: false,
    left: true,
  },
};

function failing<Name extends keyof LedgerFiles>(name: Name, next: () => boolean, error: Error): LedgerFiles[Name] {
  const original = system[name] as (...args: unknown[]) => unknown;
  return ((...args: unknown[]) => {
    if (next()) throw error;
    return original(...args);
  }) as LedgerFiles[Name];
}

/** Writes half of what it is given, and then fails. */
function shortThen(next: () => boolean, error: Error): typeof system.writeSync {
  let wrote = false;
  return ((fd: number, data: Buffer, offset: number, length: number, position: number) => {
    if (!next()) return system.writeSync(fd, data, offset, length, position);
    if (wrote) throw error;
    wrote = true;
    return system.writeSync(fd, data, offset, Math.ceil(length / 2), position);
  }) as typeof system.writeSync;
}

/** What was appended behind a row, but for the event that tells of an end that was set aside. */
const types = (store: SqliteStore, after: number): string[] =>
  [...store.iterateAudits({ fromId: after + 1 })]
    .map(({ event }) => event.type)
    .filter((type) => type !== 'ledger_set_aside');

for (const [what, { files, code, healthy, left }] of Object.entries(fileFaults)) {
  for (const [shape, { append, wanted }] of Object.entries(appends)) {
    test(`${shape}, where ${what}: ${code}`, (t) => {
      const folder = new TestFolder(t);
      let armed = false;
      const store = openBoth(folder, { files: filesWith(files(() => armed)) });
      store.appendAudit({ type: 'service_started' });
      const { id } = store.auditHead()!;
      armed = true;
      assert.throws(() => append(store), { code });
      assert.deepEqual(types(store, id), []);
      assert.equal(store.isHealthy(), healthy);
      armed = false;
      if (healthy) {
        append(store);
        assert.deepEqual(types(store, id), wanted);
      } else {
        assert.throws(() => store.addUsage('b', day, 1), { code: 'ERR_STORE_IO' });
      }
      store.close();
      const again = openBoth(folder);
      assert.deepEqual(types(again, id), healthy || left ? wanted : []);
      assert.equal(again.getUsage('a', day) > 0, (healthy || left) && wanted.includes('usage_added'));
      append(again);
      again.close();
      checkBoth(folder.file(), folder.file('audit.jsonl'));
    });
  }
}

test('a short write without an error is gone on with', (t) => {
  const folder = new TestFolder(t);
  const writeSync = ((fd: number, data: Buffer, offset: number, length: number, position: number) =>
    system.writeSync(fd, data, offset, Math.min(length, 7), position)) as typeof system.writeSync;
  const store = openBoth(folder, { files: filesWith({ writeSync }) });
  for (const { append } of Object.values(appends)) append(store);
  store.close();
  assert.deepEqual(namesIn(folder.path), ['audit.jsonl', 'store.db']);
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});

// COMMIT. The hook runs in its place, and `run` is COMMIT itself.

let onCommit: ((run: () => unknown) => unknown) | undefined;
let onBegin: (() => void) | undefined;
const run = StatementSync.prototype.run;
Object.defineProperty(StatementSync.prototype, 'run', {
  value(this: StatementSync, ...values: Parameters<typeof run>) {
    if (this.sourceSQL === 'BEGIN IMMEDIATE') onBegin?.();
    if (this.sourceSQL === 'COMMIT' && onCommit) return onCommit(() => run.apply(this, values));
    return run.apply(this, values);
  },
});

function sqliteError(errcode: number): Error {
  return Object.assign(new Error('injected'), { code: 'ERR_SQLITE_ERROR', errcode });
}

/** The next COMMIT fails, after which `then` is called. */
function failCommit(t: TestContext, { errcode = 13, then }: { errcode?: number; then?: () => void } = {}): void {
  onCommit = () => {
    onCommit = undefined;
    then?.();
    throw sqliteError(errcode);
  };
  t.after(() => (onCommit = undefined));
}

for (const [shape, { append, wanted }] of Object.entries(appends)) {
  for (const next of ['write', 'open'] as const) {
    test(`${shape} whose COMMIT finds the disk full did not happen, and does not come back with the next `
      + `${next}`, (t) => {
      const folder = new TestFolder(t);
      let store = openBoth(folder);
      const { id } = store.auditHead()!;
      const lines = linesOf(folder.file('audit.jsonl'));
      failCommit(t);
      assert.throws(() => append(store), { code: 'ERR_STORE_DISK_FULL' });
      assert.deepEqual(linesOf(folder.file('audit.jsonl')), lines);
      assert.ok(store.isHealthy());
      assert.equal(store.health().lastError?.code, 'ERR_STORE_DISK_FULL');
      if (next === 'open') {
        store.close();
        store = openBoth(folder);
      }
      store.appendAudit({ type: 'config_reloaded', success: true });
      assert.deepEqual(types(store, id), ['config_reloaded']);
      append(store);
      assert.deepEqual(types(store, id), ['config_reloaded', ...wanted]);
      const charged = { 'a change of usage': 1_001, 'nested transactions': 5 }[shape] ?? 0;
      assert.equal(store.getUsage('a', day), charged);
      store.close();
      checkBoth(folder.file(), folder.file('audit.jsonl'));
    });
  }
}

test('the cut after a failed COMMIT is durable before the error is thrown', (t) => {
  const folder = new TestFolder(t);
  const calls: string[] = [];
  const noting = <Name extends 'ftruncateSync' | 'fsyncSync'>(name: Name): LedgerFiles[Name] =>
    ((...args: [number]) => {
      calls.push(name);
      system[name](...args);
    }) as LedgerFiles[Name];
  const store = openBoth(folder, {
    files: filesWith({ ftruncateSync: noting('ftruncateSync'), fsyncSync: noting('fsyncSync') }),
  });
  failCommit(t, { then: () => calls.push('COMMIT') });
  assert.throws(() => store.addUsage('a', day, 1), { code: 'ERR_STORE_DISK_FULL' });
  assert.deepEqual(calls.slice(-4), ['fsyncSync', 'COMMIT', 'ftruncateSync', 'fsyncSync']);
});

for (const name of ['ftruncateSync', 'fsyncSync'] as const) {
  test(`where the ${name} of the cut fails, the store stops, and the next open finds what is in the ledger`, (t) => {
    const folder = new TestFolder(t);
    let armed = false;
    const fails = failing(name, () => armed, systemError('EIO', name.replace('Sync', '')));
    const store = openBoth(folder, { files: filesWith({ [name]: fails }) });
    const { id } = store.auditHead()!;
    failCommit(t, { then: () => (armed = true) });
    assert.throws(() => store.addUsage('a', day, 3), { code: 'ERR_STORE_IO' });
    assert.equal(store.isHealthy(), false);
    assert.throws(() => store.addUsage('b', day, 1), { code: 'ERR_STORE_IO' });
    store.close();
    const again = openBoth(folder);
    assert.deepEqual(types(again, id), name === 'ftruncateSync' ? ['usage_added'] : []);
    assert.equal(again.getUsage('a', day), name === 'ftruncateSync' ? 3 : 0);
    again.close();
    checkBoth(folder.file(), folder.file('audit.jsonl'));
  });
}

test('an I/O error of COMMIT stops the store; the next open brings the events in', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const { id } = store.auditHead()!;
  failCommit(t, { errcode: 10 });
  assert.throws(() => store.appendAudit({ type: 'service_started' }), { code: 'ERR_STORE_IO' });
  onCommit = undefined;
  assert.equal(store.isHealthy(), false);
  assert.throws(() => store.appendAudit({ type: 'service_started' }), { code: 'ERR_STORE_IO' });
  store.close();
  assert.deepEqual(types(openBoth(folder), id), ['service_started']);
});

test('an error of a COMMIT that was done all the same writes nothing twice', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const { id } = store.auditHead()!;
  onCommit = (commit) => {
    onCommit = undefined;
    commit();
    throw sqliteError(13);
  };
  assert.equal(store.addUsage('a', day, 3), 3);
  assert.deepEqual(types(store, id), ['usage_added']);
  assert.equal(store.getUsage('a', day), 3);
});

test('events and a snapshot in a transaction whose COMMIT fails did not happen, both of them', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const { id } = store.auditHead()!;
  failCommit(t);
  assert.throws(() => store.transaction(() => {
    store.addUsage('a', day, 2);
    store.saveSnapshot({ timestamp: new Date(5) });
  }), { code: 'ERR_STORE_DISK_FULL' });
  store.saveSnapshot({ timestamp: new Date(6) });
  assert.deepEqual(types(store, id), []);
  assert.deepEqual(store.loadSnapshot(), { timestamp: new Date(6) });
});

test('a change whose event cannot be written is undone with it, inside a transaction that goes on', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const { run } = StatementSync.prototype;
  store.transaction(() => {
    for (const change of [() => store.addUsage('a', day, 5), () => store.setCooldownUntil('a', new Date(5))]) {
      const fail = t.mock.method(
        StatementSync.prototype,
        'run',
        function (this: StatementSync, ...values: Parameters<typeof run>) {
          if (this.sourceSQL.startsWith('INSERT INTO audit_log')) throw sqliteError(13);
          return run.apply(this, values);
        },
      );
      assert.throws(change, { code: 'ERR_STORE_DISK_FULL' });
      fail.mock.restore();
    }
    store.addUsage('a', day, 1);
  });
  assert.equal(store.getUsage('a', day), 1);
  assert.equal(store.getCooldownUntil('a'), undefined);
  store.close();
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});

test('a session whose end finds the disk full goes on, and its next end charges it once', (t) => {
  const folder = new TestFolder(t);
  let elapsed = 0;
  const store = openBoth(folder, { clock: () => new Date(`${day}T10:00:00Z`) });
  const tracker = new SessionTracker(store, { timeZone: 'UTC', monotonicMs: () => elapsed });
  tracker.start({ entryId: 'a', sessionId: 's' });
  elapsed = 4_000;
  for (let count = 0; count < 2; count++) {
    failCommit(t);
    assert.throws(() => tracker.end({ type: 'user_stop' }, { cooldownMs: 9 }), { code: 'ERR_STORE_DISK_FULL' });
    assert.equal(tracker.active?.sessionId, 's');
  }
  tracker.touch();
  assert.equal(tracker.active?.sessionId, 's');
  assert.equal(tracker.end({ type: 'user_stop' }).durationMs, 4_000);
  assert.equal(tracker.active, undefined);
  assert.equal(store.getUsage('a', day), 4_000);
  assert.equal(store.getCooldownUntil('a'), undefined);
  assert.equal(store.getRecentAudits(9, { type: 'session_ended' }).length, 1);
  store.close();
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});

test('what has no event did not happen when its COMMIT fails, and the error is that of the COMMIT', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  failCommit(t);
  assert.throws(() => store.saveSnapshot({ timestamp: new Date(5) }), { code: 'ERR_STORE_DISK_FULL' });
  assert.equal(store.loadSnapshot(), undefined);
});

test('what a transaction threw, and a duplicate event id, leave no line', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  store.appendAudit({ type: 'service_started' }, { eventId: 'e' });
  const lines = linesOf(folder.file('audit.jsonl'));
  assert.throws(() => store.transaction(() => {
    store.addUsage('a', day, 2);
    throw new RangeError('mine');
  }), RangeError);
  assert.throws(
    () =>
      store.appendAudits([
        { event: { type: 'service_stopped' } },
        { event: { type: 'service_started' }, attributes: { eventId: 'e' } },
      ]),
    { code: 'ERR_STORE_CONFLICT' },
  );
  assert.deepEqual(linesOf(folder.file('audit.jsonl')), lines);
  assert.ok(store.isHealthy());
});

test('an event that is too large for a line is refused before any line is written', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const lines = linesOf(folder.file('audit.jsonl'));
  assert.throws(
    () =>
      store.appendAudits([
        { event: { type: 'service_started' } },
        { event: { type: 'launch_denied', entryId: 'a', reasons: ['"'.repeat(9_000_000)] } },
      ]),
    { code: 'ERR_STORE_INVALID_ARGUMENT' },
  );
  assert.deepEqual(linesOf(folder.file('audit.jsonl')), lines);
  store.appendAudit({ type: 'service_started' });
});

/**
 * What another process does between a failed COMMIT and the cut: it waits for the write lock since before the COMMIT,
 * brings the lines into the database and writes behind them. `act` is to fail to commit. Gives the store.
 */
async function replayBetween(t: TestContext, act: (store: SqliteStore) => void): Promise<SqliteStore> {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const other = new Worker(t, 'ledger', ['append', folder.file(), folder.file('audit.jsonl'), 'other', '1'], {
    env: plainEnvironment(),
  });
  await other.told(1);
  let failed = false;
  onBegin = () => {
    if (failed) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
    failed = false;
  };
  t.after(() => (onBegin = undefined));
  failCommit(t, {
    then: () => {
      other.go();
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
      failed = true;
    },
  });
  act(store);
  onBegin = undefined;
  await other.result();
  assert.deepEqual(store.getRecentAudits(9, { type: 'policy_loaded' }).length, 1);
  return store;
}

test('events that another process has brought into the database after a failed COMMIT are acknowledged', async (t) => {
  const store = await replayBetween(t, (store) => assert.equal(store.addUsage('a', day, 7), 7));
  assert.deepEqual(types(store, 1), ['usage_added', 'policy_loaded']);
  assert.equal(store.getUsage('a', day), 7);
  assert.deepEqual(store.health().findings, []);
  assert.equal(store.health().lastError, undefined);
  assert.equal(store.addUsage('a', day, 1), 8);
});

test('but not with a snapshot or a row of a module beside them, which no ledger has', async (t) => {
  const wait = async (act: (store: SqliteStore) => void): Promise<void> => {
    const store = await replayBetween(t, (store) => assert.throws(() => act(store), { code: 'ERR_STORE_IO' }));
    assert.deepEqual(types(store, 1), ['usage_added', 'policy_loaded']);
    assert.equal(store.loadSnapshot(), undefined);
    assert.equal(connect(store).get('SELECT 1 FROM facts'), undefined);
    assert.ok(store.isHealthy());
  };
  await wait((store) => store.transaction(() => {
    store.addUsage('a', day, 7);
    store.saveSnapshot({ timestamp: new Date(5) });
  }));
  await wait((store) => connect(store).write('test', 'note the days', () => {
    store.addUsage('a', day, 7);
    connect(store).prepare("INSERT INTO facts VALUES ('f', 'a', 'b', 'c', '1', 0, NULL, 'x', 'x')").run();
  }));
});

/** The lines of the next transaction cannot be taken back: its COMMIT fails, and then another process has the lock. */
function failCommitAndCut(t: TestContext): void {
  failCommit(t, {
    then: () => {
      onBegin = () => {
        onBegin = undefined;
        throw sqliteError(5);
      };
    },
  });
  t.after(() => (onBegin = undefined));
}

for (const [shape, { append, wanted }] of Object.entries(appends)) {
  for (const next of ['write', 'open'] as const) {
    test(`${shape} whose lines cannot be taken back has an unknown outcome, and is there once after the next `
      + `${next}`, (t) => {
      const folder = new TestFolder(t);
      const store = openBoth(folder);
      const { id } = store.auditHead()!;
      failCommitAndCut(t);
      assert.throws(() => append(store), { code: 'ERR_STORE_IO' });
      assert.deepEqual(types(store, id), []);
      if (next === 'write') {
        assert.ok(store.isHealthy());
        store.appendAudit({ type: 'config_reloaded', success: true });
      }
      store.close();
      const again = openBoth(folder);
      assert.deepEqual(types(again, id), [...wanted, ...(next === 'write' ? ['config_reloaded'] : [])]);
      const charged = { 'a change of usage': 1_001, 'nested transactions': 5 }[shape] ?? 0;
      assert.equal(again.getUsage('a', day), charged);
      again.close();
      checkBoth(folder.file(), folder.file('audit.jsonl'));
    });
  }
}

test('lines that another group follows by now are not taken back, and the next write brings both in', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const { id } = store.auditHead()!;
  failCommit(t, { then: () => plant(folder.file('audit.jsonl'), { type: 'service_stopped', data: '{}' }) });
  assert.throws(() => store.addUsage('a', day, 3), { code: 'ERR_STORE_IO' });
  assert.equal(linesOf(folder.file('audit.jsonl')).length, id + 2);
  store.appendAudit({ type: 'config_reloaded', success: true });
  assert.deepEqual(types(store, id), ['usage_added', 'service_stopped', 'config_reloaded']);
  store.close();
  checkBoth(folder.file(), folder.file('audit.jsonl'));
});

for (const next of ['start', 'recover'] as const) {
  test(`a tracker whose session's end came back without its snapshot goes on with ${next}`, (t) => {
    const store = openBoth(new TestFolder(t), { clock: () => new Date(`${day}T10:00:00Z`) });
    const tracker = new SessionTracker(store, { timeZone: 'UTC' });
    tracker.start({ entryId: 'a' });
    failCommitAndCut(t);
    assert.throws(() => tracker.end({ type: 'user_stop' }), { code: 'ERR_STORE_IO' });
    for (const call of [() => tracker.end({ type: 'user_stop' }), () => tracker.touch()])
      assert.throws(call, { code: 'ERR_STORE_CONFLICT' });
    store.transaction(() => undefined);
    assert.equal(store.getRecentAudits(9, { type: 'session_ended' }).length, 1);
    assert.equal(tracker.active, undefined);
    if (next === 'recover') assert.equal(tracker.recover(), undefined);
    assert.equal(tracker.start({ entryId: 'b' }).entryId, 'b');
    assert.equal(tracker.end({ type: 'user_stop' }).entryId, 'b');
  });
}

test('a session whose end came back without its snapshot is not charged again', (t) => {
  const folder = new TestFolder(t);
  let elapsed = 0;
  const options = { clock: () => new Date(`${day}T10:00:00Z`) };
  const store = openBoth(folder, options);
  const tracker = new SessionTracker(store, { timeZone: 'UTC', monotonicMs: () => elapsed });
  tracker.start({ entryId: 'a' });
  elapsed = 4_000;
  tracker.touch();
  failCommitAndCut(t);
  assert.throws(() => tracker.end({ type: 'user_stop' }, { cooldownMs: 9 }), { code: 'ERR_STORE_IO' });
  store.close();
  const again = openBoth(folder, options);
  new SessionTracker(again, { timeZone: 'UTC' }).recover();
  assert.equal(again.getUsage('a', day), 4_000);
  assert.equal(again.loadSnapshot()?.activeSession, undefined);
  assert.equal(again.getRecentAudits(9, { type: 'session_ended' }).length, 1);
});
