"""How much happens in an interval, judged by what the codec itself spent there, before the adapter has run."""

from torch import Tensor

from himmel.model.sample import PreparedSample

_LUMA_RMS, _INTRA_SHARE = 0, 3


def predict_salience(sample: PreparedSample) -> list[float]:
    """Salience of each interval of one video: not negative, 1 in sum, or all 0 where nothing happens.

    The mean of three shares, each of the sum over all intervals: of the motion (mean magnitude of its channels over
    steps and cells), of the residual (mean luma RMS) and of intra-coded area. A signal that is 0 throughout has none.
    """
    signals = [
        _per_interval(sample.motion.abs().double().mean((2, 3, 4)), sample.step_mask),
        _per_interval(sample.residual[:, :, _LUMA_RMS].double().mean((2, 3)), sample.step_mask),
        _per_interval(sample.residual[:, :, _INTRA_SHARE].double().mean((2, 3)), sample.step_mask),
    ]
    shares = [signal / signal.sum() for signal in signals if float(signal.sum()) > 0]
    if not shares:
        return [0.0] * sample.num_intervals
    return [float(value) for value in sum(shares[1:], shares[0]) / len(shares)]


def _per_interval(values: Tensor, mask: Tensor) -> Tensor:
    """[N] mean of [N, F] values over an interval's own steps; 0 without steps."""
    return (values * mask).sum(1) / mask.sum(1).clamp(min=1)
