import { HttpError, readJson, sendJson } from './json.mjs';
import { moods } from './moods.mjs';

const longestBody = 20_000;
const longestPlace = 100;
const longestQuery = 200;
const pageSize = 30;

const security = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/**
 * @param {{
 *   journal: ReturnType<typeof import('./journal.mjs').openJournal>,
 *   assets: ReturnType<typeof import('./assets.mjs').loadAssets>,
 *   release: string | null,
 *   hosts: string[],
 * }} application `hosts`: names besides this machine's own by which the page may be asked for
 * @returns {import('node:http').RequestListener}
 */
export function createHandler({ journal, assets, release, hosts }) {
  const known = new Set(['127.0.0.1', 'localhost', '[::1]', ...hosts]);
  const routes = {
    '/health': { GET: (_, response) => health(journal, release, response) },
    '/api/entries': {
      GET: (url, response) => sendJson(response, 200, read(journal, url.searchParams)),
      POST: async (_, response, request) => {
        const entry = validEntry(await readJson(request, longestBody * 4));
        sendJson(response, 201, journal.write(entry));
      },
    },
    '/api/moods': {
      GET: (_, response) => {
        const counts = journal.countMoods();
        sendJson(response, 200, { moods: moods.map((name) => ({ name, entries: counts[name] ?? 0 })) });
      },
    },
  };

  return async (request, response) => {
    for (const [name, value] of Object.entries(security)) response.setHeader(name, value);
    try {
      // A page of another site whose name was made to point here must not read the journal.
      const host = (request.headers.host ?? '').replace(/:\d+$/, '');
      if (!known.has(host)) throw new HttpError(421, `This journal does not answer to the name "${host}".`);
      const url = URL.parse(request.url ?? '/', 'http://journal');
      if (url === null) throw new HttpError(400, 'That is no address.');
      const route = routes[url.pathname] ?? asset(assets, url.pathname);
      if (route === undefined) throw new HttpError(404, 'There is nothing here.');
      const act = route[request.method === 'HEAD' ? 'GET' : request.method];
      if (act === undefined) {
        response.setHeader('allow', Object.keys(route).join(', '));
        throw new HttpError(405, `${request.method} is not possible here.`);
      }
      await act(url, response, request);
    } catch (error) {
      if (response.headersSent) return response.destroy();
      if (error instanceof HttpError) return sendJson(response, error.status, { error: error.message });
      // No text of the request: what is written in a journal does not belong in a log.
      console.error(`${request.method} ${request.url?.split('?')[0]}: ${error.message}`);
      sendJson(response, 500, { error: 'Something went wrong on our side. Nothing you wrote was changed.' });
    }
  };
}

function asset(assets, path) {
  const found = assets.get(path);
  if (found === undefined) return undefined;
  return {
    GET: (_, response) => response.writeHead(200, found.headers).end(found.content),
  };
}

/** Good only when this code can read this database: a running process alone says nothing. */
function health(journal, release, response) {
  try {
    journal.check();
    sendJson(response, 200, { ok: true, schema: journal.schema(), release });
  } catch (error) {
    console.error(`GET /health: ${error.message}`);
    sendJson(response, 503, { ok: false, schema: null, release });
  }
}

function read(journal, parameters) {
  const query = (parameters.get('q') ?? '').trim();
  const mood = parameters.get('mood') || null;
  const before = parameters.get('before');
  if (query.length > longestQuery) throw new HttpError(400, `Search for ${longestQuery} characters at most.`);
  if (mood !== null && !moods.includes(mood)) throw new HttpError(400, 'There is no such mood.');
  if (before !== null && !/^\d{1,15}$/.test(before))
    throw new HttpError(400, '"before" is the number of an entry.');
  const page = { mood, before: before === null ? null : Number(before), limit: pageSize + 1 };
  const entries = query === '' ? journal.list(page) : journal.search({ ...page, query });
  return { entries: entries.slice(0, pageSize), more: entries.length > pageSize };
}

function validEntry(value) {
  const { body, mood = null, place = null } = typeof value === 'object' && value !== null ? value : {};
  if (typeof body !== 'string' || body.trim() === '') throw new HttpError(400, 'An entry needs some text.');
  if (body.length > longestBody) {
    throw new HttpError(400, `An entry has ${longestBody.toLocaleString('en')} characters at most.`);
  }
  if (mood !== null && !moods.includes(mood)) throw new HttpError(400, 'There is no such mood.');
  if (place !== null && (typeof place !== 'string' || place.length > longestPlace)) {
    throw new HttpError(400, `A place has ${longestPlace} characters at most.`);
  }
  return { place, body: body.trim().replaceAll('\r\n', '\n'), mood };
}
