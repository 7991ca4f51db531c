"""Settings of the whole test run: quiet TensorFlow, no display for pictures."""

import os
import signal

# Under `nohup` it is ignored, by commands that a test starts and stops, too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
