// The page: what is picked, searched and shown beside the picture.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const picture = new Picture(data, $("lanes"), $("overview"));

/** An element with text and children; nothing from the data is ever taken for markup. */
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; picture.draw(); });
}

// What each task did, added up once.
const totals = new Map();
data.lanes.forEach((lane, number) => {
  let busy = 0;
  for (const span of lane.spans) {
    span.lane = number;
    if (span.kind === "poll" || span.kind === "main") busy += span.to - span.from;
    if (span.kind !== "poll") continue;
    const total = totals.get(span.task) ?? { task: span.task, polls: [], time: 0, longest: null };
    totals.set(span.task, total);
    total.polls.push(span);
    total.time += span.to - span.from;
    if (!total.longest || span.to - span.from > total.longest.to - total.longest.from) total.longest = span;
  }
  if (lane.on.length) busy = lane.on.reduce((sum, [from, to]) => sum + to - from, 0);
  lane.about = (100 * busy / Math.max(1, data.end)).toFixed(busy * 10 < data.end ? 1 : 0) + (lane.on.length ? " % of the steps" : " % in polls");
});
for (const total of totals.values()) total.polls.sort((one, other) => one.from - other.from);

const label = (task) => data.tasks[task]?.label ?? "task " + task;
const length = (span) => timeText(span.to - span.from, data.unit);

function facts(pairs) {
  const list = make("dl", { className: "facts" });
  for (const [key, value] of pairs) {
    if (value === "" || value === null || value === undefined) continue;
    list.append(make("dt", { textContent: key }), value instanceof Node ? make("dd", {}, value) : make("dd", { textContent: value }));
  }
  return list;
}

function table(heads, rows) {
  const body = make("tbody", {});
  for (const { cells, title, go } of rows) {
    const row = make("tr", { title: title ?? "" }, ...cells.map((text) => make("td", { textContent: text })));
    if (go) { row.dataset.go = ""; row.onclick = go; }
    body.append(row);
  }
  return make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { textContent: text })))), body);
}

function link(text, go) { return make("a", { textContent: text, onclick: go }); }

/** Shows a span with some of what is around it. */
function focus(span) {
  const width = Math.max((span.to - span.from) * 6, data.unit === "steps" ? 60 : 2000);
  const middle = (span.from + span.to) / 2;
  picture.show(middle - width / 2, middle + width / 2);
  pick(span);
}

function pick(span) {
  picture.picked = span;
  picture.task = span && span.kind === "poll" ? span.task : 0;
  side();
  redraw();
}

function pickTask(task) {
  picture.picked = null;
  picture.task = task;
  side();
  redraw();
}

/** The panel beside the picture: what is picked, else the whole. */
function side() {
  const panel = $("side");
  panel.replaceChildren();
  panel.scrollTop = 0;
  if (picture.picked) panel.append(...spanPanel(picture.picked));
  else if (picture.task) panel.append(...taskPanel(picture.task));
  else panel.append(...overall());
}

function heading(text, colour) {
  const dot = make("i", {});
  dot.style.background = colour;
  return make("p", { className: "big" }, colour ? dot : null, text);
}

function spanPanel(span) {
  const lane = data.lanes[span.lane];
  const names = { poll: "Poll of " + label(span.task), main: "Poll of the main future", park: "Parked", look: "Look at the driver" };
  const parts = [heading(names[span.kind], picture.fill(span))];
  const note = data.tasks[span.task];
  const total = totals.get(span.task);
  const asked = span.kind === "poll" ? data.arrows.find((arrow) => arrow.task === span.task && arrow.end === span.from && (arrow.kind === "wake" || arrow.kind === "spawn")) : null;
  const why = asked ? `${asked.kind === "wake" ? "woken" : "spawned"} on ${data.lanes[asked.from].name}, ${timeText(asked.end - asked.start, data.unit)} before` : "";
  parts.push(facts([
    ["on", lane.name], ["from", timeText(span.from, data.unit)], ["took", length(span)], ["ended", span.end === "still" ? "goes on" : span.end],
    ["asked for", why], ["future", note?.name], ["spawned at", note?.spawned_at], ["now", note?.state],
  ]));
  if (total) {
    const at = total.polls.indexOf(span);
    const line = make("p", {}, `Poll ${at + 1} of ${total.polls.length}: `);
    if (at > 0) line.append(link("the one before", () => focus(total.polls[at - 1])), " · ");
    if (at + 1 < total.polls.length) line.append(link("the next", () => focus(total.polls[at + 1])), " · ");
    line.append(link("the task", () => pickTask(span.task)), " · ", link("everything", () => pick(null)));
    parts.push(line);
  } else parts.push(make("p", {}, link("everything", () => pick(null))));
  const events = lane.events.slice(span.events[0], span.events[1]);
  parts.push(make("h2", { textContent: `Events (${events.length})` }), eventList(events.slice(0, 400)));
  if (events.length > 400) parts.push(make("p", { className: "faint", textContent: `and ${events.length - 400} more` }));
  return parts;
}

function eventList(events) {
  return make("ol", {}, ...events.map(([at, text]) => make("li", {}, make("b", { textContent: timeText(at, data.unit, data.unit === "steps" ? 1 : undefined) }), text)));
}

function taskPanel(task) {
  const note = data.tasks[task], total = totals.get(task);
  const colour = picture.fill({ kind: "poll", task, from: 0, to: 0 });
  const parts = [heading(label(task), colour), facts([
    ["future", note?.name], ["spawned at", note?.spawned_at], ["now", note?.state],
    ["polls", total ? total.polls.length : "none here"], ["in polls", total ? timeText(total.time, data.unit) : ""], ["longest", total ? length(total.longest) : ""],
  ]), make("p", {}, link("everything", () => pickTask(0)))];
  if (total) {
    const rows = total.polls.slice(0, 200).map((span) => ({ cells: [timeText(span.from, data.unit), data.lanes[span.lane].name, length(span)], go: () => focus(span) }));
    parts.push(make("h2", { textContent: "Its polls" }), table(["from", "on", "took"], rows));
  }
  return parts;
}

function overall() {
  const parts = [];
  const tasks = [...totals.values()].sort((one, other) => other.time - one.time);
  const polls = tasks.map((total) => total.longest).sort((one, other) => other.to - other.from - one.to + one.from);
  if (tasks.length === 0) parts.push(make("p", { className: "faint", textContent: "No polls were recorded." }));
  else {
    parts.push(make("h2", { textContent: "Longest polls" }), table(["task", "took", "at"], polls.slice(0, 8).map((span) => ({
      cells: [named(span.task), length(span), timeText(span.from, data.unit)], title: data.tasks[span.task]?.name, go: () => focus(span),
    }))));
    const functions = new Map();
    for (const total of tasks) {
      const name = data.tasks[total.task]?.name || data.tasks[total.task]?.spawned_at;
      if (!name) continue;
      const sum = functions.get(name) ?? { name, tasks: 0, polls: 0, time: 0 };
      functions.set(name, sum);
      sum.tasks++; sum.polls += total.polls.length; sum.time += total.time;
    }
    if (functions.size > 0) parts.push(make("h2", { textContent: "By function" }), table(["future", "tasks", "polls", "in polls"], [...functions.values()].sort((one, other) => other.time - one.time).slice(0, 12).map((sum) => ({
      cells: [shortName(sum.name), sum.tasks, sum.polls, timeText(sum.time, data.unit)], title: sum.name, go: () => search(sum.name),
    }))));
    parts.push(make("h2", { textContent: "Busiest tasks" }), table(["task", "polls", "in polls"], tasks.slice(0, 15).map((total) => ({
      cells: [named(total.task), total.polls.length, timeText(total.time, data.unit)], title: data.tasks[total.task]?.name, go: () => pickTask(total.task),
    }))));
  }
  const alive = Object.entries(data.tasks).filter(([, note]) => note.state);
  if (alive.length > 0) parts.push(make("h2", { textContent: `Alive at the dump (${alive.length})` }), table(["task", "state"], alive.slice(0, 100).map(([task, note]) => ({
    cells: [named(Number(task)), note.state.length > 34 ? note.state.slice(0, 33) + "…" : note.state], title: note.name + "\n" + note.state, go: () => pickTask(Number(task)),
  }))));
  parts.push(make("p", { className: "faint", textContent: "Wheel: zoom. Drag: move. Click: details. Keys: + − arrows, f all, n and p the task's next and last poll, / search, Esc." }));
  return parts;
}

function named(task) {
  const name = data.tasks[task]?.name;
  return name ? `${label(task)} ${shortName(name)}` : label(task);
}

// Search.
function search(text) {
  $("search").value = text;
  const wanted = text.trim().toLowerCase();
  picture.hits = null;
  if (wanted) {
    const number = /^(?:task )?(\d+)$/.exec(wanted)?.[1];
    const tasks = new Set();
    for (const [task, note] of Object.entries(data.tasks)) {
      const fits = number ? note.label.split(" ")[1] === number : `${note.label} ${note.name} ${note.spawned_at} ${note.state}`.toLowerCase().includes(wanted);
      if (fits) tasks.add(Number(task));
    }
    picture.hits = new Set();
    for (const lane of data.lanes) {
      for (const span of lane.spans) {
        if (span.task ? tasks.has(span.task) : span.kind.startsWith(wanted)) picture.hits.add(span);
      }
      if (number || tasks.size > 0) continue;
      lane.events.forEach(([at, event], place) => {
        if (!event.toLowerCase().includes(wanted)) return;
        const span = lane.spans[lower(lane.spans, at + 1, (span) => span.from) - 1];
        if (span && span.events[0] <= place && place < span.events[1]) picture.hits.add(span);
      });
    }
    if (tasks.size === 1) pickTask([...tasks][0]);
  }
  $("found").textContent = picture.hits ? `${picture.hits.size.toLocaleString("en")} found` : "";
  redraw();
}

function firstHit() {
  const hits = [...picture.hits ?? []].sort((one, other) => one.from - other.from);
  if (hits.length === 0) return;
  const at = hits.indexOf(picture.picked);
  focus(hits[(at + 1) % hits.length]);
}

function step(by) {
  const total = totals.get(picture.task);
  if (!total) return;
  const at = total.polls.indexOf(picture.picked);
  const next = total.polls[Math.min(Math.max(at + by, 0), total.polls.length - 1)];
  if (next) focus(next);
}

// The head.
$("title").textContent = document.title = data.title;
for (const [key, value] of data.about) $("about").append(make("div", {}, make("dt", { textContent: key }), make("dd", { textContent: value })));
if (data.failure) { $("failure").hidden = false; $("failure").textContent = data.failure; }
function legend() {
  const css = picture.css;
  const simulated = data.unit === "steps";
  const entries = [["hsl(137 58% 56%)", "poll of a task"], [css.main, "main future"], [css.park, "parked"], simulated ? [css.on, "has the processor"] : [css.look, "look at the driver"], [css.wake, "wake → poll"], [css.on, "spawn → poll"], [css.steal, simulated ? "steal, choice" : "steal"], [css.takeover, "takeover, panic"]];
  $("legend").replaceChildren(...entries.map(([colour, text]) => {
    const dot = make("i", {});
    dot.style.background = colour;
    return make("li", {}, dot, text);
  }));
}

// The mouse.
const canvas = $("lanes");
let drag = null;
canvas.addEventListener("wheel", (event) => {
  if (event.shiftKey) { const by = (picture.to - picture.from) * (event.deltaY || event.deltaX) / 1500; picture.show(picture.from + by, picture.to + by); }
  else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) { const by = (picture.to - picture.from) * event.deltaX / 1500; picture.show(picture.from + by, picture.to + by); }
  else picture.zoom(Math.exp(event.deltaY * 0.0016), picture.at(Math.max(LABEL, event.offsetX)));
  event.preventDefault();
  redraw();
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.offsetX, from: picture.from, to: picture.to, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  const tip = $("tip");
  if (drag) {
    const by = (drag.x - event.offsetX) / (picture.width - LABEL) * (drag.to - drag.from);
    if (Math.abs(drag.x - event.offsetX) > 3) { drag.moved = true; canvas.classList.add("drag"); tip.hidden = true; }
    if (drag.moved) { picture.show(drag.from + by, drag.to + by); redraw(); }
    return;
  }
  const hit = picture.under(event.offsetX, event.offsetY);
  tip.hidden = !hit;
  if (!hit) return;
  const { span, mark } = hit;
  if (mark) tip.textContent = mark.text;
  else {
    const what = span.kind === "poll" ? named(span.task) : { main: "main future", park: "parked", look: "look at the driver" }[span.kind];
    tip.textContent = `${what}\n${length(span)}${span.end ? ", " + (span.end === "still" ? "goes on" : span.end) : ""}`;
  }
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = event.clientY + 16 + "px";
});
canvas.addEventListener("pointerup", (event) => {
  canvas.classList.remove("drag");
  if (drag && !drag.moved) {
    const hit = picture.under(event.offsetX, event.offsetY);
    pick(hit?.span ?? null);
  }
  drag = null;
});
canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; });
function seek(event) {
  if (!(event.buttons & 1)) return;
  const inner = picture.width - LABEL - PAD, middle = (event.offsetX - LABEL) / inner * data.end, half = (picture.to - picture.from) / 2;
  picture.show(middle - half, middle + half);
  redraw();
}
$("overview").addEventListener("pointerdown", seek);
$("overview").addEventListener("pointermove", seek);

// Keys and tools.
$("search").addEventListener("input", (event) => search(event.target.value));
$("search").addEventListener("keydown", (event) => { if (event.key === "Enter") firstHit(); });
$("colour").onchange = (event) => { picture.colour = event.target.value; side(); redraw(); };
$("arrows").onchange = (event) => { picture.arrows = event.target.value; redraw(); };
const actions = {
  "f": () => picture.show(0, data.end), "+": () => picture.zoom(0.6), "=": () => picture.zoom(0.6), "-": () => picture.zoom(1 / 0.6),
  "ArrowLeft": () => picture.show(picture.from - (picture.to - picture.from) / 5, picture.to - (picture.to - picture.from) / 5),
  "ArrowRight": () => picture.show(picture.from + (picture.to - picture.from) / 5, picture.to + (picture.to - picture.from) / 5),
  "n": () => step(1), "p": () => step(-1), "/": () => $("search").focus(), "Escape": () => { search(""); pick(null); },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.target.matches("select") || event.target.id === "search" && event.key !== "Escape") return;
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
  redraw();
});
$("fit").onclick = () => { actions.f(); redraw(); };
$("in").onclick = () => { actions["+"](); redraw(); };
$("out").onclick = () => { actions["-"](); redraw(); };
new ResizeObserver(redraw).observe($("picture"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { picture.readColours(); legend(); side(); redraw(); });

legend();
picture.show(0, data.end);
// A link may say what to look at: #task=7 or #search=serve.
const wish = new URLSearchParams(location.hash.slice(1));
if (wish.has("search")) search(wish.get("search"));
const wished = totals.get(Number(wish.get("task")));
if (wished) focus(wished.longest); else side();
picture.draw();
document.body.dataset.ready = `${data.lanes.length} lanes, ${[...totals.values()].reduce((sum, total) => sum + total.polls.length, 0)} polls`;
