import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** One ended test, as `test.ts` reads it from the reporter's file: a JSON document on a line of its own. */
export interface TestRecord {
  readonly result: 'passed' | 'failed' | 'skipped';
  readonly name: string;
  readonly line: number;
  readonly error?: string;
}

/** What went wrong, without the wrapper that the runner puts around it. */
function describe(error: Error): string {
  return error.cause instanceof Error ? inspect(error.cause) : String(error.cause ?? error.message);
}

function recordOf(event: TestEvent): TestRecord | undefined {
  if (event.type === 'test:pass') {
    const { name, line = 0, details, skip, todo } = event.data;
    if (details.type === 'suite') return undefined;
    const ran = (skip === undefined || skip === false) && (todo === undefined || todo === false);
    return { result: ran ? 'passed' : 'skipped', name, line };
  }
  if (event.type === 'test:fail') {
    const { name, line = 0, details } = event.data;
    // A suite fails because something in it did, and that has a record of its own.
    if ('failureType' in details.error && details.error.failureType === 'subtestsFailed') return undefined;
    return { result: 'failed', name, line, error: describe(details.error) };
  }
  return undefined;
}

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    const record = recordOf(event);
    if (record !== undefined) yield `${JSON.stringify(record)}\n`;
  }
}
