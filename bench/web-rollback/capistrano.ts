import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Cleanup } from '../support/cleanup.ts';
import { buildApplication, copyApplication, makeRepository } from '../support/fixture.ts';
import { untilServed } from '../support/http.ts';
import { debianProgram } from '../support/install.ts';
import { commandLine, endProcess, freePort, launch, run, runWell, until } from '../support/processes.ts';
import type { Contender } from './contender.ts';
import { restartCommand } from './restart-command.ts';

/** Named as Capistrano names them: by time. */
const releases = { good: '20260101120000', bad: '20260102120000' } as const;

export const capistrano: Contender = {
  name: 'capistrano',
  what: 'Capistrano 3 (Debian), `cap production deploy:rollback` over ssh to this machine: the `current` link is turned back and the process restarted; the previous release is on disk, built',
  prepare: async (cleanup) => {
    const program = await debianProgram('cap', 'capistrano');
    const folder = cleanup.folder();
    const sshd = await startSshd(folder, cleanup);
    const root = join(folder, 'deployed');
    const current = join(root, 'current');
    const port = await freePort();
    const repository = join(folder, 'repository');
    await makeRepository(repository);
    const place = async (release: 'good' | 'bad'): Promise<void> => {
      const target = join(root, 'releases', releases[release]);
      rmSync(target, { recursive: true, force: true });
      copyApplication(target, release);
      await buildApplication(target);
    };
    mkdirSync(join(root, 'releases'), { recursive: true });
    await place('good');
    const restart = restartCommand(folder, current, port, cleanup);
    const project = join(folder, 'project');
    writeProject(project, {
      repository,
      root,
      port: sshd.port,
      key: sshd.key,
      restart: commandLine(restart),
    });
    return {
      port,
      release: async () => {
        // Its rollback has packed the bad release away.
        await place('bad');
        symlinkSync(join(root, 'releases', releases.bad), `${current}.new`);
        renameSync(`${current}.new`, current);
        await runWell(restart);
        await untilServed(port, 'bad');
      },
      rollback: [{ program, arguments: ['production', 'deploy:rollback'], cwd: project }],
    };
  },
};

interface Project {
  readonly repository: string;
  readonly root: string;
  readonly port: number;
  readonly key: string;
  readonly restart: string;
}

function writeProject(folder: string, { repository, root, port, key, restart }: Project): void {
  mkdirSync(join(folder, 'config', 'deploy'), { recursive: true });
  writeFileSync(
    join(folder, 'Capfile'),
    `require 'capistrano/setup'
require 'capistrano/deploy'
require 'capistrano/scm/git'
install_plugin Capistrano::SCM::Git
`,
  );
  writeFileSync(
    join(folder, 'config', 'deploy.rb'),
    `set :application, 'bench-app'
set :repo_url, '${repository}'
set :branch, 'main'
set :deploy_to, '${root}'
set :tmp_dir, '${root}/tmp'
namespace :deploy do
  task :restart do
    on roles(:app) do
      execute '${restart}'
    end
  end
  after :publishing, :restart
end
`,
  );
  writeFileSync(
    join(folder, 'config', 'deploy', 'production.rb'),
    `server '127.0.0.1', user: '${userInfo().username}', roles: %w{app}, ssh_options: {
  port: ${port}, keys: ['${key}'], keys_only: true, auth_methods: ['publickey'], config: false,
  verify_host_key: :never
}
`,
  );
}

/** A daemon of its own with throw-away keys, on the loopback only. */
async function startSshd(folder: string, cleanup: Cleanup): Promise<{ port: number; key: string }> {
  const program = await debianProgram('sshd', 'openssh-server');
  const keygen = await debianProgram('ssh-keygen', 'openssh-client');
  const port = await freePort();
  const [host, key] = [join(folder, 'host-key'), join(folder, 'user-key')];
  for (const file of [host, key]) {
    await runWell({ program: keygen, arguments: ['-q', '-t', 'ed25519', '-N', '', '-f', file] });
  }
  // Debian's daemon wants its empty folder also when it is not started as a service.
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const configuration = join(folder, 'sshd_config');
  writeFileSync(
    configuration,
    `Port ${port}
ListenAddress 127.0.0.1
HostKey ${host}
PidFile ${join(folder, 'sshd.pid')}
AuthorizedKeysFile ${key}.pub
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
`,
  );
  const server = launch({ program, arguments: ['-D', '-f', configuration] }, 'ignore');
  cleanup.defer(() => endProcess(server.pid ?? 0));
  const ssh = await debianProgram('ssh', 'openssh-client');
  const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null'];
  await until('a login over ssh', async () => {
    const parts = options.flatMap((option) => ['-o', option]);
    const { code } = await run({
      program: ssh,
      arguments: ['-F', 'none', '-i', key, '-p', String(port), ...parts, '127.0.0.1', 'true'],
    });
    return code === 0;
  });
  return { port, key };
}
