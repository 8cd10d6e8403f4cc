"""Models behind an OpenAI-compatible chat completions API: a hosted one, or a server of one's own.

Only `client`, and what imports it, needs the extra `api`.
"""
