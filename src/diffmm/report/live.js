"use strict";
/* Asks for the state once a second and shows it. Text nodes only: a state is not trusted markup. */
const EVERY_MS = 1000, MOST_POINTS = 3600, WIDE = 1120, HIGH = 120, USD = 1e8;
const WORDS = ["pause", "resume", "reduce-only", "stop", "kill"];
const token = location.hash.slice(1);
const seen = [];
const at = id => document.getElementById(id);

function put(parent, name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  parent.appendChild(made);
  return made;
}

function signed(x) {
  return (x < 0 ? "" : "+") + x.toFixed(2);
}

function tile(name, value, small, tone) {
  const box = put(at("tiles"), "div", undefined, "tile");
  put(box, "span", name);
  put(box, "b", value, tone);
  put(box, "small", small);
}

function facts(title, tree) {
  const box = put(at("facts"), "div");
  put(box, "h3", title);
  const list = put(box, "dl");
  const rows = Object.entries(tree);
  for (const [name, value] of rows) {
    put(list, "dt", name);
    put(list, "dd", String(value));
  }
  if (!rows.length) put(list, "dt", "none");
}

function chart(title, pick, color) {
  const points = seen.map(s => [s.updated_ms, pick(s)]).filter(p => Number.isFinite(p[1]));
  const figure = put(at("charts"), "figure");
  put(figure, "figcaption", title);
  if (points.length < 2) {
    put(figure, "p", "not enough states yet", "empty");
    return;
  }
  const [low, high] = [Math.min(...points.map(p => p[1])), Math.max(...points.map(p => p[1]))];
  const [from, to] = [points[0][0], points[points.length - 1][0]];
  const x = t => (WIDE - 80) * (t - from) / Math.max(to - from, 1) + 75;
  const y = v => HIGH - 15 - (HIGH - 30) * (v - low) / Math.max(high - low, 1e-12);
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "chart");
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  const line = document.createElementNS(space, "polyline");
  line.setAttribute("class", "line");
  line.setAttribute("stroke", `var(--${color})`);
  line.setAttribute("points", points.map(p => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" "));
  svg.appendChild(line);
  for (const value of high > low ? [low, high] : [low]) {
    const label = document.createElementNS(space, "text");
    label.setAttribute("class", "y");
    label.setAttribute("x", "70");
    label.setAttribute("y", String(y(value) + 4));
    label.textContent = value.toPrecision(6);
    svg.appendChild(label);
  }
  figure.appendChild(svg);
}

function notices(told) {
  const s = told.state, box = at("notices");
  const say = (kind, text) => put(box, "p", text, "notice " + kind);
  if (told.latched !== null) say("error", `KILL LATCH: ${told.latched}`);
  if (told.pulse === "dead") say("error", `DEAD: process ${s.pid} is gone without a farewell.`);
  if (told.pulse === "silent") say("error", `SILENT: nothing was written for ${told.age_s.toFixed(0)} s.`);
  if (told.pulse === "ended") say("warn", `Ended with exit code ${s.exit_code}.`);
  if (s && s.unknown) say("warn", `${s.unknown} orders whose fate is not known.`);
  if (told.error) say("error", told.error);
}

function show(told) {
  for (const id of ["notices", "tiles", "charts", "facts"]) at(id).replaceChildren();
  notices(told);
  const s = told.state;
  if (!s) return;
  const mode = s.mode.toUpperCase();
  document.title = `${mode} | ${s.coin} ${s.phase}`;
  at("mode").textContent = mode;
  at("title").textContent = `${s.coin} on ${s.venue}`;
  at("lead").textContent = s.phase + (s.reason ? `: ${s.reason}` : "");
  const last = seen[seen.length - 1];
  if (!last || last.updated_ms !== s.updated_ms) seen.push(s);
  if (seen.length > MOST_POINTS) seen.shift();
  const pnl = s.pnl_1e8 / USD;
  const parts = Object.entries(s.pnl_parts_1e8).map(([k, v]) => `${k} ${signed(v / USD)}`).join(" ");
  tile("PnL, USD", signed(pnl), parts, pnl < 0 ? "bad" : "good");
  tile("position", s.position, s.coin);
  tile("mid", s.mid || "-", `bid ${s.bid || "-"} ask ${s.ask || "-"}`);
  tile("fills", String(s.fills), `${s.rejects} rejects`);
  tile("orders resting", String(s.resting), `${s.unknown} unknown`);
  tile("reconnects", String(s.reconnects), told.pulse);
  chart("PnL (USD)", v => v.pnl_1e8 / USD, "good");
  chart("position", v => parseFloat(v.position), "bid");
  chart("mid", v => parseFloat(v.mid), "mid");
  facts("Denied by the gate", s.gate_denials);
  facts("Faults", s.faults);
  for (const [name, quantiles] of Object.entries(s.latency_us)) facts(`${name}, us`, quantiles);
  at("recent").textContent = s.recent.join("\n") || "nothing";
}

async function look() {
  try {
    const answer = await fetch("/state", {cache: "no-store"});
    show(await answer.json());
  } catch (error) {
    at("notices").replaceChildren();
    put(at("notices"), "p", "The page's server does not answer.", "notice error");
  }
  setTimeout(look, EVERY_MS);
}

async function command(word) {
  if ((word === "kill" || word === "stop") && !confirm(`${word} this run?`)) return;
  const buttons = document.querySelectorAll("#controls button");
  buttons.forEach(b => { b.disabled = true; });
  try {
    const answer = await fetch(`/ctl/${word}`, {method: "POST", headers: {"X-Diffmm-Token": token}});
    at("said").textContent = await answer.text();
  } catch (error) {
    at("said").textContent = "no answer: look at the state before trying again";
  }
  buttons.forEach(b => { b.disabled = false; });
}

if (token) {
  at("controls").hidden = false;
  for (const word of WORDS) {
    put(at("controls"), "button", word, word).addEventListener("click", () => command(word));
  }
  put(at("controls"), "span", "", "").id = "said";
}
look();
