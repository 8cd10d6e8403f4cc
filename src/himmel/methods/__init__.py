"""How a video and a question become a prompt, and what happens to it inside the language model."""
