/**
 * Who may import whom. Whatever is not allowed here is an error: a new folder needs a line of its own, with a
 * reason. `npm run boundaries` checks it, and that there was something to check.
 */
const domain = '^src/domain/';
const ports = '[.]port[.]ts$';
const app = '^src/app([.]ts$|/)';
const loadedTogether = { dependencyTypesNot: ['type-only', 'dynamic-import'] };
const core = { dependencyTypes: ['core'] };

/** Packages by name: at development time they lie in node_modules, in the published file they are bundled. */
const packages = (...names) => ({ path: `^node_modules/(${names.join('|')})/` });

/** One rule for each kind of thing that `from` may import. */
const may = (from, ...targets) =>
  targets.map((to) => ({
    from: typeof from === 'string' ? { path: from } : from,
    to: typeof to === 'string' ? { path: to } : to,
  }));

const inside = (folder) => `^src/${folder}/`;
const code = (folder) => ({ path: inside(folder), pathNot: ports });

module.exports = {
  allowed: [
    ...may(domain, domain),
    ...may(ports, domain, ports),
    ...may('^src/providers/[^/]+/options[.]ts$', domain),
    ...may('^src/index[.]ts$', domain),

    ...['surfaces', 'incident'].flatMap((folder) => may(code(folder), domain, ports, inside(folder))),
    // Checks ask over HTTP and start commands.
    ...may(code('guard'), domain, ports, inside('guard'), core),

    // The one way out over HTTP. Lazily inside, so that whoever may ask may be loaded at once.
    ...may(inside('outgoing'), domain, inside('outgoing'), core),
    ...may('^src/(guard|providers)/', '^src/outgoing/client[.]ts$'),

    ...may(code('store'), domain, inside('store'), core, packages('kysely', 'pg')),
    ...may(code('config'), domain, inside('config'), core, packages('zod')),
    ...may(code('gateway'), domain, inside('gateway'), core),

    // What builds of any provider have in common: limits, and an enclosure.
    ...may(code('builds'), domain, ports, inside('builds'), core),

    ...may(code('engine'), domain, ports, inside('engine')),

    // A provider knows its vendor and nobody else's: `$1` is its own folder.
    ...may({ path: '^src/providers/([^/]+)/', pathNot: '/options[.]ts$' }, domain, ports, core, {
      path: '^src/providers/$1/',
    }),
    ...may('^src/providers/feed/', packages('yaml')),
    ...may('^src/providers/sqlite/', packages('age-encryption')),
    ...may('^src/providers/postgres/', packages('pg')),
    ...may('^src/providers/(feed|server)/', inside('builds')),
    ...may('^src/providers/server/', '^src/gateway/client[.]ts$'),

    // The composition root: anything but the programs that use it.
    ...may(app, core, { path: '^src/', pathNot: '^src/(cli|agent|server|dashboard|client|testing)/' }),

    ...['cli', 'agent', 'server'].flatMap((folder) =>
      may(code(folder), app, domain, inside('config'), inside(folder), core),
    ),
    ...['dashboard', 'client'].flatMap((folder) => may(inside(folder), domain, inside(folder))),
    ...may(code('testing'), domain, ports, inside('testing'), core),
  ],
  allowedSeverity: 'error',
  forbidden: [
    // Circles that are loaded together. Types vanish, and what is imported lazily comes after.
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true, ...loadedTogether, viaOnly: loadedTogether },
    },
    // Whoever else asks over HTTP asks through it, or its limits are nobody's.
    {
      name: 'one-client',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(outgoing|gateway|server)/' },
      to: { path: '^(node:)?(https?|http2)$' },
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    // Imports of types count: they bind two folders together as much as any other.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
