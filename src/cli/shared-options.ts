import type { OptionSpecification } from './specification.ts';

/** Options that several commands take, written once so that they mean the same everywhere. */
export const only: OptionSpecification = {
  name: 'only',
  value: 'S,...',
  kind: 'surfaces',
  summary: 'only these surfaces: web,desktop',
};
const reason: OptionSpecification = {
  name: 'reason',
  short: 'm',
  value: 'TEXT',
  summary: 'why; stands in the timeline and the post-mortem',
};
export const details: OptionSpecification = { name: 'details', summary: 'every step, every table' };
const planHash: OptionSpecification = {
  name: 'plan',
  value: 'HASH',
  summary: 'run exactly the plan that was shown, else refuse',
};
const acceptLoss: OptionSpecification = {
  name: 'accept-data-loss',
  value: 'HASH',
  summary: 'consent to the loss that this plan showed',
};
/** Not among `execution`: only what goes back to other code can bring a weakness back. */
export const acceptRegression: OptionSpecification = {
  name: 'accept-security-regression',
  summary: 'consent to taking a security fix back',
};
export const securityFix: OptionSpecification = {
  name: 'security-fix',
  summary: 'it fixes a weakness: going back past it needs a consent of its own',
};
export const takeOver: OptionSpecification = {
  name: 'take-over',
  summary: 'take the environment from an owner that lives but hangs',
};
export const limit: OptionSpecification = {
  name: 'limit',
  value: 'N',
  summary: 'at most so many; default 20',
};
export const strategy: OptionSpecification = {
  name: 'strategy',
  value: 'NAME',
  kind: ['keep-schema', 'migrate-down', 'restore-with-salvage', 'restore'],
  summary: 'how the database goes back; default the first that is possible',
};
export const to: OptionSpecification = {
  name: 'to',
  value: 'R',
  kind: 'releases',
  summary: 'the same as the argument R',
};
export const surface: OptionSpecification = {
  name: 'surface',
  value: 'S',
  kind: 'surfaces',
  summary: 'which one, where there are several',
};
export const execution: readonly OptionSpecification[] = [planHash, acceptLoss, takeOver, reason, details];
