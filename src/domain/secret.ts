/**
 * A secret by reference: the configuration holds the name of an environment variable, never the value. It
 * prints as `***` wherever it is written; the value exists only between `reveal` and the request that needs it.
 */
export interface SecretReference {
  readonly $secret: string;
}

export function isSecretReference(value: unknown): value is SecretReference {
  return (
    typeof value === 'object' && value !== null && typeof (value as SecretReference).$secret === 'string'
  );
}

/** A revealed value that does not print itself: string, JSON, template and inspection all give `***`. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
    // What console.log and util.inspect ask for; a computed member would need this symbol declared as a type.
    Object.defineProperty(this, Symbol.for('nodejs.util.inspect.custom'), { value: () => '***' });
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '***';
  }

  toJSON(): string {
    return '***';
  }

  get [Symbol.toStringTag](): string {
    return '***';
  }
}

/**
 * Passes a text on that comes in pieces, without the values of the secrets, also where the border between two pieces
 * cuts one. `flush` passes on what was held back.
 */
export type MaskInto = (write: (text: string) => void) => { write(text: string): void; flush(): void };

/** Where in a text the values of secrets stand, however they are written: from, and up to, not including. */
export type SecretsIn = (text: string) => readonly (readonly [from: number, to: number])[];
