import assert from 'node:assert/strict';
import { test } from 'node:test';
import markdownIt from 'markdown-it';
import { Masker } from '../../src/cli/output/mask.ts';
import { Terminal } from '../../src/cli/output/terminal.ts';
import { escapeMarkdown } from '../../src/incident/post-mortem/markdown.ts';
import { parseFeed } from '../../src/providers/feed/yml.ts';
import { escapeSlack, slackPayload } from '../../src/providers/slack/payload.ts';
import { payloads } from '../support/payloads.ts';

const shown = new Set(['text', 'text_special', 'softbreak']);

test('control 20: a Markdown parser reads more than 60 payloads as text and nothing else', () => {
  assert.ok(payloads.length >= 60, `${payloads.length}`);
  const parser = markdownIt({ html: true, linkify: true });
  for (const payload of payloads) {
    const blocks = parser.parse(`x ${escapeMarkdown(payload)}`, {});
    const own = ['paragraph_open', 'inline', 'paragraph_close'];
    assert.deepEqual(
      blocks.map(({ type }) => type),
      own,
      payload,
    );
    const alone = parser.parse(escapeMarkdown(payload), {});
    assert.ok(alone.length === 0 || alone.map(({ type }) => type).join() === own.join(), payload);
    for (const { type } of [...blocks, ...alone].flatMap(({ children }) => children ?? [])) {
      assert.ok(shown.has(type), `${type} of ${JSON.stringify(payload)}`);
    }
  }
});

/** What a terminal acts upon: ECMA-48's controls, and the marks of Unicode that reorder or hide. */
const acting = /[^\P{Cc}\n]|\p{Cf}|[\u2028\u2029]/u;

test('control 20: a terminal shows the same payloads, and acts upon none of them', () => {
  for (const payload of payloads) {
    const lines = { result: 0, alert: 0 };
    let out = '';
    const stream = { isTTY: true, columns: 80, write: (piece: string) => (out += piece) };
    const terminal = new Terminal({
      stdout: stream,
      stderr: stream,
      masker: new Masker(),
      colour: { stdout: false, stderr: false },
      redraws: false,
      quiet: false,
    });
    terminal.result([`x ${payload}`]);
    lines.result = out.split('\n').length;
    terminal.alert([`x ${payload}`]);
    lines.alert = out.split('\n').length - lines.result;
    terminal.question(`x ${payload}`);
    // One element is one line: none of ours can be forged.
    assert.deepEqual(lines, { result: 2, alert: 1 }, JSON.stringify(payload));
    assert.doesNotMatch(out, acting, JSON.stringify(payload));
    const words = payload.match(/[A-Za-z]{4,}/g) ?? [];
    for (const word of words) assert.ok(out.includes(word), `${word} of ${JSON.stringify(payload)} is shown`);
  }
});

test('control 20: Slack reads the same payloads as text: no element, no mention, no line', () => {
  for (const payload of payloads) {
    const escaped = escapeSlack(payload);
    // Slack's own grammar: `<…>` is an element, `&` begins one of three entities, a break is a line.
    assert.doesNotMatch(escaped, /[<>\n\r]|&(?!(?:amp|lt|gt);)/, JSON.stringify(payload));
    assert.doesNotMatch(escaped.replaceAll('\u2060', ''), acting, JSON.stringify(payload));
    assert.doesNotMatch(escaped, /@[\p{L}\p{N}]/u, JSON.stringify(payload));
    const shown = escaped.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
    for (const word of payload.match(/[A-Za-z]{4,}/g) ?? []) assert.ok(shown.includes(word), word);
    const { text, mrkdwn, blocks } = slackPayload({ audience: 'team', title: payload, lines: [payload] });
    assert.equal(mrkdwn, false);
    assert.ok(text.split('\n').length <= 2, 'title and one line');
    for (const block of blocks) assert.deepEqual([block.text.type, block.text.emoji], ['plain_text', false]);
    assert.doesNotMatch(JSON.stringify(blocks), /[<>]/);
  }
});

test('control 13: payloads in a feed reach no prototype', async () => {
  for (const key of ['__proto__', 'constructor', 'prototype']) {
    const value = key === 'constructor' ? '{ prototype: { polluted: true } }' : '{ polluted: true }';
    const files = 'files:\n  - url: a.AppImage\n    sha512: YWJj\n    size: 1\n';
    for (const text of [
      `version: 1.0.0\n${files}${key}: ${value}\n`,
      `${key}: ${value}\nversion: 1.0.0\n`,
      `version: ${value}\n`,
      `version: 1.0.0\nfiles:\n  - ${key}: ${value}\n`,
      `a: &a { ${key}: ${value} }\n<<: *a\nversion: 1.0.0\n`,
    ]) {
      // Refused or read: neither may leave a trace.
      await parseFeed(text).catch((error: unknown) => assert.ok(error instanceof Error));
      assert.equal(({} as { polluted?: unknown }).polluted, undefined, text);
    }
  }
});
