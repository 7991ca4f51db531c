(() => {
  'use strict';
  const root = document.documentElement;
  const key = 'kerastune:' + location.pathname;
  const all = (query) => [...document.querySelectorAll(query)];
  const filter = document.getElementById('filter');
  const table = document.querySelector('table.sortable');
  let sorted = {column: -1, down: false};

  function number(text) {
    const found = parseFloat(text.replace(/,/g, ''));
    return Number.isNaN(found) ? null : found;
  }

  function sort(column, down) {
    const body = table.tBodies[0];
    const value = (row) => row.cells[column].textContent.trim();
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      const [m, n] = [number(x), number(y)];
      if (m !== null && n !== null) return down ? n - m : m - n;
      if (m !== null || n !== null) return m === null ? 1 : -1;
      return down ? y.localeCompare(x) : x.localeCompare(y);
    });
    body.append(...rows);
    [...table.tHead.rows[0].cells].forEach((cell, place) => {
      const way = down ? 'descending' : 'ascending';
      cell.setAttribute('aria-sort', place === column ? way : 'none');
    });
    sorted = {column, down};
  }

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      count += row.hidden ? 0 : 1;
    }
    document.getElementById('shown').textContent = count + ' trials';
  }

  if (table) {
    all('table.sortable th button').forEach((button, column) => {
      button.addEventListener('click', () => {
        sort(column, sorted.column === column && !sorted.down);
      });
    });
    filter.addEventListener('input', show);
  }

  // While the search runs the file is written anew; what the reader did to the page stays.
  function keep() {
    const open = all('details[open]').map((each) => each.id);
    const state = {open, y: scrollY, filter: filter ? filter.value : '', sorted};
    try { sessionStorage.setItem(key, JSON.stringify(state)); } catch (error) { return; }
  }

  function restore() {
    let state = null;
    try { state = JSON.parse(sessionStorage.getItem(key)); } catch (error) { return; }
    if (!state) return;
    for (const id of state.open) {
      const fold = document.getElementById(id);
      if (fold) fold.open = true;
    }
    if (table && state.sorted.column >= 0) sort(state.sorted.column, state.sorted.down);
    if (filter && state.filter) { filter.value = state.filter; show(); }
    scrollTo(0, state.y);
  }

  restore();
  addEventListener('pagehide', keep);
  if (root.dataset.running === 'yes') {
    const live = document.querySelector('.live');
    const written = live ? Number(live.dataset.written) : 0;
    const told = live ? live.innerHTML : '';
    const age = () => {
      const minutes = Math.floor((Date.now() / 1000 - written) / 60);
      const much = minutes === 1 ? '1 minute' : minutes + ' minutes';
      if (live && minutes >= 30) live.textContent = 'No news for ' + much + ': kerastune status tells whether it runs.';
      else if (live && minutes >= 1) live.innerHTML = told + ' That was ' + much + ' ago.';
    };
    age();
    const typing = () => document.activeElement === filter;
    setInterval(() => {
      age();
      if (!document.hidden && !typing() && String(getSelection()) === '') { keep(); location.reload(); }
    }, 5000);
  }
})();
