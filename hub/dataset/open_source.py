"""A folder, a zip or a Kaggle dataset, opened for reading."""

from pathlib import Path

from space.errors import ChestXrayError, UsageError, first_line
from space.imaging.archives import Folder, Source, Zip, is_zip


def open_source(source: str) -> Source:
    """Open what a user named as the source of a conversion.

    Args:
        source: A folder, a .zip file, or `kaggle:owner/name`; `kaggle:competitions/name` for a competition's data.

    Raises:
        UsageError: There is no such thing, or kagglehub is not installed.
        ChestXrayError: The zip is damaged or hostile, or Kaggle did not hand the dataset out.
    """
    if source.startswith("kaggle:"):
        return Folder(_download(source.removeprefix("kaggle:")))
    path = Path(source)
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise UsageError(f"{source} does not exist. Give a folder, a .zip file, or kaggle:OWNER/NAME.")
    if not is_zip(path):
        raise UsageError(f"{source} is neither a folder nor a zip. Give one of these, or kaggle:OWNER/NAME.")
    return Zip(path)


def _download(slug: str) -> Path:
    try:
        import kagglehub  # optional: only this kind of source needs it
    except ImportError:
        raise UsageError(
            f"kaggle:{slug} needs the package kagglehub: pip install kagglehub. Or download the dataset in a browser "
            f"and give its zip."
        ) from None
    from kagglehub.exceptions import (
        CredentialError,
        DataCorruptionError,
        KaggleApiHTTPError,
        UnauthenticatedError,
    )
    from requests.exceptions import RequestException

    competition = slug.removeprefix("competitions/")
    fetch = kagglehub.dataset_download if competition == slug else kagglehub.competition_download
    try:
        return Path(fetch(competition))
    except (CredentialError, UnauthenticatedError, DataCorruptionError, KaggleApiHTTPError, RequestException) as error:
        what = f"Kaggle did not hand out {slug}: {first_line(error)}"
    except ValueError as error:
        raise UsageError(f"kaggle:{slug} is no slug: {first_line(error)} Give kaggle:OWNER/NAME.") from None
    raise ChestXrayError(
        f"{what} Is the name right, is there a network, and, for data that ask for it, did you accept the rules on "
        "kaggle.com and log in (`kaggle.json` or KAGGLE_API_TOKEN)? Or download the zip in a browser and give that."
    )
