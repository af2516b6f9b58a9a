"""Subtitle files become lines of speech, each once and with its own time."""

import pytest

from sightline.storage.ingest.decode.worker.media.subtitles import (
    SubtitleCue,
    join_sentences,
    parse_subtitles,
)

SRT = """1
00:00:00,500 --> 00:00:01,500
The kettle is

2
00:00:01,600 --> 00:00:02,000
<i>on the stove.</i>

3
00:00:04,200 --> 00:00:05,000
猫在沙发上。
"""


ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.160 --> 00:00:02.389 align:start position:0%
_
the<00:00:00.480><c> kettle</c><00:00:00.640><c> is</c>

00:00:02.389 --> 00:00:02.399 align:start position:0%
the kettle is
_

00:00:02.399 --> 00:00:04.799 align:start position:0%
the kettle is
on<00:00:02.560><c> the</c><00:00:02.720><c> stove</c>

00:00:04.799 --> 00:00:04.809 align:start position:0%
on the stove
_

00:00:04.809 --> 00:00:07.000 align:start position:0%
on the stove
and<00:00:05.000><c> it</c><00:00:05.200><c> sings</c>
""".replace("_\n", " \n")


def test_rolling_captions_are_read_once_with_their_own_times() -> None:
    assert parse_subtitles(ROLLING) == [
        SubtitleCue(0.16, 2.399, "the kettle is"),
        SubtitleCue(2.399, 4.809, "on the stove"),
        SubtitleCue(4.809, 7.0, "and it sings"),
    ]


def cues(*timed: tuple[float, float, str]) -> str:
    return "".join(
        f"{number}\n00:00:{start:06.3f} --> 00:00:{end:06.3f}\n{text}\n\n"
        for number, (start, end, text) in enumerate(timed, start=1)
    )


@pytest.mark.parametrize(
    ("timed", "texts"),
    [
        # three rows that roll up
        (
            [(0, 1, "a"), (1, 2, "a\nb"), (2, 3, "a\nb\nc"), (3, 4, "b\nc\nd")],
            ["a", "b", "c", "d"],
        ),
        # the rows overlap in time
        ([(0, 4, "one"), (2, 6, "one\ntwo"), (4, 8, "two\nthree")], ["one", "two", "three"]),
        # word by word
        ([(0, 1, "so"), (1, 2, "so we"), (2, 3, "so we go")], ["so we go"]),
        # said again after a pause
        ([(0, 1, "No!"), (5, 6, "No!")], ["No!", "No!"]),
        ([(0, 1, "No!"), (1, 2, "Yes."), (2, 3, "No!")], ["No!", "Yes.", "No!"]),
    ],
)
def test_lines_that_stay_on_the_screen_are_read_once(
    timed: list[tuple[float, float, str]], texts: list[str]
) -> None:
    found = parse_subtitles(cues(*timed))
    assert [each.text for each in found] == texts
    assert [each.start for each in found] == sorted({each.start for each in found})


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("[door slams]\nWho is it?", "Who is it?"),
        ("(SIGHS) Fine. ♪", "Fine."),
        ("(laughter)", ""),
        ("&gt;&gt; And now the news.", "And now the news."),
        ("（笑声）\n你好。", "你好。"),
        ("He (my brother) left.", "He (my brother) left."),
        ("2 > 1 and [MUSIC]", "2 > 1 and"),
    ],
)
def test_descriptions_of_sounds_are_left_out(text: str, spoken: str) -> None:
    assert "".join(each.text for each in parse_subtitles(cues((0, 1, text)))) == spoken


ASS = """[Script Info]
Title: x

[V4+ Styles]
Format: Name, Fontname
Style: Default,Arial

[Events]
Format: Layer, Start, End, Style, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,not shown
Dialogue: 0,0:00:03.00,0:00:04.50,Default,It sings, loudly.
Dialogue: 0,0:00:01.20,0:00:02.50,Default,{\\i1}The kettle\\Nis on.{\\i0}
Dialogue: 1,0:00:01.20,0:00:02.50,Default,{\\blur3}The kettle\\Nis on.
Dialogue: 0,0:00:05.00,0:00:06.00,Default,{\\p1}m 0 0 l 10 0 10 10{\\p0}

[Fonts]
fontname: a.ttf
Dialogue: 0,0:00:07.00,0:00:08.00,Default,no
"""


def test_the_dialogue_of_substation_alpha_is_read() -> None:
    assert parse_subtitles(ASS) == [
        SubtitleCue(1.2, 2.5, "The kettle is on."),
        SubtitleCue(3.0, 4.5, "It sings, loudly."),
    ]


@pytest.mark.timeout(60)
def test_hostile_substation_alpha_is_parsed_in_linear_time() -> None:
    line = "Dialogue: 0,0:00:01.00,0:00:02.00,Default," + "{" * 200 + "\n"
    assert len(parse_subtitles("[Events]\n" + line * 20_000 + "{" * 1_000_000)) <= 1
    assert parse_subtitles("[Events]\nFormat: " + "a," * 500_000) == []


def test_sentences_over_several_cues_are_one() -> None:
    assert list(join_sentences(parse_subtitles(SRT))) == [
        SubtitleCue(0.5, 2.0, "The kettle is on the stove."),
        SubtitleCue(4.2, 5.0, "猫在沙发上。"),
    ]


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("", []),
        ("WEBVTT\n\nNOTE nothing\n", []),
        ("0:00:02.000 --> 0:00:01.000\nbackwards", []),
        (
            "1\r\n00:00:01,5 --> 00:00:02,25\r\n{\\an8}Up\r\nthere\r\n",
            [SubtitleCue(1.5, 2.25, "Up there")],
        ),
        ("100:00:00,000 --> 100:00:01,000\n42\n", [SubtitleCue(360000, 360001, "42")]),
    ],
)
def test_subtitle_files_are_parsed_as_players_do(text: str, cues: list[SubtitleCue]) -> None:
    assert parse_subtitles(text) == cues


@pytest.mark.timeout(60)
def test_subtitles_are_parsed_in_linear_time() -> None:
    cue = "{n}\n00:00:01,000 --> 00:00:02,000\nline {n}\n\n"
    many = "".join(cue.format(n=n) for n in range(60_000)) + "\n" * 200_000 + "x\n"
    hollow = "00:00:01,000 --> 00:00:02,000\na" + "\n" * 200_000 + "x\n" + cue.format(n=1)
    assert len(parse_subtitles(many)) == 60_000
    assert [each.text for each in parse_subtitles(hollow)] == ["a", "line 1"]
