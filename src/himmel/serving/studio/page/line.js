// The time line: anchors, steps, intervals, cuts, bits and intra share along time.

import { $, clock, draw, grouped, make } from "./page.js";

const ACROSS = 1000, DOWN = 130, STEPS = 12;

export class TimeLine {
  /** `choose` is called with a time in seconds where somebody clicks. */
  constructor(choose) {
    this.choose = choose;
    this.line = this.bits = null;
    this.cuts = [];
  }

  x(time) {
    return (ACROSS * time / this.line.duration).toFixed(2);
  }

  show() {
    const { line, bits, cuts } = this;
    const svg = draw("svg", { viewBox: `0 0 ${ACROSS} ${DOWN}`, preserveAspectRatio: "none", role: "img" });
    svg.setAttribute("aria-label", this.says());
    const upright = (kind, time, top, bottom) => svg.append(draw("line", { class: kind, x1: this.x(time), x2: this.x(time), y1: bottom, y2: top }));
    line.anchors.forEach((anchor, place) => {
      if (place % 2 === 0) return;
      const left = Number(this.x(anchor.time)), right = Number(this.x(line.anchors[place + 1]?.time ?? line.duration));
      svg.append(draw("rect", { class: "odd", x: left, y: 0, width: Math.max(right - left, 0), height: DOWN }));
    });
    if (bits) this.showBits(svg);
    for (const interval of line.intervals) for (const time of interval.times) upright("step", time, 0, STEPS - 4);
    for (const anchor of line.anchors) upright("anchor", anchor.time, 0, DOWN);
    for (const cut of cuts) upright("cut", cut, 0, DOWN);
    this.head = draw("line", { class: "head", y1: 0, y2: DOWN });
    svg.append(this.head);
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      this.choose(line.duration * (event.clientX - box.left) / box.width);
    });
    $("line").replaceChildren(svg);
    $("line-first").textContent = clock(0);
    $("line-last").textContent = clock(line.duration);
    this.showTable();
  }

  showBits(svg) {
    const { bits, line } = this, room = DOWN - STEPS;
    const most = Math.max(1, ...bits.bits);
    const width = Math.max(1, Math.min(6, 0.7 * 900 / bits.frames.length)).toFixed(1);
    bits.frames.forEach((frame, place) => {
      // The square root, since anchors have many times the bits of others.
      const high = room * Math.sqrt(bits.bits[place] / most), x = this.x(line.times[frame]);
      svg.append(draw("line", { class: "bits", x1: x, x2: x, y1: DOWN, y2: (DOWN - high).toFixed(1), "stroke-width": width }));
    });
    const known = bits.frames.map((frame, place) => [line.times[frame], bits.intra[place]]).filter(([, share]) => share !== null);
    svg.append(draw("polyline", { class: "intra", points: known.map(([time, share]) => `${this.x(time)},${(DOWN - 3 - (room - 6) * share).toFixed(1)}`).join(" ") }));
    $("bits-says").textContent = `bits of a picture, up to ${(most / 1000).toFixed(1)} kbit (half as high is a quarter)`;
  }

  says() {
    const { line, bits, cuts } = this;
    const spent = bits ? `, ${(Math.max(...bits.bits) / 1000).toFixed(1)} kbit for a picture at most` : "";
    return `Time line of ${clock(line.duration)} with ${line.anchors.length} anchors, ${line.intervals.length} intervals and ${cuts.length} cuts${spent}`;
  }

  showTable() {
    const { line, bits, cuts } = this;
    const head = make("tr");
    for (const name of ["Interval", "Anchor", "Why there", "Pictures", "Steps read", "Mean bits", "Cuts"]) head.append(make("th", { scope: "col" }, name));
    const body = make("tbody");
    line.intervals.forEach((interval, place) => {
      const anchor = line.anchors[place], end = line.anchors[place + 1]?.time ?? line.duration;
      const inside = bits ? bits.bits.filter((_, k) => bits.frames[k] >= anchor.frame && bits.frames[k] < interval.stop) : [];
      const mean = inside.length ? grouped(inside.reduce((a, b) => a + b, 0) / inside.length) : "";
      const row = make("tr");
      row.append(make("th", { scope: "row" }, String(place + 1)));
      for (const cell of [`${clock(anchor.time)}, picture ${anchor.frame}`, anchor.keyframe ? `${anchor.reason}, keyframe` : anchor.reason,
        String(interval.stop - interval.start + 1), String(interval.frames.length), mean,
        cuts.filter((cut) => cut >= anchor.time && cut < end).map(clock).join(", ")]) row.append(make("td", {}, cell));
      body.append(row);
    });
    $("line-table").replaceChildren(make("table", {}, make("thead", {}, head), body));
    $("line-table").tabIndex = 0;
    $("line-table").setAttribute("role", "region");
    $("line-table").setAttribute("aria-label", "Anchors and intervals");
  }

  point(time) {
    this.head?.setAttribute("x1", this.x(time));
    this.head?.setAttribute("x2", this.x(time));
  }
}
