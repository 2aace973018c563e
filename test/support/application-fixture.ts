/**
 * The smallest application with all three surfaces: a page that names its version and lists its rows, a database
 * with migrations, a desktop version. Nothing to install, nothing to build.
 */

/** Answers `GET /` with its version and rows, keeps a row on `POST /`, and dies of `POST /break`. */
export const serverSource = `import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
const { version, column, broken } = JSON.parse(readFileSync(join(import.meta.dirname, 'version.json'), 'utf8'));
const file = process.env.DB;
let database = null;
if (file !== undefined) {
  const { DatabaseSync } = await import('node:sqlite');
  database = () => {
    const opened = new DatabaseSync(file);
    opened.exec('pragma busy_timeout = 5000');
    return opened;
  };
}
function answer(request, response) {
  if (request.url === '/health') {
    response.writeHead(broken ? 500 : 200);
    return response.end(version);
  }
  let rows = null;
  if (database !== null && column !== undefined) {
    const opened = database();
    try {
      if (request.method === 'POST') {
        opened.prepare('insert into entries (body, ' + column + ') values (?, ?)').run('by ' + version, column + ' of ' + version);
      }
      rows = opened.prepare('select id, body, ' + column + ' from entries order by id').all();
    } finally {
      opened.close();
    }
  }
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ version, rows, environment: process.env.APP_NAME ?? null }));
}
const server = createServer((request, response) => {
  request.resume().on('end', () => {
    try {
      answer(request, response);
    } catch (error) {
      response.writeHead(500);
      response.end(error.message);
    }
  });
});
server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
`;

export const firstMigration = `-- migrate:up
create table entries (id integer primary key, body text not null, mood text not null default 'none');

-- migrate:down
drop table entries;
`;

/** Destructive: rewrites every row and drops a column; what it did can be taken back. */
export const badMigration = `-- migrate:up
alter table entries add column feeling text not null default 'unknown';
update entries set body = upper(body);
alter table entries drop column mood;

-- migrate:down
alter table entries add column mood text not null default 'none';
alter table entries drop column feeling;
`;
