"""The embedded default host and the rendered clips that it is trained and measured on."""
