"""transformers' Trainer on an order that is drawn already."""

from typing import Any

from torch.utils.data import Dataset, Sampler, SequentialSampler

from himmel.training.trainer import PartsTrainer


class CorpusTrainer(PartsTrainer):
    """A `PartsTrainer` that takes items one after another: processes share out each batch, and nothing is shuffled."""

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[Any]:
        return SequentialSampler(train_dataset or self.train_dataset)  # type: ignore[arg-type]
