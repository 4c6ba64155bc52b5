"""How the files of each known dataset are laid out, what its labels mean, who to cite. A new layout goes here.

May import: space, space.imaging, train.common.
"""
