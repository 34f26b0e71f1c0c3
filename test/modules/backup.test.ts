// Backups: a copy of a store in use, which is whole under its name or not there at all.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { readSnapshotFile } from '../../lib/core/snapshot-file.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { backup, type Backup } from '../../lib/modules/backup/backup.ts';
import { modeOf, namesIn, openIn, picture } from '../support/files.ts';
import { checkStore, TestFolder } from '../support/folder.ts';
import { Companion, nobody, run } from '../support/process.ts';
import { needs } from '../support/tools.ts';
import { badFunctions, badOptions, badPaths, throwing } from '../support/values.ts';

const day = '2026-11-21';
const state = { timestamp: new Date('2026-11-21T10:00:00Z') };
const module = new URL('../../lib/modules/backup/backup.ts', import.meta.url).href;
const leftover = /^\.\.?shepherd-store-[0-9a-f-]{36}\.(tmp|lock)/;

/** Events, usage, a cooldown and a state; `pages` of 4 KiB at least. */
function fill(store: SqliteStore, pages = 0): void {
  store.appendAudit({ type: 'service_started' });
  const reasons = ['x'.repeat(4_000)];
  store.appendAudits(
    Array.from({ length: pages }, () => ({ event: { type: 'launch_denied', entryId: 'a', reasons } })),
  );
  store.addUsage('minecraft', day, 90_500);
  store.setCooldownUntil('minecraft', state.timestamp);
  store.saveSnapshot(state);
}

/** Everything that two stores must agree in. */
function contents(path: string): unknown[] {
  using db = new DatabaseSync(path, { readOnly: true });
  const tables = db.prepare("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name").all();
  return tables.map(({ name, sql }) => [
    name,
    sql,
    String(sql).startsWith('CREATE TABLE') ? db.prepare(`SELECT * FROM "${String(name)}" ORDER BY 1`).all() : [],
  ]);
}

test(
  "what root backs up into another user's folder is that user's, and beside the store whose the store is",
  needs('root'),
  async (t) => {
    const folder = new TestFolder(t);
    using store = folder.open();
    fill(store);
    chmodSync(folder.file(), 0o640);
    chownSync(folder.file(), nobody, nobody);
    mkdirSync(folder.file('backups'));
    chownSync(folder.file('backups'), 65533, 65533);
    const expectOf = async (target: string, uid: number): Promise<void> => {
      const { path, snapshotPath } = await backup(store, folder.file(target));
      for (const file of [path, snapshotPath!]) {
        const stat = statSync(file);
        assert.deepEqual([stat.uid, stat.gid, stat.mode & 0o777], [uid, uid, 0o600], file);
      }
    };
    await expectOf('copy.db', nobody);
    await expectOf('backups/copy.db', 65533);
    using inMemory = SqliteStore.inMemory();
    const { path } = await backup(inMemory, folder.file('backups/memory.db'));
    assert.equal(statSync(path).uid, 65533);
  },
);

test('a backup is a store of its own, with its state beside it and an anchor to keep', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  fill(store);
  const made = await backup(store, folder.file('copy.db'));
  assert.deepEqual(made, {
    path: folder.file('copy.db'),
    bytes: statSync(folder.file('copy.db')).size,
    head: store.auditHead()!,
    snapshotPath: folder.file('copy.snapshot.json'),
  } satisfies Backup);
  assert.deepEqual(namesIn(folder.path), [
    'copy.db',
    'copy.snapshot.json',
    'store.db',
    'store.db-shm',
    'store.db-wal',
    'store.snapshot.json',
  ]);
  assert.deepEqual(contents(folder.file('copy.db')), contents(folder.file()));
  await checkStore(folder.file('copy.db'));

  store.addUsage('minecraft', day, 1); // the original goes its own way
  using copy = SqliteStore.open(folder.file('copy.db'));
  assert.equal(copy.recovery, undefined);
  assert.deepEqual(copy.health().findings, []);
  assert.equal(copy.getUsage('minecraft', day), 90_500);
  assert.deepEqual(copy.loadSnapshot(), state);
  assert.equal((await copy.verifyAudit({ anchor: made.head! })).ok, true);
});

test('an empty store has neither anchor nor state, and is backed up all the same', async (t) => {
  const folder = new TestFolder(t);
  const made = await backup(folder.open(), folder.file('copy.db'));
  assert.deepEqual(Object.keys(made), ['path', 'bytes']);
  assert.deepEqual(namesIn(folder.path).filter((name) => name.includes('copy')), ['copy.db']);
  assert.equal(SqliteStore.openReadOnly(folder.file('copy.db')).auditHead(), undefined);
});

test('runs, facts and projects go with it', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const at = state.timestamp.toISOString();
  using db = folder.raw();
  db.exec(`
    INSERT INTO runs (id, plan_path, status, metadata, created_at, updated_at)
      VALUES ('r1', '/plan', 'running', '{}', '${at}', '${at}');
    INSERT INTO facts (id, target_id, namespace, key, value, created_at, updated_at)
      VALUES ('f1', 'host', 'os', 'name', '"linux"', '${at}', '${at}');
    INSERT INTO projects (path, run_count) VALUES ('/project', 3)`);
  await backup(store, folder.file('copy.db'));
  assert.deepEqual(contents(folder.file('copy.db')), contents(folder.file()));
});

test('a backup while another process appends 5,000 events opens, verifies and holds a prefix of the log', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  fill(store, 3_000);
  const writer = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    report('ready');
    for (let count = 1; count <= 5_000; count++) {
      store.appendAudit({ type: 'policy_loaded', entryCount: count });
      if (count % 50 === 0) store.saveSnapshot({ timestamp: new Date() });
      if (count === 100) report('writing');
    }
    store.close();
    report('done');`);
  for (const word of ['ready', 'writing']) assert.equal(await writer.next(), word);
  const heads = [];
  for (let round = 0; round < 3; round++) {
    const path = folder.file(`copy-${round}.db`);
    const { head } = await backup(store, path);
    heads.push(head!);
    await checkStore(path);
    // Its own snapshot file is not ahead of it: that would be taken for a loss.
    const file = readSnapshotFile(folder.file(`copy-${round}.snapshot.json`));
    assert.ok(file.state === 'whole' && file.content.head!.id === head!.id);
    using copy = SqliteStore.open(path);
    assert.equal(copy.recovery, undefined);
  }
  assert.equal(await writer.next(), 'done');
  assert.ok(heads[0]!.id > 3_100 && heads[0]!.id < 8_001, `${heads[0]!.id} is not in the middle of the writing`);
  for (const anchor of heads) assert.equal((await store.verifyAudit({ anchor })).ok, true);
});

test('what this process writes meanwhile is not in the backup, and neither waits for the other', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  fill(store, 2_000);
  const before = store.auditHead()!;
  const seen: { done: number; total: number }[] = [];
  let turns = 0;
  const turn = async (): Promise<void> => {
    for (; !existsSync(folder.file('copy.db')); turns++) {
      store.appendAudit({ type: 'service_started' });
      await nextTurn();
    }
  };
  const [made] = await Promise.all([
    backup(store, folder.file('copy.db'), { onProgress: (progress) => seen.push(progress) }),
    turn(),
  ]);
  assert.deepEqual(made.head, before);
  assert.ok(turns > seen.length / 2);
  assert.ok(seen.length > 5);
  const { total } = seen[0]!;
  assert.equal(total, (2 * made.bytes) / 4096);
  assert.deepEqual(seen.map(({ done }) => done), seen.map(({ done }) => done).sort((a, b) => a - b));
  assert.deepEqual(seen.at(-1), { done: total, total });
});

test('a backup taken inside a transaction has nothing of it', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  store.appendAudit({ type: 'service_started' });
  const promise = store.transaction(() => {
    store.appendAudit({ type: 'service_stopped' });
    return { made: backup(store, folder.file('copy.db')) };
  });
  assert.equal((await promise.made).head!.id, 1);
});

test('a store that is closed meanwhile is backed up to the end, and left as a single file', async (t) => {
  const folder = new TestFolder(t);
  const store = SqliteStore.open(folder.file());
  fill(store, 1_000);
  const promise = backup(store, folder.file('copy.db'), { onProgress: () => store.close() });
  assert.equal((await promise).head!.id, 1_001);
  assert.deepEqual(namesIn(folder.path), ['copy.db', 'copy.snapshot.json', 'store.db', 'store.snapshot.json']);
});

test('a closed store is not backed up', async (t) => {
  const folder = new TestFolder(t);
  for (const store of [SqliteStore.open(folder.file()), SqliteStore.inMemory()]) {
    store.close();
    await assert.rejects(backup(store, folder.file('copy.db')), { code: 'ERR_STORE_CLOSED' });
  }
  assert.ok(!existsSync(folder.file('copy.db')));
});

test('a store that is only looked at is backed up without a trace, in use or not', async (t) => {
  const [folder, out] = [new TestFolder(t), new TestFolder(t)];
  const service = new Companion(t, folder.file(), `
    const store = SqliteStore.open(path);
    store.appendAudit({ type: 'service_started' });
    store.saveSnapshot({ timestamp: new Date(0) });
    report(store.auditHead());
    if (await told() === 'close') store.close();
    report('closed');`);
  const head = await service.next();
  const live = SqliteStore.openReadOnly(folder.file());
  assert.deepEqual((await backup(live, out.file('live.db'))).head, head);
  live.close();
  assert.equal(await service.ask('close'), 'closed');
  await service.end();
  const before = picture(folder.path);
  const closed = SqliteStore.openReadOnly(folder.file());
  assert.deepEqual((await backup(closed, out.file('closed.db'))).head, head);
  closed.close();
  assert.deepEqual(picture(folder.path), before);
  assert.deepEqual(contents(out.file('closed.db')), contents(out.file('live.db')));
});

test('a file that nobody had open when the copy began is copied again where somebody writes to it', async (t) => {
  const folder = new TestFolder(t);
  const store = SqliteStore.open(folder.file());
  fill(store, 600);
  store.close();
  const append = 'const store = SqliteStore.open(path); store.appendAudit({ type: "service_started" }); store.close();';
  const once = folder.closing(SqliteStore.openReadOnly(folder.file()));
  let rounds = 0;
  const { head } = await backup(once, folder.file('copy.db'), {
    onProgress: () => {
      if (rounds++ === 0) run(folder.file(), append);
    },
  });
  assert.equal(head!.id, 602);
  await checkStore(folder.file('copy.db'));
  await assert.rejects(
    backup(once, folder.file('never.db'), {
      onProgress: () => {
        run(folder.file(), append);
      },
    }),
    { code: 'ERR_STORE_BUSY' },
  );
  assert.deepEqual(namesIn(folder.path).filter((name) => name.includes('never')), []);
});

test('a store in memory is backed up to a file', async (t) => {
  const folder = new TestFolder(t);
  const store = SqliteStore.inMemory();
  fill(store);
  const promise = store.transaction(() => ({ made: backup(store, folder.file('copy.db')) }));
  const { head } = await promise.made;
  assert.deepEqual(head, store.auditHead());
  await checkStore(folder.file('copy.db'));
  using copy = SqliteStore.open(folder.file('copy.db'));
  assert.deepEqual([copy.loadSnapshot(), copy.getUsage('minecraft', day)], [state, 90_500]);
});

test('a store with a ledger is backed up, and its backup belongs to that ledger', async (t) => {
  const folder = new TestFolder(t);
  const ledger = Ledger.open(folder.file('audit.jsonl'));
  const store = folder.open({ ledger });
  fill(store);
  const { head } = await backup(store, folder.file('copy.db'));
  store.addUsage('minecraft', day, 1);
  store.close();
  assert.throws(() => SqliteStore.open(folder.file('copy.db')), { code: 'ERR_STORE_CONFLICT' });
  using copy = SqliteStore.open(folder.file('copy.db'), { ledger: Ledger.open(folder.file('audit.jsonl')) });
  assert.equal(copy.getUsage('minecraft', day), 90_501); // what came later is in the ledger
  assert.ok(copy.auditHead()!.id > head!.id);
});

test('a backup can be looked at where nothing can be written', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open();
  fill(store);
  mkdirSync(folder.file('archive'));
  await backup(store, folder.file('archive/copy.db'));
  for (const [path, mode] of [
    ['', 0o711],
    ['archive', 0o555],
    ['archive/copy.db', 0o444],
    ['archive/copy.snapshot.json', 0o444],
  ] as const)
    chmodSync(folder.file(path), mode);
  const code = `
    const store = SqliteStore.openReadOnly(path);
    report([store.auditHead().id, (await store.verifyAudit()).ok, store.health().findings]);`;
  assert.deepEqual(run(folder.file('archive/copy.db'), code, { uid: nobody }), [[1, true, []]]);
  assert.deepEqual(namesIn(folder.file('archive')), ['copy.db', 'copy.snapshot.json']);
});

test('every file is private from its first byte, whatever the umask', (t) => {
  for (const umask of [0o000, 0o077, 0o277]) {
    const folder = new TestFolder(t);
    const seen = run(folder.file(), `
      const { backup } = await import('${module}');
      const store = SqliteStore.open(path);
      const event = { type: 'launch_denied', entryId: 'a', reasons: ['x'.repeat(4_000)] };
      store.appendAudits(Array.from({ length: 1_000 }, () => ({ event })));
      store.saveSnapshot({ timestamp: new Date(0) });
      const out = path.replace('store.db', 'new/folder/');
      const modes = new Set();
      const onProgress = () => {
        for (const name of fs.readdirSync(out)) modes.add((fs.statSync(out + name).mode & 0o777).toString(8));
      };
      await backup(store, out + 'copy.db', { onProgress });
      report([...modes]);
      store.close();`, { umask });
    assert.deepEqual(seen, [['600']]);
    for (const name of ['copy.db', 'copy.snapshot.json'])
      assert.equal(modeOf(folder.file(`new/folder/${name}`)), '600');
    for (const name of ['new', 'new/folder']) assert.equal(modeOf(folder.file(name)), '700');
  }
});

test('nothing that is there is overwritten or followed', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  fill(store, 600);
  for (const name of ['copy.db', 'copy.db-wal', 'copy.db-shm', 'copy.db-journal', 'copy.snapshot.json']) {
    const out = new TestFolder(t, { checked: false });
    writeFileSync(out.file(name), 'precious');
    const before = picture(out.path);
    await assert.rejects(backup(store, out.file('copy.db')), { code: 'ERR_STORE_CONFLICT' });
    assert.deepEqual(picture(out.path), before);
  }
  for (const name of ['copy.db', 'copy.snapshot.json']) {
    const out = new TestFolder(t);
    symlinkSync(out.file('elsewhere'), out.file(name));
    await assert.rejects(backup(store, out.file('copy.db')), { code: 'ERR_STORE_CONFLICT' });
    // And one that comes while the copy is made.
    const late = new TestFolder(t);
    await assert.rejects(
      backup(store, late.file('copy.db'), {
        onProgress: ({ done, total }) => {
          if (done === total) symlinkSync(late.file('elsewhere'), late.file(name));
        },
      }),
      { code: 'ERR_STORE_CONFLICT' },
    );
    for (const each of [out, late]) assert.deepEqual(namesIn(each.path), [name]);
  }
  await assert.rejects(backup(store, folder.file()), { code: 'ERR_STORE_CONFLICT' });
});

test('an aborted backup rejects with the reason and leaves nothing, whenever it is aborted', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  fill(store, 1_000);
  const reason = new Error('enough');
  const open = openIn(folder.path);
  await assert.rejects(
    backup(store, folder.file('new/copy.db'), { signal: AbortSignal.abort(reason) }),
    (error) => error === reason,
  );
  assert.ok(!existsSync(folder.file('new')));
  const moments: [string, (done: number, total: number) => boolean][] = [
    ['while pages are copied', (done) => done > 0],
    ['between copying and checking', (done, total) => done >= total / 2 - 256],
    ['while the log is checked', (done, total) => done > total / 2],
    ['after the last row', (done, total) => done === total],
  ];
  for (const [moment, isThen] of moments) {
    const controller = new AbortController();
    let calls = 0;
    const promise = backup(store, folder.file('copy.db'), {
      signal: controller.signal,
      onProgress: ({ done, total }) => {
        if (controller.signal.aborted) calls++;
        // A turn later: in the thread that copies or checks, and not in between.
        if (isThen(done, total))
          done === total ? controller.abort(reason) : setImmediate(() => controller.abort(reason));
      },
    });
    await assert.rejects(promise, (error) => error === reason, moment);
    assert.equal(calls, 0, moment);
    assert.deepEqual(namesIn(folder.path), ['store.db', 'store.db-shm', 'store.db-wal', 'store.snapshot.json'], moment);
    // SQLite keeps the closed descriptor of a file on which another of its handles has a lock, and takes it for the
    // next one.
    assert.ok(openIn(folder.path) <= open + 1, moment);
  }
  assert.equal(store.addUsage('minecraft', day, 1), 90_501);
  await backup(store, folder.file('copy.db')); // nothing is in the way of the next one
});

test('what onProgress throws ends the backup, which leaves nothing', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  fill(store, 1_000);
  const thrown = new Error('of the caller');
  await assert.rejects(
    backup(store, folder.file('copy.db'), {
      onProgress: () => {
        throw thrown;
      },
    }),
    (error) => error === thrown,
  );
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.db-shm', 'store.db-wal', 'store.snapshot.json']);
});

test('a killed backup leaves only temporary names, which the next one there removes, whatever its name', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  fill(store, 1_000);
  const kill = (at: string): unknown =>
    run(folder.file(), `
      const { backup } = await import('${module}');
      const store = SqliteStore.openReadOnly(path);
      const onProgress = ({ done, total }) => { if (${at}) die(); };
      await backup(store, path.replace('store.db', 'copy.db'), { onProgress });`);
  for (const at of ['done > 0', 'done > total / 2']) {
    kill(at);
    const left = namesIn(folder.path).filter((name) => !name.startsWith('store.'));
    assert.ok(left.length > 0);
    for (const name of left) assert.match(name, leftover);
  }
  const dead = crypto.randomUUID();
  for (const name of [`..shepherd-store-${dead}.tmp.${crypto.randomUUID()}.tmp`, `.shepherd-store-${dead}.tmp-wal`])
    writeFileSync(folder.file(name), ''); // what is beside it
  // What another program named is not this one's to remove.
  const others = [
    '.shepherd-store-.tmp',
    `.shepherd-store-${dead}`,
    `.shepherd-store-${dead}x.tmp`,
    `shepherd-store-${dead}.tmp`,
  ];
  for (const name of others) writeFileSync(folder.file(name), '');
  await backup(store, folder.file('another.db'));
  assert.deepEqual(
    namesIn(folder.path)
      .filter((name) => !name.startsWith('store'))
      .sort(),
    [...others, 'another.db', 'another.snapshot.json'].sort(),
  );
});

test('a copy that does not pass its checks gets no name', async (t) => {
  const schema = (path: string, sql: string): void => {
    using db = new DatabaseSync(path);
    db.enableDefensive?.(false);
    db.exec(`PRAGMA writable_schema = ON; ${sql}`);
  };
  const harms: [string, (path: string) => void][] = [
    [
      'a changed row',
      (path) => schema(path, "DROP TRIGGER audit_log_no_update; UPDATE audit_log SET event_data = '{}' WHERE id = 3"),
    ],
    [
      'a row that an index lacks',
      (path) => {
        using db = new DatabaseSync(path);
        const index = db.prepare("SELECT rootpage, sql FROM sqlite_schema WHERE name = 'usage_day'").get()!;
        schema(path, "DELETE FROM sqlite_schema WHERE name = 'usage_day'");
        schema(path, `INSERT INTO usage VALUES ('unseen', '${day}', 1, 0)`);
        const values = `'index', 'usage_day', 'usage', ${Number(index['rootpage'])}, '${String(index['sql'])}'`;
        schema(path, `INSERT INTO sqlite_schema VALUES (${values})`);
      },
    ],
  ];
  for (const [name, harm] of harms) {
    const folder = new TestFolder(t, { checked: false });
    const before = SqliteStore.open(folder.file());
    fill(before, 5);
    before.close();
    harm(folder.file());
    await assert.rejects(backup(folder.open(), folder.file('out/copy.db')), { code: 'ERR_STORE_CORRUPT' }, name);
    assert.deepEqual(namesIn(folder.file('out')), []);
  }
});

test('another file in the place of the store is not taken for it', async (t) => {
  const folder = new TestFolder(t);
  const store = SqliteStore.open(folder.file());
  renameSync(folder.file(), folder.file('renamed.db'));
  await assert.rejects(backup(store, folder.file('copy.db')), { code: 'ERR_STORE_IO' });
  assert.ok(!existsSync(folder.file()));
  const other = SqliteStore.open(folder.file('other.db'));
  other.close();
  renameSync(folder.file('other.db'), folder.file());
  await assert.rejects(backup(store, folder.file('copy.db')), { code: 'ERR_STORE_IO' });
  assert.deepEqual(namesIn(folder.path).filter((name) => name.includes('copy')), []);
  store.close();
});

test('a folder that cannot be written to, or is full, is said to be', needs('mount'), async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  fill(store, 1_000);
  store.close();
  chmodSync(folder.path, 0o755);
  for (const name of namesIn(folder.path)) chmodSync(folder.file(name), 0o644);
  const attempt = (destination: string, before = ''): string => `
    const { backup } = await import('${module}');
    ${before}
    const store = SqliteStore.openReadOnly(path);
    await backup(store, ${destination}).then(report, (error) => report(error.code));
    report(fs.readdirSync(${destination}.replace(/[^/]*$/, '')));`;
  const [denied] = run(folder.file(), attempt("path.replace('store.db', 'copy.db')"), { uid: nobody });
  assert.equal(denied, 'ERR_STORE_PERMISSION');
  const mount = `
    const { execFileSync } = await import('node:child_process');
    fs.mkdirSync(path + '.mnt');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path + '.mnt']);`;
  const full = run(folder.file(), attempt("path + '.mnt/copy.db'", mount), { unshared: true });
  assert.deepEqual(full, ['ERR_STORE_DISK_FULL', []]);
  await assert.rejects(backup(folder.open(), `${folder.file()}/copy.db`), { code: 'ERR_STORE_NOT_FOUND' });
});

test('backup refuses every bad value of every argument, and makes nothing', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open();
  const refused = async (promise: Promise<unknown>, what: string): Promise<void> =>
    assert.rejects(promise, { code: 'ERR_STORE_INVALID_ARGUMENT' }, what);
  for (const bad of [undefined, null, 5, 'store', {}, folder.file()])
    await refused(backup(bad as never, folder.file('copy.db')), String(bad));
  for (const [name, bad] of badPaths) await refused(backup(store, bad as never), name);
  for (const [name, bad] of [...badOptions, ['a getter that throws', throwing('signal')] as const])
    await refused(backup(store, folder.file('copy.db'), bad as never), name);
  for (const [name, bad] of badFunctions)
    await refused(backup(store, folder.file('copy.db'), { onProgress: bad as never }), name);
  for (const bad of [null, new AbortController(), { aborted: false }])
    await refused(backup(store, folder.file('copy.db'), { signal: bad as never }), 'signal');
  for (const bad of [null, 1, 'true', {}])
    await refused(backup(store, folder.file('copy.db'), { record: bad as never }), 'record');
  assert.deepEqual(namesIn(folder.path), ['store.db', 'store.db-shm', 'store.db-wal']);
});
