// The service of the demo, which plays a kiosk's day through the public API. A yielded step is durable, and is
// acknowledged to the parent process only then. The service is run as: demo-service PATH DAY first|second PACE
import { setTimeout as sleep } from 'node:timers/promises';
import { type CoreEvent, type SessionEndReason, SqliteStore } from '../index.ts';
import { type EndedSession, SessionTracker } from '../modules/sessions/sessions.ts';
import { plain } from './text.ts';

/** An acknowledged step. The parent process gets it only after the store's method has returned, when it is durable. */
export type Acknowledged = { at: Date } & (
  | { op: 'event'; id: number; event: CoreEvent }
  | { op: 'start'; sessionId: string; entryId: string; deadline: Date }
  | { op: 'touch'; sessionId: string; entryId: string; elapsedMs: number }
  | { op: 'end' | 'recover'; cooldownUntil?: Date } & Omit<EndedSession, 'uncharged'>
);

/** The names that people see for the three entries of the demo's kiosk. */
const labels: Record<string, string> = { tuxmath: 'Tux Math', minecraft: 'Minecraft', film: 'Film night' };

/** A store and its session tracker, whose clocks the script sets, so that the day passes as fast as its steps. */
class Kiosk {
  readonly store: SqliteStore;
  readonly #tracker: SessionTracker;
  readonly #day: string;
  readonly #startedMs: number;
  #now: Date;

  /** Opens the store at `path` at a time of `day`. */
  constructor(path: string, day: string, time: string) {
    this.#day = day;
    this.#now = new Date(`${day}T${time}:00`);
    this.#startedMs = this.#now.getTime();
    // A real service gives neither clock, because the system's clocks are the defaults.
    this.store = SqliteStore.open(path, { clock: () => new Date(this.#now) });
    this.#tracker = new SessionTracker(this.store, { monotonicMs: () => this.#now.getTime() - this.#startedMs });
  }

  /** Sets the clock to a time of the day. Hours from 24 on belong to the next day. */
  at(time: string): this {
    const [hours = 0, minutes = 0] = time.split(':').map(Number);
    const moved = new Date(`${this.#day}T00:00:00`);
    moved.setHours(hours, minutes);
    this.#now = moved;
    return this;
  }

  event(event: CoreEvent): Acknowledged {
    return { at: this.#now, op: 'event', id: this.store.appendAudit(event).id, event };
  }

  start(entryId: string, minutes: number): Acknowledged {
    const deadline = new Date(this.#now.getTime() + minutes * 60_000);
    const { sessionId } = this.#tracker.start({ entryId, label: labels[entryId]!, deadline });
    return { at: this.#now, op: 'start', sessionId, entryId, deadline };
  }

  touch(...warningsIssued: number[]): Acknowledged {
    this.#tracker.touch(warningsIssued.length > 0 ? { warningsIssued } : {});
    const { sessionId, entryId, elapsedMs = 0 } = this.#tracker.active!;
    return { at: this.#now, op: 'touch', sessionId, entryId, elapsedMs };
  }

  /** Records a warning, and saves all shown so far in the snapshot, so that none is shown twice after a crash. */
  *warn(secs: number, ...shownBefore: number[]): Generator<Acknowledged> {
    yield this.event({ type: 'warning_issued', sessionId: this.#tracker.active!.sessionId, thresholdSecs: secs });
    yield this.touch(...shownBefore, secs);
  }

  end(reason: SessionEndReason, cooldownMinutes: number): Acknowledged {
    const cooldownMs = cooldownMinutes * 60_000;
    const { uncharged: _uncharged, ...ended } = this.#tracker.end(reason, { cooldownMs });
    return { at: this.#now, op: 'end', ...ended, cooldownUntil: new Date(this.#now.getTime() + cooldownMs) };
  }

  /** Ends the session that a crash left running in the snapshot, if there is one. */
  *recover(): Generator<Acknowledged> {
    const recovered = this.#tracker.recover();
    if (!recovered) return;
    const { uncharged: _uncharged, ...ended } = recovered;
    yield { at: this.#now, op: 'recover', ...ended };
  }
}

/** The first part of the day. Its last session is touched without end, until the process is killed. */
export function* firstRun(path: string, day: string): Generator<Acknowledged> {
  const kiosk = new Kiosk(path, day, '08:00');
  using _store = kiosk.store;
  yield kiosk.event({ type: 'service_started' });
  yield kiosk.event({ type: 'policy_loaded', entryCount: Object.keys(labels).length });
  yield kiosk.at('09:00').start('tuxmath', 60);
  for (const time of ['09:10', '09:20', '09:30']) yield kiosk.at(time).touch();
  yield kiosk.at('09:40').end({ type: 'process_exited', exitCode: 0 }, 30);
  yield kiosk.at('09:50').event({ type: 'launch_denied', entryId: 'tuxmath', reasons: ['in cooldown until 10:10'] });
  yield kiosk.at('15:00').start('minecraft', 60);
  for (const time of ['15:15', '15:30', '15:45']) yield kiosk.at(time).touch();
  yield* kiosk.at('15:55').warn(300);
  yield* kiosk.at('15:59').warn(60, 300);
  yield kiosk.at('16:00').end({ type: 'expired' }, 120);
  yield kiosk.at('18:00').start('tuxmath', 60);
  for (const time of ['18:05', '18:10', '18:15', '18:20', '18:25', '18:30', '18:35', '18:40', '18:45']) {
    yield kiosk.at(time).touch();
  }
  for (;;) yield kiosk.touch();
}

/** The rest of the day, played by a service that is started again. */
export function* secondRun(path: string, day: string): Generator<Acknowledged> {
  const kiosk = new Kiosk(path, day, '19:00');
  using _store = kiosk.store;
  yield kiosk.event({ type: 'service_started' });
  yield* kiosk.recover();
  yield kiosk.at('23:40').start('film', 90);
  for (const time of ['23:50', '24:00', '24:10']) yield kiosk.at(time).touch();
  yield kiosk.at('24:20').end({ type: 'user_stop' }, 600);
  yield kiosk.at('24:30').event({ type: 'service_stopped' });
}

/** Takes the steps of a run, waits `paceMs` milliseconds after each, and acknowledges each once it is durable. */
export async function play(
  steps: Iterable<Acknowledged>, paceMs: number, acknowledge: (step: Acknowledged) => void,
): Promise<void> {
  for (const step of steps) {
    acknowledge(step);
    await sleep(paceMs);
  }
}

async function run([path = '', day = '', which, pace]: readonly string[]): Promise<void> {
  // A pipe closes when the parent process is gone. The service then exits, so an interrupted demo leaves no process.
  for (const stream of [process.stdin.resume(), process.stdout]) {
    stream.on('error', () => process.exit(1)).on('close', () => process.exit(1));
  }
  const steps = which === 'first' ? firstRun(path, day) : secondRun(path, day);
  // A write to a pipe is synchronous, so the line has left the process when the next step begins.
  await play(steps, Number(pace), (step) => process.stdout.write(`${JSON.stringify(step)}\n`));
  if (which === 'second') process.exit(0);
}

if (import.meta.main) {
  run(process.argv.slice(2)).catch((error: Error) => {
    process.stderr.write(`demo-service: ${plain(error.message)}\n`);
    process.exit(1);
  });
}
