// Orchestration: runs of plans, the units they consist of, their events, and what is known of each resource. The rows
// of each table are the business of a file in lib/modules/runs/.
import type { ModuleConnection } from '../../core/door.ts';
import { type AuditAttributes, encodeEvent } from '../../core/events.ts';
import { connect, type SqliteStore } from '../../store.ts';
import { checkOptionalText, checkOptions, checkText, quote } from '../../values/checks.ts';
import {
  changeUnitStatus, checkNewUnit, checkOutcome, checkUnitStatus, countRetry, findUnit, insertUnit, type NewPlanUnit,
  type PlanUnit, type PlanUnitAction, type PlanUnitOutcome, type PlanUnitStatus, removeUnit, selectReadyUnits,
  selectUnits,
} from './plan-units.ts';
import {
  checkNewState, findState, type NewResourceState, removeState, type ResourceState, type ResourceStateFilter,
  selectStates, setState,
} from './resource-state.ts';
import { checkPage } from './rows.ts';
import {
  checkEventFilter, checkNewEvent, insertEvent, type NewRunEvent, type RunEvent, type RunEventFilter,
  type RunEventLevel, selectEvents,
} from './run-events.ts';
import {
  changeRunStatus, checkNewRun, checkRunStatus, findRun, insertRun, type NewRun, removeRun, type Run, type RunFilter,
  type RunStatus, selectRuns,
} from './run.ts';

export type {
  NewPlanUnit, NewResourceState, NewRun, NewRunEvent, PlanUnit, PlanUnitAction, PlanUnitOutcome, PlanUnitStatus,
  ResourceState, ResourceStateFilter, Run, RunEvent, RunEventFilter, RunEventLevel, RunFilter, RunStatus,
};

/**
 * The events that a `RunStore` appends to the audit log, one for each change. Their `target` is the id of the run or
 * unit, or `type/name` of the resource.
 */
export type RunAuditEvent =
  | { type: 'run_created'; runId: string; planPath: string; status: RunStatus }
  | { type: 'run_status_changed'; runId: string; from: RunStatus; to: RunStatus; error?: string }
  | { type: 'run_deleted'; runId: string; planPath: string; status: RunStatus }
  | {
      type: 'plan_unit_created'; runId: string; planUnitId: string; resourceType: string; resourceName: string;
      action: PlanUnitAction;
    }
  | {
      type: 'plan_unit_status_changed'; runId: string; planUnitId: string; from: PlanUnitStatus; to: PlanUnitStatus;
      error?: string;
    }
  | { type: 'plan_unit_retried'; runId: string; planUnitId: string; retries: number }
  | { type: 'plan_unit_deleted'; runId: string; planUnitId: string; status: PlanUnitStatus }
  | { type: 'resource_state_set'; resourceType: string; resourceName: string; hash: string; runId: string }
  | { type: 'resource_state_deleted'; resourceType: string; resourceName: string; hash: string };

/**
 * The runs of a store. Each method that writes is one transaction, durable on return, or a part of the open
 * `store.transaction`. In the same transaction it appends a `RunAuditEvent` with `source` (who acts, `runs` unless
 * given) and `ipAddress`; run events are a record themselves, so that no second event records them. Ids and other texts
 * are as the store's; states, diffs, metadata and details are any value that JSON carries. All methods throw what the
 * store's methods throw; those that write throw `ERR_STORE_CONFLICT` for an id that is taken and
 * `ERR_STORE_SERIALIZATION` for a value that JSON does not carry unchanged.
 */
export class RunStore {
  readonly #connection: ModuleConnection;
  readonly #attributes: AuditAttributes;

  /** Throws `ERR_STORE_INVALID_ARGUMENT` for what is no store. */
  constructor(store: SqliteStore, options?: { source?: string | undefined; ipAddress?: string | undefined }) {
    const { source = 'runs', ipAddress } = checkOptions('options', options, ['source', 'ipAddress']);
    this.#attributes = { source: checkText('options.source', source) };
    if (ipAddress !== undefined) this.#attributes.ipAddress = checkText('options.ipAddress', ipAddress);
    this.#connection = connect(store);
  }

  // Runs

  /** Creates a run. A run that is created as running starts now, unless `startedAt` says when. */
  createRun(run: NewRun): Run {
    const checked = checkNewRun(run);
    return this.#write('RunStore.createRun', `create the run ${quote(checked.id)}`, (what) => {
      const created = insertRun(this.#connection, what, checked);
      const { id, planPath, status } = created;
      this.#record({ type: 'run_created', runId: id, planPath, status }, id);
      return created;
    });
  }

  /** Gives a run. Throws `ERR_STORE_NOT_FOUND` where there is none. */
  getRun(id: string): Run {
    return this.#read(`read the run ${quote(checkText('id', id))}`, (what) => findRun(this.#connection, what, id));
  }

  /**
   * Changes a run's status: from pending to running or cancelled, from running to completed, failed or cancelled, which
   * also sets `startedAt` (if there is none yet) or `completedAt`. `error` says why; without it the run has none.
   * Throws `ERR_STORE_NOT_FOUND`, and `ERR_STORE_CONFLICT` for any other change.
   */
  updateRunStatus(id: string, status: RunStatus, error?: string): Run {
    checkText('id', id);
    checkRunStatus('status', status);
    checkOptionalText('error', error);
    return this.#write('RunStore.updateRunStatus', `change the run ${quote(id)} to ${status}`, (what) => {
      const [before, after] = changeRunStatus(this.#connection, what, id, status, error);
      const why = error === undefined ? undefined : { error };
      this.#record({ type: 'run_status_changed', runId: id, from: before.status, to: status, ...why }, id);
      return after;
    });
  }

  /** Gives the runs by their creation, newest first. */
  listRuns(options?: RunFilter): Run[] {
    const filter = checkOptions('options', options, ['status', 'limit', 'offset']);
    const status = filter.status === undefined ? undefined : checkRunStatus('options.status', filter.status);
    const page = checkPage(filter);
    return this.#read('list the runs', () => selectRuns(this.#connection, status, page));
  }

  /** Gives the runs that a crash left running, newest first: for a service that starts, before it runs anything. */
  interruptedRuns(): Run[] {
    return this.listRuns({ status: 'running' });
  }

  /**
   * Deletes a run with its units and events, whatever its status: whoever still works on it gets `ERR_STORE_NOT_FOUND`
   * at the next change. Throws `ERR_STORE_NOT_FOUND`, and `ERR_STORE_CONFLICT` where a resource state names it as its
   * last run.
   */
  deleteRun(id: string): void {
    this.#write('RunStore.deleteRun', `delete the run ${quote(checkText('id', id))}`, (what) => {
      const { planPath, status } = removeRun(this.#connection, what, id);
      this.#record({ type: 'run_deleted', runId: id, planPath, status }, id);
    });
  }

  // Plan units

  /**
   * Creates a pending unit of a run. It can only depend on units of the same run that are there already, so that there
   * is never a cycle. Throws `ERR_STORE_NOT_FOUND` for an unknown run or dependency, `ERR_STORE_CONFLICT` where the
   * unit would depend on itself.
   */
  createPlanUnit(unit: NewPlanUnit): PlanUnit {
    const checked = checkNewUnit(unit);
    return this.#write('RunStore.createPlanUnit', `create the plan unit ${quote(checked.id)}`, (what) => {
      const created = insertUnit(this.#connection, what, checked);
      const { id, runId, resourceType, resourceName, action } = created;
      this.#record({ type: 'plan_unit_created', runId, planUnitId: id, resourceType, resourceName, action }, id);
      return created;
    });
  }

  /** Gives a plan unit. Throws `ERR_STORE_NOT_FOUND` where there is none. */
  getPlanUnit(id: string): PlanUnit {
    const reading = `read the plan unit ${quote(checkText('id', id))}`;
    return this.#read(reading, (what) => findUnit(this.#connection, what, id));
  }

  /**
   * Changes a unit's status: from pending to running or skipped, from running to completed, failed or pending, from
   * failed to pending, which also sets `startedAt` or `completedAt`. A unit that is pending again has neither and waits
   * as a new one does, with its retries and the states last seen. `error` says why; without it the unit has none (the
   * audit log keeps the earlier ones). Throws `ERR_STORE_NOT_FOUND`, and `ERR_STORE_CONFLICT` for any other change.
   */
  updatePlanUnitStatus(id: string, status: PlanUnitStatus, outcome?: PlanUnitOutcome): PlanUnit {
    checkText('id', id);
    checkUnitStatus('status', status);
    const checked = checkOutcome(outcome);
    return this.#write('RunStore.updatePlanUnitStatus', `change the plan unit ${quote(id)} to ${status}`, (what) => {
      const [before, after] = changeUnitStatus(this.#connection, what, id, status, checked);
      const error = checked.error === null ? undefined : { error: checked.error };
      this.#record({
        type: 'plan_unit_status_changed', runId: after.runId, planUnitId: id, from: before.status, to: status, ...error,
      }, id);
      return after;
    });
  }

  /** Counts one more retry of a unit and gives how many there are now. Throws `ERR_STORE_NOT_FOUND`. */
  incrementPlanUnitRetries(id: string): number {
    const text = `count a retry of the plan unit ${quote(checkText('id', id))}`;
    return this.#write('RunStore.incrementPlanUnitRetries', text, (what) => {
      const { runId, retries } = countRetry(this.#connection, what, id);
      this.#record({ type: 'plan_unit_retried', runId, planUnitId: id, retries }, id);
      return retries;
    });
  }

  /** Gives the units of a run in the order in which they were created; an empty list where there is no such run. */
  listPlanUnits(runId: string): PlanUnit[] {
    const what = `list the plan units of the run ${quote(checkText('runId', runId))}`;
    return this.#read(what, () => selectUnits(this.#connection, runId));
  }

  /**
   * Gives the units of a run that can be started now, in the order in which they were created: those that are pending
   * and whose dependencies are all completed. Throws `ERR_STORE_NOT_FOUND` for an unknown run, because an empty list
   * would look like the end of the run.
   */
  readyPlanUnits(runId: string): PlanUnit[] {
    const what = `find what is ready in the run ${quote(checkText('runId', runId))}`;
    return this.#connection.readTogether(what, () => selectReadyUnits(this.#connection, what, runId));
  }

  /** Deletes a unit and its events. Throws `ERR_STORE_NOT_FOUND`, `ERR_STORE_CONFLICT` where another depends on it. */
  deletePlanUnit(id: string): void {
    this.#write('RunStore.deletePlanUnit', `delete the plan unit ${quote(checkText('id', id))}`, (what) => {
      const { runId, status } = removeUnit(this.#connection, what, id);
      this.#record({ type: 'plan_unit_deleted', runId, planUnitId: id, status }, id);
    });
  }

  // Run events

  /**
   * Appends an event of a run or a unit, with the time of now. Throws `ERR_STORE_NOT_FOUND` for an unknown run or unit,
   * and `ERR_STORE_CONFLICT` for a unit of another run.
   */
  appendRunEvent(event: NewRunEvent): RunEvent {
    const checked = checkNewEvent(event);
    return this.#write('RunStore.appendRunEvent', 'append a run event', (what) => {
      return insertEvent(this.#connection, what, checked);
    });
  }

  /** Gives the run events that match, newest first; those of a run include those of its units. */
  getRunEvents(options?: RunEventFilter): RunEvent[] {
    const filter = checkOptions('options', options, ['runId', 'planUnitId', 'level', 'limit', 'offset']);
    const conditions = checkEventFilter(filter);
    const page = checkPage(filter);
    return this.#read('read the run events', () => selectEvents(this.#connection, conditions, page));
  }

  // Resource state

  /**
   * Sets what is known of a resource, whatever was known before. Throws `ERR_STORE_NOT_FOUND` for an unknown run, and
   * `ERR_STORE_CONFLICT` for an `id` other than the one that the state was created with.
   */
  upsertResourceState(resource: NewResourceState): ResourceState {
    const checked = checkNewState(resource);
    const name = nameOf(checked.resourceType, checked.resourceName);
    return this.#write('RunStore.upsertResourceState', `set the state of ${quote(name)}`, (what) => {
      const state = setState(this.#connection, what, checked);
      const { resourceType, resourceName, hash, lastRunId } = state;
      this.#record({ type: 'resource_state_set', resourceType, resourceName, hash, runId: lastRunId }, name);
      return state;
    });
  }

  /** Gives what is known of a resource, if anything. Throws `ERR_STORE_CORRUPT` for a state that lacks its hash. */
  getResourceState(resourceType: string, resourceName: string): ResourceState | undefined {
    const name = nameOf(checkText('resourceType', resourceType), checkText('resourceName', resourceName));
    const what = `read the state of ${quote(name)}`;
    return this.#read(what, () => findState(this.#connection, resourceType, resourceName));
  }

  /** Gives the states, ordered by type and name. */
  listResourceStates(options?: ResourceStateFilter): ResourceState[] {
    const filter = checkOptions('options', options, ['resourceType', 'limit', 'offset']);
    const resourceType = checkOptionalText('options.resourceType', filter.resourceType);
    const page = checkPage(filter);
    return this.#read('list the resource states', () => selectStates(this.#connection, resourceType, page));
  }

  /** Deletes what is known of a resource, and says whether there was something. */
  deleteResourceState(resourceType: string, resourceName: string): boolean {
    const name = nameOf(checkText('resourceType', resourceType), checkText('resourceName', resourceName));
    return this.#write('RunStore.deleteResourceState', `delete the state of ${quote(name)}`, () => {
      const hash = removeState(this.#connection, resourceType, resourceName);
      if (hash !== undefined) this.#record({ type: 'resource_state_deleted', resourceType, resourceName, hash }, name);
      return hash !== undefined;
    });
  }

  #read<T>(what: string, fn: (what: string) => T): T {
    return this.#connection.read(what, () => fn(what));
  }

  #write<T>(operation: string, what: string, fn: (what: string) => T): T {
    return this.#connection.write(operation, what, () => fn(what));
  }

  /** Appends an event, inside the transaction that makes the change. */
  #record(event: RunAuditEvent, target: string): void {
    this.#connection.appendAudit(encodeEvent(event, { ...this.#attributes, target }));
  }
}

function nameOf(resourceType: string, resourceName: string): string {
  return `${resourceType}/${resourceName}`;
}
