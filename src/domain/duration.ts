/** `500ms`, `5s`, `10m`, `1h`, `2d`: what a person writes in a configuration. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`;

const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds, or undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  return match === null ? undefined : Math.round(Number(match[1]) * unit[match[2] as keyof typeof unit]);
}

/** As the screens show it: `85 ms`, `7.0 s`, `12 s`, `4 min`, `2 h`. A clock that was set back leaves nothing. */
export function formatDuration(ms: number): string {
  if (ms < 95) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}
