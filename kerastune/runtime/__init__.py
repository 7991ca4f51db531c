"""The process: devices, logs, signals, locks; knows nothing of the rest."""
