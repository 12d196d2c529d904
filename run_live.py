"""The engine on a streamed market, in shadow mode: the same as `diffmm live`."""

import sys

from diffmm.cli import main


if __name__ == "__main__":
    sys.exit(main(["live", *sys.argv[1:]]))
