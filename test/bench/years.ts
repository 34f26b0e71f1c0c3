// Two years of a busy kiosk in fast motion: 5,000 events a day, and every night an archive of what is older than 30
// days. The database has to stop growing, and everything has to verify.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { live, type Lived } from '../support/years.ts';

export interface KioskYears extends Lived {
  mode: 'plain' | 'with a ledger';
  /** The largest database after day 60, beside that of day 60. */
  growth: number;
  isMet: boolean;
  minutes: number;
}

const maxGrowth = 1.2;

/** Both modes, in a folder that is there; takes up to 2 GB of it. */
export async function liveYears(folder: string, days = 730): Promise<KioskYears[]> {
  const kiosks: KioskYears[] = [];
  for (const mode of ['plain', 'with a ledger'] as const) {
    const path = join(folder, 'kiosk');
    const start = performance.now();
    const minutes = (): number => (performance.now() - start) / 60_000;
    const lived = await live({
      folder: path, withLedger: mode === 'with a ledger', days, eventsADay: 5_000, keepDays: 30, settledAt: 60,
      sessionsAnHour: 3,
      isVerified: () => true,
      onNight: (night, { database }) => {
        if (night % 30 !== 0) return;
        console.error(`${mode}, night ${night}: ${(database / 1e6).toFixed(1)} MB, ${minutes().toFixed(1)} minutes`);
      },
    });
    const growth = lived.largestBytes / lived.settledBytes;
    kiosks.push({ mode, ...lived, growth, isMet: growth <= maxGrowth, minutes: minutes() });
    rmSync(path, { recursive: true });
  }
  return kiosks;
}
