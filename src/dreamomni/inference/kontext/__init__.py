"""DreamOmni2 for use: requests with any number of images, served by FLUX.1-Kontext and its LoRAs."""
