"""The CSV files of the reference: who writes and reads each, and what its columns mean."""

from __future__ import annotations

from dataclasses import dataclass

from docs.tools import sources


@dataclass(frozen=True)
class CsvFile:
    """A file with its columns in order, taken from the code, and their meaning."""

    name: str
    purpose: str
    columns: tuple[str, ...]
    meanings: dict[str, str]


_FILENAME = "Path of the image, relative to the data set, with `/` between folders."
_LABEL = "`left`, `center` or `right`: the side from which the light comes, as the viewer sees it."
_PROBABILITIES = {
    f"p_{side}": f"Probability that the light comes from the {where}, from 0 to 1."
    for side, where in (("left", "left"), ("center", "front"), ("right", "right"))
}
_ANGLES = {
    "yaw_deg": "Angle to the side in degrees; positive towards the viewer's right.",
    "pitch_deg": "Angle up or down in degrees; positive upwards.",
    "roll_deg": "Tilt in degrees; positive clockwise, as the viewer sees it.",
}

CSV_FILES = (
    CsvFile(
        "labels.csv",
        "Written by `export labels` and by `consensus refresh --out`. Read by `rotation run`, "
        "`classifier fit` and `report mean-faces`. A reader needs only `filename` and `label`.",
        sources.LABEL_COLUMNS,
        {
            "image_id": "Number of the image in the database.",
            "filename": _FILENAME,
            "label": f"{_LABEL} Empty where none is decided.",
            **_PROBABILITIES,
            "votes_left": "Current votes for left.",
            "votes_center": "Current votes for center.",
            "votes_right": "Current votes for right.",
            "votes_unsure": "Current votes for unsure.",
            "status": "`open`, `agreed` or `contested`: what the votes say.",
            "source": "`votes` or `proposal`: where the label comes from.",
            "method": "Rule that decided the status, with its version.",
        },
    ),
    CsvFile(
        "votes.csv",
        "Written by `export votes`: one row for each vote that was ever stored.",
        sources.VOTE_COLUMNS,
        {
            "image_id": "Number of the image in the database.",
            "filename": _FILENAME,
            "annotator": "Pseudonym of the person.",
            "answer": "`left`, `center`, `right` or `unsure`.",
            "created_at": "When the vote was stored, in UTC.",
            "elapsed_ms": "Time between seeing the image and answering, in milliseconds.",
            "mode": "How the vote was given.",
            "blind": "`true` where no proposal was shown.",
            "proposal_shown": "The label that the model proposed to the person; empty if none.",
            "model_run_id": "Number of the model run that proposed it.",
            "superseded_at": "When the person changed or undid the vote; empty while it counts.",
            "proposal_withheld": "The proposal that a blind vote was not shown; empty if none.",
            "planted": "`true` where the proposal was wrong on purpose, on an image with a known "
            "answer.",
            "mirrored": "`true` where the person saw the image mirrored. The labels in the row are "
            "of the image as it is.",
        },
    ),
    CsvFile(
        "proposals.csv",
        "Written by `classifier predict`, read by `classifier evaluate`.",
        sources.PROPOSAL_COLUMNS,
        {
            "filename": _FILENAME,
            **_PROBABILITIES,
            "azimuth_deg": "Where the light comes from, in degrees: 0 is the camera, negative the "
            "viewer's left. Empty without a face.",
            "azimuth_spread_deg": "Standard deviation of the azimuth.",
            "strength": "How much darker the darker half of the face is, 0 (equal) to 1 (black).",
            "n_faces": "How many faces were found; 0: the probabilities are equal.",
        },
    ),
    CsvFile(
        "poses.csv",
        "Written by `rotation poses`. Read by `rotation run --poses`, `images poses` and "
        "`report mean-faces`. A reader needs only `filename` and `yaw_deg`.",
        (*sources.POSE_COLUMNS, sources.CONTENT_COLUMN),
        {
            "filename": _FILENAME,
            **_ANGLES,
            "confidence": "How far the pose can be trusted, from 0 to 1.",
            sources.CONTENT_COLUMN: "Size and CRC-32 of the image on which the pose was measured. "
            "Not in files that are made from a file of landmarks.",
        },
    ),
    CsvFile(
        "truth.csv",
        "Written by `rotation synthesize` beside the rendered heads.",
        sources.TRUTH_COLUMNS,
        {
            "filename": _FILENAME,
            "identity": "Number of the person, counted from 1 within the data set.",
            **_ANGLES,
            "light_azimuth_deg": "Direction of the light to the side, in degrees.",
            "light_elevation_deg": "Direction of the light upwards, in degrees.",
            "light_strength": "Strength of the directed light.",
            "light": "`left`, `center`, `right`, or `boundary` where it is too close to tell.",
        },
    ),
)
