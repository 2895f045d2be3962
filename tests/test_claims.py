import dataclasses
import importlib.resources
import json
import math

import numpy as np
import pytest

from tokdyn import claims
from tokdyn.claims import Claim, Disagreement, Finding

COMMAND = "tokdyn study dynamics"
TABLE = (
    Claim("dynamics.ari", "dynamics", "mean ARI", 0.791, 0.790832, "reproduced", COMMAND),
    Claim("dynamics.collapse", "dynamics", "no collapse", "not observed", "seen", "contradicted", COMMAND, "see"),
    Claim("dmlr.gain", "dmlr", "gain", 2),
)


@pytest.fixture(scope="module")
def shipped():
    return claims.load()


def test_the_shipped_table_holds_all_five_works(shipped):
    assert {claim.work for claim in shipped} == set(claims.WORKS)
    assert len({claim.id for claim in shipped}) == len(shipped) > 100


def test_every_settled_claim_names_a_command_and_a_result(shipped):
    for claim in shipped:
        if claim.verdict != "open":
            assert claim.command, claim.id
            assert claim.ours is not None, claim.id


def test_every_verdict_says_by_which_rule_and_from_what_run(shipped):
    for claim in shipped:
        if claim.verdict == "open":
            assert claim.note, claim.id  # what would decide it
            assert not claim.rule
        else:
            assert claim.rule, claim.id
            assert claim.design in claims.KINDS[claim.kind], claim.id


def test_no_named_model_is_judged(shipped):
    """Ours are other models than the published: they are context."""
    assert {claim.verdict for claim in shipped if claim.kind in ("model", "setting")} == {"open"}
    assert {claim.kind for claim in shipped if claim.work == "dynamics"} <= {"design", "cost", "setting", "universal"}


def test_what_is_said_of_a_published_design_is_not_judged_by_a_repaired_one():
    fields = {"ours": 1, "verdict": "contradicted", "command": COMMAND}
    for kind, admitted in claims.KINDS.items():
        for design in claims.DESIGNS:
            if design in admitted:
                assert Claim("dmlr.gain", "dmlr", "gain", 2, **fields, kind=kind, design=design).design == design
            else:
                with pytest.raises(ValueError, match=r"verdict of dmlr\.gain: expected 'open'"):
                    Claim("dmlr.gain", "dmlr", "gain", 2, **fields, kind=kind, design=design)


def test_what_the_notebook_says_of_cost_and_of_its_smallest_check_is_there(shipped):
    published = {claim.id: claim.published for claim in shipped}
    assert published["diffusion_lm.proof_of_concept"] == 100
    assert (published["diffusion_lm.overhead_time"], published["diffusion_lm.overhead_memory"]) == (3, 6)


def test_where_a_number_was_read_is_said(shipped):
    sources = {(claim.work, claim.source) for claim in shipped}
    assert {source for work, source in sources if work in ("dynamics", "diffusion_lm")} == {"document"}
    assert {source for work, source in sources if work == "dmlr"} == {"paper"}


def test_the_shipped_file_is_what_write_makes_of_it(shipped, tmp_path):
    path = tmp_path / "claims.json"
    claims.write(path, reversed(shipped))
    assert path.read_bytes() == importlib.resources.files("tokdyn").joinpath("claims.json").read_bytes()


def test_no_two_claims_say_the_same(shipped):
    said = [(claim.work, claim.claim) for claim in shipped]
    assert len(set(said)) == len(said)


def test_the_numbers_of_the_dynamics_report_are_there(shipped):
    published = {claim.id: claim.published for claim in shipped}
    methods = ("baseline", "inertia", "repulsion", "inertia_repulsion")
    for name, expected in {
        "ari": [0.791, 0.799, 0.791, 0.810],
        "nmi": [0.882, 0.887, 0.882, 0.893],
        "steps": [11.91, 24.78, 17.15, 25.93],
        "low_noise_ari": [0.800, 0.813, 0.800, 0.866],
    }.items():
        assert [published[f"dynamics.{name}_{method}"] for method in methods] == expected
    assert published["dynamics.significant_p"] == 0.017
    assert published["dynamics.clevr_sample_count"] == published["dynamics.clevrer_sample_count"] == 10


def test_write_and_load_are_inverse_and_deterministic(tmp_path):
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    claims.write(one, TABLE)
    claims.write(other, TABLE[::-1])
    assert one.read_bytes() == other.read_bytes()
    loaded = claims.load(one)
    assert set(loaded) == set(TABLE)
    assert [claim.id for claim in loaded] == sorted(claim.id for claim in TABLE)
    assert one.read_text(encoding="utf-8").startswith('[\n  {\n    "id": "dmlr.gain",\n')


def test_findings_that_agree_raise_nothing():
    records = {
        "dynamics.ari": Finding(0.790832 * (1 + 9e-4), "reproduced", command=COMMAND),
        "dynamics.collapse": Finding("seen", "contradicted", "another note", COMMAND),
        "dmlr.gain": Finding(None, "open"),
    }
    assert claims.check(records, claims=TABLE) == []


@pytest.mark.parametrize(
    ("name", "finding", "field", "shipped", "computed"),
    [
        ("dynamics.ari", Finding(0.79, "reproduced", command=COMMAND), "ours", 0.790832, 0.79),
        ("dynamics.ari", Finding("0.790832", "reproduced", command=COMMAND), "ours", 0.790832, "0.790832"),
        ("dynamics.ari", Finding(0.790832, "qualified", command=COMMAND), "verdict", "reproduced", "qualified"),
        ("dynamics.ari", Finding(0.790832, "reproduced", command="tokdyn x"), "command", COMMAND, "tokdyn x"),
        ("dynamics.ari", Finding(0.790832, "reproduced", None, COMMAND, claims.RERUN), "design", None, claims.RERUN),
        ("dynamics.collapse", Finding("unseen", "contradicted", command=COMMAND), "ours", "seen", "unseen"),
        ("dynamics.other", Finding(1.0, "reproduced", command=COMMAND), "id", None, None),
    ],
)
def test_check_sees_each_difference(name, finding, field, shipped, computed):
    (found,) = claims.check({name: finding}, claims=TABLE)
    assert found == Disagreement(name, field, shipped, computed)
    assert str(found).startswith(name)


def test_check_sees_a_claim_that_is_still_open_in_the_table():
    found = claims.check({"dmlr.gain": Finding(1.9, "reproduced", command=COMMAND)}, claims=TABLE)
    assert [one.field for one in found] == ["ours", "verdict", "command"]


def test_seconds_are_not_compared():
    slow = Claim("dmlr.time", "dmlr", "seconds", 9, 3.0, "reproduced", COMMAND, kind="cost", design=claims.RERUN)
    fast = Finding(300.0, "contradicted", command=COMMAND, design=claims.RERUN)
    assert claims.check({"dmlr.time": fast}, claims=[slow]) == []
    assert claims.check({"dmlr.time": fast}, claims=[dataclasses.replace(slow, kind="design")])


def test_the_tolerance_is_relative():
    record = {"dynamics.ari": Finding(0.8, "reproduced", command=COMMAND)}
    gap = (0.8 - 0.790832) / 0.8
    assert claims.check(record, claims=TABLE, relative_tolerance=gap * 1.001) == []
    assert len(claims.check(record, claims=TABLE, relative_tolerance=gap * 0.999)) == 1
    with pytest.raises(ValueError, match="relative_tolerance: expected a number"):
        claims.check(record, claims=TABLE, relative_tolerance=math.nan)


def test_check_and_updated_default_to_the_shipped_table(shipped):
    first = next(claim for claim in shipped if claim.kind == "design")
    place = shipped.index(first)
    finding = Finding(12345.0, "contradicted", "new", COMMAND)
    assert claims.check({first.id: finding})
    entered = claims.updated({first.id: finding})
    assert [*entered[:place], *entered[place + 1 :]] == [*shipped[:place], *shipped[place + 1 :]]
    fields = ("ours", "verdict", "command", "note", "design", "rule")
    assert [getattr(entered[place], name) for name in fields] == [12345.0, "contradicted", COMMAND, "new", None, ""]
    assert claims.check({first.id: finding}, claims=entered) == []


def test_updated_keeps_the_note_unless_another_is_given():
    kept = claims.updated({"dynamics.collapse": Finding("x", "qualified", command=COMMAND)}, claims=TABLE)
    gone = claims.updated({"dynamics.collapse": Finding("x", "qualified", "", COMMAND)}, claims=TABLE)
    assert (kept[1].note, gone[1].note) == ("see", "")
    assert (kept[1].published, kept[1].claim) == ("not observed", "no collapse")


def test_updated_refuses_an_unknown_id():
    with pytest.raises(ValueError, match=r"records: expected ids of the table of claims, got dynamics\.none"):
        claims.updated({"dynamics.none": Finding(1, "reproduced", command=COMMAND)}, claims=TABLE)


def test_numbers_of_arrays_are_stored_as_plain_ones(tmp_path):
    finding = Finding(np.float32(0.5), "reproduced", command=COMMAND)
    assert type(finding.ours) is float
    assert type(Finding(np.int64(3), "reproduced", command=COMMAND).ours) is int
    claims.write(tmp_path / "c.json", claims.updated({"dynamics.ari": finding}, claims=TABLE))
    assert '"ours": 0.5' in (tmp_path / "c.json").read_text(encoding="utf-8")


def test_the_table_filters_and_prints():
    rows = claims.table(TABLE)
    assert [tuple(row) for row in rows] == [claims.COLUMNS] * 3
    assert rows[0]["ours"] == "0.790832"
    assert (rows[2]["published"], rows[2]["ours"], rows[2]["note"]) == ("2", "-", "-")
    assert [row["id"] for row in claims.table(TABLE, work="dynamics", verdict="contradicted")] == ["dynamics.collapse"]
    assert claims.table(TABLE, verdict="qualified") == []
    with pytest.raises(ValueError, match="work: expected one of"):
        claims.table(TABLE, work="other")
    with pytest.raises(ValueError, match="verdict: expected one of"):
        claims.table(TABLE, verdict="maybe")


GOOD = {"id": "dmlr.gain", "work": "dmlr", "claim": "gain", "published": 2}
SETTLED = {**GOOD, "ours": 1, "verdict": "reproduced", "command": "tokdyn x"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({**GOOD, "work": "other"}, "work of dmlr.gain: expected one of"),
        ({**GOOD, "id": "gain"}, "id: expected 'dmlr', a dot and a name, got 'gain'"),
        ({**GOOD, "id": ""}, "id: expected a text"),
        ({**GOOD, "claim": " "}, "claim of dmlr.gain: expected a text"),
        ({**GOOD, "published": None}, "published of dmlr.gain: expected a text or a finite number, got None"),
        ({**GOOD, "published": True}, "published of dmlr.gain: expected a text or a finite number, got True"),
        ({**GOOD, "published": math.inf}, "published of dmlr.gain: expected a text or a finite number, got inf"),
        ({**GOOD, "verdict": "maybe"}, "verdict of dmlr.gain: expected one of 'reproduced'"),
        ({**GOOD, "kind": "none"}, "kind of dmlr.gain: expected one of 'universal'"),
        ({**GOOD, "source": "none"}, "source of dmlr.gain: expected one of 'document'"),
        ({**GOOD, "design": "none"}, "design of dmlr.gain: expected one of 'published design, re-run'"),
        ({**GOOD, "rule": None}, "rule of dmlr.gain: expected a text, got None"),
        ({**SETTLED, "kind": "model"}, "verdict of dmlr.gain: expected 'open' (kind 'model'), got 'reproduced'"),
        ({**GOOD, "note": None}, "note of dmlr.gain: expected a text, got None"),
        ({**SETTLED, "ours": math.nan}, "ours of dmlr.gain: expected a text or a finite number, got nan"),
        ({**SETTLED, "command": ""}, "command of dmlr.gain: expected a text"),
        (
            {**SETTLED, "ours": None},
            "verdict of dmlr.gain: expected ours and command beside any verdict but 'open', got",
        ),
        ({**SETTLED, "command": None}, "verdict of dmlr.gain: expected ours and command"),
    ],
)
def test_a_bad_claim_is_refused(fields, sentence, tmp_path):
    with pytest.raises(ValueError) as caught:
        Claim(**fields)
    assert str(caught.value).startswith(sentence)
    # The same from a file.
    record = dataclasses.asdict(Claim(**GOOD)) | fields
    path = tmp_path / "claims.json"
    path.write_text(json.dumps([record]), encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        claims.load(path)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("verdict", claims.VERDICTS[:3])
def test_a_finding_needs_a_result_and_a_command(verdict):
    with pytest.raises(ValueError, match="without ours and command"):
        Finding(None, verdict)
    with pytest.raises(ValueError, match="without command"):
        Finding(1.0, verdict)


def test_an_id_may_occur_once(tmp_path):
    with pytest.raises(ValueError, match=r"id: expected every id once, got more than one dmlr\.gain"):
        claims.write(tmp_path / "claims.json", [*TABLE, TABLE[2]])
    record = dataclasses.asdict(TABLE[2])
    (tmp_path / "claims.json").write_text(json.dumps([record, record]), encoding="utf-8")
    with pytest.raises(ValueError, match="every id once"):
        claims.load(tmp_path / "claims.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no json", "expected a JSON list of claims, got"),
        ("{}", "expected a JSON list of claims, got one value of type dict"),
        ("[1]", "expected the fields id, work, claim, published, ours, .* design, rule, got one of type int"),
        ('[{"id": "dmlr.x"}]', "expected the fields id, work, .* got id"),
    ],
)
def test_a_file_of_another_form_is_refused(text, sentence, tmp_path):
    path = tmp_path / "claims.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        claims.load(path)
    with pytest.raises(ValueError, match="expected a table of claims"):
        claims.load(tmp_path / "none.json")


class TestNotesOfSeveralStudies:
    def entered(self, note, finding):
        claim = Claim("dmlr.gain", "dmlr", "gain", 2, note=note, kind="model")
        return claims.updated({"dmlr.gain": finding}, claims=[claim])[0].note

    def said(self, study, words):
        return Finding(None, "open", claims.context(f"tokdyn study {study}", words), design=claims.CONTEXT)

    def test_stand_beside_each_other_and_each_is_told_once(self):
        one = self.entered("about a named model: only a run of it can judge this", self.said("a", "1"))
        assert one == "context only (tokdyn study a): 1"
        both = self.entered(one, self.said("b", "2"))
        assert both == "context only (tokdyn study a): 1; context only (tokdyn study b): 2"
        again = self.entered(both, self.said("a", "3"))
        assert again == "context only (tokdyn study a): 3; context only (tokdyn study b): 2"
        assert self.entered(again, self.said("a", "3")) == again

    def test_any_other_note_replaces(self):
        assert self.entered("context only (tokdyn study a): 1", Finding(None, "open", "would decide it")) == (
            "would decide it"
        )
