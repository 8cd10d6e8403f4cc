// Small helpers: elements by id, new elements, numbers as text, and requests to this page's own server.

export const $ = (id) => document.getElementById(id);

/** A new element with attributes and children; texts never become markup. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The same within a drawing. */
export function draw(name, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Minutes and seconds, such as 1:02.50. */
export function clock(seconds) {
  const hundredths = Math.round(seconds * 100);
  const whole = Math.floor(hundredths / 6000), rest = hundredths % 6000;
  return `${whole}:${String(Math.floor(rest / 100)).padStart(2, "0")}.${String(rest % 100).padStart(2, "0")}`;
}

export const grouped = (number) => Math.round(number).toLocaleString("en");
export const brief = (value) => value.toFixed(value >= 10 ? 0 : 1);

const HEADERS = { "x-himmel-studio": "1" };

async function explain(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `The page's program answered with ${response.status}; load the page again.`;
  }
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The page's program cannot be reached; see whether himmel studio still runs.");
  }
  if (!response.ok) throw Object.assign(new Error(await explain(response)), { status: response.status });
  return response;
}

/** JSON of an address. */
export async function get(path, signal) {
  return (await send(path, { signal })).json();
}

/** JSON that answers JSON. */
export async function post(path, content, signal) {
  return (await send(path, { method: "POST", headers: HEADERS, body: JSON.stringify(content), signal })).json();
}

/** Let go of a video. */
export async function remove(id) {
  await send(`/api/videos/${id}`, { method: "DELETE", headers: HEADERS });
}

/** Waits, unless it is given up meanwhile. */
async function pause(milliseconds, signal) {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  signal.throwIfAborted();
}

/** Calls `hear` with each line of JSON that is told while the server works. What was cancelled may have to end first. */
export async function follow(path, content, hear, signal) {
  let response;
  while (response === undefined) {
    try {
      response = await send(path, { method: "POST", headers: HEADERS, body: JSON.stringify(content), signal });
    } catch (error) {
      if (error.status !== 429) throw error;
      hear({ stage: "Waiting for the end of your earlier request", done: 0, of: 1 });
      await pause(500, signal);
    }
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const told = JSON.parse(line);
      if (told.error && !told.column) throw new Error(told.error);
      hear(told);
    }
  }
}

/** Sends a file; `hear` is told which share is sent. Fetch tells nothing about that. */
export function upload(file, hear, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/videos");
    request.setRequestHeader("x-himmel-studio", "1");
    request.setRequestHeader("x-file-name", encodeURIComponent(file.name));
    request.responseType = "json";
    request.upload.onprogress = (event) => hear(event.loaded / file.size);
    request.onload = () => (request.status === 200 ? resolve(request.response)
      : reject(new Error(request.response?.error ?? `The file was refused (${request.status}).`)));
    request.onerror = () => reject(new Error("The file could not be sent; see whether himmel studio still runs."));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Long work with a bar, a sentence and a button to cancel it; the elements' ids begin with `name`. One at a time. */
export class Work {
  constructor(name) {
    this.name = name;
    this.controller = null;
    $(`${name}-cancel`).addEventListener("click", () => this.cancel());
  }

  cancel() {
    this.controller?.abort();
  }

  /** `task` is given a function to tell stages by and a signal; returns whether it came to its end. */
  async run(task) {
    this.cancel();
    const controller = new AbortController();
    this.controller = controller;
    $(`${this.name}-error`).hidden = true;
    $(`${this.name}-work`).hidden = false;
    const tell = (stage, share) => {
      if (this.controller !== controller) return;
      $(`${this.name}-stage`).textContent = stage;
      const bar = $(`${this.name}-progress`);
      if (share === undefined) bar.removeAttribute("value"); else bar.value = share;
    };
    tell("Waiting for the server …");
    try {
      await task(tell, controller.signal);
      return true;
    } catch (error) {
      if (error.name !== "AbortError" && this.controller === controller) this.fail(error.message);
      return false;
    } finally {
      if (this.controller === controller) {
        $(`${this.name}-work`).hidden = true;
        this.controller = null;
      }
    }
  }

  fail(sentence) {
    $(`${this.name}-error`).textContent = sentence;
    $(`${this.name}-error`).hidden = false;
  }
}
