"""`himmel studio`: a local page on which one sees what the model sees of a video, and asks it."""

import ipaddress
import multiprocessing
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from himmel.cli.console import quieten
from himmel.cli.options import Adapter, Device, DeviceMapChoice, HostChoice, QuantizationChoice, Threads

if TYPE_CHECKING:
    from himmel.methods.session import Session


def studio(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = "127.0.0.1:7860",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Name by which the page may be called besides localhost. Repeat for several."
        ),
    ] = None,
    host: HostChoice = None,
    adapter: Adapter = None,
    device: Device = None,
    device_map: DeviceMapChoice = None,
    quantization: QuantizationChoice = None,
    threads: Threads = None,
) -> None:
    """Open a page in the browser: a video's anchors, motion and residual, and answers with and without motion."""
    from himmel.serving.server.listening import listen as open_listener
    from himmel.serving.studio.run import StudioServer, StudioSettings, open_browser

    def make_session() -> "Session":
        quieten()
        from himmel.methods.session import Session

        return Session(host=host, adapter=adapter, device=device, device_map=device_map, quantization=quantization)

    listener = open_listener(listen)
    reached, port = listener.getsockname()[:2]
    address = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}/"
    if not ipaddress.ip_address(reached).is_loopback:
        typer.echo("himmel studio: whoever reaches this address can send videos and ask the model.", err=True)

    def started() -> None:
        typer.echo(f"himmel studio: ready at {address} (Ctrl-C ends it)", err=True)
        if browser:
            threading.Thread(target=open_browser, args=(address,), daemon=True).start()

    server = StudioServer(make_session, StudioSettings(names=tuple(name or ()), threads=threads), started=started)
    try:
        server.answer(listener)
    finally:
        # Threads that wait for a worker would be waited for.
        for child in multiprocessing.active_children():
            child.terminate()
