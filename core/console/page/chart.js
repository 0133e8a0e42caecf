"use strict";

// The depth of the buffer over the last ten minutes. The samples survive a
// reload of the page, not the end of its tab.

const chartSeconds = 600;
const chartKey = "weir.depth";

class Chart {
  constructor() {
    this.samples = [];
    try {
      this.samples = JSON.parse(sessionStorage.getItem(chartKey)) || [];
    } catch { /* a browser without storage starts anew */ }
  }

  // add takes the depth at a moment of the gateway's clock, in ms.
  add(time, depth) {
    const last = this.samples.at(-1);
    if (last && last[0] >= time) this.samples = []; // the clock was set back
    this.samples.push([time, depth]);
    const first = this.samples.findIndex(s => s[0] >= time - chartSeconds * 1000);
    this.samples.splice(0, first);
    try {
      sessionStorage.setItem(chartKey, JSON.stringify(this.samples));
    } catch { /* as above */ }
  }

  // slope is by how many messages a second the depth has changed lately.
  slope() {
    const [end, depth] = this.samples.at(-1);
    const [start, before] = this.samples.find(s => s[0] >= end - 10000);
    return end === start ? 0 : (depth - before) / (end - start) * 1000;
  }

  draw() {
    const [end] = this.samples.at(-1);
    const start = Math.min(this.samples[0][0], end - 60000);
    const top = Math.max(10, ...this.samples.map(s => s[1]));
    const x = t => ((t - start) / (end - start) * 600).toFixed(1);
    const y = d => (156 - d / top * 132).toFixed(1);
    const line = this.samples.map(([t, d], i) => (i ? "L" : "M") + x(t) + " " + y(d)).join("");
    $("chart-line").setAttribute("d", line);
    $("chart-area").setAttribute("d", line + "L600 160L" + x(this.samples[0][0]) + " 160Z");
    const highest = Math.max(...this.samples.map(s => s[1]));
    text($("chart-top"), highest > 0 ? "highest " + count(highest) : "nothing had to wait");
    text($("chart-from"), span((end - start) / 1000) + " ago");
  }
}
