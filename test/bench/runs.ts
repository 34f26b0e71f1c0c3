// A store with 100,000 runs beside one with 100, operation by operation: what it costs that a service has a past.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { SqliteStore } from '../../lib/index.ts';
import { RunStore } from '../../lib/modules/runs/runs.ts';
import { connect } from '../../lib/store.ts';
import { alternate } from './measure.ts';

export interface Growth {
  operation: string;
  fewUs: number;
  manyUs: number;
  ratio: number;
}

const unitsOfRun = 10;
const at = "'2026-11-21T09:00:00.000Z'";
const emptyHash = '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'; // of {}

/**
 * Ten units a run, each depending on the one before and with an event; one event of the run itself; a resource state a
 * run.
 */
const fillSql = [
  `INSERT INTO runs (id, plan_path, status, started_at, completed_at, metadata, created_at, updated_at)
    SELECT 'run-' || value, '/plans/deploy.json', iif(value % 100 = 0, 'running', 'completed'), ${at}, ${at}, '{}',
      ${at}, ${at}
    FROM numbers`,
  `INSERT INTO plan_units (id, run_id, resource_type, resource_name, action, status, dependencies, desired_state,
      created_at, updated_at)
    SELECT 'unit-' || run.value || '-' || unit.value, 'run-' || run.value, 'linux.pkg', 'package-' || unit.value,
      'create', iif(unit.value < 5, 'completed', 'pending'),
      iif(unit.value = 0, '[]', json_array('unit-' || run.value || '-' || (unit.value - 1))), '{}', ${at}, ${at}
    FROM numbers AS run JOIN (SELECT value FROM numbers LIMIT ${unitsOfRun}) AS unit ORDER BY run.value, unit.value`,
  `INSERT INTO run_events (run_id, plan_unit_id, level, message, timestamp)
    SELECT run_id, id, iif(position % 1000 = 0, 'error', 'info'), 'Starting package installation', ${at}
    FROM plan_units`,
  `INSERT INTO run_events (run_id, level, message, timestamp) SELECT id, 'info', 'Planned', ${at} FROM runs`,
  `INSERT INTO resource_state (id, resource_type, resource_name, state, hash, last_run_id, last_applied, created_at,
      updated_at)
    SELECT 'state-' || value, 'linux.pkg', 'package-' || value, '{}', '${emptyHash}', 'run-' || value,
      ${at}, ${at}, ${at}
    FROM numbers`,
];

class Filled {
  readonly store: SqliteStore;
  readonly runs: RunStore;
  readonly #count: number;

  constructor(path: string, count: number) {
    this.store = SqliteStore.open(path);
    this.runs = new RunStore(this.store);
    this.#count = count;
    const { prepare, write } = connect(this.store);
    const numbers = `WITH RECURSIVE numbers (value) AS
      (SELECT 0 UNION ALL SELECT value + 1 FROM numbers WHERE value < ${count - 1})`;
    write('bench', 'fill the store', () => fillSql.forEach((sql) => prepare(`${numbers} ${sql}`).run()));
  }

  /** One of the newest 100 runs. */
  recent(number: number): number {
    return this.#count - 100 + (number % 100);
  }

  /** One of all runs, each time somewhere else. */
  any(number: number): number {
    return (number * 7_919) % this.#count;
  }
}

const operations: [operation: string, size: number, run: (side: Filled, number: number) => unknown][] = [
  ['getRun', 300, (side, number) => side.runs.getRun(`run-${side.recent(number)}`)],
  ['getRun, of any age', 300, (side, number) => side.runs.getRun(`run-${side.any(number)}`)],
  ['getPlanUnit', 300, (side, number) => side.runs.getPlanUnit(`unit-${side.recent(number)}-3`)],
  ['getPlanUnit, of any age', 300, (side, number) => side.runs.getPlanUnit(`unit-${side.any(number)}-3`)],
  ['listRuns, 20', 100, (side) => side.runs.listRuns({ limit: 20 })],
  ['listRuns, 1 running', 100, (side) => side.runs.listRuns({ status: 'running', limit: 1 })],
  ['listPlanUnits', 100, (side, number) => side.runs.listPlanUnits(`run-${side.recent(number)}`)],
  ['readyPlanUnits', 100, (side, number) => side.runs.readyPlanUnits(`run-${side.recent(number)}`)],
  ['getRunEvents, 20', 100, (side) => side.runs.getRunEvents({ limit: 20 })],
  ['getRunEvents of a run', 100, (side, number) => side.runs.getRunEvents({ runId: `run-${side.recent(number)}` })],
  [
    'getRunEvents of a unit',
    100,
    (side, number) => side.runs.getRunEvents({ planUnitId: `unit-${side.recent(number)}-3` }),
  ],
  ['getRunEvents of a level, 1', 100, (side) => side.runs.getRunEvents({ level: 'error', limit: 1 })],
  [
    'getResourceState',
    300,
    (side, number) => side.runs.getResourceState('linux.pkg', `package-${side.recent(number)}`),
  ],
  ['listResourceStates, 20', 100, (side) => side.runs.listResourceStates({ limit: 20 })],
  ['createRun', 20, (side) => side.runs.createRun({ planPath: '/plans/deploy.json' })],
  [
    'createPlanUnit, with a dependency',
    20,
    (side, number) => {
      const run = side.recent(number);
      return side.runs.createPlanUnit({
        runId: `run-${run}`,
        resourceType: 'linux.pkg',
        resourceName: 'nginx',
        action: 'update',
        dependencies: [`unit-${run}-9`],
        desiredState: {},
      });
    },
  ],
  [
    'a run started and ended',
    10,
    (side) =>
      side.runs.updateRunStatus(
        side.runs.updateRunStatus(side.runs.createRun({ planPath: 'a' }).id, 'running').id,
        'completed',
      ),
  ],
  [
    'a unit run again',
    10,
    (side, number) => {
      const id = `unit-${side.recent(number)}-5`;
      side.runs.updatePlanUnitStatus(id, 'running');
      side.runs.incrementPlanUnitRetries(id);
      side.runs.updatePlanUnitStatus(id, 'pending');
    },
  ],
  [
    'appendRunEvent',
    20,
    (side, number) =>
      side.runs.appendRunEvent({ planUnitId: `unit-${side.recent(number)}-3`, level: 'info', message: 'done' }),
  ],
  [
    'upsertResourceState',
    20,
    (side, number) =>
      side.runs.upsertResourceState({
        resourceType: 'linux.pkg',
        resourceName: `package-${side.recent(number)}`,
        state: { number },
        lastRunId: `run-${side.recent(number)}`,
      }),
  ],
  [
    'a run of ten units created and deleted',
    5,
    (side) =>
      side.store.transaction(() => {
        const { id: runId } = side.runs.createRun({ planPath: 'a' });
        for (let unit = 0; unit < unitsOfRun; unit++) {
          side.runs.createPlanUnit({
            runId,
            resourceType: 'a',
            resourceName: `${unit}`,
            action: 'read',
            desiredState: {},
          });
        }
        side.runs.deleteRun(runId);
      }),
  ],
];

/** Everything, in a folder that is there and empty. Takes about 700 MB for a while. */
export function compareRuns(folder: string): Growth[] {
  mkdirSync(join(folder, 'runs'));
  const few = new Filled(join(folder, 'runs', 'few.db'), 100);
  const many = new Filled(join(folder, 'runs', 'many.db'), 100_000);
  const growths = operations.map(([operation, size, run]) => {
    const [fewUs, manyUs] = alternate(
      { batches: 21, size },
      (number) => run(few, number),
      (number) => run(many, number),
    ) as [number, number];
    return { operation, fewUs, manyUs, ratio: manyUs / fewUs };
  });
  few.store.close();
  many.store.close();
  return growths;
}
