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
from train.common.arguments import did_you_mean

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
        hint = did_you_mean(name, LAYOUTS)
        raise UsageError(f"--layout {name} is not known{hint or '.'} Allowed: {', '.join(LAYOUTS)}.")


def recognise(source: Source, layout: str | None = None) -> tuple[Layout, str, Tree]:
    """Find out which layout a source has, by its structure.

    Args:
        source: Where the images are.
        layout: Name of a layout, to look for that one alone.

    Returns:
        The layout, the folder of the source in which it starts ("" for the top), and the source's files.

    Raises:
        UsageError: There is no layout of that name; the source has none of the layouts, or several, or one of them
            twice.
    """
    check_layout(layout)
    tree = Tree(source)
    candidates = [LAYOUTS[layout]] if layout else [other for other in LAYOUTS.values() if other.name != "image-folder"]
    matches = [(candidate, root) for candidate in candidates for root in candidate.roots(tree)]
    if not matches and not layout:
        fallback = LAYOUTS["image-folder"]
        matches = [(fallback, root) for root in fallback.roots(tree)[:1]]
    if len(matches) == 1:
        return *matches[0], tree
    if matches:
        listed = "; ".join(f"{candidate.name} in {root or 'the top folder'}" for candidate, root in matches)
        raise UsageError(
            f"{source.title} has more than one possible layout: {listed}. Choose one with --layout, or give "
            "the folder that you mean."
        )
    if layout:
        structure = LAYOUTS[layout].structure
        raise UsageError(f"{source.title} does not have the layout {layout}, {structure}. It holds {_contents(tree)}.")
    allowed = "".join(f"\n  {other.name}: {other.structure}" for other in LAYOUTS.values())
    raise UsageError(
        f"{source.title} has no known layout. It holds {_contents(tree)}. Give a folder or zip like one of:{allowed}"
    )


def _contents(tree: Tree, most: int = 12) -> str:
    """The names in the first two levels of a source, the first `most` of them."""
    folders = sorted(f"{folder}/" for folder in tree.folders if folder and folder.count("/") < 2)
    files = sorted(join(folder, name) for folder in tree.files if "/" not in folder for name in tree.files[folder])
    names = folders + files
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "no files"
