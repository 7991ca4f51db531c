"""Settings of the whole test run: quiet TensorFlow, no display for pictures."""

import os
import signal
import sys
from pathlib import Path

# Helpers, and what one test file takes from another, are found here and in processes of a test.
HERE = Path(__file__).parent
FOLDERS = sorted({str(path.parent) for path in HERE.rglob("*.py")} - {str(HERE)})
sys.path[:0] = FOLDERS
os.environ["PYTHONPATH"] = os.pathsep.join([*FOLDERS, os.environ.get("PYTHONPATH", "")])

# Under `nohup` and in the background they are ignored, by commands that a test stops, too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
