import json
import os

import hypothesis
import pytest
from hypothesis import strategies as st

from tokdyn.data import clevr


def clevr_records(count=10):
    return [
        {
            "answer": str(number % 4),
            "image": f"CLEVR_val_{number:06d}.png",
            "image_index": number,
            "program": [{"function": "scene", "inputs": []}, {"function": "count", "inputs": [0]}],
            "question": "How many things are there?",
            "question_family_index": 0,
            "question_index": number,
            "split": "val",
        }
        for number in range(count)
    ]


def clevrer_records(count=10):
    return [
        {
            "choices": [{"choice": "The cube moves", "answer": "correct", "program": ["events"]}],
            "conversations": [{"from": "human", "value": "What happens without the sphere?"}],
            "program": ["all_events", "sphere", "filter_counterfactual"],
            "question": "What happens without the sphere?",
            "question_id": number,
            "question_type": "counterfactual",
            "video": f"video_{number:05d}.mp4",
        }
        for number in range(count)
    ]


@pytest.fixture
def write(tmp_path):
    def write(content, name="samples.json"):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def test_a_clevr_sample_gives_what_the_published_check_gave(write):
    assert clevr.check_samples(write(clevr_records())) == {
        "sample_count": 10,
        "fields": [
            "answer",
            "image",
            "image_index",
            "program",
            "question",
            "question_family_index",
            "question_index",
            "split",
        ],
        "missing_programs": 0,
        "kind": "clevr",
        "layout": "list",
        "missing_fields": {},
        "records_without_question": 0,
    }


def test_a_clevrer_sample_gives_what_the_published_check_gave(write):
    found = clevr.check_samples(str(write(clevrer_records())))
    assert found["sample_count"] == 10
    assert found["fields"] == [
        "choices",
        "conversations",
        "program",
        "question",
        "question_id",
        "question_type",
        "video",
    ]
    assert found["missing_programs"] == 0
    assert found["kind"] == "clevrer"


def test_what_records_lack_is_counted(write):
    records = clevr_records(6)
    del records[0]["program"]
    records[1]["program"] = []
    records[2]["program"] = None
    records[3]["program"] = ""
    del records[4]["question"]
    records[5]["question"] = "  "
    found = clevr.check_samples(write(records))
    assert found["missing_programs"] == 4
    assert found["missing_fields"] == {"program": 1, "question": 1}
    assert found["records_without_question"] == 2
    assert "program" in found["fields"]


def test_records_without_the_names_of_a_data_set_are_unknown(write):
    found = clevr.check_samples(write([{"a": 1}, {}]))
    assert found["kind"] == "unknown"
    assert found["missing_programs"] == 2
    assert found["missing_fields"] == {"a": 1}


@pytest.mark.parametrize("key", ["questions", "scenes"])
def test_the_layout_of_clevr_is_read(write, key):
    found = clevr.check_samples(write({"info": {"split": "val"}, key: clevr_records(3)}))
    assert (found["layout"], found["sample_count"], found["kind"]) == (key, 3, "clevr")


@pytest.mark.parametrize("name", ["samples.jsonl", "samples.json"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_json_lines_are_read(write, name, end):
    text = end.join(json.dumps(record) for record in clevrer_records(3)) + end
    found = clevr.check_samples(write(text.encode(), name))
    assert (found["layout"], found["sample_count"], found["kind"]) == ("lines", 3, "clevrer")


def test_a_line_separator_inside_a_text_ends_no_line(write):
    records = [{"image": "a\u2028b", "question": "x\x85y"}, {"image": "c"}]
    text = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    assert clevr.check_samples(write(text, "samples.jsonl"))["sample_count"] == 2


def test_one_line_of_json_lines_is_one_record_where_the_name_says_so(write):
    assert clevr.check_samples(write('{"image": 1}', "samples.jsonl"))["sample_count"] == 1


def test_a_byte_order_mark_is_no_obstacle(write):
    assert clevr.check_samples(write(b"\xef\xbb\xbf" + json.dumps(clevr_records(2)).encode()))["sample_count"] == 2


LIST = "expected a JSON list of records, an object holding one under 'questions' or 'scenes', or JSON lines, got "


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", LIST + "an empty file"),
        (" \n ", LIST + "an empty file"),
        ("[]", LIST + "an empty list"),
        ('{"questions": []}', LIST + "an empty list"),
        ('{"questions": {"a": 1}}', LIST + "an object of 1 under 'questions'"),
        ('{"info": 1, "a": 2}', LIST + "an object with the keys 'a', 'info'"),
        ("3", LIST + "3"),
        ("null", LIST + "null"),
        ('"text"', LIST + "the text 'text'"),
        ("[1]", "expected a list of objects, got 1 as record 0"),
        ('[{"a": 1}, [2, 3]]', "expected a list of objects, got a list of 2 as record 1"),
        ("not json", LIST + "no JSON (expecting value, line 1 column 1)"),
        ('[{"a": 1}', LIST + "no JSON (expecting ',' delimiter, line 1 column 10)"),
        ('{"a": 1}\n{"a": ', LIST + "no JSON (expecting value, line 1 column 7) in line 2"),
        ("[NaN]", LIST + "NaN, which is not JSON"),
        ("[" * 100_000, LIST + "JSON nested too deeply to read"),
        ("[" + "9" * 5000 + "]", LIST),
        (b'[{"a": "\xe9"}]', "expected UTF-8 text, got byte 0xe9 at position 8"),
        ('[{"a": 1}]'.encode("utf-16"), "expected UTF-8 text, got byte 0xff at position 0"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_that_names_it(write, content, complaint):
    path = write(content)
    with pytest.raises(ValueError) as caught:
        clevr.check_samples(path)
    assert str(caught.value).startswith(f"{path}: {complaint}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json: expected a JSON file, got no such file"):
        clevr.check_samples(tmp_path / "none.json")
    with pytest.raises(ValueError, match="expected a JSON file, got a folder"):
        clevr.check_samples(tmp_path)


@pytest.mark.parametrize("path", [3, None, b"samples.json", "nul\0byte", ["a"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match="expected"):
        clevr.check_samples(path)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_broken_link_is_a_missing_file(tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "nowhere.json")
    with pytest.raises(ValueError, match="no such file"):
        clevr.check_samples(link)


FIELDS = ("program", "question", "questions", "scenes", "image", "video")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)
RECORDS = st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4), min_size=1, max_size=5)
MANY = hypothesis.settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)


def summary_or_sentence(path):
    """The summary, or None where the file was refused as it should be."""
    try:
        return clevr.check_samples(path)
    except ValueError as error:
        sentence = str(error)
    assert sentence.startswith(f"{path}: expected")
    assert "\n" not in sentence
    return None


@MANY
@hypothesis.given(value=JSON)
def test_any_json_gives_a_summary_or_a_sentence(write, value):
    found = summary_or_sentence(write(value))
    records = isinstance(value, list) and value and all(isinstance(record, dict) for record in value)
    assert found is not None or not records
    if found is not None:
        json.dumps(found)
        assert found["sample_count"] >= 1
        assert 0 <= found["missing_programs"] <= found["sample_count"]


@MANY
@hypothesis.given(raw=st.binary(max_size=40))
def test_any_bytes_give_a_summary_or_a_sentence(write, raw):
    summary_or_sentence(write(raw))


@MANY
@hypothesis.given(records=RECORDS)
def test_all_layouts_say_the_same_of_the_same_records(write, records):
    lines = "\n".join(json.dumps(record) for record in records)
    summaries = [
        clevr.check_samples(write(content, name))
        for content, name in ((records, "a.json"), ({"questions": records}, "b.json"), (lines, "c.jsonl"))
    ]
    assert [summary.pop("layout") for summary in summaries] == ["list", "questions", "lines"]
    assert summaries[0] == summaries[1] == summaries[2]
    # Against the definitions, counted the plain way.
    assert summaries[0]["fields"] == sorted(set().union(*records))
    assert summaries[0]["missing_programs"] == len([1 for r in records if "program" not in r or not r["program"]])
    for field, lacking in summaries[0]["missing_fields"].items():
        assert lacking == sum(field not in record for record in records) > 0
