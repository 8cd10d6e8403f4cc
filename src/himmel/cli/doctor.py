"""`himmel doctor`: what works on this machine."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markup import escape

from himmel._install import GET_ENGINE, NO_ENGINE, get_extra
from himmel._versions import ENGINE
from himmel.cli.console import console, plain_table, print_json, print_rows, progress
from himmel.cli.options import Json

if TYPE_CHECKING:
    from himmel._doctor import Diagnosis


def doctor(as_json: Json = False) -> None:
    """Find out what works on this machine: versions, codecs, backends, devices, cache."""
    from himmel._doctor import diagnose

    with progress("Trying each codec", quiet=as_json):
        diagnosis = diagnose()
    if as_json:
        print_json(asdict(diagnosis))
    else:
        print_diagnosis(diagnosis)


def print_diagnosis(diagnosis: "Diagnosis") -> None:
    """Print what works here."""
    found = ", ".join(f"{device.name} ({device.description})" for device in diagnosis.devices)
    missing = (name for name, there in diagnosis.extras.items() if not there)
    ready = "is there" if diagnosis.host_ready else "is not there yet; `himmel nano get` fetches it"
    print_rows(
        {
            "versions": ", ".join(f"{name} {version}" for name, version in diagnosis.versions.items()),
            "devices": f"{found}; {diagnosis.threads} threads" if found else "unknown without torch",
            "extras": "\n".join(f"{name} is not installed; {get_extra(name)} gets it" for name in missing)
            or "all are installed",
            "bitstream": _engine_row(diagnosis),
            "nano host": f"{diagnosis.host_folder} {ready}",
        }
    )
    table = plain_table("codec", "backend", "vectors", "why", left=("backend", "why"))
    for trial in diagnosis.codecs:
        table.add_row(trial.codec, trial.backend or "none", f"{trial.num_vectors:,}", escape(trial.note))
    console.print(table)


def _engine_row(diagnosis: "Diagnosis") -> str:
    version = diagnosis.versions.get(ENGINE)
    if version is None:
        return f"{NO_ENGINE}: vectors of H.264 come from FFmpeg, slower and without exact distances; {GET_ENGINE}"
    return f"himmel's engine, {version}, parses H.264 without decoding it"
