"""Phrases: from plans to captions and instructions."""
