"""Models behind an OpenAI-compatible chat completions API: a hosted one, or a server of one's own."""

from himmel.evaluation.api.client import Api, ApiAnswer, ApiRefusalError, ApiTroubleError
from himmel.evaluation.api.money import Prices, Spending
from himmel.evaluation.api.settings import ApiSettings, find_key

__all__ = [
    "Api",
    "ApiAnswer",
    "ApiRefusalError",
    "ApiSettings",
    "ApiTroubleError",
    "Prices",
    "Spending",
    "find_key",
]
