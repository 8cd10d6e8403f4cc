"""What is written on the figures."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from himmel.evaluation.report.cells import Summarised, summarise_all
from himmel.evaluation.report.collect import collect
from himmel.evaluation.report.figures.accuracy import against_frames, against_tokens, by_group, has_frames
from himmel.evaluation.report.figures.clips import no_clips
from himmel.evaluation.report.figures.curves import alignment_curves, answer_curves
from himmel.evaluation.report.figures.drawings import draw_model, draw_stages
from himmel.evaluation.report.figures.signals import gate_map, quantisers, sensitivity
from himmel.evaluation.report.figures.style import marker, shorten
from himmel.evaluation.report.further_tables import losses_table
from run_folders import write_run


def texts(figure: Figure) -> str:
    return "\n".join(found.get_text() for found in figure.findobj(Text))


def summarised(folder: Path) -> list[Summarised]:
    return summarise_all(collect([folder]).runs)


@pytest.fixture
def runs(tmp_path: Path) -> list[Summarised]:
    for frames in (8, 16):
        write_run(tmp_path / f"dense{frames}", [place % 3 > 0 for place in range(12)], options={"num_frames": frames})
    for anchors in (4, 8):
        write_run(
            tmp_path / f"himmel{anchors}",
            [place >= 12 - anchors for place in range(12)],
            method="himmel",
            adapter="/adapters/mine",
            options={"num_anchors": anchors},
        )
    return summarised(tmp_path)


def missing() -> Iterator[tuple[Figure, str]]:
    yield against_tokens(()), "no run has answers"
    yield against_frames(()), "several numbers of frames"
    yield by_group((), "duration"), "by duration"
    yield answer_curves(()), "log of stage 2"
    yield alignment_curves(()), "log of stage 1"
    yield sensitivity(()), "no two runs of himmel"
    yield gate_map(()), "no result holds gates"
    yield quantisers((), ()), "rung"
    yield no_clips(), "no clip was named"


@pytest.mark.parametrize(("figure", "what"), list(missing()))
def test_missing_data_says_so(figure: Figure, what: str) -> None:
    said = " ".join(texts(figure).split())
    assert "Not measured yet" in said
    assert what in said
    assert "himmel " in said


def test_tokens(runs: list[Summarised]) -> None:
    figure = against_tokens(runs)
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "Right answers against tokens: Video-MME (12)"
    assert "tokens" in axes.get_xlabel()
    assert axes.get_ylabel() == "right answers, %"
    points = [(bar.lines[0].get_xdata()[0], bar.lines[0].get_ydata()[0]) for bar in axes.containers]
    # All have 120 tokens: they are set apart, so that none hides another.
    assert len({across for across, _ in points}) == 4
    assert all(across == pytest.approx(120, rel=0.06) for across, _ in points)
    assert sorted(high for _, high in points) == pytest.approx([100 / 3, 200 / 3, 200 / 3, 200 / 3])


def test_frames(runs: list[Summarised]) -> None:
    figure = against_frames(runs)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "frames (of himmel: anchors)"
    lines = {bar.get_label(): list(bar.lines[0].get_xdata()) for bar in axes.containers}
    assert lines == {"Qwen2.5-VL-7B: dense": [8, 16], "Qwen2.5-VL-7B: himmel": [4, 8]}
    assert has_frames(runs)
    assert not has_frames(runs[:1])


def test_groups(runs: list[Summarised]) -> None:
    figure = by_group(runs, "duration")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["short", "medium", "long"]
    assert axes.get_xlabel() == "right answers, %"
    assert len(axes.containers) == 4


def test_runs_that_are_not_shown_are_counted(tmp_path: Path) -> None:
    for frames in range(2, 12):
        write_run(tmp_path / str(frames), [True, False] * 3, options={"num_frames": frames})
    title = by_group(summarised(tmp_path), "category").axes[0].get_title(loc="left")
    assert title == "Right answers by category: Video-MME (6); 6 of 10 runs"


def test_sensitivity(runs: list[Summarised]) -> None:
    figure = sensitivity(runs)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Video-MME (12): num_anchors"]
    assert "%" in axes.get_xlabel()
    # 4 and 8 of 12.
    assert "33.3" in texts(figure)


def test_sensitivity_compares_runs_that_differ_in_one_option_alone(tmp_path: Path) -> None:
    """Two numbers of anchors, each with two of motion tokens: what both change is no span of one of them."""
    for anchors, tokens, right in ((4, 1, 2), (8, 1, 3), (4, 4, 9), (8, 4, 11)):
        write_run(
            tmp_path / f"{anchors}-{tokens}",
            [place < right for place in range(12)],
            method="himmel",
            adapter="/adapters/mine",
            options={"num_anchors": anchors, "tokens_per_interval": tokens},
        )
    figure = sensitivity(summarised(tmp_path))
    (axes,) = figure.axes
    spans = [tuple(line.get_xdata()) for line in axes.lines]
    names = [label.get_text().rpartition(" ")[2] for label in axes.get_yticklabels()]
    assert dict(zip(names, spans, strict=True)) == {
        "num_anchors": pytest.approx((900 / 12, 1100 / 12)),
        "tokens_per_interval": pytest.approx((300 / 12, 1100 / 12)),
    }


def test_gates(tmp_path: Path) -> None:
    gates = {"all": {"motion": 0.25, "residual": 0.3, "context": 0.45, "questions": 7}}
    (tmp_path / "motion.json").write_text(json.dumps({"benchmark": "nano-motion", "gates": gates}))
    figure = gate_map(collect([tmp_path]).motion)
    said = texts(figure)
    assert {"25", "30", "45", "all (7)", "motion", "residual", "context", "mean weight, %"} <= set(said.split("\n"))


def test_results_of_motion_without_gates(tmp_path: Path) -> None:
    (tmp_path / "motion.json").write_text(json.dumps({"benchmark": "nano-motion"}))
    assert "no result holds gates" in texts(gate_map(collect([tmp_path]).motion))


def test_quantisers(tmp_path: Path) -> None:
    for level in (18, 28):
        rung = {"name": f"qp-{level}", "level": level, "mode": "qp", "psnr": 60.0 - level, "signals": {}}
        (tmp_path / f"qp-{level}.json").write_text(json.dumps(rung))
        write_run(tmp_path / "runs" / str(level), [True] * 8, data=f"/ladder/qp-{level}")
    results = collect([tmp_path])
    figure = quantisers(results.rungs, summarise_all(results.runs))
    axes, right = figure.axes
    assert axes.get_xlabel() == "quantiser (QP or CRF)"
    assert right.get_ylabel() == "PSNR of the pictures, dB (dotted)"
    assert list(axes.containers[0].lines[0].get_xdata()) == [18, 28]
    assert list(right.lines[0].get_ydata()) == [42, 32]


def _log(folder: Path, stage: str, log: list[dict[str, float]]) -> None:
    (folder / "training").mkdir(parents=True, exist_ok=True)
    (folder / "training" / f"{stage}.json").write_text(json.dumps({"log": log}))


def test_losses_of_stage_2_with_the_best_step_on_held_out_data(tmp_path: Path) -> None:
    log: list[dict[str, float]] = []
    for step, loss, held in ((10, 3.0, 2.5), (20, 2.0, 1.125), (30, 1.0, 1.75)):
        log += [{"step": step, "loss": loss}, {"step": step, "eval_loss": held}]
    _log(tmp_path / "first", "stage2", log)
    _log(tmp_path / "second", "stage2", [{"step": 10, "loss": 4.0}])
    figure = answer_curves(collect([tmp_path]).training)
    (axes,) = figure.axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines if line.get_linestyle() != "None"}
    assert drawn == {
        "first, training": [3.0, 2.0, 1.0],
        "first, validation": [2.5, 1.125, 1.75],
        "second, training": [4.0],
    }
    assert "1.125 at 20" in texts(figure)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("optimiser steps", "loss, nats a token")
    styles = {line.get_label(): (line.get_linestyle(), line.get_fillstyle()) for line in axes.lines}
    assert styles["first, training"] == ("-", "full")
    assert styles["first, validation"] == ("--", "none")


def test_loss_cosine_and_retrieval_of_stage_1(tmp_path: Path) -> None:
    log = [
        {"step": 5, "loss": 4.0, "positive": 0.25},
        {"step": 5, "eval_loss": 3.5, "eval_positive": 0.5, "eval_recall_at_1": 0.125, "eval_recall_at_5": 0.75},
    ]
    _log(tmp_path / "mine", "stage1", log)
    loss, cosine, found = alignment_curves(collect([tmp_path]).training).axes
    shown = [{line.get_label(): list(line.get_ydata()) for line in axes.lines} for axes in (loss, cosine, found)]
    assert shown == [
        {"mine, training": [4.0], "mine, validation": [3.5]},
        {"mine, training": [0.25], "mine, validation": [0.5]},
        {"mine, R@1": [12.5], "mine, R@5": [75.0]},
    ]
    assert [axes.get_xlabel() for axes in (loss, cosine, found)] == ["optimiser steps"] * 3
    assert "%" in found.get_ylabel()


def test_a_training_that_held_nothing_out_says_so_on_the_figure(tmp_path: Path) -> None:
    """Older logs have no cosine of pairs either."""
    _log(tmp_path / "mine", "nano-stage1", [{"step": 5, "loss": 4.0}])
    figure = alignment_curves(collect([tmp_path]).training)
    assert list(figure.axes[0].lines[0].get_ydata()) == [4.0]
    said = " ".join(texts(figure).split())
    assert "Not measured yet: no training has looked at held-out intervals." in said
    assert "Not measured yet: no log tells the cosine of pairs." in said
    assert "data.validation" in said


def test_a_log_without_a_step_says_so(tmp_path: Path) -> None:
    """As of a training that ended before its first line was due."""
    for stage in ("stage1", "stage2"):
        _log(tmp_path / "short", stage, [{"step": 4, "train_loss": 1.0}])
    training = collect([tmp_path]).training
    for figure, stage in ((answer_curves(training), 2), (alignment_curves(training), 1)):
        assert f"no log of stage {stage} has a step yet" in " ".join(texts(figure).split())


def test_copies_of_a_log_are_drawn_once(tmp_path: Path) -> None:
    """A later stage has those of earlier ones, and the best step's checkpoint has its stage's."""
    log = [{"step": step, "loss": 3.0 - step} for step in range(3)]
    for folder in ("stage1-a", "stage1-a/best", "stage2-b"):
        _log(tmp_path / folder, "stage1", log)
    loss = alignment_curves(collect([tmp_path]).training).axes[0]
    assert [line.get_label() for line in loss.lines] == ["stage1-a, training"]


def test_losses(tmp_path: Path) -> None:
    (tmp_path / "mine" / "training").mkdir(parents=True)
    log = [
        {"step": 1, "loss": 2.0},
        {"step": 1, "eval_loss": 1.25},
        {"step": 2, "loss": 1.0},
        {"step": 2, "eval_loss": 1.5},
    ]
    (tmp_path / "mine" / "training" / "stage2.json").write_text(json.dumps({"log": log}))
    assert losses_table(collect([tmp_path]).training).rows == (("mine", "stage2", "1.000", "1.250", "1"),)


@pytest.mark.parametrize("figure", [draw_model(), draw_stages()])
def test_letters_of_drawings_lie_in_the_picture(figure: Figure) -> None:
    figure.draw_without_rendering()
    across, down = figure.bbox.size
    (axes,) = figure.axes
    assert len(axes.texts) > 10
    for text in axes.texts:
        if text.get_text():
            box = text.get_window_extent()
            assert 0 <= box.x0 <= box.x1 <= across
            assert 0 <= box.y0 <= box.y1 <= down


def test_series_are_told_apart() -> None:
    styles = [marker(place) for place in range(56)]
    assert len({(style["color"], style["marker"]) for style in styles}) == 56


def test_long_labels_are_cut_in_their_middle() -> None:
    assert shorten("a" * 48) == "a" * 48
    assert shorten("begin" + "x" * 60 + "end", 11) == "begin…xxend"
