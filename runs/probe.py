"""`kerastune probe` from a checkout: python runs/probe.py --flagfile=flags/fashion_mnist.flags."""

import sys

from kerastune import cli

if __name__ == "__main__":
    sys.exit(cli.program(["probe", *sys.argv[1:]]))
