import type { WorkContext } from '../../surfaces/surface.port.ts';
import { beginWrite, openDatabase, rollBack } from './connection.ts';
import type { Core } from './core.ts';
import { raiseFence } from './fence.ts';

/** See DatabasePort.raiseFence: waits for whoever writes just now, and lets nobody earlier write after. */
export async function fenceOff(context: WorkContext, core: Core): Promise<void> {
  using database = openDatabase(core.file, 'write');
  try {
    await beginWrite(context, database, core.file, core.lockMs);
    raiseFence(database, context.fence);
    database.exec('COMMIT');
  } catch (error) {
    rollBack(database);
    throw error;
  }
}
