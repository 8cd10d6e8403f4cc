"""Replicas on a Ray cluster under load, and one of them killed: what clients see, with and without trying again.

    python -m benchmarks.serve_cluster [--clients 8] [--seconds 60] [--replicas 2] [--host FOLDER] [--json]

Starts a Ray cluster on this machine and `himmel serve --ray` with it. Clients are OpenAI's own; half of the requests
are streams. After a third of the time, one replica is ended with SIGKILL. The same is done twice: with clients that try
again by themselves, as they do unless told otherwise, and with clients that don't. A request is answered whole, refused
with a status, cut off in the middle of a stream (which its client is told of as an error), or lost: anything else.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import psutil

from benchmarks.process import warn_if_busy
from benchmarks.serve_load import make_files, make_requests

# Ray calls them by what they do at the moment.
_REPLICAS = ("ray::ServeReplica:himmel:", "ray::SERVE_REPLICA::himmel#")


@contextmanager
def cluster(cpus: int) -> Iterator[str]:
    """A cluster of one node on this machine; gives its address."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
    try:
        yield str(found.address)
    finally:
        found.shutdown()


@contextmanager
def serving(address: str, folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """`himmel serve` on a cluster; gives its URL."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = ["serve", "--ray", address, "--replicas", str(options.replicas), "--listen", f"127.0.0.1:{port}"]
    command += ["--media", str(folder), "--limit", "workers=1", *(["--host", options.host] if options.host else [])]
    program = [sys.executable, "-c", "from himmel.cli import main; main()", *command]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said: list[str] = []
        while "ready at" not in "".join(said[-1:]):
            line = process.stderr.readline()
            if not line:
                raise SystemExit(f"The server did not start: {''.join(said[-3:])}")
            said.append(line)
        try:
            yield said[-1].split()[-1]
        finally:
            process.terminate()


def replicas() -> list[psutil.Process]:
    """Processes with a model."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "".join(process.cmdline()[:1]).startswith(_REPLICAS):
                found.append(process)
    return found


def ask(client: openai.OpenAI, body: dict[str, Any]) -> str:
    """What came of a request."""
    begun = False
    try:
        reply: Any = client.chat.completions.create(**body)
        if not body["stream"]:
            return "answered" if reply.choices[0].finish_reason else "lost: no end"
        finish = None
        for piece in reply:
            begun = True
            finish = piece.choices[0].finish_reason if piece.choices else finish
        return "answered" if finish else "lost: a stream without its end and without an error"
    except openai.APIStatusError as error:
        return f"refused: {error.status_code}"
    except (openai.APIError, httpx.HTTPError) as error:
        return f"{'stream cut off, told' if begun else 'connection lost, told'}: {type(error).__name__}"


def load(url: str, folder: Path, options: argparse.Namespace, *, retries: int | None) -> dict[str, Any]:
    """Ask with all clients for a while; one replica is killed after a third of it."""
    requests = [one.body for one in make_requests(folder, 20_000, seed=0) if one.good]
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()
    numbers = iter(range(len(requests)))
    end = time.monotonic() + options.seconds
    more: dict[str, Any] = {} if retries is None else {"max_retries": retries}

    def work(own: int) -> None:
        del own
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=300, **more) as client:
            while time.monotonic() < end:
                with lock:
                    number = next(numbers)
                outcome = ask(client, {**requests[number], "model": options.model})
                with lock:
                    outcomes[outcome] += 1

    with ThreadPoolExecutor(options.clients) as pool:
        working = [pool.submit(work, number) for number in range(options.clients)]
        time.sleep(options.seconds / 3)
        victim = replicas()[0]
        os.kill(victim.pid, signal.SIGKILL)
        begin = time.monotonic()
        for one in working:
            one.result()
        while len([one for one in replicas() if one.pid != victim.pid]) < options.replicas:
            time.sleep(0.2)
        replaced = time.monotonic() - begin
    return {"outcomes": dict(outcomes), "replaced_after_seconds_at_most": replaced}


def main() -> None:
    """Print what clients saw; exit status 1 if a request was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--host", help="Folder of a host in place of the default model.")
    parser.add_argument("--model", default="himmel", help="Method that is asked.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as name:
        folder = Path(name)
        make_files(folder)
        with cluster(2 * options.replicas) as address, serving(address, folder, options) as url:
            found = {
                "clients that try again": load(url, folder, options, retries=None),
                "clients that don't": load(url, folder, options, retries=0),
            }
    if options.json:
        print(json.dumps(found))
    else:
        for kind, value in found.items():
            print(f"{kind}: {value}")
    if any(outcome.startswith("lost") for one in found.values() for outcome in one["outcomes"]):
        raise SystemExit("Requests were lost.")


if __name__ == "__main__":
    main()
