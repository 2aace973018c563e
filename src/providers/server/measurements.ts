import { member, readJson, writeJson } from './files.ts';
import type { Layout } from './layout.ts';

/** As last measured, in ms; 0 when never. */
export interface Measurements {
  readonly startMs: number;
  readonly buildMs: number;
}

export async function measurements(layout: Layout): Promise<Measurements> {
  const found = await readJson(layout.measurements);
  const startMs = member(found, 'startMs');
  const buildMs = member(found, 'buildMs');
  return {
    startMs: typeof startMs === 'number' ? startMs : 0,
    buildMs: typeof buildMs === 'number' ? buildMs : 0,
  };
}

export async function measure(layout: Layout, measured: Partial<Measurements>): Promise<void> {
  await writeJson(layout.measurements, { ...(await measurements(layout)), ...measured });
}
