// What a report shows of daily quotas: what was allowed on each day, with what was granted, and what was used of it.
import type { ModuleConnection } from '../../core/door.ts';
import { maxMs } from '../../core/usage.ts';
import { checkJsonLength } from '../../values/json.ts';
import type { Rules, SubjectRules } from '../limit-policy.ts';
import type { Quota } from './contents.ts';
import type { ReportDays } from './report-days.ts';
import { type Totals, usedTogether } from './read-usage.ts';

const grantsSql = `SELECT asked.key, day,
    CASE WHEN typeof(granted_ms) = 'integer' AND granted_ms BETWEEN -${maxMs} AND ${maxMs} THEN granted_ms END
  FROM json_each(?1) AS asked CROSS JOIN overrides ON subject = asked.value AND day BETWEEN ?2 AND ?3`;

/**
 * The daily quotas of a policy, in its order: those of the entries that `isWanted` names, and of the groups that such
 * an entry belongs to. Of a group's quota all its members' time is used, also that of entries that were not asked for.
 */
export function readQuotas(
  door: ModuleConnection, days: ReportDays, { rules, totals, isWanted }: {
    rules: Rules; totals: Totals; isWanted: (entryId: string) => boolean;
  },
): Quota[] {
  const subjects = new Set<SubjectRules>();
  for (const { subjects: all } of rules.entries.values()) for (const each of all) subjects.add(each);
  const limited = [...subjects].filter(({ dailyMs, members }) => dailyMs !== undefined && members.some(isWanted));
  const granted = readGrants(door, days, limited.map(({ subject }) => subject));
  return limited.map(({ subject, members, dailyMs = 0 }) => ({
    subject, members: [...members], dailyMs,
    allowedMs: days.texts.map((_, place) => allowed(dailyMs, granted, subject, place)),
    usedMs: usedTogether(totals, days, members),
  }));
}

/** What was granted, by subject and by the places of the days; `NaN` where it cannot be read. */
type Grants = Map<string, Map<number, number>>;

function allowed(dailyMs: number, grants: Grants | undefined, subject: string, place: number): number | undefined {
  if (!grants) return undefined;
  const allowedMs = Math.max(0, dailyMs + (grants.get(subject)?.get(place) ?? 0));
  return Number.isNaN(allowedMs) ? undefined : allowedMs;
}

/** Gives `undefined` for a store that is only read and lacks the grants that an older version has passed over. */
function readGrants(door: ModuleConnection, days: ReportDays, subjects: readonly string[]): Grants | undefined {
  if (door.isReadOnly && door.parts.limits.isBehind()) return undefined;
  const grants: Grants = new Map(subjects.map((subject) => [subject, new Map<number, number>()]));
  if (subjects.length === 0) return grants;
  checkJsonLength('the policy', subjects);
  type Row = [index: number, day: string, grantedMs: number | null];
  const rows = door.all<Row>(grantsSql, JSON.stringify(subjects), days.texts[0]!, days.texts.at(-1)!);
  const unplaced = new Set<string>();
  for (const [index, day, grantedMs] of rows) {
    const [subject, place] = [subjects[index]!, days.placeNamed(day)];
    if (place === undefined) unplaced.add(subject);
    else grants.get(subject)!.set(place, grantedMs ?? NaN);
  }
  // It is what was granted on one of the days, and nobody knows on which.
  for (const subject of unplaced) for (const place of days.texts.keys()) grants.get(subject)!.set(place, NaN);
  return grants;
}
