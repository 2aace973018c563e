import { join } from 'node:path';
import { app, BrowserWindow, ipcMain, shell } from 'electron';
import updaters from 'electron-updater';
import { watchForUpdates } from './updates.js';

const address = new URL(process.env.VAULT_URL ?? 'http://127.0.0.1:8080/');
const lookEveryMs = 15 * 60_000;

function openWindow() {
  const window = new BrowserWindow({
    width: 1180,
    height: 820,
    title: app.name,
    backgroundColor: '#f4efe6',
    webPreferences: {
      preload: join(import.meta.dirname, 'preload.cjs'),
      sandbox: true,
      contextIsolation: true,
    },
  });
  // The window is the journal and nothing else: what leads elsewhere opens in the browser.
  window.webContents.setWindowOpenHandler(({ url }) => {
    if (url.startsWith('https://')) void shell.openExternal(url);
    return { action: 'deny' };
  });
  window.webContents.on('will-navigate', (event, url) => {
    if (new URL(url).origin !== address.origin) event.preventDefault();
  });
  void window.loadURL(address.href);
  return window;
}

if (!app.requestSingleInstanceLock()) {
  app.quit();
} else {
  await app.whenReady();
  let window = openWindow();
  const updates = watchForUpdates(updaters.autoUpdater, (update) => {
    if (!window.isDestroyed()) window.webContents.send('update', update);
  });
  const fromJournal = (event) => new URL(event.senderFrame.url).origin === address.origin;
  ipcMain.handle('install', (event) => fromJournal(event) && updates.install());

  window.webContents.once('did-finish-load', () => void updates.look());
  // Not all at once: a release that is bad should not have reached everyone within the same minute.
  setInterval(() => void updates.look(), lookEveryMs * (0.8 + Math.random() * 0.4));

  app.on('second-instance', () => window.focus());
  app.on('activate', () => {
    if (BrowserWindow.getAllWindows().length === 0) window = openWindow();
  });
  app.on('window-all-closed', () => {
    if (process.platform !== 'darwin') app.quit();
  });
}
