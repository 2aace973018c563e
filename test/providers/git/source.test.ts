import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { UnshipError } from '../../../src/domain/errors.ts';
import { createSource, findWorkTree } from '../../../src/providers/git/index.ts';
import type { Source } from '../../../src/surfaces/source.port.ts';
import { hostileRefs } from './hostile-refs.ts';

describe('git source', () => {
  const base = mkdtempSync(join(tmpdir(), 'unship-git-'));
  const root = join(base, 'checkout');
  const never = new AbortController().signal;
  let source: Source;
  let first: string;
  let second: string;

  before(() => {
    mkdirSync(root);
    git('init', '--quiet', '--initial-branch=main');
    write('package.json', '{}');
    write('migrations/0002_b.sql', 'b');
    write('migrations/0001_ä.sql', 'a');
    write('migrations/old/0000.sql', 'x');
    write('run.sh', '#!/bin/sh\n');
    chmodSync(join(root, 'run.sh'), 0o755);
    symlinkSync('package.json', join(root, 'link'));
    first = commit('The first\n\nand more text');
    write('package.json', '{"version":"2.0.0"}');
    write('windows.txt', 'a\r\nb\r\n');
    write('.gitattributes', '*.txt text eol=lf\n');
    second = commit('The second');
    git('tag', 'v2');
    git('branch', 'feature/#12-x');
    source = createSource(root);
  });
  after(() => rmSync(base, { recursive: true, force: true }));

  function git(...args: string[]): string {
    return execFileSync('git', ['-C', root, ...args], {
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'ignore'],
    });
  }

  function write(path: string, text: string): void {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }

  function commit(message: string): string {
    git('add', '--all');
    git('-c', 'user.name=T', '-c', 'user.email=t@example.org', 'commit', '--quiet', '-m', message);
    return git('rev-parse', 'HEAD').trim();
  }

  it('control 6: finds a line at the end of any message that a commit brings, and nowhere else', async () => {
    const after = (parent: string, message: string): string =>
      git(
        '-c',
        'user.name=T',
        '-c',
        'user.email=t@example.org',
        'commit-tree',
        `${second}^{tree}`,
        '-p',
        parent,
        '-m',
        message,
      ).trim();
    const fix = after(second, 'Close it\n\nIt was open.\n\nReviewed-by: B\nsecurity-Fix: entries');
    const above = after(fix, 'Go on');
    const spoken = after(second, 'Security-fix: as a subject\n\nSecurity-fix: in the middle\n\nThe end.');
    const answers = [];
    for (const [commit, since] of [
      [fix, second],
      [above, second],
      [above, ''],
      [fix, '0'.repeat(40)],
      [above, fix],
      [second, above],
      [spoken, second],
    ] as const) {
      answers.push(await source.hasTrailer(commit, since, 'Security-fix'));
    }
    assert.deepEqual(answers, [true, true, false, true, false, false, false]);
    await assert.rejects(source.hasTrailer('1'.repeat(40), second, 'Security-fix'), { slug: 'commit-gone' });
  });

  it('resolves branches, tags, steps back and abbreviations to full hashes', async () => {
    for (const ref of [
      'main',
      'HEAD',
      'v2',
      'feature/#12-x',
      'refs/heads/main',
      second,
      second.slice(0, 8),
    ]) {
      assert.equal(await source.resolve(ref), second, ref);
    }
    for (const ref of ['HEAD~1', 'main^', 'v2~']) assert.equal(await source.resolve(ref), first, ref);
  });

  it('tells which commits are there', async () => {
    assert.deepEqual(await Promise.all([first, 'f'.repeat(40), 'main'].map((name) => source.has(name))), [
      true,
      false,
      false,
    ]);
  });

  it('reads, lists and compares at a commit, not in the work tree', async () => {
    write('package.json', 'edited');
    assert.equal(await source.read(first, 'package.json'), '{}');
    assert.equal(await source.read(second, './package.json'), '{"version":"2.0.0"}');
    assert.equal(await source.read(first, 'missing'), null);
    assert.equal(await source.read(first, 'migrations'), null);
    assert.deepEqual(await source.list(first, 'migrations'), ['0001_ä.sql', '0002_b.sql']);
    assert.deepEqual(await source.list(first, 'migrations/'), ['0001_ä.sql', '0002_b.sql']);
    assert.deepEqual(await source.list(first, '.'), ['package.json', 'run.sh']);
    assert.deepEqual(await source.list(first, 'missing'), []);
    assert.equal(await source.objectAt(first, 'migrations'), await source.objectAt(second, 'migrations'));
    assert.notEqual(
      await source.objectAt(first, 'package.json'),
      await source.objectAt(second, 'package.json'),
    );
    assert.notEqual(await source.objectAt(first, '.'), await source.objectAt(second, '.'));
    assert.equal(await source.objectAt(first, 'missing'), null);
    assert.equal(await source.subject(first), 'The first');
    git('checkout', '--quiet', '--', 'package.json');
  });

  it('knows ancestors', async () => {
    assert.equal(await source.contains(second, first), true);
    assert.equal(await source.contains(first, first), true);
    assert.equal(await source.contains(first, second), false);
  });

  it('says that a commit is gone', async () => {
    const gone = 'e'.repeat(40);
    const calls = [
      () => source.read(gone, 'a'),
      () => source.list(gone, 'a'),
      () => source.objectAt(gone, 'a'),
      () => source.contains(first, gone),
      () => source.subject(gone),
      () => source.checkout(gone, join(base, 'gone'), never),
    ];
    for (const call of calls) await assert.rejects(call(), slug('commit-gone'));
    assert.equal(existsSync(join(base, 'gone')), false);
  });

  it('writes a commit out byte for byte: modes, links, no conversion, no edits of the work tree', async () => {
    write('package.json', 'edited');
    const folder = join(base, 'out');
    await source.checkout(second, folder, never);
    assert.deepEqual(readdirSync(folder).sort(), [
      '.gitattributes',
      'link',
      'migrations',
      'package.json',
      'run.sh',
      'windows.txt',
    ]);
    assert.equal(readFileSync(join(folder, 'package.json'), 'utf8'), '{"version":"2.0.0"}');
    assert.equal(readFileSync(join(folder, 'migrations/old/0000.sql'), 'utf8'), 'x');
    assert.equal(lstatSync(join(folder, 'run.sh')).mode & 0o100, 0o100);
    assert.equal(lstatSync(join(folder, 'package.json')).mode & 0o100, 0);
    assert.equal(readlinkSync(join(folder, 'link')), 'package.json');
    git('checkout', '--quiet', '--', 'package.json');
    await assert.rejects(source.checkout(second, folder, never), 'never over what is there');
    assert.equal(readFileSync(join(folder, 'run.sh'), 'utf8'), '#!/bin/sh\n');
  });

  it('leaves nothing when it is told to stop', async () => {
    const folder = join(base, 'stopped');
    await assert.rejects(source.checkout(second, folder, AbortSignal.abort(new Error('stop'))), /stop/);
    assert.equal(existsSync(folder), false);
  });

  it('control 3: runs no hook, filter, monitor, or text conversion', async () => {
    const canary = join(base, 'canary');
    const touch = `touch ${canary}`;
    git('config', 'filter.evil.smudge', `sh -c '${touch}; cat'`);
    git('config', 'filter.evil.clean', `sh -c '${touch}; cat'`);
    git('config', 'filter.evil.process', touch);
    git('config', 'diff.evil.textconv', touch);
    git('config', 'core.fsmonitor', touch);
    git('config', 'core.sshCommand', touch);
    git('config', 'gpg.program', touch);
    git('config', 'log.showSignature', 'true');
    git('config', 'core.pager', touch);
    for (const hook of ['post-checkout', 'post-index-change', 'reference-transaction', 'pre-commit']) {
      writeFileSync(join(root, '.git/hooks', hook), `#!/bin/sh\n${touch}\n`, { mode: 0o755 });
    }
    // Made with the plumbing, so that making it runs nothing either.
    const attributes = hashObject('*.md filter=evil diff=evil\n');
    const readme = hashObject('hello');
    const tree = mktree(`100644 blob ${attributes}\t.gitattributes\n100644 blob ${readme}\tREADME.md\n`);
    const hostile = commitTree(tree);
    const folder = join(base, 'filtered');
    rmSync(canary, { force: true });
    await source.checkout(hostile, folder, never);
    await source.resolve('main');
    await source.subject(hostile);
    await source.list(hostile, '.');
    await source.contains(second, first);
    assert.equal(readFileSync(join(folder, 'README.md'), 'utf8'), 'hello');
    assert.equal(existsSync(canary), false);
  });

  it('refuses a commit whose files are kept outside git', async () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n';
    const attributes = hashObject('*.bin filter=lfs diff=lfs merge=lfs -text\n');
    const blob = hashObject(pointer);
    const kept = commitTree(
      mktree(`100644 blob ${attributes}\t.gitattributes\n100644 blob ${blob}\tbig.bin\n`),
    );
    await assert.rejects(source.checkout(kept, join(base, 'lfs'), never), slug('source-filtered'));
    assert.equal(existsSync(join(base, 'lfs')), false);
    const about = commitTree(mktree(`100644 blob ${blob}\tfixture.txt\n`));
    await source.checkout(about, join(base, 'about'), never);
    assert.equal(readFileSync(join(base, 'about/fixture.txt'), 'utf8'), pointer);
  });

  it('refuses trees that would write outside the folder or through a link', async () => {
    const blob = hashObject('owned');
    const link = hashObject(base);
    const inner = mktree(`100644 blob ${blob}\tpwned\n`);
    const trees = [
      rawTree([['40000', '..', inner]]),
      rawTree([['100644', '..', blob]]),
      rawTree([['40000', '.git', inner]]),
      rawTree([['40000', '.GIT', inner]]),
      rawTree([
        ['120000', 'a', link],
        ['40000', 'a', inner],
      ]),
      rawTree([
        ['100644', 'a', blob],
        ['100644', 'a', blob],
      ]),
    ];
    for (const tree of trees) {
      const folder = join(base, 'hostile');
      await assert.rejects(source.checkout(commitTree(tree), folder, never), slug('git-failed'));
      assert.equal(existsSync(folder), false);
      assert.equal(existsSync(join(base, 'pwned')), false);
    }
  });

  it('control 3: hostile refs and addresses run nothing and are refused', async () => {
    const refs = hostileRefs(join(base, 'owned'));
    assert.ok(refs.length >= 40, `${refs.length}`);
    for (const ref of refs) {
      await assert.rejects(source.resolve(ref), slug('commit-gone'), JSON.stringify(ref));
      assert.equal(await source.has(ref), false, JSON.stringify(ref));
      await assert.rejects(source.read(ref, 'package.json'), JSON.stringify(ref));
      await assert.rejects(source.checkout(ref, join(base, 'ref'), never), JSON.stringify(ref));
    }
    for (const path of ['../checkout/package.json', '/etc/passwd', 'a\0b', 'migrations/../../x']) {
      await assert.rejects(source.read(first, path), slug('git-failed'));
    }
    assert.equal(existsSync(join(base, 'owned')), false);
    assert.equal(existsSync(join(root, 'owned')), false);
  });

  it("takes no word from the caller's GIT_ variables", async () => {
    process.env.GIT_DIR = join(base, 'elsewhere');
    try {
      assert.equal(await source.resolve('main'), second);
    } finally {
      delete process.env.GIT_DIR;
    }
  });

  it('finds the top of the work tree, and says when there is none', async () => {
    assert.equal(await findWorkTree(join(root, 'migrations')), await findWorkTree(root));
    await assert.rejects(findWorkTree(base), slug('git-failed'));
    await assert.rejects(createSource(base).resolve('main'), slug('git-failed'));
  });

  function hashObject(content: string | Buffer, type = 'blob'): string {
    const args = ['-C', root, 'hash-object', '-w', '--stdin', '--literally', '-t', type];
    return execFileSync('git', args, { input: content, encoding: 'utf8' }).trim();
  }

  function mktree(text: string): string {
    return execFileSync('git', ['-C', root, 'mktree'], { input: text, encoding: 'utf8' }).trim();
  }

  /** A tree that git's own commands refuse to make. */
  function rawTree(entries: readonly (readonly [string, string, string])[]): string {
    const parts = entries.map(([mode, name, hash]) =>
      Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(hash, 'hex')]),
    );
    return hashObject(Buffer.concat(parts), 'tree');
  }

  function commitTree(tree: string): string {
    return git(
      '-c',
      'user.name=T',
      '-c',
      'user.email=t@example.org',
      'commit-tree',
      tree,
      '-m',
      'made by hand',
    ).trim();
  }
});

function slug(wanted: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof UnshipError, String(error));
    assert.equal(error.slug, wanted, error.message);
    return true;
  };
}
