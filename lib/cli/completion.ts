// The command completion: prints what teaches a shell the commands and options. Nothing of this package runs when the
// shell then completes a word, because to start node takes a slow machine a second.
import { bashScript } from './completion-bash.ts';
import { fishScript } from './completion-fish.ts';
import { zshScript } from './completion-zsh.ts';
import { type Command, jsonOption, printJson } from './command.ts';
import { UsageError } from './failures.ts';
import { type Syntax, syntaxesOf } from './syntax.ts';

const scripts: Record<string, (syntaxes: readonly Syntax[]) => string> = {
  bash: bashScript, zsh: zshScript, fish: fishScript,
};
const shells = Object.keys(scripts);

/** `completion`: prints the script for a shell; `commands` gives the commands that it is to know. */
export function completion(commands: () => Promise<readonly Command[]>): Command {
  return {
    name: 'completion',
    summary: 'Prints what has a shell complete commands, options and files',
    takes: ['SHELL'],
    options: { ...jsonOption },
    words: { SHELL: shells },
    notes: [
      'SHELL is bash, zsh or fish. The script completes what is called shepherd-store,',
      'and runs nothing of it. Print it again after an update of this package.',
      'Who may write to /etc puts it where the shell finds it by itself, as below; zsh',
      'looks in each folder of its fpath. For one user, bash finds it as',
      '~/.local/share/bash-completion/completions/shepherd-store, and fish as',
      '~/.config/fish/completions/shepherd-store.fish. The last line below is for one',
      'session of bash or zsh; in fish it is: shepherd-store completion fish | source',
    ],
    examples: [
      'completion bash > /etc/bash_completion.d/shepherd-store',
      'completion zsh > /usr/local/share/zsh/site-functions/_shepherd-store',
      'completion fish > /etc/fish/completions/shepherd-store.fish',
      'completion bash > ~/.shepherd-store.bash && . ~/.shepherd-store.bash',
    ],
    run: async (args, io) => {
      const [shell = ''] = args.positionals;
      const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
      if (!script) throw new UsageError(`there is no completion for "${shell}"; there is one for ${shells.join(', ')}`);
      const text = script(syntaxesOf(await commands()));
      if (args.flag('json')) printJson(io, { shell, script: text });
      else io.stdout.write(text);
      return 0;
    },
  };
}
