"""Learning from annotated videos, pictures and texts, as `himmel.training.batches` does it from rendered clips."""
