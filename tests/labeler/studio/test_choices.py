"""What a person chooses: checked, as JSON values, and as options of the engine."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from labeler.errors import InvalidInput
from labeler.rules.validation import RuleError
from labeler.studio.choices import ANGLES, TurnChoices, choices_of, read_angles
from labeler.studio.engine_options import EngineFiles, command_line, run_options
from rotation.cli.run import read_options, run

FILES = EngineFiles("my faces", "labels.csv", "poses.csv", "out", source="-1 a.jpg")
OTHER = TurnChoices(
    light="left",
    yaw_deg=-12.5,
    light_filter=False,
    attributes=("Male", "Young"),
    angles_deg=(-15.0, 0.0, 7.5),
    way="flow",
    size=256,
    with_proposals=False,
    min_percent=80,
    min_cluster=5,
    max_cluster=40,
    match_colours=True,
    similar=True,
    relight=False,
    seed=3,
)


def test_choices_survive_being_stored() -> None:
    for choices in (TurnChoices(), OTHER):
        assert TurnChoices.from_dict(choices.as_dict()) == choices
    assert choices_of({}) == TurnChoices()


@pytest.mark.parametrize(
    "wrong",
    [
        {"light": "above"},
        {"yaw_deg": 91},
        {"light_filter": "yes"},
        {"angles_deg": []},
        {"angles_deg": [0.0] * 62},
        {"way": "magic"},
        {"size": 100},
        {"min_percent": 101},
        {"min_cluster": 0},
        {"max_cluster": 1001},
        {"seed": -1},
        {"relight": "off"},
        {"colour": "red"},
        {"attributes": ["A"] * 11},
    ],
)
def test_a_wrong_choice_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RuleError):
        TurnChoices.from_dict(wrong)
    with pytest.raises(InvalidInput, match="not valid"):
        choices_of(wrong)


def test_large_frames_are_few() -> None:
    angles = [float(yaw) for yaw in range(-30, 31)]
    TurnChoices.from_dict({"angles_deg": angles, "size": 512})
    TurnChoices.from_dict({"angles_deg": angles[:24], "size": 1024})
    with pytest.raises(RuleError, match="size is 1024; a smaller size, or at most 24 angles"):
        TurnChoices.from_dict({"angles_deg": angles[:25], "size": 1024})


def test_angles() -> None:
    assert read_angles("-30:30:10") == (-30, -20, -10, 0, 10, 20, 30)
    assert read_angles(" −20, 0,15 ") == (-20, 0, 15)
    assert [len(read_angles(text)) for text in ANGLES.values()] == [7, 7]
    for text in ("", "x", "1,1", "-70:0:10", "0:60:0.5", "1;2"):
        with pytest.raises(InvalidInput):
            read_angles(text)


@pytest.mark.parametrize("choices", [TurnChoices(), OTHER])
def test_the_engine_understands_the_options(
    choices: TurnChoices, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    words = run_options(choices, FILES)
    assert words[:2] == ["rotation", "run"]
    with run.make_context("run", words[2:]) as context:
        options = read_options(context.params)
    assert options.source == "-1 a.jpg"
    assert options.turn.yaws_deg == choices.angles_deg
    assert options.turn.clusters.attributes == choices.attributes
    assert options.turn.clusters.light_filter == choices.light_filter
    assert options.turn.clusters.light == choices.light
    assert options.turn.clusters.minimum == choices.min_cluster
    assert options.turn.clusters.maximum == choices.max_cluster
    assert options.turn.clusters.min_probability == choices.min_percent / 100
    assert options.turn.clusters.similar == choices.similar
    assert options.turn.source_yaw_deg == choices.yaw_deg
    assert options.turn.editing.relight == choices.relight
    assert options.turn.seed == choices.seed
    assert options.output.side == choices.size
    assert options.output.match_colours == choices.match_colours
    assert options.output.contact_sheets
    if choices.way != "auto":
        assert options.turn.editing.method == choices.way


def test_the_command_line_can_be_pasted_into_a_shell() -> None:
    line = command_line(TurnChoices(), FILES)
    assert shlex.split(line)[2:] == run_options(TurnChoices(), FILES)
    assert line.startswith("python manage.py rotation run --images 'my faces'")
    upload = EngineFiles("faces", "l", "p", "out", source_file="me.jpg", subset="s", model="m")
    words = run_options(TurnChoices(), upload)
    for name, value in (("--source-file", "me.jpg"), ("--subset", "s"), ("--model", "m")):
        assert words[words.index(name) + 1] == value
    assert not [word for word in words if word.startswith("--source=")]
