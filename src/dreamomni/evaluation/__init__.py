"""Evaluation: images in, numbers with error bars out. No training, no serving, no model of its own."""
