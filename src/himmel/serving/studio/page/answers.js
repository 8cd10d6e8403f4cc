// What the model said: three answers side by side, gate shares along time, seconds by stage, and tokens as bars.

import { $, brief, clock, draw, grouped, make } from "./page.js";

export const COLUMNS = { motion: "With motion", anchors: "Without motion", dense: "Dense baseline" };
const KINDS = ["text", "image", "motion"];

function bar(name, parts, whole, number) {
  const track = make("span", { class: "track", "aria-hidden": "true" });
  for (const [kind, value] of parts) {
    const piece = make("span", { class: `f-${kind}` });
    piece.style.width = `${whole ? 100 * value / whole : 0}%`;
    track.append(piece);
  }
  return make("div", { class: "bar" }, make("span", {}, name), track, make("span", { class: "number" }, number));
}

function key(names) {
  const list = make("ul", { class: "legend" });
  for (const [kind, name] of names) list.append(make("li", {}, make("i", { class: `k-${kind}` }), name));
  return list;
}

/** Tokens of the three prompts, against the dense one. */
export function showBudget(costs) {
  const whole = Math.max(...Object.values(costs).map((one) => one.total));
  const bars = Object.entries(COLUMNS).map(([column, title]) => {
    const one = costs[column], of = `${Math.round(100 * one.total / costs.dense.total)} %`;
    const named = column === "dense" ? `Dense, ${one.frames} frames` : title;
    const row = bar(named, KINDS.map((kind) => [kind, one[kind] ?? 0]), whole, column === "dense" ? grouped(one.total) : `${grouped(one.total)} (${of})`);
    row.setAttribute("role", "img");
    row.setAttribute("aria-label", `${named}: ${grouped(one.total)} tokens, ${KINDS.map((kind) => `${one[kind] ?? 0} ${kind}`).join(", ")}; ${of} of the dense prompt`);
    return row;
  });
  $("budget").replaceChildren(...bars, key(KINDS.map((kind) => [kind, `${kind} tokens`])));
}

function card(column, title) {
  const id = `answer-${column}`;
  $(id)?.remove();
  const box = make("article", { class: "answer", id, "aria-labelledby": `${id}-title` }, make("h3", { id: `${id}-title` }, title));
  $("answers").append(box);
  return box;
}

/** An answer, or why there is none. */
export function showAnswer({ column, answer, error }) {
  const box = card(column, COLUMNS[column]);
  if (error) {
    box.append(make("p", { class: "error" }, error));
    return;
  }
  const tokens = Object.values(answer.tokens).reduce((a, b) => a + b, 0);
  const seconds = Object.values(answer.seconds).reduce((a, b) => a + b, 0);
  box.append(make("p", { class: "pale" }, `${answer.method}, ${answer.frames} frames, ${grouped(tokens)} tokens, ${seconds.toFixed(2)} s${"open" in answer.seconds ? "" : " (the video was read before)"}`));
  box.append(make("p", { class: "said" }, answer.text || "(nothing)"));
  for (const one of answer.choices) box.append(bar(one.text, [["image", one.probability]], 1, `${(100 * one.probability).toFixed(0)} %`));
  const body = make("tbody");
  for (const [name, text] of Object.entries(answer.rows)) body.append(make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, text)));
  box.append(make("details", {}, make("summary", {}, "How it came about"), make("table", {}, body)));
}

/** Seconds by stage, a row for each, a column for each way. */
export function showSeconds(answers) {
  const columns = Object.keys(COLUMNS).filter((column) => answers[column]);
  const stages = [...new Set(columns.flatMap((column) => Object.keys(answers[column].seconds)))];
  if (!stages.length) return $("seconds").replaceChildren();
  const head = make("tr", {}, make("th", { scope: "col" }, "Stage"));
  for (const column of columns) head.append(make("th", { scope: "col", class: "n" }, COLUMNS[column]));
  const body = make("tbody");
  const add = (name, value) => {
    const row = make("tr", {}, make("th", { scope: "row" }, name));
    for (const column of columns) row.append(make("td", { class: "n" }, value(answers[column])));
    body.append(row);
  };
  for (const stage of stages) add(stage, (one) => (stage in one.seconds ? one.seconds[stage].toFixed(3) : "–"));
  add("all", (one) => Object.values(one.seconds).reduce((a, b) => a + b, 0).toFixed(3));
  const table = make("table", {}, make("thead", {}, head), body);
  $("seconds").replaceChildren(make("h3", {}, "Seconds by stage"), make("p", { class: "pale" }, "A dash: not needed, or done already for an earlier answer, whose seconds then count for both."),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Seconds by stage" }, table));
}

/** Shares of the streams along time, stacked. */
export function showGates(gates, duration) {
  if (!gates || !gates.times.length) return $("gates").replaceChildren();
  const across = 1000, down = 120, names = ["motion", "text", "image"];
  const means = [0, 1, 2].map((stream) => gates.shares.reduce((sum, row) => sum + row[stream], 0) / gates.shares.length);
  const said = gates.streams.map((stream, place) => `${stream} ${Math.round(100 * means[place])} %`).join(", ");
  const svg = draw("svg", { viewBox: `0 0 ${across} ${down}`, preserveAspectRatio: "none", role: "img", "aria-label": `Gate shares along time, on the mean ${said}` });
  gates.times.forEach((time, place) => {
    const next = gates.times[place + 1] ?? duration, left = across * time / duration;
    const width = Math.max(across * (next - time) / duration, 1);
    let top = 0;
    gates.shares[place].forEach((share, stream) => {
      svg.append(draw("rect", { x: left.toFixed(2), width: width.toFixed(2), y: (top * down).toFixed(2), height: (share * down).toFixed(2), fill: `var(--${names[stream]})` }));
      top += share;
    });
  });
  $("gates").replaceChildren(make("h3", {}, "Gate shares along time"), make("p", { class: "pale" }, `How the adapter weighs its streams at each step; on the mean ${said}.`), svg,
    make("p", { class: "ends", "aria-hidden": "true" }, make("span", {}, clock(0)), make("span", {}, clock(duration))), key(gates.streams.map((stream, place) => [names[place], stream])));
}

export function clearAnswers() {
  for (const id of ["answers", "gates", "seconds"]) $(id).replaceChildren();
}
