"""What a server counts, for Prometheus."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """Counters of one server; they belong to a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "himmel_requests",
            "Requests to /v1/chat/completions by outcome.",
            ["model", "outcome"],
            registry=self.registry,
        )
        self.first_token = Histogram(
            "himmel_first_token_seconds",
            "From a request's arrival to the first token of its answer.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.answer = Histogram(
            "himmel_answer_seconds",
            "From a request's arrival to the end of its answer.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter(
            "himmel_tokens",
            "Tokens of prompts by kind (text, image, motion), those among them that were read before (cached), and of "
            "answers (answer).",
            ["kind"],
            registry=self.registry,
        )
        self.cache = Counter(
            "himmel_cache",
            "Requests whose video had been read and prepared already (hit) or had not (miss).",
            ["outcome"],
            registry=self.registry,
        )
        self.bytes_read = Counter(
            "himmel_bytes_read",
            "Bytes of videos and pictures taken in, by where from.",
            ["source"],
            registry=self.registry,
        )
        self.stage = Counter(
            "himmel_stage_seconds", "Wall time by stage of reading and answering.", ["stage"], registry=self.registry
        )
        self.batch = Histogram(
            "himmel_batch_size",
            "Requests that are being answered, at each step of generation.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.workers = Counter(
            "himmel_workers_ended", "Reading processes that a file ended, by cause.", ["cause"], registry=self.registry
        )

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Show a value as it is when somebody looks."""
        Gauge(name, what, registry=self.registry).set_function(value)

    def add_tokens(self, tokens: Mapping[str, int]) -> None:
        """Count tokens by kind."""
        for kind, count in tokens.items():
            self.tokens.labels(kind).inc(count)

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Count wall time by stage."""
        for stage, spent in seconds.items():
            self.stage.labels(stage).inc(spent)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
