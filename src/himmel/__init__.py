"""HY-Himmel: a video language model that sees motion without decoding every frame."""
