const nameRule = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
// Windows takes these for devices whatever follows the first dot; a feed may well be served from there.
const windowsDevice = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i;

/**
 * Names of applications, environments, surfaces, releases, artifacts and tags: they become files and folders,
 * so nothing that could leave a folder, hide, or mean something to a shell or an operating system is a name.
 */
export function isSafeName(text: string): boolean {
  return nameRule.test(text) && !windowsDevice.test(text) && !text.endsWith('.');
}

const commitRule = /^[0-9a-f]{40}([0-9a-f]{24})?$/;

/** A full commit hash (SHA-1 or SHA-256). */
export function isCommit(text: string): boolean {
  return commitRule.test(text);
}

/** The commit as people read it aloud. */
export function shortCommit(commit: string): string {
  return commit.slice(0, 7);
}
