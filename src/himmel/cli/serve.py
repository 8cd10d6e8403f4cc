"""`himmel serve`: an OpenAI-compatible server."""

import ipaddress
import multiprocessing
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from himmel._options import read_options
from himmel.choices import DeviceMap
from himmel.cli.console import quieten
from himmel.cli.options import Adapter, Device, DeviceMapChoice, HostChoice, QuantizationChoice, Threads, refuse_empty
from himmel.errors import UsageError

if TYPE_CHECKING:
    from himmel.serving.server.app import Settings
    from himmel.serving.server.limits import Limits

_KEYS = "HIMMEL_API_KEYS"
_MOST_KEY_BYTES = 2**20


def serve(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = "127.0.0.1:8000",
    host: HostChoice = None,
    adapter: Adapter = None,
    device: Device = None,
    device_map: DeviceMapChoice = None,
    quantization: QuantizationChoice = None,
    threads: Threads = None,
    api_keys: Annotated[
        Path | None,
        typer.Option(help=f"File with one API key a line. Default: {_KEYS} (commas between), or else no key."),
    ] = None,
    media: Annotated[
        list[Path] | None, typer.Option(help="Folder whose files may be named by file:. Repeat for several.")
    ] = None,
    fetch_from: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST[:PORT]", help="Host that http: and https: may name. Repeat for several."),
    ] = None,
    fetch_network: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Addresses such as 10.0.0.0/8 that may be reached although not public."),
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SOURCE",
            help="Stream whose last minutes may be asked about as live:NAME; sources as of `himmel watch`. Repeat.",
        ),
    ] = None,
    spool: Annotated[
        Path | None, typer.Option(help="Folder for uploads and downloads. Default: the system's temporary folder.")
    ] = None,
    cache: Annotated[
        int, typer.Option(min=0, max=2**30, help="Memory for what was read and prepared of videos, in MB.")
    ] = 512,
    prompt_cache: Annotated[
        int,
        typer.Option(min=0, max=2**30, help="Memory for what the language model has read of videos, in MB; 0: none."),
    ] = 512,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A limit, such as requests=64; docs/serving.md lists all. Repeat."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            callback=refuse_empty,
            help="Serve on a Ray cluster: auto, HOST:PORT, ray://HOST:PORT, or local to start one here.",
        ),
    ] = None,
    replicas: Annotated[
        str | None,
        typer.Option(
            metavar="MIN[:MAX]",
            help="With --ray: how many processes load the model and answer; between MIN and MAX by load. Default: 1.",
        ),
    ] = None,
    replica_cpus: Annotated[
        float | None, typer.Option(min=0, help="With --ray: processors for each replica. Default: 1.")
    ] = None,
    replica_gpus: Annotated[
        float | None, typer.Option(min=0, help="With --ray: GPUs for each replica; 0.5 shares one. Default: 0.")
    ] = None,
) -> None:
    """Answer questions over HTTP as OpenAI's API does; every method of `himmel ask` is a model."""
    for folder in media or [] if ray is None else []:
        if not folder.is_dir():
            raise UsageError(f"There is no folder {str(folder)!r}; name one that exists (--media).")
    if ray is not None and watch:
        raise UsageError("--watch is for one server; on a cluster (--ray), every replica would follow the same source.")
    networks = tuple(_network(text) for text in fetch_network or [])
    keys = _read_keys(api_keys)
    _check_together(ray, replicas, replica_cpus, replica_gpus, device, device_map)
    quieten()
    from himmel.serving.server.watched import read_watched

    watched = read_watched(watch or [])
    from himmel.serving.server.app import Settings
    from himmel.serving.server.listening import read_address

    settings = Settings(
        limits=_limits(limit or []),
        api_keys=keys,
        media=tuple(folder.absolute() for folder in media or ()),
        fetch_hosts=tuple(one.lower() for one in fetch_from or ()),
        fetch_networks=networks,
        spool=spool,
        watch=watched,
        threads=threads,
    )
    loading: dict[str, Any] = {
        "host": host,
        "adapter": adapter,
        "device": device,
        "device_map": device_map,
        "quantization": quantization,
        "cache_bytes": cache * 2**20,
        "prompt_cache_bytes": prompt_cache * 2**20,
    }
    if ray is None:
        _serve_here(listen, loading, settings)
        return
    from himmel.serving.server.cluster import Replicas, serve_on
    from himmel.serving.server.replica import Orders

    gpus = replica_gpus or 0.0
    count = Replicas.parse(replicas or "1", cpus=1.0 if replica_cpus is None else replica_cpus, gpus=gpus)
    if not gpus:
        # A GPU that Ray was not asked for may be another's.
        loading["device"] = device or "cpu"
    loading |= {"host": _whole_path(host), "adapter": _whole_path(adapter)}
    name, _ = read_address(listen)
    _warn_if_open(name, settings.api_keys)
    orders = Orders.of(settings, session=loading, uploads=count.most == 1)
    serve_on(ray, listen=listen, orders=orders, replicas=count, say=_say)


def _serve_here(listen: str, loading: dict[str, Any], settings: "Settings") -> None:
    from himmel.methods.session import Session
    from himmel.serving.server import run
    from himmel.serving.server.listening import listen as open_listener

    session = Session(**loading)
    listener = open_listener(listen)
    name, port = listener.getsockname()[:2]
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}"
    _warn_if_open(name, settings.api_keys)
    _say(f"loading; {address} answers when it is ready.")
    server = run.Server(session, settings, started=lambda: _say(f"ready at {address}"))
    try:
        server.answer(listener)
    finally:
        # Threads that wait for a worker would be waited for.
        for child in multiprocessing.active_children():
            child.terminate()


def _say(said: str) -> None:
    typer.echo(f"himmel serve: {said}", err=True)


def _warn_if_open(name: str, keys: tuple[str, ...]) -> None:
    """Tell whoever listens for other machines without keys."""
    if keys:
        return
    try:
        alone = ipaddress.ip_address(name).is_loopback
    except ValueError:
        alone = name == "localhost"
    if not alone:
        _say("without API keys, whoever reaches this address is answered.")


def _check_together(
    ray: str | None,
    replicas: str | None,
    cpus: float | None,
    gpus: float | None,
    device: str | None,
    device_map: DeviceMap | None,
) -> None:
    if ray is None and (replicas, cpus, gpus) != (None, None, None):
        raise UsageError("--replicas, --replica-cpus and --replica-gpus are for a cluster; name one with --ray.")
    if ray is not None and not gpus and (device_map is not None or (device or "cpu") != "cpu"):
        raise UsageError("A replica gets no GPU of the cluster; say how many each takes with --replica-gpus.")


def _whole_path(name: str | Path | None) -> str | None:
    """A folder by its whole path, which other machines can have too; anything else as it is."""
    if name is None:
        return None
    return str(Path(name).absolute()) if Path(name).exists() else str(name)


def _limits(entries: list[str]) -> "Limits":
    from himmel.serving.server.limits import Limits

    given: dict[str, Any] = read_options(entries, {}, name="--limit", example="requests=64")
    known = [item.name for item in fields(Limits)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UsageError(f"There is no limit {unknown[0]!r}; there are {', '.join(known)}.")
    return Limits(**given)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no network ({error}); write one such as 10.0.0.0/8.") from error


def _read_keys(path: Path | None) -> tuple[str, ...]:
    """API keys of a file, or of the environment; never of the command line, which others can see."""
    if path is None:
        lines = os.environ.get(_KEYS, "").split(",")
    else:
        try:
            with path.open("rb") as file:
                lines = file.read(_MOST_KEY_BYTES).decode("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The API keys in {str(path)!r} cannot be read; name a text file.") from error
    keys = tuple(line.strip() for line in lines if line.strip())
    if path is not None and not keys:
        raise UsageError(f"{str(path)!r} holds no API key; write one a line.")
    return keys
