"""Several datasets as one: harmonised classes, copies across sources dropped, tests kept clean.

May import: space, space.imaging, train.common, train.config, train.data, hub.layouts, hub.dataset, hub.auditing.
"""
