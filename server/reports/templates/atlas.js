"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("map"), stage = $("stage"), card = $("card"), context = canvas.getContext("2d");
const count = data.ids.length;
const dark = matchMedia("(prefers-color-scheme: dark)");

// Ten colors that are easy to distinguish with color blindness, for light and dark mode.
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7b3fa0", "#8c564b", "#5a7d00", "#e0457b"];
const DARK = ["#4aa8e8", "#ff8c42", "#2fd6a3", "#e8a2c8", "#e6c229", "#8fd3ff", "#b98ae0", "#c49a8a", "#a3cc3a", "#ff7fa5"];
const LIGHT_RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [240, 205, 20]];
const DARK_RAMP = [[140, 100, 220], [80, 140, 225], [60, 185, 175], [135, 220, 105], [253, 236, 90]];
const NAMED = LIGHT.length;

let view = { scale: 1, x: 0, y: 0 };
let column = 0, hidden = new Set(), matches = null;
let hovered = -1, pinned = -1, pending = false;
let width = 0, height = 0, visible = [];
const thumbnails = new Map();

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

// Color and group of each point; a legend entry shows or hides a group.
let colors = [], groups = [];
function colorBy(index) {
  column = index; hidden.clear();
  const chosen = data.columns[index], palette = dark.matches ? DARK : LIGHT, none = css("--faint");
  if (chosen.numbers) {
    const [low, high] = span(chosen.numbers);
    colors = chosen.numbers.map((n) => (n === null ? none : ramp((n - low) / (high - low || 1))));
    groups = chosen.numbers.map((n) => (n === null ? -1 : 0));
  } else {
    colors = chosen.codes.map((code) => (code === null || code >= NAMED ? none : palette[code]));
    groups = chosen.codes.map((code) => (code === null ? -1 : Math.min(code, NAMED)));
  }
  showLegend(); draw();
}

function element(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
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

function entry(name, number, color, group) {
  const button = element("button"), dot = element("span", "", "dot"), label = element("span", name, "name");
  button.type = "button"; button.title = name; dot.style.background = color;
  button.setAttribute("aria-pressed", "true");
  button.append(dot, label, element("span", number.toLocaleString("en"), "count"));
  button.addEventListener("click", () => {
    if (!hidden.delete(group)) hidden.add(group);
    button.setAttribute("aria-pressed", String(!hidden.has(group)));
    draw();
  });
  $("legend").append(button);
}

const shown = (i) => !hidden.has(groups[i]) && (matches === null || matches.has(i));

// The map fills the shorter side of the stage, with a margin. In the data, y points up.
const unit = () => Math.min(width, height) * 0.92;
const screenX = (i) => width / 2 + ((data.x[i] / data.grid - 0.5) * unit() + view.x) * view.scale;
const screenY = (i) => height / 2 - ((data.y[i] / data.grid - 0.5) * unit() - view.y) * view.scale;

function draw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; paint(); });
}

function paint() {
  context.clearRect(0, 0, width, height);
  visible = [];
  const radius = Math.min(Math.max(5 - Math.log10(count) * 0.7, 1.8) * Math.sqrt(view.scale), 7);
  const faint = css("--faint"), edge = css("--paper");
  for (let i = 0; i < count; i++) {
    const x = screenX(i), y = screenY(i);
    if (x < -60 || y < -60 || x > width + 60 || y > height + 60) continue;
    if (shown(i)) { visible.push(i); continue; }
    context.globalAlpha = 0.25; context.fillStyle = faint;
    context.fillRect(x - 1, y - 1, 2, 2);
  }
  const asThumbnails = visible.length <= 150 && view.scale > 3;
  context.globalAlpha = count > 3000 && !asThumbnails ? 0.8 : 1;
  const marked = pinned >= 0 ? pinned : hovered;
  for (const i of visible.includes(marked) ? [...visible, marked] : visible) {
    const x = screenX(i), y = screenY(i), thumbnail = asThumbnails && thumbnailOf(i);
    if (thumbnail && thumbnail.complete && thumbnail.naturalWidth) {
      const part = 64 / Math.max(thumbnail.naturalWidth, thumbnail.naturalHeight);
      const w = thumbnail.naturalWidth * part, h = thumbnail.naturalHeight * part;
      context.fillStyle = colors[i];
      context.fillRect(x - w / 2 - 2, y - h / 2 - 2, w + 4, h + 4);
      context.drawImage(thumbnail, x - w / 2, y - h / 2, w, h);
      continue;
    }
    context.fillStyle = colors[i];
    context.beginPath(); context.arc(x, y, radius, 0, 2 * Math.PI); context.fill();
  }
  context.globalAlpha = 1;
  if (marked >= 0) {
    context.lineWidth = 5; context.strokeStyle = edge;
    context.beginPath(); context.arc(screenX(marked), screenY(marked), radius + 4, 0, 2 * Math.PI); context.stroke();
    context.lineWidth = 2.5; context.strokeStyle = css("--ring");
    context.stroke();
  }
}

function thumbnailOf(i) {
  if (!data.thumbnails[i]) return null;
  if (!thumbnails.has(i)) {
    const image = new Image();
    image.onload = draw;
    image.src = `data:image/webp;base64,${data.thumbnails[i]}`;
    thumbnails.set(i, image);
  }
  return thumbnails.get(i);
}

function nearest(x, y, reach) {
  let best = -1, minimum = reach * reach;
  for (const i of visible) {
    const apart = (screenX(i) - x) ** 2 + (screenY(i) - y) ** 2;
    if (apart < minimum) { minimum = apart; best = i; }
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
  card.toggleAttribute("data-pinned", pinned >= 0);
  if (i < 0) return;
  card.replaceChildren();
  const thumbnail = thumbnailOf(i);
  if (thumbnail) {
    const image = element("img");
    image.src = thumbnail.src; image.alt = data.captions[i] || data.titles[i];
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
  if (pinned < 0) { showCard(i); draw(); }
}

function pin(i) {
  pinned = i;
  showCard(i >= 0 ? i : hovered);
  if (i >= 0) announce(i);
  draw();
}

const announce = (i) => {
  $("status").textContent = [data.captions[i], data.titles[i], describe(i)].filter(Boolean).join("; ");
};

function zoom(by, x = width / 2, y = height / 2) {
  const scale = Math.min(Math.max(view.scale * by, 0.8), 400), part = 1 / scale - 1 / view.scale;
  view = { scale, x: view.x + (x - width / 2) * part, y: view.y + (y - height / 2) * part };
  showCard(pinned >= 0 ? pinned : hovered); draw();
}

function pan(x, y) {
  view.x += x / view.scale; view.y += y / view.scale;
  showCard(pinned >= 0 ? pinned : hovered); draw();
}

function reset() { view = { scale: 1, x: 0, y: 0 }; pin(-1); mark(-1); draw(); }

// Move to the next image in a direction: prefer near points, and ahead over aside.
function step(dx, dy) {
  const from = pinned >= 0 ? pinned : hovered;
  if (from < 0) return pin(nearest(width / 2, height / 2, Infinity));
  let best = -1, minimum = Infinity;
  for (let i = 0; i < count; i++) {
    if (i === from || !shown(i)) continue;
    const x = screenX(i) - screenX(from), y = screenY(i) - screenY(from), ahead = x * dx + y * dy;
    if (ahead <= 0) continue;
    const aside = Math.abs(x * dy) + Math.abs(y * dx), cost = ahead + 3 * aside;
    if (aside <= ahead && cost < minimum) { minimum = cost; best = i; }
  }
  if (best < 0) return;
  const x = screenX(best), y = screenY(best);
  if (x < 40 || y < 40 || x > width - 40 || y > height - 40) pan(width / 2 - x, height / 2 - y);
  pin(best);
}

const KEYS = {
  ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
  "+": () => zoomOn(1.5), "=": () => zoomOn(1.5), "-": () => zoomOn(1 / 1.5), "0": reset,
  Enter: () => pin(pinned >= 0 ? -1 : hovered), Escape: () => { pin(-1); mark(-1); },
};
function zoomOn(by) { pinned >= 0 ? zoom(by, screenX(pinned), screenY(pinned)) : zoom(by); }

canvas.addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault(); act();
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
}, { passive: false });

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.offsetX, y: event.offsetY, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) return mark(nearest(event.offsetX, event.offsetY, 24));
  const dx = event.offsetX - drag.x, dy = event.offsetY - drag.y;
  if (!drag.moved && Math.hypot(dx, dy) < 4) return;
  drag = { x: event.offsetX, y: event.offsetY, moved: true };
  pan(dx, dy);
});
canvas.addEventListener("pointerup", (event) => {
  const moved = drag && drag.moved;
  drag = null;
  if (!moved) pin(nearest(event.offsetX, event.offsetY, 24));
});
canvas.addEventListener("pointerleave", () => mark(-1));

$("column").append(...data.columns.map((each, index) => {
  const option = element("option", each.name);
  option.value = index;
  return option;
}));
$("column").addEventListener("change", (event) => colorBy(Number(event.target.value)));
$("reset").addEventListener("click", reset);
$("find").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  matches = null;
  if (words.length) {
    matches = new Set();
    for (let i = 0; i < count; i++) {
      const text = `${data.captions[i] || ""} ${data.titles[i]} ${data.ids[i]}`.toLowerCase();
      if (words.every((word) => text.includes(word))) matches.add(i);
    }
    $("status").textContent = `${matches.size} matches`;
  }
  draw();
});
dark.addEventListener("change", () => colorBy(column));

new ResizeObserver(() => {
  const ratio = devicePixelRatio || 1;
  width = stage.clientWidth; height = stage.clientHeight;
  canvas.width = width * ratio; canvas.height = height * ratio;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw();
}).observe(stage);
colorBy(0);
