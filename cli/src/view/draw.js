// Drawing: the picture's geometry, the lanes, the arrows, the overview. Knows nothing of the page around it.

const LABEL = 148, AXIS = 26, PAD = 12;
// A lane is as high as there is room for, within limits.
const LOWEST = 46, HIGHEST = 84;

/** Times in words. */
function timeText(at, unit, digits) {
  if (unit === "steps") return Math.round(at).toLocaleString("en") + (digits ? "" : " steps");
  const size = Math.abs(at);
  const [part, name] = size >= 1e9 ? [1e9, "s"] : size >= 1e6 ? [1e6, "ms"] : size >= 1e3 ? [1e3, "µs"] : [1, "ns"];
  const value = at / part;
  const decimals = digits ?? (Math.abs(value) >= 100 || part === 1 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
  return value.toFixed(decimals) + " " + name;
}

/** The first place in a list sorted by `key` whose key is at least `value`. */
function lower(list, value, key) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(list[middle]) < value) low = middle + 1; else high = middle;
  }
  return low;
}

/** A hue for a number: neighbours lie far apart. */
function hue(number) { return (number * 137.508) % 360; }

function hash(text) {
  let value = 7;
  for (let at = 0; at < text.length; at++) value = (value * 31 + text.charCodeAt(at)) >>> 0;
  return value % 977;
}

class Picture {
  constructor(data, lanes, overview) {
    this.data = data;
    this.lanes = lanes;
    this.overview = overview;
    this.from = 0;
    this.to = Math.max(1, data.end);
    this.picked = null;
    this.task = 0;
    this.hits = null;
    this.colour = "task";
    this.arrows = "cross";
    this.longest = 1;
    this.high = LOWEST;
    this.bar = 24;
    this.readColours();
    for (const lane of data.lanes) {
      // For a search by time: the longest span says how far left of the view one may begin.
      lane.reach = 0;
      for (const span of lane.spans) {
        lane.reach = Math.max(lane.reach, span.to - span.from);
        if (span.kind === "poll") this.longest = Math.max(this.longest, span.to - span.from);
      }
    }
    data.arrows.sort((one, other) => one.end - other.end);
    this.arrowReach = data.arrows.reduce((most, arrow) => Math.max(most, arrow.end - arrow.start), 0);
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["back", "panel", "line", "text", "faint", "grid", "park", "look", "main", "on", "mark", "pick", "wake", "steal", "takeover", "lane"];
    this.css = Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
    this.dark = matchMedia("(prefers-color-scheme: dark)").matches;
  }

  /** Sizes a canvas for the screen's pixels; its context in CSS pixels. */
  prepare(canvas, width, height) {
    const scale = devicePixelRatio || 1;
    canvas.style.height = height + "px";
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  }

  x(at) { return LABEL + (at - this.from) / (this.to - this.from) * (this.width - LABEL - PAD); }
  at(x) { return this.from + (x - LABEL) / (this.width - LABEL - PAD) * (this.to - this.from); }
  top(lane) { return AXIS + lane * this.high; }

  /** Shows this part, within the whole and no smaller than can be told apart. */
  show(from, to) {
    const all = Math.max(1, this.data.end);
    const least = this.data.unit === "steps" ? 8 : 50;
    let span = Math.min(Math.max(to - from, Math.min(least, all)), all * 1.02);
    let start = (from + to - span) / 2;
    const slack = span > all ? (span - all) / 2 : 0;
    start = Math.min(Math.max(start, -slack), Math.max(-slack, all - span + slack));
    this.from = start;
    this.to = start + span;
  }

  zoom(factor, at) {
    const middle = at ?? (this.from + this.to) / 2;
    this.show(middle - (middle - this.from) * factor, middle + (this.to - middle) * factor);
  }

  fill(span) {
    if (span.kind === "park") return this.css.park;
    if (span.kind === "look") return this.css.look;
    if (span.kind === "main") return this.css.main;
    const light = this.dark ? 60 : 56;
    if (this.colour === "time") {
      const part = Math.log(1 + span.to - span.from) / Math.log(1 + this.longest);
      return `hsl(${Math.round(150 - 150 * part)} 62% ${light - 4}%)`;
    }
    const note = this.data.tasks[span.task];
    const number = this.colour === "name" && note ? hash(note.name || note.spawned_at) : span.task;
    return `hsl(${hue(number).toFixed(0)} 58% ${light}%)`;
  }

  /** A span fades when something is searched for and it is no hit. */
  faded(span) { return this.hits && !this.hits.has(span); }

  draw() {
    this.width = this.lanes.clientWidth;
    const { data, css } = this;
    const room = (this.lanes.parentElement.clientHeight - AXIS - 8) / Math.max(1, data.lanes.length);
    this.high = Math.floor(Math.min(HIGHEST, Math.max(LOWEST, room)));
    this.bar = this.high - 22;
    const height = AXIS + data.lanes.length * this.high + 8;
    const context = this.prepare(this.lanes, this.width, height);
    this.axis(context, height);
    data.lanes.forEach((lane, number) => this.lane(context, lane, number));
    context.save();
    context.beginPath();
    context.rect(LABEL, AXIS - 4, this.width - LABEL, height);
    context.clip();
    this.drawArrows(context);
    if (data.failure && data.unit === "steps") {
      const x = this.x(data.end);
      context.strokeStyle = css.mark;
      context.lineWidth = 2;
      context.beginPath(); context.moveTo(x, AXIS - 4); context.lineTo(x, height - 8); context.stroke();
    }
    context.restore();
    this.drawOverview();
  }

  axis(context, height) {
    const { css } = this;
    const span = this.to - this.from;
    const wanted = Math.max(2, Math.floor((this.width - LABEL) / 120));
    const power = 10 ** Math.floor(Math.log10(span / wanted));
    const step = Math.max(1, [1, 2, 5, 10].map((part) => part * power).find((step) => span / step <= wanted) ?? power * 10);
    context.font = '11px system-ui, "DejaVu Sans", sans-serif';
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (let at = Math.ceil(this.from / step) * step; at <= this.to; at += step) {
      const x = Math.round(this.x(at)) + 0.5;
      context.strokeStyle = css.grid;
      context.lineWidth = 1;
      context.beginPath(); context.moveTo(x, AXIS - 6); context.lineTo(x, height); context.stroke();
      context.fillStyle = css.faint;
      if (x < this.width - 44) context.fillText(this.axisText(at, step), x + 4, AXIS / 2);
    }
  }

  axisText(at, step) {
    if (this.data.unit === "steps") return Math.round(at).toLocaleString("en");
    const size = Math.max(Math.abs(at), step);
    const part = size >= 1e9 ? 1e9 : size >= 1e6 ? 1e6 : size >= 1e3 ? 1e3 : 1;
    return timeText(at, "ns", Math.max(0, Math.min(6, Math.ceil(Math.log10(part / step) - 1e-9))));
  }

  lane(context, lane, number) {
    const { css } = this;
    const top = this.top(number), bar = top + 10;
    context.fillStyle = css.line;
    context.fillRect(0, top + this.high - 1, this.width, 1);
    context.fillStyle = css.text;
    context.font = '600 12px system-ui, "DejaVu Sans", sans-serif';
    context.textAlign = "left";
    context.fillText(this.short(context, lane.name, LABEL - 20), 12, bar + 6);
    context.fillStyle = css.faint;
    context.font = '11px system-ui, "DejaVu Sans", sans-serif';
    context.fillText(lane.about ?? "", 12, bar + 21);
    context.save();
    context.beginPath();
    context.rect(LABEL, top, this.width - LABEL, this.high);
    context.clip();
    this.spans(context, lane, bar);
    this.marks(context, lane, bar);
    this.processor(context, lane, bar);
    context.restore();
  }

  short(context, text, width) {
    if (context.measureText(text).width <= width) return text;
    let end = text.length;
    while (end > 1 && context.measureText(text.slice(0, end) + "…").width > width) end--;
    return text.slice(0, end) + "…";
  }

  spans(context, lane, bar) {
    const { css } = this;
    let drawn = -1;
    const first = lower(lane.spans, this.from - lane.reach, (span) => span.from);
    context.font = '11px system-ui, "DejaVu Sans", sans-serif';
    for (let at = first; at < lane.spans.length && lane.spans[at].from <= this.to; at++) {
      const span = lane.spans[at];
      if (span.to < this.from) continue;
      const left = this.x(span.from), right = this.x(span.to);
      const important = span === this.picked || (this.task && span.task === this.task) || (this.hits && this.hits.has(span));
      // What is thinner than a pixel is drawn once a pixel.
      if (right - left < 1 && right < drawn && !important) continue;
      const width = Math.max(right - left - (right - left > 4 ? 1 : 0), 1);
      drawn = left + width;
      context.globalAlpha = this.faded(span) ? 0.18 : 1;
      context.fillStyle = this.fill(span);
      const parked = span.kind === "park";
      context.fillRect(left, parked ? bar + this.bar / 2 - 3 : span.kind === "look" ? bar + 6 : bar, width, parked ? 6 : span.kind === "look" ? this.bar - 12 : this.bar);
      if (span.end === "panicked" || span.end === "still" && span.kind === "poll") {
        context.fillStyle = css.mark;
        context.fillRect(Math.max(left, right - 3), bar, 3, this.bar);
      }
      if (important && span.kind !== "park") {
        context.strokeStyle = span === this.picked ? css.pick : css.text;
        context.lineWidth = span === this.picked ? 2 : 1;
        context.strokeRect(left - 0.5, bar - 0.5, width + 1, this.bar + 1);
      }
      const visible = Math.min(right, this.width) - Math.max(left, LABEL);
      if (visible > 34 && span.kind !== "park" && span.kind !== "look") {
        const note = this.data.tasks[span.task];
        const text = span.kind === "main" ? "main future" : visible > 130 && note?.name ? note.label + "  " + shortName(note.name) : note?.label.replace("task ", "") ?? "";
        context.fillStyle = span.kind === "main" || !this.dark ? "#fff" : "#101214";
        context.fillText(this.short(context, text, visible - 10), Math.max(left, LABEL) + 5, bar + this.bar / 2 + 0.5);
      }
      context.globalAlpha = 1;
    }
  }

  marks(context, lane, bar) {
    const shown = { steal: this.css.steal, takeover: this.css.takeover, panic: this.css.mark, timer: this.css.main, said: this.css.pick, choice: this.css.steal, shutdown: this.css.faint };
    let drawn = -9;
    const first = lower(lane.marks, this.from, (mark) => mark.at);
    for (let at = first; at < lane.marks.length && lane.marks[at].at <= this.to; at++) {
      const mark = lane.marks[at], x = this.x(mark.at);
      if (!shown[mark.kind] || x - drawn < 2 && mark.kind !== "panic") continue;
      drawn = x;
      context.fillStyle = shown[mark.kind];
      context.beginPath();
      context.moveTo(x, bar - 1); context.lineTo(x - 4, bar - 8); context.lineTo(x + 4, bar - 8);
      context.fill();
    }
  }

  processor(context, lane, bar) {
    context.fillStyle = this.css.on;
    const first = Math.max(0, lower(lane.on, this.from, (pair) => pair[0]) - 1);
    for (let at = first; at < lane.on.length && lane.on[at][0] <= this.to; at++) {
      const left = this.x(lane.on[at][0]), right = this.x(lane.on[at][1]);
      context.fillRect(left, bar + this.bar + 4, Math.max(1, right - left), 3);
    }
  }

  /** Whether an arrow is to be seen. */
  wanted(arrow) {
    if (this.task && arrow.task === this.task) return this.arrows !== "none";
    if (this.arrows === "all") return true;
    return this.arrows === "cross" && arrow.from !== arrow.to && !(this.task && arrow.task);
  }

  drawArrows(context) {
    const { css } = this;
    const colours = { wake: css.wake, spawn: css.on, steal: css.steal, takeover: css.takeover, unpark: css.faint };
    let count = 0;
    const list = this.data.arrows;
    const seen = new Set();
    for (let at = lower(list, this.from, (arrow) => arrow.end); at < list.length && count < 4000; at++) {
      const arrow = list[at];
      if (arrow.end > this.to + this.arrowReach) break;
      if (arrow.start > this.to || !this.wanted(arrow)) continue;
      const left = this.x(arrow.start), right = this.x(arrow.end);
      const own = this.task && arrow.task === this.task;
      const place = `${Math.round(left)} ${Math.round(right)} ${arrow.from} ${arrow.to}`;
      if (!own && seen.has(place)) continue;
      seen.add(place);
      count++;
      const middle = (lane) => this.top(lane) + 10 + this.bar / 2;
      const [y1, y2] = [middle(arrow.from), middle(arrow.to)];
      context.strokeStyle = context.fillStyle = colours[arrow.kind];
      context.globalAlpha = own ? 1 : 0.5;
      context.lineWidth = own ? 2 : 1;
      context.setLineDash(arrow.kind === "unpark" ? [3, 3] : []);
      context.beginPath();
      context.moveTo(left, y1);
      if (arrow.from === arrow.to) {
        const rise = Math.min(22, 8 + (right - left) / 6);
        context.bezierCurveTo(left, y1 + rise, right, y1 + rise, right, y2 + 3);
      } else {
        const bend = Math.max(8, (right - left) / 2);
        context.bezierCurveTo(left + bend, y1, right - bend, y2, right, y2);
      }
      context.stroke();
      context.setLineDash([]);
      context.beginPath();
      if (arrow.from === arrow.to) { context.moveTo(right, y2 + 1); context.lineTo(right - 3, y2 + 7); context.lineTo(right + 3, y2 + 7); }
      else { context.moveTo(right + 1, y2); context.lineTo(right - 6, y2 - 3.5); context.lineTo(right - 6, y2 + 3.5); }
      context.fill();
    }
    context.globalAlpha = 1;
  }

  /** How busy each lane was, as rows of small columns, and the window that the lanes show. */
  drawOverview() {
    const { data, css } = this;
    const height = 56, width = this.width, inner = width - LABEL - PAD;
    const context = this.prepare(this.overview, width, height);
    const columns = Math.max(10, Math.floor(inner / 2)), all = Math.max(1, data.end);
    if (!this.busy || this.busy.columns !== columns) this.busy = { columns, rows: data.lanes.map((lane) => busyRow(lane, columns, all)) };
    const rows = data.lanes.length, row = Math.min(14, (height - 12) / Math.max(1, rows));
    this.busy.rows.forEach((parts, number) => {
      context.fillStyle = css.main;
      parts.forEach((part, column) => {
        if (part <= 0) return;
        context.globalAlpha = 0.2 + 0.8 * Math.min(1, part);
        context.fillRect(LABEL + column * inner / columns, 6 + number * row, inner / columns + 0.3, Math.max(1, row - 1.5));
      });
    });
    context.globalAlpha = 1;
    const scale = (at) => LABEL + at / all * inner;
    if (this.hits) {
      context.fillStyle = css.mark;
      for (const span of this.hits) context.fillRect(scale(span.from), height - 6, 1.5, 6);
    }
    const [left, right] = [Math.max(LABEL, scale(this.from)), Math.min(width - PAD, scale(this.to))];
    context.fillStyle = css.back;
    context.globalAlpha = 0.62;
    context.fillRect(LABEL, 0, left - LABEL, height);
    context.fillRect(right, 0, width - right, height);
    context.globalAlpha = 1;
    context.strokeStyle = css.pick;
    context.lineWidth = 1.5;
    context.strokeRect(left, 1, Math.max(3, right - left), height - 2);
    context.fillStyle = css.faint;
    context.font = '11px system-ui, "DejaVu Sans", sans-serif';
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.fillText(timeText(Math.min(this.to - this.from, data.end), data.unit) + " of", 12, 20);
    context.fillText(timeText(data.end, data.unit), 12, 36);
  }

  /** The span under a place of the lanes' canvas, or the mark. */
  under(x, y) {
    const number = Math.floor((y - AXIS) / this.high);
    const lane = this.data.lanes[number];
    if (!lane || x < LABEL) return null;
    if (y - this.top(number) < 10) {
      const mark = lane.marks.find((mark) => Math.abs(this.x(mark.at) - x) < 5);
      if (mark) return { lane, number, mark };
    }
    const slack = (this.to - this.from) / (this.width - LABEL) * 3;
    const at = this.at(x);
    let best = null, distance = Infinity;
    for (let place = lower(lane.spans, at - lane.reach - slack, (span) => span.from); place < lane.spans.length; place++) {
      const span = lane.spans[place];
      if (span.from > at + slack) break;
      const far = at < span.from ? span.from - at : at > span.to ? at - span.to : 0;
      if (far <= slack && (far < distance || far === distance && span.kind !== "park")) { best = span; distance = far; }
    }
    return best && { lane, number, span: best };
  }
}

/** Which part of each column of time a lane spent in polls (or, simulated, had its processor). */
function busyRow(lane, columns, all) {
  const parts = new Float64Array(columns);
  const spans = lane.on.length ? lane.on : lane.spans.filter((span) => span.kind === "poll" || span.kind === "main").map((span) => [span.from, span.to]);
  for (const [from, to] of spans) {
    const [first, last] = [from / all * columns, Math.max(to / all * columns, from / all * columns + 0.02)];
    for (let column = Math.floor(first); column < Math.min(columns, Math.ceil(last)); column++) {
      parts[column] += Math.min(last, column + 1) - Math.max(first, column);
    }
  }
  return parts;
}

/** The last words of a type's path, without what closures add. */
function shortName(name) {
  const plain = name.replace(/::\{\{closure\}\}/g, "").replace(/<.*>/, "<…>");
  return plain.split("::").slice(-2).join("::");
}
