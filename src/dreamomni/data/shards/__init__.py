"""Data sets as tar shards: what a sample is as files, how shards are written whole, and how they are read."""
