// The commands grant, deny and allow: what a day permits beyond the rules.
import type { Availability } from '../core/events.ts';
import type { SqliteStore } from '../store.ts';
import { localDay } from '../values/days.ts';
import type { Args, Option } from './args.ts';
import { type Command, type Io, now } from './command.ts';
import { grantedText } from './limit-rows.ts';
import { subjectOf } from './subject.ts';
import { brief, fit, nameRoom } from './text.ts';
import { change, type Done, reasonOption, toldBy, writeNotes, writeOptions } from './write.ts';

const dayOption: Record<string, Option> = { day: { value: 'DAY', help: 'the day; today by default' } };

const dayNotes = [
  'ENTRY is an entry, or a group as group:NAME. DAY is YYYY-MM-DD, today, yesterday',
  'or tomorrow, in the local time zone (TZ).',
];

/** `grant`: gives an entry or a group more time on a day, or less. */
export const grant: Command = {
  name: 'grant',
  summary: 'Gives an entry more time on a day, or less',
  takes: ['ENTRY', 'DURATION'],
  options: { ...dayOption, ...reasonOption, ...writeOptions },
  notes: [
    ...dayNotes,
    'DURATION is 30m, 1h30m, 2h or 90s; a number alone is minutes; -30m takes away.',
    'Grants of a day add up.',
    ...writeNotes,
  ],
  examples: ['grant minecraft 30m --reason "homework is done"', 'grant group:games -30m --day tomorrow'],
  run: async (args, io) => {
    const subject = subjectOf(args);
    const { ms: durationMs } = args.changeAt(1);
    const day = args.day('day', now(io)) ?? localDay(now(io));
    const told = toldBy(args);
    return change(args, io, (store) => {
      const { grantedMs } = store.grantTime({ subject, day, durationMs, ...told });
      const what = `${brief(Math.abs(durationMs))} ${durationMs < 0 ? 'less' : 'more'}`;
      const line = `${what} for ${fit(subject, nameRoom(io.stdout, 60))} on ${day}: ${grantedText(grantedMs)} in all`;
      return { line, document: { subject, day, durationMs, grantedMs, ...told } };
    });
  },
};

/** `deny`: keeps an entry or a group from starting on a day. */
export const deny: Command = availabilityCommand('deny', 'denied', {
  summary: 'Keeps an entry from starting on a day',
  notes: ['What runs already is not ended. --clear ends it: the rules hold again.'],
  examples: ['deny minecraft --reason "not before the test"', 'deny group:games --day tomorrow'],
});

/** `allow`: lets an entry or a group start on a day outside its windows. */
export const allow: Command = availabilityCommand('allow', 'allowed', {
  summary: 'Lets an entry start on a day outside its windows',
  notes: ['The quotas of the day hold: grant gives more time. --clear ends it: the rules', 'hold again.'],
  examples: ['allow minecraft', 'allow minecraft --clear'],
});

function availabilityCommand(
  name: string, availability: Availability, texts: Pick<Command, 'summary' | 'notes' | 'examples'>,
): Command {
  return {
    ...texts,
    name,
    takes: ['ENTRY'],
    options: {
      ...dayOption, clear: { help: `ends what ${name} did` }, ...reasonOption, ...writeOptions,
    },
    notes: [...dayNotes, ...texts.notes, ...writeNotes],
    run: (args, io) => setAvailability(args, io, availability),
  };
}

async function setAvailability(args: Args, io: Io, availability: Availability): Promise<number> {
  const subject = subjectOf(args);
  const day = args.day('day', now(io)) ?? localDay(now(io));
  const told = { subject, day, ...toldBy(args) };
  const name = fit(subject, nameRoom(io.stdout, 60));
  return change(args, io, (store) => {
    if (args.flag('clear')) return clear(store, told, availability, name);
    store.setAvailability({ ...told, availability });
    const rest = availability === 'denied' ? '' : ', also outside its windows';
    return { line: `${name} is ${availability} on ${day}${rest}`, document: { ...told, availability } };
  });
}

/** Ends what the same command did, and leaves what the other one did. */
function clear(
  store: SqliteStore, told: { subject: string; day: string } & ReturnType<typeof toldBy>, ended: Availability,
  name: string,
): Done {
  const { subject, day } = told;
  const found = store.transaction(() => {
    const { availability } = store.getOverride(subject, day);
    if (availability === ended) store.setAvailability({ ...told, availability: undefined });
    return availability;
  });
  if (found === ended) {
    const document = { ...told, availability: null, cleared: true };
    return { line: `${name} follows its rules again on ${day}`, document };
  }
  const state = found === undefined ? '' : `, but ${found}`;
  const document = { ...told, availability: found ?? null, cleared: false };
  return { line: `${name} was not ${ended} on ${day}${state}: nothing was changed`, document };
}
