import { UnshipError } from '../domain/errors.ts';
import type { Parts } from './parts.ts';

/** Databases that the application can't be pointed away from: on a copy it would open, and write to, the live one. */
export function databasesWithoutVariable({ databases, webs, definition }: Parts): readonly string[] {
  if (webs.size === 0) return [];
  return [...databases.keys()].filter((surface) => {
    const options = definition.surfaces[surface]?.options as { readonly environment?: unknown } | undefined;
    return options?.environment === undefined;
  });
}

export function wouldOpenLive(surface: string, provider: string): UnshipError {
  return new UnshipError('rehearsal-failed', {
    happened: `${surface} does not say which variable tells the application where its database is, so on the copy it would open the live one`,
    done: 'nothing was started',
    next: `name it: ${surface}: ${provider}({ …, environment: 'NAME' }); or give up rehearsing with rehearsal: 'off'`,
  });
}
