"""A few of the changed files of ``fuzz_files.py`` in every gate."""

import fuzz_files


def test_changed_files_are_read_or_refused_in_one_sentence():
    wrong, became = fuzz_files.fuzz(60, seed=1)
    assert not wrong, "\n".join(wrong)
    assert became["refused"] > 20
