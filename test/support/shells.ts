// What the shells bash, zsh and fish offer for a word, asked of the shells themselves.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Asks a shell that has read the script, and is in the folder, what it offers at the end of each line. */
export type Asking = (folder: string, script: string, lines: readonly string[]) => Map<string, string[]>;

function run(folder: string, command: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command[0]!, command.slice(1), {
    cwd: folder, encoding: 'utf8', maxBuffer: 2 ** 28, timeout: 300_000,
    env: { PATH: process.env['PATH'], HOME: folder, LC_ALL: 'C.UTF-8', TERM: 'dumb', ...env },
  });
  if (error) throw error;
  assert.deepEqual([status, stderr], [0, ''], command.join(' '));
  return stdout;
}

/** A folder beside the one that is asked in, so that nothing of this is offered. */
function besides(folder: string, script: string, lines: readonly string[]): { script: string; cases: string } {
  const beside = `${folder}-asking`;
  mkdirSync(beside, { recursive: true });
  const paths = { script: join(beside, 'script'), cases: join(beside, 'cases') };
  writeFileSync(paths.script, script);
  writeFileSync(paths.cases, lines.map((line) => `${line}\n`).join(''));
  return paths;
}

/** What was said between the lines `case …`. */
function offeredIn(text: string, lines: readonly string[]): Map<string, string[]> {
  const offered = text.split(/^case /m).slice(1).map((part) => part.split('\n').slice(1, -1));
  assert.equal(offered.length, lines.length, text);
  return new Map(lines.map((line, index) => [line, offered[index]!]));
}

// bash gives a function the words that it has made of the line, cut at =, : and > as well, and the word at the cursor
// without a quote and without such a sign. Where the function asks for file names, bash looks for them after it, which
// is shown here as what the function has asked for.
const bashDriver = `
compopt() { asked=$2; }
source "$1"
while IFS= read -r line; do
  cut=\${line//=/ = }
  cut=\${cut//:/ : }
  read -ra COMP_WORDS <<<"\${cut//>/ > }"
  [[ $line == *[=:\\>] || $line != *' ' ]] || COMP_WORDS+=('')
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)) asked=
  word=\${COMP_WORDS[COMP_CWORD]#[=:\\>\\"]}
  _shepherd_store shepherd-store "$word" "\${COMP_WORDS[COMP_CWORD - 1]}"
  echo "case $line"
  for word in "\${COMPREPLY[@]}" \${asked:+"<$asked>"}; do echo "$word"; done
done <"$2"
`;

/** Asks bash; `<default>` stands for the names of files, `<dirnames>` for those of folders. */
export const askBash: Asking = (folder, text, lines) => {
  const { script, cases } = besides(folder, text, lines);
  return offeredIn(run(folder, ['bash', '--norc', '-c', bashDriver, 'bash', script, cases]), lines);
};

// zsh completes in its line editor alone, which needs a terminal: zpty makes one. Before the first line is edited, all
// of the cases are completed, by a widget that notes what is added and shows nothing.
const zshrc = `
autoload -Uz compinit && compinit -D -u
source $SCRIPT
compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  (( $#hits )) && print -rl -- $hits >> $OFFERED
  builtin compadd "$@"
}
captured() { _main_complete; compstate[list]= compstate[insert]= }
zle -C capture list-choices captured
zle-line-init() {
  local line
  while IFS= read -r line; do
    BUFFER=$line CURSOR=$#line
    print -r -- "case $line" >> $OFFERED
    zle capture
  done < $CASES
  exit
}
zle -N zle-line-init
`;

/** Asks zsh. */
export const askZsh: Asking = (folder, text, lines) => {
  const { script, cases } = besides(folder, text, lines);
  const [settings, offered] = [`${folder}-settings`, join(`${folder}-asking`, `offered-${process.hrtime.bigint()}`)];
  mkdirSync(settings, { recursive: true });
  writeFileSync(join(settings, '.zshrc'), zshrc);
  const env = { SCRIPT: script, CASES: cases, OFFERED: offered, ZDOTDIR: settings, TERM: 'vt100' };
  const inner = 'zmodload zsh/zpty; zpty inner zsh -d -i; while zpty -r inner said; do print -r -- $said; done';
  const said = run(folder, ['zsh', '-f', '-c', inner], env);
  assert.ok(existsSync(offered), said);
  return offeredIn(readFileSync(offered, 'utf8'), lines);
};

const fishDriver = `
source $argv[1]
while read -l line
    echo "case $line"
    complete --do-complete=$line
end <$argv[2]
`;

/** Asks fish; what it says of a word stands behind a tab. */
export const askFish: Asking = (folder, text, lines) => {
  const { script, cases } = besides(folder, text, lines);
  return offeredIn(run(folder, ['fish', '--no-config', '-c', fishDriver, script, cases]), lines);
};
