"""The figures in a model card: tables in Markdown, and their place between two marks."""

from __future__ import annotations

from collections.abc import Mapping

from facegpt.evaluation.audit import MEASURES

Figures = Mapping[str, Mapping[str, float]]

MEANINGS: Mapping[str, str] = {
    "faces": "faces",
    "found": "faces that the detector found",
    "photos": "photos",
    "unreadable": "photos that cannot be read",
    "nme_percent": "landmark NME, % of the outer eye distance",
    "nme_percent_median": "landmark NME, median, %",
    "rotation_deg": "head rotation, median degrees",
    "shape_mse": "shape: coefficient MSE, units of variance (1 is the mean face)",
    "surface_mse": "shape: surface MSE after alignment, units of variance (1 is the mean face)",
    "expression_mse": "expression MSE",
    "expression_mse_of_variance": "expression MSE, of its variance",
    "albedo_mse": "albedo MSE, units of variance",
    "psnr_db": "PSNR of the rendering, dB",
    "psnr_lit_db": "PSNR inside the face with the light fitted, dB",
    "psnr_mean_face_lit_db": "the same of the mean face at the same pose, dB",
    "psnr_gain_db": "gain over the mean face, dB",
    "psnr_gain_db_se": "its standard error, dB",
    "caption_agrees": "share of captions that agree strictly with the true parameters",
    "caption_statements": "statements a caption",
    "caption_statements_right": "share of statements that are true",
    "caption_agrees_with_own": "share of captions that agree strictly with the model's own parameters",
    "caption_agreement": "share of statements that fit the model's own parameters",
    "quality_rank_correlation": "rank correlation of quality with the error",
    "chat_right": "share of questions answered rightly",
    "chat_balanced": "the same over every question, put to as many faces of each answer",
    "chat_balanced_lowest": "the same of the question that is answered worst",
    "described_present": "text to 3D: share of named things that the face has",
    "described_wholly": "text to 3D: share of descriptions of which all is there",
    "described_by_mean_face": "text to 3D: share of named things that the mean face has",
    "imagined_shape_spread": "text to 3D: spread of shape between seeds",
    "poses": "faces whose pose is labelled",
    "yaw_error_deg": "yaw, mean absolute error, degrees",
    "pitch_error_deg": "pitch, mean absolute error, degrees",
    "roll_error_deg": "roll, mean absolute error, degrees",
    "action_auc_mean": "expression: mean ROC AUC of the most frequent actions",
    "actions": "expression: how many actions that is",
    "actions_of_auc_0.9": "expression: how many of them have an AUC of 0.9 or more",
    "surface_mm": "surface error, mm",
}
"""The meaning of each figure; names of figures of a bin, a part or an action begin as in `FAMILIES`."""

FAMILIES: Mapping[str, str] = {
    "nme_percent_px_": "landmark NME, %, faces of {} px",
    "nme_box_percent_yaw_": "landmark error, % of the size of their box, turned by {} degrees",
    "nme_percent_": "landmark NME, %, {}",
    "faces_px_": "found faces of {} px",
    "faces_yaw_": "faces turned by {} degrees",
    "found_yaw_": "found faces turned by {} degrees",
    "action_auc_": "ROC AUC of {}",
    "chat_balanced_": '"{}?", put to as many faces of each answer, answered rightly',
}


class CardError(ValueError):
    """An error for a card without a place for the figures; the message names what to add."""


def meaning(name: str) -> str:
    """Returns a figure's name in words; raises KeyError for one that is in neither `MEANINGS` nor `FAMILIES`."""
    if name in MEANINGS:
        return MEANINGS[name]
    for start, text in FAMILIES.items():
        if name.startswith(start):
            return text.format(name[len(start) :].replace("_", " to ").replace("to up", "or more"))
    raise KeyError(name)


def figures_table(figures: Figures) -> str:
    """Writes a Markdown table: a row for each figure, a column for each group; missing figures stay empty."""
    names = list(dict.fromkeys(name for values in figures.values() for name in values))
    rows = [
        [meaning(name), *(_number(values[name]) if name in values else "" for values in figures.values())]
        for name in names
    ]
    return _table(["measure", *figures], rows)


def audit_table(figures: Figures) -> str:
    """Writes a Markdown table of `facegpt.evaluation.audit.audit`: changes with standard errors by contrast."""
    header = [
        "the same faces, changed in",
        *(part for name in MEASURES for part in (meaning(name), "change")),
    ]
    header = [text.replace("median degrees", "degrees") for text in header]
    rows = []
    for contrast, values in figures.items():
        cells = [contrast]
        for name in MEASURES:
            change, error = values[f"{name}_change"], values[f"{name}_change_se"]
            cells += [_number(values[name]), f"{change:+.3g} ± {error:.2g}"]
        rows.append(cells)
    return _table(header, rows)


def marks(section: str) -> tuple[str, str]:
    """Returns the two lines between which a card holds the figures of `section`."""
    return f"<!-- facegpt evaluate {section}: begin -->", f"<!-- facegpt evaluate {section}: end -->"


def check_section(card: str, section: str) -> None:
    """Raises CardError unless `card` has the marks of `section`, each once and in order."""
    begin, end = marks(section)
    if card.count(begin) != 1 or card.count(end) != 1 or card.index(begin) > card.index(end):
        raise CardError(
            f"no place for the figures: where they should stand, add once the lines {begin} and {end}"
        )


def with_section(card: str, section: str, body: str) -> str:
    """Replaces what stands between the marks of `section` by `body`; raises CardError without marks."""
    check_section(card, section)
    begin, end = marks(section)
    return f"{card[: card.index(begin)]}{begin}\n\n{body.strip()}\n\n{card[card.index(end) :]}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    # A folder may be called anything; a bar in its name would begin another cell.
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"
