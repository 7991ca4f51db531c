"""Reads one kind of source each: csv, npz, folders of images, data sets by name."""
