"""The real lmms-eval on a task of its own making: its logged answers are ours, question by question.

lmms-eval cannot be installed beside the newest PyAV; CONTRIBUTING.md says how an environment for these tests is made.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import himmel
from himmel.errors import UsageError
from himmel.video import Video
from serving_live import KEY, Live, running
from tiny_hosts import build, host_config

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed")

Encode = Callable[..., Path]

_TASK = """
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}/questions.jsonl}}}}
task: {name}
test_split: test
output_type: {kind}
doc_to_visual: !function {functions}.doc_to_visual
doc_to_text: !function {functions}.doc_to_text
doc_to_target: answer
doc_to_choice: !function {functions}.doc_to_choice
{more}
"""
_GENERATE = """
generation_kwargs: {max_new_tokens: 6, do_sample: false}
process_results: !function FUNCTIONS.process_results
metric_list:
  - metric: accuracy
    aggregation: mean
    higher_is_better: true
"""
_FUNCTIONS = """
from pathlib import Path


def doc_to_visual(doc):
    path = str(Path(__file__).parent / doc["video"])
    return [path] if doc["start"] is None else [{"path": path, "video_start": doc["start"], "video_end": doc["end"]}]


def doc_to_text(doc, lmms_eval_specific_kwargs=None, round_idx=None, previous_output=None, previous_round_info=None):
    text = doc["question"] + "\\n" + "\\n".join(doc["choices"])
    if round_idx is None:
        return text
    return None, text + "\\nBefore: " + previous_output[-1], round_idx == 3, previous_output, None


def doc_to_choice(doc):
    return doc["choices"]


def process_results(doc, results):
    said = results[0] if isinstance(results[0], str) else results[0][0]
    return {"accuracy": float(said == doc["answer"])}
"""
_QUESTIONS = ("Which way does the picture move?", "Where does it go?")
_CHOICES = ("to the left", "to the right", "up")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path], pan: Any) -> Path:
    """A folder with tasks for `--include_path`: six questions about three clips, one of them about a stretch."""
    folder = tmp_path_factory.mktemp("tasks")
    lines = []
    for number, velocity in enumerate([(3, 0), (-3, 0), (0, -3)]):
        write_clip(folder / f"{number}.mp4", pan(24, (128, 96), velocity, number), options={"g": "8", "bf": "2"})
        for which, question in enumerate(_QUESTIONS):
            stretch = (0.2, 0.7) if number == 1 and which else (None, None)
            lines.append(
                {
                    "video": f"{number}.mp4",
                    "question": question,
                    "choices": list(_CHOICES),
                    "answer": _CHOICES[number],
                    "start": stretch[0],
                    "end": stretch[1],
                }
            )
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "local_functions.py").write_text(_FUNCTIONS)
    generate = _GENERATE.replace("FUNCTIONS", "local_functions")
    kinds = {
        "local_words": ("generate_until", generate),
        "local_rounds": ("generate_until_multi_round", generate),
        "local_options": ("multiple_choice", "target_delimiter: ''\nmetric_list:\n  - metric: acc\n"),
    }
    for name, (kind, more) in kinds.items():
        text = _TASK.format(data=folder, name=name, kind=kind, functions="local_functions", more=more)
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, tiny_host: Callable[[str], str]) -> Path:
    """A tiny adapter on a tiny Qwen2.5-VL."""
    folder = tmp_path_factory.mktemp("adapter")
    build(host_config("qwen2_5_vl", tiny_host("qwen2_5_vl"), num_anchors=3)).model.save_pretrained(folder)
    return folder


def questions_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]


def media_of(folder: Path, question: dict[str, Any]) -> Path | Video:
    path = folder / question["video"]
    return path if question["start"] is None else Video(path).between(question["start"], question["end"])


def prompt_of(question: dict[str, Any]) -> str:
    return "\n".join([question["question"], *question["choices"]])


def evaluate(folder: Path, name: str, arguments: str, *, model: str = "himmel", **options: Any) -> dict[str, Any]:
    """lmms-eval's results of a task, samples and all."""
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False, model_name=model)
    found = simple_evaluate(
        model=model, model_args=arguments, tasks=[name], task_manager=manager, device="cpu", **options
    )
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"method": "himmel", "num_anchors": 2, "steps_per_interval": 3},
        {"method": "dense", "num_frames": 5},
        {"method": "panel", "num_frames": 4},
    ],
)
def test_answers_are_those_of_a_session(options: dict[str, Any], task: Path, adapter: Path) -> None:
    arguments = ",".join(f"{name}={value}" for name, value in options.items())
    found = evaluate(task, "local_words", f"adapter={adapter},threads=1,{arguments}")
    samples = sorted(found["samples"]["local_words"], key=lambda sample: sample["doc_id"])
    questions = questions_of(task)
    assert len(samples) == len(questions) == 6
    session = himmel.Session(adapter=adapter, device="cpu")
    for sample, question in zip(samples, questions, strict=True):
        own = session.ask(media_of(task, question), prompt_of(question), max_new_tokens=6, threads=1, **options)
        assert sample["resps"] == [[own.text]]
        assert sample["token_counts"][0]["input_tokens"] == sum(own.tokens.values())
        assert sample["accuracy"] == float(own.text == question["answer"])


def test_batches_and_broken_videos(task: Path, adapter: Path, tmp_path: Path) -> None:
    """A file that cannot be read is a wrong answer, and the others of its batch are as they were."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in task.iterdir():
        if file.is_file():
            text = file.read_bytes().replace(str(task).encode(), str(broken).encode())
            (broken / file.name).write_bytes(text if file.name != "1.mp4" else b"no video")
    arguments = f"method=dense,num_frames=3,adapter={adapter},threads=1"
    whole = evaluate(task, "local_words", arguments, batch_size=2)["samples"]["local_words"]
    spoilt = evaluate(broken, "local_words", arguments, batch_size=2)["samples"]["local_words"]
    for one, other in zip(whole, spoilt, strict=True):
        assert other["resps"] == ([[""]] if other["doc"]["video"] == "1.mp4" else one["resps"])
        assert other["accuracy"] == 0 or other["doc"]["video"] != "1.mp4"


def test_options_are_scored_as_by_a_session(task: Path, adapter: Path) -> None:
    """Tasks that score options go to the simple form; the scores are log-likelihoods unless others are asked for."""
    session = himmel.Session(adapter=adapter, device="cpu")
    for scoring in ("raw", "prior"):
        arguments = f"method=dense,num_frames=3,adapter={adapter},threads=1,scoring={scoring}"
        samples = evaluate(task, "local_options", arguments, force_simple=True)["samples"]["local_options"]
        for sample, question in zip(samples, questions_of(task), strict=True):
            own = session.ask(
                media_of(task, question),
                prompt_of(question),
                method="dense",
                num_frames=3,
                choices=question["choices"],
                scoring=scoring,
                threads=1,
            )
            # lmms-eval takes the lowest.
            scores = [-one[0][0] for one in sample["resps"]]
            assert scores == pytest.approx([choice.score for choice in own.choices], rel=1e-6)
            assert sample["acc"] == float(own.text == question["answer"])


@pytest.mark.parametrize("simple", [False, True])
def test_rounds_follow_each_other(simple: bool, task: Path, adapter: Path) -> None:
    arguments = f"method=dense,num_frames=2,adapter={adapter},threads=1"
    samples = evaluate(task, "local_rounds", arguments, force_simple=simple, limit=2)["samples"]["local_rounds"]
    session = himmel.Session(adapter=adapter, device="cpu")
    for sample, question in zip(samples, questions_of(task), strict=False):
        said: list[str] = []
        for _ in range(3):
            before = f"\nBefore: {said[-1]}" if said else ""
            own = session.ask(
                task / question["video"],
                prompt_of(question) + before,
                method="dense",
                num_frames=2,
                max_new_tokens=6,
                threads=1,
            )
            said.append(own.text)
        assert sample["resps"] == [said] or sample["resps"] == [[said]]


def test_options_that_do_not_exist_are_refused(task: Path, adapter: Path) -> None:
    with pytest.raises(UsageError, match="has no option 'frames'"):
        evaluate(task, "local_words", f"method=dense,frames=3,adapter={adapter}")


@pytest.fixture(scope="module")
def live(adapter: Path, task: Path) -> Iterator[Live]:
    """`himmel serve` with the tiny adapter; the clips of the task may be named."""
    for package in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
        pytest.importorskip(package, reason=f"{package} of the extra 'serve' is not installed")
    from himmel.serving.server.app import Settings
    from himmel.serving.server.limits import Limits

    session = himmel.Session(adapter=adapter, device="cpu")
    settings = Settings(limits=Limits(workers=1), media=(task,), api_keys=(KEY,), threads=1)
    with running(session, settings, task) as found:
        yield found


@pytest.mark.parametrize(("method", "options"), [("himmel", {}), ("dense", {"num_frames": 5})])
def test_its_client_of_openai_s_api_gets_what_a_session_answers(
    method: str, options: dict[str, Any], task: Path, live: Live, tmp_path: Path
) -> None:
    """Its client of OpenAI's API can't name a stretch of a video, so no question is about one here."""
    questions = [{**question, "start": None, "end": None} for question in questions_of(task)]
    for file in task.iterdir():
        if file.suffix in (".yaml", ".py"):
            (tmp_path / file.name).write_text(file.read_text().replace(str(task), str(tmp_path)))
    absolute = [{**question, "video": str(task / question["video"])} for question in questions]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(question) + "\n" for question in absolute))
    arguments = {
        **{"model": method, "base_url": f"{live.url}/v1", "api_key": KEY, "timeout": 120, "max_retries": 1},
        **{"pass_video_url": True, "max_frames_num": 5, "num_concurrent": 4},
    }
    listed = ",".join(f"{name}={value}" for name, value in arguments.items())
    found = evaluate(tmp_path, "local_words", listed, model="openai")
    samples = sorted(found["samples"]["local_words"], key=lambda sample: sample["doc_id"])
    assert len(samples) == len(questions) == 6
    for sample, question in zip(samples, questions, strict=True):
        own = live.session.ask(
            task / question["video"],
            prompt_of(question),
            method=method,  # type: ignore[arg-type]
            max_new_tokens=6,
            threads=1,
            **options,
        )
        assert sample["resps"] == [[own.text]]
        assert sample["token_counts"][0]["input_tokens"] == sum(own.tokens.values())


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.parametrize(
    "arguments", ["method=dense,num_frames=8", "method=himmel", "method=codec_frames,num_frames=8"]
)
def test_the_command_on_nano(arguments: str, task: Path, tmp_path: Path) -> None:
    """`lmms_eval` as users type it, with the default host: its log holds what `himmel.ask` answers."""
    subprocess.run(
        [
            *(sys.executable, "-m", "lmms_eval", "--model", "himmel", "--model_args", f"{arguments},threads=1"),
            *("--include_path", str(task), "--tasks", "local_words", "--device", "cpu"),
            *("--log_samples", "--output_path", str(tmp_path)),
        ],
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    logged = next(tmp_path.rglob("*_samples_local_words.jsonl"))
    samples = [json.loads(line) for line in logged.read_text().splitlines()]
    settings: dict[str, Any] = dict(part.split("=") for part in arguments.split(","))
    options = {name: int(value) if value.isdecimal() else value for name, value in settings.items()}
    session = himmel.Session(device="cpu")
    samples.sort(key=lambda sample: sample["doc_id"])
    for sample, question in zip(samples, questions_of(task), strict=True):
        own = session.ask(media_of(task, question), prompt_of(question), max_new_tokens=6, threads=1, **options)
        assert sample["filtered_resps"] == own.text
