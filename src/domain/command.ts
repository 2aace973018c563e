import { UnshipError } from './errors.ts';

/** Program and arguments, or one line split at spaces. Never a shell: its special characters are refused. */
export type Command = string | readonly string[];

/** Program and arguments. Throws `config-invalid` on an empty command or on shell syntax in the one-line form. */
export function commandLine(command: Command): readonly [string, ...string[]] {
  if (typeof command === 'string' && /[|&;<>()$`\\"'*?[\]#~%{}\n]/.test(command)) {
    throw new UnshipError('config-invalid', {
      happened: `the command \`${command}\` needs a shell, and commands run without one`,
      next: 'write it as a list of program and arguments, or put it into a script',
    });
  }
  const [program, ...rest] = typeof command === 'string' ? command.trim().split(/\s+/) : command;
  if (program === undefined || program === '') {
    throw new UnshipError('config-invalid', { happened: 'a command is empty' });
  }
  return [program, ...rest];
}
