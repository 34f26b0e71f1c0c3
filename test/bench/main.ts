// npm run bench: see README.md beside this file.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, homedir, release, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { archiving } from './archiving.ts';
import { bytes, fsyncs } from './counts.ts';
import { experiment } from './experiment.ts';
import { exporting } from './exporting.ts';
import { fleet } from './fleet.ts';
import { growth } from './growth.ts';
import { limits } from './limits.ts';
import { table } from './measure.ts';
import { measuredWrites, reads, snapshots, writes } from './operations.ts';
import { buildPackage, packed } from './package.ts';
import { findPeers, noPeers, type Peers } from './peers.ts';
import { memory, starts } from './processes.ts';
import { report } from './report.ts';
import { type Row, shown } from './row.ts';
import { compareRuns } from './runs.ts';
import { full, quick, type Sizes } from './sizes.ts';
import { walks } from './walks.ts';
import { liveYears } from './years.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      experiment: { type: 'boolean' },
      runs: { type: 'boolean' },
      years: { type: 'boolean' },
      fleet: { type: 'boolean' },
      quick: { type: 'boolean' },
      rows: { type: 'string' },
      json: { type: 'string' },
      folder: { type: 'string' },
    },
  });
  // What lasts from one run to the next: the peers, and the last result.
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'shepherd-store-bench');
  const others = ['experiment', 'runs', 'years', 'fleet'] as const;
  const name = others.find((other) => values[other]) ?? 'result';
  const json = resolve(values.json ?? join(cache, `${name}.json`));
  const folder = mkdtempSync(join(values.folder ?? tmpdir(), 'shepherd-store-bench-'));
  const start = performance.now();
  try {
    const peers = values.quick || name !== 'result' ? noPeers : findPeers(join(cache, 'peers'));
    const machine = describeMachine(peers);
    console.log(`${machine.join(', ')}\n`);
    const sizes = {
      ...(values.quick ? quick : full),
      ...(values.rows === undefined ? undefined : { longLog: checkRows(Number(values.rows)) }),
    };
    const shownAs: Record<string, () => object | Promise<object>> = {
      experiment: () => showExperiment(folder),
      runs: () => showRuns(folder),
      years: () => showYears(folder),
      fleet: () => showFleet(folder, values.rows === undefined ? 1e7 : checkRows(Number(values.rows))),
      result: async () => showRows(await measure(folder, peers, sizes)),
    };
    const results = await shownAs[name]!();
    const seconds = Math.round((performance.now() - start) / 1000);
    mkdirSync(resolve(json, '..'), { recursive: true });
    writeFileSync(json, `${JSON.stringify({ machine, seconds, ...results }, undefined, 2)}\n`);
    console.log(`\n${seconds} seconds; the same as JSON: ${json}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function checkRows(rows: number): number {
  if (!Number.isSafeInteger(rows) || rows <= 10_000)
    throw new Error('--rows must be a whole number of more than 10,000: it is compared with as many');
  return rows;
}

function describeMachine({ versions }: Peers): string[] {
  return [
    `Node ${process.version}`,
    `SQLite ${process.versions['sqlite']}`,
    ...Object.entries(versions).map(([name, version]) => `${name} ${version}`),
    `Linux ${release()}`,
    `${availableParallelism()} cores of ${cpus()[0]?.model}`,
    `${Math.round(totalmem() / 2 ** 30)} GB`,
  ];
}

/** Every row, in the order of the table. */
async function measure(folder: string, peers: Peers, sizes: Sizes): Promise<Row[]> {
  const built = join(folder, 'package');
  buildPackage(built);
  const rows: Row[] = [];
  const parts: [name: string, part: () => Row[] | Promise<Row[]>][] = [
    ['writes', () => [...writes(folder, peers, sizes), measuredWrites(folder, sizes)]],
    ['reads', () => reads(folder, peers, sizes)],
    ['limits', () => limits(folder, sizes)],
    ['report', () => report(folder, sizes)],
    ['snapshots', () => snapshots(folder, peers, sizes)],
    ['process start', () => starts(folder, built, sizes)],
    ['memory', () => memory(folder, built, sizes)],
    ['fsyncs', () => fsyncs(folder, sizes)],
    ['bytes', () => bytes(folder, sizes)],
    ['walks', () => walks(folder, built, sizes)],
    ['archiving', () => archiving(folder, built, sizes)],
    ['exporting', () => exporting(folder, built, sizes)],
    ['growth', () => growth(folder, sizes)],
    ['size', () => packed(built)],
  ];
  for (const [name, part] of parts) {
    const start = performance.now();
    rows.push(...await part());
    console.error(`${name}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
  // What is told for comparison comes last.
  return [...rows.filter(({ target }) => target !== undefined), ...rows.filter(({ target }) => target === undefined)];
}

function showRows(rows: Row[]): object {
  console.log(table(rows.map(shown), 3));
  const judged = rows.filter(({ isMet }) => isMet !== undefined);
  console.log(`\n${judged.filter(({ isMet }) => isMet).length} of ${judged.length} targets met`);
  return { rows };
}

function showExperiment(folder: string): object {
  const combinations = experiment(folder);
  console.log(
    table(
      combinations.map(({ pageBytes, checkpointAt, bytesPerOperation, usPerOperation, longestMs, walMegabytes }) => ({
        'page, bytes': pageBytes,
        'checkpoint at, pages': checkpointAt,
        'written, bytes each': bytesPerOperation.toFixed(0),
        'µs each': usPerOperation.toFixed(0),
        'longest, ms': longestMs.toFixed(1),
        '-wal, MB': walMegabytes.toFixed(1),
      })),
    ),
  );
  return { combinations };
}

function showRuns(folder: string): object {
  const operations = compareRuns(folder);
  console.log(table(operations.map(({ operation, fewUs, manyUs, ratio }) => ({
    operation, '100 runs, µs': fewUs.toFixed(1), '100,000 runs, µs': manyUs.toFixed(1), ratio: ratio.toFixed(2),
  }))));
  return { operations };
}

async function showYears(folder: string): Promise<object> {
  const kiosks = await liveYears(folder);
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  console.log(table(kiosks.map((kiosk) => ({
    kiosk: kiosk.mode,
    events: kiosk.events,
    'day 60, MB': megabytes(kiosk.settledBytes),
    'largest after, MB': megabytes(kiosk.largestBytes),
    ratio: kiosk.growth.toFixed(2),
    target: '≤ 1.2',
    met: kiosk.isMet ? 'yes' : 'NO',
    'ledger, MB': megabytes(kiosk.ledgerBytes),
    'carried over, MB': megabytes(kiosk.carriedBytes),
    archives: kiosk.archives,
    'archives, MB': megabytes(kiosk.archivedBytes),
    verified: kiosk.checked,
    minutes: kiosk.minutes.toFixed(0),
  }))));
  return { kiosks };
}

async function showFleet(folder: string, rows: number): Promise<object> {
  const result = await fleet(folder, rows);
  console.log(table(result.steps.map((step) => ({
    rows: step.rows,
    'taken in, events a second': step.taken,
    'plain COPY': step.copied,
    share: step.share.toFixed(3),
    target: '≥ 0.1',
  }))));
  const { slowing, bytesPerEvent, isMet } = result;
  console.log(`\n${slowing.toFixed(2)} times slower at the end (≤ 1.3), ${bytesPerEvent} bytes an event; `
    + `targets ${isMet ? 'met' : 'NOT met'}`);
  return result;
}

// A bare `node --test` runs this file too, and must not measure anything.
if (import.meta.main && process.env['NODE_TEST_CONTEXT'] === undefined) await main();
