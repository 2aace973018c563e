const draftKey = 'inner-scribe-vault.draft';
const get = (id) => document.getElementById(id);

/** What the list shows: `token` grows with each question, so that a late answer to an old one is left out. */
const view = { query: '', mood: null, last: null, token: 0 };

/** One face a mood: the path of its mouth and eyes, around the middle of a 24 × 24 field. */
const faces = {
  joyful: 'M7.5 13.5c1 3 3 4 4.5 4s3.5-1 4.5-4z M8 9.5q1-1.5 2 0 M14 9.5q1-1.5 2 0',
  grateful: 'M8 14q4 3.5 8 0 M7.8 9.5q1.2 1.2 2.4 0 M13.8 9.5q1.2 1.2 2.4 0',
  calm: 'M8.5 14.8q3.5 1.7 7 0 M9 9.8v.1 M15 9.8v.1',
  tired: 'M9.5 15.5h5 M7.5 10.3h3 M13.5 10.3h3',
  anxious:
    'M7.5 15.5q1.1-1.6 2.25 0t2.25 0t2.25 0t2.25 0 M9 10v.1 M15 10v.1 M7.5 7.7l2.5-.9 M16.5 7.7l-2.5-.9',
  sad: 'M8.5 16q3.5-3 7 0 M9 10.3v.1 M15 10.3v.1',
};

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(15_000) });
  } catch {
    throw new Error('The journal does not answer. Is this machine connected?');
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `The journal answered ${response.status}.`);
  return answer;
}

function face(mood) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '3.5 3.5 17 17');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('face');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', faces[mood] ?? '');
  svg.append(path);
  return svg;
}

function moodRadio(name) {
  const label = document.createElement('label');
  label.className = 'chip';
  label.dataset.mood = name;
  const input = document.createElement('input');
  input.type = 'radio';
  input.name = 'mood';
  input.value = name;
  // A radio button cannot be taken back by the keyboard or the mouse alone; a mood is optional.
  input.addEventListener('click', () => {
    if (input.dataset.was === 'true') input.checked = false;
    for (const other of get('moods').querySelectorAll('input')) other.dataset.was = other.checked;
  });
  label.append(input, face(name), name);
  return label;
}

function moodFilter({ name, entries }) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'chip';
  button.dataset.mood = name;
  button.setAttribute('aria-pressed', String(view.mood === name));
  button.setAttribute('aria-label', `${name}, ${entries} ${entries === 1 ? 'entry' : 'entries'}`);
  const count = document.createElement('span');
  count.className = 'count';
  count.textContent = entries;
  button.append(face(name), count);
  button.addEventListener('click', () => {
    view.mood = view.mood === name ? null : name;
    for (const other of get('filters').children) {
      other.setAttribute('aria-pressed', String(other.dataset.mood === view.mood));
    }
    void show();
  });
  return button;
}

/** The list of moods is the server's; without it one can still write. */
async function showMoods() {
  const { moods } = await ask('/api/moods').catch(() => ({ moods: [] }));
  if (get('moods').childElementCount === 0) get('moods').append(...moods.map(({ name }) => moodRadio(name)));
  const used = moods.filter(({ name, entries }) => entries > 0 || name === view.mood);
  get('filters').replaceChildren(...used.map(moodFilter));
}

/** Text with every occurrence of the query marked, compared as the server compares: without case and accents. */
function marked(text, query) {
  const fold = (part) => part.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  const letters = [...text];
  const folded = letters.map(fold);
  const wanted = fold(query);
  const parts = [];
  let plain = '';
  for (let at = 0; at < letters.length; ) {
    let end = at;
    let candidate = '';
    while (wanted !== '' && end < letters.length && candidate.length < wanted.length)
      candidate += folded[end++];
    if (candidate !== '' && candidate === wanted) {
      const mark = document.createElement('mark');
      mark.textContent = letters.slice(at, end).join('');
      parts.push(plain, mark);
      plain = '';
      at = end;
    } else {
      plain += letters[at++];
    }
  }
  return [...parts, plain];
}

const dayOfThisYear = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long' });
const dayOfAnyYear = new Intl.DateTimeFormat('en', { dateStyle: 'long' });
const timeFormat = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

function dayName(date) {
  const days = Math.round(
    (new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000,
  );
  const format = date.getFullYear() === new Date().getFullYear() ? dayOfThisYear : dayOfAnyYear;
  return ['Today', 'Yesterday'][days] ?? format.format(date);
}

function entryElement(entry) {
  const article = get('entry').content.firstElementChild.cloneNode(true);
  const date = new Date(entry.createdAt);
  const time = article.querySelector('time');
  time.dateTime = entry.createdAt;
  time.textContent = timeFormat.format(date);
  const mood = article.querySelector('.mood');
  if (entry.mood === null) mood.remove();
  else {
    article.dataset.mood = entry.mood;
    mood.append(face(entry.mood), entry.mood);
  }
  article.querySelector('.text').append(...marked(entry.body, view.query));
  return article;
}

function append(entries) {
  const list = get('entries');
  for (const entry of entries) {
    const day = dayName(new Date(entry.createdAt));
    let section = list.lastElementChild;
    if (section?.dataset.day !== day) {
      section = document.createElement('section');
      section.dataset.day = day;
      const heading = document.createElement('h3');
      heading.textContent = day;
      section.append(heading);
      list.append(section);
    }
    section.append(entryElement(entry));
  }
}

/** Asks for the list; `older` adds the next page to it. */
async function show(older = false) {
  const token = ++view.token;
  const parameters = new URLSearchParams();
  if (view.query !== '') parameters.set('q', view.query);
  if (view.mood !== null) parameters.set('mood', view.mood);
  if (older && view.last !== null) parameters.set('before', view.last);
  get('entries').setAttribute('aria-busy', 'true');
  try {
    const { entries, more } = await ask(`/api/entries?${parameters}`);
    if (token !== view.token) return;
    if (!older) get('entries').replaceChildren();
    append(entries);
    view.last = entries.at(-1)?.id ?? view.last;
    get('older').hidden = !more;
    get('problem').hidden = true;
    tellFound(entries.length, more, older);
  } catch (error) {
    if (token !== view.token) return;
    get('found').textContent = '';
    get('problem').querySelector('p').textContent = error.message;
    get('problem').hidden = false;
  } finally {
    if (token === view.token) get('entries').setAttribute('aria-busy', 'false');
  }
}

function tellFound(count, more, older) {
  const entries = `${count}${more ? ' or more' : ''} ${count === 1 ? 'entry' : 'entries'}`;
  const kind = view.mood === null ? entries : entries.replace(/ (?=entr)/, ` ${view.mood} `);
  let text = '';
  if (older) text = `${count} older ${count === 1 ? 'entry' : 'entries'} shown.`;
  else if (view.query !== '') text = `${count === 0 ? `No${kind.slice(1)}` : kind} with “${view.query}”.`;
  else if (view.mood !== null) text = `${count === 0 ? `No${kind.slice(1)}` : kind}.`;
  else if (count === 0) text = 'Nothing here yet. Your first entry will stand here.';
  get('found').textContent = text;
}

async function keep(event) {
  event.preventDefault();
  const form = get('write');
  const status = get('write-status');
  const button = form.querySelector('.keep');
  const body = get('body').value;
  if (body.trim() === '') {
    status.textContent = 'Write something first.';
    get('body').focus();
    return;
  }
  button.disabled = true;
  status.textContent = 'Keeping it…';
  try {
    await ask('/api/entries', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ body, mood: new FormData(form).get('mood') }),
    });
    form.reset();
    localStorage.removeItem(draftKey);
    status.textContent = 'Kept.';
    view.query = get('query').value = '';
    view.mood = null;
    await Promise.all([show(), showMoods()]);
  } catch (error) {
    status.textContent = `Not kept: ${error.message} Your text stays here.`;
  } finally {
    button.disabled = false;
    get('body').focus();
  }
}

/** Which release answers: what one wants to know first when something is odd. */
async function showRelease() {
  const { release, schema } = await ask('/health').catch(() => ({}));
  get('release').textContent = [release && `Release ${release}`, schema && `schema ${schema}`]
    .filter(Boolean)
    .join(' · ');
}

/** Inside the desktop application, its preload script tells of updates. */
function showUpdates(desktop) {
  desktop?.onUpdate(({ version, notice }) => {
    get('update').hidden = false;
    get('update').querySelector('p').textContent = notice ?? `Version ${version} is ready.`;
    get('update').querySelector('button').hidden = version === null;
  });
  get('update')
    .querySelector('button')
    .addEventListener('click', () => desktop?.install());
}

get('today').textContent = dayOfThisYear.format(new Date());
if (/Mac|iPhone|iPad/.test(navigator.userAgent)) get('body-hint').querySelector('kbd').textContent = '⌘';

get('body').value = localStorage.getItem(draftKey) ?? '';
get('body').addEventListener('input', () => {
  localStorage.setItem(draftKey, get('body').value);
  get('write-status').textContent = '';
});
get('write').addEventListener('reset', () => {
  for (const input of get('moods').querySelectorAll('input')) delete input.dataset.was;
});
get('write').addEventListener('submit', (event) => void keep(event));
get('write').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) get('write').requestSubmit();
});

let waiting;
function search() {
  clearTimeout(waiting);
  view.query = get('query').value.trim();
  void show();
}
get('query').addEventListener('input', () => {
  clearTimeout(waiting);
  waiting = setTimeout(search, 200);
});
get('search').addEventListener('submit', (event) => {
  event.preventDefault();
  search();
});
document.addEventListener('keydown', (event) => {
  const typing = event.target.closest('input:not([type=radio]), textarea');
  if (event.key !== '/' || typing !== null || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  get('query').focus();
});
get('older').addEventListener('click', () => void show(true));
get('problem')
  .querySelector('button')
  .addEventListener('click', () => void show());

showUpdates(window.vaultDesktop);
void showMoods();
void show();
void showRelease();
