import type { ChannelDefinition } from '../../domain/definition.ts';
import type { SecretReference } from '../../domain/secret.ts';

/** An incoming webhook of Slack, or of anything that takes the same JSON (Mattermost, Rocket.Chat). */
export interface SlackOptions {
  readonly webhook: SecretReference;
}

export function slack(options: SlackOptions): ChannelDefinition<SlackOptions> {
  return { provider: 'slack', options };
}
