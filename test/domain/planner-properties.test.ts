import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { errorCatalogue } from '../../src/domain/error-catalogue.ts';
import { type Facts, readDatabaseArtifact } from '../../src/domain/facts.ts';
import type { Json } from '../../src/domain/json.ts';
import { ancestorsOf, isRefusal, type Plan, type Refusal, topologicalOrder } from '../../src/domain/plan.ts';
import { actionEntry } from '../../src/domain/planner/actions.ts';
import { currentRelease } from '../../src/domain/planner/leaving.ts';
import { planRehearsal, planRelease } from '../../src/domain/planner/release.ts';
import { planRollback, planUndo } from '../../src/domain/planner/rollback.ts';
import {
  commitsOf,
  findRelease,
  type History,
  isQuarantined,
  lastGoodRelease,
  type Release,
} from '../../src/domain/release.ts';
import {
  type ReleaseCase,
  type RollbackCase,
  releaseCase,
  rollbackCase,
} from '../support/arbitrary-facts.ts';
import {
  type DatabaseRole,
  databasesOf,
  linearOrder,
  mismatches,
  schemasAfter,
  type WebRole,
  websOf,
} from '../support/plan-simulation.ts';

const runs = { numRuns: 1000 };

function rollback({ history, facts, policy, request }: RollbackCase): Plan | Refusal {
  return planRollback(history, facts, policy, request);
}

function release({ history, facts, policy, request }: ReleaseCase): Plan | Refusal {
  return planRelease(history, facts, policy, request);
}

/** Some surface of one is made of another commit than in the other, or is missing there. */
function differs(from: Release, to: Release, only: readonly string[] | undefined): boolean {
  const names = Object.keys({ ...from.surfaces, ...to.surfaces }).filter(
    (name) => only?.includes(name) ?? true,
  );
  const part = (release: Release, name: string): string => {
    const surface = release.surfaces[name];
    return surface === undefined
      ? 'none'
      : surface.commit === ''
        ? `unknown, ${surface.since}`
        : surface.commit;
  };
  return names.length === 0 || names.some((name) => part(from, name) !== part(to, name));
}

/** The last good release as it would be had the current one's commit been released there already. */
function releasedTwice(history: History): History {
  const from = currentRelease(history);
  const good = from === undefined ? undefined : lastGoodRelease(history, from.id);
  if (from === undefined || good === undefined) return history;
  const builtBy = ({ id }: Release): Release['surfaces'] =>
    Object.fromEntries(
      Object.entries(from.surfaces).map(([name, part]) => [
        name,
        { ...part, since: id, commit: part.commit || from.commit || 'a'.repeat(40) },
      ]),
    );
  const releases = history.releases.map((release) =>
    release === from || release === good ? { ...release, surfaces: builtBy(release) } : release,
  );
  return { ...history, releases };
}

/** Every planner on every case; the property sees plans only. */
function forEveryPlan(holds: (plan: Plan, facts: Facts, given: RollbackCase | ReleaseCase) => void): void {
  let plans = 0;
  const check = (answer: Plan | Refusal, given: RollbackCase | ReleaseCase): void => {
    if (isRefusal(answer)) return;
    plans += 1;
    holds(answer, given.facts, given);
  };
  fc.assert(
    fc.property(rollbackCase, (given) => {
      const { history, facts, policy, request } = given;
      check(rollback(given), given);
      const { to = 'r1' } = request;
      check(planUndo(history, facts, policy, { kind: 'undo', run: 1, to, reason: 'undo' }), given);
    }),
    runs,
  );
  fc.assert(
    fc.property(releaseCase, (given) => {
      const { history, facts, policy, request } = given;
      check(release(given), given);
      check(planRehearsal(history, facts, policy, { ...request, kind: 'rehearsal' }), given);
    }),
    runs,
  );
  assert.ok(plans > 300, `only ${plans} plans were seen`);
}

describe('every plan', () => {
  test('is total: whatever is asked of whatever is there gives a plan or a refusal that says what is missing', () => {
    const answered = (answer: Plan | Refusal): void => {
      if (!isRefusal(answer)) {
        assert.equal(answer.schema, 'unship.plan/1');
        return;
      }
      assert.ok(answer.missing.length > 0, `${answer.slug} names nothing that is missing`);
      assert.ok(answer.missing.every((item) => item.trim() !== ''));
      assert.notEqual(answer.next.trim(), '');
      assert.notEqual(answer.happened.trim(), '');
      assert.ok(answer.slug in errorCatalogue, answer.slug);
    };
    fc.assert(
      fc.property(rollbackCase, (given) => {
        const { history, facts, policy, request } = given;
        answered(rollback(given));
        for (const { id, surfaces } of [...history.releases, { id: 'r99' as const, surfaces: {} }]) {
          const undo = { kind: 'undo', run: 1, to: id, reason: 'undo' } as const;
          answered(planUndo(history, facts, policy, undo));
          answered(planUndo(history, facts, policy, { ...undo, only: request.only ?? [] }));
          answered(planUndo(history, facts, policy, { ...undo, replaced: surfaces }));
        }
      }),
      runs,
    );
    fc.assert(
      fc.property(releaseCase, (given) => {
        const { history, facts, policy, request } = given;
        answered(release(given));
        answered(planRehearsal(history, facts, policy, { ...request, kind: 'rehearsal' }));
      }),
      runs,
    );
  });

  test('is a graph: ids are unique, arrows lead to its own steps, and there is no circle', () => {
    forEveryPlan((plan) => {
      const ids = plan.steps.map((step) => step.id);
      assert.equal(new Set(ids).size, ids.length, `an id stands twice: ${ids.join(', ')}`);
      for (const step of plan.steps) {
        for (const id of step.after) assert.ok(ids.includes(id), `${step.id} waits for ${id}`);
      }
      assert.equal(topologicalOrder(plan.steps).length, ids.length);
    });
  });

  test('has an undo, or leaves nothing behind, in every step before the point of no return', () => {
    forEveryPlan((plan) => {
      for (const step of plan.steps) {
        const entry = actionEntry(step.action);
        assert.ok(entry !== undefined, `${step.action} is in no table`);
        if (entry.undo === 'impossible') assert.ok(step.pointOfNoReturn, `${step.id} can't be taken back`);
      }
    });
  });

  test('lets nothing best-effort stand before a switch or before anything required', () => {
    forEveryPlan((plan) => {
      const byId = new Map(plan.steps.map((step) => [step.id, step]));
      for (const step of plan.steps.filter((item) => item.importance === 'required')) {
        for (const id of ancestorsOf(plan.steps, step.id)) {
          assert.equal(byId.get(id)?.importance, 'required', `${step.id} waits for ${id}`);
        }
      }
    });
  });

  test('switches several web surfaces only when all of them are started', () => {
    forEveryPlan((plan) => {
      const starts = plan.steps.filter((step) => step.action === 'web.start').map((step) => step.id);
      for (const step of plan.steps.filter((item) => item.action === 'web.switch')) {
        const before = ancestorsOf(plan.steps, step.id);
        for (const id of starts) assert.ok(before.has(id), `${step.id} does not wait for ${id}`);
      }
    });
  });

  test('says what it may lose: counted rows, or that they were not counted', () => {
    forEveryPlan((plan) => {
      const chosen = plan.options.filter((option) => option.verdict === 'chosen');
      const counted = chosen.flatMap((option) => option.risk?.tables.map((table) => table.lost) ?? []);
      assert.equal(
        plan.rowsLost,
        counted.reduce((sum, lost) => sum + lost, 0),
      );
      for (const step of plan.steps.filter((item) => item.action === 'database.restore')) {
        const option = chosen.find((item) => item.surface === step.surface);
        assert.ok(option !== undefined, `${step.id} restores without a chosen strategy`);
        if (option.strategy !== 'restore') continue;
        const known = option.risk?.exact === true;
        assert.ok(known || plan.lossUncertain, `${step.id} loses what nobody counted`);
      }
      const inexact = chosen.some((option) => option.risk !== null && !option.risk.exact);
      if (plan.rowsLost > 0 && inexact) assert.ok(plan.lossUncertain || chosen.length > 1);
    });
  });

  test('backs a database up directly before it migrates it up', () => {
    forEveryPlan((plan) => {
      const byId = new Map(plan.steps.map((step) => [step.id, step]));
      for (const step of plan.steps.filter((item) => item.action === 'database.migrate-up')) {
        const before = ancestorsOf(plan.steps, step.id);
        const between = (backup: string): readonly string[] => {
          const earlier = ancestorsOf(plan.steps, backup);
          return [...before].filter((id) => id !== backup && !earlier.has(id));
        };
        const own = plan.steps.filter(
          (item) => item.action === 'database.backup' && item.surface === step.surface && before.has(item.id),
        );
        const direct = own.some((backup) =>
          between(backup.id).every((id) =>
            ['web.hold', 'database.backup'].includes(byId.get(id)?.action ?? ''),
          ),
        );
        assert.ok(direct, `${step.id} has no backup directly before it`);
      }
    });
  });

  test('leaves other surfaces alone when it is limited to some', () => {
    fc.assert(
      fc.property(rollbackCase, (given) => {
        const plan = rollback(given);
        const { only } = given.request;
        if (isRefusal(plan) || only === undefined) return;
        for (const step of plan.steps)
          assert.ok(step.surface === 'unship' || only.includes(step.surface), step.id);
      }),
      runs,
    );
    fc.assert(
      fc.property(releaseCase, (given) => {
        const plan = release(given);
        const { changed } = given.request;
        if (isRefusal(plan)) return;
        for (const step of plan.steps) {
          assert.ok(step.surface === 'unship' || changed.includes(step.surface), step.id);
        }
      }),
      runs,
    );
  });
});

/** Webs that take part, by what the request makes of them; webs that serve the target already are left out. */
function rollbackRoles(
  given: RollbackCase,
  plan: Plan,
): {
  readonly webs: readonly WebRole[];
  readonly databases: readonly DatabaseRole[];
} {
  const target = plan.to === null ? undefined : findRelease(given.history, plan.to);
  const webs = websOf(given.facts).flatMap(([surface, seen]): readonly WebRole[] => {
    const goal = target?.surfaces[surface];
    const takesPart = goal?.kind === 'web' && seen.live !== null && seen.live !== goal.since;
    return takesPart ? [{ surface, serves: 'current' }] : [];
  });
  const databases = databasesOf(given.facts).flatMap(([surface, facts]): readonly DatabaseRole[] => {
    const goal = target?.surfaces[surface];
    const artifact = goal?.kind === 'database' ? readDatabaseArtifact(goal.artifact) : null;
    return artifact === null ? [] : [{ surface, facts, target: artifact.applied }];
  });
  return { webs, databases };
}

function releaseRoles({ facts, request }: ReleaseCase): {
  readonly webs: readonly WebRole[];
  readonly databases: readonly DatabaseRole[];
} {
  const webs = websOf(facts).flatMap(([surface, seen]): readonly WebRole[] => {
    if (seen.live === null) return [];
    if (request.changed.includes(surface)) {
      return [{ surface, serves: request.phase === 'finish' ? 'target' : 'current' }];
    }
    const goal = request.release.surfaces[surface];
    return goal?.kind === 'web' && goal.commit !== request.release.commit
      ? [{ surface, serves: 'current' }]
      : [];
  });
  const databases = databasesOf(facts).map(
    ([surface, seen]): DatabaseRole => ({
      surface,
      facts: seen,
      target: [...seen.applied, ...seen.pending],
    }),
  );
  return { webs, databases };
}

const pick = fc.infiniteStream(fc.nat({ max: 1000 }));

describe('the order of a plan', () => {
  function assertFits(
    plan: Plan,
    roles: { readonly webs: readonly WebRole[]; readonly databases: readonly DatabaseRole[] },
    picks: Iterator<number>,
  ): void {
    const order = linearOrder(plan.steps, (ready) => {
      const index = (picks.next().value as number) % ready.length;
      return ready[index] as (typeof ready)[number];
    });
    const found = mismatches(order, roles.webs, roles.databases);
    const admitted = (web: string): boolean =>
      plan.warnings.some(
        (warning) =>
          warning.startsWith(`${web} can't hold`) || warning.includes('until your CI has deployed'),
      );
    const silent = found.filter((text) => !admitted(text.slice(0, text.indexOf(' '))));
    assert.deepEqual(silent, [], `in the order ${order.map((step) => step.id).join(', ')}`);
  }

  test('lets no code that serves meet a schema that it does not run on, in a rollback', () => {
    let moved = 0;
    fc.assert(
      fc.property(rollbackCase, pick, (given, picks) => {
        const plan = rollback(given);
        if (isRefusal(plan)) return;
        const roles = rollbackRoles(given, plan);
        if (plan.steps.some((step) => step.action === 'web.switch') && roles.databases.length > 0) moved += 1;
        assertFits(plan, roles, picks);
      }),
      { numRuns: 8000 },
    );
    assert.ok(moved > 100, `only ${moved} plans moved a web beside a database`);
  });

  test('lets no code that serves meet a schema that it does not run on, in a release', () => {
    let moved = 0;
    fc.assert(
      fc.property(releaseCase, pick, (given, picks) => {
        const plan = release(given);
        if (isRefusal(plan)) return;
        if (plan.steps.some((step) => step.action === 'database.migrate-up')) moved += 1;
        assertFits(plan, releaseRoles(given), picks);
      }),
      { numRuns: 8000 },
    );
    assert.ok(moved > 100, `only ${moved} plans migrated`);
  });

  test('brings every database to what the target release left behind, unless its schema is kept', () => {
    fc.assert(
      fc.property(rollbackCase, (given) => {
        const plan = rollback(given);
        if (isRefusal(plan) || given.request.only !== undefined) return;
        const after = schemasAfter(plan, given.facts);
        for (const { surface, facts, target } of rollbackRoles(given, plan).databases) {
          const kept: boolean = plan.options.some(
            (option) =>
              option.surface === surface && option.verdict === 'chosen' && option.strategy === 'keep-schema',
          );
          const expected: readonly string[] = kept ? facts.applied : target;
          assert.deepEqual([...(after.get(surface) ?? [])].sort(), [...expected].sort());
        }
      }),
      runs,
    );
  });

  test('migrates what contracts after the watch', () => {
    let seen = 0;
    fc.assert(
      fc.property(releaseCase, (given) => {
        const plan = release(given);
        if (isRefusal(plan) || given.policy.bakeMs === 0 || given.request.phase !== 'whole') return;
        if (!plan.steps.some((step) => step.action === 'web.switch')) return;
        for (const [surface, facts] of databasesOf(given.facts)) {
          if (!given.request.changed.includes(surface)) continue;
          const known = new Map(facts.migrations.map((item) => [item.version, item]));
          const first = facts.pending.findIndex((version) => known.get(version)?.oldCodeRuns.holds === false);
          if (first < 0) continue;
          const rest = facts.pending.slice(first);
          if (!rest.every((version) => known.get(version)?.newCodeRuns.holds)) continue;
          seen += 1;
          const steps = plan.steps.filter(
            (step) => step.surface === surface && step.action === 'database.migrate-up',
          );
          for (const version of rest) {
            const step = steps.find((item) =>
              (item.input as { readonly versions: readonly string[] }).versions.includes(version),
            );
            assert.ok(step !== undefined, `${version} is never applied`);
            assert.ok(ancestorsOf(plan.steps, step.id).has('unship.watch'), `${step.id} does not wait`);
          }
        }
      }),
      { numRuns: 6000 },
    );
    // Some thirty; the cases are others each time.
    assert.ok(seen > 5, `only ${seen} contracting migrations were seen`);
  });

  test('applies every pending migration of the release once', () => {
    fc.assert(
      fc.property(releaseCase, (given) => {
        const plan = release(given);
        if (isRefusal(plan) || given.request.phase !== 'whole') return;
        for (const [surface, facts] of databasesOf(given.facts)) {
          if (!given.request.changed.includes(surface)) continue;
          const applied: readonly string[] = plan.steps
            .filter((step) => step.surface === surface && step.action === 'database.migrate-up')
            .flatMap((step) => (step.input as { readonly versions: readonly string[] }).versions);
          assert.deepEqual(applied, facts.pending);
          assert.deepEqual(schemasAfter(plan, given.facts).get(surface), [
            ...facts.applied,
            ...facts.pending,
          ]);
        }
      }),
      runs,
    );
  });

  test('publishes the desktop release after the watch, or at its start where the policy says so', () => {
    fc.assert(
      fc.property(releaseCase, (given) => {
        const plan = release(given);
        if (isRefusal(plan) || given.policy.bakeMs === 0) return;
        for (const step of plan.steps.filter((item) => item.action === 'desktop.publish')) {
          const afterWatch = ancestorsOf(plan.steps, step.id).has('unship.watch');
          assert.equal(afterWatch, given.policy.desktop === 'after', step.id);
          assert.ok(ancestorsOf(plan.steps, step.id).has('unship.record-live'));
        }
      }),
      runs,
    );
  });
});

type Path = readonly (string | number)[];

function leaves(value: Json | undefined, path: Path = []): readonly Path[] {
  if (value === null || typeof value !== 'object') return value === undefined ? [] : [path];
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return entries.flatMap(([key, item]) => leaves(item as Json, [...path, key]));
}

/** The same value with another leaf at `path`: another value of the same type. */
function withLeafChanged(value: Json, path: Path): Json {
  const [key, ...rest] = path;
  if (key === undefined) {
    if (typeof value === 'boolean') return !value;
    if (typeof value === 'number') return value + 1;
    return `${value ?? ''}x`;
  }
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as { [key: string]: Json };
  copy[key] = withLeafChanged(copy[key] as Json, rest);
  return copy as Json;
}

function reversedKeys(value: Json): Json {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(reversedKeys);
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reversedKeys(item as Json)]),
  );
}

describe("a plan's hash", () => {
  const plans = fc.oneof(
    rollbackCase.map((given) => ({ given, again: (facts: Facts) => rollback({ ...given, facts }) })),
    releaseCase.map((given) => ({ given, again: (facts: Facts) => release({ ...given, facts }) })),
  );

  test('is the same for the same input, whatever order its keys were written in', () => {
    fc.assert(
      fc.property(plans, ({ given, again }) => {
        const [first, second] = [again(given.facts), again(reversedKeys(given.facts as never) as never)];
        assert.equal(isRefusal(first), isRefusal(second));
        if (isRefusal(first) || isRefusal(second)) return;
        assert.match(first.hash, /^[0-9a-f]{64}$/);
        assert.equal(first.hash, second.hash);
      }),
      runs,
    );
  });

  test('changes with every identity fact', () => {
    let changed = 0;
    fc.assert(
      fc.property(plans, ({ given, again }) => {
        const plan = again(given.facts);
        if (isRefusal(plan)) return;
        for (const path of leaves(given.facts.surfaces as never)) {
          if (path[1] === 'measurements' || path[1] === 'kind') continue;
          const surfaces = withLeafChanged(given.facts.surfaces as never, path);
          const other = again({ surfaces } as never);
          if (isRefusal(other)) continue;
          changed += 1;
          assert.notEqual(other.hash, plan.hash, path.join('.'));
        }
      }),
      { numRuns: 400 },
    );
    assert.ok(changed > 1000, `only ${changed} changes gave another plan`);
  });

  test('changes with no measurement, and neither do the steps', () => {
    let changed = 0;
    fc.assert(
      fc.property(plans, ({ given, again }) => {
        const plan = again(given.facts);
        if (isRefusal(plan)) return;
        for (const path of leaves(given.facts.surfaces as never)) {
          if (path[1] !== 'measurements') continue;
          const surfaces = withLeafChanged(given.facts.surfaces as never, path);
          const other = again({ surfaces } as never);
          assert.ok(!isRefusal(other), path.join('.'));
          changed += 1;
          assert.equal(other.hash, plan.hash, path.join('.'));
          assert.deepEqual(
            other.steps.map((step) => step.id),
            plan.steps.map((step) => step.id),
          );
        }
      }),
      { numRuns: 400 },
    );
    assert.ok(changed > 1000, `only ${changed} measurements were changed`);
  });
});

/** The history as `unship.record-rollback` leaves it behind. */
function afterRollback(history: History, plan: Plan): History {
  const releases = history.releases.map((release) => {
    if (release.id === plan.from) return { ...release, deployment: 'rolled-back', health: 'bad' } as const;
    if (release.id === plan.to) return { ...release, deployment: 'live' } as const;
    return release.deployment === 'live' ? ({ ...release, deployment: 'superseded' } as const) : release;
  });
  const commit = findRelease(history, plan.from ?? 'r0')?.commit ?? '';
  const target = findRelease(history, plan.to ?? 'r0');
  const remaining = [
    target?.commit,
    ...Object.values(target?.surfaces ?? {}).map((surface) => surface.commit),
  ];
  if (remaining.includes(commit)) return { releases, quarantine: history.quarantine };
  const entry = { commit, release: plan.from ?? 'r0', reason: 'bad', since: 1 };
  return { releases, quarantine: [...history.quarantine, entry] };
}

describe('where a rollback goes', () => {
  test('a second rollback without a name never goes further back', () => {
    let repeated = 0;
    fc.assert(
      fc.property(rollbackCase, (given) => {
        // One release at most is under way at a time; what was begun after the one taken back is gone.
        const { to: _to, ...request } = given.request;
        const first = rollback({ ...given, request });
        if (isRefusal(first) || request.only !== undefined) return;
        repeated += 1;
        const history = afterRollback(given.history, first);
        const second = rollback({ ...given, history, request });
        if (isRefusal(second)) return;
        assert.ok(
          findRelease(history, second.from ?? 'r0')?.deployment === 'pending',
          `${first.from} to ${first.to}, then ${second.from} to ${second.to}`,
        );
        assert.equal(second.to, first.to);
      }),
      { numRuns: 3000 },
    );
    assert.ok(repeated > 50, `only ${repeated} were repeated`);
  });

  test('goes to the last good release, never to a quarantined one, and never forward', () => {
    fc.assert(
      fc.property(rollbackCase, (given) => {
        const plan = rollback(given);
        if (isRefusal(plan)) return;
        const target = findRelease(given.history, plan.to ?? 'r0');
        assert.ok(target !== undefined);
        const number = (id: string | null): number => Number(id?.slice(1));
        assert.ok(number(plan.to) < number(plan.from));
        const commits = [target.commit, ...Object.values(target.surfaces).map((surface) => surface.commit)];
        for (const commit of commits.filter((item) => item !== '')) {
          assert.equal(isQuarantined(given.history, commit), undefined);
        }
        if (given.request.to !== undefined) return;
        const from = currentRelease(given.history);
        // A release that stopped half-way goes back to what serves, unless that is known to be bad.
        if (from?.deployment === 'pending' && target.deployment === 'live') {
          assert.notEqual(target.health, 'bad');
          return;
        }
        assert.equal(target.health, 'good');
        assert.ok(from !== undefined && differs(from, target, given.request.only), 'it is the same code');
        // Nothing nearer would have done.
        const nearer = given.history.releases.filter(
          ({ id }) => number(id) > number(target.id) && number(id) < number(from.id),
        );
        for (const release of nearer) {
          const isUsable =
            release.health === 'good' &&
            commitsOf(release).every((commit) => isQuarantined(given.history, commit) === undefined);
          assert.ok(
            !isUsable || !differs(from, release, given.request.only),
            `${release.id} was passed over`,
          );
        }
      }),
      runs,
    );
  });

  test('never takes the same code for a way back, and says so where a person names it', () => {
    let [passedOver, warned] = [0, 0];
    fc.assert(
      fc.property(rollbackCase, fc.boolean(), (drawn, isRepeated) => {
        const given = isRepeated ? { ...drawn, history: releasedTwice(drawn.history) } : drawn;
        const from = currentRelease(given.history);
        const { to, only } = given.request;
        const plan = rollback(given);
        if (from === undefined || isRefusal(plan)) return;
        const target = findRelease(given.history, plan.to ?? 'r0');
        assert.ok(target !== undefined);
        const isSame = !differs(from, target, only);
        assert.equal(
          plan.warnings.some((text) => text.includes('is the same code as')),
          isSame,
        );
        if (isSame) warned += 1;
        if (to !== undefined || from.deployment === 'pending') return;
        assert.ok(!isSame);
        if (lastGoodRelease(given.history, from.id) !== target) passedOver += 1;
      }),
      { numRuns: 5000 },
    );
    assert.ok(passedOver > 20, `only ${passedOver} were passed over`);
    assert.ok(warned > 20, `only ${warned} were warned of`);
  });

  test('refuses a target that is quarantined, by any of its commits', () => {
    let refused = 0;
    fc.assert(
      fc.property(rollbackCase, (given) => {
        const { to } = given.request;
        const target = to === undefined ? undefined : findRelease(given.history, to);
        if (target === undefined) return;
        const commits = [target.commit, ...Object.values(target.surfaces).map((surface) => surface.commit)];
        const bad = commits.some((commit) => commit !== '' && isQuarantined(given.history, commit));
        if (!bad) return;
        refused += 1;
        assert.ok(isRefusal(rollback(given)));
      }),
      { numRuns: 5000 },
    );
    assert.ok(refused > 20, `only ${refused} were refused`);
  });
});

describe('what a release refuses', () => {
  test('a commit that contains a quarantined one', () => {
    fc.assert(
      fc.property(releaseCase, (given) => {
        if (given.request.quarantinedAncestors.length === 0) return;
        const answer = release(given);
        assert.ok(isRefusal(answer));
        assert.equal(answer.slug, 'quarantined');
      }),
      runs,
    );
  });

  test('a migration without a way back, unless it is marked restore-only', () => {
    let refused = 0;
    let released = 0;
    fc.assert(
      fc.property(releaseCase, (given) => {
        const answer = release(given);
        const downs = databasesOf(given.facts).flatMap(([surface, facts]) =>
          given.request.changed.includes(surface)
            ? facts.migrations.filter((item) => facts.pending.includes(item.version)).map((item) => item.down)
            : [],
        );
        if (downs.includes('missing')) {
          refused += 1;
          assert.ok(isRefusal(answer));
        } else if (downs.includes('restore-only') && !isRefusal(answer)) {
          released += 1;
          assert.ok(answer.warnings.some((warning) => warning.includes('restore-only')));
        }
      }),
      runs,
    );
    assert.ok(refused > 20 && released > 5, `${refused} refused, ${released} released`);
  });
});
