"""`kerastune tune` from a checkout: python runs/tune.py --flagfile=flags/digits.flags."""

import sys

from kerastune import cli

if __name__ == "__main__":
    sys.exit(cli.program(["tune", *sys.argv[1:]]))
