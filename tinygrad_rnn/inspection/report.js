"use strict";
// The page has three states: `at`, the token that is looked at; `pinned`, the token whose credit is marked, or -1; and
// what colours the text. Every change of one of them calls the functions that draw what depends on it.

const $ = (id) => document.getElementById(id);
const about = JSON.parse($("about").textContent);
const { names, layers, top: K, tokens: T, credit } = about;
const token = about.characters ? "character" : "token";

// ---- Data: base64 in the page, decoded when it is first needed

const decoded = new Map();
function data(id, Kind) {
  if (!decoded.has(id)) {
    const element = $(`data-${id}`), text = atob(element.textContent), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    decoded.set(id, new Kind(bytes.buffer));
    element.remove(); // the text takes more memory than the numbers
  }
  return decoded.get(id);
}
const Id = about.wide ? Uint32Array : Uint16Array;
const ids = data("ids", Id), next = data("next", Id);
const probabilities = data("probabilities", Uint16Array), bits = data("bits", Float32Array);

// A value of a layer: all units over all tokens. `of(k, t)` is the activation of the unit in place k, NaN if unknown.
function array(layer, value) {
  const { name, fraction } = layers[layer].values[value], id = `${layer}-${name}`;
  const codes = data(`codes-${id}`, fraction ? Uint8Array : Int8Array);
  const scale = data(`scale-${id}`, Float32Array), end = data(`end-${id}`, Float32Array);
  const of = (k, t) => {
    const code = codes[k * T + t];
    if (fraction) return code === 255 ? NaN : code / 254;
    return code === -128 ? NaN : (code / 127) * scale[k];
  };
  return { name, fraction, end, of };
}
// What the loss of token t depends on: (d) => the norm of its gradient w.r.t. the state d tokens before.
function creditOf(t) {
  if (t < 0 || t >= credit.tokens) return null;
  const codes = data("credit", Uint16Array), most = data("most", Float32Array)[t];
  return { most, share: (d) => (d >= 0 && d < credit.reach ? codes[t * credit.reach + d] / 65535 : 0) };
}

// ---- Words and colours

const hidden = { " ": "␣", "\n": "↵", "\t": "⇥", "\x7f": "␡", "": "∅" };
function control(c) { return c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : c; }
function visible(name) { return hidden[name] ?? [...name].map((c) => hidden[c] ?? control(c)).join(""); }
function asText(name) { return [...name].map((c) => (c === " " ? c : hidden[c] ?? control(c))).join("") || "∅"; }
function percent(p) { return p >= 0.0995 ? `${(100 * p).toFixed(0)} %` : p >= 0.001 ? `${(100 * p).toFixed(1)} %` : "<0.1 %"; }
function short(x) { return Number.isNaN(x) ? "not finite" : `${x < 0 ? "−" : ""}${Math.abs(x).toFixed(Math.abs(x) < 10 ? 2 : 0)}`; }

let palette;
function readColours() {
  const probe = document.body.appendChild(document.createElement("i"));
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  };
  const ground = colour("ground");
  const ramp = (name) => {
    const end = colour(name);
    return Array.from({ length: 128 }, (_, i) => `rgb(${end.map((e, c) => Math.round(ground[c] + ((e - ground[c]) * i) / 127)).join(" ")})`);
  };
  palette = { low: ramp("low"), high: ramp("high"), open: ramp("open"), bits: ramp("bits"), credit: ramp("credit")[127] };
  probe.remove();
}
function shade(ramp, x) { return ramp[Math.min(127, Math.round(127 * x))]; }
function activationColour(x, end, fraction) {
  if (Number.isNaN(x)) return "";
  if (fraction) return shade(palette.open, x);
  return end > 0 ? shade(x < 0 ? palette.low : palette.high, Math.abs(x) / end) : "";
}

// ---- State

let at = Math.min(40, T - 2), pinned = -1, by = about.first ? "unit" : "bits";
let layer = 0, value = 0, unit = 0; // unit: the place among those of the layer that are on the page
if (about.first) {
  const [layerName, valueName, number] = about.first;
  layer = layers.findIndex((l) => l.name === layerName);
  value = layers[layer].values.findIndex((v) => v.name === valueName);
  unit = layers[layer].units.indexOf(number);
}

// ---- The text

const text = $("text"), spans = new Array(T);
// In blocks of some lines: the browser lays out and colours only those in view, which matters in a long text.
function writeText() {
  let block = document.createElement("div");
  for (let t = 0; t < T; t++) {
    const span = document.createElement("span"), name = names[ids[t]];
    span.textContent = asText(name);
    if (name.endsWith("\n")) {
      span.className = "end";
      span.append("\n");
    }
    span.token = t;
    block.append((spans[t] = span));
    if (t === T - 1 || (block.childElementCount > 400 && name.endsWith("\n"))) {
      text.append(block);
      block = document.createElement("div");
    }
  }
}
function colourText() {
  const shown = by === "unit" ? array(layer, value) : null;
  for (let t = 0; t < T; t++) {
    let colour = "";
    if (shown) colour = activationColour(shown.of(unit, t), shown.end[unit], shown.fraction);
    else if (by === "bits" && t > 0) colour = shade(palette.bits, bits[t - 1] / 8);
    spans[t].style.backgroundColor = colour;
  }
  drawLegend(shown);
}
function drawLegend(shown) {
  $("legend").hidden = by === "none";
  const ends = !shown ? ["0", "8 bits"] : shown.fraction ? ["0", "1"] : [short(-shown.end[unit]), short(shown.end[unit])];
  [$("from").textContent, $("to").textContent] = ends;
  const ramp = !shown ? [palette.bits[0], palette.bits[127]] : shown.fraction ? [palette.open[0], palette.open[127]]
    : [palette.low[127], palette.low[0], palette.high[127]];
  $("ramp").style.background = `linear-gradient(to right, ${ramp.join(", ")})`;
  for (const radio of document.getElementsByName("by")) radio.checked = radio.value === by;
}
let marked = [];
function markCredit() {
  for (const t of marked) spans[t].style.boxShadow = "";
  marked = [];
  const found = creditOf(pinned);
  for (let d = 0; found && d < credit.reach && pinned - d >= 0; d++) {
    const share = found.share(d);
    if (share > 0.004) {
      spans[pinned - d].style.boxShadow = `inset 0 ${(-0.5 * share).toFixed(4)}em ${palette.credit}`;
      marked.push(pinned - d);
    }
  }
}

// ---- The panels

function drawNext() {
  const end = at === T - 1, came = end ? -1 : ids[at + 1];
  const before = Array.from(ids.slice(Math.max(0, at - 17), at + 1), (i) => visible(names[i])).join("");
  $("after").textContent = `after  ${at > 17 ? "…" : ""}${before}`;
  const rows = [...$("next").children];
  for (let j = 0; j < K; j++) {
    const id = next[at * K + j], p = probabilities[at * K + j] / 65535, [name, bar, number] = rows[j].children;
    rows[j].classList.toggle("true", id === came);
    name.textContent = visible(names[id]);
    bar.style.width = `${100 * p}%`;
    number.textContent = percent(p);
  }
  $("came").textContent = end ? "The text ends here." :
    `“${visible(names[came])}” came: ${percent(2 ** -bits[at])}, ${bits[at].toFixed(bits[at] < 10 ? 2 : 1)} bits.`;
}
function makeNext() {
  for (let j = 0; j < K; j++) {
    const row = document.createElement("li");
    row.append(document.createElement("b"), document.createElement("i"), document.createElement("span"));
    $("next").append(row);
  }
}

let tiles = [];
function makeTiles() {
  tiles = layers[layer].units.map((number, k) => {
    const tile = document.createElement("button");
    Object.assign(tile, { type: "button", title: `unit ${number}`, tabIndex: k === unit ? 0 : -1 });
    tile.setAttribute("aria-label", `unit ${number}`);
    tile.setAttribute("aria-pressed", k === unit && by === "unit");
    return tile;
  });
  $("units").replaceChildren(...tiles);
}
function drawTiles() {
  if (!layers.length) return;
  const shown = array(layer, value);
  tiles.forEach((tile, k) => (tile.style.backgroundColor = activationColour(shown.of(k, at), shown.end[k], shown.fraction)));
}
function chooseUnit(k, focus) {
  tiles[unit].tabIndex = -1;
  tiles[unit].setAttribute("aria-pressed", "false");
  unit = Math.max(0, Math.min(k, tiles.length - 1));
  tiles[unit].tabIndex = 0;
  tiles[unit].setAttribute("aria-pressed", "true");
  if (focus) tiles[unit].focus();
  $("number").value = layers[layer].units[unit];
  by = "unit";
  colourText();
  drawTime();
}

const SVG = "http://www.w3.org/2000/svg";
let columns = 0, lines = [];
function makeTime() {
  const width = $("time").clientWidth - 100;
  columns = Math.max(12, Math.min(48, Math.floor(width / 8)));
  const rows = layers.length ? layers[layer].values.map((v) => ({ kind: v.fraction ? "fraction" : "signed", name: v.name })) : [];
  if (credit.tokens) rows.unshift({ kind: "credit", name: "credit" });
  lines = [...rows, { kind: "tokens", name: "" }].map(({ kind, name }) => {
    const row = document.createElement("div"), label = document.createElement("b"), number = document.createElement("span");
    const svg = document.createElementNS(SVG, "svg");
    row.className = `row ${kind}`;
    label.textContent = name;
    if (kind === "tokens") {
      svg.setAttribute("viewBox", `0 0 ${columns * 8} 14`);
      for (let j = 0; j < columns; j++) {
        const letter = svg.appendChild(document.createElementNS(SVG, "text"));
        letter.setAttribute("x", 8 * j + 4);
        letter.setAttribute("y", 11);
      }
    } else {
      svg.setAttribute("viewBox", `0 ${kind === "signed" ? -1 : 0} ${columns} ${kind === "signed" ? 2 : 1}`);
      svg.setAttribute("preserveAspectRatio", "none");
      const zero = svg.appendChild(document.createElementNS(SVG, "line"));
      zero.setAttribute("x2", columns);
      if (kind !== "signed") zero.setAttribute("transform", "translate(0 1)");
      for (const part of ["up", "down"]) svg.appendChild(document.createElementNS(SVG, "path")).setAttribute("class", part);
    }
    svg.setAttribute("aria-hidden", "true");
    row.append(label, svg, number);
    return { row, svg, number, kind, name };
  });
  $("time").replaceChildren(...lines.map((line) => line.row));
}
// Bars from the line of zero, which is in the middle for signed values, and else at the bottom.
function drawBars(svg, heights, signed) {
  const path = (some) => heights.map((h, j) => (some(h) ? `M${j + 0.08} ${signed ? 0 : 1}v${-h}h.84v${h}z` : "")).join("");
  svg.querySelector(".up").setAttribute("d", path((h) => h > 0));
  svg.querySelector(".down").setAttribute("d", path((h) => h < 0));
}
function drawTime() {
  const first = at - columns + 1;
  const over = (f) => Array.from({ length: columns }, (_, j) => (first + j < 0 ? 0 : f(first + j)));
  let v = 0;
  for (const { svg, number, kind } of lines) {
    if (kind === "tokens") {
      [...svg.children].forEach((letter, j) => (letter.textContent = first + j < 0 ? "" : [...visible(names[ids[first + j]])][0]));
    } else if (kind === "credit") {
      const found = creditOf(at);
      drawBars(svg, over((t) => found?.share(at - t) ?? 0), false);
      number.textContent = found ? found.most.toPrecision(2) : "—";
    } else {
      const shown = array(layer, v++), limit = shown.fraction ? 1 : shown.end[unit] || 1;
      const height = (t) => Math.max(-1, Math.min(1, (shown.of(unit, t) || 0) / limit));
      drawBars(svg, over(height), !shown.fraction);
      number.textContent = short(shown.of(unit, at));
    }
  }
  $("time-title").textContent = layers.length ? `Unit ${layers[layer].units[unit]} up to here` : "Up to here";
}

// ---- Changes

function look(t, speak) {
  if (t === at || t < 0 || t >= T) return;
  spans[at].classList.remove("at");
  at = t;
  spans[at].classList.add("at");
  drawNext();
  drawTiles();
  drawTime();
  if (speak) {
    spans[at].scrollIntoView({ block: "nearest" });
    const likely = Array.from({ length: Math.min(3, K) }, (_, j) => `${visible(names[next[at * K + j]])} ${percent(probabilities[at * K + j] / 65535)}`);
    $("spoken").textContent = `After ${visible(names[ids[at]])}: ${likely.join(", ")}. ${$("came").textContent}`;
  }
}
function pin(t) {
  if (pinned >= 0) spans[pinned].classList.remove("pinned");
  pinned = t;
  if (pinned >= 0) spans[pinned].classList.add("pinned");
  markCredit();
}
function chooseValue() {
  [layer, value] = $("value").value.split(" ").map(Number);
  unit = Math.min(unit, layers[layer].units.length - 1);
  makeTiles();
  makeTime();
  chooseUnit(unit, false);
  drawTiles();
}
// The token above or below, nearest to where this one stands.
function besides(step) {
  const line = (t) => spans[t].getClientRects()[0];
  const here = line(at), middle = here.left + here.width / 2;
  let best = at, level = null, least = Infinity;
  for (let t = at + step; t >= 0 && t < T; t += step) {
    const box = line(t);
    if (Math.abs(box.top - here.top) < 2) continue;
    level ??= box.top;
    if (Math.abs(box.top - level) > 2) break;
    const distance = Math.abs(box.left + box.width / 2 - middle);
    if (distance < least) [least, best] = [distance, t];
  }
  return best;
}
function edge(step) {
  const top = (t) => spans[t].getClientRects()[0].top;
  let t = at;
  while (spans[t + step] && Math.abs(top(t + step) - top(at)) < 2) t += step;
  return t;
}
const textKeys = {
  ArrowLeft: () => look(at - 1, true),
  ArrowRight: () => look(at + 1, true),
  ArrowUp: () => look(besides(-1), true),
  ArrowDown: () => look(besides(1), true),
  Home: () => look(edge(-1), true),
  End: () => look(edge(1), true),
  Enter: () => pin(at),
  " ": () => pin(at),
  Escape: () => pin(-1),
};
function across() { return Math.max(1, getComputedStyle($("units")).gridTemplateColumns.split(" ").length); }
const unitKeys = {
  ArrowLeft: () => chooseUnit(unit - 1, true),
  ArrowRight: () => chooseUnit(unit + 1, true),
  ArrowUp: () => chooseUnit(unit - across(), true),
  ArrowDown: () => chooseUnit(unit + across(), true),
};
function keys(table) {
  return (event) => {
    if (!(event.key in table) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    table[event.key]();
  };
}
function listen() {
  text.addEventListener("pointerover", (event) => event.target.token !== undefined && look(event.target.token, false));
  text.addEventListener("pointerleave", () => pinned >= 0 && look(pinned, false));
  text.addEventListener("click", (event) => {
    if (event.target.token === undefined) return;
    look(event.target.token, false);
    pin(at);
  });
  text.addEventListener("keydown", keys(textKeys));
  $("units").addEventListener("keydown", keys(unitKeys));
  $("units").addEventListener("click", (event) => tiles.includes(event.target) && chooseUnit(tiles.indexOf(event.target), false));
  $("number").addEventListener("change", () => {
    const k = layers[layer].units.indexOf(Number($("number").value));
    chooseUnit(k < 0 ? unit : k, false);
  });
  $("value").addEventListener("change", chooseValue);
  for (const radio of document.getElementsByName("by")) radio.addEventListener("change", () => {
    by = radio.value;
    colourText();
    tiles.forEach((tile, k) => tile.setAttribute("aria-pressed", by === "unit" && k === unit));
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const name = () => ($("theme").textContent = isDark() ? "Light" : "Dark");
  const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const recolour = () => { name(); readColours(); colourText(); drawTiles(); markCredit(); };
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    recolour();
  });
  dark.addEventListener("change", recolour);
  addEventListener("hashchange", () => { readHash(); recolour(); });
  name();
  addEventListener("resize", () => { makeTime(); drawTime(); });
}

// `report.html#dark`: a page that holds this one in a frame can hand on its own colours.
function readHash() {
  const theme = location.hash.slice(1);
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
function describe() {
  for (const name of document.querySelectorAll(".name")) name.textContent = token;
  const mean = about.mean.toFixed(2);
  $("facts").textContent = `${T.toLocaleString("en")} ${token}s, ${mean} bits each`;
  const notes = [
    `The model: ${about.model}`,
    `Surprise is −log₂ of the probability that a ${token} had before it was read. The colour of a unit is its activation after the ${token}.`,
    `Of each distribution the ${K} likeliest of ${names.length} ${token}s are on the page.`,
    "Activations are rounded to 8 bits. The colours of a unit that has negative values end at the 95th percentile of their magnitudes.",
  ];
  if (credit.tokens) notes.push(
    `Credit: bars under the letters, and the first row below the units. It is the norm of the gradient of the loss of the prediction after a ${token} ` +
    `w.r.t. the state of ${credit.layer || "the cell"} after each ${token} before. The number is the longest bar. ` +
    `It goes back ${credit.reach} ${token}s` + (credit.tokens < T - 1 ? `, and is computed for the first ${credit.tokens.toLocaleString("en")} ${token}s only.` : "."));
  else notes.push("Credit was not computed for this page.");
  for (const [i, l] of layers.entries()) if (l.units.length < l.all) notes.push(`Of ${l.name || "the cell"}, ${l.units.length} of ${l.all} units are on the page.`);
  $("notes").replaceChildren(...notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
}
function start() {
  describe();
  readHash();
  readColours();
  writeText();
  makeNext();
  for (const [i, l] of layers.entries()) for (const [j, v] of l.values.entries()) {
    const label = layers.length > 1 ? `${v.name} of ${l.name || "the cell"}` : v.name;
    $("value").append(new Option(label, `${i} ${j}`, false, i === layer && j === value));
  }
  if (layers.length) {
    makeTiles();
    $("number").value = layers[layer].units[unit];
  } else for (const part of [$("unit-panel"), document.querySelector("[value=unit]").parentElement]) part.hidden = true;
  makeTime();
  spans[at].classList.add("at");
  colourText();
  drawNext();
  drawTiles();
  drawTime();
  pin(at);
  listen();
}
start();
