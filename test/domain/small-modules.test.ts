import assert from 'node:assert/strict';
import { join, resolve, sep } from 'node:path';
import { describe, test } from 'node:test';
import { format, inspect } from 'node:util';
import fc from 'fast-check';
import { commandLine } from '../../src/domain/command.ts';
import { formatDuration, parseDuration } from '../../src/domain/duration.ts';
import { errorCatalogue } from '../../src/domain/error-catalogue.ts';
import { exitCodes, isUnshipError, UnshipError } from '../../src/domain/errors.ts';
import { canonicalJson, type Json } from '../../src/domain/json.ts';
import { isCommit, isSafeName, shortCommit } from '../../src/domain/names.ts';
import {
  type History,
  isQuarantined,
  isReleaseId,
  lastGoodRelease,
  liveRelease,
  type Release,
  releaseNumber,
} from '../../src/domain/release.ts';
import { isSecretReference, Secret } from '../../src/domain/secret.ts';

describe('canonical JSON', () => {
  test('is the same text whatever order the keys were written in', () => {
    assert.equal(
      canonicalJson({ b: [1, { d: null, c: 'x' }], a: true }),
      '{"a":true,"b":[1,{"c":"x","d":null}]}',
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const reversed = (item: unknown): unknown =>
          Array.isArray(item)
            ? item.map(reversed)
            : item !== null && typeof item === 'object'
              ? Object.fromEntries(
                  Object.entries(item)
                    .reverse()
                    .map(([key, inner]) => [key, reversed(inner)]),
                )
              : item;
        assert.equal(canonicalJson(reversed(value) as Json), canonicalJson(value as Json));
      }),
    );
  });

  test('says what the value is: it parses back, and different values differ', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
        assert.deepEqual(JSON.parse(canonicalJson(one as Json)), JSON.parse(JSON.stringify(one)));
        const same =
          JSON.stringify(JSON.parse(canonicalJson(one as Json))) ===
          JSON.stringify(JSON.parse(canonicalJson(other as Json)));
        assert.equal(canonicalJson(one as Json) === canonicalJson(other as Json), same);
      }),
    );
  });

  test('leaves out what is undefined, as JSON does', () => {
    assert.equal(canonicalJson({ a: undefined, b: 1 }), '{"b":1}');
    assert.equal(canonicalJson(undefined), 'null');
  });
});

describe('durations', () => {
  test('are read as people write them', () => {
    const expected = {
      '500ms': 500,
      '5s': 5000,
      '1.5s': 1500,
      '10m': 600_000,
      '1h': 3_600_000,
      '2d': 172_800_000,
      '0s': 0,
    };
    for (const [text, ms] of Object.entries(expected)) assert.equal(parseDuration(text), ms, text);
  });

  test('that are none are undefined, not 0', () => {
    for (const text of ['', '5', 's', '5 s', '-5s', '5S', '5sec', '1e3s', '٥s', '5s\n', '.5s', 'Infinitys']) {
      assert.equal(parseDuration(text), undefined, JSON.stringify(text));
    }
  });

  test('are shown in the unit that one would say', () => {
    const shown: readonly (readonly [number, string])[] = [
      [0, '0 ms'],
      [85.4, '85 ms'],
      [94, '94 ms'],
      [400, '0.4 s'],
      [7000, '7.0 s'],
      [9940, '9.9 s'],
      [9950, '10 s'],
      [119_000, '119 s'],
      [240_000, '4 min'],
      [7_200_000, '2 h'],
    ];
    for (const [ms, text] of shown) assert.equal(formatDuration(ms), text);
  });
});

describe('commands', () => {
  test('are a program and its arguments, never a shell', () => {
    assert.deepEqual(commandLine('npm  run build '), ['npm', 'run', 'build']);
    assert.deepEqual(commandLine(['echo', 'a b', '$HOME; rm']), ['echo', 'a b', '$HOME; rm']);
  });

  test('that need a shell, or are empty, are refused', () => {
    const wrong = [
      'a && b',
      'a | b',
      'a; b',
      'a > b',
      'echo $X',
      'echo `x`',
      'echo "x"',
      "echo 'x'",
      'ls *',
      'a\nb',
      '',
      ' ',
    ];
    for (const line of [...wrong, [], ['']]) {
      assert.throws(
        () => commandLine(line),
        (error: unknown) => isUnshipError(error) && error.slug === 'config-invalid',
        JSON.stringify(line),
      );
    }
  });
});

describe('names', () => {
  test('control 26: 100,000 fuzzed names stay inside the folder', () => {
    const nasty = fc.constantFrom(
      '..',
      '.',
      '/',
      '\\',
      '\0',
      'con',
      'nul.txt',
      'C:',
      '~',
      ' ',
      '\n',
      'a',
      'r41',
      '-',
      '%2e',
      '\u202e',
      'ä',
      '․․',
    );
    const name = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(nasty, { maxLength: 6 }).map((parts) => parts.join('')),
      fc.string(),
    );
    let safe = 0;
    fc.assert(
      fc.property(name, (text) => {
        if (!isSafeName(text)) return;
        safe += 1;
        const folder = resolve(sep, 'srv', 'state');
        const path = resolve(join(folder, text));
        assert.ok(path.startsWith(folder + sep), JSON.stringify(text));
        assert.equal(path, folder + sep + text, 'a name is one folder deep');
        assert.match(text, /^[\x21-\x7e]{1,100}$/);
        assert.doesNotMatch(text, /^[.-]|[/\\:]|\.$/);
      }),
      { numRuns: 100_000 },
    );
    assert.ok(safe > 1000, `only ${safe} were names`);
  });

  test('are what people call things', () => {
    for (const text of [
      'r41',
      'inner-scribe-vault',
      '1.2.0',
      'web_2',
      'A',
      'a'.repeat(100),
      'console',
      'command.txt',
    ]) {
      assert.ok(isSafeName(text), text);
    }
    for (const text of [
      '',
      '.',
      '..',
      '.hidden',
      '-n',
      'a/b',
      'a b',
      'a'.repeat(101),
      'CON',
      'nul',
      'aux.db',
      'com1',
      'LPT9.x',
      'a.',
      'r41\n',
    ]) {
      assert.ok(!isSafeName(text), JSON.stringify(text));
    }
  });

  test('of commits are full hashes', () => {
    assert.ok(isCommit('a1'.repeat(20)) && isCommit('0f'.repeat(32)));
    for (const text of ['', 'a'.repeat(39), 'A'.repeat(40), 'g'.repeat(40), `${'a'.repeat(40)}\n`, 'HEAD'])
      assert.ok(!isCommit(text));
    assert.equal(shortCommit('0123456789'.repeat(4)), '0123456');
  });
});

describe('secrets', () => {
  const value = 'xoxb-canary-0123456789';
  const secret = new Secret(value);

  test('control 8: a secret prints as *** wherever it is written', () => {
    const written = [
      String(secret),
      `${secret}`,
      `a ${secret} b`,
      JSON.stringify({ secret }),
      JSON.stringify([secret]),
      inspect(secret),
      inspect({ deep: { secret } }, { depth: 9, showHidden: true }),
      format('%s %o %O %j', secret, secret, secret, secret),
      Object.prototype.toString.call(secret),
      JSON.stringify(Object.entries(secret)),
      JSON.stringify({ ...secret }),
      JSON.stringify(Object.getOwnPropertyDescriptors(secret)),
      new Error(`failed with ${secret}`).message,
      canonicalJson({ secret: secret.toJSON() }),
    ];
    for (const text of written) assert.ok(!text.includes('canary'), text);
    assert.equal(`${secret}`, '***');
    assert.equal(JSON.stringify({ secret }), '{"secret":"***"}');
    assert.equal(inspect([secret]), '[ *** ]');
  });

  test('its value comes out only where it is asked for', () => {
    assert.equal(secret.reveal(), value);
    assert.throws(() => structuredClone({ reveal: secret.reveal }));
    assert.ok(!JSON.stringify(structuredClone(secret)).includes('canary'));
  });

  test('a reference is told from everything else', () => {
    assert.ok(isSecretReference({ $secret: 'SLACK_WEBHOOK' }));
    for (const other of [null, undefined, 'x', 7, {}, { $secret: 7 }, ['$secret']])
      assert.ok(!isSecretReference(other));
  });
});

describe('releases', () => {
  const make = (id: number, changes: Partial<Release> = {}): Release => ({
    id: `r${id}`,
    createdAt: id,
    createdBy: 'maria',
    commit: String(id).repeat(40),
    deployment: 'superseded',
    health: 'good',
    surfaces: {},
    configurationHash: '',
    ...changes,
  });
  const surface = { kind: 'web', artifact: null, label: 'r1', since: 'r1' } as const;

  test('are named r1, r2 …', () => {
    for (const text of ['r1', 'r42', 'r999999999']) assert.ok(isReleaseId(text), text);
    for (const text of ['', 'r', 'r0', 'r01', '1', 'R1', 'r-1', 'r1.5', 'r9999999999', 'r1\n', ' r1'])
      assert.ok(!isReleaseId(text), JSON.stringify(text));
    assert.equal(releaseNumber('r42'), 42);
  });

  test('last good is the newest that proved healthy, not merely the previous one', () => {
    const history: History = {
      releases: [
        make(5, { deployment: 'live', health: 'unproven' }),
        make(4, { health: 'bad' }),
        make(3),
        make(2),
      ],
      quarantine: [],
    };
    assert.equal(lastGoodRelease(history, 'r5')?.id, 'r3');
    assert.equal(lastGoodRelease(history, 'r3')?.id, 'r2');
    assert.equal(lastGoodRelease(history, 'r2'), undefined);
    assert.equal(lastGoodRelease(history)?.id, 'r3');
    assert.equal(liveRelease(history)?.id, 'r5');
  });

  test('last good is none of whose commits is quarantined, whichever surface carries it', () => {
    const bad = 'b'.repeat(40);
    const entry = { commit: bad, release: 'r3' as const, reason: 'lost entries', since: 1 };
    const history: History = {
      releases: [
        make(4, { surfaces: { web: { ...surface, commit: bad } } }),
        make(3, { commit: bad }),
        make(2, { surfaces: { web: { ...surface, commit: '' } } }),
      ],
      quarantine: [entry],
    };
    assert.equal(lastGoodRelease(history)?.id, 'r2');
    assert.equal(isQuarantined(history, bad), entry);
    const lifted = { ...history, quarantine: [{ ...entry, fixedBy: 'f'.repeat(40) }] };
    assert.equal(isQuarantined(lifted, bad), undefined);
    assert.equal(lastGoodRelease(lifted)?.id, 'r4');
  });
});

describe('errors', () => {
  test('every one says what it means, what to do next, and how the program ends', () => {
    const slugs = Object.keys(errorCatalogue);
    assert.deepEqual(
      slugs,
      [...slugs].sort((a, b) => (a < b ? -1 : 1)),
      'in alphabetical order',
    );
    for (const [slug, entry] of Object.entries(errorCatalogue)) {
      assert.match(slug, /^[a-z]+(-[a-z0-9]+)*$/);
      assert.notEqual(entry.title, '', slug);
      assert.ok(slug === 'declined' || entry.next !== '', slug);
      assert.ok(Object.values(exitCodes).includes(entry.exit) && entry.exit !== exitCodes.done, slug);
    }
  });

  test('carry slug, details and cause', () => {
    const cause = new Error('ECONNREFUSED');
    const error = new UnshipError('gateway-unreachable', { happened: 'no answer', cause });
    assert.equal(error.message, 'gateway-unreachable: no answer');
    assert.equal(error.cause, cause);
    assert.ok(isUnshipError(error) && !isUnshipError(cause));
  });
});
