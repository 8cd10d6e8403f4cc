"""The vision-language models behind one protocol (design, section 2: knows transformers, knows no adapter)."""
