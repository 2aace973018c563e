import { DatabaseSync } from 'node:sqlite';

/** An application that writes all the time: `node writing-process.ts FILE`. Prints the id of every committed row. */
const [file = ''] = process.argv.slice(2);
const database = new DatabaseSync(file, { timeout: 10_000 });
const insert = database.prepare('INSERT INTO entries (id, body) VALUES (?, ?)');
let id = 10_000;
process.on('SIGTERM', () => {
  database.close();
  process.exit(0);
});
setInterval(() => {
  id += 1;
  insert.run(id, `written ${id}`);
  process.stdout.write(`${id}\n`);
}, 1);
