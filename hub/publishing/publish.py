"""What a push does: collect a folder's files, check them, push them, check what arrived, and say so."""

import json
from pathlib import Path

from huggingface_hub import RepoCard

from hub.publishing.allowlist import Contents, collect, ready_card
from hub.publishing.preflight import check_dataset, check_run, verify_in_fresh_process
from hub.publishing.repository import Pushed, Target, check_arrived, check_model, check_token, push
from hub.publishing.space_bundle import BUNDLED, SPACE_CARD, build_bundle, pin_of, write_card
from space.errors import ChestXrayError, UsageError
from train.common.atomic_output import write_text_whole

SHOWN_FILES, SHOWN_LINES = 5, 4  # in a dry run


def gather(source: Path, target: Target, folder: Path) -> Contents:
    """Collect what is to be pushed.

    Args:
        source: Run folder, or dataset folder for a dataset.
        target: Where it is to go.
        folder: Empty; takes files that are written for the push, and must stay until it is over.

    Raises:
        UsageError: `source` is nothing that may be pushed.
    """
    if target.kind == "space":
        return build_bundle(source, folder)
    if target.kind == "model":
        check_run(source, target.public)
    else:
        check_dataset(source, target.public, target.licence)
    contents = collect(source, target.kind)
    if "README.md" not in contents.files:
        raise UsageError(f"{source} has no README.md. Nothing is pushed without a card.")
    return ready_card(contents, target.repo, folder, target.licence)


def publish(source: Path, target: Target, contents: Contents) -> None:
    """Push what was collected, check what arrived, and say so.

    Raises:
        UsageError: There is no token, or it may not write there.
        ChestXrayError: Something does not check out, before or after, or the Hub failed.
    """
    check_token()
    pin = pin_of(source) if target.kind == "space" else None
    private = bool(pin) and check_model(pin["model"], pin["revision"])
    if pin:
        write_card(source, contents.files["README.md"], private)  # now that the Hub has said so
    verify = verify_in_fresh_process if target.kind == "model" else None
    if verify:
        verify(source)
    pushed = push(target, contents, f"{source.resolve().name}: {target.kind} and card")
    try:
        check_arrived(target, pushed.commit, contents, verify)
    except KeyboardInterrupt:
        raise ChestXrayError(f"interrupted: commit {pushed.commit} was pushed, but not checked. Push again.") from None
    if target.kind != "space" and source.resolve() != BUNDLED:  # which ships in every Space
        _record_push(source, target, pushed)
    print(f"{'pushed' if pushed.is_new else 'nothing new to push'}: {pushed.url}")
    print(f"commit {pushed.commit}, checked by downloading it; {'public' if pushed.public else 'private'}")
    if target.public and not pushed.public:
        print("note: the repository was private before and stays private; its settings on the Hub can make it public")
    if private:
        print(f"note: {pin['model']} is private. In the Space's settings, add a secret HF_TOKEN that can read it.")


def print_plan(source: Path, target: Target, contents: Contents) -> None:
    """Summarise what would be pushed: where to, how much, the largest files, what stays here, how the card opens."""
    sizes = {name: path.stat().st_size for name, path in contents.files.items()}
    print(f"would push to {target.repo} ({target.kind}, {'public' if target.public else 'private'}), ", end="")
    print(f"branch {target.revision or 'main'}: {len(sizes):,} files, {sum(sizes.values()):,} bytes")
    for name in sorted(sizes, key=sizes.get, reverse=True)[:SHOWN_FILES]:
        print(f"  {sizes[name]:>14,}  {name}")
    if len(sizes) > SHOWN_FILES:
        print(f"  and {len(sizes) - SHOWN_FILES:,} smaller files")
    if contents.left_out:
        more = len(contents.left_out) - SHOWN_FILES
        print(f"left out: {', '.join(contents.left_out[:SHOWN_FILES])}{f' and {more:,} more' if more > 0 else ''}")
    print(f"card: {SPACE_CARD if target.kind == 'space' else source / 'README.md'}, which begins:")
    text = RepoCard(contents.files["README.md"].read_text(encoding="utf-8"), ignore_metadata_errors=True).text
    for line in [line for line in text.splitlines() if line][:SHOWN_LINES]:
        print(f"  {line}")


def _record_push(folder: Path, target: Target, pushed: Pushed) -> None:
    """Write pushed.json: where the folder lies on the Hub; the Space and cards pin that commit."""
    facts = {"repo": target.repo, "kind": target.kind, "commit": pushed.commit, "url": pushed.url}
    facts |= {"revision": target.revision, "tag": target.tag, "public": pushed.public}
    write_text_whole(folder / "pushed.json", json.dumps(facts, indent=2) + "\n")
