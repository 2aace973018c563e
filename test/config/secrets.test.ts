import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { revealSecret, secretNames, secretNamesInText, secretValues } from '../../src/config/secrets.ts';

const reference = { $secret: 'SLACK_WEBHOOK' };

test('a secret is read from the environment and does not print itself', () => {
  const secret = revealSecret(reference, { SLACK_WEBHOOK: 'canary-0001' });
  assert.equal(secret.reveal(), 'canary-0001');
  assert.doesNotMatch(`${secret} ${JSON.stringify({ secret })} ${inspect({ secret })}`, /canary/);
});

test('control 8: a missing, empty or short one is named, and its value is not told', () => {
  for (const environment of [{}, { SLACK_WEBHOOK: '' }, { SLACK_WEBHOOK: 'abcdefg' }]) {
    assert.throws(() => revealSecret(reference, environment), {
      slug: 'secret-missing',
      message: /SLACK_WEBHOOK/,
    });
  }
  assert.throws(
    () => revealSecret(reference, { SLACK_WEBHOOK: 'abcdefg' }),
    (error: Error) => !error.message.includes('abcdefg'),
  );
  assert.equal(revealSecret(reference, { SLACK_WEBHOOK: 'abcdefgh' }).reveal(), 'abcdefgh');
});

test('every reference of a definition is found, each once', () => {
  const definition = {
    a: [{ token: { $secret: 'A' } }, { $secret: 'B' }],
    b: { c: { $secret: 'A' } },
    d: null,
    e: 'secret',
  };
  assert.deepEqual(secretNames(definition), ['A', 'B']);
  assert.deepEqual(secretValues(['A', 'B', 'C'], { A: 'long-enough', B: 'short' }), ['long-enough']);
});

test('control 7: of an address the password alone is one too, as it is written and as it is meant', () => {
  const url = 'postgres://ada:correct%20horse@db.example/unship';
  assert.deepEqual(secretValues(['A'], { A: url }), [url, 'correct%20horse', 'correct horse']);
  for (const whole of [
    'postgres://ada:short@db.example/unship',
    'https://a.example/hooks/1',
    'long-enough',
  ]) {
    assert.deepEqual(secretValues(['A'], { A: whole }), [whole]);
  }
});

test('references are found in source text before it is evaluated', () => {
  const text = `slack({ webhook: secret('HOOK') }), { token: secret( "TOKEN" ) }, {"$secret": "JSON_ONE"}, notsecret('X')`;
  assert.deepEqual(secretNamesInText(text), ['HOOK', 'TOKEN', 'JSON_ONE']);
});
