"""`kerastune tune` from a checkout: python runs/tune.py --flagfile=flags/digits.flags."""

import sys

from kerastune.cli import entry

if __name__ == "__main__":
    sys.exit(entry.program(["tune", *sys.argv[1:]]))
