"""`python -m kerastune`: the same as the `kerastune` command."""

import sys

from kerastune.cli import main

if __name__ == "__main__":
    sys.exit(main())
