"""Scenes of stickers, shapes and words, with labels that are exact by construction."""
