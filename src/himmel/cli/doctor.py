"""`himmel doctor`: what works on this machine."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from himmel._install import GET_ENGINE, NO_ENGINE, get_extra
from himmel._progress import working
from himmel._versions import ENGINE
from himmel.cli.console import Column, print_json, print_rows, print_table
from himmel.cli.options import Json

if TYPE_CHECKING:
    from himmel._doctor import Diagnosis


def doctor(as_json: Json = False) -> None:
    """Find out what works on this machine: versions, codecs, backends, devices, cache."""
    from himmel._doctor import diagnose

    with working("Trying each codec"):
        diagnosis = diagnose()
    if as_json:
        print_json(asdict(diagnosis))
    else:
        print_diagnosis(diagnosis)


def print_diagnosis(diagnosis: "Diagnosis") -> None:
    """Print what works here."""
    found = ", ".join(f"{device.name} ({device.description})" for device in diagnosis.devices)
    missing = (name for name, there in diagnosis.extras.items() if not there)
    works = ", ".join(verb for verb, lacks in diagnosis.lacks.items() if not lacks)
    waits = (f"{verb}: needs {' and '.join(lacks)}" for verb, lacks in diagnosis.lacks.items() if lacks)
    ready = "is there" if diagnosis.host_ready else "is not there yet; run `himmel nano get` to fetch it"
    print_rows(
        {
            "works": works,
            "not yet": "\n".join(waits),
            "versions": ", ".join(f"{name} {version}" for name, version in diagnosis.versions.items()),
            "devices": f"{found}; {diagnosis.threads} threads" if found else "none that torch can use",
            "extras": "\n".join(f"{name} is not installed; {get_extra(name)} installs it" for name in missing)
            or "all are installed",
            "bitstream": _engine_row(diagnosis),
            "host": f"{diagnosis.host_folder} {ready}",
            "files": "\n".join(f"{folder} is damaged: {how}" for folder, how in diagnosis.damage.items())
            or "all files in the cache are undamaged",
        }
    )
    columns = [Column("codec", whole=True, text=True), Column("backend", whole=True, text=True), Column("vectors")]
    print_table(
        [*columns, Column("why", text=True)],
        [(one.codec, one.backend or "none", f"{one.num_vectors:,}", one.note) for one in diagnosis.codecs],
    )


def _engine_row(diagnosis: "Diagnosis") -> str:
    version = diagnosis.versions.get(ENGINE)
    if version is None:
        return f"{NO_ENGINE}: vectors of H.264 come from FFmpeg, slower and without exact distances; {GET_ENGINE}"
    return f"himmel's engine, {version}, parses H.264 without decoding it"
