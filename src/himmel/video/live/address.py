"""Where a live video comes from: a file, a playlist on the disk, or an address on the network."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av

from himmel.errors import UsageError, VideoError
from himmel.video.file.source import check_file, show

# More than one letter before the colon: with one it is a drive.
_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]+)://(.+)", re.IGNORECASE | re.DOTALL)
_PASSWORD: Final = re.compile(r"(?<=://)[^/@\s]*@")
_PLAYLIST: Final = b"#EXTM3U"
# What FFmpeg may open on behalf of each kind of source: a playlist from the network must not name files of this disk.
_WEB: Final = "http,https,httpproxy,tcp,tls,crypto,data"
_RTSP: Final = "rtsp,rtsps,rtp,srtp,udp,tcp,tls"
_PROTOCOLS: Final = {
    "http": _WEB,
    "https": _WEB,
    "rtsp": _RTSP,
    "rtsps": _RTSP,
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "tcp": "tcp",
    "udp": "udp",
}
# A stream that is joined between two keyframes does not tell its pictures' size before the next: FFmpeg's limits of
# microseconds and bytes for finding that out are too small where keyframes are rare.
_PROBING: Final = {"analyzeduration": "20000000", "probesize": "50000000"}
# The first libavformat (of FFmpeg 8) that hands RTSP's options on to TLS; those before it say nothing and trust anyone.
_CHECKS_RTSPS: Final = 62


@dataclass(frozen=True)
class Address:
    """Where a live video comes from.

    Attributes:
        text: what FFmpeg opens, or the file's path.
        shown: what messages call it: without the user's name and password, quoted.
        grows: it is a file that is read as it grows, not by FFmpeg's own protocols.
        remote: it is on the network.
        options: FFmpeg's, by name.
    """

    text: str
    shown: str
    grows: bool
    remote: bool
    options: dict[str, str]

    @classmethod
    def of(cls, source: str | os.PathLike[str], options: dict[str, str]) -> "Address":
        """Tell a file, a playlist and an address apart.

        Args:
            source: as the user gave it.
            options: of the user, which go before those that are chosen here.

        Raises:
            UsageError: it is no text, of a kind that cannot be followed, or a certificate is to be checked that this
                FFmpeg would not check.
            VideoError: there is no such file.
        """
        if not isinstance(source, str | os.PathLike):
            raise UsageError(f"{source!r} is nothing that can be watched; give a path or an address.")
        text = os.fspath(source)
        found = _ADDRESS.fullmatch(text)
        if found is None or found[1].lower() == "file":
            return _on_disk(text if found is None else found[2], options)
        scheme, shown = found[1].lower(), show(_PASSWORD.sub("", text))
        if scheme not in _PROTOCOLS:
            raise UsageError(
                f"{shown} cannot be watched: himmel follows files and addresses that begin with"
                f" {', '.join(f'{name}://' for name in _PROTOCOLS)}."
            )
        if scheme == "rtsps" and options.get("tls_verify", "0") != "0" and not _checks_rtsps():
            raise UsageError(
                f"{shown} cannot be watched with tls_verify={options['tls_verify']}: FFmpeg before 8, which PyAV"
                f" {av.__version__} brings, does not check certificates of rtsps; install PyAV 16 or later."
            )
        # Over UDP, which FFmpeg would try first, pictures arrive with holes.
        usual = {"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {}
        return cls(text, shown, False, True, {"protocol_whitelist": _PROTOCOLS[scheme], **_PROBING, **usual, **options})


def _checks_rtsps() -> bool:
    return av.library_versions["libavformat"][0] >= _CHECKS_RTSPS


def _on_disk(text: str, options: dict[str, str]) -> Address:
    path = Path(text)
    try:
        check_file(path)
    except VideoError:
        # One that was empty has only just been made, and may have grown by now.
        if not (os.path.isfile(path) and os.access(path, os.R_OK)):
            raise
    with path.open("rb") as file:
        is_playlist = file.read(len(_PLAYLIST)) == _PLAYLIST
    named = {"protocol_whitelist": "file,crypto,data", **_PROBING, **options}
    if not is_playlist:
        return Address(text, show(text), True, False, named)
    # The protocol is named so that a file called "http:x" or "concat:y" is still a file.
    return Address(f"file:{path.absolute()}", show(text), False, False, named)
