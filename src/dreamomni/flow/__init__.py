"""The math of rectified flow: path, timesteps, schedule, solvers, guidance, noise. It knows no network.

Everywhere in this package sigma is the share of noise: 1 is noise, 0 is data; sampling goes from 1 to 0.
"""
