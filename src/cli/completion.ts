import { type ArgumentSpecification, globalOptions, type OptionSpecification } from './specification.ts';
import { commands, defaultSubcommands } from './table.ts';

type Kind = OptionSpecification['kind'];

/** The completion script of a shell, made from the command table; values are asked of the program itself. */
export function completionScript(shell: string): string {
  if (shell === 'fish') return fish();
  const bashScript = bash();
  // zsh runs bash completions through its own compatibility layer, which ships with it.
  return shell === 'zsh' ? `autoload -U +X bashcompinit && bashcompinit\n${bashScript}` : bashScript;
}

function words(): readonly string[] {
  return [...new Set(commands.map((command) => command.name.split(' ')[0] ?? ''))];
}

function bash(): string {
  return `# unship completion; source <(unship complete bash)
_unship() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="" word
  local index places=0
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    case "$word" in
      ${valueOptions().join('|')}) ((index++)) ;;
      -*) ;;
      *) if [[ -z "$command" ]]; then command="$word"
         elif [[ " ${twoWordNames().join(' ')} " == *" $command/$word "* ]]; then command="$command/$word"
         else ((places++)); fi ;;
    esac
  done
  local values=""
  case "$previous" in
${valueCases(globalOptions.concat(commands.flatMap((command) => command.options ?? [])))}
  esac
  if [[ "$current" == -* ]]; then
    values="${spellings(globalOptions)}"
    case "$command" in
${commands
  .filter((command) => (command.options ?? []).length > 0)
  .map(
    (command) => `      ${command.name.replace(' ', '/')}) values+=" ${spellings(command.options ?? [])}" ;;`,
  )
  .join('\n')}
    esac
  else
    case "$command:$places" in
      :0) values="${words().join(' ')}" ;;
${argumentCases().join('\n')}
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
}
complete -o default -F _unship unship
`;
}

function twoWordNames(): readonly string[] {
  return commands
    .filter((command) => command.name.includes(' '))
    .map((command) => command.name.replace(' ', '/'));
}

function valueOptions(): readonly string[] {
  const all = [...globalOptions, ...commands.flatMap((command) => command.options ?? [])];
  const names = all
    .filter((option) => option.value !== undefined)
    .flatMap((option) => [`--${option.name}`, ...(option.short === undefined ? [] : [`-${option.short}`])]);
  return [...new Set(names)];
}

function valueCases(options: readonly OptionSpecification[]): string {
  const seen = new Set<string>();
  const lines: string[] = [];
  for (const option of options) {
    if (option.value === undefined || seen.has(option.name)) continue;
    seen.add(option.name);
    if (option.kind === 'files' || option.kind === 'folders' || option.kind === undefined) {
      lines.push(`    --${option.name}) COMPREPLY=(); return ;;`);
    } else {
      lines.push(
        `    --${option.name}) mapfile -t COMPREPLY < <(compgen -W "${bashValues(option.kind)}" -- "$current"); return ;;`,
      );
    }
  }
  return lines.join('\n');
}

function bashValues(kind: Kind): string {
  return typeof kind === 'string'
    ? `$(unship complete --values ${kind} 2>/dev/null)`
    : (kind ?? []).join(' ');
}

function spellings(options: readonly OptionSpecification[]): string {
  return options.map((option) => `--${option.name}`).join(' ');
}

function argumentCases(): readonly string[] {
  const lines: string[] = [];
  for (const word of words()) {
    const subcommands = commands
      .filter((command) => command.name.startsWith(`${word} `))
      .map((command) => command.name.slice(word.length + 1));
    const own = commands.find((command) => command.name === word)?.arguments?.[0];
    const values = [...subcommands, ...(own === undefined ? [] : [bashValues(own.kind)])].join(' ').trim();
    if (values !== '') lines.push(`      ${word}:0) values="${values}" ;;`);
  }
  for (const command of commands.filter((one) => one.name.includes(' '))) {
    for (const [index, argument] of (command.arguments ?? []).entries()) {
      const values = bashValues(argument.kind);
      if (values !== '')
        lines.push(`      ${command.name.replace(' ', '/')}:${index}) values="${values}" ;;`);
    }
  }
  lines.push(`      help:0) values="${words().join(' ')}" ;;`);
  return lines;
}

function fish(): string {
  const lines = ['# unship completion; unship complete fish | source', 'complete -c unship -f'];
  for (const word of words()) {
    const own = commands.find((command) => command.name === word);
    const standIn = defaultSubcommands[word];
    const summary = own?.summary ?? commands.find((command) => command.name === standIn)?.summary ?? '';
    lines.push(`complete -c unship -n __fish_use_subcommand -a ${word} -d ${quote(summary)}`);
  }
  for (const option of globalOptions) lines.push(`complete -c unship ${fishOption(option)}`);
  for (const command of commands) {
    const [word, sub] = command.name.split(' ');
    const own = `-n '__fish_seen_subcommand_from ${word}'`;
    const condition =
      sub === undefined
        ? own
        : `-n '__fish_seen_subcommand_from ${word}; and __fish_seen_subcommand_from ${sub}'`;
    if (sub !== undefined) lines.push(`complete -c unship ${own} -a ${sub} -d ${quote(command.summary)}`);
    for (const option of command.options ?? [])
      lines.push(`complete -c unship ${condition} ${fishOption(option)}`);
    const values = fishValues(command.arguments?.[0]);
    if (values !== '') lines.push(`complete -c unship ${condition} -a ${values}`);
  }
  return `${lines.join('\n')}\n`;
}

function fishOption(option: OptionSpecification): string {
  const short = option.short === undefined ? '' : ` -s ${option.short}`;
  const files = option.kind === 'files' || option.kind === 'folders' ? ' -F' : '';
  const values =
    option.value === undefined ? '' : ` -r${files}${files === '' ? valuesArgument(option.kind) : ''}`;
  return `-l ${option.name}${short}${values} -d ${quote(option.summary)}`;
}

function valuesArgument(kind: Kind): string {
  return kind === undefined ? '' : ` -a ${fishList(kind)}`;
}

function fishValues(argument: ArgumentSpecification | undefined): string {
  return argument?.kind === undefined ? '' : fishList(argument.kind);
}

function fishList(kind: NonNullable<Kind>): string {
  return typeof kind === 'string'
    ? `'(unship complete --values ${kind} 2>/dev/null)'`
    : quote(kind.join(' '));
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
