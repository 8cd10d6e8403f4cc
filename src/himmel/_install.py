"""What to type where a part of himmel is missing. No package index has himmel, so the commands are for a checkout."""

from himmel.errors import MissingPackageError

# Clauses that follow "himmel ..." or a semicolon.
NO_ENGINE = "himmel was installed without its bitstream engine"
GET_ENGINE = "install a C++20 compiler, then run `pip install .` in himmel's checkout to compile it"

# By the names under which they are imported; the packages of a plain install are always there.
EXTRAS: dict[str, tuple[str, ...]] = {
    "models": (
        "efficientnet_lite_pytorch",
        "gguf",
        "huggingface_hub",
        "peft",
        "PIL",
        "psutil",
        "pydantic",
        "safetensors",
        "threadpoolctl",
        "torch",
        "transformers",
        "yaml",
    ),
    "prepare": ("filelock", "fsspec", "pyarrow", "yaml"),
    "ray": ("ray",),
    "train": ("accelerate", "scipy", "statsmodels"),
    "api": ("openai",),
    "serve": ("fastapi", "prometheus_client", "python_multipart", "uvicorn"),
}


def get_extra(extra: str) -> str:
    """The command that installs an extra."""
    return f'`pip install ".[{extra}]"` in himmel\'s checkout'


def missing_package(error: ModuleNotFoundError) -> MissingPackageError | None:
    """The error to raise in place of `error` if what was not found is a package of an extra, else None."""
    package = (error.name or "").partition(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages:
            return MissingPackageError(
                f"This needs the package {package} of the extra {extra!r}, which is not installed; "
                f"{get_extra(extra)} gets it."
            )
    return None
