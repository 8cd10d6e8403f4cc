"""`himmel serve --ray` on a real Ray cluster on this machine: the official client, and a replica that is killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from serving_live import KEY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]
openai = pytest.importorskip("openai", reason="openai of the extra 'api' is not installed")
CLIENTS, QUESTIONS = 4, 32
# How Ray calls the processes, depending on what they do at the moment.
REPLICAS = ("ray::ServeReplica:himmel:", "ray::SERVE_REPLICA::himmel#")


@dataclass(frozen=True)
class OnCluster:
    """What is served.

    Attributes:
        url: without a path.
        command: the process that serves.
        lines: what it has said.
        media: the folder whose files may be named.
    """

    url: str
    command: "subprocess.Popen[str]"
    lines: list[str]
    media: Path

    def client(self, key: str = KEY, **options: Any) -> Any:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, timeout=240, **options)

    def ask(self, client: Any, **options: Any) -> Any:
        content = [
            {"type": "video_url", "video_url": {"url": (self.media / "clip.mp4").as_uri()}},
            {"type": "text", "text": "What moves?"},
        ]
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "max_tokens": 4, **options}
        return client.chat.completions.create(model="dense", **asked)


def replicas() -> list[psutil.Process]:
    """The cluster's processes with a model."""
    found = []
    for process in psutil.process_iter():
        try:
            if "".join(process.cmdline()[:1]).startswith(REPLICAS):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """With more processors than this machine may have, for two replicas."""
    pytest.importorskip("ray", reason="Ray is not installed; `pip install '.[ray]'` gets it")
    pytest.importorskip("ray.serve", reason="Ray Serve is not installed; `pip install '.[ray-serve]'` gets it")
    from ray.cluster_utils import Cluster

    few: dict[str, Any] = {"num_cpus": 4, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=few)
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def served(
    cluster: Any, tiny_host: Callable[[str], str], media: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnCluster]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    options = ["--ray", cluster.address, "--replicas", "2", "--listen", f"127.0.0.1:{port}", "--api-keys", keys]
    options += ["--host", tiny_host("qwen2_5_vl"), "--media", media, "--limit", "workers=1"]
    options += ["--limit", "drain_seconds=300"]
    program = [sys.executable, "-c", "from himmel.cli import main; main()", "serve", *map(str, options)]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as command:
        assert command.stderr is not None
        lines: list[str] = []
        while not lines or "ready at" not in lines[-1]:
            lines.append(command.stderr.readline())
            assert lines[-1], lines
        try:
            yield OnCluster(lines[-1].split()[-1], command, lines, media)
        finally:
            command.kill()


def test_the_official_client_is_answered_and_streams(served: OnCluster) -> None:
    with served.client() as client:
        whole = served.ask(client)
        pieces = list(served.ask(client, stream=True))
        assert "dense" in {one.id for one in client.models.list()}
        with pytest.raises(openai.BadRequestError, match="one of several replicas alone would have them"):
            client.files.create(file=served.media / "clip.mp4", purpose="user_data")
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert (whole.choices[0].message.content, len(pieces) > 3) == (text, True)
    with served.client("wrong") as stranger, pytest.raises(openai.AuthenticationError):
        served.ask(stranger)


def test_a_killed_replica_loses_no_request(served: OnCluster) -> None:
    before = replicas()
    assert len(before) == 2
    outcomes: Counter[str] = Counter()
    with served.client() as client:
        expected = served.ask(client).choices[0].message.content

        def ask(number: int) -> None:
            outcomes["answered" if served.ask(client).choices[0].message.content == expected else "wrong"] += 1
            if outcomes["answered"] == QUESTIONS // 4:
                os.kill(before[0].pid, signal.SIGKILL)

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(ask, range(QUESTIONS)))
        assert not before[0].is_running()
        assert outcomes == {"answered": QUESTIONS}
        end = time.monotonic() + 240
        while len(replicas()) < 2:
            assert time.monotonic() < end
            time.sleep(0.5)
        assert served.ask(client).choices[0].message.content == expected


def test_told_to_end_it_answers_to_the_end_removes_what_was_served_and_told_no_key(
    served: OnCluster, cluster: Any
) -> None:
    with served.client(max_retries=0) as client:
        under_way = iter(served.ask(client, stream=True, max_tokens=48))
        pieces = [next(under_way)]
        served.command.send_signal(signal.SIGTERM)
        pieces += under_way
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] in ("length", "stop")
    assert served.command.wait(180) == 0
    assert served.command.stderr is not None
    assert KEY not in "".join(served.lines) + served.command.stderr.read()
    assert replicas() == []
    logs = [one for one in Path(cluster.head_node.get_logs_dir_path()).rglob("*") if one.is_file()]
    assert any("controller" in one.name for one in logs)
    assert [one.name for one in logs if KEY.encode() in one.read_bytes()] == []
