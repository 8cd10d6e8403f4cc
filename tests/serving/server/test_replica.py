"""What a replica answers otherwise than a server of its own, and what is sent to it; no cluster is needed."""

import asyncio
import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import himmel
from himmel.cli import main
from himmel.errors import HimmelError, MissingPackageError, UsageError
from himmel.methods.session import Session

KEY = "sk-serve-0b7d53a1"


def orders(**more: Any) -> Any:
    from himmel.serving.server.app import Settings
    from himmel.serving.server.limits import Limits
    from himmel.serving.server.replica import Orders

    settings = Settings(limits=Limits(workers=1), api_keys=(KEY,), media=more.pop("media", ()))
    made = Orders.of(settings, session={"device": "cpu"}, uploads=more.pop("uploads", False))
    return replace(made, **more)


def started(session: Session, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    """A replica's front with a model that is there already."""
    from himmel.serving.server import replica

    with monkeypatch.context() as patched:
        patched.setattr(replica, "Session", lambda **options: session)
        front = replica.Front(orders(**more))
        front.start()
    return front


def ask(front: Any, method: str, path: str) -> tuple[int, Any]:
    """Status and body of an answer, without a key."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
    asyncio.run(front(scope, receive, send))
    return sent[0]["status"], json.loads(b"".join(one.get("body", b"") for one in sent[1:]))


def test_one_of_several_replicas_takes_no_upload_and_counts_for_nobody_else(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    several, alone = (started(session, monkeypatch, uploads=uploads) for uploads in (False, True))
    for method, path in (("POST", "/v1/files"), ("GET", "/v1/files/file-0")):
        status, body = ask(several, method, path)
        assert (status, body["error"]["code"]) == (400, "uploads_not_kept")
        status, body = ask(alone, method, path)
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    for front in (several, alone):
        status, body = ask(front, "GET", "/metrics")
        assert (status, body["error"]["code"]) == (404, "unknown_url")
        assert ask(front, "GET", "/health")[0] == 200
        assert ask(front, "GET", "/v1/models")[0] == 401


def test_a_replica_is_healthy_once_it_answers_and_tells_why_it_never_will(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from himmel.serving.server.replica import Told

    told: list[float] = []
    monkeypatch.setattr(Told, "tell", lambda self: told.append(1))

    async def live(front: Any) -> None:
        app = front._serving.app
        async with app.router.lifespan_context(app):
            await front.check_health()

    asyncio.run(live(started(session, monkeypatch)))
    assert told == [1]

    def fail(*arguments: Any, **options: Any) -> Any:
        raise HimmelError("No worker can be started.")

    monkeypatch.setattr("himmel.serving.server.app.Readers", fail)
    with pytest.raises(HimmelError, match="No worker can be started"):
        asyncio.run(live(started(session, monkeypatch)))


def test_a_machine_that_does_not_fit_is_told_of(tmp_path: Path) -> None:
    from himmel.serving.server.replica import Front

    with pytest.raises(UsageError, match=rf"has himmel {himmel.__version__} and the one that serves has himmel 0\.0"):
        Front(orders(version="0.0")).start()
    with pytest.raises(HimmelError, match=r"There is no folder '.*gone' on .*; mount it on all of them"):
        Front(orders(media=(tmp_path / "gone",))).start()


def test_keys_leave_this_machine_as_hashes_alone() -> None:
    sent = pickle.dumps(orders())
    assert KEY.encode() not in sent
    assert KEY not in repr(orders())
    pickle.loads(sent).keys.check(f"Bearer {KEY}")


def test_numbers_of_replicas() -> None:
    from himmel.serving.server.cluster import Replicas

    assert Replicas.parse("2", cpus=1, gpus=0) == Replicas(least=2, most=2)
    assert Replicas.parse("1:4", cpus=2, gpus=0.5) == Replicas(least=1, most=4, cpus=2, gpus=0.5)
    for text in ("", ":", "a", "1:", ":3", "1:2:3", "-1"):
        with pytest.raises(UsageError, match="is no number of replicas"):
            Replicas.parse(text, cpus=1, gpus=0)
    for text in ("0", "3:2"):
        with pytest.raises(UsageError, match="out of range"):
            Replicas.parse(text, cpus=1, gpus=0)


def test_what_an_error_of_rays_comes_down_to() -> None:
    from himmel.serving.server.cluster import _last_line

    said = "Deploying failed:\nTraceback\n  himmel.errors.HostError: There is no checkpoint.\n\nRetrying 3 times.\n"
    assert _last_line(said) == "There is no checkpoint"
    assert _last_line("Something.\nElse broke.\n\n") == "Else broke"
    assert _last_line("") == "no reason was given"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--replicas", "2"], "are for a cluster; name one with --ray"),
        (["--ray", ""], "is empty"),
        (["--ray", "local", "--replicas", "two"], "'two' is no number of replicas"),
        (["--ray", "local", "--device", "cuda"], "say how many each takes with --replica-gpus"),
        (["--ray", "local", "--listen", "nowhere"], "'nowhere' is no address to listen at"),
    ],
)
def test_options_that_make_no_sense(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["serve", *arguments])
    assert stopped.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from himmel.serving.server.cluster import Replicas, serve_on

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r'`pip install "\.\[ray-serve\]"`'):
        serve_on("local", listen="127.0.0.1:8000", orders=orders(), replicas=Replicas())
