"""What a recipe may say: one row of a table, from the model's settings to how it is measured (report, appendix C)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from himmel.choices import Attention, BenchmarkName, MethodName, Tracker
from himmel.errors import RecipeError
from himmel.nano.kinds import Kind

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """Keys that belong together; one that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReportSection(Section):
    """Which row of the report a recipe reproduces.

    Attributes:
        table: number in the order of the text, see docs/paper_index.md; None where the report draws a figure instead.
        figure: number of that figure.
        section: of the report, e.g. "I.2".
        row: the row as the report calls it.
        benchmarks: what the report measures the row on; on nano, rendered clips are asked about instead.
    """

    table: Positive | None = None
    figure: Positive | None = None
    section: str = ""
    row: str = ""
    benchmarks: tuple[BenchmarkName, ...] = ()


class SetSection(Section):
    """One set of annotations, see `himmel.data.samples.sets`.

    Attributes:
        annotations: a JSON, JSON-lines, Parquet or Arrow file, a pattern of such, a folder that the `datasets` package
            wrote, or a YAML of files as LLaVA-Video-178K's training takes it; relative to `data.folder`.
        media: folder that relative paths of videos and pictures begin at, relative to `data.folder`; None: each
            annotation file's own.
        sampling: rows that are taken: all, first:N, end:N or random:N, where N may be a percentage.
        weight: how often each sample is drawn, relative to those of the other sets.
        choices: how a question with options is asked: the question alone, answered in `words`, or with its options
            `listed`, answered with letter and words.
    """

    annotations: str
    media: str | None = None
    sampling: str = "all"
    weight: Rate = 1.0
    choices: Literal["words", "listed"] = "words"


class ValidationSection(Section):
    """What is held out, and looked at while a stage learns from the rest; see `OptimizerSection.validate_every`.

    Attributes:
        clips: of rendered data: so many clips of the seeds right after those that are learned from.
        share: of files: videos, pictures and texts are held out with this probability, by a hash of their path or
            words. Nothing that a sample on one side shows is shown on the other.
        samples: of files: at most so many of the samples held out are looked at.
    """

    clips: Positive = 64
    share: Annotated[float, Field(gt=0, lt=1)] = 0.02
    samples: Positive = 256


class DataSection(Section):
    """What is learned from: clips that are rendered here, or files.

    Attributes:
        source: `rendered`: clips of the seeds `first_seed` .. `first_seed + clips - 1`; `files`: the sets.
        clips: see `source`.
        first_seed: see `source`.
        folder: where relative paths in `sets` begin.
        sets: of `files`, mixed by their weights and sizes.
        cache: folder that `himmel prepare` has written, to take videos from; None reads each from its file when it is
            drawn.
        max_tokens: most tokens of a conversation with what it shows; whole turns beyond are dropped. None: as many as
            the host was made for.
        group_by_length: let samples of similar length share a batch.
        seconds_per_video: a video that takes longer is skipped.
        megabytes_per_video: as is one that takes more memory.
        validation: what is held out; None: nothing.
    """

    source: Literal["rendered", "files"] = "rendered"
    clips: Positive = 1500
    first_seed: Natural = 0
    folder: str = "."
    sets: tuple[SetSection, ...] = ()
    cache: str | None = None
    max_tokens: Positive | None = None
    group_by_length: bool = True
    seconds_per_video: Annotated[float, Field(gt=0)] = 120.0
    megabytes_per_video: Positive = 2048
    validation: ValidationSection | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What the outcome of a stage depends on."""
        if self.source == "rendered":
            return self.model_dump(mode="json", include={"source", "clips", "first_seed"})
        chosen = {"source", "folder", "sets", "cache", "max_tokens", "group_by_length"}
        found = self.model_dump(mode="json", include=chosen)
        # Rendered clips that are held out are taken from no training; files are.
        return found if self.validation is None else {**found, "held_out": self.validation.share}


class ComputeSection(Section):
    """How a stage is computed; what it learns is the same up to rounding.

    Attributes:
        precision: float32 throughout, or bfloat16: frozen weights are stored so, trained ones compute so by autocast.
        gradient_checkpointing: compute the language model's layers again in the backward pass, to save memory.
        deepspeed: `zero2` or `zero3` (recipes/deepspeed), a file of DeepSpeed's, or None.
        fsdp: `full_shard` shares parameters, gradients and the optimiser's state among processes by PyTorch's FSDP;
            `shard_grad_op` keeps parameters whole from the forward pass to the backward pass, which takes more memory
            and less traffic; None shares nothing. Excludes `deepspeed`.
        attn_implementation: of transformers; None leaves the choice to it. `flash_attention_2` takes no mask that parts
            several questions about one clip, so it needs `questions_per_clip: 1`.
        workers: processes of each device that read batches ahead; 0 reads them in between steps.
        report_to: where the log goes beside the terminal and the stage's record.
    """

    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    deepspeed: str | None = None
    fsdp: Literal["full_shard", "shard_grad_op"] | None = None
    attn_implementation: Attention | None = None
    workers: Natural = 0
    report_to: tuple[Tracker, ...] = ()


class OptimizerSection(Section):
    """AdamW; one learning rate for each trained part.

    Every `save_every` steps a state is saved, every `log_every` the log gets a line, and every `validate_every` what is
    held out (`data.validation`) is looked at.

    `batch_size` clips make one step, over all devices and micro-steps: each device takes
    `batch_size / (gradient_accumulation * devices)` at once. Contrast sees the negatives of one micro-step, of all
    devices.
    """

    steps: Positive = 1000
    batch_size: Positive = 8
    gradient_accumulation: Positive = 1
    adapter_lr: Rate = 3e-4
    projector_lr: Rate = 1e-3
    lora_lr: Rate = 5e-4
    language_model_lr: Rate = 1e-5
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: Natural = 20
    weight_decay: Rate = 0.01
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    save_every: Positive = 100
    log_every: Positive = 10
    validate_every: Positive = 100

    def share_of(self, devices: int) -> int:
        """Clips that each of so many devices takes at once.

        Raises:
            RecipeError: the batch can't be shared out evenly.
        """
        shares = self.gradient_accumulation * devices
        if self.batch_size % shares:
            raise RecipeError(
                f"optimizer.batch_size = {self.batch_size} cannot be divided among {shares} micro-steps and devices; "
                "choose a multiple, or another optimizer.gradient_accumulation."
            )
        return self.batch_size // shares


class AlignmentSection(Section):
    """Stage 1 (docs/method.md, equations 6 and 7).

    L = L_nce + lambda (1 - mean s_ii) + mu (the same for each branch) + probe_weight L_probe, where `probe_weight`
    weighs the supervised warm start: an interval's first tokens are drawn to the host's word embeddings of a caption of
    the rendered motion. It needs ground truth, so it exists for rendered clips only; 0 turns it off.
    """

    objective: Literal["infonce", "mse", "hybrid"] = "infonce"
    lambda_: Annotated[float, Field(ge=0, alias="lambda")] = 0.5
    mu: Rate = 0.2
    probe_weight: Rate = 1.0


class ProjectorSection(Section):
    """The host's own image projector, on drawn pictures; for hosts that come without one (nano).

    Attributes:
        stills: how many different pictures it learns from, whatever else the recipe's data are.
    """

    seed: Seed = 0
    stills: Positive = 50_000
    optimizer: OptimizerSection = OptimizerSection()
    compute: ComputeSection = ComputeSection()


class Stage1Section(Section):
    """Alignment: the adapter learns, the host is frozen."""

    seed: Seed = 0
    alignment: AlignmentSection = AlignmentSection()
    optimizer: OptimizerSection = OptimizerSection()
    compute: ComputeSection = ComputeSection()


class Stage2Section(Section):
    """The language-modelling loss on the answers (docs/method.md, equation 9).

    Attributes:
        shows: what the language model is shown: the `video`, with anchors and motion; the `anchors` alone; or
            `nothing` but the question, which tells what can be answered from the words alone. Of rendered clips.
        trains: what learns beside the adapter: LoRA on the language model's projections, or the `full` language model.
        also_train: parts of the host that also learn; only nano's projector, which was made here, may.
        asked_shares: of rendered clips: probability with which a question of this kind is asked, 0 to 1; 1 for kinds
            that are not named. What is learned already need not take the time of what is not.
        blind_share: of the batches leave the anchors' pictures out and ask about motion alone: they are shorter, and
            teach the language model to look at motion tokens sooner.
        still_share: of the batches show one anchor of each clip and nothing else, and ask about what is still: the
            shortest way to learn to read a picture. For hosts whose tower's features are kept beside the clips (nano).
        label_share: of the batches show, in place of the clips' anchors, pictures that nano's classifier takes for one
            of its labels, and ask for its name: most of them one picture and nothing else.
        sentence_share: of rendered clips: with this probability a clip is also asked for a sentence, such as a
            description.
        full_compute: what takes the place of `compute` where the full language model is trained.
    """

    seed: Seed = 0
    shows: Literal["video", "anchors", "nothing"] = "video"
    trains: Literal["lora", "full"] = "lora"
    also_train: tuple[Literal["host_projector"], ...] = ()
    questions_per_clip: Positive = 4
    asked_shares: dict[Kind, Annotated[float, Field(ge=0, le=1)]] = {}
    blind_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    still_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    label_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    sentence_share: Annotated[float, Field(ge=0, le=1)] = 0.35
    optimizer: OptimizerSection = OptimizerSection()
    compute: ComputeSection = ComputeSection()
    full_compute: ComputeSection | None = None


class EvalSection(Section):
    """How the result is measured to give the row's figure.

    Attributes:
        benchmark: `rendered` (files of rendered clips, whose questions are those of `himmel nano bench`), `report`
            (the benchmarks that the report names) or `parameters` (`himmel params`).
        method: by which the questions are asked.
        options: of the method, by name; what is not among them is as the method's class or the checkpoint says.
            `himmel recipe` doesn't check them, because the classes import torch; `himmel train` does.
        figure: which row of the printed table is the figure: `all`, a duration, or a component of the parameter table.
        task: which of the rendered clips' questions count, in place of `all`.
        clips: rendered clips to ask about.
        questions: most questions for each clip.
    """

    benchmark: Literal["rendered", "report", "parameters"] = "rendered"
    method: MethodName = "himmel"
    options: dict[str, Any] = Field(default_factory=dict)
    figure: str = "all"
    task: Literal["motion", "still"] = "motion"
    clips: Positive = 400
    questions: Positive = 2

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is missing here before the figure can be measured; a benchmark's data, which one downloads, is not."""
        # Rendered clips last a few seconds, so that their results are not split by duration.
        return (f"clips.{self.figure}",) if self.benchmark == "rendered" and self.figure != "all" else ()

    @property
    def row(self) -> str:
        """Row of the printed table that holds the figure."""
        return self.task if self.benchmark == "rendered" else self.figure


class Recipe(Section):
    """One row: what the model is, how it learns, how it is measured.

    Attributes:
        name: file name without ending, relative to the folder of recipes.
        base: the base that its host, sizes, data and budgets come from.
        report: which row of the report it reproduces.
        host: name or folder of the host.
        model: settings of the model, see `himmel.training.settings`.
        base_model: the same by the base alone, for stages that don't depend on what the recipe changes.
        data: what all stages learn from.
        projector: None where the host brings its own.
        stages: which of the report's stages are run; none for what is not trained.
        stage1: the first of them.
        stage2: the second of them.
        eval: how the result is measured.
        needs: what this version doesn't have yet and the row can't do without, e.g. `params.host`.
        begin_with: checkpoint that the stages begin with: a folder, a repository's name, or `nano` for the one that
            comes with this package; what it lacks, or has in other settings, begins afresh, and training says so.
            None: everything does.
        output: folder that checkpoints go to.
    """

    name: str
    base: str
    report: ReportSection = ReportSection()
    host: str
    model: dict[str, Any]
    base_model: dict[str, Any]
    data: DataSection = DataSection()
    projector: ProjectorSection | None = None
    stages: tuple[Literal[1, 2], ...] = (1, 2)
    stage1: Stage1Section = Stage1Section()
    stage2: Stage2Section = Stage2Section()
    eval: EvalSection = EvalSection()
    needs: tuple[str, ...] = ()
    begin_with: str | None = None
    output: str = "runs"

    @property
    def lacks_to_train(self) -> tuple[str, ...]:
        """What is missing here before the row can be run; empty if it can."""
        return self.needs

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is missing here, but for a benchmark's data, before the row's figure can be printed; empty if it can."""
        return (*self.lacks_to_train, *self.eval.lacks)
