"""Methods that shorten what the language model keeps of a video: its cache of keys and values."""
