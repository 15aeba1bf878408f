"use strict";
// What the page does when it is pointed at: a card for each well of the maps, and the order of the
// gallery. All text goes in as text. Without this script the page still says all but the scores.

const data = JSON.parse(document.getElementById("wells").textContent);
const card = document.getElementById("card");
const maps = [...document.querySelectorAll("svg.map")];

function element(kind, text, name) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

// A name from a plate map, kept apart from its surroundings: it may be written from right to left.
const named = (k) => element("bdi", data.names[k], "name");

function line(...parts) {
  const made = element("p");
  made.append(...parts);
  return made;
}

function fillCard(number) {
  const [plate, name, treatment, truth, scored, paths, picture] = data.wells[number];
  const title = element("h3", name);
  if (data.plates > 1) title.append(", ", named(plate));
  card.replaceChildren(title);
  if (picture) {
    const image = element("img");
    image.src = picture;
    image.alt = "first field";
    card.append(image);
  }
  if (treatment !== null) card.append(line(named(treatment)));
  if (truth === null) card.append(line("class not known"));
  else card.append(line("is ", named(truth), scored ? "" : " (not tested)"));
  paths.forEach(([call, sure, unlike, ...values], k) => {
    const verdict = scored ? (call === truth ? " ✓" : " ✗") : "";
    card.append(line(element("b", data.paths[k]), ": ", named(call), verdict));
    if (unlike) card.append(line("but unlike every class that it learned"));
    card.append(
      element("p", `surer than ${Math.round(100 * sure)}% of the wells that its model called`, "soft"),
      scores(values));
  });
}

function scores(values) {
  const order = values.map((_, k) => k).filter((k) => values[k] !== null);
  order.sort((a, b) => values[b] - values[a]);
  const list = element("dl");
  for (const k of order.slice(0, 4)) {
    const term = element("dt");
    term.append(named(k));
    list.append(term, element("dd", data.measure === "probability" ? values[k].toFixed(2) : values[k]));
  }
  list.setAttribute("aria-label", data.measure);
  list.dataset.measure = data.measure;
  return list;
}

let shown = null;

function show(well) {
  if (shown === well) return;
  hide();
  shown = well;
  // The title would show over the card: from now on it is the well's label.
  const title = well.querySelector("title");
  if (title) {
    well.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  well.classList.add("pointed");
  well.setAttribute("aria-describedby", "card");
  fillCard(Number(well.dataset.well));
  card.hidden = false;
  place();
}

function place() {
  if (!shown) return;
  const at = shown.getBoundingClientRect();
  const across = document.documentElement.clientWidth, down = window.innerHeight;
  const { width, height } = card.getBoundingClientRect();
  const left = at.right + 10 + width <= across ? at.right + 10 : at.left - 10 - width;
  card.style.left = `${Math.max(4, Math.min(left, across - width - 4))}px`;
  card.style.top = `${Math.max(4, Math.min(at.top - 20, down - height - 4))}px`;
}

function hide() {
  if (!shown) return;
  shown.classList.remove("pointed");
  shown.removeAttribute("aria-describedby");
  shown = null;
  card.hidden = true;
}

const well = (event) => event.target.closest?.("[data-well]");

// One well of a map is in the order of the tab key; the arrows move from it.
function setUp(map) {
  const wells = [...map.querySelectorAll("[data-well]")];
  if (!wells.length) return;
  const at = wells.map((well) => {
    const circle = well.firstElementChild;
    return [circle.cx.baseVal.value, circle.cy.baseVal.value];
  });
  const before = (a, b) => at[a][1] - at[b][1] || at[a][0] - at[b][0];
  let current = [...wells.keys()].sort(before)[0];
  map.setAttribute("role", "group");
  wells[current].setAttribute("tabindex", "0");

  function go(next) {
    wells[current].removeAttribute("tabindex");
    current = next;
    wells[current].setAttribute("tabindex", "0");
    wells[current].setAttribute("role", "img");
    wells[current].focus();
  }

  // The nearest well in a direction, one in the same row or column first; -1 at the edge.
  function nearest(along, sign) {
    let best = -1, least = Infinity;
    at.forEach((place, k) => {
      const ahead = sign * (place[along] - at[current][along]);
      const aside = Math.abs(place[1 - along] - at[current][1 - along]);
      const far = ahead + 100 * aside;
      if (ahead > 0.01 && far < least) [best, least] = [k, far];
    });
    return best;
  }

  // The first or the last well of the row.
  function end(sign) {
    let best = current;
    at.forEach((place, k) => {
      const sameRow = Math.abs(place[1] - at[current][1]) < 0.01;
      if (sameRow && sign * (place[0] - at[best][0]) > 0) best = k;
    });
    return best;
  }

  const keys = {
    ArrowLeft: () => nearest(0, -1), ArrowRight: () => nearest(0, 1),
    ArrowUp: () => nearest(1, -1), ArrowDown: () => nearest(1, 1),
    Home: () => end(-1), End: () => end(1),
  };
  map.addEventListener("keydown", (event) => {
    const next = keys[event.key]?.();
    if (next === undefined) return;
    event.preventDefault();
    if (next >= 0) go(next);
  });
  map.addEventListener("pointerover", (event) => { if (well(event)) show(well(event)); });
  map.addEventListener("pointerleave", hide);
  map.addEventListener("click", (event) => { if (well(event)) go(wells.indexOf(well(event))); });
}

maps.forEach(setUp);
// Not on the maps: Chromium stops the tab key at a drawing that listens for the focus.
document.addEventListener("focusin", (event) => { if (well(event)) show(well(event)); });
document.addEventListener("focusout", hide);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
window.addEventListener("scroll", place, { passive: true });

// The gallery: the figures are moved, so that what is read aloud has the order that is seen.
const gallery = document.querySelector(".gallery");
if (gallery) {
  const figures = [...gallery.children];
  const buttons = [...document.querySelectorAll("[data-order]")];
  const values = new Map(figures.map((figure) => [figure, JSON.parse(figure.dataset.keys)]));
  const compare = (a, b) => (typeof a === "string" ? (a < b ? -1 : a > b ? 1 : 0) : a - b);

  function order(button) {
    const { order: key } = button.dataset;
    const turn = button.getAttribute("aria-pressed") === "true" && key !== "found" ? -1 : 1;
    const down = button.dataset.down === "1" ? -turn : turn;
    for (const one of buttons) {
      one.setAttribute("aria-pressed", String(one === button));
      delete one.dataset.down;
    }
    if (down < 0) button.dataset.down = "1";
    const first = (figure) => values.get(figure)[key], rank = (figure) => values.get(figure).found;
    gallery.append(...[...figures].sort((a, b) =>
      down * compare(first(a), first(b)) || rank(a) - rank(b)));
  }

  const choice = document.getElementById("right");
  choice.addEventListener("change", () => {
    for (const figure of figures)
      figure.hidden = choice.value !== "" && values.get(figure).right !== choice.value;
    document.getElementById("count").textContent =
      `${figures.filter((figure) => !figure.hidden).length} shown`;
  });
  for (const button of buttons) button.addEventListener("click", () => order(button));
}
for (const control of document.querySelectorAll(".controls")) control.hidden = false;
