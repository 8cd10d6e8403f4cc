"""The embedded default host, all that is its own: configuration, network, how it is joined, its side of `Host`."""

from himmel.hosts.nano.configuration import NanoConfig
from himmel.hosts.nano.host import NanoHost
from himmel.hosts.nano.modeling import NanoForConditionalGeneration

__all__ = ["NanoConfig", "NanoForConditionalGeneration", "NanoHost"]
