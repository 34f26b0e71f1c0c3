// The command man: prints the page of the manual, made from what the help shows.
import { storeVariable } from './args.ts';
import { type Command, jsonOption, printJson } from './command.ts';
import { exitCodes } from './failures.ts';
import { generalNotes, optionsOf, optionText, ownSummaries, purpose, usageOf } from './help.ts';

/** `man`: prints the page of the manual; `commands` gives the commands that it is to have. */
export function manual(commands: () => Promise<readonly Command[]>, version: string): Command {
  return {
    name: 'man',
    summary: 'Prints the page of the manual',
    takes: [],
    options: { ...jsonOption },
    notes: [
      'The page is in the format of man(7): every command with its options, notes and',
      'examples. Where man is there, the first line below shows it, and the second one',
      'puts it where man shepherd-store finds it.',
    ],
    examples: [
      'man | man -l -', 'man > /usr/local/share/man/man1/shepherd-store.1',
    ],
    run: async (args, io) => {
      const page = manualPage(await commands(), version);
      if (args.flag('json')) printJson(io, { name: 'shepherd-store', section: 1, page });
      else io.stdout.write(page);
      return 0;
    },
  };
}

const variables: readonly [name: string, meaning: string][] = [
  [storeVariable, 'the store, where a call names none'],
  ['XDG_DATA_HOME', "below which the user's own store lies; ~/.local/share by default"],
  ['TZ', 'the time zone in which days begin and times are shown; that of the system by default'],
  ['NO_COLOR', 'where it is set to anything, nothing is coloured'],
  ['FORCE_COLOR', 'where it is set, also what goes to no terminal is coloured'],
];

const files: readonly [path: string, meaning: string][] = [
  ['$XDG_DATA_HOME/shepherd-store/shepherd-store.db', "the user's own store"],
  ['STORE.db-wal', 'the commits that are not yet in the database; it belongs to it, and is never to be deleted alone'],
  ['STORE.snapshot.json', 'the second copy of the state that a service resumes from'],
];

function manualPage(commands: readonly Command[], version: string): string {
  return [
    // It has no date, so that the same version always prints the same page.
    `.TH SHEPHERD\\-STORE 1 "" ${quoted(`shepherd-store ${version}`)} ${quoted('User commands')}`,
    '.nh', '.ad l', // paths and options are not to be parted at a hyphen
    '.SH NAME', `${escape('shepherd-store')} \\- ${escape(nameLine())}`,
    '.SH SYNOPSIS', '.B shepherd\\-store', '.I COMMAND', escape('[FILE | --db FILE] [options]'), '.br',
    '.B shepherd\\-store help', escape('[COMMAND]'), '.br', '.B shepherd\\-store version',
    '.SH DESCRIPTION', ...paragraphs(purpose), ...generalNotes.flatMap((lines) => ['.PP', ...paragraphs(lines)]),
    '.SH COMMANDS', ...listed(Object.entries(ownSummaries)), ...commands.flatMap(sectionOf),
    '.SH ENVIRONMENT', ...listed(variables),
    '.SH FILES', ...listed(files),
    '.SH EXIT STATUS', 'They are the same in every command.',
    ...listed(exitCodes.map(([code, meaning]) => [String(code), meaning])),
    '.SH SEE ALSO', '.BR sqlite3 (1)', '',
  ].join('\n');
}

/** The purpose as apropos shows it: without a capital and a full stop. */
function nameLine(): string {
  const [first = '', ...rest] = purpose.join(' ').replace(/\.$/, '');
  return first.toLowerCase() + rest.join('');
}

function sectionOf(command: Command): string[] {
  const { name, summary, notes, examples } = command;
  const options = optionsOf(command).map(([option, syntax]) => [optionText(option, syntax), syntax.help] as const);
  return [
    `.SS ${escape(name)}`, `${escape(summary)}.`, '.PP', `.B ${escape(usageOf(command).replace(/^Usage: /, ''))}`,
    ...listed(options), ...(notes.length > 0 ? ['.PP', ...paragraphs(notes)] : []),
    '.PP', examples.length > 1 ? 'Examples:' : 'Example:', '.PP', '.nf', '.RS 4',
    ...examples.map((example) => escape(`shepherd-store ${example}`)), '.RE', '.fi',
  ];
}

/** Lines that may be filled anew; an empty one parts two paragraphs, and one that is indented stands as it is. */
function paragraphs(lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    if (line === '') return ['.PP'];
    return line.startsWith(' ') ? ['.br', escape(line)] : [escape(line)];
  });
}

/** Names, each with what it means below it. */
function listed(rows: readonly (readonly [name: string, meaning: string])[]): string[] {
  return rows.flatMap(([name, meaning]) => ['.TP', `.B ${escape(name)}`, escape(meaning)]);
}

function quoted(text: string): string {
  return `"${escape(text)}"`;
}

const named: Record<string, string> = {
  '\\': '\\e', '-': '\\-', "'": '\\(aq', '"': '\\(dq', '`': '\\(ga', '^': '\\(ha', '~': '\\(ti',
};

/** A text that roff shows as it is, on one line. */
function escape(text: string): string {
  const shown = text.replaceAll(/[\\'"`^~-]|[^\x20-\x7e]/gu, (character) => {
    return named[character] ?? `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`;
  });
  return shown.replace(/^(?=\.)/, '\\&'); // a dot at the beginning of a line would be a request
}
