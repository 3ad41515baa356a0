"""`python -m kallima` is the command, for torchrun and for where scripts are not on the path."""

import sys

from kallima.cli import main

if __name__ == "__main__":
    sys.exit(main())
