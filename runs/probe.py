"""`kerastune probe` from a checkout: python runs/probe.py --flagfile=flags/fashion_mnist.flags."""

import sys

from kerastune.cli import entry

if __name__ == "__main__":
    sys.exit(entry.program(["probe", *sys.argv[1:]]))
