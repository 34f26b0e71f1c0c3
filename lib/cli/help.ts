// The texts that explain the command: its own, and that of each command.
import type { Option } from './args.ts';
import type { Command } from './command.ts';
import { exitCodes } from './failures.ts';
import { wrap } from './text.ts';

/** The usage line that a call without a valid command gets. */
export const generalUsage = 'Usage: shepherd-store COMMAND [FILE | --db FILE] [options] (help says more)';

/** What the command is for. */
export const purpose: readonly string[] = [
  'Looks at a store, checks it against its ledger, makes either from the other,',
  'backs it up, restores it, and takes over the data of another service.',
];

/** What the program answers itself, without a command. */
export const ownSummaries: Readonly<Record<'help' | 'version', string>> = {
  help: 'all commands; help COMMAND is what that command takes',
  version: 'the version of this package',
};

/** What holds for every command, in paragraphs. */
export const generalNotes: readonly (readonly string[])[] = [[
  'The store is --db FILE, or FILE where a command takes nothing else. Without both',
  "it is what $SHEPHERD_STORE_DB names, or else the user's own; stderr says which:",
  '$XDG_DATA_HOME/shepherd-store/shepherd-store.db, or below ~/.local/share.',
], [
  'Commands that only look open the store read-only, beside a running service, and',
  'leave nothing behind. Every command takes --json; an error is then a line on',
  'stderr, {"error":{"code":…,"message":…}}. Colours are for terminals, and follow',
  'NO_COLOR and FORCE_COLOR. Names are cut only where a terminal is too narrow.',
]];

/** The text of `help`. */
export function generalHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    ...purpose, '',
    'Usage: shepherd-store COMMAND [FILE | --db FILE] [options]', '', 'Commands',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`), '',
    ...Object.entries(ownSummaries).map(([name, summary]) => `  ${name.padEnd(9)}  ${summary}`), '',
    ...generalNotes.flatMap((lines) => [...lines, '']),
    'Exit codes, the same in every command',
    ...exitCodes.flatMap(([code, meaning]) => {
      return wrap(meaning.split(' '), 73).map((line, index) => {
        return `  ${(index === 0 ? String(code) : '').padEnd(3)}  ${line}`;
      });
    }), '',
  ].join('\n');
}

/** The text of `help COMMAND`. */
export function helpOf(command: Command): string {
  const rows = optionsOf(command).map(([name, option]) => [optionText(name, option), option.help] as const);
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = [
    `${command.summary}.`, '', usageOf(command), '', 'Options',
    ...rows.map(([left, help]) => `  ${left.padEnd(width)}  ${help}`),
    '', ...command.notes,
    '', command.examples.length > 1 ? 'Examples' : 'Example',
    ...command.examples.map((example) => `  shepherd-store ${example}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** The options of a command by their names, as its help shows them. */
export function optionsOf({ options }: Command): [name: string, option: Option][] {
  return [...Object.entries(options), ['help', { help: 'this help' }]];
}

/** The usage line of a command. */
export function usageOf({ name, takes, options, runs }: Command): string {
  const required = Object.entries(options).filter(([, option]) => option.required);
  const words = [name, ...takes, ...required.map(([optionName, option]) => optionText(optionName, option))];
  return `Usage: shepherd-store ${words.join(' ')} [options]${runs === undefined ? '' : ` -- ${runs}`}`;
}

/** An option as a call has it: `--limit N`. */
export function optionText(name: string, { value }: Option): string {
  return `--${name}${value === undefined ? '' : ` ${value}`}`;
}
