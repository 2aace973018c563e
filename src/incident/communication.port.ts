import type { LookContext, WorkContext } from '../surfaces/surface.port.ts';

/** A message to people. Plain text; each channel encodes it its own way. */
export interface Message {
  readonly audience: 'team' | 'users';
  readonly title: string;
  /** Lines of plain text. */
  readonly lines: readonly string[];
}

/** `maybe-twice`: the channel has neither keys nor reading back, and an earlier attempt may have arrived. */
export type Delivery = 'delivered' | 'maybe-twice';

/** A channel that is down throws; it never delays the run beyond the step's time limit. */
export interface Channel {
  readonly name: string;
  validate(context: LookContext): Promise<void>;
  send(context: WorkContext, message: Message, attempt: number): Promise<Delivery>;
}
