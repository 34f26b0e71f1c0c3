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
import { checkBoth, filesWith, linesOf, openBoth, systemError } from '../support/ledger.ts';

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
  // Whole lines whose fsync failed and that could not be taken back: they are carried forward.
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

/** The first `times` COMMITs fail. */
function failCommits(t: TestContext, times: number, errcode = 13): void {
  let count = 0;
  onCommit = (commit) => {
    if (count++ < times) throw sqliteError(errcode);
    return commit();
  };
  t.after(() => (onCommit = undefined));
}

for (const [shape, { append, wanted }] of Object.entries(appends)) {
  test(`${shape} whose COMMIT fails once is acknowledged: the lines are carried forward at once`, (t) => {
    const folder = new TestFolder(t);
    const store = openBoth(folder);
    const { id } = store.auditHead()!;
    failCommits(t, 1);
    const value = append(store);
    onCommit = undefined;
    if (shape === 'a change of usage') assert.equal(value, 1_001);
    assert.deepEqual(types(store, id), wanted);
    assert.deepEqual(store.health().findings, []);
    assert.equal(store.health().lastError, undefined);
    store.close();
    checkBoth(folder.file(), folder.file('audit.jsonl'));
  });

  for (const next of ['write', 'open'] as const) {
    test(`${shape} whose COMMIT goes on failing has an unknown outcome, and is there once after the next `
      + `${next}`, (t) => {
      const folder = new TestFolder(t);
      const store = openBoth(folder);
      const { id } = store.auditHead()!;
      failCommits(t, Infinity);
      assert.throws(() => append(store), { code: 'ERR_STORE_IO' });
      assert.deepEqual(types(store, id), []);
      assert.deepEqual(
        linesOf(folder.file('audit.jsonl'))
          .slice(id)
          .map((row) => row[2]),
        wanted,
      );
      onCommit = undefined;
      if (next === 'write') {
        assert.ok(store.isHealthy());
        store.appendAudit({ type: 'config_reloaded', success: true });
      }
      store.close();
      const again = openBoth(folder);
      assert.deepEqual(types(again, id), [...wanted, ...(next === 'write' ? ['config_reloaded'] : [])]);
      assert.equal(
        again.getUsage('a', day),
        shape === 'a change of usage' ? 1_001 : shape === 'nested transactions' ? 5 : 0,
      );
      again.close();
      checkBoth(folder.file(), folder.file('audit.jsonl'));
    });
  }
}

test('an I/O error of COMMIT stops the store; the next open brings the events in', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const { id } = store.auditHead()!;
  failCommits(t, 1, 10);
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

test('a snapshot in a transaction whose COMMIT fails is not acknowledged: the ledger does not have it', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const { id } = store.auditHead()!;
  const both = (): void => store.transaction(() => {
    store.addUsage('a', day, 2);
    store.saveSnapshot({ timestamp: new Date(5) });
  });
  failCommits(t, 1);
  assert.throws(both, { code: 'ERR_STORE_IO' });
  onCommit = undefined;
  assert.deepEqual(types(store, id), ['usage_added']);
  assert.equal(store.loadSnapshot(), undefined);
  store.saveSnapshot({ timestamp: new Date(6) });
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

test('a row of a module in a transaction whose COMMIT fails is not acknowledged either', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  const { prepare, write } = connect(store);
  failCommits(t, 1);
  assert.throws(() => write('note the days', () => {
    store.appendAudit({ type: 'service_started' });
    prepare("INSERT INTO facts VALUES ('f', 'a', 'b', 'c', '1', 0, NULL, 'x', 'x')").run();
  }), { code: 'ERR_STORE_IO' });
});

for (const next of ['start', 'recover'] as const) {
  test(`a tracker whose session's end was carried forward without its snapshot goes on with ${next}`, (t) => {
    const store = openBoth(new TestFolder(t), { clock: () => new Date(`${day}T10:00:00Z`) });
    const tracker = new SessionTracker(store, { timeZone: 'UTC' });
    tracker.start({ entryId: 'a' });
    failCommits(t, 1);
    assert.throws(() => tracker.end({ type: 'user_stop' }), { code: 'ERR_STORE_IO' });
    onCommit = undefined;
    assert.equal(store.getRecentAudits(9, { type: 'session_ended' }).length, 1);
    assert.equal(tracker.active, undefined);
    for (const call of [() => tracker.end({ type: 'user_stop' }), () => tracker.touch()])
      assert.throws(call, { code: 'ERR_STORE_CONFLICT' });
    if (next === 'recover') assert.equal(tracker.recover(), undefined);
    assert.equal(tracker.start({ entryId: 'b' }).entryId, 'b');
    assert.equal(tracker.end({ type: 'user_stop' }).entryId, 'b');
  });
}

test('a session whose end was carried forward without its snapshot is not charged again', (t) => {
  const folder = new TestFolder(t);
  let elapsed = 0;
  const options = { clock: () => new Date(`${day}T10:00:00Z`) };
  const store = openBoth(folder, options);
  const tracker = new SessionTracker(store, { timeZone: 'UTC', monotonicMs: () => elapsed });
  tracker.start({ entryId: 'a' });
  elapsed = 4_000;
  tracker.touch();
  failCommits(t, Infinity);
  assert.throws(() => tracker.end({ type: 'user_stop' }, { cooldownMs: 9 }), { code: 'ERR_STORE_IO' });
  onCommit = undefined;
  store.close();
  const again = openBoth(folder, options);
  new SessionTracker(again, { timeZone: 'UTC' }).recover();
  assert.equal(again.getUsage('a', day), 4_000);
  assert.equal(again.loadSnapshot()?.activeSession, undefined);
  assert.equal(again.getRecentAudits(9, { type: 'session_ended' }).length, 1);
});

test('what has no event did not happen when its COMMIT fails, and the error is that of the COMMIT', (t) => {
  const folder = new TestFolder(t);
  const store = openBoth(folder);
  failCommits(t, 1);
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

for (const who of ['the waiting process', 'the process itself'] as const) {
  test(`after a failed COMMIT the events are carried forward by ${who}, once, and the other goes on behind `
    + `them`, async (t) => {
    const folder = new TestFolder(t);
    const store = openBoth(folder);
    const { id } = store.auditHead()!;
    const other = new Worker(t, 'ledger', ['append', folder.file(), folder.file('audit.jsonl'), 'other', '1'], {
      env: plainEnvironment(),
    });
    await other.told(1);
    let begun = 0;
    onBegin = () => {
      // The second BEGIN carries forward: let the other one have the lock first.
      if (++begun === 2 && who === 'the waiting process')
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
    };
    t.after(() => (onBegin = undefined));
    failCommits(t, 1);
    const total = store.transaction(() => {
      other.go();
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
      return store.addUsage('a', day, 7);
    });
    onCommit = onBegin = undefined;
    assert.equal(total, 7);
    await other.result();
    assert.deepEqual(types(store, id), ['usage_added', 'policy_loaded']);
    assert.equal(store.getUsage('a', day), 7);
    store.close();
    checkBoth(folder.file(), folder.file('audit.jsonl'));
  });
}
