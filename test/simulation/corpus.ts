/**
 * Seeds in which something was found to be wrong, with what it was. They are tried first, every time. A change of the
 * story or of the kinds of fault gives all seeds another meaning; what was found then needs a test of its own, so
 * each of these has one too.
 */
export const corpus: readonly { readonly seed: number; readonly found: string }[] = [];
