// The figures by their names, which follow Prometheus' rules: units are seconds and bytes, a time is an instant and not
// an age, because it is read later than it was written, and only what never falls is a counter.
import type { HealthFinding } from '../core/faults.ts';
import { packageVersion } from '../values/package-version.ts';
import { type Family, labelOf, type Sample } from './exposition.ts';
import type { Read } from './metrics-read.ts';
import type { UsageRow } from './rows.ts';

const prefix = 'shepherd_store_';

/** Every kind of finding: each has a figure all the time, because an alert cannot ask for one that appears. */
const findingKinds: Record<HealthFinding['kind'], true> = {
  'stopped': true, 'replaced': true, 'unreadable': true, 'snapshot-file-damaged': true, 'snapshot-file-missing': true,
  'snapshot-outdated': true, 'snapshot-row-damaged': true, 'behind': true, 'snapshot-not-placed': true,
  'checkpoint-failed': true, 'wal-large': true, 'second-name': true, 'mounted-alone': true, 'schema-changed': true,
  'schema-newer': true, 'other-machine': true, 'clock-behind': true, 'time-zone': true, 'folder-shared': true,
};

/** So many entries have a figure of their own, because each of them is a series that a monitor keeps. */
export const mostEntries = 100;

type Given = Sample[] | number | undefined;

function family(name: string, help: string, given: Given, type: Family['type'] = 'gauge'): Family {
  const samples = typeof given === 'number' ? [{ labels: {}, value: given }] : (given ?? []);
  return { name: prefix + name, type, help, samples };
}

const upFamily = (value: 0 | 1): Family => family('up', 'Whether the store could be read.', value);

/** What is told of a store that cannot be read. */
export function familiesOfNone(): Family[] {
  return [upFamily(0)];
}

/** What is told of a store; a figure that is not known has no sample. */
export function familiesOf(read: Read): Family[] {
  return [
    upFamily(1), ...fileFamilies(read), ...logFamilies(read), ...todayFamilies(read), ...outboxFamilies(read),
    ...upkeepFamilies(read),
    family('unreadable', 'Whether a part of the store could not be read: its figures are left out.',
      labelled('part', Object.entries(read.isRead).map(([part, isRead]) => [part, isRead ? 0 : 1]))),
    family('figures_timestamp_seconds', 'When these figures were read.', seconds(read.at)),
  ];
}

function fileFamilies({ health, uuid }: Read): Family[] {
  const { databaseBytes, walBytes, freeBytes, freePageBytes, schemaVersion, sqliteVersion, timeZone } = health;
  const found = new Set<string>(health.findings.map(({ kind }) => kind));
  const info = { uuid, version: packageVersion, sqlite_version: sqliteVersion, time_zone: labelOf(timeZone) };
  return [
    family('info', 'The store, by its UUID, and what reads it.', [{ labels: info, value: 1 }]),
    family('schema_version', 'The schema version of the database.', schemaVersion),
    family('database_bytes', 'The size of the database.', databaseBytes),
    family('wal_bytes', 'The size of the write-ahead log beside it.', walBytes),
    family('free_page_bytes', 'How much of the database is free pages, which are used again.', freePageBytes),
    family('filesystem_free_bytes', 'Free space on the file system of the database.', freeBytes),
    family('finding', 'Whether health() has a finding of this kind.',
      labelled('kind', Object.keys(findingKinds).map((kind) => [kind, found.has(kind) ? 1 : 0]))),
  ];
}

function logFamilies({ log }: Read): Family[] {
  return [
    family('events_total', 'Events that were ever recorded: the id of the newest one.', log?.events, 'counter'),
    family('archived_events_total', 'Events that went into archives: the id of the last one.', log?.archived,
      'counter'),
    family('newest_event_timestamp_seconds', 'When the newest event was recorded.', seconds(log?.newest)),
  ];
}

function todayFamilies({ usage, snapshot, cooldowns, denied }: Read): Family[] {
  const sorted = usage && [...usage].sort((a, b) => b.durationMs! - a.durationMs!);
  const named = sorted?.slice(0, mostEntries);
  const others = sorted?.slice(mostEntries);
  const counted = snapshot?.counted;
  return [
    family('usage_today_seconds', `Time charged today to the ${mostEntries} entries with most of it.`,
      labelled('entry', named?.map(({ entryId, durationMs }) => [labelOf(entryId), durationMs! / 1000]))),
    family('usage_today_others_seconds', 'Time charged today to all other entries.', others && sumMs(others) / 1000),
    family('usage_today_entries', 'Entries that were used today.', usage?.length),
    family('session_running', 'Whether a session runs, by the last snapshot.', snapshot && Number(snapshot.isRunning)),
    family('session_seconds', 'How long it had run when the snapshot was saved; not yet charged.',
      counted && labelled('entry', [[labelOf(counted.entryId), counted.elapsedMs / 1000]])),
    family('cooldowns_running', 'Entries in a cooldown.', cooldowns),
    family('denied_launches_today', 'Launches denied today; left out where today has 100,000 events or more.',
      denied ?? undefined),
    family('snapshot_timestamp_seconds', 'When the service saved its state.', seconds(snapshot?.savedAt)),
  ];
}

function outboxFamilies({ outboxes }: Read): Family[] {
  const dated = (dateOf: (sent: NonNullable<Read['outboxes']>[number]) => Date | undefined): Sample[] | undefined => {
    return labelled('outbox', outboxes?.flatMap((sent) => {
      const value = seconds(dateOf(sent));
      return value === undefined ? [] : [[sent.name, value]];
    }));
  };
  return [
    family('outbox_lag_events', 'Events that are still to be sent.',
      labelled('outbox', outboxes?.map(({ name, events }) => [name, events]))),
    family('outbox_oldest_unsent_timestamp_seconds', 'When the oldest of them was recorded.',
      dated(({ since }) => since)),
    family('outbox_acknowledged_timestamp_seconds', 'When events were last acknowledged.',
      dated(({ acknowledgedAt }) => acknowledgedAt)),
  ];
}

function upkeepFamilies({ upkeep }: Read): Family[] {
  return [
    family('last_backup_timestamp_seconds', 'When the last backup was recorded.', seconds(upkeep?.backup?.at)),
    family('last_archive_timestamp_seconds', 'When rows last went into an archive.', seconds(upkeep?.archive?.at)),
    family('last_verification_timestamp_seconds', 'When the last verification was recorded that found all right.',
      seconds(upkeep?.verification?.at)),
  ];
}

function labelled(name: string, pairs: readonly (readonly [string, number])[] | undefined): Sample[] | undefined {
  return pairs?.map(([text, value]) => ({ labels: { [name]: text }, value }));
}

function sumMs(rows: readonly UsageRow[]): number {
  return rows.reduce((sum, { durationMs = 0 }) => sum + durationMs, 0);
}

function seconds(instant: Date | undefined): number | undefined {
  return instant && instant.getTime() / 1000;
}
