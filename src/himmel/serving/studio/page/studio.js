// The page: a video is chosen, its time line read and shown, and questions about it are asked.

import { clearAnswers, showAnswer, showBudget, showGates, showSeconds } from "./answers.js";
import { TimeLine } from "./line.js";
import { Player } from "./player.js";
import { $, Work, clock, follow, get, make, post, remove, upload } from "./page.js";

const NUMBERS = ["num_anchors", "steps_per_interval", "tokens_per_interval", "frames"];
let state = null, video = null, line = null, player = null, loaded = null;
let timeLine = null, reading = null, asking = null, later = 0, counted = 0, bringing = null;
const touched = new Set();

function readTheme() {
  const kept = localStorage.getItem("himmel-theme") ?? "";
  if (kept) document.documentElement.dataset.theme = kept; else delete document.documentElement.dataset.theme;
  $("theme").value = kept;
}

function options(id, values, chosen) {
  $(id).replaceChildren(...values.map((value) => make("option", { value }, value)));
  if (chosen && values.includes(chosen)) $(id).value = chosen;
}

/** Settings as the server takes them; an empty number is left to the checkpoint. */
function settings(names) {
  const found = {};
  for (const name of names) {
    const value = $(name).value;
    if (NUMBERS.includes(name)) {
      if (value !== "") found[name] = Number(value);
    } else if (value) found[name] = value;
  }
  return found;
}

async function waitForModel() {
  for (;;) {
    try {
      loaded = await get("/api/state");
    } catch (error) {
      $("model").textContent = error.message;
    }
    if (loaded?.trouble) {
      $("model").textContent = loaded.trouble;
      return;
    }
    if (loaded?.ready) break;
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
  $("model").textContent = "The model is ready.";
  options("method", loaded.motion_methods, "himmel");
  options("baseline", loaded.dense_methods, "dense");
  if (loaded.trained) {
    $("tokens_per_interval").placeholder = `${loaded.trained.tokens_per_interval}, as trained`;
    $("tokens_per_interval").max = loaded.trained.tokens_per_interval;
    takeTrained(loaded.trained);
  }
  $("ask-button").disabled = false;
  countTokens();
}

/** Show the model what it was trained with, however late it is there; what somebody has set stays. */
function takeTrained(trained) {
  const other = ["num_anchors", "steps_per_interval", "anchor_mode"].filter((name) => !touched.has(name) && $(name).value !== String(trained[name]));
  for (const name of other) $(name).value = trained[name];
  if (other.length) changed();
}

async function choose(name, bring) {
  if (reading.controller) reading.cancel();
  asking.cancel();
  const came = await reading.run(async (tell, signal) => {
    bringing = signal;
    const found = await bring(tell, signal);
    signal.throwIfAborted();
    bringing = null;
    const before = video;
    video = found;
    if (before) remove(before.id).catch(() => {});
    clearAnswers();
    for (const id of ["streams", "settings", "ask"]) $(id).hidden = true;
    await readLine(tell, signal);
  });
  if (came) $("streams-title").scrollIntoView({ block: "nearest" });
  $("file").value = "";
}

/** Read the time line of the video by the settings that the page has now. */
async function readLine(tell, signal) {
  const asked = settings(["num_anchors", "steps_per_interval", "anchor_mode", "backend"]);
  const show = () => {
    timeLine.show();
    timeLine.point(line.times[player.wanted] ?? 0);
  };
  await follow(`/api/videos/${video.id}/line`, asked, (told) => {
    if (told.stage) return tell(`${told.stage} …`, told.done / told.of);
    if (told.line) {
      line = told.line;
      Object.assign(timeLine, { line, bits: null, cuts: [] });
      describe();
      for (const id of ["streams", "settings", "ask"]) $(id).hidden = false;
      show();
      player.open(video.id, line, asked.backend);
      countTokens();
      return undefined;
    }
    if (told.cuts) timeLine.cuts = told.cuts.cuts;
    if (told.bits) timeLine.bits = told.bits;
    return show();
  }, signal);
}

function describe() {
  const notes = line.notes.length ? ` ${line.notes.join(" ")}` : "";
  $("about").textContent = `${video.name}: ${line.codec}, ${line.width} × ${line.height}, ${clock(line.duration)}, ${line.times.length.toLocaleString("en")} pictures at ${line.rate.toFixed(2)} a second, ${line.keyframes} ${line.keyframes === 1 ? "keyframe" : "keyframes"}. `
    + `Motion by ${line.backend} (${line.reason}), ${line.vectors.toLocaleString("en")} vectors at the steps.${notes}`;
}

async function countTokens() {
  if (!line || !loaded?.ready || !$("settings-form").checkValidity()) return;
  const mine = ++counted;
  const asked = settings(["num_anchors", "steps_per_interval", "tokens_per_interval", "frames"]);
  asked.num_anchors = Math.min(asked.num_anchors, line.times.length);
  asked.frames = Math.min(asked.frames, line.times.length);
  try {
    const costs = await post("/api/budget", { ...asked, question: $("question").value, width: line.width, height: line.height, duration: line.duration });
    if (mine === counted) showBudget(costs);
  } catch (error) {
    if (mine === counted) $("budget").replaceChildren(make("p", { class: "error" }, error.message));
  }
}

async function ask(event) {
  event.preventDefault();
  if (!$("settings-form").reportValidity()) return;
  const choices = $("choices").value.split("\n").map((one) => one.trim()).filter(Boolean);
  const asked = { ...settings(["num_anchors", "steps_per_interval", "tokens_per_interval", "frames", "anchor_mode", "backend", "method", "baseline"]), question: $("question").value, choices };
  const answers = {};
  clearAnswers();
  $("ask-button").disabled = true;
  await asking.run((tell, signal) => follow(`/api/videos/${video.id}/ask`, asked, (told) => {
    if (told.stage) return tell(`${told.stage} …`, told.done / told.of);
    if (told.gates) return showGates(told.gates, line.duration);
    if (told.answer) answers[told.column] = told.answer;
    showAnswer(told);
    return showSeconds(answers);
  }, signal));
  $("ask-button").disabled = !loaded?.ready;
}

function listen() {
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) take(file);
  });
  // The whole page takes a file, since a browser leaves the page for one that is dropped beside the field.
  const drop = $("drop"), page = document.documentElement;
  for (const kind of ["dragenter", "dragover"]) page.addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.add("over");
  });
  page.addEventListener("dragleave", (event) => { if (event.relatedTarget === null) drop.classList.remove("over"); });
  page.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    if (file) take(file);
  });
  $("theme").addEventListener("change", () => { localStorage.setItem("himmel-theme", $("theme").value); readTheme(); });
  for (const name of ["num_anchors", "steps_per_interval", "anchor_mode", "backend"]) $(name).addEventListener("change", () => { touched.add(name); changed(); });
  for (const name of ["tokens_per_interval", "frames", "question"]) $(name).addEventListener("change", countTokens);
  $("settings-form").addEventListener("submit", (event) => event.preventDefault());
  $("ask-form").addEventListener("submit", ask);
}

function take(file) {
  if (file.size > state.upload_bytes) {
    reading.fail(`${file.name} has ${Math.round(file.size / 2 ** 20).toLocaleString("en")} MB, and at most ${state.upload_bytes / 2 ** 20} MB are taken here; choose a smaller file.`);
    return;
  }
  choose(file.name, (tell, signal) => upload(file, (share) => tell(`Sending ${file.name} …`, share), signal));
}

function changed() {
  clearTimeout(later);
  later = setTimeout(() => {
    // A video that is on its way is read by the new settings anyway.
    if (bringing && !bringing.aborted && reading.controller?.signal === bringing) return;
    if (video && $("settings-form").reportValidity()) reading.run(readLine);
  }, 250);
}

async function begin() {
  readTheme();
  reading = new Work("video");
  asking = new Work("ask");
  state = await get("/api/state");
  timeLine = new TimeLine((time) => player.toTime(time));
  player = new Player(state.window, (time) => timeLine.point(time));
  options("anchor_mode", state.anchor_modes, "keyframe");
  options("backend", state.backends, "auto");
  $("ask-button").disabled = true;
  for (const name of state.samples) {
    const button = make("button", { type: "button" }, name);
    button.addEventListener("click", () => choose(name, async (tell, signal) => {
      tell(`Getting the sample ${name} …`);
      return post(`/api/samples/${name}`, {}, signal);
    }));
    $("samples").append(button);
  }
  listen();
  waitForModel();
}

begin().catch((error) => { $("model").textContent = error.message; });
