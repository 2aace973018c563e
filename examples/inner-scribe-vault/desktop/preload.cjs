const { contextBridge, ipcRenderer } = require('electron');

// All that the page may ask of the desktop application.
contextBridge.exposeInMainWorld('vaultDesktop', {
  onUpdate: (tell) => ipcRenderer.on('update', (_, update) => tell(update)),
  install: () => ipcRenderer.invoke('install'),
});
