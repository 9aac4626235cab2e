// What all parts of the page need: the data of scene.py, numbers as text, elements.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const { scenes, names, words, shades } = JSON.parse(document.getElementById("data").textContent);

const number = (x) => (x === "nan" ? NaN : x === "inf" ? Infinity : x === "-inf" ? -Infinity : x);
const figure = (x, digits = 4) => {
  x = number(x);
  if (!Number.isFinite(x) || x === 0) return String(x);
  const size = Math.abs(x);
  return size >= 1e5 || size < 1e-4 ? x.toExponential(digits - 1).replace(/\.?0+e/, "e") : String(+x.toPrecision(digits));
};
const short = (text, letters) => (text.length > letters ? "…" + text.slice(1 - Math.floor(letters)) : text);
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));

function element(kind, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function html(kind, attributes = {}, ...children) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
