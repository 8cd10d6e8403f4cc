"""`himmel serve`: an OpenAI-compatible server over one session."""
