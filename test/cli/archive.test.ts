// The commands on a log that may be shortened: archive, forget-usage, forget-archives, vacuum, and what the others say.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs, { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { SqliteStore } from '../../lib/index.ts';
import { Ledger } from '../../lib/ledger/index.ts';
import { listArchives } from '../../lib/modules/archive/archive.ts';
import { pattern, type Said, shepherd } from '../support/command.ts';
import { namesIn, picture } from '../support/files.ts';
import { checkStore, TestFolder } from '../support/folder.ts';
import { Companion } from '../support/process.ts';

process.env['TZ'] = 'Europe/Berlin';
const now = new Date('2026-11-21T12:00:00Z');
const clock = (): Date => now;
const dayMs = 86_400_000;
const perDay = 20;

const json = (said: Said): Record<string, any> => JSON.parse(said.out) as Record<string, any>;

/** A folder with a store of 120 days, 20 events on each, all of them at noon; without a ledger or with one. */
class Kiosk extends TestFolder {
  readonly db = this.file();
  readonly archives = this.file('archives');
  readonly ledger = this.file('audit.jsonl');

  fill({ hasLedger = false, days = 120, key = '' } = {}): this {
    let at = 0;
    const signing = key === '' ? {} : { signingKey: readFileSync(key, 'utf8') };
    const ledger = hasLedger ? Ledger.open(this.ledger, signing) : undefined;
    const store = SqliteStore.open(this.db, { clock: () => new Date(at), ...(ledger ? { ledger } : undefined) });
    for (let day = days; day > 0; day--) {
      at = now.getTime() - day * dayMs;
      store.transaction(() => {
        for (let index = 0; index < perDay; index++) {
          store.appendAudit({ type: 'launch_denied', entryId: 'minecraft', reasons: ['x'.repeat(100)] });
        }
        store.addUsage('minecraft', new Date(at).toISOString().slice(0, 10), 60_000);
      });
    }
    at = now.getTime();
    store.saveSnapshot({ timestamp: now });
    store.close();
    ledger?.close();
    return this;
  }

  run(name: string, ...args: string[]): Promise<Said> {
    return shepherd([name, '--db', this.db, ...args], { clock });
  }

  archive(...args: string[]): Promise<Said> {
    return this.run('archive', '--folder', this.archives, ...args);
  }

  firstArchive(): string {
    return listArchives(this.archives)[0]!.path;
  }
}

function kiosk(t: TestContext, filling: Parameters<Kiosk['fill']>[0] = {}, checked = true): Kiosk {
  return new Kiosk(t, { checked, inMemory: true }).fill(filling);
}

test('each command explains itself within 80 columns, and names what is missing', async () => {
  const needed = {
    archive: ['--folder DIR'], 'forget-usage': ['--before DAY'], 'forget-archives': ['--folder DIR', '--before DAY'],
    vacuum: [],
  };
  const general = await shepherd(['--help']);
  for (const [name, options] of Object.entries(needed)) {
    const help = await shepherd([name, '--help']);
    assert.deepEqual([help.code, help.err], [0, '']);
    assert.ok(help.out.includes(`\nUsage: shepherd-store ${[name, '[FILE]', ...options].join(' ')} [options]\n`), name);
    assert.match(general.out, new RegExp(`^  ${name} +[A-Z]`, 'm'));
    for (const line of help.out.split('\n')) assert.ok(line.length <= 80, line);
    const [first] = options;
    if (first === undefined) continue;
    const { code, err } = await shepherd([name, '--db', 'x']);
    assert.deepEqual([code, err.includes(`${first.split(' ')[0]} is missing`)], [2, true], err);
  }
  for (const args of [['--keep-days', '0'], ['--before', 'soon'], ['--before', '9d', '--keep-days', '9']]) {
    assert.equal((await shepherd(['archive', '--db', 'x', '--folder', 'y', ...args])).code, 2, args.join(' '));
  }
  assert.equal((await shepherd(['forget-usage', '--db', 'x', '--before', '2026-02-30'])).code, 2);
});

test('archive moves the rows older than 90 days, says what was gained, and then that there is nothing', async (t) => {
  const folder = kiosk(t);
  const { code, out, err } = await folder.archive();
  assert.deepEqual([code, err], [0, '']);
  assert.match(
    out.replaceAll(folder.path, ''),
    pattern(
      /^archived: \/archives\/store\.db\.audit-1-600\.jsonl, [\d.]+ KiB, rows 1 to 600\nsha256    [0-9a-f]{64}\n/,
      /database  [\d.]+ KiB more are free in it: [\d.]+ KiB of [\d.]+ KiB\n\nanchor 600:[0-9a-f]{64}\n$/,
    ),
  );
  assert.equal((await folder.run('verify', '--archives', folder.archives)).code, 0);
  const before = picture(folder.archives);
  const again = await folder.archive();
  assert.equal(again.code, 0);
  assert.match(again.out, /^Nothing to archive\.\nstays     row 601 of \S+ 2026-08-23 14:00:00 [^]* 90 days\n$/);
  assert.deepEqual(picture(folder.archives), before);

  const more = json(await folder.archive('--keep-days', '60', '--gzip', '--json'));
  assert.partialDeepStrictEqual(more['archived'], { from: 601, to: 1200, anchor: { id: 1200 } });
  assert.equal(statSync(more['archived'].path).size, more['archived'].bytes);
  assert.ok(more['archived'].path.endsWith('.jsonl.gz') && more['after'].freePageBytes > more['before'].freePageBytes);
  const none = json(await folder.archive('--keep-days', '60', '--json'));
  assert.deepEqual([none['archived'], none['held'].id], [null, 1201]);
  const empty = new TestFolder(t);
  empty.open().close();
  const said = await shepherd(['archive', empty.file(), '--folder', empty.file('a')]);
  assert.deepEqual([said.code, said.out], [0, 'Nothing to archive: the log has no row.\n']);
});

test('a bar on the terminal shows how far archiving is', async (t) => {
  const folder = kiosk(t);
  const argv = ['archive', '--db', folder.db, '--folder', folder.archives];
  const { err } = await shepherd(argv, { clock, terminal: 80 });
  assert.match(err, /\r\x1b\[Karchive █+ +\d+ %/);
  assert.ok(err.endsWith('\r\x1b[K'));
});

test('--dry-run says which rows would go and why it stops there, and writes nothing', async (t) => {
  const folder = kiosk(t);
  const before = picture(folder.path);
  const { code, out } = await folder.archive('--dry-run');
  assert.equal(code, 0);
  assert.match(
    out,
    pattern(
      /^would go  rows 1 to 600, the last one of Sat 2026-08-22 14:00:00 \+02:00\n/,
      /stays     row 601 of Sun 2026-08-23 14:00:00 \+02:00, [^]*younger than 90 days\n$/,
    ),
  );
  assert.deepEqual(json(await folder.archive('--dry-run', '--before', '2026-09-01', '--json')), {
    archive: { from: 1, to: 780, at: '2026-08-31T12:00:00.000Z' },
    held: { id: 781, why: 'it is not before 2026-08-31T22:00:00.000Z' },
    unfinished: null,
  });
  const none = await folder.archive('--dry-run', '--keep-days', '300');
  assert.match(none.out, /^Nothing to archive\.\nstays     row 1 of /);
  const refused = await folder.archive('--dry-run', '--before', '1h');
  assert.deepEqual([refused.code, refused.out], [2, '']);
  assert.match(refused.err, /row 2381 has to stay: .*\(ERR_STORE_CONFLICT\)\n$/);
  assert.deepEqual(picture(folder.path), before);
  assert.equal(existsSync(folder.archives), false);

  const store = SqliteStore.open(folder.db, { clock });
  const startedAt = new Date(now.getTime() - 100 * dayMs);
  const session = { sessionId: 's', entryId: 'minecraft', startedAt, warningsIssued: [] };
  store.saveSnapshot({ timestamp: now, activeSession: session });
  store.close();
  const held = json(await folder.archive('--dry-run', '--json'));
  assert.deepEqual([held['archive'].to, held['held'].id], [400, 401]);
  assert.match(held['held'].why, /session/);
});

test('with a ledger it is opened where the store remembers it, and cut at the same row', async (t) => {
  const folder = kiosk(t, { hasLedger: true });
  const { code, out } = await folder.archive();
  assert.equal(code, 0);
  assert.match(out, /\nledger    [\d.]+ KiB, [\d.]+ KiB before\n/);
  const { after, before } = json(await folder.archive('--keep-days', '60', '--json'));
  assert.ok(after.ledgerBytes < before.ledgerBytes && after.ledgerBytes === statSync(folder.ledger).size);
  const whole = await folder.run('verify', '--ledger', folder.ledger, '--archives', folder.archives);
  assert.equal(whole.code, 0, whole.out);
  assert.match(whole.out, /\nledger    ok: [\d,]+ lines checked behind archived row [\d,]+, every hash fits\n/);
  renameSync(folder.ledger, folder.file('moved.jsonl'));
  assert.equal((await folder.archive('--keep-days', '30')).code, 2);
  assert.equal((await folder.archive('--keep-days', '30', '--ledger', folder.file('moved.jsonl'))).code, 0);
});

test('a store that signs its events needs its key, also once the event that says so is archived', async (t) => {
  const folder = new Kiosk(t, { inMemory: true });
  const key = folder.file('key.pem');
  assert.equal((await shepherd(['keygen', '--key', key])).code, 0);
  folder.fill({ hasLedger: true, key });
  assert.equal((await folder.archive()).code, 2);
  for (const days of ['90', '60']) assert.equal((await folder.archive('--keep-days', days, '--key', key)).code, 0);
  const checks = ['--public-key', `${key}.pub`, '--archives', folder.archives, '--ledger', folder.ledger];
  const { code, out } = await folder.run('verify', ...checks);
  assert.equal(code, 0, out);
  assert.match(out, /^log       ok: .* in 2 archives and the log, every hash and signature fits\n/);
});

test('archive works beside a running service, which vacuum waits for and then refuses', async (t) => {
  const folder = kiosk(t);
  const service = new Companion(t, folder.db, `
    const store = SqliteStore.open(path);
    report(store.auditHead().id);
    await told();
    report([store.appendAudit({ type: 'service_started' }).id, (await store.verifyAudit()).ok]);
    await told();
    store.close();
    report('closed');`);
  assert.equal(await service.next(), 2400);
  assert.equal((await folder.archive()).code, 0);
  assert.deepEqual(await service.ask('append'), [2402, true]);
  const before = picture(folder.path);
  const { code, out, err } = await folder.run('vacuum');
  assert.deepEqual([code, out], [1, '']);
  assert.match(err, /\(ERR_STORE_BUSY\)\n$/);
  assert.deepEqual(picture(folder.path), before);
  assert.equal((await folder.run('vacuum', '--dry-run')).code, 0);
  assert.equal(await service.ask('close'), 'closed');
  await service.end();
  assert.equal((await folder.run('vacuum')).code, 0);
});

test('verify says where a shortened log begins, and proves an anchor in the archives with them alone', async (t) => {
  const folder = kiosk(t);
  const first = (await folder.archive('--keep-days', '110')).out.split('anchor ')[1]!.trim();
  await folder.archive();
  const plain = await folder.run('verify');
  assert.equal(plain.code, 0);
  assert.match(
    plain.out,
    /^log       ok: 1,802 events checked behind archived row 600, [^]*\n\nThe rows up to 600 are .*--archives DIR /,
  );
  assert.equal(json(await folder.run('verify', '--json'))['archivedId'], 600);
  const alone = await folder.run('verify', '--anchor', first);
  assert.equal(alone.code, 1);
  assert.match(alone.out, /^log       1 finding in [^]*  archived   [^]*\n  verify --archives DIR, /);
  const both = ['--archives', folder.archives, '--anchor'];
  const proven = await folder.run('verify', ...both, first);
  assert.equal(proven.code, 0, proven.out);
  assert.match(proven.out, /^log       ok: 2,402 events checked in 2 archives and the log, .* row 200 is the anch/);
  const forged = json(await folder.run('verify', ...both, `200:${'a'.repeat(64)}`, '--json'));
  assert.deepEqual([forged['ok'], forged['archives'], forged['findings'][0].kind], [false, 2, 'forked']);

  const path = folder.firstArchive();
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('minecraft', 'minecroft'));
  const tampered = await folder.run('verify', '--archives', folder.archives);
  assert.equal(tampered.code, 1);
  assert.match(tampered.out, /  \S+ +store\.db\.audit-1-200\.jsonl, line 2: /);
  rmSync(path);
  const missing = await folder.run('verify', '--archives', folder.archives);
  assert.equal(missing.code, 1);
  assert.match(missing.out, /\n  missing +the archive store\.db\.audit-1-200\.jsonl /);
  assert.equal((await folder.run('verify', '--archives', folder.file('nowhere'))).code, 2);
  rmSync(folder.file('archives'), { recursive: true });
});

test('an archive is checked as a ledger too, compressed or not, and so is a compressed ledger', async (t) => {
  const folder = kiosk(t, { hasLedger: true });
  await folder.archive('--keep-days', '110');
  await folder.archive('--gzip');
  for (const { path } of listArchives(folder.archives)) {
    const { code, out } = await folder.run('verify', '--ledger', path);
    assert.equal(code, 0, out);
    assert.match(out, /\nparity    not compared: /);
  }
  const zipped = folder.file('copy.jsonl.gz');
  writeFileSync(zipped, gzipSync(readFileSync(folder.ledger)));
  const whole = await folder.run('verify', '--ledger', zipped);
  assert.equal(whole.code, 0, whole.out);
  assert.match(whole.out, /\nparity    ok: /);
  // An old copy of a ledger is none of the archives, however few of its rows the log still has.
  const [first] = listArchives(folder.archives);
  renameSync(first!.path, folder.file('old.jsonl'));
  assert.equal((await folder.run('verify', '--ledger', folder.file('old.jsonl'))).code, 1);
});

test('rebuild-database joins archives and ledger, says where it begins without them, and names a gap', async (t) => {
  const folder = kiosk(t, { hasLedger: true });
  await folder.archive('--keep-days', '110', '--gzip');
  await folder.archive();
  const rebuild = (name: string, ...args: string[]): Promise<Said> => {
    return shepherd(['rebuild-database', '--ledger', folder.ledger, '--db', folder.file(name), ...args]);
  };
  const { head } = json(await folder.run('verify', '--json'));
  const whole = await rebuild('whole.db', '--archives', folder.archives);
  assert.equal(whole.code, 0, whole.err);
  assert.ok(whole.out.includes(`anchor ${head.id}:${head.hash}\n`) && !whole.out.includes('archived'), whole.out);
  using store = SqliteStore.openReadOnly(folder.file('whole.db'));
  assert.deepEqual([store.health().archivedId, (await store.verifyAudit()).checked], [undefined, head.id]);
  const rest = await rebuild('rest.db');
  assert.match(rest.out, /^made: .* events behind archived row \d+\n[^\n]*--archives DIR/);
  const { archivedId } = json(await rebuild('more.db', '--json'));
  assert.equal(archivedId, listArchives(folder.archives)[1]!.to);
  rmSync(listArchives(folder.archives)[1]!.path);
  const gap = await rebuild('gap.db', '--archives', folder.archives);
  assert.equal(gap.code, 1);
  assert.match(gap.err, /rows \d+ to \d+ are neither in .*\(ERR_STORE_PARITY\)\n$/);
  assert.equal((await rebuild('none.db', '--archives', folder.path)).code, 2);
  for (const name of ['whole.db', 'rest.db', 'more.db']) await checkStore(folder.file(name));
});

test('forget-usage and forget-archives say what they forgot, also that it was nothing', async (t) => {
  const folder = kiosk(t);
  const used = await folder.run('forget-usage', '--before', '2026-08-01');
  assert.deepEqual([used.code, used.out], [0, 'forgotten: 8 totals of usage before 2026-08-01\n']);
  const none = await folder.run('forget-usage', '--before', '2026-08-01');
  assert.deepEqual([none.code, none.out], [0, 'Nothing was forgotten: there is no usage before 2026-08-01.\n']);
  assert.deepEqual(json(await folder.run('forget-usage', '--before', '2026-08-02', '--json'))['rows'], 1);
  assert.equal((await folder.run('forget-usage', '--before', 'yesterday')).code, 2);

  for (const days of ['110', '100', '90']) await folder.archive('--keep-days', days);
  const forget = ['--folder', folder.archives, '--before'];
  const early = await folder.run('forget-archives', ...forget, '2026-08-02');
  assert.deepEqual([early.code, early.out.startsWith('Nothing was forgotten: ')], [0, true]);
  const { code, out } = await folder.run('forget-archives', ...forget, '2026-08-15');
  assert.equal(code, 0);
  assert.match(out, /^forgotten: 2 archives with rows 1 to 400\n  .*audit-1-200\.jsonl\n  .*audit-201-400\.jsonl\n$/);
  assert.deepEqual(namesIn(folder.archives), ['store.db.audit-401-600.jsonl']);
  const verified = await folder.run('verify', '--archives', folder.archives);
  assert.equal(verified.code, 0, verified.out);
  const rest = json(await folder.run('forget-archives', ...forget, '2026-08-25', '--json'));
  assert.deepEqual(rest['forgotten'].map(({ from, to }: { from: number; to: number }) => [from, to]), [[401, 600]]);
  assert.equal((await folder.run('forget-archives', '--folder', folder.file('no'), '--before', '2026-08-01')).code, 2);
});

test('status shows where the log begins, what is free, and the archives where they are found', async (t) => {
  const folder = kiosk(t);
  assert.doesNotMatch((await folder.run('status')).out, /archive|free pages/);
  await folder.archive();
  const { code, out } = await folder.run('status');
  assert.equal(code, 0);
  assert.match(
    out,
    pattern(
      /\nsize      .* free\n          [\d.]+ KiB of it in free pages, which are used again\n[^]*/,
      /\nevents    2,401, of which 600 are archived, the newest [^]*/,
      /\narchives  1 file with rows 1 to 600, [\d.]+ KiB\n          .*\/archives\n/,
    ),
  );
  const found = json(await folder.run('status', '--json'));
  assert.partialDeepStrictEqual(found, {
    archivedId: 600,
    unreadable: [],
    archives: { folder: folder.archives, files: 1, from: 1, to: 600 },
  });
  assert.ok(found['freePageBytes'] > 0);
  const elsewhere = folder.file('elsewhere');
  renameSync(folder.archives, elsewhere);
  assert.match((await folder.run('status')).out, /\narchives  not beside the store: --archives DIR says where\n/);
  assert.match((await folder.run('status', '--archives', elsewhere)).out, /\narchives  1 file with rows 1 to 600, /);
  assert.equal((await folder.run('status', '--archives', folder.file('no'))).code, 1);
  const other = kiosk(t);
  assert.match((await other.run('status', '--archives', elsewhere)).out, /\narchives  none of this store in /);
});

test('vacuum gives the free pages back, and leaves the store as it was', async (t) => {
  const folder = kiosk(t);
  await folder.archive('--keep-days', '2');
  const dry = await folder.run('vacuum', '--dry-run');
  assert.equal(dry.code, 0);
  assert.match(dry.out, /^database .* in free pages\ntime      about 1 s .*\nroom      .* needed, .* free\n$/);
  const before = await folder.run('status', '--json');
  const names = namesIn(folder.path);
  const { code, out, err } = await folder.run('vacuum');
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /^database .*\ntime .*\nvacuumed: .*store\.db, [\d.]+ KiB before, [\d.]+ KiB now\n$/);
  assert.deepEqual(namesIn(folder.path), names);
  const [was, is] = [JSON.parse(before.out), json(await folder.run('status', '--json'))];
  assert.equal(is['freePageBytes'], 0);
  assert.ok(is['databaseBytes'] <= was.databaseBytes - was.freePageBytes);
  for (const part of ['head', 'archivedId', 'usage', 'journalMode']) assert.deepEqual(is[part], was[part]);
  assert.equal((await folder.run('verify', '--archives', folder.archives)).code, 0);
  const again = json(await folder.run('vacuum', '--json'));
  assert.deepEqual([again['before'], again['after']], [is['databaseBytes'], is['databaseBytes']]);
  using db = new DatabaseSync(folder.db);
  assert.equal(db.prepare('PRAGMA temp_store_directory').get(), undefined);
});

test('vacuum is refused where there is too little room or no store, before anything is changed', async (t) => {
  const folder = kiosk(t);
  await folder.archive();
  const before = picture(folder.path);
  const { statfsSync } = fs;
  const needed = json(await folder.run('vacuum', '--dry-run', '--json'))['neededBytes'] as number;
  const withFree = async (bytes: number, ...args: string[]): Promise<Said> => {
    fs.statfsSync = ((path: string) => ({ ...statfsSync(path), bavail: bytes, bsize: 1 })) as typeof statfsSync;
    syncBuiltinESMExports();
    try {
      return await folder.run('vacuum', ...args);
    } finally {
      fs.statfsSync = statfsSync;
      syncBuiltinESMExports();
    }
  };
  const refused = await withFree(needed - 1);
  assert.deepEqual([refused.code, refused.out], [1, '']);
  assert.ok(refused.err.includes(`it needs ${needed} bytes`) && refused.err.includes(`${needed - 1} are free`));
  assert.match(refused.err, /\(ERR_STORE_DISK_FULL\)\n$/);
  const dry = await withFree(needed - 1, '--dry-run');
  assert.deepEqual([dry.code, /\nroom      too little: /.test(dry.out)], [1, true]);
  assert.deepEqual(picture(folder.path), before);
  assert.equal((await withFree(needed)).code, 0);
  writeFileSync(folder.file('other.db'), 'no database');
  assert.equal((await shepherd(['vacuum', folder.file('other.db')])).code, 1);
  assert.equal((await shepherd(['vacuum', folder.file('absent.db')])).code, 2);
});

test('a crash at any point of a vacuum leaves every row', async (t) => {
  const folder = kiosk(t);
  await folder.archive();
  const { head } = json(await folder.run('verify', '--json'));
  // A crash before the commit record leaves the pages of a VACUUM in the -wal, where nobody reads them.
  const code = `
    import { DatabaseSync } from 'node:sqlite';
    const db = new DatabaseSync(process.argv[1]);
    db.exec('PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = FULL');
    db.exec('VACUUM');
    process.kill(process.pid, 'SIGKILL');`;
  spawnSync(process.execPath, ['--input-type=module', '-e', code, folder.db]);
  const wal = readFileSync(`${folder.db}-wal`);
  assert.ok(wal.length > 100_000);
  const whole = readFileSync(folder.db);
  for (const length of [0, 32, 40_000, wal.length - 4_120, wal.length - 1, wal.length]) {
    for (const suffix of ['-wal', '-shm']) rmSync(folder.db + suffix, { force: true });
    writeFileSync(folder.db, whole);
    writeFileSync(`${folder.db}-wal`, wal.subarray(0, length));
    SqliteStore.open(folder.db).close();
    const after = json(await folder.run('verify', '--json'));
    assert.deepEqual([after['ok'], after['head'], after['archivedId']], [true, head, 600], `${length} bytes`);
  }
});

test('the other commands say that rows are archived, where silence would mislead', async (t) => {
  const folder = kiosk(t, { hasLedger: true });
  await folder.archive();
  const { archivedId } = json(await folder.run('verify', '--json'));
  const newest = await folder.run('audit', '--limit', '3');
  assert.match(newest.out, /\n\nOlder events: --before-id \d+\n$/);
  const said = new RegExp(`\n\nThe events up to ${archivedId} are in archives, where this does not look\\.\n$`);
  assert.match((await folder.run('audit', '--before-id', String(archivedId + 3))).out, said);
  assert.match((await folder.run('audit', '--before-id', String(archivedId + 2), '--limit', '1')).out, /(?<!\d)\n$/);
  assert.match((await folder.run('audit', '--day', '2026-08-01')).out, said);
  assert.doesNotMatch((await folder.run('audit', '--day', '2026-08-01', '--json')).out, /archives/);
  const made = await folder.run('backup', folder.file('copy.db'));
  assert.ok(made.out.includes(`\n      The rows up to ${archivedId} are in archives, which are to be copied too.\n`));
  assert.equal((await shepherd(['verify', folder.file('copy.db'), '--archives', folder.archives])).code, 0);
  const ledger = await folder.run('rebuild-ledger', '--ledger', folder.file('new.jsonl'));
  assert.match(ledger.out, new RegExp(` lines behind archived row ${archivedId}\n`));
  assert.equal((await folder.run('replay', '--ledger', folder.ledger)).code, 0);
  const down = await folder.run('migrate', '--to', '8');
  assert.equal(down.code, 1);
  assert.match(down.out, /\n  where the log begins, so that its archived rows look lost: 1\n$/);
  assert.match(down.err, /\(ERR_STORE_MIGRATION\)\n$/);
  assert.equal((await folder.run('verify')).code, 0);
  assert.equal((await folder.run('detach-ledger', '--ledger', folder.ledger)).code, 0);
});

test('a backup from before archiving is put back with all rows, and goes on with a ledger that was cut', async (t) => {
  const folder = kiosk(t, { hasLedger: true });
  assert.equal((await folder.run('backup', folder.file('copy.db'))).code, 0);
  await folder.archive();
  assert.equal((await folder.run('restore', folder.file('copy.db'))).code, 0);
  assert.equal((await folder.run('grant', 'minecraft', '30m')).code, 0);
  const { code, out } = await folder.run('verify', '--ledger', folder.ledger, '--archives', folder.archives);
  assert.equal(code, 0, out);
  assert.match(out, /\nparity    ok: /);
  const { archived } = json(await folder.archive('--keep-days', '60', '--json'));
  assert.ok(archived.to > 600);
  assert.equal((await folder.run('verify', '--archives', folder.archives)).code, 0);
});
