// The centre of a fleet: how fast it takes events in, beside a plain COPY of the same text into a table that checks
// nothing, and whether that stays so as the table grows.
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { genesisHash } from '../../lib/core/chain.ts';
import { headerText, lineHash, type LedgerLine, lineText } from '../../lib/ledger/line.ts';
import { copyCommand, type Database, PostgreSql } from '../support/postgresql.ts';
import { median } from './measure.ts';

/** What taking in costs while the table has up to so many rows. */
export interface Ingest {
  rows: number;
  /** Events a second, by the centre and by the plain COPY. */
  taken: number;
  copied: number;
  share: number;
}

export interface FleetResult {
  steps: Ingest[];
  /** The rate at the first step beside that at the last. */
  slowing: number;
  /** Bytes of the table and its index for each event. */
  bytesPerEvent: number;
  isMet: boolean;
}

const minShare = 0.1;
const maxSlowing = 1.3;
const batchEvents = 500;
const kiosks = 400;

/** What a kiosk writes on a usual day, one after the other. */
const usual = [
  ['session_started', '{"sessionId":"01939a2c-5f3e-7c41-a6f1-2f6a0b1d9c3e","entryId":"tuxmath","label":"Tux Math"}'],
  ['usage_added', '{"entryId":"tuxmath","day":"2026-11-21","durationMs":1800000}'],
  ['session_ended', '{"sessionId":"01939a2c-5f3e-7c41-a6f1-2f6a0b1d9c3e","entryId":"tuxmath",'
    + '"reason":{"type":"expired"},"durationMs":1800000}'],
  ['cooldown_set', '{"entryId":"tuxmath","until":"2026-11-21T19:10:00.000Z","setAt":null}'],
  ['launch_denied', '{"entryId":"tuxmath","reasons":["cooldown"]}'],
] as const;

/** A kiosk whose log goes on from one batch to the next. */
class Kiosk {
  readonly #store = randomUUID();
  #last = { id: 0, hash: genesisHash(this.#store) };

  /** The next batch, as an outbox gives it. */
  batch(): string {
    const after = this.#last.id > 0 ? this.#last : undefined;
    const lines = [headerText({ store: this.#store, created: '2026-11-21T09:00:00.000Z', after })];
    for (let count = 0; count < batchEvents; count++) {
      const id = this.#last.id + 1;
      const [type, data] = usual[id % usual.length]!;
      const at = new Date(Date.parse('2026-11-21T09:00:00Z') + id * 60_000).toISOString();
      const line: LedgerLine = { id, at, type, data, prev: this.#last.hash, hash: '' };
      line.hash = lineHash(line);
      lines.push(lineText(line));
      this.#last = { id, hash: line.hash };
    }
    return lines.join('');
  }
}

const unchecked = copyCommand.replace('shepherd.inbox(line)', 'plain(line)');

/** How long psql takes to copy each of some files, one transaction a file, in seconds. */
function copy(centre: Database, command: string, files: readonly string[]): number {
  const script = files.map((file) => command.replace('from pstdin', `from '${file}'`)).join('\n');
  const start = performance.now();
  const { status, stderr } = spawnSync('psql', [...centre.arguments(), '-f', '-'], { input: script, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return (performance.now() - start) / 1_000;
}

/** Fills the centre up to so many rows, and measures both sides in turn before and after. */
export async function fleet(folder: string, rows: number): Promise<FleetResult> {
  const server = new PostgreSql({ fsync: true, settings: ['max_wal_size=4GB', 'shared_buffers=512MB'] });
  try {
    const centre = await server.database();
    await centre.must('CREATE TABLE plain (line text)');
    const fleet = Array.from({ length: kiosks }, () => new Kiosk());
    let turn = 0;
    const files = (count: number): string[] => Array.from({ length: count }, (_, index) => {
      const file = join(folder, `batch-${index}.jsonl`);
      writeFileSync(file, fleet[turn++ % kiosks]!.batch(), { mode: 0o644 });
      return file;
    });
    const steps: Ingest[] = [];
    let taken = 0;
    for (const upTo of [rows / 10, rows]) {
      while (taken < upTo - 10 * 40 * batchEvents) taken += fillWith(centre, files(200));
      const rates: [number[], number[]] = [[], []];
      for (let round = 0; round < 10; round++) {
        const batches = files(40);
        const count = batches.length * batchEvents;
        rates[0].push(count / copy(centre, copyCommand, batches));
        rates[1].push(count / copy(centre, unchecked, batches));
        taken += count;
      }
      const [ours, theirs] = [median(rates[0]), median(rates[1])];
      steps.push({ rows: taken, taken: Math.round(ours), copied: Math.round(theirs), share: ours / theirs });
      const share = (ours / theirs).toFixed(3);
      console.error(`${taken} rows: ${Math.round(ours)} events a second, ${share} of a plain COPY`);
    }
    const slowing = steps[0]!.taken / steps.at(-1)!.taken;
    const sizeSql = `SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
      WHERE inhparent = 'shepherd.event'::regclass`;
    const bytesPerEvent = Math.round(Number((await centre.must(sizeSql))[0]) / taken);
    const isMet = steps.every(({ share }) => share >= minShare) && slowing <= maxSlowing;
    return { steps, slowing, bytesPerEvent, isMet };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function fillWith(centre: Database, files: readonly string[]): number {
  copy(centre, copyCommand, files);
  return files.length * batchEvents;
}
