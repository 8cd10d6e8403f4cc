"""A run by an API: every answer kept, what it cost, and nothing asked or paid for twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from himmel.errors import HimmelError, UsageError
from himmel.evaluation.api.money import Prices
from himmel.evaluation.api.run import ApiAsker, ApiRun, run_by_api
from himmel.evaluation.api.settings import ApiSettings, find_key
from himmel.evaluation.api.showing import ApiShown, show_by
from himmel.evaluation.benchmarks import benchmark
from himmel.evaluation.items import Item
from himmel.evaluation.runs.record import ANSWERS, HEADER, load_run, spent_on
from himmel.methods.choice import build
from himmel.methods.protocol import Method
from mock_api import KEY, Asked, MockApi, Reply, completion, in_turn, mock_api, refusal

FILE = benchmark("file")


@pytest.fixture
def data(tmp_path: Path, encode_clip: Callable[..., Path]) -> Path:
    """Two clips, two questions about each, a picture, and one about a file that is no video."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        encode_clip(folder / name, num_frames=32, options={"g": "8"})
    (folder / "torn.mp4").write_text("no video")
    rows = [
        {
            "id": f"{name}{number}",
            "video": f"{name}.mp4",
            "question": f"Question {number} about {name}?",
            "choices": ["left", "right", "up"],
            "answer": "right",
            "category": "direction" if number else "place",
        }
        for name in ("a", "b", "torn")
        for number in (range(2) if name != "torn" else range(1))
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def run(served: MockApi, data: Path, folder: Path, items: list[Item] | None = None, **options: Any) -> ApiRun:
    settings = ApiSettings(url=served.url, model="mock", retries=0, max_new_tokens=100)
    method = options.pop("method", build("stream_pictures", condition="B"))
    spent = options.pop("spent", 0.0)
    asker = ApiAsker(settings=settings, key=find_key(served.url), method=method, **options)
    found = FILE.load(data) if items is None else items
    return run_by_api(FILE, found, name="file", data=data, folder=folder, asker=asker, spent=spent)


def test_answers_are_rows_with_what_was_shown_and_what_it_cost(data: Path, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return completion("B" if "about a" in asked.texts[-1] else "The answer is (C).", usage=(3000, 20))

    folder = tmp_path / "run"
    with mock_api(answer) as served:
        done = run(served, data, folder, prices=Prices(2, 10))
    loaded = load_run(folder)
    rows = {row.id: row for row in loaded.rows}
    assert {name: (row.parsed, row.right) for name, row in rows.items()} == {
        "a0": ("B", True),
        "a1": ("B", True),
        "b0": ("C", False),
        "b1": ("C", False),
        "torn0": (None, False),
    }
    assert "torn.mp4" in str(rows["torn0"].error)
    record = rows["a0"].record
    assert record is not None
    assert record.tokens == {"prompt": 3000, "answer": 20}
    assert record.cost == pytest.approx(3000 * 2e-6 + 20 * 10e-6)
    assert record.finish == "stop"
    assert (len(record.frames), record.pixels, record.backend) == (8, (160, 128), "bitstream")
    assert {"answer", "first_token"} <= set(record.seconds)
    assert sum("prepare" in row.record.seconds for row in loaded.rows if row.record is not None) == 2
    assert done.summary is not None
    assert done.summary.overall.accuracy.correct == 2
    assert list(done.summary.failed) == ["torn0"]
    assert done.summary.costs is not None
    assert done.summary.costs.cost == pytest.approx(4 * 0.0062)
    assert spent_on(done.rows) == pytest.approx(4 * 0.0062)
    header = loaded.header
    assert header.method == {"name": "stream_pictures", "condition": "B", "longest_side": 768, "backend": "auto"}
    assert (header.host, header.settings["api"]) == ("mock", served.url)
    assert "openai" in header.versions
    # The prompt is the benchmark's own, with its options and the lines before the pictures.
    texts = served.asked[0].texts
    assert texts[1].startswith("\nPicture 2, motion map at 0:00.")
    assert "A. left\nB. right\nC. up" in texts[-1]


def test_parts_of_a_video_are_shown_apart(data: Path, tmp_path: Path) -> None:
    whole = next(item for item in FILE.load(data) if item.id == "a0")
    # The same part twice, and another one.
    spans = [(0.0, 0.4), (0.0, 0.4), (0.4, None)]
    parts = [replace(whole, id=str(k), start=start, end=end) for k, (start, end) in enumerate(spans)]
    with mock_api(lambda asked: completion("B")) as served:
        run(served, data, tmp_path / "run", parts, at_once=1, method=build("dense", num_frames=64))
    records = [row.record for row in load_run(tmp_path / "run").rows]
    assert [None if one is None else len(one.frames) for one in records] == [10, 10, 22]
    assert ["prepare" in one.seconds for one in records if one is not None] == [True, False, True]


def test_the_key_is_in_no_file_and_no_output(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with mock_api(in_turn(completion(f"B, says {KEY}"), refusal(400, f"no: {KEY}"), completion("B"))) as served:
        run(served, data, tmp_path / "run", at_once=1, prices=Prices(1, 1))
    assert all(asked.authorization == f"Bearer {KEY}" for asked in served.asked)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {HEADER, ANSWERS} <= {path.name for path in files}
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert KEY not in "".join(capfd.readouterr())


def test_a_video_is_read_once_for_its_questions(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counting(method: Method, source: Any, **options: Any) -> ApiShown:
        read.append(Path(source.path).name)
        return show_by(method, source, **options)

    monkeypatch.setattr("himmel.evaluation.api.run.show_by", counting)
    with mock_api(in_turn(completion("B"))) as served:
        run(served, data, tmp_path / "run", at_once=4)
    assert sorted(read) == ["a.mp4", "b.mp4"]
    assert len(served.asked) == 4


def test_a_run_goes_on_where_it_was_killed(data: Path, tmp_path: Path) -> None:
    """A line that was cut off in writing is asked again; nothing else is."""
    folder = tmp_path / "run"
    with mock_api(in_turn(completion("B"))) as served:
        run(served, data, folder)
        first = (folder / ANSWERS).read_bytes()
        lines = first.splitlines(keepends=True)
        (folder / ANSWERS).write_bytes(b"".join(lines[:2]) + lines[2][:40])
        kept = {json.loads(line)["id"] for line in lines[:2]}
        served.asked.clear()
        done = run(served, data, folder)
    asked = {text.split(" about ")[1][0] + text.split()[1] for text in (one.texts[-1] for one in served.asked)}
    assert asked == {"a0", "a1", "b0", "b1"} - kept
    assert done.summary is not None
    assert len(load_run(folder).rows) == 5
    assert (folder / ANSWERS).read_bytes().startswith(b"".join(lines[:2]))


def test_a_whole_run_keeps_what_was_added_to_its_summary(data: Path, tmp_path: Path) -> None:
    """Such as what a judge found, which was paid for."""
    with mock_api(lambda asked: completion("B")) as served:
        run(served, data, tmp_path / "run")
        header = load_run(tmp_path / "run").header
        replace(header, summary={**(header.summary or {}), "judge": {"score": 3}}).write(tmp_path / "run")
        before = len(served.asked)
        assert run(served, data, tmp_path / "run").summary is not None
        assert len(served.asked) == before
    assert (load_run(tmp_path / "run").header.summary or {})["judge"] == {"score": 3}


def test_a_question_without_an_answer_is_asked_by_the_next_run(data: Path, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return refusal(503, "overloaded") if "Question 1 about a" in asked.texts[-1] else completion("B")

    folder = tmp_path / "run"
    with mock_api(answer) as served:
        done = run(served, data, folder)
        assert done.summary is None
        assert list(done.asked.unanswered) == ["a1"]
        assert len(done.rows) == 4
        served.answer = in_turn(completion("B"))
        served.asked.clear()
        done = run(served, data, folder)
    assert len(served.asked) == 1
    assert done.summary is not None
    assert done.asked.unanswered == {}


def test_a_limit_counts_what_earlier_runs_spent(data: Path, tmp_path: Path) -> None:
    folder, prices = tmp_path / "run", Prices(0, 10_000)
    one = completion("B", usage=(1000, 10))  # 0.1, and at most 1 is set aside for it
    with mock_api(in_turn(one)) as served:
        done = run(served, data, folder, prices=prices, limit=1.15, at_once=1)
        assert len(served.asked) == 2
        assert "0.2000 of 1.15 is spent" in str(done.asked.stopped)
        again = run(served, data, folder, prices=prices, limit=1.15, at_once=1, spent=spent_on(done.rows))
        assert len(served.asked) == 2
        assert again.asked.stopped is not None
        done = run(served, data, folder, prices=prices, limit=9, at_once=1, spent=spent_on(again.rows))
    assert done.summary is not None
    assert spent_on(done.rows) == pytest.approx(0.4)


def test_a_folder_with_another_run_is_refused_before_anything_is_asked(data: Path, tmp_path: Path) -> None:
    with mock_api(in_turn(completion("B"))) as served:
        run(served, data, tmp_path / "run")
        served.asked.clear()
        with pytest.raises(UsageError, match="holds another run, with method condition='B', not 'D'"):
            run(served, data, tmp_path / "run", method=build("stream_pictures", condition="D"))
        items = [replace(item, question="Something else?") for item in FILE.load(data)]
        with pytest.raises(UsageError, match="holds another run, with questions_sha256"):
            run(served, data, tmp_path / "run", items)
    assert served.asked == []


def test_a_wrong_key_stops_the_run_and_leaves_no_answer(data: Path, tmp_path: Path) -> None:
    with (
        mock_api(in_turn(refusal(401, "wrong key"))) as served,
        pytest.raises(HimmelError, match="refuses the key"),
    ):
        run(served, data, tmp_path / "run", at_once=1)
    assert len(served.asked) == 1
    assert (tmp_path / "run" / ANSWERS).read_bytes() == b""


def test_an_answer_that_was_cut_at_its_limit_is_wrong_and_says_so(data: Path, tmp_path: Path) -> None:
    with mock_api(in_turn(completion(None, finish="length"))) as served:
        done = run(served, data, tmp_path / "run")
    asked = [row for row in done.rows if row.record is not None]
    assert len(asked) == 4
    assert all((row.parsed, row.right, row.record and row.record.finish) == (None, False, "length") for row in asked)
    assert done.summary is not None
    assert done.summary.unread == 4


def test_the_same_pictures_and_question_have_the_same_hash(data: Path, tmp_path: Path) -> None:
    hashes = []
    with mock_api(in_turn(completion("B"))) as served:
        for name, condition in (("one", "B"), ("two", "B"), ("three", "C")):
            done = run(served, data, tmp_path / name, method=build("stream_pictures", condition=condition))
            hashes.append({row.id: row.record.prompt_sha256 for row in done.rows if row.record is not None})
    assert hashes[0] == hashes[1]
    assert not set(hashes[0].values()) & set(hashes[2].values())
    assert len(set(hashes[0].values())) == 4


def test_methods_inside_the_model_are_refused() -> None:
    settings = ApiSettings(url="http://localhost/v1", model="m")
    with pytest.raises(UsageError, match="'himmel' works inside the model"):
        ApiAsker(settings=settings, key=find_key(settings.url), method=build("himmel"))
