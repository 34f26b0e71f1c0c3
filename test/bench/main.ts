// npm run bench: see README.md beside this file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bytesPerEvent, compare } from './compare.ts';
import { experiment } from './experiment.ts';
import { table } from './measure.ts';
import { compareRuns } from './runs.ts';

function main(): void {
  const { values } = parseArgs({ options: { experiment: { type: 'boolean' }, runs: { type: 'boolean' }, json: { type: 'string' }, folder: { type: 'string' } } });
  const folder = mkdtempSync(join(values.folder ?? tmpdir(), 'shepherd-store-bench-'));
  try {
    const machine = { node: process.version, sqlite: process.versions['sqlite'], cpu: cpus()[0]?.model, cores: availableParallelism() };
    console.log(`Node ${machine.node}, SQLite ${machine.sqlite}, ${machine.cores} cores of ${machine.cpu}\n`);
    const results = values.experiment ? showExperiment(folder) : values.runs ? showRuns(folder) : showComparison(folder);
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ ...machine, ...results }, undefined, 2)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function showComparison(folder: string): object {
  const operations = compare(folder);
  const eventBytes = bytesPerEvent(folder);
  console.log(table(operations.map(({ operation, storeUs, plainUs, ratio }) => ({
    operation, 'store, µs': storeUs.toFixed(1), 'node:sqlite, µs': plainUs.toFixed(1), ratio: ratio.toFixed(2),
  }))));
  console.log(`\nAn event takes ${eventBytes.toFixed(0)} bytes of the database file.`);
  return { operations, eventBytes };
}

function showExperiment(folder: string): object {
  const combinations = experiment(folder);
  console.log(table(combinations.map(({ pageBytes, checkpointAt, bytesPerOperation, usPerOperation, longestMs, walMegabytes }) => ({
    'page, bytes': pageBytes, 'checkpoint at, pages': checkpointAt, 'written, bytes each': bytesPerOperation.toFixed(0), 'µs each': usPerOperation.toFixed(0),
    'longest, ms': longestMs.toFixed(1), '-wal, MB': walMegabytes.toFixed(1),
  }))));
  return { combinations };
}

function showRuns(folder: string): object {
  const operations = compareRuns(folder);
  console.log(table(operations.map(({ operation, fewUs, manyUs, ratio }) => ({
    operation, '100 runs, µs': fewUs.toFixed(1), '100,000 runs, µs': manyUs.toFixed(1), ratio: ratio.toFixed(2),
  }))));
  return { operations };
}

// A bare `node --test` runs this file too, and must not measure anything.
if (import.meta.main && process.env['NODE_TEST_CONTEXT'] === undefined) main();
