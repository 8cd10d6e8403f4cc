"""`himmel studio`: a local page on which one sees what the model sees, and asks it."""
