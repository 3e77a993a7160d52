"""DreamOmni2's networks: FLUX.1-Kontext out of its published folders. Requests are not known here."""
