import { parentPort, workerData } from 'node:worker_threads';
import { isUnshipError } from '../domain/errors.ts';
import { exportedBy, problemOf, type ThreadAnswer } from './evaluate.ts';
import { importConfiguration } from './program-hooks.ts';

/** The thread behind `evaluateConfiguration`: imports one configuration, answers and ends. */
async function answer(file: string): Promise<ThreadAnswer> {
  let module: unknown;
  try {
    module = await importConfiguration(file);
  } catch (error) {
    return { error: sendable(problemOf(file, error)) };
  }
  try {
    const { value, unplain } = exportedBy(file, module);
    return unplain === undefined ? { value } : { value: undefined, unplain };
  } catch (error) {
    if (isUnshipError(error)) return { error: sendable(error.details) };
    throw error;
  }
}

/** Classes don't travel between threads. */
function sendable<T extends { readonly cause?: unknown }>(details: T): Omit<T, 'cause'> {
  const { cause: _, ...rest } = details;
  return rest;
}

parentPort?.postMessage(await answer(workerData as string));
