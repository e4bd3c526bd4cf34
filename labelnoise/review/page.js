"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const KEY = `labelnoise-review:${data.fingerprint}`;
const COLUMNS = ["sample", "given_label", "decision", "label", "data"];
const cards = [...document.querySelectorAll(".card")];
const byId = (id) => document.getElementById(id);
// By the name of a sample; also decisions on samples that another page of these data shows.
let decisions = new Map();
let current = 0;

// ---- decisions, kept in the browser ----

function isDecision(d) {
  if (!Array.isArray(d) || d.length !== 4 || !d.every((word) => typeof word === "string")) return false;
  const known = data.classes.includes(d[1]) && (d[2] === "change" ? data.classes.includes(d[3]) : d[3] === "");
  return known && ["keep", "change", "drop"].includes(d[2]);
}

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) || "[]");
    decisions = new Map(kept.filter(isDecision).map((d) => [d[0], { given: d[1], decision: d[2], label: d[3] }]));
  } catch {
    say("This browser keeps no progress: save corrections.csv before you close the page.");
  }
}

function store() {
  try {
    const rows = [...decisions].map(([name, d]) => [name, d.given, d.decision, d.label]);
    localStorage.setItem(KEY, JSON.stringify(rows));
    return "";
  } catch {
    return "This browser keeps no progress: save corrections.csv before you close the page.";
  }
}

function decide(place, decision, label = "") {
  const sample = data.samples[place];
  if (decision === "undo") decisions.delete(sample.name);
  else decisions.set(sample.name, { given: sample.given, decision, label });
  const warning = store();
  show(place);
  count();
  // The decision first: a narrow bar cuts long names.
  say(warning || `${capital(inWords(decisions.get(sample.name)))}: ${sample.name}`);
}

function inWords(d) {
  if (!d) return "undecided";
  return { keep: `keep ${d.given}`, change: `change to ${d.label}`, drop: "drop" }[d.decision];
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

// ---- what the page shows ----

function show(place) {
  const card = cards[place];
  const sample = data.samples[place];
  const d = decisions.get(sample.name);
  if (d) card.dataset.decision = d.decision;
  else delete card.dataset.decision;
  const isOther = d?.decision === "change" && d.label !== sample.suggested;
  const pressed = isOther ? "other" : d?.decision;
  for (const button of card.querySelectorAll("[aria-pressed]")) {
    button.setAttribute("aria-pressed", String(button.dataset.do === pressed));
  }
  card.querySelector(".other").textContent = isOther ? d.label : "Another class…";
  card.querySelector(".said").textContent = capital(inWords(d));
  card.querySelector("[data-do=undo]").hidden = !d;
}

function count() {
  const here = data.samples.filter((s) => decisions.has(s.name)).length;
  const elsewhere = decisions.size - here;
  const more = elsewhere ? `, and ${elsewhere} on other pages of these data` : "";
  byId("count").textContent = `${here} of ${data.samples.length} decided${more}`;
  byId("progress").value = here;
  byId("save").disabled = decisions.size === 0;
}

function say(text) {
  const status = byId("status");
  status.textContent = status.title = text;
}

// ---- filters ----

const pairOf = (s) => JSON.stringify([s.given, s.suggested]);

function fill(select, keyOf, textOf) {
  const counts = new Map();
  for (const s of data.samples) {
    const entry = counts.get(keyOf(s)) || { text: textOf(s), n: 0 };
    entry.n += 1;
    counts.set(keyOf(s), entry);
  }
  for (const [value, { text, n }] of [...counts].sort((a, b) => b[1].n - a[1].n)) {
    select.append(new Option(`${text} (${n})`, `=${value}`));
  }
}

function filter() {
  const [given, pair] = [byId("by-given").value, byId("by-pair").value];
  const state = byId("by-state")?.value || "";
  let shown = 0;
  cards.forEach((card, place) => {
    const s = data.samples[place];
    const fits =
      (!given || given === `=${s.given}`) &&
      (!pair || pair === `=${pairOf(s)}`) &&
      (!state || (state === "done") === decisions.has(s.name));
    card.parentElement.hidden = !fits;
    shown += fits;
  });
  byId("shown").textContent = `${shown} of ${cards.length} shown`;
  byId("empty").hidden = shown > 0;
  if (shown && cards[current].parentElement.hidden) select(visible()[0]);
}

// ---- moving between cards ----

const visible = () => cards.map((_, place) => place).filter((place) => !cards[place].parentElement.hidden);

function select(place, focus = false) {
  cards[current].tabIndex = -1;
  current = place;
  cards[current].tabIndex = 0;
  if (focus) cards[current].focus();
}

function move(key) {
  const places = visible();
  const at = Math.max(places.indexOf(current), 0);
  const top = (place) => cards[place].getBoundingClientRect().top;
  const columns = places.filter((place) => Math.abs(top(place) - top(places[0])) < 2).length || 1;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  const next = at + step;
  if (next >= 0 && next < places.length) select(places[next], true);
}

function act(place, action) {
  const sample = data.samples[place];
  if (action === "other") {
    choose(place);
    return false;
  }
  if (action === "change" && sample.suggested === sample.given) {
    say(`${sample.name}: the network suggests the given label.`);
    return false;
  }
  decide(place, action, action === "change" ? sample.suggested : "");
  return true;
}

const ACTIONS = { k: "keep", c: "change", o: "other", d: "drop", u: "undo" };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input, summary, dialog")) return;
  const card = event.target.closest(".card");
  if (event.key.startsWith("Arrow")) {
    if (card) move(event.key);
    else if (event.target === document.body && visible().length) select(current, true);
    else return;
    event.preventDefault();
    return;
  }
  const action = ACTIONS[event.key.toLowerCase()];
  if (!card || !action || !data.correctable) return;
  event.preventDefault();
  // The place is read before the move, because a decision goes on to the next card.
  if (act(Number(card.dataset.place), action) && action !== "undo" && !event.repeat) move("ArrowRight");
});

byId("grid").addEventListener("focusin", (event) => {
  const card = event.target.closest(".card");
  if (card) select(Number(card.dataset.place));
});

byId("grid").addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  const card = event.target.closest(".card");
  if (!card) return;
  select(Number(card.dataset.place));
  if (button) {
    act(current, button.dataset.do);
    if (button.hidden) card.focus();
  }
});

// ---- another class ----

function choose(place) {
  const sample = data.samples[place];
  const list = byId("choose-class");
  const now = decisions.get(sample.name);
  list.replaceChildren(
    ...data.classes.filter((name) => name !== sample.given).map((name) => new Option(name, name)),
  );
  list.value = now?.decision === "change" ? now.label : sample.suggested;
  if (list.selectedIndex < 0) list.selectedIndex = 0;
  byId("choose-sample").textContent = `${sample.name}, given as ${sample.given}`;
  const dialog = byId("choose");
  dialog.returnValue = "cancel";
  dialog.onclose = () => {
    select(place, true);
    if (dialog.returnValue === "choose" && list.value !== "") {
      decide(place, "change", list.value);
      move("ArrowRight");
    }
  };
  dialog.showModal();
  list.focus();
}

// ---- corrections.csv ----

// As labelnoise/csv_files.py: text that a spreadsheet would execute gets an apostrophe.
function cell(text) {
  const isNumber = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$/.test(text);
  const safe = /^'*[=+\-@\t\r]/.test(text) && !isNumber ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function corrections() {
  const order = new Map(data.samples.map((s, place) => [s.name, place]));
  const rows = [...decisions].sort(
    (a, b) => (order.get(a[0]) ?? Infinity) - (order.get(b[0]) ?? Infinity) || (a[0] < b[0] ? -1 : 1),
  );
  const lines = rows.map(([name, d]) => [name, d.given, d.decision, d.label, data.fingerprint]);
  return [COLUMNS, ...lines].map((line) => line.map(cell).join(",") + "\r\n").join("");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([corrections()], { type: "text/csv" }));
  link.download = "corrections.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  const n = decisions.size;
  say(`Saved ${n} decision${n === 1 ? "" : "s"}: apply them by data.corrections=corrections.csv.`);
}

// ---- start ----

for (const image of document.querySelectorAll(".what img")) {
  const mark = () => image.classList.toggle("small", image.naturalWidth <= 64);
  if (image.complete) mark();
  else image.addEventListener("load", mark);
}
fill(byId("by-given"), (s) => s.given, (s) => s.given);
fill(byId("by-pair"), pairOf, (s) => `${s.given} → ${s.suggested}`);
byId("filters").addEventListener("change", filter);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("all-scores").addEventListener("change", (event) => {
  document.body.classList.toggle("all-scores", event.target.checked);
});
byId("reset").addEventListener("click", () => {
  byId("filters").reset();
  filter();
});
if (data.correctable) {
  byId("save").addEventListener("click", save);
  load();
  cards.forEach((_, place) => show(place));
  count();
  // Another tab with these data has decided.
  addEventListener("storage", (event) => {
    if (event.key !== KEY) return;
    load();
    cards.forEach((_, place) => show(place));
    count();
  });
}
filter();
