"""Hyperliquid: its wire format and its signatures.

Nothing is imported here: `signer` does without the typed messages that `codec` brings with it.
"""
