import { parentPort, workerData } from 'node:worker_threads';
import { lookAtImages, type Portion, type Recording } from './crash-images.ts';

const { recording, folder } = workerData as { readonly recording: Recording; readonly folder: string };
parentPort?.on('message', async (portion: Portion) => {
  parentPort?.postMessage(await lookAtImages(recording, portion, folder));
});
