"""Which methods a loaded model can be asked by."""

from himmel.errors import HimmelError
from himmel.methods.choice import METHODS
from himmel.methods.session import Session


def askable_methods(session: Session) -> tuple[str, ...]:
    """Names of the methods that a session can be asked by; their models are loaded, with an adapter or without.

    Raises:
        HostError: a model cannot be loaded.
    """
    names = []
    for name, kind in METHODS.items():
        method = kind()
        try:
            session.reading(method)
        except HimmelError:
            # It needs an adapter of another kind, or one at all.
            continue
        session.host_of(method)
        names.append(str(name))
    return tuple(names)
