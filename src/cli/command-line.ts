import { programVersion } from '../config/package-root.ts';
import type { Answer, CommandContext } from './context.ts';
import { errorScreen, reportOf } from './errors.ts';
import type { Host } from './host.ts';
import { Masker } from './output/mask.ts';
import { wantsColour } from './output/paint.ts';
import { Terminal } from './output/terminal.ts';
import { asksForJson, type Invocation, parseCommandLine } from './parse.ts';
import { Interrupted } from './prompt.ts';

const interrupted = 130;

/** Runs one command line from parsing to the last flushed byte; resolves with the exit code, never rejects. */
export async function main(host: Host): Promise<number> {
  const masker = new Masker();
  const terminal = terminalFor(host, masker);
  const restore = host.divert?.((text) => terminal.foreign(text));
  try {
    return await understood(host, terminal, masker);
  } catch (error) {
    return tell(host, terminal, error);
  } finally {
    terminal.finish();
    restore?.();
  }
}

async function understood(host: Host, terminal: Terminal, masker: Masker): Promise<number> {
  const invocation = parseCommandLine(host.argv);
  if (invocation.options.flag('version')) {
    const version = programVersion();
    if (invocation.options.flag('json')) terminal.document({ schema: 'unship.version/1', version });
    else terminal.result([version]);
    return 0;
  }
  return await runCommand(host, terminal, masker, invocation);
}

async function runCommand(
  host: Host,
  terminal: Terminal,
  masker: Masker,
  invocation: Invocation,
): Promise<number> {
  const { CommandSession } = await import('./session.ts');
  const session = new CommandSession(host, terminal, masker, invocation);
  const forget = host.onSignal((signal) => {
    if (session.pause()) {
      terminal.alert([`${signal}: pausing after the step under way. Once more ends the program at once.`]);
      return;
    }
    terminal.finish();
    host.exit(signal === 'SIGTERM' ? 143 : signal === 'SIGHUP' ? 129 : interrupted);
  });
  try {
    const answer = await answerOf(session.context(), invocation);
    // Closed before the answer is out: an answer that was printed is not followed by a failure.
    await session.close();
    if (invocation.options.flag('json')) terminal.document(answer.document);
    else terminal.result(answer.screen);
    return answer.exit;
  } catch (error) {
    await session.close().catch(() => undefined);
    throw error;
  } finally {
    forget();
  }
}

async function answerOf(context: CommandContext, invocation: Invocation): Promise<Answer> {
  const { command } = invocation;
  if (command !== undefined) return await (await command.load()).run(context);
  return await (await import('./commands/status.ts')).overview(context);
}

/** Any error as the block on standard error and, with `--json`, as the document. */
function tell(host: Host, terminal: Terminal, error: unknown): number {
  if (error instanceof Interrupted) {
    terminal.alert(['Nothing was changed.']);
    if (asksForJson(host.argv)) {
      terminal.document({ ...reportOf(error), happened: 'interrupted', done: 'nothing', exit: interrupted });
    }
    return interrupted;
  }
  const report = reportOf(error);
  terminal.alert(errorScreen(report));
  if (host.argv.includes('--debug')) terminal.alert(traceOf(error));
  if (asksForJson(host.argv)) terminal.document(report);
  return report.exit;
}

function traceOf(error: unknown): readonly string[] {
  const lines: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    lines.push(...(at.stack ?? at.message).split('\n'));
  return lines.length === 0 ? [String(error)] : lines;
}

function terminalFor(host: Host, masker: Masker): Terminal {
  const { argv, environment, stdout, stderr } = host;
  const noColour = argv.includes('--no-color');
  const plain = environment.UNSHIP_PLAIN === '1' || environment.TERM === 'dumb';
  return new Terminal({
    stdout,
    stderr,
    masker,
    colour: {
      stdout: wantsColour(stdout, environment, noColour),
      stderr: wantsColour(stderr, environment, noColour),
    },
    redraws: stderr.isTTY === true && !plain && (environment.CI ?? '') === '',
    quiet: argv.includes('--quiet') || argv.includes('-q'),
  });
}
