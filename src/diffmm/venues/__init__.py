"""Venues: codecs, clients, recorders; bytes in, typed messages out."""
