// A fleet: real stores send what they record to one server, and senders, psql and the server are killed at random, the
// network cuts the stream within a line, and batches come twice. In the end the server has each row of each store once.
//
// SHEPHERD_FLEET: how many stores, 200 events each; 8 by default, 1,000 in the full run. SHEPHERD_FLEET_SEED repeats
// what another run drew, as far as the system keeps time.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SqliteStore } from '../../lib/index.ts';
import { Outbox } from '../../lib/modules/outbox/outbox.ts';
import { connect } from '../../lib/store.ts';
import { plainEnvironment } from '../support/child.ts';
import { shepherd } from '../support/command.ts';
import { TestFolder } from '../support/folder.ts';
import { copyCommand, type Database, PostgreSql } from '../support/postgresql.ts';
import { seededRandom } from '../support/random.ts';
import { needs } from '../support/tools.ts';

const kiosks = Number(process.env['SHEPHERD_FLEET'] ?? 8);
const seed = Number(process.env['SHEPHERD_FLEET_SEED'] ?? Date.now() % 1e6);
const atOnce = 4;
const events = 200;
const parts = 4;

const server = new PostgreSql({ fsync: true });
after(() => server.stop());

type Random = () => number;
const texts = ['tuxmath', 'Übung', '🐑', 'a "quoted" \\ text', 'nul \u0000', '\u2028', '1e400'];

/** Some of a kiosk's events, in transactions of one to ten. */
function record(path: string, count: number, random: Random): void {
  using store = SqliteStore.open(path);
  for (let done = 0; done < count; ) {
    const size = Math.min(count - done, 1 + Math.floor(random() * 10));
    store.transaction(() => {
      for (let index = 0; index < size; index++) {
        const entryId = `${texts[Math.floor(random() * texts.length)]!}${index}`;
        store.appendAudit({ type: 'launch_denied', entryId: entryId.replaceAll('\0', ''), reasons: [entryId] });
      }
    });
    done += size;
  }
}

/** What a sender runs for a batch: psql as it should be, or what becomes of it on a bad day. */
function transport(centre: Database, random: Random): string[] {
  const psql = ['psql', ...centre.arguments(), '-c', copyCommand];
  const lot = random();
  if (lot < 0.15) return ['timeout', '-s', 'KILL', (0.005 + random() * 0.1).toFixed(3), ...psql];
  // A connection that breaks: what has arrived is a part of the text, and the sender is told that it failed.
  if (lot < 0.3) return ['sh', '-c', 'bytes=$1; shift; head -c "$bytes" | "$@"; exit 1', 'sh', cut(random), ...psql];
  // The answer gets lost on its way back.
  if (lot < 0.4) return ['sh', '-c', '"$@"; exit 1', 'sh', ...psql];
  if (lot < 0.5) {
    const twice = 'f=$(mktemp) && cat > "$f" && "$@" < "$f" && "$@" < "$f"; code=$?; rm "$f"; exit $code';
    return ['sh', '-c', twice, 'sh', ...psql];
  }
  return psql;
}

function cut(random: Random): string {
  return String(Math.floor(random() * 30_000));
}

const program = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));

/** Sends what there is, at times in a process that is killed meanwhile; says whether all of it was sent. */
async function ship(path: string, centre: Database, random: Random): Promise<boolean> {
  const batch = String(1 + Math.floor(random() * 120));
  const args = ['ship', '--db', path, '--to', 'centre', '--batch', batch, '--', ...transport(centre, random)];
  if (random() >= 0.2) return (await shepherd(args)).code === 0;
  const child = spawn(process.execPath, [program, ...args], { stdio: 'ignore', env: plainEnvironment() });
  const timer = setTimeout(() => child.kill('SIGKILL'), 100 + random() * 400);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return code === 0;
}

/** A kiosk's whole life: it records, and sends whenever it can; at the end until everything has arrived. */
async function live(path: string, centre: Database, random: Random): Promise<number> {
  let failed = 0;
  for (let part = 0; part < parts; part++) {
    record(path, events / parts, random);
    if (!await ship(path, centre, random)) failed++;
  }
  while (!await ship(path, centre, random)) {
    assert.ok(++failed < 2_000, 'what is sent is refused for ever');
    await sleep(random() * 300); // the server may be starting
  }
  return failed;
}

/** Kills the server again and again, until it is told to stop; gives how often. */
async function killServer(signal: AbortSignal, random: Random): Promise<number> {
  for (let kills = 0; ; kills++) {
    await sleep(3_000 + random() * 6_000, undefined, { signal }).catch(() => {});
    if (signal.aborted) return kills;
    await server.kill();
    await server.start();
  }
}

/** The whole log of a store as it would be sent. */
function logOf(path: string): { uuid: string; text: string } {
  using store = SqliteStore.openReadOnly(path);
  const { text } = new Outbox(store, 'all').read({ limit: 100_000, maxBytes: 2 ** 26 })!;
  return { uuid: connect(store).uuid, text };
}

test('a fleet whose senders, psql, server and network fail at random has each event once in the end', {
  ...needs('postgres'),
}, async (t) => {
  t.diagnostic(`SHEPHERD_FLEET_SEED=${seed} SHEPHERD_FLEET=${kiosks}`);
  const folder = new TestFolder(t, { inMemory: true });
  const centre = await server.database();
  const ending = new AbortController();
  const killing = killServer(ending.signal, seededRandom(seed));
  const paths = Array.from({ length: kiosks }, (_, index) => folder.file(`kiosk-${index}.db`));
  const left = paths.entries();
  let failed = 0;
  try {
    await Promise.all(Array.from({ length: atOnce }, async () => {
      for (const [index, path] of left) failed += await live(path, centre, seededRandom(seed + 1 + index));
    }));
  } finally {
    ending.abort();
  }
  const kills = await killing;
  assert.deepEqual(await centre.must('SELECT count(*), count(DISTINCT (store, id)) FROM shepherd.event'), [
    `${kiosks * events}|${kiosks * events}`,
  ]);
  const wrong = 'SELECT count(*) FROM shepherd.kiosk k WHERE NOT shepherd.verify(k.store)';
  assert.deepEqual(await centre.must(wrong), ['0']);
  for (const path of paths) {
    const { uuid, text } = logOf(path);
    assert.ok(await centre.ledger(uuid) === text, `the centre has another log of ${path}`);
  }
  const told = `${kiosks * events} events of ${kiosks} stores`;
  t.diagnostic(`${told}; ${failed} sendings failed, the server was killed ${kills} times`);
});
