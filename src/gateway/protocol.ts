import type { ErrorDetails } from '../domain/errors.ts';
import type { ReleaseId } from '../domain/release.ts';

/**
 * What is said over the control socket: one JSON document a line, each request answered by one line with the
 * same `id`. Plain `node:net` rather than HTTP, because loading `node:http` would cost the command line a
 * third of the time in which it must have switched.
 */
export const protocolVersion = 1;

/** Where requests come in. Port 0 takes any free port; the one that was taken is in `GatewayStatus`. */
export interface Listen {
  readonly host: string;
  readonly port: number;
  /** A proxy of the operator's own stands in front, and its `X-Forwarded-*` are passed on. */
  readonly trustProxy: boolean;
}

/** How one release is run. Durations in ms. */
export interface ReleaseSpec {
  readonly release: ReleaseId;
  readonly commit: string;
  readonly command: readonly [string, ...string[]];
  readonly folder: string;
  /** The whole environment of the process, except `PORT`, which the gateway chooses. */
  readonly environment: { readonly [name: string]: string };
  /** Path; 200–399 passes. */
  readonly health: string;
  readonly startWithinMs: number;
  readonly drainMs: number;
}

/** Commands with a `fence` change something, and are refused when a higher one has been seen. */
export type GatewayRequest =
  | { readonly command: 'status' }
  | {
      readonly command: 'start';
      readonly fence: number;
      readonly spec: ReleaseSpec;
      /** Undefined leaves the listener as it is; null is a supervisor without a listener. */
      readonly listen?: Listen | null;
      /** Sent first when the process is in standby. */
      readonly wake?: NodeJS.Signals;
    }
  | { readonly command: 'check'; readonly release: ReleaseId; readonly withinMs: number }
  | { readonly command: 'switch'; readonly fence: number; readonly release: ReleaseId }
  | {
      readonly command: 'hold';
      readonly fence: number;
      /** The hold ends by itself soon after this process has died. */
      readonly ownerPid: number;
      /** So long requests under way may take before `hold` returns anyway. */
      readonly drainMs: number;
      /** The hold ends by itself after so long, whoever lives. */
      readonly maxMs: number;
    }
  | { readonly command: 'resume'; readonly fence: number }
  /** Changes nothing but what is refused from now on. */
  /** A hold of `ownerPid` stays as it is. */
  | { readonly command: 'fence'; readonly fence: number; readonly ownerPid?: number }
  | {
      readonly command: 'weights';
      readonly fence: number;
      /** Shares of the requests, in any unit. */
      readonly weights: { readonly [release: ReleaseId]: number };
    }
  | {
      readonly command: 'stop';
      readonly fence: number;
      readonly release: ReleaseId;
      readonly drainMs: number;
    }
  | {
      readonly command: 'standby';
      readonly fence: number;
      readonly release: ReleaseId;
      readonly signal: NodeJS.Signals;
    }
  | { readonly command: 'shutdown'; readonly fence: number; readonly stopReleases: boolean };

/** `standby`: alive, but told to rest. `backing-off`: it crashed and is started again in a moment. */
export type ProcessPhase = 'starting' | 'running' | 'standby' | 'backing-off' | 'stopping';

export interface ReleaseStatus {
  readonly phase: ProcessPhase;
  readonly commit: string;
  /** Where its process runs. */
  readonly folder: string;
  readonly pid: number | null;
  readonly port: number;
  /** Unexpected ends since it last ran steadily. */
  readonly crashes: number;
  /** How long its last start took until its health check passed. */
  readonly startMs: number;
  readonly inFlight: number;
}

export interface GatewayStatus {
  readonly protocol: number;
  readonly pid: number;
  readonly listen: Listen | null;
  readonly live: ReleaseId | null;
  readonly weights: { readonly [release: ReleaseId]: number };
  readonly fence: number;
  readonly held: boolean;
  readonly waiting: number;
  readonly releases: { readonly [release: ReleaseId]: ReleaseStatus };
}

export interface StartResult {
  readonly port: number;
  /** 0 when it ran already. */
  readonly startMs: number;
  readonly already: boolean;
}

export interface CheckResult {
  readonly healthy: boolean;
  /** `GET /health: 500`, `GET /health: connection refused`. */
  readonly seen: string;
}

/** Requests still under way when the drain time was over; 0 is a clean hold. */
export interface HoldResult {
  readonly inFlight: number;
}

export type GatewayReply =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly error: { readonly slug: string; readonly details: Omit<ErrorDetails, 'cause'> };
    };
