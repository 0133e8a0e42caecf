"use strict";

// The page is made from the events of /api/v1/events, one a second. Whatever
// comes from the gateway is put in as text, never as HTML.

// toLogin goes to the page of logins when the cookie is not good any more.
function toLogin() {
  fetch("api/v1/status", { method: "HEAD" }).then(r => { if (r.status === 401) location.replace("login"); }, () => {});
}

const $ = id => document.getElementById(id);

// A console with a token has a page of logins, and then something to log out of.
fetch("login", { method: "HEAD", redirect: "manual" }).then(r => { $("logout").hidden = !r.ok; }, () => {});

$("logout").addEventListener("click", async () => {
  try {
    const answer = await fetch("logout", { method: "POST" });
    if (answer.ok || answer.status === 401) location.replace("login");
  } catch {
    live.failure("The gateway does not answer: you are still logged in.");
  }
});

// el makes an element with a class and children.
function el(tag, cls, ...children) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  e.append(...children);
  return e;
}

// text and state touch the page only where something changes.
function text(e, s) {
  if (e.textContent !== s) e.textContent = s;
}
function state(e, s) {
  if (e.dataset.state !== s) e.dataset.state = s;
}

// keyed brings the children of a parent in line with a list: one child an item,
// known by its key, so that what the reader has opened or marked stays.
function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map(c => [c.dataset.key, c]));
  items.forEach((item, i) => {
    const k = String(key(item));
    let child = old.get(k);
    old.delete(k);
    if (!child) {
      child = make(item);
      child.dataset.key = k;
    }
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] || null);
    update(child, item);
  });
  old.forEach(c => c.remove());
}

// facts fills a list of [name, value, state].
function facts(dl, rows) {
  keyed(dl, rows, r => r[0],
    r => el("div", "", el("dt", "", r[0]), el("dd")),
    (div, [, value, s]) => {
      text(div.lastChild, value);
      state(div.lastChild, s || "");
    });
}

// bars fills a list of [name, count] with a bar each.
function bars(ul, rows) {
  const most = Math.max(1, ...rows.map(r => r[1]));
  keyed(ul, rows, r => r[0],
    r => el("li", "", el("span", "name", r[0]), el("div", "meter", el("div")), el("span", "count")),
    (li, [, n]) => {
      li.children[1].firstChild.style.width = n / most * 100 + "%";
      text(li.children[2], count(n));
    });
}

// cells fills a row of a table with [label, text, class].
function cells(tr, columns) {
  keyed(tr, columns, c => c[0],
    c => {
      const td = el("td", c[2] || "");
      if (c[2] !== "first") td.dataset.label = c[0];
      return td;
    },
    (td, c) => text(td, c[1]));
}

// speeds turns counters into rates a second.
const speeds = {
  last: null,
  of(time, counters) {
    const before = this.last;
    if (!before || time - before.time >= 900) this.last = { time, counters };
    if (!before || time <= before.time) return this.rates || counters.map(() => 0);
    const seconds = (time - before.time) / 1000;
    return this.rates = counters.map((c, i) => Math.max(0, c - before.counters[i]) / seconds);
  },
};

const chart = new Chart();

function show(st, now) {
  const age = t => Math.max(0, (now - Date.parse(t)) / 1000);
  const [received, sent, cpu] = speeds.of(now, [st.broker.messages_received, st.broker.messages_sent, st.process.cpu_seconds]);
  for (const list of ["clients", "adapters", "bridges"]) st[list] ||= [];
  document.title = st.gateway ? st.gateway + " · Weir" : "Weir";
  text($("gateway"), st.gateway);
  text($("about"), "version " + st.version + " · up " + span(st.uptime_seconds));
  chart.add(now, owed(st));
  showTiles(st, received, sent);
  showBuffer(st);
  showBridges(st.bridges, age);
  showAdapters(st.adapters, age);
  showClients(st, age);
  showProcess(st, cpu);
}

// owed is what waits for somebody, on disk or in memory.
const owed = st => st.buffer.messages + st.buffer.held;

function showTiles(st, received, sent) {
  const devices = st.adapters.flatMap(a => a.devices || []);
  const up = devices.filter(d => d.up).length;
  const linked = st.bridges.filter(b => b.state === "connected" || b.state === "resting").length;
  const failing = st.adapters.filter(a => a.state === "failed" || a.state === "waiting").length;
  const tiles = [
    ["Gateway", st.ready ? "Ready" : "Not ready", st.clock_synced ? "clock in step" : "clock not known", st.ready ? "ok" : "bad"],
    ["Uplink", st.bridges.length ? linked + " of " + st.bridges.length : "None", st.bridges.length ? "connected" : "local only", !st.bridges.length ? "" : linked === st.bridges.length ? "ok" : "warn"],
    ["Buffer", count(owed(st)), st.buffer.oldest_seconds >= 1 ? "waiting, oldest " + span(st.buffer.oldest_seconds) : owed(st) ? "on the way" : "nothing waits", bufferState(st.buffer)],
    ["Devices", devices.length ? up + " of " + devices.length : st.adapters.length ? plural(st.adapters.length, "adapter", "adapters") : "None",
      failing ? plural(failing, "adapter", "adapters") + " not running" : devices.length ? "answering" : "", !st.adapters.length ? "" : failing || up < devices.length ? "warn" : "ok"],
    ["Messages", rate(received) + " /s", rate(sent) + " /s out · " + plural(st.broker.connections, "client", "clients"), "ok"],
  ];
  keyed($("tiles"), tiles, t => t[0],
    t => el("div", "tile", el("div", "name", t[0]), el("div", "value"), el("div", "note")),
    (tile, [, value, note, s]) => {
      text(tile.children[1], value);
      text(tile.children[2], note);
      state(tile, s);
    });
}

function bufferState(b) {
  if (b.state === "failed" || b.state === "hangs") return "bad";
  if (b.state === "full" || b.quarantined > 0) return "warn";
  return b.oldest_seconds > 60 ? "warn" : "ok";
}

function showBuffer(st) {
  const b = st.buffer;
  chart.draw();
  const slope = chart.slope();
  const trend = b.messages === 0 && b.oldest_seconds < 2 ? "keeping up" : slope > 0.5 ? "filling" : slope < -0.5 ? "draining" : "holding";
  text($("buffer-state"), b.state === "ok" ? trend : b.state);
  state($("buffer-state"), b.state !== "ok" ? (b.state === "full" ? "warn" : "bad") : trend === "filling" ? "warn" : "ok");
  const silent = b.hangs_seconds ? " (for " + span(b.hangs_seconds) + ")" : "";
  text($("buffer-words"), b.error ? b.error + silent : bufferWords(st, trend, slope));
  const part = b.budget ? b.bytes / b.budget : 0;
  $("budget").firstElementChild.style.width = Math.min(100, part * 100) + "%";
  $("budget").setAttribute("aria-label", Math.round(part * 100) + " % of the store's budget is used");
  state($("budget"), part > 0.95 ? "bad" : part > 0.8 ? "warn" : "");
  text($("budget-words"), bytes(b.bytes) + " on disk of " + bytes(b.budget) + " · " + bytes(b.free_bytes) + " free on the disk");
  facts($("buffer-facts"), [
    ["owed on disk", count(b.messages)],
    ["held in memory", count(b.held)],
    ["oldest", owed(st) ? span(b.oldest_seconds) : "–"],
    ["full in", b.full_seconds ? span(b.full_seconds) : "–", b.full_seconds ? "warn" : ""],
    ["segments", count(b.segments)],
    ["written since start", plural(b.written, "message", "messages")],
    ["bytes for that", bytes(b.written_bytes)],
    ["dropped", count(sum(b.dropped)), sum(b.dropped) ? "warn" : ""],
    ["quarantined", count(b.quarantined), b.quarantined ? "bad" : ""],
  ]);
  const waiting = (b.receivers || []).filter(r => r.owed > 0).sort((x, y) => y.owed - x.owed).slice(0, 8);
  $("receivers-box").hidden = !waiting.length;
  bars($("receivers"), waiting.map(r => [r.name, r.owed]));
}

function bufferWords(st, trend, slope) {
  switch (trend) {
    case "filling": return rate(slope) + " messages more each second";
    case "draining": return "empty in about " + span(owed(st) / -slope);
    case "holding": return "waiting for a receiver";
    default: return "every receiver has everything";
  }
}

function showBridges(bridges, age) {
  $("bridges-empty").hidden = bridges.length > 0;
  keyed($("bridges"), bridges, b => b.name, bridgeCard, (card, b) => {
    const [title, error, list, more] = card.children;
    const rules = b.rules || [];
    badge(title.children[1], b.state + " for " + span(age(b.since)), b.state === "connected" || b.state === "resting" ? "ok" : b.state === "refused" ? "bad" : "warn");
    text(title.children[2], b.url);
    text(error, b.error || "");
    error.hidden = !b.error;
    facts(list, [
      ["round trip", milliseconds(b.rtt_seconds)],
      ["in flight", count(b.inflight) + (b.window ? " of " + count(b.window) : "")],
      ["messages a write", b.messages_per_write ? b.messages_per_write.toFixed(1) + (b.gathering ? ", gathering" : "") : "–"],
      ["owed", count(rules.reduce((n, r) => n + (r.owed || 0), 0))],
      [b.full_seconds ? "store full in" : "drained in", b.full_seconds ? span(b.full_seconds) : b.drain_seconds ? span(b.drain_seconds) : "–", b.full_seconds ? "warn" : ""],
      ["published", count(b.published)],
      ["received", count(b.received)],
      ["reconnects", count(b.reconnects)],
    ]);
    text(more.firstChild, plural(rules.length, "rule", "rules") + (b.protocol ? ", MQTT " + b.protocol : "") + (b.file ? ", added at work: " + b.file : ""));
    keyed(more.querySelector("tbody"), rules, r => r.direction + " " + r.filter, () => el("tr"), (tr, r) => cells(tr, [
      ["rule", r.direction + "  " + r.filter + (r.paused ? " (paused)" : ""), "first"],
      ["messages", count(r.messages), "n"],
      ["owed", count(r.owed), "n"],
      ["bytes", r.bytes ? bytes(r.bytes) : "–", "n"],
      ["oldest", r.oldest_seconds ? span(r.oldest_seconds) : "–", "n"],
      ["dropped", causes(r.dropped), "n"],
    ]));
  });
}

// causes lists what was dropped and why.
function causes(dropped) {
  return Object.entries(dropped || {}).map(([why, n]) => count(n) + " " + why).join(", ") || "0";
}

function bridgeCard(b) {
  const title = el("div", "title", el("h3", "", b.name), el("span", "badge"), el("p", "url"));
  const head = el("tr", "", el("th", "", "Rule"), el("th", "n", "Messages"), el("th", "n", "Owed"), el("th", "n", "Bytes"), el("th", "n", "Oldest"), el("th", "n", "Dropped"));
  const rules = el("table", "", el("thead", "", head), el("tbody"));
  return el("article", "card", title, el("p", "error"), el("dl", "facts"), el("details", "", el("summary"), rules));
}

function badge(e, words, s) {
  text(e, words);
  state(e, s);
}

function showAdapters(adapters, age) {
  $("adapters-empty").hidden = adapters.length > 0;
  keyed($("adapters"), adapters, a => a.name, adapterBox, (box, a) => {
    const [title, error, table] = box.children;
    badge(title.children[1], a.state, a.state === "running" ? "ok" : a.state === "failed" ? "bad" : "warn");
    text(title.children[2], a.type + " · " + plural(a.readings, "reading", "readings") +
      (a.bus_load ? " · line " + Math.round(a.bus_load * 100) + " % in use" : "") +
      (sum(a.errors) ? " · " + plural(sum(a.errors), "error", "errors") : ""));
    const problem = a.error || (a.achievable_period_seconds
      ? "too much is asked for: " + Math.round(a.asked_load * 100) + " % of the line's time; every " + milliseconds(a.achievable_period_seconds) + " is possible" : "");
    text(error, problem);
    error.hidden = !problem;
    table.hidden = !(a.devices || []).length;
    keyed(table.querySelector("tbody"), a.devices || [], d => d.name, deviceRow, (tr, d) => deviceCells(tr, d, age));
  });
}

function adapterBox(a) {
  const title = el("div", "title", el("h3", "", a.name), el("span", "badge"), el("p", ""));
  const names = ["Device", "State", "Last answer", "Median", "99 %", "Requests", "Errors"];
  const head = el("tr", "", ...names.map((n, i) => el("th", i > 2 ? "n" : "", n)));
  return el("div", "adapter", title, el("p", "error"), el("table", "", el("thead", "", head), el("tbody")));
}

function deviceRow() {
  const plain = (label, cls) => {
    const td = el("td", cls || "");
    td.dataset.label = label;
    return td;
  };
  return el("tr", "",
    el("td", "", el("span"), el("span", "sub")), el("td", "", el("span", "badge")), plain("last answer"),
    plain("median", "n"), plain("99 %", "n"), plain("requests", "n"), plain("errors", "n"));
}

function deviceCells(tr, d, age) {
  const [name, up, seen, p50, p99, requests, errors] = tr.children;
  const never = !d.last_seen || d.last_seen.startsWith("0001");
  text(name.firstChild, d.name);
  text(name.lastChild, d.error || "");
  badge(up.firstChild, d.up ? "good" : never ? "not seen yet" : "no answer", d.up ? "ok" : "bad");
  text(seen, never ? "never" : span(age(d.last_seen)) + " ago");
  text(p50, milliseconds(d.p50_seconds));
  text(p99, milliseconds(d.p99_seconds));
  text(requests, count(d.requests));
  text(errors, count(sum(d.errors)));
  errors.title = reasons(d.errors).map(([k, n]) => k + ": " + count(n)).join("\n");
}

function showClients(st, age) {
  const all = st.broker.sessions;
  const more = all > st.clients.length ? "the " + count(st.clients.length) + " that are owed most, of " + count(all) : "";
  const words = more || plural(st.broker.connections, "connected", "connected") + " · " + plural(st.broker.subscriptions, "filter", "filters");
  text($("clients-words"), words + logins(st.auth));
  $("clients-empty").hidden = st.clients.length > 0;
  $("clients").parentElement.hidden = !st.clients.length;
  const order = [...st.clients].sort((a, b) => b.connected - a.connected || a.client_id.localeCompare(b.client_id));
  keyed($("clients"), order, c => c.client_id, () => el("tr"), (tr, c) => cells(tr, [
    ["client", c.user && c.user !== c.client_id ? c.client_id + " (" + c.user + ")" : c.client_id, "first"],
    ["from", c.address || "–"],
    ["MQTT", c.protocol || "–"],
    ["is", (c.connected ? "connected " : c.durable ? "away " : "gone ") + span(age(c.since))],
    ["filters", count(c.subscriptions), "n"],
    ["queued", count(c.queued), "n"],
    ["in flight", count(c.inflight), "n"],
  ]));
}

/** logins says how it went with those who want to come in; there may be no users. */
function logins(auth) {
  if (!auth) return "";
  const refused = Object.entries(auth.logins).reduce((n, [k, v]) => n + (k.startsWith("accepted") ? 0 : v), 0);
  return " · " + plural(auth.users, "user", "users") + (refused ? ", " + plural(refused, "login refused", "logins refused") : "")
    + (auth.held_off ? ", " + count(auth.held_off) + " held off" : "");
}

function showProcess(st, cpu) {
  const p = st.process, b = st.broker;
  facts($("process"), [
    ["memory", bytes(p.rss_bytes)],
    ["processor", rate(cpu * 100) + " %"],
    ["written to disk", bytes(p.written_bytes)],
    ["open files", count(p.fds)],
    ["process", "pid " + p.pid],
    ["retained", plural(b.retained, "message", "messages")],
    ["received", plural(b.messages_received, "message", "messages")],
    ["sent", plural(b.messages_sent, "message", "messages")],
    ...(b.listeners || []).map(l => ["listener " + l.name, l.address + (l.protocol === "mqtt" ? "" : " · " + l.protocol)]),
  ]);
  const drops = reasons(b.dropped).filter(([, n]) => n > 0);
  $("drops-box").hidden = !drops.length;
  bars($("drops"), drops);
}

// live keeps the stream of events open and says so when there is none.
const live = {
  heard: 0,
  words(s, words) {
    text($("live"), words);
    state($("live"), s);
    document.body.classList.toggle("lost", s === "bad");
  },
  failure(message) {
    text($("failure"), message);
    $("failure").hidden = !message;
  },
  open() {
    const events = new EventSource("api/v1/events");
    events.addEventListener("status", e => {
      this.heard = Date.now();
      this.words("ok", "live");
      this.failure("");
      show(JSON.parse(e.data), Number(e.lastEventId));
    });
    events.addEventListener("failure", e => {
      this.heard = Date.now();
      this.words("bad", "no answer");
      this.failure("The gateway does not tell its state: " + JSON.parse(e.data));
    });
    events.onerror = () => {
      this.words("bad", "no connection");
      if (events.readyState === EventSource.CLOSED) {
        setTimeout(() => this.open(), 5000);
        toLogin();
      }
    };
  },
  watch() {
    if (this.heard && Date.now() - this.heard > 6000) this.words("bad", "no connection");
  },
};

live.open();
setInterval(() => live.watch(), 2000);
