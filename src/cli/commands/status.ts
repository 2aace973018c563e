import type { Application } from '../../domain/application.ts';
import type { Answer, CommandContext } from '../context.ts';
import { doctorRows, statusScreen } from '../output/status-screen.ts';
import { usage } from '../parse.ts';

const watchEveryMs = 2000;

export async function run(context: CommandContext): Promise<Answer> {
  if (context.options.flag('watch') && context.options.flag('json')) {
    throw usage('--watch has no end, and --json prints one document', 'unship status --json');
  }
  const application = await context.application();
  if (context.options.flag('watch')) return await watch(context, application);
  const document = await application.status();
  return { exit: 0, document, screen: statusScreen(document, context.host.now()) };
}

/** A bare `unship`: where things stand, and what is missing. */
export async function overview(context: CommandContext): Promise<Answer> {
  const answer = await run(context);
  const doctor = await (await context.application()).doctor();
  const missing = doctor.rows.filter((row) => row.level !== 'ok');
  const rows = missing.length === 0 ? [] : ['', ...doctorRows(missing)];
  return { ...answer, document: { ...answer.document, missing }, screen: [...answer.screen, ...rows] };
}

/** On a terminal drawn in place; elsewhere a new screen whenever something has changed. */
async function watch(context: CommandContext, application: Application): Promise<Answer> {
  const { terminal, signal, host } = context;
  let last = '';
  let document = await application.status();
  while (!signal.aborted) {
    const screen = statusScreen(document, host.now());
    const { live, surfaces, runs, holder, open } = document;
    const now = JSON.stringify({ live, surfaces, runs, holder, open });
    if (terminal.redraws) terminal.draw(screen);
    else if (now !== last) terminal.note([...screen, '']);
    last = now;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stop();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const stop = host.every(watchEveryMs, done);
      signal.addEventListener('abort', done);
    });
    document = await application.status();
  }
  return { exit: 0, document, screen: statusScreen(document, host.now()) };
}
