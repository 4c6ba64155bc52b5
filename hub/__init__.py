"""Everything that crosses a border: Kaggle in, Hub out. `python -m hub.convert`, `hub.audit`, `hub.push`.

May import: space, train.
"""
