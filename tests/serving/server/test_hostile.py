"""Requests that were made to harm: none of them gets a 500, much memory, or what is another's."""

import gc
import gzip
import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from himmel.methods.gathering import Gathering
from himmel.methods.session import Session
from himmel.serving.server.app import Settings
from himmel.serving.server.limits import Limits
from himmel.serving.server.messages import Asked, Source, parse
from himmel.serving.server.refusal import Refusal
from serving_live import KEY, Live, assert_responsive, running

OTHER = "sk-other-51c0"


@pytest.fixture(scope="module")
def live(session: Session, media: Path) -> Iterator[Live]:
    limits = Limits(workers=1, new_tokens=8, default_new_tokens=2)
    with running(session, Settings(limits=limits, media=(media,), api_keys=(OTHER, KEY), threads=1), media) as found:
        yield found


def call(live: Live, method: str, path: str, body: Any = None, *, key: str = KEY, **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer; it is in OpenAI's shape where it is a refusal."""
    with closing(http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=120)) as connection:
        sent = {"Authorization": f"Bearer {key}", **{name.replace("_", "-"): text for name, text in headers.items()}}
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        found = json.loads(response.read())
        if response.status >= 400:
            assert set(found["error"]) == {"message", "type", "param", "code"}
            assert len(found["error"]["message"]) < 2000
        return response.status, found


def chat(live: Live, content: Any, **more: Any) -> tuple[int, Any]:
    request = {"model": "dense", "messages": [{"role": "user", "content": content}], "max_tokens": 2, **more}
    return call(live, "POST", "/v1/chat/completions", json.dumps(request))


def about(media: Path, words: str = "What moves?") -> list[dict[str, Any]]:
    url = (media / "clip.mp4").as_uri()
    return [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": words}]


def upload(live: Live, data: bytes, key: str = KEY) -> tuple[int, Any]:
    form = (
        b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + data + b"\r\n--B--\r\n"
    )
    return call(live, "POST", "/v1/files", form, key=key, Content_Type="multipart/form-data; boundary=B")


WORDS = st.sampled_from(
    [
        "himmel",
        "dense",
        "user",
        "assistant",
        "system",
        "text",
        "file",
        "image_url",
        "data:,x",
        "file-0",
        "",
        "\0",
        "\N{MAHJONG TILE RED DRAGON}",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | WORDS
    | st.text(max_size=20).map(lambda text: text.encode("utf-8", "ignore").decode())
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4)
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "video_url", "image_url", "file", "input_audio"]) | VALUES},
    optional={
        "text": st.text(max_size=9) | VALUES,
        "video_url": st.fixed_dictionaries({}, optional={"url": WORDS, "start": SCALARS, "end": SCALARS}) | VALUES,
        "image_url": st.fixed_dictionaries({"url": WORDS}) | VALUES,
        "file": st.fixed_dictionaries({}, optional={"file_id": WORDS, "file_data": WORDS}) | VALUES,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]) | VALUES, "content": st.lists(PARTS, max_size=3) | VALUES}
)
FIELDS = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop", "stream", "logprobs", "n")
REQUESTS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["himmel", "dense", "panel"]) | VALUES,
        "messages": st.lists(MESSAGES, min_size=1, max_size=3) | VALUES,
    },
    optional={
        **dict.fromkeys((*FIELDS, "top_logprobs", "stream_options", "response_format", "tools"), VALUES),
        "himmel": st.fixed_dictionaries(
            {},
            optional={
                "options": st.dictionaries(
                    st.sampled_from(["name", "num_frames", "num_anchors", "self", "placement"]) | WORDS, VALUES
                ),
                "choices": st.lists(st.text(max_size=3), max_size=3) | VALUES,
                "scoring": VALUES,
            },
        )
        | VALUES,
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(REQUESTS)
def test_no_body_is_met_by_another_error_than_a_refusal(request: Any) -> None:
    from himmel.methods.choice import METHODS

    body = json.dumps(request).encode("utf-8", "replace")
    try:
        found: Asked | Refusal = parse(body, Limits(), models=[str(name) for name in METHODS])
    except Refusal as refusal:
        found = refusal
    if isinstance(found, Refusal):
        assert 400 <= found.status < 500
        assert found.said.endswith(".")
        json.dumps(found.body, allow_nan=False).encode()
    else:
        # What a reply repeats has to be JSON.
        json.dumps(vars(found.method), default=str, allow_nan=False).encode()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(REQUESTS)
def test_nor_by_the_server(live: Live, request: Any) -> None:
    request = {name: value for name, value in request.items() if name != "stream"}
    assert call(live, "POST", "/v1/chat/completions", json.dumps(request).encode("utf-8", "replace"))[0] < 500


@pytest.mark.parametrize("name", ["name", "self", "method", "options", "n" * 100_000])
def test_an_option_may_have_any_name(live: Live, media: Path, name: str) -> None:
    code, found = chat(live, about(media), himmel={"options": {name: 1}})
    assert (code, found["error"]["code"]) == (400, "invalid_value")
    assert "has no option" in found["error"]["message"]
    assert found["error"]["message"].endswith("it has num_frames, frame_mode.")


def test_a_field_is_named_as_the_client_wrote_it(live: Live) -> None:
    def param(content: Any, **more: Any) -> Any:
        return chat(live, content, **more)[1]["error"]["param"]

    assert param([{"type": "text"}]) == "messages[0].content[0].text"
    assert param([{"type": "text", "text": "a"}, {"type": "video_url", "video_url": {"url": 3}}]) == (
        "messages[0].content[1].video_url.url"
    )
    assert param([{"type": "file", "file": "x"}]) == "messages[0].content[0].file"
    assert param("a", stop=["x", 1]) == "stop[1]"
    assert param("a", himmel={"choices": ["x", 1]}) == "himmel.choices[1]"
    assert param("a", himmel={"x" * 5000: 1}) == f"himmel.{'x' * 193}"
    assert call(live, "POST", "/v1/chat/completions", b"no JSON")[1]["error"]["param"] is None


def test_what_looks_like_a_token_of_the_host_is_ordinary_text(live: Live, media: Path) -> None:
    plain = live.ask(about(media, "a")).usage.prompt_tokens_details
    for words in (
        "<|image_pad|>",
        "<|motion_pad|>",
        "<|vision_start|><|video_pad|><|vision_end|>",
        "<|im_end|>\n<|im_s",
    ):
        for model in ("himmel", "dense", "panel", "motion_text"):
            code, found = chat(live, about(media, words), model=model)
            assert code == 200
            details = found["usage"]["prompt_tokens_details"]
            if model == "himmel":
                assert (details["image_tokens"], details["motion_tokens"]) == (plain.image_tokens, plain.motion_tokens)
                assert details["text_tokens"] > plain.text_tokens


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"dense","messages":[{"role":"user","content":['
        + b'{"type":"text","text":""},' * 1_000_000
        + b"1]}]}",
        b"[" + b"1," * 10_000_000 + b"1]",
        b"[" * 1_000_000,
        b'{"x":' + b"[[]," * 500_000,
        b'{"seed":' + b"1" * 1_000_000 + b"}",
    ],
    ids=["parts", "numbers", "depth", "lists", "digits"],
)
def test_a_body_does_not_hold_others_up(live: Live, body: bytes) -> None:
    def work() -> None:
        assert call(live, "POST", "/v1/chat/completions", body)[0] == 400

    assert_responsive(live, work)


def test_nor_does_a_data_url_in_percent(live: Live) -> None:
    content = [{"type": "video_url", "video_url": {"url": "data:," + "%41" * 3_000_000}}, {"type": "text", "text": "?"}]

    def work() -> None:
        code, found = chat(live, content)
        assert (code, found["error"]["code"]) == (400, "unreadable_source")

    assert_responsive(live, work)


def test_a_body_that_is_packed_is_refused(live: Live) -> None:
    packed = gzip.compress(b" " * 10_000)
    for path in ("/v1/chat/completions", "/v1/files"):
        code, found = call(live, "POST", path, packed, Content_Encoding="gzip")
        assert (code, found["error"]["code"]) == (415, "unsupported_encoding")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/models/", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("GET", "//v1/models", 404),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/v1/chat/completions", 405),
        ("GET", "/v1/models/%00%0a", 404),
        ("GET", "/v1/files/..%2f..%2fetc%2fpasswd", 404),
        ("DELETE", "/v1/files/file-", 404),
    ],
)
def test_other_addresses_are_refused_in_the_same_shape(live: Live, method: str, path: str, status: int) -> None:
    assert call(live, method, path)[0] == status


def test_a_method_that_is_not_served_is_told_which_are(live: Live) -> None:
    with closing(http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=60)) as connection:
        connection.request("DELETE", "/v1/models", headers={"Authorization": f"Bearer {KEY}"})
        assert connection.getresponse().headers["allow"] == "GET"


def test_every_address_but_three_needs_a_key(live: Live) -> None:
    paths = [route.path.replace("{file_id}", "x").replace("{name}", "x") for route in live.server._serving.app.routes]  # type: ignore[attr-defined]
    answered = set()
    for path in (*paths, "/nothing", "/health/", "/metrics/x"):
        for method in ("GET", "POST", "DELETE"):
            with closing(http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=60)) as connection:
                connection.request(method, path)
                if connection.getresponse().status != 401:
                    answered.add(path)
    assert answered == {"/health", "/ready", "/metrics"}


def test_an_upload_is_there_for_its_own_key(live: Live, media: Path) -> None:
    data = (media / "other.mp4").read_bytes()
    code, found = upload(live, data)
    assert (code, found["filename"], found["bytes"]) == (200, "a.mp4", len(data))
    path = f"/v1/files/{found['id']}"
    content = [{"type": "file", "file": {"file_id": found["id"]}}, {"type": "text", "text": "?"}]
    request = json.dumps({"model": "dense", "messages": [{"role": "user", "content": content}], "max_tokens": 1})
    assert call(live, "GET", path) == (200, found)
    assert [one["id"] for one in call(live, "GET", "/v1/files")[1]["data"]] == [found["id"]]
    assert call(live, "POST", "/v1/chat/completions", request)[0] == 200
    # Who knows its hash learns nothing.
    nothing = call(live, "GET", "/v1/files/file-" + 64 * "0", key=OTHER)
    assert nothing[0] == 404
    assert call(live, "GET", path, key=OTHER) == nothing
    assert call(live, "DELETE", path, key=OTHER) == nothing
    assert call(live, "GET", "/v1/files", key=OTHER)[1]["data"] == []
    code, refused = call(live, "POST", "/v1/chat/completions", request, key=OTHER)
    assert (code, refused["error"]["message"]) == (404, nothing[1]["error"]["message"])
    # One key's file stays when another's is removed.
    assert upload(live, data, OTHER)[1]["id"] == found["id"]
    assert call(live, "DELETE", path) == (200, {"id": found["id"], "object": "file", "deleted": True})
    assert call(live, "GET", path)[0] == 404
    assert call(live, "POST", "/v1/chat/completions", request, key=OTHER)[0] == 200
    assert call(live, "DELETE", path, key=OTHER)[0] == 200
    assert call(live, "POST", "/v1/chat/completions", request, key=OTHER)[0] == 404


def test_content_that_was_sent_in_a_request_has_no_id(live: Live) -> None:
    """The hash of what others sent, which a reply tells, opens nothing."""
    import hashlib

    content = [{"type": "image_url", "image_url": {"url": "data:,GIF89a"}}, {"type": "text", "text": "?"}]
    chat(live, content)
    digest = hashlib.sha256(b"GIF89a").hexdigest()
    assert call(live, "GET", f"/v1/files/file-{digest}")[0] == 404


def let_go(url: str) -> bool:
    """Whether nothing keeps a source with this URL; the thread that brought it may take its time."""
    for _ in range(1200):
        if not any(type(one) is Source and one.url == url for one in gc.get_objects()):
            return True
        time.sleep(0.05)
    return False


def test_while_a_request_waits_its_data_urls_are_not_kept(
    live: Live, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go, step = threading.Event(), threading.Event(), Gathering.step

    def wait(gathering: Gathering) -> Any:
        entered.set()
        assert go.wait(120)
        return step(gathering)

    url = "data:video/mp4," + "".join(f"%{byte:02x}" for byte in (media / "clip.mp4").read_bytes())
    content = [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": "?"}]
    monkeypatch.setattr(Gathering, "step", wait)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(chat, live, content)
        assert entered.wait(120)
        is_gone = let_go(url)
        go.set()
        assert waiting.result()[0] == 200
    assert is_gone


@pytest.mark.parametrize(
    ("data", "question", "code"),
    [
        ("?", "?", "invalid_url"),
        ("", "?", "empty_file"),
        ("AAAA", "", "invalid_value"),
        ("AAAA", "?", "unreadable_source"),
    ],
)
def test_a_refused_request_s_data_urls_are_not_kept(data: str, question: str, code: str, live: Live) -> None:
    """Nor until garbage is collected: those of many requests would be more than the server takes at once."""
    url = f"data:video/{code.replace('_', '-')};base64,{data}"
    content = [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": question}]
    gc.disable()
    try:
        assert chat(live, content)[1]["error"]["code"] == code
        assert let_go(url)
    finally:
        gc.enable()


def test_a_number_of_frames_may_come_as_vllm_s_clients_say_it(live: Live, media: Path) -> None:
    """lmms-eval's client does, and says it for methods too that have none."""
    asked = {"media_io_kwargs": {"video": {"num_frames": 3, "fps": 1}}}
    for model, own, frames in (("dense", {}, 3), ("dense", {"num_frames": 2}, 2), ("himmel", {}, None)):
        code, found = chat(live, about(media), model=model, himmel={"options": own}, **asked)
        assert code == 200
        assert found["himmel"]["options"].get("num_frames") == frames
    code, found = chat(live, about(media), media_io_kwargs={"video": {"num_frames": -1}})
    assert (code, found["error"]["code"]) == (400, "invalid_value")


def test_a_web_page_may_not_ask_a_server_without_keys() -> None:
    """Neither a page of another site, nor one whose name was made to lead here."""
    from himmel.serving.server.door import check_page

    for host, origin in (
        ("127.0.0.1:8000", None),
        ("gpu-box:8000", None),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "http://localhost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
    ):
        check_page({b"host": host.encode()} | ({} if origin is None else {b"origin": origin.encode()}))
    for host, origin in (
        ("127.0.0.1:8000", "https://evil.example"),
        ("127.0.0.1:8000", "http://127.0.0.1:3000"),
        ("evil.example:8000", "http://evil.example:8000"),
        ("127.0.0.1:8000", "null"),
        ("", ""),
        ("[", "http://["),
    ):
        with pytest.raises(Refusal) as caught:
            check_page({b"host": host.encode(), b"origin": origin.encode()})
        assert (caught.value.status, caught.value.code) == (403, "origin_not_allowed")


def test_with_keys_a_page_may_ask(live: Live) -> None:
    assert call(live, "GET", "/v1/models", Origin="https://app.example")[0] == 200
