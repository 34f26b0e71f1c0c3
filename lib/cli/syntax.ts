// What may stand at each place of a call, as the completions of shells need it.
import type { Option } from './args.ts';
import type { Command } from './command.ts';
import { optionsOf, ownSummaries } from './help.ts';

/** What a shell offers for a value: files, folders, some words, or nothing, where only the caller can know it. */
export type Choice = 'files' | 'folders' | 'nothing' | readonly string[];

/** An option; `value` is absent for a switch. */
export interface OptionSyntax {
  name: string;
  help: string;
  value?: { name: string; choice: Choice };
}

/** An argument without a name. */
export interface PlaceSyntax {
  name: string;
  choice: Choice;
  isOptional: boolean;
  /** It is the last one, and may be repeated. */
  repeats: boolean;
}

/** A command as a shell completes it. */
export interface Syntax {
  name: string;
  summary: string;
  options: readonly OptionSyntax[];
  places: readonly PlaceSyntax[];
  /** Whether a command of the caller's stands behind `--`. */
  runs: boolean;
}

// What the placeholders of the help stand for.
const fileName = /^(?:\w*FILE|BACKUP|DEST|FROM|TO|\w+\.\w+)$/;
const folderName = /^(?:DIR|FOLDER)$/;
const dayWords: Record<string, readonly string[]> = {
  DAY: ['today', 'yesterday', 'tomorrow'],
  WHEN: ['today', 'yesterday'],
};

/** What stands for a placeholder, such as `[FILE]`, `DAY` or `csv|jsonl`; words in small letters are what they say. */
function choiceOf(placeholder: string, ofCommand: Command['words'] = {}, isPlace = false): Choice {
  const name = bare(placeholder);
  const known = ofCommand[name] ?? dayWords[name];
  if (known) return known;
  const parts = name.split('|').map((part) => part.trim());
  const words = parts.filter((part) => /^[a-z][a-z0-9_-]*$/.test(part));
  if (words.length > 0) return words;
  // The days of a range are called FROM and TO as well, but those are the names of options and no placeholders.
  if (parts.some((part) => fileName.test(part) && (isPlace || !/^(?:FROM|TO)$/.test(part)))) return 'files';
  return parts.some((part) => folderName.test(part)) ? 'folders' : 'nothing';
}

function bare(placeholder: string): string {
  return placeholder.replaceAll(/[[\]…]/g, '');
}

/** What a shell has to know of a command. */
export function syntaxOf(command: Command): Syntax {
  const { name, summary, takes, words, runs } = command;
  const options = optionsOf(command).map(([option, { value, help }]: [string, Option]): OptionSyntax => {
    const choice = value === undefined ? undefined : { name: value, choice: choiceOf(value, words) };
    return { name: option, help, ...(choice ? { value: choice } : undefined) };
  });
  const places = takes.map((placeholder): PlaceSyntax => ({
    name: bare(placeholder), choice: choiceOf(placeholder, words, true),
    isOptional: placeholder.startsWith('['), repeats: placeholder.endsWith('…'),
  }));
  return { name, summary, options, places, runs: runs !== undefined };
}

/** All commands, with what the program answers itself. */
export function syntaxesOf(commands: readonly Command[]): Syntax[] {
  const names = commands.map(({ name }) => name);
  const command: PlaceSyntax = { name: 'COMMAND', choice: names, isOptional: true, repeats: false };
  return [
    ...commands.map(syntaxOf),
    { name: 'help', summary: ownSummaries.help, options: [], places: [command], runs: false },
    { name: 'version', summary: ownSummaries.version, options: [], places: [], runs: false },
  ];
}
