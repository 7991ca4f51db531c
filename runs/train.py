"""`kerastune train` from a checkout: python runs/train.py --flagfile=digits-out/best.flags."""

import sys

from kerastune import cli

if __name__ == "__main__":
    sys.exit(cli.program(["train", *sys.argv[1:]]))
