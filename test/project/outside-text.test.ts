import assert from 'node:assert/strict';
import { test } from 'node:test';
import markdownIt from 'markdown-it';
import { escapeMarkdown } from '../../src/incident/post-mortem/markdown.ts';
import { parseFeed } from '../../src/providers/feed/yml.ts';

const payloads: readonly string[] = [
  ...[
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '<!-- gone',
    '<a href="//x.example">y</a>',
  ],
  ...['</td><td>', '<details open>', '<![CDATA[x', '<?php x', '&lt;b&gt;', '&#60;b&#62;', '&nbsp;&copy;'],
  ...['[a](https://x.example)', '![a](https://x.example/i.png)', '[a][b]', '[b]: https://x.example', '[^1]'],
  ...[
    '<https://x.example>',
    'https://x.example',
    'http://x.example/?a=b',
    'www.x.example',
    'ftp://x.example',
  ],
  ...['mailto:a@x.example', 'a@x.example', '<a@x.example>', '[a](javascript:alert(1))', '[a](<x y>)'],
  ...['# heading', '###### heading', 'heading\n===', 'heading\n---', '\n\n# heading', '\r# heading'],
  ...[
    '- item',
    '* item',
    '+ item',
    '1. item',
    '1) item',
    '> quote',
    '    code',
    '\tcode',
    '```\ncode',
    '~~~',
  ],
  ...[
    '`code`',
    '``a`b``',
    '*a*',
    '**a**',
    '_a_',
    '__a__',
    '~~a~~',
    '***',
    '---',
    '___',
    '| a | b |\n|---|---|',
  ],
  ...['\\[a](https://x.example)', '\\<b>', 'a  \nb', 'a\\\nb', '\u2028# heading', '\u0000<b>', '\u202e<b>'],
];

const shown = new Set(['text', 'text_special', 'softbreak']);

test('control 20: a Markdown parser reads 60 payloads as text and nothing else', () => {
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
