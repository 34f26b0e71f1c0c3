// Full run: SHEPHERD_ARCHIVE_FAULTS=600 node --test test/faults/archive-failing.test.ts
//
// Each system call of an archiving is made to fail by strace, once or from then on: each row is in the log or in a
// file, the error has a code, and the next archiving finishes.
//
// SHEPHERD_ARCHIVE_FAULTS: how many faults are met, drawn from all that there are; 12 by default.
// SHEPHERD_FAULTS_SEED: repeats another draw. It is left out where there is no strace.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { archiveAudits } from '../../lib/modules/archive/archive.ts';
import type { Said } from '../support/archive-fault-worker.ts';
import { checkSound, dates, type Held, held, leftIn, makeOld, openAt, placesIn, upTo } from '../support/archives.ts';
import { plainEnvironment, Worker } from '../support/child.ts';
import { TestFolder } from '../support/folder.ts';
import { seededRandom } from '../support/random.ts';
import { needs } from '../support/tools.ts';
import { readTrace, tracing } from '../support/trace.ts';

const wanted = Number(process.env['SHEPHERD_ARCHIVE_FAULTS'] ?? 12);
const seed = Number(process.env['SHEPHERD_FAULTS_SEED'] ?? 1);

/** Everything that changes a file, names one, opens one or reads one. */
const calls = [
  'fsync', 'fdatasync', 'write', 'pwrite64', 'ftruncate', 'fallocate', 'openat', 'read', 'pread64', 'getdents64',
  '/^link', '/^rename', '/^unlink', '/^mkdir', '/^fchmod', '/^fchown',
];
/** What the system says of each of them, besides EIO. */
const others: [calls: RegExp, errors: string[]][] = [
  [/^(write|pwrite64|ftruncate|fallocate)$/, ['ENOSPC']],
  [/^(openat|link.*|rename.*|mkdir.*)$/, ['ENOSPC', 'EACCES', 'EROFS']],
  [/^unlink/, ['EACCES', 'EROFS']],
];

/** The codes of the errors that a failing disk has. */
const told = /^ERR_STORE_(IO|DISK_FULL|READ_ONLY|PERMISSION)$/;

interface Beginning {
  mode: 'plain' | 'ledger';
  form: 'plain' | 'gzip';
}

const beginnings: Beginning[] = [
  { mode: 'plain', form: 'plain' },
  { mode: 'ledger', form: 'plain' },
  { mode: 'ledger', form: 'gzip' },
];

interface Fault {
  beginning: Beginning;
  call: string;
  nth: number;
  error: string;
  lasting: boolean;
}

function start(t: TestContext, base: TestFolder, name: string, { mode, form }: Beginning, command: string[]): Worker {
  cpSync(base.file(mode), base.file(name), { recursive: true });
  // Compiled modules that other processes write meanwhile would be opened as well, and calls counted that are not there
  // again.
  const { NODE_COMPILE_CACHE: _cache, ...env } = plainEnvironment();
  return new Worker(t, 'archive-fault', [base.file(name), mode, form], { command, env });
}

/** Every fault that there is between the opening and the closing: of a series on one file, at the first two calls. */
async function findFaults(t: TestContext, base: TestFolder): Promise<Fault[]> {
  const faults: Fault[] = [];
  for (const [index, beginning] of beginnings.entries()) {
    const output = base.file(`whole-${index}.trace`);
    const folder = base.file(`whole-${index}`);
    const worker = start(t, base, `whole-${index}`, beginning, tracing(output, [...calls, 'writev']));
    assert.deepEqual((await worker.result()).map((line) => (JSON.parse(line) as Said).code), Array(4).fill(undefined));
    const all = readTrace(output);
    const said = all.flatMap(({ name }, at) => (name === 'writev' ? [at] : []));
    const ours = all.slice(said[0], said[2]).filter(({ path }) => path.startsWith(folder));
    const series = ours.map(({ name, path }) => `${name} ${path}`);
    for (const [at, { name, nth }] of ours.entries()) {
      if (series[at] === series[at - 1] && series[at] === series[at - 2]) continue;
      const errors = ['EIO', ...others.flatMap(([names, codes]) => (names.test(name) ? codes : []))];
      for (const error of errors) {
        for (const lasting of [false, true]) faults.push({ beginning, call: name, nth, error, lasting });
      }
    }
  }
  return faults;
}

async function inject(
  t: TestContext, base: TestFolder, before: Held, { beginning, call, nth, error, lasting }: Fault,
): Promise<'failed' | 'unharmed' | 'missed'> {
  const name = `${Object.values(beginning).join('-')}-${call}-${nth}-${error}-${lasting ? 'on' : 'once'}`;
  const trace = base.file(`${name}.trace`);
  const injected = `--inject=${call}:error=${error}:when=${nth}${lasting ? '+' : ''}`;
  const worker = start(t, base, name, beginning, tracing(trace, [call], injected));
  const { code, errors } = await worker.end();
  const folder = base.file(name);
  try {
    const hits = readFileSync(trace, 'utf8').split('\n').filter((line) => line.includes('INJECTED'));
    if (!hits[0]?.includes(folder)) return 'missed';
    // Node wakes its own threads by a write, and ends itself where that fails.
    if (code === null && hits.some((line) => !line.includes(folder))) return 'missed';
    assert.equal(code, 0, errors);
    const said = worker.lines.map((line) => JSON.parse(line) as Said);
    for (const each of said) {
      // Of pages that the disk does not give SQLite says that the file is damaged.
      const isRead = call === 'pread64' && each.code === 'ERR_STORE_CORRUPT';
      assert.match(isRead ? 'ERR_STORE_IO' : (each.code ?? 'ERR_STORE_IO'), told);
    }
    // A busy machine moves the calls of other threads, so that it was the opening that failed.
    if (!said.some(({ what }) => what === 'archive')) return 'missed';
    await checkRemains(folder, beginning, before, said, hits);
    return said.some((each) => each.code !== undefined) ? 'failed' : 'unharmed';
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(trace, { force: true });
  }
}

/** Opened again, the store has everything, and archives what is left. */
async function checkRemains(
  folder: string, { mode, form }: Beginning, before: Held, said: readonly Said[], hits: readonly string[],
): Promise<void> {
  const places = placesIn(folder, mode === 'ledger');
  const codeOf = (what: Said['what']): string | undefined => said.find((each) => each.what === what)!.code;
  using store = openAt(places, dates.now);
  const found = await held(store, places.archives);
  const isAppended = found.events.length > before.events.length;
  assert.deepEqual({ ...found, events: found.events.slice(0, before.events.length) }, before);
  // What failed with an I/O error may be there all the same, because nobody can know.
  if (codeOf('append') === undefined) assert.ok(isAppended, 'what was acknowledged is there');
  else if (codeOf('append') !== 'ERR_STORE_IO') assert.ok(!isAppended, codeOf('append'));
  const isDone = (): boolean => [...store.iterateAudits({ toId: 1_100 })].length === 0;
  if (codeOf('archive') === undefined) {
    assert.ok(isDone(), 'an archiving that returned is done');
    assert.ok(!hits.some((line) => mustBeTold(line)), `a failure was swallowed: ${hits[0]}`);
  }
  await archiveAudits(store, { folder: places.archives, upTo, gzip: form === 'gzip' });
  assert.ok(isDone(), 'the next archiving finishes');
  assert.deepEqual(await held(store, places.archives), found);
  assert.deepEqual(leftIn(places), []);
  await checkSound(store, places);
}

/** Whether a call is one on an archive, or on the file that takes the ledger's place, without which it is not safe. */
function mustBeTold(line: string): boolean {
  const isOfFile = /\.shepherd-store-[0-9a-f-]{36}\.tmp|\/archives>\)/.test(line) && !/unlink|\.lock/.test(line);
  return isOfFile && /(fsync|fdatasync|write|pwrite64|rename\w*)\(/.test(line);
}

test(
  'whichever system call of an archiving fails, once or from then on, each row is in the log or in a file, and the '
    + 'next one finishes',
  needs('strace'),
  async (t) => {
    t.diagnostic(`SHEPHERD_FAULTS_SEED=${seed} SHEPHERD_ARCHIVE_FAULTS=${wanted}`);
    const base = new TestFolder(t, { inMemory: true });
    const before = {} as Record<Beginning['mode'], Held>;
    for (const mode of ['plain', 'ledger'] as const) {
      const places = placesIn(base.file(mode), mode === 'ledger');
      makeOld(places);
      using store = openAt(places, dates.now);
      before[mode] = await held(store, places.archives);
    }
    const faults = await findFaults(t, base);
    const random = seededRandom(seed);
    const order = faults.map((fault) => ({ fault, rank: random() })).sort((a, b) => b.rank - a.rank);
    const total = Math.min(wanted, order.length);
    const problems: string[] = [];
    const outcomes = { failed: 0, unharmed: 0, missed: 0 };
    const isEnough = (): boolean => {
      const { failed, unharmed, missed } = outcomes;
      return failed + unharmed >= total || missed > total / 2 || problems.length > 9;
    };
    const walk = async (): Promise<void> => {
      for (let next = order.pop(); next && !isEnough(); next = order.pop()) {
        const { fault } = next;
        try {
          outcomes[await inject(t, base, before[fault.beginning.mode], fault)]++;
        } catch (error) {
          problems.push(`${JSON.stringify(fault)}: ${(error as Error).message}`);
        }
      }
    };
    // Two at a time, because most of it is the start of a process.
    await Promise.all([walk(), walk()]);
    assert.deepEqual(problems, []);
    t.diagnostic(`${total} of ${faults.length} faults: ${JSON.stringify(outcomes)}`);
    assert.ok(outcomes.missed <= total / 2, 'the process makes its calls in another order each time');
    // About half of all faults are told; of a draw of twelve it may be three.
    assert.ok(outcomes.failed > total / 10);
  },
);
