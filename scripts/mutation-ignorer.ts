/**
 * What is not broken: sentences. A test that notices a word gone from a sentence says the sentence again, and proves
 * nothing; whether each error says what is to be said, tests of the catalogue ask. A string without a space is a
 * status, an id or an action, and is broken like any other code.
 */
interface Node {
  readonly type: string;
  readonly value?: unknown;
  readonly quasis?: readonly { readonly value: { readonly raw: string } }[];
  readonly expressions?: readonly Node[];
}

function isSentence({ type, value, quasis, expressions }: Node): boolean {
  if (type === 'StringLiteral') return typeof value === 'string' && /\s/.test(value);
  if (type !== 'TemplateLiteral') return false;
  // Leaving a template out leaves out what it computes as well: only where that is nothing but names.
  const computes = expressions?.some((inner) => !['Identifier', 'MemberExpression'].includes(inner.type));
  return computes === false && quasis?.some((part) => /\s/.test(part.value.raw)) === true;
}

export const strykerPlugins: readonly unknown[] = [
  {
    kind: 'Ignore',
    name: 'sentences',
    value: {
      shouldIgnore: ({ node }: { readonly node: Node }): string | undefined =>
        isSentence(node) ? 'a sentence for a person' : undefined,
    },
  },
];
