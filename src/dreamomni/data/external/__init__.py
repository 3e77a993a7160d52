"""A user's own pictures and words as training samples, however they are stored."""
