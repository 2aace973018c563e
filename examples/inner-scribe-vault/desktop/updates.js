/**
 * Looks for updates and installs one only when the person says so and the feed still offers it. A download that
 * waits for the next quit, which is electron-updater's own way, would install a release that was pulled
 * meanwhile; it is switched off here.
 *
 * @param {import('electron-updater').AppUpdater} updater
 * @param {(update: { version: string | null, notice: string | null }) => void} tell shows it to the person;
 *   a null version takes an earlier offer back
 */
export function watchForUpdates(updater, tell) {
  updater.autoDownload = false;
  updater.autoInstallOnAppQuit = false;
  /** Version on this disk, checked and ready; null when there is none. */
  let ready = null;
  let looking = false;

  /** Version that the feed offers to this installation now; null for none. Throws when it can't be asked. */
  async function offered() {
    const result = await updater.checkForUpdates();
    return result?.isUpdateAvailable ? result.updateInfo.version : null;
  }

  async function look() {
    if (looking) return;
    looking = true;
    try {
      const version = await offered();
      if (version === ready) return;
      if (ready !== null)
        tell({ version: null, notice: `Version ${ready} was taken back and will not be installed.` });
      ready = null;
      if (version === null) return;
      await updater.downloadUpdate();
      ready = version;
      tell({ version, notice: null });
    } catch (error) {
      // No update is no reason to disturb someone who writes: the next look will tell.
      console.error(`Looking for updates: ${error.message}`);
    } finally {
      looking = false;
    }
  }

  /** Asks the feed once more, then restarts into the new version. True when it does. */
  async function install() {
    await look();
    if (ready === null || (await offered().catch(() => null)) !== ready) return false;
    updater.quitAndInstall();
    return true;
  }

  return { look, install };
}
