/** An expected failure: its message is shown to the person who asked. */
export class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {import('node:http').ServerResponse} response */
export function sendJson(response, status, value) {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
  });
  response.end(`${JSON.stringify(value)}\n`);
}

/**
 * The request's JSON, at most `limit` bytes. Only with JSON's own content type: a form of another site can
 * send any text here without asking, but not that header.
 *
 * @param {import('node:http').IncomingMessage} request
 */
export async function readJson(request, limit) {
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
    throw new HttpError(415, 'Send JSON, with the content type application/json.');
  }
  const chunks = [];
  let size = 0;
  // Read to its end even when it is too long: a client that is still sending would not see the answer.
  for await (const chunk of request) {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
    if (size > limit * 10) break;
  }
  if (size > limit) throw new HttpError(413, `That is more than ${limit.toLocaleString('en')} bytes.`);
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new HttpError(400, 'That is not JSON.');
  }
}
