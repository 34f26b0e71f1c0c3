// The process of test/faults/archive-disk.test.ts, in a mount namespace of its own: archives a log on a small file
// system with every amount of free space from none to enough. Fails with what is wrong; tells how many it did.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { StoreError } from '../../lib/index.ts';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import { fill } from './ballast.ts';
import { checkSound, dates, held, leftIn, makeOld, openAt, type Places, placesIn, upTo } from './archives.ts';
import { tell } from './child.ts';
import { seededRandom } from './random.ts';

const maxPages = 900;

/** How the files lie: all on the full disk, or the archives alone. */
interface Layout {
  what: string;
  withLedger: boolean;
  gzip: boolean;
  /** Whether the store is on another disk, with room. */
  isElsewhere: boolean;
}

const layouts: Layout[] = [
  { what: 'archiving', withLedger: false, gzip: false, isElsewhere: false },
  { what: 'archiving in ledger mode', withLedger: true, gzip: false, isElsewhere: false },
  { what: 'archiving, compressed, onto another disk', withLedger: true, gzip: true, isElsewhere: true },
];

/** What the next process finds if this one is killed now. */
async function afterKill(places: Places, elsewhere: string): Promise<unknown> {
  rmSync(elsewhere, { recursive: true, force: true });
  mkdirSync(elsewhere);
  const copy = { ...placesIn(elsewhere, places.ledger !== undefined) };
  // By another process: this one would drop SQLite's locks with the descriptor.
  execFileSync('sh', ['-c', 'cd "$1" && cp -a . "$2" && rm -f "$2"/*-shm', '-', join(places.path, '..'), elsewhere]);
  if (existsSync(places.archives)) execFileSync('cp', ['-a', places.archives, elsewhere]);
  using store = openAt(copy, dates.now);
  assert.equal(store.recovery, undefined);
  const found = await held(store, copy.archives);
  await archiveAudits(store, { folder: copy.archives, upTo });
  assert.deepEqual(await held(store, copy.archives), found, 'the next process finishes');
  await checkSound(store, copy);
  return found;
}

/** Archives with so much space. Gives whether there was enough. */
async function attempt(
  mount: string, elsewhere: string, base: string, layout: Layout, pages: number,
): Promise<boolean> {
  const home = layout.isElsewhere ? join(elsewhere, 'home') : join(mount, 'home');
  rmSync(home, { recursive: true, force: true });
  execFileSync('cp', ['-a', base, home]);
  const places = placesIn(home, layout.withLedger);
  if (layout.isElsewhere) places.archives = join(mount, 'archives');
  const store = openAt(places, dates.now);
  const before = await held(store, places.archives);
  fill(mount, pages);
  const options = { folder: places.archives, upTo, gzip: layout.gzip };
  const code = await codeOf(archiveAudits(store, options));
  if (code !== undefined) {
    assert.equal(code, 'ERR_STORE_DISK_FULL');
    assert.equal(store.isHealthy(), true);
    assert.deepEqual(await held(store, places.archives), before);
    assert.deepEqual(leftIn(places), []);
    if (layout.isElsewhere) assert.equal([...store.iterateAudits({ toId: 1 })].length, 1, 'nothing is removed');
    assert.deepEqual(await afterKill(places, join(elsewhere, 'killed')), before);
  }
  rmSync(join(mount, 'ballast'));
  store.appendAudit({ type: 'service_started' });
  const after = await held(store, places.archives);
  assert.deepEqual({ ...after, events: after.events.slice(0, -1) }, before);
  if (code !== undefined) await archiveAudits(store, options);
  assert.ok(existsSync(places.archives) && readdirSync(places.archives).length > 0);
  assert.equal([...store.iterateAudits({ toId: 1_100 })].length, 0, 'archived rows are in files alone');
  assert.deepEqual(await held(store, places.archives), after);
  await checkSound(store, places);
  store.close();
  const again = openAt(places, dates.now);
  assert.equal(again.recovery, undefined);
  assert.deepEqual(await held(again, places.archives), after);
  again.close();
  rmSync(home, { recursive: true });
  rmSync(places.archives, { recursive: true, force: true });
  return code === undefined;
}

/** The code of what is thrown; undefined for nothing. */
async function codeOf(doing: Promise<unknown>): Promise<string | undefined> {
  try {
    await doing;
    return undefined;
  } catch (error) {
    return error instanceof StoreError ? error.code : String(error);
  }
}

async function work(mount: string, elsewhere: string, portion: number, seed: number): Promise<void> {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', mount]);
  mkdirSync(elsewhere);
  const random = seededRandom(seed);
  const counts: Record<string, number> = {};
  for (const layout of layouts) {
    const base = join(elsewhere, layout.what);
    makeOld(placesIn(base, layout.withLedger));
    for (let pages = 0, enough = 0; enough < 2; pages++) {
      assert.ok(pages < maxPages);
      if (random() >= portion && pages > 0) continue;
      counts[layout.what] = (counts[layout.what] ?? 0) + 1;
      tell(`${layout.what} with ${pages} pages`);
      enough = (await attempt(mount, elsewhere, base, layout, pages)) ? enough + 1 : 0;
    }
  }
  tell(JSON.stringify(counts));
}

const [mount, elsewhere, portion, seed] = process.argv.slice(2);
if (import.meta.main && mount !== undefined) await work(mount, elsewhere!, Number(portion), Number(seed));
