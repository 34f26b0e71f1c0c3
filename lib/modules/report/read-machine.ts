// What a report shows of the machine and of its operator: starts, crashes, recoveries, the clock, copies and archives.
import { fieldsOf } from '../../core/retention-events.ts';
import type { MachineEvent } from './contents.ts';
import type { LogRow } from './log-rows.ts';

const kinds: Record<string, MachineEvent['kind']> = {
  service_started: 'started', service_stopped: 'stopped', store_recovered: 'recovered', log_archived: 'archived',
  store_backed_up: 'backed_up', store_verified: 'verified', store_identity_renewed: 'identity',
};

/** The types of events of which a machine's part is made. */
export const machineTypes: readonly string[] = Object.keys(kinds);

// A time service corrects a clock by steps of less than this, which tell nothing to whoever reads a report.
const leastBackMs = 1_000;

/** Gathers what the machine did, from the rows of a log, which are given in order. */
export class Machine {
  readonly #events: MachineEvent[] = [];
  /** Whether the service runs; `undefined` before it is known. */
  #isRunning: boolean | undefined;
  #lastTime: number | undefined;

  get events(): MachineEvent[] {
    return this.#events;
  }

  /** `isShown`: whether the row is of a day of the report. */
  step(row: LogRow, isShown: boolean): void {
    const { time, type } = row;
    const [wasRunning, lastTime] = [this.#isRunning, this.#lastTime];
    if (type === 'service_started') this.#isRunning = true;
    if (type === 'service_stopped') this.#isRunning = false;
    if (time === undefined) return;
    this.#lastTime = time;
    if (!isShown) return;
    const backMs = lastTime === undefined ? 0 : lastTime - time;
    if (backMs >= leastBackMs) this.#events.push({ at: new Date(time), kind: 'clock_back', backMs });
    // When it crashed is not known, but that it did is, when it starts again without having stopped.
    if (type === 'service_started' && wasRunning) this.#events.push({ at: new Date(time), kind: 'crashed' });
    const kind = type !== null && Object.hasOwn(kinds, type) ? kinds[type] : undefined;
    if (kind) this.#events.push({ at: new Date(time), kind, ...(kind === 'recovered' && recoveryIn(row)) });
  }
}

function recoveryIn({ id, data }: LogRow): Pick<MachineEvent, 'found' | 'lost'> {
  const { found, lost } = fieldsOf(id, data);
  const { from, to } = (lost ?? {}) as { from?: unknown; to?: unknown };
  const range = isCount(to) ? { lost: isCount(from) ? { from, to } : { to } } : {};
  return { ...(typeof found === 'string' && { found }), ...range };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
