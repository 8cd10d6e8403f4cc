"""Measurements of this project, each one command; see the README for the figures they gave."""
