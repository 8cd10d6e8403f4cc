"""Choices that have names, each defined once.

The library checks its arguments against them; the command line's help and completion list them; type checkers know
them. This module imports nothing, so that showing help stays fast.
"""

from typing import Final, Literal

AnchorMode = Literal["keyframe", "exact", "scene"]
"""How anchors are placed, see `Video.decompose`."""
BackendName = Literal["bitstream", "libav", "coviar", "proxy"]
"""Where maps come from, see `himmel.video.backends`."""
Backend = Literal["auto", BackendName]
"""A backend by name, or "auto": the first that the file and the machine allow."""
Cell = Literal[4, 8, 16, 32, 64]
"""Side of a map's cell in luma pixels."""
PictureType = Literal["I", "P", "B", "?"]
"""What a picture may be predicted from: nothing, pictures of one kind, of two; "?" if the stream does not say."""
Every = Literal["maps", "vectors"]
"""What is read of every picture, see `Video.pictures` and `Video.vectors`."""
ResidualKind = Literal["exact", "approximate", "estimated"]
"""What a residual was computed from, see `Decomposition.residual_kind`."""
DistanceKind = Literal["exact", "estimated"]
"""How the picture that a vector leads to was found, see `Decomposition.distance_kind`."""
PlacementName = Literal["per_anchor", "prefix", "suffix", "chunked", "attention"]
"""Where motion tokens go in the prompt, see `himmel.model.placement.place`."""
TimesName = Literal["none", "text"]
"""Whether the prompt tells when each anchor and interval is, see `himmel.model.placement.place`."""
Encoder = Literal["ssm", "resnet18", "siglip", "shared_vit", "none"]
"""How maps become motion tokens, see `AdapterConfig`."""
Size = Literal["paper", "nano"]
"""Sizes of model and adapter that have a name."""
DeviceMap = Literal["auto", "balanced", "balanced_low_0", "sequential"]
"""How accelerate spreads a host over several devices."""
Attention = Literal["eager", "sdpa", "flash_attention_2", "flex_attention"]
"""Implementations of attention that transformers can choose among."""
Tracker = Literal["tensorboard", "wandb", "trackio"]
"""Where a training's log can be watched."""
Quantization = Literal["4bit"]
"""How a host's weights are packed."""
Precision = Literal["float32", "bfloat16", "float16"]
"""Types that a host's weights can be written in."""
Condition = Literal["motion", "no-motion", "shuffled", "text"]
"""What the motion benchmark shows the model: anchors and motion tokens; anchors alone; anchors with another clip's
motion tokens; the question alone."""
Interleaving = Literal["A", "B", "C", "D", "E"]
"""Which streams a model is shown as pictures, and in which order (report, appendix S), see
`himmel.methods.conditions`."""
LiveClock = Literal["stream", "wall"]
"""How `himmel watch` tells times: since a stream's first picture, or as times of day."""
SampleClip = Literal["bikes", "carphone", "bigbuckbunny"]
"""Short real clips that a package brings."""
Scoring = Literal["raw", "token", "byte", "prior"]
"""How the likelihood of an option becomes its score, see `himmel.model.scoring.weigh`."""
Listing = Literal["none", "texts", "letters"]
"""Whether the prompt lists the options, and how, see `himmel.methods.question.Question`."""
AnswerForm = Literal["text", "letter"]
"""What the model is asked to say, and what is scored: an option's text or its letter."""
MethodName = Literal[
    "himmel",
    "anchors",
    "rgb_diff",
    "dense",
    "panel",
    "stream_pictures",
    "codec_frames",
    "motion_text",
    "evs",
    "vidcom2",
    "dycoke",
    "tome",
    "uniform_drop",
    "metom",
    "look_m",
    "hermes",
]
"""How a video becomes a prompt, see `himmel.methods`."""
BenchmarkName = Literal[
    "video_mme",
    "mvbench",
    "mlvu",
    "longvideobench",
    "perception_test",
    "activitynet_qa",
    "mathvista",
    "mathvision",
    "ocrbench",
    "realworldqa",
    "motionbench",
    "tempcompass",
    "tomato",
    "vinoground",
    "file",
]
"""Sets of questions, see `himmel.evaluation.benchmarks`; `file` is one's own."""
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]
"""How much work x264 takes over an encoding."""
RateControl = Literal["qp", "crf"]
"""What decides x264's quantisers: a constant for P pictures, or its constant rate factor."""
MapPrecision = Literal["int8", "float16"]
"""How a cache keeps maps, see `himmel.data.cache.quantise`."""
PictureFormat = Literal["jpeg", "png"]
"""How a cache keeps pictures."""
SOUND_SHAPE: Final = (4, 32)
"""Channels and slots of an interval's sound, see `himmel.video.Interval`."""
