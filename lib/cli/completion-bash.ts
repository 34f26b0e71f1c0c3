// The completion for bash, 4 or later: a function, and a table of the options and values of each command.
import type { Choice, Syntax } from './syntax.ts';
import { shellWord } from './text.ts';

/** The script that has bash complete `shepherd-store`. */
export function bashScript(syntaxes: readonly Syntax[]): string {
  const running = syntaxes.filter(({ runs }) => runs).map(({ name }) => shellWord(name));
  return `# Completes shepherd-store in bash; printed by: shepherd-store completion bash

# Sets the options of command $1, and what stands for $2: an option with a value, or the number of an argument.
_shepherd_store_table() {
  options=() choice=()
  case $1 in
${syntaxes.map(caseOf).join('')}  esac
  [[ \${#choice[@]} -gt 0 ]]
}

_shepherd_store() {
  # $2 is the word without what quotes it; a sign at which bash cuts words stands in COMP_WORDS alone.
  local current=$2 command= option= joined= into= place=0 index word
  local -a options choice offered
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if ((index == 1)); then command=\${word//[\\"\\']/}
    elif [[ -n $into ]]; then into=
    elif [[ $word == [\\<\\>]* ]]; then into=1
    elif [[ $word == [=:] ]]; then [[ $word == = && -n $option ]] || joined=1
    elif [[ -n $joined ]]; then joined=
    elif [[ -n $option ]]; then option=
    elif [[ $word == -- ]]; then _shepherd_store_behind "$command" "$index" "$current"; return
    elif [[ $word == --* ]]; then _shepherd_store_table "$command" "$word" && option=$word
    elif [[ $word != -[!0-9]* ]]; then ((place++))
    fi
  done
  word=\${COMP_WORDS[COMP_CWORD]}
  if [[ -n $into || $word == [\\<\\>]* ]]; then compopt -o default; return; fi
  [[ -z $option && ( -n $joined || $word == [=:] ) ]] && return
  if ((COMP_CWORD == 1)); then
    offered=(${syntaxes.map(({ name }) => shellWord(name)).join(' ')})
    [[ $current == -* ]] && offered=(--help --version)
  else
    _shepherd_store_table "$command" "\${option:-$place}"
    if [[ -z $option && ( $current == -* || -z \${choice[*]} || \${choice[0]} == nothing ) ]]; then
      offered=("\${options[@]}")
    else
      case \${choice[0]} in
      files) compopt -o default ;;
      folders) compopt -o dirnames ;;
      words) offered=("\${choice[@]:1}") ;;
      esac
    fi
  fi
  for word in "\${offered[@]}"; do
    [[ $word == "$current"* ]] && COMPREPLY+=("$word")
  done
}

# Completes the command behind --, which is word $2, of command $1.
_shepherd_store_behind() {
  case $1 in
  ${[...running, "''"].join(' | ')})
    if declare -F _command_offset >/dev/null; then _command_offset $(($2 + 1))
    elif ((COMP_CWORD == $2 + 1)); then mapfile -t COMPREPLY < <(compgen -c -- "$3")
    else compopt -o default
    fi ;;
  esac
}

complete -F _shepherd_store shepherd-store
`;
}

/** The case of a command: its options, and a case for each value that it takes. */
function caseOf({ name, options, places }: Syntax): string {
  const values = new Map<string, string[]>();
  const add = (pattern: string, choice: Choice): void => {
    const text = choiceText(choice);
    values.set(text, [...values.get(text) ?? [], pattern]);
  };
  for (const { name: option, value } of options) if (value) add(`--${option}`, value.choice);
  for (const [index, { choice, repeats }] of places.entries()) add(repeats ? '[0-9]*' : String(index), choice);
  const lines = [...values].map(([text, patterns]) => `    ${patterns.join(' | ')}) choice=(${text}) ;;\n`);
  const cases = lines.length > 0 ? `    case $2 in\n${lines.join('')}    esac\n` : '';
  const names = options.map(({ name: option }) => `--${option}`).join(' ');
  return `  ${shellWord(name)})\n    options=(${names})\n${cases}    ;;\n`;
}

function choiceText(choice: Choice): string {
  return typeof choice === 'string' ? choice : ['words', ...choice].map(shellWord).join(' ');
}
