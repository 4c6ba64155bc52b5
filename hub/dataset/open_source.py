"""A folder, a zip or a Kaggle dataset, opened for reading."""

from pathlib import Path

from space.errors import ChestXrayError, UsageError, first_line
from space.imaging.archives import Folder, Source, Zip, is_zip, refuse_other_archives


def open_source(source: str) -> Source:
    """Open what a user named as the source of a conversion.

    Args:
        source: A folder, a .zip file, or `kaggle:owner/name`; `kaggle:competitions/name` for a competition's data.

    Raises:
        UsageError: There is no such thing, it is an archive of another kind, or kagglehub is not installed.
        ChestXrayError: The zip is damaged or hostile, or Kaggle did not deliver the dataset.
    """
    if source.startswith("kaggle:"):
        return Folder(_download(source.removeprefix("kaggle:")))
    check_exists(source)
    path = Path(source)
    if path.is_dir():
        return Folder(path)
    refuse_other_archives(path)
    if not is_zip(path):
        raise UsageError(f"{source} is neither a folder nor a zip. Give one of these, or kaggle:OWNER/NAME.")
    return Zip(path)


def check_exists(source: str) -> None:
    """Refuse a source that is neither there nor on Kaggle.

    Raises:
        UsageError: There is no such file or folder.
    """
    if not source or not (source.startswith("kaggle:") or Path(source).exists()):  # Path("") is the current folder
        raise UsageError(f"{source or repr(source)} does not exist. Give a folder, a .zip file, or kaggle:OWNER/NAME.")


def _download(slug: str) -> Path:
    try:
        import kagglehub  # optional: only this kind of source needs it
    except ImportError:
        raise UsageError(
            f"kaggle:{slug} needs the package kagglehub (pip install kagglehub). Or download the zip in a browser and "
            "give its path."
        ) from None
    from kagglehub.exceptions import (
        CredentialError,
        DataCorruptionError,
        KaggleApiHTTPError,
        UnauthenticatedError,
    )
    from requests.exceptions import RequestException

    name = slug.removeprefix("competitions/")
    fetch = kagglehub.dataset_download if name == slug else kagglehub.competition_download
    try:
        return Path(fetch(name))
    except (CredentialError, UnauthenticatedError, DataCorruptionError, KaggleApiHTTPError, RequestException) as error:
        raise ChestXrayError(
            f"Kaggle did not deliver {slug}: {first_line(error)} Check the name and the network. For some datasets you "
            "must accept the rules on kaggle.com and log in (`kaggle.json` or KAGGLE_API_TOKEN). Or download the zip "
            "in a browser and give its path."
        ) from None
    except ValueError as error:
        raise UsageError(
            f"kaggle:{slug} is not the name of a dataset on Kaggle: {first_line(error)} Give kaggle:OWNER/NAME."
        ) from None
