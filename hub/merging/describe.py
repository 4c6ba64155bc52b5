"""What audit.json and the card say of how datasets became one."""

from collections.abc import Sequence
from pathlib import Path

from hub.auditing.audit_file import Merge, MergedSource
from hub.dataset.splits import Fractions
from hub.merging.decisions import Decisions, count_dropped
from hub.merging.licences import strictest
from hub.merging.merge_map import SourcePlan
from hub.merging.sources import MergeSource, Place


def describe_merge(
    sources: Sequence[MergeSource],
    plans: Sequence[SourcePlan],
    places: Sequence[Place],
    decisions: Decisions,
    fractions: Fractions,
    **facts: str | dict,
) -> Merge:
    """Write up a merge.

    Args:
        sources: The datasets.
        plans: How each went into the merge.
        places: Where each image comes from.
        decisions: What became of each image.
        fractions: Sizes and seed of the splits that were cut.
        facts: `title`, `labels`, `columns` and `masks` of the whole.
    """
    conversions = [source.audit.conversion for source in sources if source.audit.conversion]
    return Merge(
        **facts,
        license=strictest(source.license for source in sources),
        sources=_sources(sources, plans, decisions, places),
        fractions={"validation": fractions.validation, "test": fractions.test},
        seed=fractions.seed,
        moved=decisions.moved,
        test_copies=decisions.test_copies,
        test_conflicts=decisions.test_conflicts,
        shared_keys=sum(conversion.shared_keys for conversion in conversions),
        names_kept=any(conversion.names_kept for conversion in conversions),
        about=_joined_about(sources, plans),
    )


def _sources(
    sources: Sequence[MergeSource], plans: Sequence[SourcePlan], decisions: Decisions, places: Sequence[Place]
) -> list[MergedSource]:
    """What audit.json and the card say of the sources."""
    described = []
    for number, (source, plan) in enumerate(zip(sources, plans, strict=True)):
        layout = source.layout
        described.append(
            MergedSource(
                dataset=Path(plan.name).name if source.dataset.is_local else plan.name,
                origin=plan.origin,
                hospital=plan.hospital,
                title=plan.title or str(source.card.get("pretty_name") or plan.name),
                license=source.license,
                license_note=layout.license_note if layout and layout.license == source.license else "",
                citation=plan.citation or str(source.card.get("citation") or ""),
                link=layout.link if layout else "",
                problems=list(layout.problems) if layout else [],
                population=_about(source, plan).get("population", ""),
                note=plan.note,
                labels=plan.labels,
                copies_of=[plans[other].origin for other in sorted(plan.copies_of)],
                cut=decisions.cut[number],
                dropped=count_dropped(decisions, lambda i, number=number: places[i].source == number),
            )
        )
    return described


def _about(source: MergeSource, plan: SourcePlan) -> dict[str, str]:
    """What the publisher says of a source's images; of whom they are, the map says it better where it says it."""
    about = source.audit.conversion.about if source.audit.conversion else {}
    return about | ({"population": plan.population} if plan.population else {})


def _joined_about(sources: Sequence[MergeSource], plans: Sequence[SourcePlan]) -> dict[str, str]:
    """What the publishers say of their images, origin by origin: {"population", …: "kermany: …; radiography: …"}."""
    said: dict[str, list[str]] = {}
    for source, plan in zip(sources, plans, strict=True):
        for topic, text in _about(source, plan).items():
            said.setdefault(topic, []).append(f"{plan.origin}: {text}")
    return {topic: "; ".join(texts) for topic, texts in said.items()}
