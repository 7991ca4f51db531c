"""`kerastune train` from a checkout: python runs/train.py --flagfile=digits-out/best.flags."""

import sys

from kerastune.cli import entry

if __name__ == "__main__":
    sys.exit(entry.program(["train", *sys.argv[1:]]))
