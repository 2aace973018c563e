import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf } from '../../domain/errors.ts';
import { Secret } from '../../domain/secret.ts';
import { carryOut, planned } from '../carry-out.ts';
import type { Answer, CommandContext } from '../context.ts';
import { usage } from '../parse.ts';

/** A file, never the key itself: arguments can be read by every process of the machine. */
function readIdentity(file: string): Secret {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw usage(`--identity: ${messageOf(error)}`);
  }
  if (!text.includes('AGE-SECRET-KEY-')) throw usage(`--identity: ${file} holds no private key of age`);
  return new Secret(text);
}

export async function run(context: CommandContext): Promise<Answer> {
  const backup = context.arguments[0] ?? '';
  const application = await context.application();
  const file = context.options.text('identity');
  const identity = file === undefined ? {} : { identity: readIdentity(resolve(context.cwd, file)) };
  const plan = planned(await application.planRestore({ backup, ...identity }));
  return await carryOut(context, application, plan, `Restore ${backup}?`);
}
