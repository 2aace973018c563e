import { cpus, loadavg, release, totalmem } from 'node:os';
import { rounded } from './statistics.ts';

export interface Machine {
  readonly system: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly node: string;
  /** Processes that wanted a core in the last minute, before the bench began: near 0 is a quiet machine. */
  readonly loadBefore: number;
}

export function thisMachine(): Machine {
  const processors = cpus();
  return {
    system: `${process.platform} ${release()} ${process.arch}`,
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGb: Math.round(totalmem() / 1e9),
    node: process.versions.node,
    loadBefore: rounded(loadavg()[0] ?? 0),
  };
}
