"""`python -m diffmm.cli`."""

import sys

from . import main


sys.exit(main())
