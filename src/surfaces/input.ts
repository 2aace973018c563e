import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import { isReleaseId, type ReleaseId } from '../domain/release.ts';

/**
 * Reads a step's input, which comes out of a journal that an older or damaged program may have written: a
 * field of the wrong shape ends the step with `journal-corrupt`, never with a guess.
 */
export class Input {
  readonly #value: { readonly [key: string]: Json | undefined };

  constructor(value: Json) {
    this.#value =
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? (value as { readonly [key: string]: Json | undefined })
        : {};
  }

  #wrong(key: string, wanted: string): UnshipError {
    return new UnshipError('journal-corrupt', { happened: `a step's input has no ${wanted} \`${key}\`` });
  }

  text(key: string): string {
    const value = this.#value[key];
    if (typeof value !== 'string') throw this.#wrong(key, 'text');
    return value;
  }

  optionalText(key: string): string | null {
    const value = this.#value[key];
    return typeof value === 'string' ? value : null;
  }

  number(key: string): number {
    const value = this.#value[key];
    if (typeof value !== 'number') throw this.#wrong(key, 'number');
    return value;
  }

  flag(key: string): boolean {
    return this.#value[key] === true;
  }

  texts(key: string): readonly string[] {
    const value = this.#value[key];
    if (!Array.isArray(value)) throw this.#wrong(key, 'list');
    return value.filter((item) => typeof item === 'string');
  }

  release(key: string): ReleaseId {
    const value = this.text(key);
    if (!isReleaseId(value)) throw this.#wrong(key, 'release');
    return value;
  }

  json(key: string): Json {
    return this.#value[key] ?? null;
  }

  /** A nested input; null when it isn't there. */
  inner(key: string): Input | null {
    const value = this.#value[key];
    return value === undefined || value === null ? null : new Input(value);
  }
}
