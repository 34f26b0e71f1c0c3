// The completion for fish: a line for each command, each option and each argument that can be completed.
import type { Choice, Syntax } from './syntax.ts';

/** The script that has fish complete `shepherd-store`. */
export function fishScript(syntaxes: readonly Syntax[]): string {
  const complete = (...words: readonly string[]): string => `complete -c shepherd-store ${words.join(' ')}\n`;
  const first = syntaxes.map(({ name, summary }) => {
    return complete('-n __shepherd_store_first', `-a ${word(name)}`, `-d ${quote(summary)}`);
  });
  const lines = syntaxes.flatMap(({ name, options, places, runs }) => {
    const isIt = `-n ${quote(`__shepherd_store_is ${word(name)}`)}`;
    const ofOptions = options.map(({ name: option, help, value }) => {
      const names = option === 'help' ? '-s h -l help' : `-l ${option}`;
      return complete(isIt, names, ...(value ? [valueOf(value.choice)] : []), `-d ${quote(help)}`);
    });
    const withValue = options.filter(({ value }) => value).map(({ name: option }) => `--${option}`);
    const ofPlaces = places.flatMap(({ choice, repeats }, index) => {
      if (choice === 'nothing') return [];
      const at = repeats ? `${index}-` : String(index);
      const condition = ['__shepherd_store_at', word(name), at, ...withValue].join(' ');
      return [complete(`-n ${quote(condition)}`, placeOf(choice))];
    });
    const behind = complete(`-n ${quote(`__shepherd_store_behind ${word(name)}`)}`, "-a '(__shepherd_store_run)'");
    return [...ofOptions, ...ofPlaces, ...(runs ? [behind] : [])];
  });
  return `# Completes shepherd-store in fish; printed by: shepherd-store completion fish

# The word at the cursor is the command.
function __shepherd_store_first
    test (count (commandline -opc)) -eq 1
end

# The command is $argv[1], and no -- stands before the cursor.
function __shepherd_store_is
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test "$words[2]" = "$argv[1]"; and not contains -- -- $words
end

# The word at the cursor is argument $argv[2], or that and those behind it where a - follows the number, of the command
# $argv[1], whose options with a value are the others of $argv.
function __shepherd_store_at
    __shepherd_store_is $argv[1]; or return 1
    set -l words (commandline -opc)
    set -l place 0
    set -l is_value 0
    for word in $words[3..-1]
        if test $is_value = 1
            set is_value 0
        else if contains -- $word $argv[3..-1]
            set is_value 1
        else if not string match -qr '^-[^0-9]' -- $word
            set place (math $place + 1)
        end
    end
    test $is_value = 0; or return 1
    switch $argv[2]
        case '*-'
            test $place -ge (string trim -r -c - -- $argv[2])
        case '*'
            test $place = $argv[2]
    end
end

# The word at the cursor is behind the -- of the command $argv[1].
function __shepherd_store_behind
    set -l words (commandline -opc)
    test (count $words) -ge 3; and test "$words[2]" = "$argv[1]"; and contains -- -- $words
end

# What fish offers for the command behind --.
function __shepherd_store_run
    set -l words (commandline -opc)
    set -l rest $words[(math (contains -i -- -- $words) + 1)..-1]
    complete --do-complete=(string join ' ' -- (string escape -- $rest) (commandline -ct))
end

complete -c shepherd-store -f
${complete('-n __shepherd_store_first', '-s h -l help', `-d ${quote('all commands')}`)}${
  complete('-n __shepherd_store_first', '-l version', `-d ${quote('the version of this package')}`)}${
  [...first, ...lines].join('')}`;
}

function valueOf(choice: Choice): string {
  if (choice === 'files') return '-r -F';
  return choice === 'nothing' ? '-x' : `-x ${placeOf(choice)}`;
}

function placeOf(choice: Exclude<Choice, 'nothing'>): string {
  if (choice === 'files') return '-F';
  return `-a ${quote(choice === 'folders' ? '(__fish_complete_directories)' : choice.map(word).join(' '))}`;
}

/** A word that fish expands nothing in, in what it reads once more. */
function word(text: string): string {
  return /^[\w.+-]+$/.test(text) ? text : quote(text);
}

function quote(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}
