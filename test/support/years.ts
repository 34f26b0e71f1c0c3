// Years of a busy kiosk in fast motion: what happens on a day, and what a timer does each night.
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Anchor, SqliteStore } from '../../lib/index.ts';
import { Ledger, verifyParity } from '../../lib/ledger/index.ts';
import { archiveAudits, listArchives, verifyArchives } from '../../lib/modules/archive/archive.ts';
import { SessionTracker } from '../../lib/modules/sessions/sessions.ts';
import { Clocks } from './clocks.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

export interface Kiosk {
  /** Where the store, its ledger and the archives go. */
  folder: string;
  withLedger: boolean;
  days: number;
  eventsADay: number;
  keepDays: number;
  /** Up to three. */
  sessionsAnHour: number;
  /** From this day on the database must not grow any more. */
  settledAt: number;
  /** Whether the log, and the ledger, are verified in a night. */
  isVerified: (night: number) => boolean;
  onNight?: (night: number, sizes: Sizes) => void;
}

/** Bytes of the files after a night. */
export interface Sizes {
  database: number;
  wal: number;
  ledger: number;
}

export interface Lived {
  events: number;
  /** The size of the database when it should have settled, and the largest one after that. */
  settledBytes: number;
  largestBytes: number;
  /** The largest ledger and WAL after a night. */
  ledgerBytes: number;
  walBytes: number;
  /** How many events carried balances over, and how many bytes of all events they are. */
  carried: number;
  carriedBytes: number;
  archives: number;
  archivedBytes: number;
  /** Rows that were verified at the end, in the archives and in the log. */
  checked: number;
}

const openHours = 12;
const entries = Array.from({ length: 20 }, (_, number) => `entry-${number}`);

/** Lives through the days, and throws for the first night or the end that does not verify. */
export async function live(kiosk: Kiosk): Promise<Lived> {
  const years = new KioskYears(kiosk);
  try {
    return await years.live();
  } finally {
    years.close();
  }
}

class KioskYears {
  readonly #kiosk: Kiosk;
  readonly #path: string;
  readonly #archives: string;
  readonly #clocks = new Clocks('2026-11-01T08:00:00Z');
  #store: SqliteStore;
  #tracker: SessionTracker;
  /** The last row of each archive, which is kept elsewhere. */
  readonly #anchors: Anchor[] = [];
  #number = 0;
  readonly #lived: Lived = {
    events: 0, settledBytes: 0, largestBytes: 0, ledgerBytes: 0, walBytes: 0, carried: 0, carriedBytes: 0, archives: 0,
    archivedBytes: 0, checked: 0,
  };

  constructor(kiosk: Kiosk) {
    mkdirSync(kiosk.folder, { recursive: true });
    this.#kiosk = kiosk;
    this.#path = join(kiosk.folder, 'store.db');
    this.#archives = join(kiosk.folder, 'archives');
    this.#store = this.#open();
    this.#tracker = this.#track();
  }

  close(): void {
    this.#store.close();
  }

  #ledger(): Ledger | undefined {
    return this.#kiosk.withLedger ? Ledger.open(join(this.#kiosk.folder, 'store.jsonl')) : undefined;
  }

  #open(): SqliteStore {
    return SqliteStore.open(this.#path, { ...this.#clocks.options, ledger: this.#ledger(), recover: true });
  }

  #track(): SessionTracker {
    return new SessionTracker(this.#store, { ...this.#clocks.forTracker, timeZone: 'UTC' });
  }

  async live(): Promise<Lived> {
    const { days, settledAt, isVerified, onNight } = this.#kiosk;
    const lived = this.#lived;
    for (let day = 1; day <= days; day++) {
      this.#liveDay(day);
      await this.#archive();
      if (isVerified(day)) await this.#verify(day);
      const sizes = this.#sizes();
      if (day === settledAt) lived.settledBytes = sizes.database;
      if (day >= settledAt) lived.largestBytes = Math.max(lived.largestBytes, sizes.database);
      lived.ledgerBytes = Math.max(lived.ledgerBytes, sizes.ledger);
      lived.walBytes = Math.max(lived.walBytes, sizes.wal);
      onNight?.(day, sizes);
      if (day % 7 === 0) this.#restart();
    }
    await this.#verifyAll();
    return lived;
  }

  /** Sessions, warnings, cooldowns, limits, and what else a service records; an hour is a transaction. */
  #liveDay(day: number): void {
    const { eventsADay } = this.#kiosk;
    const today = this.#today();
    const before = this.#store.auditHead()?.id ?? 0;
    for (let hour = 1; hour <= openHours; hour++) {
      const upTo = before + Math.round(eventsADay * hour / openHours);
      this.#store.transaction(() => {
        this.#liveSessions(day * openHours + hour);
        if (hour === 2) this.#setLimits(day, today);
        for (let at = this.#store.auditHead()!.id; at < upTo; at++) {
          this.#store.appendAudit({ type: 'policy_loaded', entryCount: this.#number++ });
        }
      });
      this.#clocks.pass(hourMs / 2);
    }
    this.#lived.events += this.#store.auditHead()!.id - before;
    this.#clocks.pass(dayMs - openHours * hourMs); // to the next morning
  }

  #today(): string {
    return new Date(this.#clocks.wall).toISOString().slice(0, 10);
  }

  /** Ten minutes each, within half an hour. */
  #liveSessions(hour: number): void {
    const { sessionsAnHour } = this.#kiosk;
    const endsAt = this.#clocks.wall + hourMs / 2;
    for (let count = 0; count < sessionsAnHour; count++) {
      const entryId = entries[(hour * sessionsAnHour + count) % entries.length]!;
      const deadline = new Date(this.#clocks.wall + 9 * minuteMs);
      const { sessionId } = this.#tracker.start({ entryId, deadline });
      this.#clocks.pass(8 * minuteMs);
      this.#store.appendAudit({ type: 'warning_issued', sessionId, thresholdSecs: 60 });
      this.#tracker.touch({ warningsIssued: [60] });
      this.#clocks.pass(minuteMs);
      this.#tracker.end({ type: 'expired' }, { cooldownMs: 20 * minuteMs });
      this.#clocks.pass(minuteMs);
    }
    this.#clocks.pass(endsAt - this.#clocks.wall);
  }

  #setLimits(day: number, today: string): void {
    const subject = entries[day % entries.length]!;
    this.#store.grantTime({ subject, day: today, durationMs: 15 * minuteMs, id: `grant-${day}` });
    if (day % 5 === 0) this.#store.setAvailability({ subject: 'group:games', day: today, availability: 'denied' });
    this.#store.adjustBalance({ subject, durationMs: 5 * minuteMs, id: `earned-${day}` });
    this.#store.correctUsage({ entryId: subject, day: today, durationMs: minuteMs, reason: 'ran unrecorded' });
  }

  /** As a timer does, beside the service. */
  async #archive(): Promise<void> {
    using store = this.#open();
    const { keepDays } = this.#kiosk;
    const gzip = this.#anchors.length % 2 === 1;
    const before = store.auditHead()!.id;
    const archived = await archiveAudits(store, { folder: this.#archives, upTo: { keepDays }, gzip });
    if (archived) this.#anchors.push(archived.anchor);
    for (const { event } of store.iterateAudits({ fromId: before + 1 })) {
      if (!event.type.endsWith('_carried')) continue;
      this.#lived.carried++;
      this.#lived.carriedBytes += JSON.stringify(event).length;
    }
  }

  async #verify(night: number): Promise<void> {
    const anchor = this.#anchors.at(-1);
    const report = await this.#store.verifyAudit(anchor ? { anchor } : {});
    if (!report.ok) throw new Error(`night ${night}: ${JSON.stringify(report.findings[0])}`);
    const ledger = this.#ledger();
    if (!ledger) return;
    const parity = await verifyParity(this.#store, ledger);
    if (!parity.isConsistent) throw new Error(`night ${night}: ${JSON.stringify(parity).slice(0, 500)}`);
  }

  #sizes(): Sizes {
    const size = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const ledger = size(join(this.#kiosk.folder, 'store.jsonl'));
    return { database: size(this.#path), wal: size(`${this.#path}-wal`), ledger };
  }

  #restart(): void {
    this.#store.close();
    this.#store = this.#open();
    this.#tracker = this.#track();
  }

  /** The whole history, with the archives and each of the anchors that were kept. */
  async #verifyAll(): Promise<void> {
    const lived = this.#lived;
    const anchors = [this.#anchors[0], this.#anchors[this.#anchors.length >> 1]];
    for (const anchor of anchors) {
      const report = await verifyArchives(this.#store, this.#archives, anchor ? { anchor } : {});
      if (!report.ok) throw new Error(`the whole history: ${JSON.stringify(report.findings[0])}`);
      lived.checked = report.checked;
    }
    const files = listArchives(this.#archives);
    lived.archives = files.length;
    lived.archivedBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
    lived.events = this.#store.auditHead()!.id;
    if (lived.checked !== lived.events) throw new Error(`${lived.checked} of ${lived.events} rows were verified`);
  }
}
