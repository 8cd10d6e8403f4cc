// The streams under the playhead: picture, motion and residual of one picture of the video, stepped through one by one.

import { $, brief, clock, get } from "./page.js";

const NOT_THERE = "This picture cannot be read.";

export class Player {
  /** `window` is how many pictures the server reads together; `moved` is called with the time of the picture shown. */
  constructor(window, moved) {
    this.window = window;
    this.moved = moved;
    this.playing = false;
    this.wanted = 0;
    this.open(null, null);
    const playhead = $("playhead");
    playhead.addEventListener("input", () => { this.pause(); this.go(Number(playhead.value)); });
    playhead.addEventListener("keydown", (event) => {
      if (event.key !== "PageUp" && event.key !== "PageDown") return;
      event.preventDefault();
      this.pause();
      this.toAnchor(event.key === "PageDown" ? 1 : -1);
    });
    for (const [id, act] of Object.entries({ back: () => this.go(this.wanted - 1), next: () => this.go(this.wanted + 1),
      "anchor-back": () => this.toAnchor(-1), "anchor-next": () => this.toAnchor(1) })) {
      $(id).addEventListener("click", () => { this.pause(); act(); });
    }
    $("play").addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    for (const choice of document.getElementsByName("motion")) choice.addEventListener("change", () => this.go(this.wanted));
  }

  /** Show another video, or the same with other settings. */
  open(id, line, backend) {
    const same = id !== null && id === this.id;
    Object.assign(this, { id, line, backend, read: new Map() });
    this.pause();
    if (line === null) return;
    $("playhead").max = line.times.length - 1;
    document.documentElement.style.setProperty("--ratio", `${line.width} / ${line.height}`);
    $("motion-says").textContent = `full colour is ${brief(line.scale.speed)} px a frame; red right, green down, cyan left, violet up; white rests, grey is unknown`;
    $("residual-says").textContent = `${line.residual}, from 0 (black) to ${brief(line.scale.residual)} code values (pale yellow); grey is unknown`;
    this.go(same ? Math.min(this.wanted, line.times.length - 1) : 0);
  }

  /** The pictures that were read together with picture `frame`. */
  window_of(frame) {
    const first = frame - frame % this.window;
    if (!this.read.has(first)) {
      const found = get(`/api/videos/${this.id}/pictures?first=${first}&backend=${this.backend}`);
      this.read.set(first, found);
      // Asked for again after a refusal.
      found.catch(() => this.read.delete(first));
      if (this.read.size > 40) this.read.delete(this.read.keys().next().value);
    }
    return this.read.get(first);
  }

  async go(frame) {
    if (this.line === null) return;
    frame = Math.max(0, Math.min(frame, this.line.times.length - 1));
    this.wanted = frame;
    $("playhead").value = frame;
    const time = this.line.times[frame];
    this.moved(time);
    const id = this.id, read = this.read;
    let told;
    try {
      told = (await this.window_of(frame)).pictures.find((one) => one.frame === frame);
    } catch (error) {
      if (this.wanted === frame && this.id === id) this.show({ frame, said: error.message });
      return;
    }
    if (this.wanted !== frame || this.read !== read) return;
    this.show(told);
    const ahead = frame - frame % this.window + this.window;
    if (ahead < this.line.times.length) this.window_of(ahead).catch(() => {});
  }

  show(told) {
    const arrows = document.querySelector("input[name=motion]:checked").value === "arrows";
    const place = `picture ${told.frame} at ${clock(this.line.times[told.frame])}`;
    this.put("picture", told.picture, `The ${place}`, told.said);
    this.put("motion", arrows ? told.arrows : told.motion, `Motion of ${place} as ${arrows ? "arrows over the picture" : "colour"}`, told.said);
    $("motion").classList.toggle("smooth", arrows);
    this.put("residual", told.residual, `Residual of ${place} as heat`, told.said);
    const anchor = this.line.anchors.findIndex((one) => one.frame === told.frame);
    const interval = this.line.anchors.findLastIndex((one) => one.frame <= told.frame);
    const role = anchor >= 0 ? `anchor ${anchor + 1}` : interval < 0 ? "before the first anchor"
      : `${this.line.intervals[interval].frames.includes(told.frame) ? "a step" : "not read"}, interval ${interval + 1}`;
    const size = told.bits === undefined ? "" : `, ${(told.bits / 1000).toFixed(1)} kbit`;
    const kind = told.type === undefined ? "" : `, ${told.type} picture`;
    const says = `${clock(this.line.times[told.frame])}, picture ${told.frame + 1} of ${this.line.times.length}: ${role}${kind}${size}`;
    $("now").textContent = says;
    $("playhead").setAttribute("aria-valuetext", says);
    const quantiser = told.quantiser == null ? "" : `, quantiser ${told.quantiser}`;
    $("picture-says").textContent = told.vectors === undefined ? "" : `${told.type}${told.keyframe ? ", keyframe" : ""}, ${told.vectors.toLocaleString("en")} vectors${quantiser}${told.damaged ? ", damaged" : ""}`;
  }

  put(name, address, says, said) {
    const image = $(name);
    image.nextElementSibling.textContent = address ? "" : said ?? NOT_THERE;
    image.alt = address ? says : "";
    if (address) image.src = address; else image.removeAttribute("src");
  }

  toAnchor(way) {
    const frames = this.line?.anchors.map((one) => one.frame) ?? [];
    const found = way > 0 ? frames.find((frame) => frame > this.wanted) : frames.findLast((frame) => frame < this.wanted);
    if (found !== undefined) this.go(found);
  }

  /** To the picture nearest to a time. */
  toTime(time) {
    this.pause();
    const { times } = this.line;
    let low = 0, high = times.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < time) low = middle + 1; else high = middle;
    }
    this.go(low > 0 && time - times[low - 1] < times[low] - time ? low - 1 : low);
  }

  async play() {
    this.playing = true;
    $("play").textContent = "Stop";
    if (this.wanted >= this.line.times.length - 1) this.wanted = -1;
    while (this.playing && this.wanted < this.line.times.length - 1) {
      const begin = performance.now(), from = Math.max(this.wanted, 0);
      await this.go(this.wanted + 1);
      const due = 1000 * (this.line.times[this.wanted] - this.line.times[from]) - (performance.now() - begin);
      await new Promise((resolve) => setTimeout(resolve, Math.max(15, Math.min(due, 1000))));
    }
    this.pause();
  }

  pause() {
    this.playing = false;
    $("play").textContent = "Play";
  }
}
