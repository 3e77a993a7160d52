"""Networks on one device: the DreamOmni transformer, its autoencoder and its vision-language encoder."""
