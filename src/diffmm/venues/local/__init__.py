"""What runs on this machine in a venue's place."""

from .feed import FULL_SPEED as FULL_SPEED, serve_tape as serve_tape, TAPE as TAPE
