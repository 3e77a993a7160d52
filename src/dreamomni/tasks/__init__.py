"""The words: what may be asked, what comes back, what a sample is. No torch, no models."""
