// The page of Serin. What an answer says is only ever set as text; nothing is fetched but from this listener.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const KEPT = 600;
const GAP = 5000;
const WORDS = { good: "good", bad: "bad", inconclusive: "warn", blind: "warn" };

let standing = null;
let chosen = null;
let points = [];
let page = 1;
let pages = 1;
let release = undefined;

const unknown = "unknown";
const percent = (ratio) => (ratio === null || ratio === undefined ? unknown : `${(ratio * 100).toFixed(ratio < 0.1 ? 2 : 1)} %`);
const ms = (value) => (value === null || value === undefined ? unknown : `${value.toFixed(value < 10 ? 2 : 1)} ms`);
const where = (path) => `api/v1/services/${encodeURIComponent(chosen)}/${path}`;

function make(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || `${answer.status}`);
  return body;
}

// How a service stands, in a colour: the worst first.
function colour(service) {
  const guard = service.guard;
  const word = service.verdict ? service.verdict.word : null;
  if ((guard && guard.needs_human) || word === "bad") return "bad";
  if ((guard && guard.latched) || (service.mode === "act" && !(guard && guard.armed))) return "warn";
  return WORDS[word] || "";
}

function draw(id, key, scale, unit) {
  const svg = $(id);
  const values = points.map((point) => (point[key] === null ? null : point[key] * scale));
  const known = values.filter((value) => value !== null);
  const [width, height, left, low] = [Math.max(svg.clientWidth, 200), 144, 44, 16];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const top = Math.max(...known, unit === "%" ? 1 : 0.001) * 1.1;
  // A minute at least, so that the first seconds don't fill the chart.
  const now = standing.at;
  const span = Math.min(Math.max(points.length ? now - points[0].at : 0, 60_000), KEPT * 1000);
  const x = (at) => width - ((width - left) * Math.max(now - at, 0)) / span;
  const y = (value) => height - low - ((height - low - 4) * value) / top;
  const parts = [];
  for (const share of [0, 0.5, 1]) {
    const line = document.createElementNS(SVG, "line");
    const at = y((top / 1.1) * share);
    for (const [name, value] of Object.entries({ x1: left, x2: width, y1: at, y2: at })) line.setAttribute(name, value);
    const text = document.createElementNS(SVG, "text");
    text.setAttribute("x", 0);
    text.setAttribute("y", at + 4);
    text.textContent = ((top / 1.1) * share).toPrecision(3);
    parts.push(line, text);
  }
  const since = span < 120_000 ? `${Math.round(span / 1000)} s ago` : `${Math.round(span / 60_000)} min ago`;
  for (const [at, anchor, words] of [[left, "start", since], [width, "end", "now"]]) {
    const text = document.createElementNS(SVG, "text");
    for (const [name, value] of Object.entries({ x: at, y: height - 2, "text-anchor": anchor })) text.setAttribute(name, value);
    text.textContent = words;
    parts.push(text);
  }
  // What is unknown is a gap, and no zero; so is a time of which nothing was told.
  let path = "";
  points.forEach(({ at }, index) => {
    if (values[index] === null || now - at > span) return;
    const joins = path && values[index - 1] !== null && at - points[index - 1].at < GAP;
    path += `${joins ? "L" : "M"}${x(at).toFixed(1)} ${y(values[index]).toFixed(1)}`;
  });
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.replaceChildren(...parts, line);
  const last = known.length ? known[known.length - 1].toPrecision(3) : unknown;
  svg.setAttribute("aria-label", `${svg.id === "p95" ? "P95" : "Bad answers"} over the last ten minutes, now ${last} ${unit}`);
}

function services() {
  const names = Object.keys(standing.services);
  const old = $("services").children;
  const same = old.length === names.length && names.every((name, index) => old[index].dataset.name === name);
  if (!same) {
    $("services").replaceChildren(
      ...names.map((name) => {
        const button = make("button");
        button.type = "button";
        button.dataset.name = name;
        button.append(make("span", undefined, "dot"), make("span", name));
        button.addEventListener("click", () => choose(name));
        return button;
      }),
    );
  }
  for (const button of $("services").children) {
    button.className = colour(standing.services[button.dataset.name]);
    button.setAttribute("aria-current", String(button.dataset.name === chosen));
  }
}

function set(node, text, kind) {
  // A live region speaks when it changes, so it is left alone when it doesn't.
  if (node.textContent !== text) node.textContent = text;
  if (kind !== undefined && node.className !== kind) node.className = kind;
}

function show() {
  const service = standing.services[chosen];
  const { guard, verdict, live, budget } = service;
  set($("name"), chosen);
  set($("verdict"), verdict ? `${verdict.word}: ${verdict.says}` : "nothing is known yet", colour(service));
  const figures = [
    ["bad answers", live ? percent(live.error_ratio) : unknown],
    ["P95", live ? ms(live.p95_ms) : unknown],
    ["probes in the last second", live ? String(live.probes) : unknown],
    ["mode", service.mode],
    ["armed", guard ? (guard.armed ? "yes" : "no") : unknown],
    ["requests go to", (guard && guard.shows) || unknown],
    ["error budget left", budget && budget.remaining !== null ? percent(budget.remaining) : unknown],
  ];
  $("figures").replaceChildren(
    ...figures.map(([name, value]) => {
      const pair = make("div");
      pair.append(make("dt", name), make("dd", value));
      return pair;
    }),
  );
  draw("errors", "error_ratio", 100, "%");
  draw("p95", "p95_ms", 1, "ms");
  if (!guard) return;
  const latched = guard.latched ? `, latched (${guard.latched})` : "";
  const person = guard.needs_human ? `; a person is needed: ${guard.needs_human}` : "";
  const named = guard.release === null ? "no release" : `release ${guard.label || `r${guard.release}`}`;
  set($("guard"), `${guard.state}${latched}, ${named}${person}`);
  $("conditions").replaceChildren(
    ...guard.conditions.map((condition) => {
      const row = make("tr");
      row.append(
        make("td", condition.holds ? "yes" : "no", condition.holds ? "yes" : "no"),
        make("td", condition.name),
        make("td", condition.detail),
      );
      return row;
    }),
  );
  const now = `${guard.release} ${guard.latched} ${guard.outcome}`;
  if (now !== release) {
    release = now;
    releases();
  }
}

async function releases() {
  const asked = chosen;
  const list = await ask(where("releases")).catch((error) => ({ releases: [], error: error.message }));
  // The links are made for the service that is chosen now.
  if (asked !== chosen) return;
  const rows = list.releases.map((each) => {
    const row = make("tr");
    const link = make("a", each.release_id);
    link.href = where(`releases/${encodeURIComponent(each.release_id)}`);
    const first = make("td");
    first.append(link);
    row.append(first, make("td", (each.ts || "").replace("T", " ").replace(/\..*|Z$/, "")), make("td", each.outcome), make("td", each.verdict));
    return row;
  });
  if (!rows.length) {
    const row = make("tr");
    const none = make("td", list.error ? list.error : "none yet");
    none.colSpan = 4;
    row.append(none);
    rows.push(row);
  }
  $("releases").replaceChildren(...rows);
}

async function urls() {
  const query = new URLSearchParams({ page, per_page: 25, sort: $("sort").value, filter: $("filter").value });
  const asked = chosen;
  const found = await ask(where(`urls?${query}`));
  if (asked !== chosen) return;
  pages = found.pages;
  set($("place"), `page ${found.page} of ${pages}, ${found.total} URLs`);
  $("before").disabled = page <= 1;
  $("after").disabled = page >= pages;
  $("urls").replaceChildren(
    ...found.urls.map((url) => {
      const row = make("tr");
      const bad = url.error_ratio > 0 ? "no" : "";
      row.append(
        make("td", url.target),
        make("td", String(url.answers)),
        make("td", percent(url.error_ratio), bad),
        make("td", percent(url.slow_ratio)),
        make("td", ms(url.p95_ms)),
      );
      return row;
    }),
  );
}

async function choose(name) {
  chosen = name;
  page = 1;
  release = undefined;
  points = (await ask(where("history"))).points;
  if (chosen !== name) return;
  $("main").hidden = false;
  services();
  show();
  await urls();
}

// What of the configuration that was read last doesn't hold, and why.
function configuration(reload) {
  const waits = Object.entries(reload.pending).map(([name, why]) => `${name} goes by the configuration of before: ${why}`);
  if (reload.needs_restart.length) waits.push(`holds after a restart: ${reload.needs_restart.join(", ")}`);
  if (!reload.ok) waits.push(`the configuration has a fault, and that of before goes on: ${reload.faults}`);
  set($("configuration"), waits.join("; "));
  $("configuration").hidden = !waits.length;
}

function heard(now) {
  standing = now;
  configuration(now.reload);
  set($("who"), `${now.version} on ${now.instance}, up ${Math.floor(now.uptime_s / 60)} min`);
  $("hold").hidden = !now.takes_token;
  $("elsewhere").hidden = now.takes_token;
  const names = Object.keys(now.services);
  if (!names.length) return;
  if (!chosen || !now.services[chosen]) {
    choose(names[0]).catch(lost);
    return;
  }
  const point = now.services[chosen].live;
  if (point && (!points.length || points[points.length - 1].at !== point.at)) points.push(point);
  if (points.length > KEPT) points.shift();
  services();
  show();
}

const lost = (error) => set($("link"), `no answer: ${error.message || "the connection is lost"}; what is shown is old`, "lost");

function listen() {
  const events = new EventSource("api/v1/events");
  events.onmessage = (event) => {
    set($("link"), "live", "");
    heard(JSON.parse(event.data));
  };
  // It connects again by itself.
  // What was missed meanwhile is asked for; whoever was one too many tries again.
  events.onopen = async () => {
    const asked = chosen;
    if (!asked) return;
    const { points: all } = await ask(where("history"));
    if (asked === chosen) points = all;
  };
  events.onerror = () => {
    lost(new Error());
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
}

async function command(word) {
  const reason = $("reason").value.trim();
  const body = word === "hold" ? { hold: { reason } } : "unhold";
  const headers = { "content-type": "application/json" };
  if ($("token").value) headers.authorization = `Bearer ${$("token").value}`;
  const answer = await fetch(where("command"), { method: "POST", headers, body: JSON.stringify(body) });
  const told = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw new Error(answer.status === 401 ? `the token is missing or wrong: ${told.error}` : told.error);
  return word === "hold" ? "held: nothing is written until it is resumed" : "resumed";
}

$("hold").addEventListener("submit", (event) => {
  event.preventDefault();
  const word = event.submitter ? event.submitter.value : "hold";
  command(word).then(
    (text) => set($("told"), text),
    (error) => set($("told"), `not done: ${error.message}`),
  );
});
$("find").addEventListener("submit", (event) => event.preventDefault());
for (const [id, name] of [["filter", "input"], ["sort", "change"]]) {
  $(id).addEventListener(name, () => {
    page = 1;
    urls().catch(lost);
  });
}
$("before").addEventListener("click", () => {
  page = Math.max(1, page - 1);
  urls().catch(lost);
});
$("after").addEventListener("click", () => {
  page = Math.min(pages, page + 1);
  urls().catch(lost);
});
setInterval(() => {
  if (chosen && !document.hidden) urls().catch(lost);
}, 5000);
listen();
