// The command status: what it shows of what it cannot read, of the ledger, of who has the store open, and of today.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { holdersOf } from '../../lib/cli/holders.ts';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { pattern, type Said, shepherd } from '../support/command.ts';
import { picture } from '../support/files.ts';
import { TestFolder } from '../support/folder.ts';
import { needs } from '../support/tools.ts';

process.env['TZ'] = 'Europe/Berlin';
const now = new Date('2026-11-21T18:00:00+01:00');
const clock = (): Date => now;

const status = (path: string): Promise<Said> => shepherd(['status', path], { clock });
const document = async (path: string): Promise<Record<string, unknown>> => {
  return JSON.parse((await shepherd(['status', path, '--json'], { clock })).out) as Record<string, unknown>;
};

test('what cannot be read is shown as that, and never as nothing', async (t) => {
  const folder = new TestFolder(t, { checked: false });
  const store = folder.open({ clock });
  store.addUsage('minecraft', '2026-11-21', 60_000);
  store.setCooldownUntil('minecraft', new Date(now.getTime() + 60_000));
  store.saveSnapshot({ timestamp: now });
  store.close();
  const path = folder.file();
  const pages: Record<string, number> = {};
  using db = new DatabaseSync(path);
  for (const { name, rootpage } of db.prepare('SELECT name, rootpage FROM sqlite_schema').all())
    pages[String(name)] = Number(rootpage);
  db.close();
  const whole = readFileSync(path);
  for (const [part, roots] of Object.entries({
    usage: ['usage', 'sqlite_autoindex_usage_1'],
    cooldowns: ['cooldowns', 'sqlite_autoindex_cooldowns_1'],
  })) {
    const bytes = Buffer.from(whole);
    for (const root of roots) bytes.fill(0xa5, (pages[root]! - 1) * 4096, pages[root]! * 4096);
    writeFileSync(path, bytes);
    const { code, out } = await status(path);
    assert.equal(code, 1, part);
    assert.match(out, part === 'usage' ? /\nToday, [^\n]*\n  cannot be read\n/ : /\nCooldowns\n  cannot be read\n/);
    assert.doesNotMatch(out, part === 'usage' ? /nothing was used/ : /none is running/);
    const json = await document(path);
    assert.deepEqual([json['ok'], json[part], (json['unreadable'] as string[]).includes(part)], [false, null, true]);
  }
  // The rest of the database, too, page by page: no part that is null is missing from the list.
  for (let page = 2; page <= whole.length / 4096; page++) {
    const bytes = Buffer.from(whole).fill(0xa5, (page - 1) * 4096, page * 4096);
    writeFileSync(path, bytes);
    const { code, out, err } = await shepherd(['status', path, '--json'], { clock });
    if (out === '') {
      assert.deepEqual([code, typeof JSON.parse(err)], [1, 'object']);
      continue;
    }
    const json = JSON.parse(out) as Record<string, unknown> & {
      unreadable: string[];
      snapshot: Record<string, unknown>;
    };
    // The file beside the database is whole all the while, and so is the row but for its own page.
    assert.partialDeepStrictEqual(json.snapshot['file'], { state: 'whole', generation: 1 }, `page ${page}`);
    const row = page === pages['snapshot'] ? { state: 'damaged' } : { state: 'whole', generation: 1, ageMs: 0 };
    assert.deepEqual(json.snapshot['row'], row, `page ${page}`);
    for (const part of ['usage', 'cooldowns', 'findings', 'snapshot'])
      if (json[part] === null) assert.equal(json['ok'], false, `page ${page}`);
    for (const part of json.unreadable) assert.ok(part === 'health' || json[part] === null, `page ${page}: ${part}`);
    assert.equal(json.unreadable.length > 0 && code === 0, false);
  }
  writeFileSync(path, whole);
  assert.equal((await status(path)).code, 0);
});

test('an empty store has nothing, and says so', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const json = await document(folder.file());
  assert.partialDeepStrictEqual(json, {
    ok: true,
    unreadable: [],
    head: null,
    session: null,
    savedAt: null,
    usage: [],
    cooldowns: [],
    hasLedger: false,
    ledgerPath: null,
  });
  assert.match((await status(folder.file())).out, /\nledger +none\n[^]*nothing was used[^]*none is running/);
});

test('the running session counts in the line of today, on the days it ran on, and not when it has ended', async (t) => {
  const folder = new TestFolder(t);
  let at = new Date('2026-11-20T23:30:00+01:00').getTime();
  const store = folder.open({ clock: () => new Date(at) });
  store.addUsage('minecraft', '2026-11-21', 60_000);
  const tracker = new SessionTracker(store, { monotonicMs: () => at });
  tracker.start({ entryId: 'minecraft', sessionId: 's1' });
  for (let minutes = 0; minutes < 50; minutes += 10) {
    at += 600_000;
    tracker.touch();
  }
  const path = folder.file();
  const day = async (): Promise<[Said, Record<string, unknown>]> => {
    const calling = { clock: () => new Date(at) };
    return [
      await shepherd(['status', path], calling),
      JSON.parse((await shepherd(['status', path, '--json'], calling)).out) as Record<string, unknown>,
    ];
  };
  const [{ out }, json] = await day();
  assert.match(
    out,
    /Today, Sat 2026-11-21\n  minecraft  21 min 00 s  █+\n    20 min 00 s of it in the session that runs\n/,
  );
  assert.deepEqual(json['usage'], [
    { entryId: 'minecraft', day: '2026-11-21', durationMs: 60_000, runningMs: 1_200_000 },
  ]);
  tracker.end({ type: 'user_stop' });
  const [{ out: ended }, after] = await day();
  assert.match(ended, /session +none\n[^]*  minecraft  21 min 00 s  █+\n\n/);
  assert.deepEqual(
    [after['session'], after['usage']],
    [null, [{ entryId: 'minecraft', day: '2026-11-21', durationMs: 1_260_000 }]],
  );
  // An older copy of the snapshot, which is all that is left, still has the session.
  store.saveSnapshot({
    timestamp: new Date(at),
    activeSession: {
      sessionId: 's1',
      entryId: 'minecraft',
      startedAt: new Date(at - 600_000),
      warningsIssued: [],
      elapsedMs: 600_000,
    },
  });
  assert.equal((await day())[1]['session'], null);
  assert.match((await day())[0].out, /session +none\n[^]*  minecraft  21 min 00 s  █+\n\n/);
  tracker.start({ entryId: 'tuxmath', sessionId: 's2' });
  at += 60_000;
  tracker.touch();
  assert.match((await day())[0].out, /  tuxmath +1 min 00 s  █+\n    1 min 00 s of it in the session that runs\n/);
});

test('a session that a crash left is not shown as one that runs', async (t) => {
  const folder = new TestFolder(t);
  let at = now.getTime() - 1_200_000;
  const store = folder.open({ clock: () => new Date(at) });
  const tracker = new SessionTracker(store, { monotonicMs: () => at });
  tracker.start({ entryId: 'minecraft', deadline: new Date(now.getTime() + 600_000) });
  at += 600_000;
  tracker.touch();
  const running = (await status(folder.file())).out;
  assert.match(running, /\nsession +minecraft, 10 min 00 s counted, saved 10 min 00 s ago\n +until .*\n +since .*\n/);
  assert.match(running, /\n +until Sat 2026-11-21 18:10:00 \+01:00 \(10 min 00 s left\)\n/);
  assert.match(running, /\n    10 min 00 s of it in the session that runs\n/);
  assert.doesNotMatch(running, /crash/);
  store.close();
  const left = (await status(folder.file())).out;
  assert.match(left, /\nsession +minecraft, 10 min 00 s counted, saved 10 min 00 s ago\n +left running by a crash; /);
  assert.match(left, /\n +until Sat 2026-11-21 18:10:00 \+01:00\n/);
  assert.match(left, /\n    10 min 00 s of it in the session that a crash left\n/);
  assert.doesNotMatch(left, /that runs/);
  for (const line of left.split('\n').slice(1)) assert.ok(line.length <= 80, line);
});

test('the ledger is shown where it is: as the store remembers it, beside it, or open in a service', async (t) => {
  const folder = new TestFolder(t);
  mkdirSync(folder.file('elsewhere'));
  for (const name of ['audit.jsonl', 'elsewhere/audit.jsonl']) {
    const path = folder.file(name.replace('/', '-').replace('.jsonl', '.db'));
    const ledger = Ledger.open(folder.file(name));
    const store = SqliteStore.open(path, { ledger });
    store.appendAudit({ type: 'service_started' });
    // Another store's ledger, and what is no ledger, lie there as well.
    writeFileSync(folder.file('a.jsonl'), '{"format":"shepherd-store ledger 1","store":"x"}\n');
    const running = await document(path);
    assert.equal(running['hasLedger'], true);
    assert.equal(running['ledgerPath'], folder.file(name));
    remember(path, null); // an older version leaves it out
    assert.equal((await document(path))['ledgerPath'], folder.file(name));
    store.close();
    ledger.close();
    assert.equal((await document(path))['ledgerPath'], name === 'audit.jsonl' ? folder.file(name) : null);
    const { out } = await status(path);
    assert.match(
      out,
      name === 'audit.jsonl'
        ? /\nledger +\/.*\/audit\.jsonl\n/
        : /\nledger +there is one; where it lies is not known\n/,
    );
    remember(path, name);
    assert.equal((await document(path))['ledgerPath'], folder.file(name));
    // What another store's file says is believed only where a ledger of the store is there.
    for (const planted of ['a.jsonl', '..', '/dev/zero', '../../dev/zero', 'no.jsonl', '\0', 'x'.repeat(5_000), 7]) {
      remember(path, planted);
      assert.equal((await document(path))['ledgerPath'], name === 'audit.jsonl' ? folder.file(name) : null);
    }
  }
  assert.match((await status(folder.file('audit.db'))).out, /\nledger +\//);
});

/** Has a store remember another place of its ledger. */
function remember(path: string, place: string | number | null): void {
  using db = new DatabaseSync(path);
  db.prepare('UPDATE store_meta SET ledger_path = ?').run(place);
}

test('who has the store open for writing is told, and nothing is changed by asking', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const path = folder.file();
  assert.deepEqual(holdersOf(path), { isOpenForWriting: false, processes: [] });
  assert.match((await status(path)).out, /\nopen +by no process for writing\n/);
  assert.partialDeepStrictEqual(await document(path), { isOpenForWriting: false, openBy: [] });
  const service = new Worker(t, 'cli', ['write', path], { env: plainEnvironment() });
  await service.told(2);
  assert.match((await status(path)).out, /\nopen +for writing by process \d+ \(\S[^\n]*\)\n/);
  assert.partialDeepStrictEqual(await document(path), { isOpenForWriting: true });
  service.kill();
  await service.end();
  const before = picture(folder.path);
  assert.partialDeepStrictEqual(await document(path), { isOpenForWriting: false });
  assert.deepEqual(picture(folder.path), before);
  // That this process reads it is no news.
  using reader = SqliteStore.openReadOnly(path);
  reader.auditHead();
  assert.equal(holdersOf(path).isOpenForWriting, false);
  renameSync(path, folder.file('away'));
  assert.deepEqual(holdersOf(path), { isOpenForWriting: null, processes: [] });
  renameSync(folder.file('away'), path);
});

test('of a Node program its script is named, cut and harmless, because Node gives all of them one name', async (t) => {
  const folder = new TestFolder(t);
  folder.open().close();
  const path = folder.file();
  const code = `
    import { DatabaseSync } from 'node:sqlite';
    const db = new DatabaseSync(process.argv.at(-1));
    db.prepare('SELECT count(*) FROM audit_log').get();
    console.log('open');
    setInterval(() => {}, 1000);`;
  const [script, hostile] = [folder.file('kiosk.mjs'), folder.file(`evil\x1b[31m\n${'x'.repeat(99)}.mjs`)];
  for (const file of [script, hostile]) writeFileSync(file, code);
  writeFileSync(folder.file('hook.mjs'), '');
  const cases: [args: string[], shown: RegExp, script?: string][] = [
    [[script], /, kiosk\.mjs\)$/, 'kiosk.mjs'],
    [['--no-warnings', '--import', folder.file('hook.mjs'), script], /, kiosk\.mjs\)$/, 'kiosk.mjs'],
    [[hostile], /, evil\\x1b\[31m\\x0ax+…\)$/, basename(hostile)],
    [['--input-type=module', '-e', code], /Thread\)$/],
  ];
  for (const [args, shown, name] of cases) {
    const command = [process.execPath, ...args];
    const service = new Worker(t, 'cli', ['write', path], { command, env: plainEnvironment() });
    await service.told(1);
    const { out } = await shepherd(['status', path], { clock, terminal: 80 });
    const [, line = ''] = /\n(open +for writing by process \d+ \([^\n]*)\n/.exec(out) ?? [];
    assert.match(line, shown);
    assert.ok(line.length <= 80, line);
    assert.partialDeepStrictEqual(await document(path), { openBy: [name === undefined ? {} : { script: name }] });
    assert.equal('script' in holdersOf(path).processes[0]!, name !== undefined);
    service.kill();
    await service.end();
  }
});

test(
  'a service of another user is seen by its lock, and whether it writes is not claimed',
  needs('root'),
  async (t) => {
    const folder = new TestFolder(t);
    folder.open().close();
    chmodSync(folder.path, 0o755);
    for (const name of ['store.db']) chmodSync(folder.file(name), 0o644);
    const service = new Worker(t, 'cli', ['write', folder.file()], { env: plainEnvironment() });
    await service.told(2);
    for (const name of ['store.db-wal', 'store.db-shm']) chmodSync(folder.file(name), 0o644);
    const looker = new Worker(t, 'cli', ['look', JSON.stringify(['status', folder.file(), '--json'])], {
      env: plainEnvironment(),
    });
    const [line] = await looker.result();
    const { out } = JSON.parse(line!) as Said;
    const { isOpenForWriting, openBy } = JSON.parse(out) as {
      isOpenForWriting: boolean | null;
      openBy: { pid: number; writes?: boolean }[];
    };
    assert.equal(isOpenForWriting, null);
    assert.deepEqual(
      openBy.map(({ writes }) => writes),
      [undefined],
    );
    service.kill();
    await service.end();
  },
);

test('each outbox is shown with what it has not got yet, and a store without one says nothing of them', async (t) => {
  const folder = new TestFolder(t);
  let at = now.getTime() - 600_000;
  const store = folder.open({ clock: () => new Date(at) });
  assert.doesNotMatch((await status(folder.file())).out, /outboxes/);
  assert.deepEqual((await document(folder.file()))['outboxes'], []);
  for (let count = 0; count < 1_003; count++) store.appendAudit({ type: 'service_started' });
  const centre = new Outbox(store, 'centre');
  new Outbox(store, 'a-copy');
  at += 300_000;
  centre.acknowledge(centre.read({ limit: 3 })!.anchor);
  const { out } = await status(folder.file());
  assert.match(out, pattern(
    /\noutboxes  a-copy  1,003 events behind, the oldest from 10 min 00 s ago, nothing acknowledged yet\n/,
    / {10}centre  1,000 events behind, the oldest from 10 min 00 s ago, last acknowledged 5 min 00 s ago\n/,
  ));
  centre.acknowledge(store.auditHead()!);
  assert.match((await status(folder.file())).out, /centre  all of it has arrived, last acknowledged 5 min 00 s ago\n/);
  const { outboxes } = await document(folder.file());
  const acknowledgedAt = new Date(at).toISOString();
  assert.deepEqual(outboxes, [
    {
      name: 'a-copy',
      position: { id: 0, hash: new Outbox(store, 'a-copy').position.hash },
      lag: { events: 1_003, since: new Date(at - 300_000).toISOString() },
    },
    { name: 'centre', position: { ...store.auditHead(), acknowledgedAt }, lag: { events: 0 } },
  ]);
});

test('an outbox that cannot be read is shown as that, and a place that is ahead of a backup as that', async (t) => {
  const folder = new TestFolder(t);
  const store = folder.open({ clock });
  store.appendAudit({ type: 'service_started' });
  new Outbox(store, 'centre');
  store.close();
  const db = folder.raw();
  db.prepare('UPDATE outboxes SET id = 1234, hash = ?').run('f'.repeat(64));
  const { code, out } = await status(folder.file());
  assert.equal(code, 0);
  assert.match(out, /centre  1 event behind, .*, it has rows up to 1,234 from before a backup was restored\n/);
  db.exec("UPDATE outboxes SET name = 'no name'");
  const unread = await status(folder.file());
  assert.deepEqual([unread.code, /\noutboxes  cannot be read\n/.test(unread.out)], [1, true]);
  assert.partialDeepStrictEqual(await document(folder.file()), { ok: false, outboxes: null, unreadable: ['outboxes'] });
});
