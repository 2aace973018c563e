import { desktopContract } from '../../../src/testing/desktop-contract.ts';
import { feedFixture } from './harness.ts';

desktopContract('feed', () => feedFixture());
