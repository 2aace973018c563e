import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareVersions, isVersion, parseVersion } from '../../src/domain/version.ts';

// The one that electron-updater decides by.
const updater = createRequire(createRequire(import.meta.url).resolve('electron-updater'));
const semver = updater('semver') as {
  parse(text: string): { readonly raw: string } | null;
  compare(a: string, b: string): number;
  valid(text: string): string | null;
};

const number = fc.oneof(fc.nat(3), fc.nat(), fc.constant(Number.MAX_SAFE_INTEGER));
const identifier = fc.oneof(
  fc.nat(30).map(String),
  fc.constantFrom('alpha', 'beta', 'rc', 'rc1', '1a', '-', '0-1', 'A'),
  fc.stringMatching(/^[0-9A-Za-z-]{1,6}$/),
);
const identifiers = fc.array(identifier, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('.'));
const versionText = fc
  .record({
    core: fc.tuple(number, number, number),
    pre: fc.option(identifiers),
    build: fc.option(identifiers),
  })
  .map(
    ({ core, pre, build }) =>
      `${core.join('.')}${pre === null ? '' : `-${pre}`}${build === null ? '' : `+${build}`}`,
  );

test('accepts what npm semver accepts, but for a leading v and spaces', () => {
  fc.assert(
    fc.property(fc.oneof(versionText, fc.string(), fc.stringMatching(/^[0-9.a-z+-]{1,12}$/)), (text) => {
      const lenient = /^[v=\s]|\s$/.test(text);
      assert.equal(isVersion(text), !lenient && semver.valid(text) !== null, text);
    }),
    { numRuns: 5000 },
  );
});

test('orders as npm semver does', () => {
  const valid = versionText.filter(isVersion);
  // Neighbours, so that equal prefixes come up often.
  const pair = fc.oneof(
    fc.tuple(valid, valid),
    fc
      .tuple(fc.constantFrom('1.0.0', '1.0.1'), fc.option(identifiers), fc.option(identifiers))
      .map(([core, a, b]): [string, string] => [
        a === null ? core : `${core}-${a}`,
        b === null ? core : `${core}-${b}`,
      ]),
  );
  fc.assert(
    fc.property(pair, ([a, b]) => {
      fc.pre(isVersion(a) && isVersion(b));
      assert.equal(compareVersions(a, b), semver.compare(a, b), `${a} ${b}`);
      assert.equal(compareVersions(b, a), 0 - compareVersions(a, b) + 0);
    }),
    { numRuns: 5000 },
  );
});

test('the order of the specification itself', () => {
  const ascending = [
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.0.1',
    '1.10.0',
    '2.0.0',
  ];
  assert.deepEqual([...ascending].reverse().sort(compareVersions), ascending);
});

test('what is no version is undefined, and comparing it throws', () => {
  for (const text of [
    '',
    '1',
    '1.0',
    '01.0.0',
    '1.0.0-',
    '1.0.0-01',
    'v1.0.0',
    ' 1.0.0',
    '9007199254740993.0.0',
    '1.0.0-9007199254740993',
    `1.0.0-${'a'.repeat(251)}`,
  ]) {
    assert.equal(parseVersion(text), undefined, text);
  }
  assert.throws(() => compareVersions('1.0.0', 'latest'), /RangeError: not a version: latest/);
  assert.throws(() => compareVersions('newest', '1.0.0'), /RangeError: not a version: newest/);
});
