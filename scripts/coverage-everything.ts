import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { measured } from './coverage-reporter.ts';

/** A test run loads what it tests; this loads the rest, so that a file without a test counts as not covered. */
for (const file of globSync(measured)) await import(resolve(file));
