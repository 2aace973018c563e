import fc from 'fast-check';

/** Loaded before tests of which the same lines and branches are to be entered each time. */
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: 1 });
