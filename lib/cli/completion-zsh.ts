// The completion for zsh: a line of _arguments for each command.
import type { Choice, OptionSyntax, PlaceSyntax, Syntax } from './syntax.ts';

/** The script that has zsh complete `shepherd-store`: a file of its fpath, or one that is read after `compinit`. */
export function zshScript(syntaxes: readonly Syntax[]): string {
  return `#compdef shepherd-store
# Completes shepherd-store in zsh; printed by: shepherd-store completion zsh

_shepherd-store() {
  local -a all
  all=(
${syntaxes.map(({ name, summary }) => `    ${quote(`${escape(name)}:${summary}`)}\n`).join('')}  )
  if (( CURRENT == 2 )); then
    if [[ $PREFIX == -* ]]; then
      _arguments '--help[all commands]' '--version[the version of this package]'
    else
      _describe -t commands command all
    fi
    return
  fi
  local command=\${(Q)words[2]}
  local -i dashes
  shift words
  (( CURRENT-- ))
  case $command in
${syntaxes.map(caseOf).join('')}  esac
}

if [[ $funcstack[1] == _shepherd-store ]]; then
  _shepherd-store "$@"
else
  compdef _shepherd-store shepherd-store
fi
`;
}

function caseOf({ name, options, places, runs }: Syntax): string {
  const specs = [...options.map(optionSpec), ...places.map(placeSpec)];
  if (specs.length === 0) return '';
  const behind = runs ? `    dashes=\${words[(ie)--]}
    if (( dashes < CURRENT )); then
      shift $dashes words
      (( CURRENT -= dashes ))
      _normal
      return
    fi
` : '';
  const lines = specs.map((spec) => ` \\\n      ${spec}`).join('');
  return `  ${quote(name)})\n${behind}    _arguments${lines}\n    ;;\n`;
}

function optionSpec({ name, help, value }: OptionSyntax): string {
  const text = `[${escape(help)}]`;
  if (name === 'help') return `'(-h --help)'{-h,--help}${quote(text)}`;
  return quote(value ? `--${name}=${text}:${escape(value.name)}:${actionOf(value.choice)}` : `--${name}${text}`);
}

function placeSpec({ name, choice, isOptional, repeats }: PlaceSyntax, index: number): string {
  const place = repeats ? '*:' : `${index + 1}:${isOptional ? ':' : ''}`;
  return quote(`${place}${escape(name)}:${actionOf(choice)}`);
}

function actionOf(choice: Choice): string {
  if (choice === 'files') return '_files';
  if (choice === 'folders') return '_files -/';
  return choice === 'nothing' ? ' ' : `(${choice.map((word) => word.replaceAll(/[^\w.+-]/g, '\\$&')).join(' ')})`;
}

/** Escapes what separates the parts of a line of _arguments or _describe. */
function escape(text: string): string {
  return text.replaceAll(/[\\[\]:]/g, '\\$&');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
