"""From a folder of videos to an adapter that answers questions, with SIGKILL on the way and nobody's hand on it.

    python -m benchmarks.corpus_proof FOLDER [--clips 2000] [--base nano] [--json]

FOLDER gets a corpus of rendered clips, with broken, huge and empty files, HEVC, VP9, MPEG-4 Part 2 and irregular times
among them, and questions about all of them (`benchmarks/proof_clips.py`). Then the command line does the rest, each
verb a process of its own:

    himmel audit      lists the broken files, and nothing else
    himmel prepare    killed twice; each video is read once; broken and huge files are listed with reasons
    himmel cache      verifies every byte, and decodes every video
    himmel train      both stages, killed once in each; no step is missing or there twice; what is skipped is bad
    himmel eval       every question about the held-out clips is answered

Each step stops the proof where something does not hold. With up to 200 clips, `prepare` and `train` are also run
without a kill, and their results are compared: the cache has the same bytes, each step the same loss, the adapter the
same weights. A proof that was stopped goes on where it was, if it is started again in the same folder.
"""

import argparse
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.proof_clips import File, files, write_corpus
from benchmarks.proof_runs import Kill, ProofError, check, himmel
from himmel._files import atomic_path
from himmel.training.plan import Stage, plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.settings import make_settings

_COMPARED: Final = 200
# Megabytes that a video may take: enough for an hour of small pictures, too little for one of 64 megapixels.
_MEMORY: Final = 256
_STEPS: Final = 60
Figures = dict[str, Any]


@dataclass(frozen=True)
class Proof:
    """One proof.

    Attributes:
        folder: everything is in it.
        clips: files of the corpus.
        base: of the recipe: a name or a file.
        steps: of each stage.
        workers: processes that read videos.
    """

    folder: Path
    clips: int
    base: str
    steps: int
    workers: int

    @property
    def videos(self) -> Path:
        """Folder of the corpus."""
        return self.folder / "videos"

    @property
    def recipe(self) -> Path:
        """What is trained."""
        return self.folder / "recipe.yaml"

    @property
    def files(self) -> list[File]:
        """The corpus."""
        return files(self.clips)

    @property
    def is_compared(self) -> bool:
        """Whether everything is done once more without a kill."""
        return self.clips <= _COMPARED

    def log(self, verb: str) -> Path:
        """What a verb says."""
        return self.folder / f"{verb}.log"

    def kill(self, verb: str, number: int, is_time: Callable[[], bool]) -> Kill:
        """When a verb is killed."""
        return Kill(is_time, self.folder / f"{verb}-killed-{number}")

    def stages(self, output: str) -> list[Stage]:
        """The recipe's stages with their folders below `output`."""
        changes = {"output": json.dumps(str(self.folder / output))}
        return plan_stages(resolve_recipe(self.recipe, overrides=changes).recipe)


def make_corpus(proof: Proof) -> Figures:
    """Clips, questions and the recipe."""
    found = write_corpus(proof.videos, proof.clips, workers=proof.workers)
    with atomic_path(proof.recipe) as temporary:
        temporary.write_text(yaml.safe_dump(_recipe(proof)), encoding="utf-8")
    size = sum((proof.videos / one.name).stat().st_size for one in found)
    return {"files": len(found), "MB": round(size / 2**20, 1), "kinds": dict(Counter(one.kind.name for one in found))}


def _recipe(proof: Proof) -> dict[str, Any]:
    optimizer = {"steps": proof.steps, "batch_size": 4, "warmup_steps": proof.steps // 10}
    optimizer |= {"save_every": max(1, proof.steps // 4), "log_every": 1}
    stage = {"optimizer": optimizer, "compute": {"workers": 1}}
    sets = [
        {"annotations": "train.jsonl", "choices": "listed"},
        {"annotations": "pictures.jsonl", "weight": 0.5},
        {"annotations": "text.jsonl", "weight": 0.5},
    ]
    return {
        "base": proof.base,
        # The embedded host sees pictures by the projector of the checkpoint that comes with the package.
        "begin_with": "nano" if proof.base == "nano" else None,
        "projector": None,
        "data": {"source": "files", "folder": str(proof.videos), "sets": sets, "cache": str(proof.folder / "cache")},
        "stage1": {"alignment": {"probe_weight": 0.0}, **stage},
        "stage2": {"blind_share": 0.0, **stage},
        "output": str(proof.folder / "runs"),
    }


def audit(proof: Proof) -> Figures:
    """Broken files are listed, with reasons; huge ones can be opened."""
    found = proof.folder / "audit.jsonl"
    himmel(
        ["audit", str(proof.videos), "-o", str(found), "--workers", str(proof.workers), "--json"],
        log=proof.log("audit"),
        code=1,
    )
    lines = _read_lines(found)
    check({one["path"] for one in lines} == {one.name for one in proof.files}, "audit looks at every file")
    refused = {one["path"]: one["error"] for one in lines if one["error"] is not None}
    wanted = {one.name for one in proof.files if not one.kind.readable and one.kind.name != "too large"}
    check(set(refused) == wanted, f"audit refuses {sorted(wanted)}, not {sorted(refused)}")
    check(all(refused.values()), "audit gives a reason for each refusal")
    codecs = Counter(f"{one['codec']} by {one['backend']}" for one in lines if one["error"] is None)
    return {"files": len(lines), "refused": len(refused), "codecs": dict(codecs)}


def prepare(proof: Proof) -> Figures:
    """Killed twice; every good video is in the cache, every other is listed, and none was read twice."""
    cache = proof.folder / "cache"

    def has(share: float) -> Callable[[], bool]:
        return lambda: len(_read_lines(cache / "videos.jsonl")) >= share * proof.clips

    kills = [proof.kill("prepare", number, has(share)) for number, share in enumerate((0.3, 0.6), 1)]
    summary = json.loads(_prepare(proof, cache, workers=proof.workers, kills=kills))
    bad = {one.name: one for one in proof.files if not one.kind.readable}
    failed = {one["name"]: one for one in summary["failed"]}
    check(set(failed) == set(bad), f"prepare lists {sorted(bad)} as unreadable, not {sorted(failed)}")
    check(all(one["error"] for one in failed.values()), "prepare gives a reason for each failure")
    if sys.platform == "linux":
        causes = {failed[name]["cause"] for name, one in bad.items() if one.kind.name == "too large"}
        check(causes == {"memory"}, f"what is too large is refused for its memory, not for {causes}")
    journal = Counter(one["name"] for one in _read_lines(cache / "videos.jsonl"))
    twice = [name for name, count in journal.items() if count > 1]
    check(not twice, f"no video is read twice, as {twice} were")
    listed = json.loads(himmel(["cache", "ls", str(cache), "--json"], log=proof.log("cache")))
    different = {one.shown for one in proof.files if one.kind.readable}
    check(listed["videos"] == len(different), f"the cache holds {len(different)} videos, not {listed['videos']}")
    check(not listed["unfinished"], "the cache is finished")
    himmel(["cache", "verify", str(cache), "--decode"], log=proof.log("cache"))
    return {
        "videos": listed["videos"],
        "failed": dict(Counter(one["cause"] for one in failed.values())),
        "hours": round(listed["hours"], 2),
        "MB": round(listed["bytes"] / 1e6, 1),
        "MB an hour": round(listed["bytes_per_hour"] / 1e6, 1),
        "kills": 2,
    }


def prepare_again(proof: Proof) -> Figures:
    """Without a kill and with one worker: the same bytes."""
    other = proof.folder / "cache-unbroken"
    _prepare(proof, other, workers=1)
    one, two = _contents(proof.folder / "cache"), _contents(other)
    check(one == two, "the killed cache has the bytes of the unbroken one")
    return {"equal files": len(one)}


def _prepare(proof: Proof, cache: Path, *, workers: int, kills: Sequence[Kill] = ()) -> str:
    """The JSON that `himmel prepare` prints, with the settings of the recipe's model."""
    recipe = resolve_recipe(proof.recipe).recipe
    model = make_settings(recipe.model, host=recipe.host)
    options = ["--anchors", model.num_anchors, "--steps", model.steps_per_interval, "--anchor-mode", model.anchor_mode]
    options += ["--workers", workers, "--memory-limit", _MEMORY, "--shard-videos", max(4, min(64, proof.clips // 8))]
    command = ["prepare", str(proof.videos), "-o", str(cache), *map(str, options), "--json"]
    return himmel(command, log=proof.log("prepare"), code=1, kills=kills)


def train(proof: Proof) -> Figures:
    """Killed in each stage; every step is logged once, and all that was skipped is bad."""
    stages = proof.stages("runs")

    def has_saved(stage: Stage) -> Callable[[], bool]:
        return lambda: any(stage.folder.glob("state/checkpoint-*/whole"))

    kills = [proof.kill("train", number, has_saved(stage)) for number, stage in enumerate(stages, 1)]
    himmel(["train", str(proof.recipe)], log=proof.log("train"), kills=kills)
    bad = {str(proof.videos / one.name) for one in proof.files if not one.kind.readable}
    lessons = {str(proof.videos / one.name) for one in proof.files if not one.held_out}
    figures: Figures = {"kills": len(kills)}
    for stage in stages:
        losses = _losses(stage)
        steps = list(range(1, proof.steps + 1))
        check([step for step, _ in losses] == steps, f"{stage.kind} logs steps 1 to {proof.steps}, each once")
        # It would be exactly 0 if no interval had a target.
        check(all(math.isfinite(loss) and loss > 0 for _, loss in losses), f"{stage.kind} has something to learn")
        skipped = {one["what"]: one["why"] for one in _read_lines(stage.folder / "skipped.jsonl")}
        check(set(skipped) <= bad, f"{stage.kind} skips bad files alone, and not {sorted(set(skipped) - bad)}")
        check(all(skipped.values()), f"{stage.kind} gives a reason for each")
        if stage.kind == "stage1" and 4 * proof.steps >= len(lessons):
            check(set(skipped) == bad, f"{stage.kind} meets every bad file")
        mean = [sum(loss for _, loss in part) / len(part) for part in (losses[:5], losses[-5:])]
        figures[stage.kind] = {
            "steps": len(losses),
            "loss of the first and last 5": [round(one, 4) for one in mean],
            "skipped": len(skipped),
        }
    return figures


def train_again(proof: Proof) -> Figures:
    """Without a kill: the same losses, and the same weights."""
    output = json.dumps(str(proof.folder / "runs-unbroken"))
    himmel(["train", str(proof.recipe), "--set", f"output={output}"], log=proof.log("train"))
    compared = 0
    for one, two in zip(proof.stages("runs"), proof.stages("runs-unbroken"), strict=True):
        check(_losses(one) == _losses(two), f"{one.kind} has the losses of an unbroken run")
        for file in two.folder.glob("*.safetensors"):
            check((one.folder / file.name).read_bytes() == file.read_bytes(), f"{one.kind}'s {file.name} is the same")
            compared += 1
    check(compared >= 2, "there are weights to compare")
    return {"equal steps": 2 * proof.steps, "equal files": compared}


def evaluate(proof: Proof) -> Figures:
    """Every question about the held-out clips is answered."""
    run, asked = proof.folder / "eval", {str(one.number) for one in proof.files if one.held_out}
    checkpoint = proof.stages("runs")[-1].folder
    command = ["eval", str(proof.videos / "held_out.jsonl"), "-o", str(run), "--adapter", str(checkpoint), "--json"]
    summary = json.loads(himmel(command, log=proof.log("eval")))
    answers = _read_lines(run / "answers.jsonl")
    check(sorted(one["id"] for one in answers) == sorted(asked), "every question is answered once")
    errors = {one["id"]: one["error"] for one in answers if one["error"] is not None}
    check(not errors, f"every question is answered without an error, unlike {errors}")
    accuracy = summary["overall"]["accuracy"]
    return {
        "questions": len(answers),
        "right": accuracy["correct"],
        "share": round(accuracy["share"], 3),
        "interval": [round(accuracy["low"], 3), round(accuracy["high"], 3)],
    }


def _losses(stage: Stage) -> list[tuple[int, float]]:
    record = json.loads((stage.folder / "training" / f"{stage.kind}.json").read_text(encoding="utf-8"))
    return [(line["step"], line["loss"]) for line in record["log"] if "loss" in line]


def _contents(cache: Path) -> dict[str, bytes]:
    found = [cache / "shards.jsonl", *(cache / "shards").iterdir()]
    return {file.name: file.read_bytes() for file in found}


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Objects of a file of JSON lines, which may still be written to, or not be there."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def run(proof: Proof, *, tell: Callable[[str], None]) -> Figures:
    """All steps that were not done before.

    Returns:
        What each found, and its seconds.

    Raises:
        ProofError: something does not hold, or the folder holds another proof.
    """
    proof.folder.mkdir(parents=True, exist_ok=True)
    record = proof.folder / "proof.json"
    about = {"clips": proof.clips, "base": proof.base, "steps": proof.steps}
    done: Figures = json.loads(record.read_text()) if record.is_file() else {"about": about}
    check(done["about"] == about, f"{proof.folder} is for the proof of {about}, and holds that of {done['about']}")
    steps = {"corpus": make_corpus, "audit": audit, "prepare": prepare, "train": train, "eval": evaluate}
    if proof.is_compared:
        steps |= {"prepare without a kill": prepare_again, "train without a kill": train_again}
    for name, step in steps.items():
        if name not in done:
            tell(f"{name} ...")
            begin = time.monotonic()
            figures = step(proof)
            done[name] = {"seconds": round(time.monotonic() - begin, 1), **figures}
            with atomic_path(record) as temporary:
                temporary.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    return done


def main() -> None:
    """Prove it, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=2000, help="files of the corpus, at least 40")
    parser.add_argument("--base", default="nano", help="base of the recipe: a name, or a file")
    parser.add_argument("--steps", type=int, default=_STEPS, help="of each stage, at least 8")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.clips < 40 or asked.steps < 8:
        parser.error("--clips 40 and --steps 8 are the least that holds every kind of file, and leaves time for a kill")
    proof = Proof(asked.folder.resolve(), asked.clips, asked.base, asked.steps, asked.workers)
    try:
        done = run(proof, tell=lambda line: print(line, file=sys.stderr, flush=True))
    except ProofError as error:
        sys.exit(f"The proof failed: {error}")
    if asked.json:
        print(json.dumps(done, indent=1))
        return
    for name, figures in done.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
