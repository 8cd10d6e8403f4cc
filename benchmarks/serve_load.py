"""A server under load: many clients with good and bad files, and the same questions asked one by one.

    python -m benchmarks.serve_load [--clients 200] [--minutes 5] [--faults] [--serve="--prompt-cache 0"] [--json]

Starts `himmel serve` with the default model in a process of its own; `--serve` has further options of that. Each client
asks about one of a few short clips, by streams and whole answers in turn; one request in five is a bad one: a damaged
file, no file, or an unknown model. No request may be lost: each gets an answer, or a refusal that states why. Printed
are p50 and p95 of the first token and of the whole answer, answers a second against the same questions asked one by
one, the share of prompt tokens that were not read again, and the server's memory over time (the model's process,
without its readers).

`--faults` kills all reading processes at once every ten seconds, hangs up on one request in ten and has some clients
read slowly; at the end SIGTERM comes while requests are under way: those are answered, later ones refused. Then two
more servers are started: one that is told twice to end while requests are under way, and one whose folder for uploads
is a file system of 2 MB (where `unshare` of util-linux may make one), which is filled.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil

from benchmarks.clips import long_clip
from benchmarks.process import warn_if_busy

_QUESTIONS = ("Which way does the camera move?", "What is in the video?", "Does anything move?", "How many are there?")
_TOKENS = 8
_RETRIES = 600
_MEGABYTE = 2**20


@dataclass
class Tally:
    """What came of all requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True)
class Asking:
    """A request, and whether it is a good one."""

    body: dict[str, Any]
    good: bool


def make_requests(folder: Path, count: int, seed: int) -> list[Asking]:
    """Requests in a repeatable order; one in five is bad."""
    draw = random.Random(seed)
    clips = sorted(folder.glob("clip-*.mp4"))
    made = []
    for number in range(count):
        good = number % 5 != 4
        url = draw.choice(clips).as_uri()
        model = "himmel"
        if not good:
            kind = draw.choice(("damaged", "missing", "model"))
            names = {"damaged": "damaged.mp4", "missing": "missing.mp4"}
            url = (folder / names[kind]).as_uri() if kind in names else url
            model = "gpt" if kind == "model" else model
        content = [
            {"type": "video_url", "video_url": {"url": url}},
            {"type": "text", "text": draw.choice(_QUESTIONS)},
        ]
        messages = [{"role": "user", "content": content}]
        stream = bool(number % 2)
        made.append(Asking({"model": model, "messages": messages, "max_tokens": _TOKENS, "stream": stream}, good))
    return made


async def ask(client: httpx.AsyncClient, asking: Asking, tally: Tally, *, slowly: bool = False) -> None:
    """Ask until there is an answer or a refusal that is none for being busy."""
    begin = time.perf_counter()
    for _ in range(_RETRIES):
        try:
            async with client.stream("POST", "/v1/chat/completions", json=asking.body) as response:
                first = 0.0
                pieces = []
                async for piece in response.aiter_bytes():
                    first = first or time.perf_counter() - begin
                    pieces.append(piece)
                    if slowly:
                        await asyncio.sleep(0.2)
                status, text = response.status_code, b"".join(pieces).decode()
        except httpx.ConnectError:
            tally.outcomes["not connected"] += 1
            return
        except httpx.HTTPError as error:
            tally.lost.append(f"{type(error).__name__}: {error}")
            return
        if status != 429:
            break
        tally.outcomes["busy, tried again"] += 1
        await asyncio.sleep(1)
    _note(asking, status, text, tally, first, time.perf_counter() - begin)


def _note(asking: Asking, status: int, text: str, tally: Tally, first: float, whole: float) -> None:
    if status == 200:
        complete = text.endswith("data: [DONE]\n\n") if asking.body["stream"] else bool(json.loads(text)["choices"])
        if not complete or not asking.good:
            tally.lost.append(f"not what was to come: {text[-200:]}")
            return
        tally.outcomes["answered"] += 1
        tally.whole.append(whole)
        if not asking.body["stream"]:
            usage = json.loads(text)["usage"]
            tally.prompt_tokens += usage["prompt_tokens"]
            tally.cached_tokens += usage["prompt_tokens_details"]["cached_tokens"]
        if asking.body["stream"]:
            tally.first.append(first)
        return
    try:
        error = json.loads(text)["error"]
    except (json.JSONDecodeError, KeyError):
        tally.lost.append(f"{status} without OpenAI's error: {text[:200]}")
        return
    if asking.good and error["code"] not in ("shutting_down", "unreadable_source", "timeout"):
        tally.lost.append(f"{status} {error['message']}")
        return
    tally.outcomes[f"refused: {error['code']}"] += 1


@asynccontextmanager
async def serving(
    folder: Path, *options: str, before: Sequence[str] = ()
) -> AsyncIterator[tuple[httpx.AsyncClient, psutil.Process]]:
    """A server in a process of its own, ready; ended by SIGTERM. `before` is what its command follows."""
    program = "from himmel.cli import main; main()"
    command = [*before, sys.executable, "-c", program, "serve", "--listen", "127.0.0.1:0", "--media", str(folder)]
    command += options
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    line = ""
    while "ready at" not in line:
        line = (await process.stderr.readline()).decode()
        if not line:
            raise SystemExit("The server did not start.")
    drain = asyncio.create_task(process.stderr.read())
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    try:
        async with httpx.AsyncClient(base_url=line.split()[-1], timeout=600, limits=limits) as client:
            yield client, psutil.Process(process.pid)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        code = await process.wait()
        said = (await drain).decode().strip()
        print(f"server ended with exit code {code}" + (f"; it said: {said[-2000:]}" if said else ""), file=sys.stderr)


async def _watch(server: psutil.Process, tally: Tally, *, kills: bool) -> None:
    """Note the server's memory each second; with `kills`, end all of its readers every ten."""
    for second in range(10**6):
        with suppress(psutil.Error):
            tally.memory.append(server.memory_info().rss / _MEGABYTE)
            readers = _readers(server) if kills and second % 10 == 9 else []
            for one in readers:
                os.kill(one.pid, signal.SIGKILL)
                tally.outcomes["readers killed"] += 1
        await asyncio.sleep(1)


def _readers(server: psutil.Process) -> list[psutil.Process]:
    """Reading processes that live."""
    found = []
    for one in server.children():
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(one.cmdline()):
                found.append(one)
    return found


async def _hang_up(client: httpx.AsyncClient, asking: Asking, tally: Tally) -> None:
    with suppress(httpx.HTTPError):
        await client.post("/v1/chat/completions", json=asking.body, timeout=random.uniform(0.05, 1.0))
    tally.outcomes["hung up"] += 1


async def load(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ask with all clients at once for a while, then one by one."""
    tally, alone = Tally(), Tally()
    requests = make_requests(folder, 100_000, seed=0)
    async with serving(folder, *options.serve.split()) as (client, server):
        for asking in requests[:4]:
            # Every clip is read, and the model warm.
            await ask(client, asking, Tally())
        watch = asyncio.create_task(_watch(server, tally, kills=options.faults))
        begin = time.perf_counter()
        end = begin + 60 * options.minutes
        numbers = iter(range(len(requests)))

        async def work(own: int) -> None:
            while time.perf_counter() < end:
                number = next(numbers)
                if options.faults and number % 10 == 7:
                    await _hang_up(client, requests[number], tally)
                else:
                    await ask(client, requests[number], tally, slowly=options.faults and own % 10 == 0)

        await asyncio.gather(*(work(own) for own in range(options.clients)))
        seconds = time.perf_counter() - begin
        answered = tally.outcomes["answered"]
        begin = time.perf_counter()
        count = 0
        while count < 40 and time.perf_counter() - begin < 30:
            await ask(client, requests[count], alone)
            count += 1
        single = time.perf_counter() - begin
        watch.cancel()
        ending = await _end(client, server, requests) if options.faults else {}
    if options.faults:
        ending["told twice"] = await _end_twice(folder, requests)
        ending["full disk"] = await _fill(folder, requests)
    quarter = max(len(tally.memory) // 4, 1)
    return {
        "clients": options.clients,
        "seconds": seconds,
        "outcomes": dict(tally.outcomes),
        "lost": tally.lost + alone.lost,
        "first_token": _spread(tally.first),
        "answer": _spread(tally.whole),
        "cached_share_of_prompts": tally.cached_tokens / max(tally.prompt_tokens, 1),
        "answers_a_second": answered / seconds,
        "answers_a_second_one_by_one": alone.outcomes["answered"] / single,
        "memory_mb": {
            "second quarter": statistics.median(tally.memory[quarter : 2 * quarter]),
            "last quarter": statistics.median(tally.memory[-quarter:]),
            "most": max(tally.memory),
        },
        "ending": ending,
    }


async def _end(client: httpx.AsyncClient, server: psutil.Process, requests: list[Asking]) -> dict[str, Any]:
    """SIGTERM with requests under way, and more that come after it."""
    before, after = Tally(), Tally()
    good = [asking for asking in requests if asking.good]
    under_way = [asyncio.create_task(ask(client, asking, before)) for asking in good[:8]]
    while "himmel_under_way 8.0" not in (await client.get("/metrics")).text:
        if all(task.done() for task in under_way):
            break
        await asyncio.sleep(0.01)
    server.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.1)
    await asyncio.gather(*under_way, *(ask(client, asking, after) for asking in good[8:12]))
    return {"under way": dict(before.outcomes), "later": dict(after.outcomes), "lost": before.lost + after.lost}


async def _end_twice(folder: Path, requests: list[Asking]) -> dict[str, Any]:
    """SIGTERM, and once more: it ends at once, whatever is under way."""
    tally = Tally()
    async with serving(folder) as (client, server):
        under_way = [asyncio.create_task(ask(client, asking, tally)) for asking in requests[:8] if asking.good]
        await asyncio.sleep(0.5)
        begin = time.perf_counter()
        for _ in range(2):
            server.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
        await asyncio.to_thread(server.wait, 60)
        seconds = time.perf_counter() - begin
        await asyncio.gather(*under_way)
    return {"seconds to the end": seconds, "answered": tally.outcomes["answered"], "cut off": len(tally.lost)}


async def _fill(folder: Path, requests: list[Asking]) -> dict[str, Any]:
    """Uploads to a disk of 2 MB: what does not fit is refused, and everything else goes on."""
    small = folder / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=2m tmpfs {small}"
    before = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    tried = await asyncio.create_subprocess_exec(*before, "true", stderr=asyncio.subprocess.DEVNULL)
    if await tried.wait():
        return {"not done": "no file system could be mounted here"}
    tally, uploads = Tally(), []
    async with serving(folder, "--spool", str(small), before=before) as (client, _):
        for size in (1_500_000, 1_400_000, 1_400_000, 3_000_000, 100_000):
            sent = await client.post("/v1/files", files={"file": ("a.mp4", os.urandom(size))})
            uploads.append((size, sent.status_code))
        for asking in requests[:10]:
            await ask(client, asking, tally)
    return {"uploads (bytes, status)": uploads, "questions": dict(tally.outcomes), "lost": tally.lost}


def _spread(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {"p50": values[0] if values else 0.0, "p95": values[0] if values else 0.0}
    cuts = statistics.quantiles(values, n=100)
    return {"p50": cuts[49], "p95": cuts[94]}


def make_files(folder: Path) -> None:
    """Short clips, and a damaged one."""
    long_clip(folder / "whole.mp4", minutes=1)
    for number in range(4):
        _cut(folder / "whole.mp4", folder / f"clip-{number}.mp4", begin=10.0 * number, seconds=5.0 + number)
    (folder / "damaged.mp4").write_bytes((folder / "clip-0.mp4").read_bytes()[:4000])
    (folder / "whole.mp4").unlink()


def _cut(source: Path, target: Path, *, begin: float, seconds: float) -> None:
    """Copy the packets of a stretch, from a keyframe on."""
    import av

    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = given.streams.video[0]
        copy = made.add_stream_from_template(stream)
        given.seek(int(begin / stream.time_base), stream=stream)
        for packet in given.demux(stream):
            if packet.dts is None or packet.pts * stream.time_base > begin + seconds:
                break
            packet.stream = copy
            made.mux(packet)


def main() -> None:
    """Load a server, print what came of it; exit status 1 if a request was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--serve", default="", help="further options of himmel serve")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
        make_files(Path(folder))
        found = asyncio.run(load(Path(folder), options))
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name}: {value}")
    lost = found["lost"] + found["ending"].get("lost", []) + found["ending"].get("full disk", {}).get("lost", [])
    if lost:
        raise SystemExit(f"{len(lost)} requests were lost.")


if __name__ == "__main__":
    main()
