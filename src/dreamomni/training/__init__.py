"""Gradients, optimizers, and runs that resume. Inference is never imported; it comes in as hooks."""
