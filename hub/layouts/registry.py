"""The known layouts, and which one a source has."""

from hub.layouts.base import Layout, Tree, join
from hub.layouts.chest_xray_pneumonia import ChestXrayPneumonia
from hub.layouts.covid19_image_dataset import Covid19ImageDataset
from hub.layouts.covid19_radiography import Covid19RadiographyDatabase
from hub.layouts.covid_qu_ex import CovidQuEx
from hub.layouts.image_folder import ImageFolder
from hub.layouts.rsna import RsnaPneumonia
from space.errors import UsageError
from space.imaging.archives import Source

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        ChestXrayPneumonia(), Covid19ImageDataset(), CovidQuEx(), Covid19RadiographyDatabase(), RsnaPneumonia(),
        ImageFolder(),
    )
}  # fmt: skip


def check_layout(name: str | None) -> None:
    """Refuse the name of a layout that is not known; None is no name.

    Raises:
        UsageError: There is no layout of that name.
    """
    if name is not None and name not in LAYOUTS:
        raise UsageError(f"--layout {name!r} is unknown. Allowed: {', '.join(LAYOUTS)}.")


def recognise(source: Source, layout: str | None = None) -> tuple[Layout, str, Tree]:
    """Find out which layout a source has, by its structure.

    Args:
        source: Where the images are.
        layout: Name of a layout, to look for that one alone.

    Returns:
        The layout, the folder of the source in which it starts ("" for the top), and the source's files.

    Raises:
        UsageError: There is no layout of that name; the source has none of the layouts, or several, or one of them
            twice. The message lists what was looked for and what was found.
    """
    check_layout(layout)
    tree = Tree(source)
    candidates = [LAYOUTS[layout]] if layout else [known for known in LAYOUTS.values() if known.name != "image-folder"]
    found = [(candidate, root) for candidate in candidates for root in candidate.roots(tree)]
    if not found and not layout:
        fallback = LAYOUTS["image-folder"]
        found = [(fallback, root) for root in fallback.roots(tree)[:1]]
    if len(found) == 1:
        return *found[0], tree
    if found:
        listed = "; ".join(f"{candidate.name} in {root or 'the top folder'}" for candidate, root in found)
        raise UsageError(
            f"{source.title} has more than one possible layout: {listed}. Choose one with --layout, or give "
            "the folder that you mean."
        )
    looked_for = "; ".join(f"{known.name}: {known.structure}" for known in (candidates if layout else LAYOUTS.values()))
    raise UsageError(f"{source.title} has no known layout.\n  looked for: {looked_for}\n  found: {_contents(tree)}")


def _contents(tree: Tree, most: int = 12) -> str:
    """A few lines' worth of the first two levels of a source."""
    folders = sorted(f"{folder}/" for folder in tree.folders if folder and folder.count("/") < 2)
    files = sorted(join(folder, name) for folder in tree.files if "/" not in folder for name in tree.files[folder])
    found = folders + files
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return (", ".join(found[:most]) + more) or "no files"
