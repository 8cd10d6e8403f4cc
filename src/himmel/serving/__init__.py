"""The faces that other programs talk to: models for evaluation harnesses."""
