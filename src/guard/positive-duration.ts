import { parseDuration } from '../domain/duration.ts';
import { UnshipError } from '../domain/errors.ts';

/** Milliseconds of a duration of the configuration, `what` being its name there. Throws `config-invalid`. */
export function positiveDuration(what: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0) return ms;
  throw new UnshipError('config-invalid', {
    happened: `${what} is \`${text}\`, which is no duration above 0`,
    next: 'write it like 500ms, 5s, 10m or 1h',
  });
}
