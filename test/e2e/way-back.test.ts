import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { DoctorReport, StatusReport } from '../../src/domain/report.ts';
import { buildProgram, type Program } from '../support/program.ts';
import type { World } from '../support/world.ts';
import { flat, given, givenGoodRelease, givenTwoReleases, requireExit, untilStep } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

const slack = { provider: 'slack', options: { webhook: { $secret: 'TEAM_HOOK' } } };

/** What status and doctor tell of the way back, which must be the same. */
async function told(world: World): Promise<{ readonly status: StatusReport; readonly doctor: DoctorReport }> {
  const [status, doctor] = [await world.run(['status', '--json']), await world.run(['doctor', '--json'])];
  const documents = {
    status: JSON.parse(status.stdout) as StatusReport,
    doctor: JSON.parse(doctor.stdout) as DoctorReport,
  };
  assert.equal(documents.doctor.noWayBack.length === 0, documents.status.wayBack !== null);
  assert.equal(doctor.exit, documents.status.wayBack === null ? 3 : 0, doctor.stdout);
  return documents;
}

describe('the way back, as it is told', { concurrency: 2 }, () => {
  it('is the same for status and doctor: with one release, with two, and after a rollback', async (context) => {
    const { world } = await givenGoodRelease(context, program);
    const alone = await told(world);
    assert.equal(alone.status.wayBack, null);
    assert.deepEqual(alone.doctor.noWayBack, ['web']);
    const text = flat(await world.run(['doctor']));
    assert.match(text, /No way back for 1 of 1 surface\. .*r1 is the first release/);
    assert.doesNotMatch(text, /rollback rN/);
    const refused = await world.run(['plan']);
    requireExit(refused, 3, 'no-target');
    assert.match(flat(refused), /r1 is the first release: there is nothing to go back to yet/);
    assert.doesNotMatch(flat(refused), /rollback rN/);

    for (const version of ['v2', 'v3']) {
      await world.commit({ version, column: 'mood' });
      await world.expect(0, ['release', '--yes']);
    }
    assert.equal((await told(world)).status.wayBack?.to, 'r2');

    await world.expect(0, ['rollback', '--yes']);
    const further = await told(world);
    assert.deepEqual([further.status.wayBack?.from, further.status.wayBack?.to], ['r2', 'r1']);
    assert.equal(further.status.next.command, 'unship plan r1');
    assert.match(flat(await world.run(['doctor'])), /ok way back r1, about .* unship rollback r1/);

    await world.expect(0, ['rollback', 'r1', '--yes']);
    const end = await told(world);
    assert.equal(end.status.wayBack, null);
    assert.deepEqual(end.doctor.noWayBack, ['web']);
  });

  it('leads from the release that was killed half-way, not from the live one to itself', async (context) => {
    const { world } = await givenGoodRelease(context, program);
    const slow = world.webSurface(world.port, { build: ['sleep', '60'] });
    world.configure({ production: world.environment('web', { surfaces: { web: slow } }) });
    await world.commit({ version: 'v2', column: 'mood' });
    const release = world.start(['release', '--yes']);
    await untilStep(world, 2, 'web.stage', 'applying');
    release.child.kill('SIGKILL');
    await release.ended;
    const { status, doctor } = await told(world);
    assert.equal(status.live?.release, 'r1');
    assert.deepEqual([status.wayBack?.from, status.wayBack?.to], ['r2', 'r1']);
    assert.match(flat(await world.run(['status'])), /r1 good, live .* r2 got half-way; way back from it: r1/);
    assert.match(
      doctor.rows.find(({ subject }) => subject === 'way back')?.text ?? '',
      /^from r2, which got half-way, to r1/,
    );
  });
});

describe('a secret that is not there', { concurrency: 2 }, () => {
  it('is told by doctor, config and release before anybody needs it', async (context) => {
    const { world } = await givenTwoReleases(context, program, {
      environment: { notifications: { team: [slack] } },
    });
    const doctor = await world.run(['doctor']);
    requireExit(doctor, 0);
    assert.match(flat(doctor), /warn secret the environment variable TEAM_HOOK is not set/);
    assert.match(flat(await world.run([])), /TEAM_HOOK is not set/);
    const config = await world.run(['config']);
    requireExit(config, 2);
    assert.match(config.stdout, /^FAIL {2}the environment variable TEAM_HOOK is not set$/m);
    await world.commit({ version: 'v3', column: 'mood' });
    const release = await world.run(['release', '--yes']);
    requireExit(release, 0);
    const warned = release.stderr.indexOf('TEAM_HOOK is not set');
    assert.ok(warned >= 0 && warned < release.stderr.indexOf('Run 3.'), release.stderr);

    const variables = { TEAM_HOOK: 'https://127.0.0.1:9/a-hook-of-the-team' };
    requireExit(await world.run(['config'], variables), 0);
    assert.doesNotMatch(flat(await world.run(['doctor'], variables)), /TEAM_HOOK/);
  });

  it('that is cut off is told as well', async (context) => {
    const world = await given(context, program, { environment: { notifications: { team: [slack] } } });
    await world.commit({ version: 'v1', column: 'mood' });
    const config = await world.run(['config'], { TEAM_HOOK: 'https:/' });
    requireExit(config, 2);
    assert.match(config.stdout, /^FAIL {2}TEAM_HOOK has 7 characters; a secret has at least 8$/m);
  });
});
