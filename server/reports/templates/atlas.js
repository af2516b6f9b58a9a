"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("map"), stage = $("stage"), card = $("card"), pen = canvas.getContext("2d");
const count = data.ids.length;
const dark = matchMedia("(prefers-color-scheme: dark)");

// Ten colours that people who see few colours tell apart best, for light and for dark paper.
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7b3fa0", "#8c564b", "#5a7d00", "#e0457b"];
const DARK = ["#4aa8e8", "#ff8c42", "#2fd6a3", "#e8a2c8", "#e6c229", "#8fd3ff", "#b98ae0", "#c49a8a", "#a3cc3a", "#ff7fa5"];
const LIGHT_RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [240, 205, 20]];
const DARK_RAMP = [[140, 100, 220], [80, 140, 225], [60, 185, 175], [135, 220, 105], [253, 236, 90]];
const NAMED = LIGHT.length;

let view = { scale: 1, x: 0, y: 0 };
let column = 0, hidden = new Set(), found = null;
let hovered = -1, kept = -1, pending = false;
let width = 0, height = 0, visible = [];
const pictures = new Map();

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const steps = () => (dark.matches ? DARK_RAMP : LIGHT_RAMP);

function ramp(part) {
  const all = steps(), at = Math.min(Math.max(part, 0), 1) * (all.length - 1);
  const low = Math.min(Math.floor(at), all.length - 2);
  return `rgb(${all[low].map((from, i) => Math.round(from + (all[low + 1][i] - from) * (at - low)))})`;
}

function span(numbers) {
  let low = Infinity, high = -Infinity;
  for (const number of numbers) if (number !== null) { low = Math.min(low, number); high = Math.max(high, number); }
  return [low, high];
}

// Colour and group of each point; groups are what the legend switches on and off.
let colours = [], groups = [];
function paintBy(place) {
  column = place; hidden.clear();
  const chosen = data.columns[place], palette = dark.matches ? DARK : LIGHT, none = css("--faint");
  if (chosen.numbers) {
    const [low, high] = span(chosen.numbers);
    colours = chosen.numbers.map((n) => (n === null ? none : ramp((n - low) / (high - low || 1))));
    groups = chosen.numbers.map((n) => (n === null ? -1 : 0));
  } else {
    colours = chosen.codes.map((code) => (code === null || code >= NAMED ? none : palette[code]));
    groups = chosen.codes.map((code) => (code === null ? -1 : Math.min(code, NAMED)));
  }
  showLegend(); draw();
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function value(number, chosen) {
  if (chosen.times) return new Date(number * 1000).toISOString().slice(0, 16).replace("T", " ");
  return Number.isInteger(number) ? String(number) : number.toPrecision(4);
}

function showLegend() {
  const chosen = data.columns[column], legend = $("legend"), none = css("--faint");
  $("legend-title").textContent = chosen.name;
  legend.replaceChildren();
  if (chosen.numbers) {
    const [low, high] = span(chosen.numbers), bar = element("div", "", "ramp"), ends = element("div", "", "ends");
    bar.style.background = `linear-gradient(to right, ${steps().map((c) => `rgb(${c})`)})`;
    ends.append(element("span", value(low, chosen)), element("span", value(high, chosen)));
    legend.append(bar, ends);
    const without = chosen.numbers.filter((n) => n === null).length;
    if (without) entry("no value", without, none, -1);
    return;
  }
  const palette = dark.matches ? DARK : LIGHT;
  chosen.names.slice(0, NAMED).forEach((name, code) => entry(name, chosen.counts[code], palette[code], code));
  const rest = chosen.counts.slice(NAMED).reduce((sum, each) => sum + each, 0);
  if (rest) entry(`${chosen.names.length - NAMED} others`, rest, none, NAMED);
  const without = chosen.codes.filter((code) => code === null).length;
  if (without) entry("no value", without, none, -1);
}

function entry(name, number, colour, group) {
  const button = element("button"), dot = element("span", "", "dot"), label = element("span", name, "name");
  button.type = "button"; button.title = name; dot.style.background = colour;
  button.setAttribute("aria-pressed", "true");
  button.append(dot, label, element("span", number.toLocaleString("en"), "count"));
  button.addEventListener("click", () => {
    if (!hidden.delete(group)) hidden.add(group);
    button.setAttribute("aria-pressed", String(!hidden.has(group)));
    draw();
  });
  $("legend").append(button);
}

const shown = (i) => !hidden.has(groups[i]) && (found === null || found.has(i));

// The map fills the shorter side of the stage, with a margin; y grows upwards in the data.
const unit = () => Math.min(width, height) * 0.92;
const screenX = (i) => width / 2 + ((data.x[i] / data.grid - 0.5) * unit() + view.x) * view.scale;
const screenY = (i) => height / 2 - ((data.y[i] / data.grid - 0.5) * unit() - view.y) * view.scale;

function draw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; paint(); });
}

function paint() {
  pen.clearRect(0, 0, width, height);
  visible = [];
  const radius = Math.min(Math.max(5 - Math.log10(count) * 0.7, 1.8) * Math.sqrt(view.scale), 7);
  const behind = css("--faint"), edge = css("--paper");
  for (let i = 0; i < count; i++) {
    const x = screenX(i), y = screenY(i);
    if (x < -60 || y < -60 || x > width + 60 || y > height + 60) continue;
    if (shown(i)) { visible.push(i); continue; }
    pen.globalAlpha = 0.25; pen.fillStyle = behind;
    pen.fillRect(x - 1, y - 1, 2, 2);
  }
  const asPictures = visible.length <= 150 && view.scale > 3;
  pen.globalAlpha = count > 3000 && !asPictures ? 0.8 : 1;
  const marked = kept >= 0 ? kept : hovered;
  for (const i of visible.includes(marked) ? [...visible, marked] : visible) {
    const x = screenX(i), y = screenY(i), picture = asPictures && pictureOf(i);
    if (picture && picture.complete && picture.naturalWidth) {
      const part = 64 / Math.max(picture.naturalWidth, picture.naturalHeight);
      const w = picture.naturalWidth * part, h = picture.naturalHeight * part;
      pen.fillStyle = colours[i];
      pen.fillRect(x - w / 2 - 2, y - h / 2 - 2, w + 4, h + 4);
      pen.drawImage(picture, x - w / 2, y - h / 2, w, h);
      continue;
    }
    pen.fillStyle = colours[i];
    pen.beginPath(); pen.arc(x, y, radius, 0, 2 * Math.PI); pen.fill();
  }
  pen.globalAlpha = 1;
  if (marked >= 0) {
    pen.lineWidth = 5; pen.strokeStyle = edge;
    pen.beginPath(); pen.arc(screenX(marked), screenY(marked), radius + 4, 0, 2 * Math.PI); pen.stroke();
    pen.lineWidth = 2.5; pen.strokeStyle = css("--ring");
    pen.stroke();
  }
}

function pictureOf(i) {
  if (!data.thumbnails[i]) return null;
  if (!pictures.has(i)) {
    const image = new Image();
    image.onload = draw;
    image.src = `data:image/webp;base64,${data.thumbnails[i]}`;
    pictures.set(i, image);
  }
  return pictures.get(i);
}

function nearest(x, y, reach) {
  let best = -1, least = reach * reach;
  for (const i of visible) {
    const apart = (screenX(i) - x) ** 2 + (screenY(i) - y) ** 2;
    if (apart < least) { least = apart; best = i; }
  }
  return best;
}

function describe(i) {
  const chosen = data.columns[column];
  const raw = chosen.numbers ? chosen.numbers[i] : chosen.codes[i];
  if (raw === null) return "";
  return `${chosen.name}: ${chosen.numbers ? value(raw, chosen) : chosen.names[raw]}`;
}

function showCard(i) {
  card.hidden = i < 0;
  card.toggleAttribute("data-kept", kept >= 0);
  if (i < 0) return;
  card.replaceChildren();
  const picture = pictureOf(i);
  if (picture) {
    const image = element("img");
    image.src = picture.src; image.alt = data.captions[i] || data.titles[i];
    card.append(image);
  }
  if (data.captions[i]) card.append(element("p", data.captions[i], "caption"));
  card.append(element("p", data.titles[i], "quiet"));
  if (describe(i)) card.append(element("p", describe(i), "quiet"));
  const id = element("p", "", "quiet");
  id.append(element("code", data.ids[i]));
  card.append(id);
  const x = screenX(i), y = screenY(i), box = card.getBoundingClientRect();
  const left = x + 16 + box.width > width ? x - 16 - box.width : x + 16;
  card.style.left = `${Math.max(4, left)}px`;
  card.style.top = `${Math.min(Math.max(4, y - box.height / 2), Math.max(4, height - box.height - 4))}px`;
}

function mark(i) {
  if (i === hovered) return;
  hovered = i;
  if (kept < 0) { showCard(i); draw(); }
}

function keep(i) {
  kept = i;
  showCard(i >= 0 ? i : hovered);
  if (i >= 0) say(i);
  draw();
}

const say = (i) => {
  $("said").textContent = [data.captions[i], data.titles[i], describe(i)].filter(Boolean).join("; ");
};

function zoom(by, x = width / 2, y = height / 2) {
  const scale = Math.min(Math.max(view.scale * by, 0.8), 400), part = 1 / scale - 1 / view.scale;
  view = { scale, x: view.x + (x - width / 2) * part, y: view.y + (y - height / 2) * part };
  showCard(kept >= 0 ? kept : hovered); draw();
}

function pan(x, y) {
  view.x += x / view.scale; view.y += y / view.scale;
  showCard(kept >= 0 ? kept : hovered); draw();
}

function reset() { view = { scale: 1, x: 0, y: 0 }; keep(-1); mark(-1); draw(); }

// The next picture in a direction: near, and rather ahead than to the side.
function step(dx, dy) {
  const from = kept >= 0 ? kept : hovered;
  if (from < 0) return keep(nearest(width / 2, height / 2, Infinity));
  let best = -1, least = Infinity;
  for (let i = 0; i < count; i++) {
    if (i === from || !shown(i)) continue;
    const x = screenX(i) - screenX(from), y = screenY(i) - screenY(from), ahead = x * dx + y * dy;
    if (ahead <= 0) continue;
    const aside = Math.abs(x * dy) + Math.abs(y * dx), cost = ahead + 3 * aside;
    if (aside <= ahead && cost < least) { least = cost; best = i; }
  }
  if (best < 0) return;
  const x = screenX(best), y = screenY(best);
  if (x < 40 || y < 40 || x > width - 40 || y > height - 40) pan(width / 2 - x, height / 2 - y);
  keep(best);
}

const KEYS = {
  ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
  "+": () => zoomOn(1.5), "=": () => zoomOn(1.5), "-": () => zoomOn(1 / 1.5), "0": reset,
  Enter: () => keep(kept >= 0 ? -1 : hovered), Escape: () => { keep(-1); mark(-1); },
};
function zoomOn(by) { kept >= 0 ? zoom(by, screenX(kept), screenY(kept)) : zoom(by); }

canvas.addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault(); act();
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
}, { passive: false });

let held = null;
canvas.addEventListener("pointerdown", (event) => {
  held = { x: event.offsetX, y: event.offsetY, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!held) return mark(nearest(event.offsetX, event.offsetY, 24));
  const dx = event.offsetX - held.x, dy = event.offsetY - held.y;
  if (!held.moved && Math.hypot(dx, dy) < 4) return;
  held = { x: event.offsetX, y: event.offsetY, moved: true };
  pan(dx, dy);
});
canvas.addEventListener("pointerup", (event) => {
  const moved = held && held.moved;
  held = null;
  if (!moved) keep(nearest(event.offsetX, event.offsetY, 24));
});
canvas.addEventListener("pointerleave", () => mark(-1));

$("column").append(...data.columns.map((each, place) => {
  const option = element("option", each.name);
  option.value = place;
  return option;
}));
$("column").addEventListener("change", (event) => paintBy(Number(event.target.value)));
$("reset").addEventListener("click", reset);
$("find").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  found = null;
  if (words.length) {
    found = new Set();
    for (let i = 0; i < count; i++) {
      const text = `${data.captions[i] || ""} ${data.titles[i]} ${data.ids[i]}`.toLowerCase();
      if (words.every((word) => text.includes(word))) found.add(i);
    }
    $("said").textContent = `${found.size} found`;
  }
  draw();
});
dark.addEventListener("change", () => paintBy(column));

new ResizeObserver(() => {
  const ratio = devicePixelRatio || 1;
  width = stage.clientWidth; height = stage.clientHeight;
  canvas.width = width * ratio; canvas.height = height * ratio;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw();
}).observe(stage);
paintBy(0);
