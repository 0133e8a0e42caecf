"use strict";

// Numbers, times and sizes as a person reads them.

const numbers = new Intl.NumberFormat("en");
const count = n => numbers.format(n || 0);

// rate keeps one decimal where it says something.
function rate(n) {
  if (!isFinite(n) || n < 0.05) return "0";
  return n < 10 ? n.toFixed(1) : count(Math.round(n));
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (n = n || 0; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return (i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)) + " " + units[i];
}

// span is a length of time in its two largest units.
function span(seconds) {
  if (!(seconds >= 1)) return seconds > 0 ? "< 1 s" : "0 s";
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const i = units.findIndex(([size]) => seconds >= size);
  const parts = [];
  for (const [size, name] of units.slice(i, i + 2)) {
    const n = Math.floor(seconds / size);
    if (n > 0) parts.push(n + " " + name);
    seconds -= n * size;
  }
  return parts.join(" ");
}

function milliseconds(seconds) {
  if (!seconds) return "–";
  const ms = seconds * 1000;
  return (ms < 10 ? ms.toFixed(1) : count(Math.round(ms))) + " ms";
}

const plural = (n, one, many) => count(n) + " " + (n === 1 ? one : many);

// sum adds up the values of an object, which may be missing.
const sum = o => Object.values(o || {}).reduce((a, b) => a + b, 0);

// reasons lists the entries of an object of counters, largest first.
const reasons = o => Object.entries(o || {}).sort((a, b) => b[1] - a[1]);
