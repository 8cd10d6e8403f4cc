"""A stand-in for the package mamba_ssm without a GPU: the same names and arguments, bodies in plain torch."""

CALLS: list[str] = []
