import type { spawnSync as SpawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, isAbsolute, join } from 'node:path';

/** What one build sees of the machine besides the system's own programs. */
export interface View {
  /** Empty folder that the build's own root is mounted on; its content is never touched outside. */
  readonly root: string;
  /** Folders it may write, seen under their own paths. */
  readonly writable: readonly string[];
  /** Files and folders it may only read, seen under their own paths. */
  readonly readable: readonly string[];
  /** Private folder that it sees as /tmp and /var/tmp. */
  readonly temporary: string;
  /** Where it starts. */
  readonly folder: string;
}

/**
 * Makes a root of its own from an allow-list, and runs the build in a second user namespace, in which nothing of
 * that can be taken away again. The shell stays as the first process of the process namespace: when it ends,
 * everything in there is dead. `$1` root, `$2` user, `$3` group, `$4` temporary folder, `$5` folder, then words
 * `w`/`r` and paths, `--`, the command.
 */
const script = `set -e
root=$1 user=$2 group=$3 temporary=$4 folder=$5
shift 5
path=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
show() {
  if [ -d "$2" ]; then mkdir -p "$root$2"; elif [ -e "$root$2" ]; then return
  else mkdir -p "$root\${2%/*}"; : > "$root$2"; fi
  mount --rbind "$2" "$root$2"
  [ "$1" = w ] || mount -o remount,bind,ro "$root$2" 2>/dev/null ||
    mount -o remount,bind,ro,nosuid,nodev "$root$2" 2>/dev/null ||
    mount -o remount,bind,ro,nosuid,nodev,noexec "$root$2"
}
mount -t tmpfs -o size=4m,mode=755 tmpfs "$root"
mkdir "$root/proc" "$root/dev" "$root/etc" "$root/run" "$root/var" "$root/tmp" "$root/.old"
mount -t proc proc "$root/proc"
mount --bind /proc/sys "$root/proc/sys"
mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/sys"
for name in null zero full random urandom tty; do
  : > "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
ln -s ../tmp "$root/dev/shm"
ln -s ../tmp "$root/var/tmp"
ln -s ../run "$root/var/run"
mount --bind "$temporary" "$root/tmp"
for place in /usr /bin /sbin /lib /lib32 /lib64 /libx32 /nix/store; do
  if [ -L "$place" ]; then cp -d "$place" "$root$place"; elif [ -d "$place" ]; then show r "$place"; fi
done
for place in $SHOWN_OF_ETC; do
  [ -e "/etc/$place" ] || continue
  case "$place" in */*) mkdir -p "$root/etc/\${place%/*}" ;; esac
  if [ -d "/etc/$place" ]; then show r "/etc/$place"; else cat "/etc/$place" > "$root/etc/$place"; fi
done
unset SHOWN_OF_ETC
while [ "$1" != -- ]; do show "$1" "$2"; shift 2; done
shift
cd "$root"
pivot_root . .old
umount -l /.old
rmdir /.old
mount -o remount,bind,ro /
cd "$folder"
PATH=$path
unshare=/usr/bin/unshare
[ -x "$unshare" ] || unshare=/bin/unshare
"$unshare" --user --map-user="$user" --map-group="$group" -- "$@" && exit 0 || exit $?
`;

/** Names, certificates and how to find libraries; no keys, no passwords of the machine. */
const shownOfEtc = [
  ...['passwd', 'group', 'hosts', 'resolv.conf', 'nsswitch.conf', 'host.conf', 'services', 'protocols'],
  ...['gai.conf', 'localtime', 'timezone', 'os-release', 'debian_version', 'mime.types', 'ld.so.cache'],
  ...['ld.so.conf', 'ld.so.conf.d', 'alternatives', 'ssl/certs', 'ssl/openssl.cnf', 'ca-certificates.conf'],
  ...['pki/tls/certs', 'pki/ca-trust', 'crypto-policies', 'fonts'],
].join(' ');

/** Program and arguments that run `command` enclosed in `view`; start it with `enclosedEnvironment`. */
export function enclosed(
  view: View,
  command: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  const shown = [
    ...view.readable.flatMap((path) => ['r', path]),
    ...view.writable.flatMap((path) => ['w', path]),
  ];
  const ids = [String(process.getuid?.() ?? 0), String(process.getgid?.() ?? 0)];
  return [
    'unshare',
    ...['--user', '--map-root-user', '--pid', '--fork', '--kill-child=SIGKILL', '--mount', '--ipc'],
    ...['--propagation', 'private', '--', '/bin/sh', '-c', script, 'sh'],
    ...[view.root, ...ids, view.temporary, view.folder, ...shown, '--', ...command],
  ];
}

export function enclosedEnvironment(environment: { readonly [name: string]: string }): {
  readonly [name: string]: string;
} {
  return { ...environment, SHOWN_OF_ETC: shownOfEtc };
}

/**
 * Where the programs of a PATH lie that are not the system's own: a version manager keeps them in the home
 * folder. Each folder, what it belongs to (`lib` beside `bin`, all of a `node_modules`), nothing beside that.
 */
export function placesOfPrograms(path: string, program: string): readonly string[] {
  const folders = path.split(delimiter).filter(isAbsolute);
  if (isAbsolute(program)) folders.push(dirname(program));
  const found = new Set<string>();
  for (const folder of folders) {
    if (!existsSync(folder)) continue;
    for (const place of new Set([folder, realpathSync(folder)])) {
      for (const shown of partsOf(place)) if (!isSystem(shown) && existsSync(shown)) found.add(shown);
    }
  }
  const all = [...found];
  return all.filter((place) => !all.some((other) => place.startsWith(`${other}/`)));
}

function partsOf(folder: string): readonly string[] {
  const above = dirname(folder);
  if (basename(above) === 'node_modules') return [above];
  if (basename(folder) !== 'bin') return [folder];
  return [
    folder,
    join(above, 'lib/node_modules'),
    ...(existsSync(join(above, 'package.json')) ? [above] : []),
  ];
}

function isSystem(path: string): boolean {
  return path === '/' || /^\/(usr|bin|sbin|lib|lib32|lib64|nix\/store)(\/|$)/.test(path);
}

let answer: string | null | undefined;

/**
 * Null where builds can be enclosed on this machine, else why not. Asked once a process, by enclosing something:
 * what a kernel, a container or a security module allows is seen no other way.
 */
export function whyNotEnclosed(): string | null {
  answer ??= ask();
  return answer === '' ? null : answer;
}

function ask(): string {
  if (process.platform !== 'linux') return `${process.platform} has no namespaces`;
  const place = mkdtempSync(join(tmpdir(), 'unship-enclosure-'));
  try {
    const [root, temporary] = [join(place, 'root'), join(place, 'tmp')];
    for (const folder of [root, temporary]) mkdirSync(folder);
    const view = { root, temporary, writable: [], readable: [], folder: '/' };
    const [program, ...args] = enclosed(view, ['true']);
    const { spawnSync } = process.getBuiltinModule('node:child_process') as { spawnSync: typeof SpawnSync };
    const ended = spawnSync(program, args, {
      // Files of /etc are only copied: they tell nothing about what is allowed.
      env: { SHOWN_OF_ETC: '', PATH: process.env.PATH ?? '/usr/bin:/bin' },
      encoding: 'utf8',
      timeout: 10_000,
      killSignal: 'SIGKILL',
    });
    if (ended.status === 0) return '';
    if ((ended.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return 'there is no `unshare`';
    return ended.stderr.trim().split('\n')[0] || 'namespaces are not allowed here';
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}
