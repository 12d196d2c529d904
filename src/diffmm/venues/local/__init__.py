"""What runs on this machine in a venue's place."""

from .feed import serve_tape as serve_tape
