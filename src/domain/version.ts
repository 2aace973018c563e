/** A version by semver 2.0.0, strictly: no `v`, no spaces. Build metadata has no precedence and is dropped. */
export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** Dot-separated identifiers; numeric ones as numbers, because they compare by value. Empty for a release. */
  readonly prerelease: readonly (string | number)[];
}

const number = '(?:0|[1-9][0-9]*)';
const identifier = `(?:${number}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)`;
const versionRule = new RegExp(
  `^(${number})\\.(${number})\\.(${number})(?:-(${identifier}(?:\\.${identifier})*))?(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?$`,
);

/** Longer texts are no versions, for npm's `semver` neither: clients could not read them. */
const longest = 256;

/** Undefined when the text is no version, or one of its numbers is beyond what compares exactly. */
export function parseVersion(text: string): Version | undefined {
  const match = text.length > longest ? null : versionRule.exec(text);
  if (match === null) return undefined;
  const [major, minor, patch] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (![major, minor, patch].every(Number.isSafeInteger)) return undefined;
  const prerelease = (match[4]?.split('.') ?? []).map((part) =>
    /^[0-9]+$/.test(part) ? Number(part) : part,
  );
  if (prerelease.some((part) => typeof part === 'number' && !Number.isSafeInteger(part))) return undefined;
  return { major, minor, patch, prerelease };
}

export function isVersion(text: string): boolean {
  return parseVersion(text) !== undefined;
}

function compareIdentifiers(a: string | number, b: string | number): number {
  // Numeric identifiers stand below alphanumeric ones.
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function comparePrereleases(a: Version['prerelease'], b: Version['prerelease']): number {
  // A prerelease stands below its release.
  if (a.length === 0 || b.length === 0) return Math.sign(b.length - a.length);
  for (const [index, left] of a.entries()) {
    const right = b[index];
    if (right === undefined) return 1;
    const order = compareIdentifiers(left, right);
    if (order !== 0) return order;
  }
  return Math.sign(a.length - b.length);
}

/** Negative when `a` comes before `b`, 0 when neither does. Both must be versions; throws a RangeError if not. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parseVersion(a), parseVersion(b)];
  if (left === undefined || right === undefined) {
    throw new RangeError(`not a version: ${left === undefined ? a : b}`);
  }
  return (
    Math.sign(left.major - right.major) ||
    Math.sign(left.minor - right.minor) ||
    Math.sign(left.patch - right.patch) ||
    comparePrereleases(left.prerelease, right.prerelease)
  );
}
