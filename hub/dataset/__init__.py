"""From the files of a layout to a dataset folder: read, split, stripped of metadata, written as parquet.

May import: space, space.imaging, train.common, train.data, hub.layouts.
"""
