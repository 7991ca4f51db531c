"""`python -m kerastune`: the same as the `kerastune` command."""

import sys

from kerastune.cli.entry import program

if __name__ == "__main__":
    sys.exit(program())
