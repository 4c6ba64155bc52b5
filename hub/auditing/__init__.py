"""What is wrong with a dataset: shortcuts to the label, figures, and the card that says so.

May import: space, space.results, train.common, train.data, hub.layouts, hub.dataset.
"""
