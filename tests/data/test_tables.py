"""``read_table`` on files as people bring them: right features, or one sentence that names file, line and column."""

import bz2
import gzip
import io
import lzma
import os
import zipfile

import numpy as np
import pandas as pd
import pytest

from tokdyn.data import read_table, standardised
from tokdyn.data.tables import decoding

TWO = [[1.5, 2.0], [3.0, 4.25]]
UUIDS = ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "7d444840-9dc0-11d1-b245-5ffdce74fad2")
RUNNING = "".join(f"{n},{n * n % 7}.5,{n * n % 5}\n" for n in range(3, 15))
SQUARES = [[n * n % 7 + 0.5, n * n % 5] for n in range(3, 15)]


def written(folder, name, content):
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def zipped(content, *names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


# name, content, options, features, columns, ids
GOOD = {
    "plain": ("a.csv", "a,b\n1.5,2\n3,4.25\n", {}, TWO, ("a", "b"), None),
    "no names": ("a.csv", "1.5,2\n3,4.25\n", {}, TWO, ("x1", "x2"), None),
    "no end of the last line": ("a.csv", "a,b\n1.5,2\n3,4.25", {}, TWO, ("a", "b"), None),
    "Windows line ends": ("a.csv", "a,b\r\n1.5,2\r\n3,4.25\r\n", {}, TWO, ("a", "b"), None),
    "old Macintosh line ends": ("a.csv", "a,b\r1.5,2\r3,4.25\r", {}, TWO, ("a", "b"), None),
    "byte order mark": ("a.csv", b"\xef\xbb\xbf" + "ä,b\n1.5,2\n3,4.25\n".encode(), {}, TWO, ("ä", "b"), None),
    "utf-16 of Excel": ("a.txt", "a\tb\r\n1.5\t2\r\n3\t4.25\r\n".encode("utf-16"), {}, TWO, ("a", "b"), None),
    "utf-16 without a mark": ("a.txt", "a\tb\n1.5\t2\n3\t4.25\n".encode("utf-16-le"), {}, TWO, ("a", "b"), None),
    "Latin-1": ("a.csv", "Größe,b\n1.5,2\n3,4.25\n".encode("latin-1"), {}, TWO, ("Größe", "b"), None),
    "German Excel": ("a.csv", "a;b\n1,5;2\n3;4,25\n", {}, TWO, ("a", "b"), None),
    "German thousands": ("a.csv", "a;b\n1.234;2,5\n12;1.000.000,25\n", {}, [[1234, 2.5], [12, 1000000.25]], None, None),
    "German percent": ("a.csv", "a;b\n12,5 %;1\n3 %;2\n", {}, [[0.125, 1], [0.03, 2]], None, None),
    "German truths": ("a.csv", "a;b\nWAHR;1,5\nFALSCH;2,5\n", {}, [[1, 1.5], [0, 2.5]], None, None),
    "US thousands": ("a.csv", 'a,b\n"1,234.5",2\n"12",3\n', {}, [[1234.5, 2], [12, 3]], None, None),
    "Swiss thousands": ("a.csv", "a;b\n1'234.5;2\n12;3\n", {}, [[1234.5, 2], [12, 3]], None, None),
    "marks as programmers set them": ("a.csv", "a,b\n1_234.5,2\n12,3\n", {}, [[1234.5, 2], [12, 3]], None, None),
    "French spaces": ("a.csv", "a;b\n1\u202f234,5;2\n12;3\n", {}, [[1234.5, 2], [12, 3]], None, None),
    "decimal commas between tabs": ("a.tsv", "a\tb\n1,5\t2\n3\t4,25\n", {}, TWO, None, None),
    "decimal commas in quotes": ("a.csv", 'a,b\n"1,5","2"\n"3","4,25"\n', {}, TWO, None, None),
    "one column of decimal commas": ("a.csv", "a\n1,5\n2,75\n3\n", {}, [[1.5], [2.75], [3]], ("a",), None),
    "a comma of three digits after semicolons": (
        "a.csv", "a;b\n1,234;5\n2,345;6\n", {}, [[1.234, 5], [2.345, 6]], None, None,
    ),
    "a comma of three digits beside points": (
        "a.tsv", "a\tb\n1,234\t.5\n2,345\t.6\n", {}, [[1234, 0.5], [2345, 0.6]], None, None,
    ),
    "the same, as told": ("a.csv", "a;b\n1,234;5\n2,345;6\n", {"decimal": "."}, [[1234, 5], [2345, 6]], None, None),
    "the line that Excel understands": ("a.csv", "sep=;\na;b\n1,5;2\n3;4,25\n", {}, TWO, ("a", "b"), None),
    "pipes": ("a.psv", "a|b\n1.5|2\n3|4.25\n", {}, TWO, ("a", "b"), None),
    "columns of spaces": ("a.dat", "  1.5   2\n  3     4.25\n", {}, TWO, None, None),
    "spaces with names": ("a.txt", "a b\n1.5 2\n3 4.25\n", {}, TWO, ("a", "b"), None),
    "Fortran exponents": ("a.dat", " 1.5D+00  2\n 3.0D+00 4.25\n", {}, TWO, None, None),
    "typeset minus": ("a.csv", "a,b\n\u22121.5,2\n3,4.25\n", {}, [[-1.5, 2], [3, 4.25]], None, None),
    "a delimiter as told": ("a.txt", "a:b\n1.5:2\n3:4.25\n", {"delimiter": ":"}, TWO, ("a", "b"), None),
    "a delimiter by its name": ("a.txt", "a;b\n1.5;2\n3;4.25\n", {"delimiter": "semicolon"}, TWO, ("a", "b"), None),
    "spaces after commas": ("a.csv", "a, b\n1.5, 2\n3, 4.25\n", {}, TWO, ("a", "b"), None),
    "quoted names with delimiters": ("a.csv", '"a,1","b ""2"""\n1.5,2\n3,4.25\n', {}, TWO, ("a,1", 'b "2"'), None),
    "a name over two lines": ("a.csv", '"a\n(cm)",b\n1.5,2\n3,4.25\n', {}, TWO, ("a (cm)", "b"), None),
    "names that are numbers": ("a.csv", "name,2019,2020\nA,1.5,2\nB,3,4.25\n", {}, TWO, ("2019", "2020"), ["A", "B"]),
    "names of pandas": ("a.csv", "0,1\n1.5,2\n3,4.25\n", {}, TWO, ("0", "1"), None),
    "whole numbers from 0 are no names": ("a.csv", "0,1\n4,2\n3,4\n", {}, [[0, 1], [4, 2], [3, 4]], None, None),
    "names as told": ("a.csv", "0,1\n4,2\n3,4\n", {"header": True}, [[4, 2], [3, 4]], ("0", "1"), None),
    "no names as told": ("a.csv", "0,1\n1.5,2\n", {"header": False}, [[0, 1], [1.5, 2]], ("x1", "x2"), None),
    "names twice": ("a.csv", "a,a\n1.5,2\n3,4.25\n", {}, TWO, ("a", "a.1"), None),
    "a row": ("a.csv", "1.5,2\n", {}, [[1.5, 2]], None, None),
    "a column": ("a.csv", "a\n1.5\n3\n", {}, [[1.5], [3]], ("a",), None),
    "comments": ("a.txt", "# by an instrument\n1.5 2\n# restarted here\n3 4.25\n", {}, TWO, ("x1", "x2"), None),
    "names of numpy.savetxt": ("a.txt", "# a b\n1.5 2\n3 4.25\n", {}, TWO, ("a", "b"), None),
    "empty lines": ("a.csv", "\na,b\n\n1.5,2\n\n3,4.25\n\n", {}, TWO, ("a", "b"), None),
    "rows of delimiters below": ("a.csv", "a;b\n1,5;2\n3;4,25\n;\n;\n", {}, TWO, ("a", "b"), None),
    "a delimiter after each row": ("a.csv", "a,b,\n1.5,2,\n3,4.25,\n", {}, TWO, ("a", "b"), None),
    "a delimiter after rows only": ("a.csv", "a,b\n1.5,2,\n3,4.25,\n", {}, TWO, ("a", "b"), None),
    "R": ("a.txt", '"a" "b"\n"r1" 1.5 2\n"r2" 3 4.25\n', {}, TWO, ("a", "b"), ["r1", "r2"]),
    "R, csv": ("a.csv", '"","a","b"\n"1",1.5,2\n"2",3,4.25\n', {}, TWO, ("a", "b"), ["1", "2"]),
    "R, a sample of rows": ("a.csv", '"","a","b"\n"17",1.5,2\n"4",3,4.25\n', {}, TWO, ("a", "b"), ["17", "4"]),
    "pandas with index": ("a.csv", ",a,b\n0,1.5,2\n1,3,4.25\n", {}, TWO, ("a", "b"), ["0", "1"]),
    "pandas twice": ("a.csv", ",Unnamed: 0,a\n0,0,2\n1,1,4.25\n", {}, [[2], [4.25]], ("a",), ["0", "1"]),
    "pandas, counted, with index": ("a.csv", ",0,1\n0,1.5,2\n1,3,4.25\n", {}, TWO, ("0", "1"), ["0", "1"]),
    "an id with zeros before it": ("a.csv", "id,a,b\n007,1.5,2\n001,3,4.25\n", {}, TWO, ("a", "b"), ["007", "001"]),
    "UUIDs in the middle": (
        "a.csv", f"a,uuid,b\n1.5,{UUIDS[0]},2\n3,{UUIDS[1]},4.25\n", {}, TWO, ("a", "b"), list(UUIDS),
    ),
    "ids above 2^53": (
        "a.csv", "tweet_id,a,b\n9007199254740993,1.5,2\n9007199254740992,3,4.25\n", {}, TWO, ("a", "b"),
        ["9007199254740993", "9007199254740992"],
    ),
    "customerID": ("a.csv", "customerID,a,b\n9,1.5,2\n4,3,4.25\n", {}, TWO, ("a", "b"), ["9", "4"]),
    "dates of rows": (
        "a.csv", "date,a,b\n2020-01-01,1.5,2\n2020-01-02,3,4.25\n", {}, TWO, ("a", "b"), ["2020-01-01", "2020-01-02"],
    ),
    "id and name": ("a.csv", "id,a,name,b\n1,1.5,Ann,2\n2,3,Bob,4.25\n", {}, TWO, ("a", "b"), ["1", "2"]),
    "an id that is asked for": (
        "a.csv", "id,a\n5,1.5\n7,3\n", {"columns": "id,a"}, [[5, 1.5], [7, 3]], ("id", "a"), None,
    ),
    "an id beside what is asked for": (
        "a.csv", "id,a,b\n5,1.5,2\n7,3,4\n", {"columns": "a"}, [[1.5], [3]], ("a",), ["5", "7"],
    ),
    "an id in a file without names": ("a.csv", RUNNING, {}, SQUARES, ("x2", "x3"), [str(n) for n in range(3, 15)]),
    "a column of nothing": ("a.csv", "a,note,b\n1.5,,2\n3,,4.25\n", {}, TWO, ("a", "b"), None),
    "truths": ("a.csv", "a,b\nTRUE,yes\nFALSE,no\n", {}, [[1, 1], [0, 0]], None, None),
    "huge whole numbers": ("a.csv", "a,b\n99999999999999999999999,1\n2,3\n", {}, [[1e23, 1], [2, 3]], None, None),
    "gzip": ("a.csv.gz", gzip.compress(b"a,b\n1.5,2\n3,4.25\n"), {}, TWO, ("a", "b"), None),
    "bzip2": ("a.tsv.bz2", bz2.compress(b"a\tb\n1.5\t2\n3\t4.25\n"), {}, TWO, ("a", "b"), None),
    "xz": ("a.txt.xz", lzma.compress(b"a b\n1.5 2\n3 4.25\n"), {}, TWO, ("a", "b"), None),
    "zip": ("a.csv.zip", zipped("a,b\n1.5,2\n3,4.25\n", "a.csv"), {}, TWO, ("a", "b"), None),
    "UCI": (
        "iris.data", "1.5,2,rose\n3,4.25,tulip\n3,4,tulip\n", {"columns": "1:2"}, [*TWO, [3, 4]], ("x1", "x2"), None,
    ),
    "a range of names": ("a.csv", "k,a,b,z\nq,1.5,2,9\nq,3,4.25,9\n", {"columns": "a:b"}, TWO, ("a", "b"), None),
    "an open range": ("a.csv", "k,a,b\nq,1.5,2\nq,3,4.25\n", {"columns": "2:"}, TWO, ("a", "b"), None),
    "columns in another order": ("a.csv", "b,k,a\n2,q,1.5\n4.25,q,3\n", {"columns": "a,1"}, TWO, ("a", "b"), None),
    "a list of names": ("a.csv", "b,k,a\n2,q,1.5\n4.25,q,3\n", {"columns": ["a", "b"]}, TWO, ("a", "b"), None),
    "a quoted name": ("a.csv", '"a,1",b,k\n1.5,2,q\n3,4.25,q\n', {"columns": '"a,1",b'}, TWO, ("a,1", "b"), None),
    "a name goes before a position": (
        "a.csv", "2,1\n2,1.5\n4.25,3\n", {"columns": "1,2", "header": True}, TWO, ("1", "2"), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "features", "columns", "ids"), GOOD.values(), ids=GOOD)
def test_texts(tmp_path, name, content, options, features, columns, ids):
    table = read_table(written(tmp_path, name, content), **options)
    np.testing.assert_array_equal(table.features, features)
    assert table.features.dtype == np.float64
    assert columns is None or table.columns == columns
    assert len(table.columns) == len(features[0])
    assert (None if table.ids is None else table.ids.tolist()) == ids
    assert (ids is None) or any("names rows and is no feature" in note for note in table.notes)


IRIS = "5.1,3.5,setosa\n4.9,x,setosa\n6.0,2.2,virginica\n"
# name, content, options, what the sentence holds
BAD = {
    "nothing": ("a.csv", "", {}, "file: expected rows of numbers, got a.csv, which is empty"),
    "empty lines only": ("a.csv", "\n\n", {}, "a.csv, which is empty"),
    "names only": ("a.csv", "a,b\n", {}, "file: expected rows of numbers, got a line of names, and no row, in a.csv"),
    "a complex first row": ("a.csv", "1+2j,3\n4,5\n", {}, "got '1+2j' (a complex number) in line 1, column 1 of a.csv"),
    "text": ("a.csv", "a,b,kind\n1,2,u\n3,4,u\n", {}, "got 'u' in line 2, column 'kind' of a.csv (columns says"),
    "text without names": ("a.csv", "1,2,u\n3,4,u\n", {}, "got 'u' in line 1, column 3 of a.csv"),
    "a slip": ("a.csv", "a,b\n1.5,2\n3,4x\n2,5\n", {}, "got '4x' in line 3, column 'b' of a.csv"),
    "a slip, all others different": ("a.csv", "a,b\n1.5,2\n3,oops\n2,5\n", {}, "got 'oops' in line 3, column 'b'"),
    "two columns of text": (
        "a.csv", "a,b,c\n1,u,v\n2,u,v\n", {}, "got 'u' in line 2, column 'b' of a.csv; text also in 'c'",
    ),
    "units": ("a.csv", "a,b\n1.5 kg,2\n3 kg,4\n", {}, "got '1.5 kg' in line 2, column 'a'"),
    "currency": ("a.csv", "a,b\n$1.50,2\n$3.00,4\n", {}, "got '$1.50' in line 2, column 'a'"),
    "percent here and there": ("a.csv", "a,b\n12%,2\n3,4\n4%,4\n", {}, "got '12%' in line 2, column 'a'"),
    "nothing in a cell": (
        "a.csv", "a,b\n1,2\n3,\n", {}, "file: expected finite numbers, got no value in line 3, column 'b' of a.csv",
    ),
    "missing": ("a.csv", "a,b\n1,2\n\n3,NA\n", {}, "got no value ('NA') in line 4, column 'b' of a.csv"),
    "missing, German Excel": ("a.csv", "a;b\n1,5;2\n3;#NV\n", {}, "got no value ('#NV') in line 3, column 'b'"),
    "many missing": ("a.csv", "a,b\n?,2\n3,?\n4,?\n", {}, "('?') in line 2, column 'a' of a.csv, and 2 more such"),
    "missing after a quoted line": (
        "a.csv", '"a\n1",b\n1,2\n3,nan\n', {}, "got no value ('nan') in line 4, column 'b'",
    ),
    "an empty line in one column": (
        "a.csv", "a\n1\n\n3\n", {}, "file: expected a number in every row, got an empty line 3 in a.csv",
    ),
    "infinity": ("a.csv", "a,b\n1,2\n3,-inf\n", {}, "got -inf in line 3, column 'b' of a.csv"),
    "too large": (
        "a.csv", "a,b\n1,2\n3,1e400\n", {}, "got 1e400, too large for float64, in line 3, column 'b' of a.csv",
    ),
    "a short row": (
        "a.csv", "a,b\n1,2\n3\n4,5\n", {}, "got no value, because the row ends before it, in line 3, column 'b'",
    ),
    "a long row": (
        "a.csv", "a,b\n1,2\n3,4,5\n6,7\n", {}, "expected 2 fields in every row, as most have, got 3 in line 3 of a.csv",
    ),
    "a long first row": (
        "a.csv", "1,2,3\n4,5\n6,7\n", {}, "expected 2 fields in every row, as most have, got 3 in line 1",
    ),
    "a quote that stays open": ("a.csv", 'a,b\n1,2\n3,4\n5,"6\n', {}, "(a quotation mark in it is never closed)"),
    "comments only": ("a.csv", "# a\n# b\n", {"header": True}, "a.csv"),
    "a quotation mark only": ("a.csv", '\n"', {}, "a.csv (a quotation mark in it is never closed)"),
    "truths and nothing": ("a.csv", "a,b\n,1\nyes,2\n", {}, "got no value in line 2, column 'a'"),
    "binary": ("a.csv", bytes(range(256)) * 20, {}, "file: expected text, got a.csv, which holds the byte"),
    "zero bytes": ("a.csv", b"a,b\n1,2\n3,\x00\n", {}, "which holds the byte 0x00 in line 3"),
    "half a utf-16": ("a.csv", b"\xff\xfe\x00", {}, "file: expected text in utf-16, as its first bytes say"),
    "a workbook": ("a.xlsx", zipped("", "[Content_Types].xml"), {}, "got a.xlsx (save its sheet as CSV)"),
    "a workbook by another name": (
        "a.csv", zipped("", "[Content_Types].xml", "xl/a.xml"), {}, "a.csv, which is an Excel workbook",
    ),
    "an archive of two": ("a.csv.zip", zipped("1,2\n", "a.csv", "b.csv"), {}, "expected an archive of one file, got 2"),
    "half a gzip": (
        "a.csv.gz", gzip.compress(b"1,2\n" * 99)[:20], {}, "file: expected readable .csv features, got a.csv.gz (",
    ),
    "another format": ("a.json", "{}", {}, "file: expected one of .npy, .npz, .parquet, .csv"),
    "no npy": ("a.npy", "nonsense", {}, "file: expected readable .npy features, got a.npy ("),
    "no npz": ("a.npz", "nonsense", {}, "file: expected readable .npz features, got a.npz ("),
    "half an npz": ("a.npz", b"PK\x03\x04 cut off", {}, "file: expected readable .npz features, got a.npz ("),
    "no parquet": ("a.parquet", "nonsense", {}, "file: expected readable .parquet features, got a.parquet ("),
    "no such column": (
        "a.csv", "width,b\n1,2\n",
        {"columns": "Width "}, "columns: expected columns among width, b, got 'Width' (did you mean 'width'?)",
    ),
    "no such position": ("a.csv", "a,b\n1,2\n", {"columns": "3"}, "columns: expected columns among a, b, got '3'"),
    "a position from 0": ("a.csv", "a,b\n1,2\n", {"columns": "0"}, "got '0' (positions count from 1)"),
    "a range with a dash": ("a.csv", "a,b\n1,2\n", {"columns": "1-2"}, "got '1-2' (a range is written 1:2)"),
    "a range from right to left": (
        "a.csv", "a,b\n1,2\n", {"columns": "b:a"}, "columns: expected a range from left to right",
    ),
    "a column twice": ("a.csv", "a,b\n1,2\n", {"columns": "a,1"}, "columns: expected each column once, got 'a' twice"),
    "no columns": ("a.csv", "a,b\n1,2\n", {"columns": ""}, "columns: expected names, positions or ranges"),
    "text that is asked for": (
        "a.csv", "a,kind\n1,u\n2,v\n", {"columns": "a,kind"}, "got 'u' in line 2, column 'kind'",
    ),
    "labels of two columns": ("a.csv", "a,b\n1,2\n", {"labels": "1:2"}, "labels: expected one column"),
    "labels that are features": (
        "a.csv", "a,b\n1,2\n", {"labels": "b", "columns": "a:b"}, "labels: expected a column that is no feature",
    ),
    "no such labels": ("a.csv", "a,b\n1,2\n", {"labels": "kind"}, "labels: expected columns among a, b, got 'kind'"),
    "a row without a label": (
        "a.csv", "a,kind\n1,u\n2,\n",
        {"labels": "kind"}, "labels: expected a label in every row, got none in line 3, column 'kind'",
    ),
    "labels only": (
        "a.csv", "kind\nu\nv\n", {"labels": "kind", "header": True}, "file: expected at least one column of numbers",
    ),
    "names of another number": (
        "a.csv", "a,b\n1,5,2,5\n3,5,4,5\n", {},
        "file: expected a name for each of 4 columns, got 2 in the first line of a.csv: a, b",
    ),
    "names of several words between spaces": (
        "a.txt", "petal length petal width\n1 2\n3 4\n", {}, "a name for each of 2 columns, got 4 in the first line"
    ),
    "names between other marks": ("a.csv", "a;b\n1,2\n3,4\n", {}, "got 'a;b' in line 1, column 1 of a.csv"),
    "a line of a format": ("a.txt", "%%Format\n1 2\n3 4\n", {}, "got '%%Format' in line 1, column 1 of a.txt"),
    "formulas": ("a.csv", "a,b\n=1+1,2\n=2+2,3\n", {}, "got '=1+1' in line 2, column 'a'"),
    "sparse rows": ("a.txt", "1 1:0.5 2:0.3\n0 1:0.2 2:0.1\n", {}, "got '1:0.5' in line 1, column 2"),
    "ids and names only": ("a.csv", "id,name\n1,a\n2,b\n", {}, "besides those that name rows, got id, name in a.csv"),
    "a very long cell": ("a.csv", "a,b\n1," + "x" * 200_000 + "\n", {}, "expected readable .csv features, got a.csv ("),
    "columns by number": ("a.csv", "a,b\n1,2\n", {"columns": 2}, "columns: expected names, positions or ranges"),
    "text only": ("a.csv", "u,v\nw,x\n", {}, "file: expected at least one column of numbers"),
    "an array of a text": (
        "a.csv", "a,b\n1,2\n", {"array": "X"}, "array: expected a file .npz, whose arrays have names, got a.csv",
    ),
    "another decimal mark": ("a.csv", "a,b\n1,2\n", {"decimal": ";"}, "decimal: expected one of '.', ','"),
    "another delimiter": (
        "a.csv", "a,b\n1,2\n", {"delimiter": "::"}, "delimiter: expected one character, or one of tab",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "sentence"), BAD.values(), ids=BAD)
def test_what_is_no_table_is_one_sentence(tmp_path, name, content, options, sentence):
    with pytest.raises(ValueError) as raised:
        read_table(written(tmp_path, name, content), **options)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


class TestIdentifiers:
    """Both directions: what names rows is left out and said; what merely looks sorted stays."""

    @staticmethod
    def columns(folder, text, **options):
        table = read_table(written(folder, "a.csv", text), **options)
        return table.columns, table.ids, table.notes

    @staticmethod
    def counting(name, values, other="b"):
        return f"{name},{other}\n" + "".join(f"{value},{value * value % 7}.5\n" for value in values)

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("id", range(1, 6)), ("ID", [907, 13, 55]), ("sample_id", [5, 3, 4]), ("index", range(3)), ("UUID", [4, 9]),
            ("", [4, 9, 1]), ("Nr.", range(1, 5)), ("subject", [3, 2, 1]), ("row", range(7, 12)), ("#", range(1, 4)),
        ],
    )  # fmt: skip
    def test_are_left_out(self, tmp_path, name, values):
        columns, ids, notes = self.columns(tmp_path, self.counting(name, values))
        assert columns == ("b",)
        assert ids.tolist() == [str(value) for value in values]
        assert len(notes) == 1
        assert "names rows and is no feature" in notes[0]
        kept = self.columns(tmp_path, self.counting(name, values), columns="1:2")
        assert len(kept[0]) == 2
        assert kept[1] is None

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("year", range(1990, 2020)), ("x", range(1, 20)), ("day", range(1, 20)), ("grid", range(20)),
            ("customer_id", [1, 2, 2, 3]), ("subject", [1, 2, 4, 5]), ("width", range(5)), ("paid", range(10)),
        ],
    )  # fmt: skip
    def test_stay(self, tmp_path, name, values):
        columns, ids, _ = self.columns(tmp_path, self.counting(name, values))
        assert columns == (name, "b")
        assert ids is None

    def test_the_only_column_stays(self, tmp_path):
        for name in ("id", "a", "row"):
            columns, ids, _ = self.columns(tmp_path, f"{name}\n" + "".join(f"{n}\n" for n in range(1, 30)))
            assert (columns, ids) == ((name,), None)

    def test_fractions_are_no_ids(self, tmp_path):
        columns, ids, _ = self.columns(tmp_path, "id,b\n1.5,2\n2.5,3\n3.5,4\n")
        assert (columns, ids) == (("id", "b"), None)

    def test_two_sorted_columns_without_names_stay(self, tmp_path):
        """Ranks and grids run on in every column."""
        columns, ids, _ = self.columns(tmp_path, "".join(f"{n},{19 - n}\n" for n in range(20)))
        assert (columns, ids) == (("x1", "x2"), None)

    def test_few_rows_without_names_stay(self, tmp_path):
        columns, _, _ = self.columns(tmp_path, "1,2\n2,4\n3,1\n4,9\n")
        assert columns == ("x1", "x2")

    def test_any_order_and_start_without_names(self, tmp_path):
        order = np.random.default_rng(0).permutation(np.arange(100, 130))
        columns, ids, _ = self.columns(tmp_path, "".join(f"{n},{n % 7}.5,{n % 5}\n" for n in order))
        assert columns == ("x2", "x3")
        assert ids.tolist() == [str(n) for n in order]

    def test_a_counter_of_another_name_is_said(self, tmp_path):
        columns, _, notes = self.columns(tmp_path, self.counting("plot", range(1, 20)))
        assert columns == ("plot", "b")
        assert notes == ("Column 'plot' counts the rows from 1: it is taken as a feature (columns chooses).",)

    def test_arrays_too(self, tmp_path):
        values = np.column_stack([np.arange(12), np.sin(np.arange(12))])
        np.save(tmp_path / "a.npy", values)
        table = read_table(tmp_path / "a.npy")
        assert table.columns == ("x2",)
        np.testing.assert_array_equal(table.features, values[:, 1:])
        np.testing.assert_array_equal(read_table(tmp_path / "a.npy", columns="1:").features, values)


class TestLabels:
    def test_text_and_numbers(self, tmp_path):
        file = written(tmp_path, "a.csv", "kind,a,code\nrose,1,10\ntulip,2,2\nrose,3,10\n")
        table = read_table(file, labels="kind", columns="a")
        assert (table.labels.tolist(), table.label_names) == ([0, 1, 0], ("rose", "tulip"))
        table = read_table(file, labels="3", columns="a")
        assert (table.labels.tolist(), table.label_names) == ([1, 0, 1], ("2", "10"))  # 2 before 10

    def test_are_no_features_and_no_ids(self, tmp_path):
        table = read_table(written(tmp_path, "a.csv", "a,kind\n1.5,u\n2,v\n"), labels="kind")
        assert table.columns == ("a",)
        assert table.ids is None
        assert table.notes == ()

    def test_of_names_that_mean_nothing_elsewhere(self, tmp_path):
        table = read_table(written(tmp_path, "a.csv", "a,kind\n1.5,NA\n2,-\n3,NA\n"), labels="kind")
        assert table.label_names == ("-", "NA")

    def test_of_an_archive(self, tmp_path):
        X = np.random.default_rng(0).normal(size=(4, 2))
        np.savez(tmp_path / "a.npz", X=X, y=np.array(["u", "v", "u", "w"]))
        table = read_table(tmp_path / "a.npz", labels="y")
        np.testing.assert_array_equal(table.features, X)
        assert table.labels.tolist() == [0, 1, 0, 2]
        with pytest.raises(
            ValueError, match=r"labels: expected one of the arrays in a.npz: X \[4, 2\], y \[4\], or a column"
        ):
            read_table(tmp_path / "a.npz", labels="Y")
        np.savez(tmp_path / "a.npz", X=X, y=np.arange(3))
        with pytest.raises(
            ValueError, match=r"labels: expected one label for each of the 4 rows of X, got shape \(3,\)"
        ):
            read_table(tmp_path / "a.npz", labels="y")

    def test_that_may_be_features_are_said(self, tmp_path):
        table = read_table(written(tmp_path, "a.csv", "a,target\n1.5,0\n2,1\n3.5,0\n"))
        assert table.columns == ("a", "target")
        assert "may hold true clusters" in table.notes[0]


X = np.random.default_rng(0).normal(size=(4, 3))
RECORDS = np.array([(1.5, 2, "u"), (3.0, 4, "v")], dtype=[("a", ">f4"), ("b", "i2"), ("kind", "U3")])


class TestArrays:
    @pytest.mark.parametrize(
        "array",
        [
            X, X.astype(np.float16), X.astype(">f8"), np.asfortranarray(X), X[::-1, ::2], (X > 0),
            X.astype(np.longdouble), X.astype(np.float32), (X * 9).astype(np.int8), (X * 9).astype(">i4"),
            np.array([[2**64 - 1, 1], [0, 5]], np.uint64), np.array([["1.5", "2"], ["3", "4e1"]]),
            np.array([[b"1.5", b"2"]]), X[:1], X[:, :1],
        ],
        ids=lambda array: f"{array.dtype}{array.shape}",
    )  # fmt: skip
    def test_every_dtype_and_order(self, tmp_path, array):
        np.save(tmp_path / "a.npy", array)
        features = read_table(tmp_path / "a.npy").features
        assert features.dtype == np.float64
        np.testing.assert_array_equal(features, array.astype(np.float64))

    @pytest.mark.parametrize(
        ("array", "sentence"),
        [
            (np.ones(5), r"got shape \(5,\) in a.npy \(one column is reshape\(-1, 1\)\)"),
            (np.ones((2, 3, 4)), r"got shape \(2, 3, 4\) in a.npy \(each row in one line is reshape\(2, 12\)\)"),
            (np.ones((0, 4)), r"got shape \(0, 4\)"),
            (np.array(3.0), r"got shape \(\)"),
            (np.array([[{}, 1]], dtype=object), "an array of Python objects"),
            (np.array([["a", "a"], ["a", "a"]]), r"got 'a' in index \[0, 0\] of a.npy; text also in 'x2'"),
            (X * 1j, r"file: expected numbers \[N, D\], got complex numbers in a.npy"),
            (X.astype("M8[s]"), "got dates in a.npy"),
            (np.array([[1.0, 2.0], [3.0, np.nan]]), r"got no value \('nan'\) in index \[1, 1\] of a.npy"),
            (np.array([[1.0, -np.inf]]), r"got -inf in index \[0, 1\] of a.npy"),
            (np.array([[1, 2]], np.longdouble) * np.longdouble("1e400"), "too large for float64, in index"),
            (np.zeros(2, dtype=[("a", "f8", (3,))]), "record array"),
            (np.zeros(2, dtype=[("a", "f8"), ("b", "M8[s]")]), "fields of numbers or text, got 'b' of dtype"),
        ],
    )
    def test_what_is_none(self, tmp_path, array, sentence):
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        with pytest.raises(ValueError, match=sentence) as raised:
            read_table(tmp_path / "a.npy")
        assert "\n" not in str(raised.value)

    def test_records_have_names(self, tmp_path):
        np.save(tmp_path / "a.npy", RECORDS)
        table = read_table(tmp_path / "a.npy", labels="kind")
        assert table.columns == ("a", "b")
        assert table.features.tolist() == [[1.5, 2], [3, 4]]
        assert table.label_names == ("u", "v")

    def test_large_whole_numbers_are_rounded_and_said(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([[2**53 + 1, 1], [5, 2]]))
        table = read_table(tmp_path / "a.npy")
        assert table.notes == ("Column 'x1' with whole numbers above 2^53, which float64 rounds.",)

    def test_one_of_an_archive(self, tmp_path):
        file = tmp_path / "a.npz"
        np.savez(file, anything=X)
        assert read_table(file).notes == ()
        np.savez(file, features=X, more=X + 1, objects=np.array([{}], dtype=object))
        np.testing.assert_array_equal(read_table(file).features, X)
        np.testing.assert_array_equal(read_table(file, array="more").features, X + 1)
        with pytest.raises(ValueError, match=r"array: expected an array of numbers or of text, got objects in a.npz"):
            read_table(file, array="objects")
        np.savez(file, X=X, y=np.arange(4))
        table = read_table(file)
        np.testing.assert_array_equal(table.features, X)
        assert table.notes == (
            "X is read, the only array of rows and columns, y not (array chooses, labels takes true clusters).",
        )
        np.savez_compressed(file, x_train=X, y_train=np.arange(4), x_test=X[:2])
        several = r"told by array which one, got x_train \[4, 3\], y_train \[4\], x_test \[2, 3\] in a.npz"
        with pytest.raises(ValueError, match=several):
            read_table(file)
        np.testing.assert_array_equal(read_table(file, array="x_test").features, X[:2])
        with pytest.raises(
            ValueError, match=r"array: expected one of the arrays in a.npz: x_train \[4, 3\], .*, got 'z'"
        ):
            read_table(file, array="z")
        np.savez(file)
        with pytest.raises(ValueError, match="expected an archive of arrays, got a.npz, which holds none"):
            read_table(file)

    def test_parquet(self, tmp_path):
        file = tmp_path / "a.parquet"
        frame = pd.DataFrame(
            {"a": np.array([1, 2], np.int8), "kind": pd.Categorical(["u", "v"]), "b": pd.array([1.5, 2.5], "Float64")}
        )
        frame.to_parquet(file)
        table = read_table(file, labels="kind")
        assert (table.columns, table.features.tolist()) == (("a", "b"), [[1, 1.5], [2, 2.5]])
        frame.set_index(pd.Index(["r1", "r2"])).to_parquet(file)
        assert read_table(file, labels="kind").ids.tolist() == ["r1", "r2"]
        frame.assign(b=pd.array([1, None], "Int64")).to_parquet(file)
        with pytest.raises(ValueError, match=r"got no value in row 2, column 'b' of a.parquet"):
            read_table(file, labels="kind")
        frame.assign(when=pd.to_datetime(["2020-01-01", "2020-01-01"])).to_parquet(file)
        with pytest.raises(ValueError, match=r"got '2020-01-01 00:00:00' in row 1, column 'when' of a.parquet"):
            read_table(file, labels="kind")
        frame.assign(vector=[[1.0, 2.0], [1.0, 2.0]]).to_parquet(file)
        with pytest.raises(ValueError, match=r"got '.*1.*2.*' in row 1, column 'vector' of a.parquet"):
            read_table(file, labels="kind")


class TestFiles:
    def test_none_a_folder_and_a_link(self, tmp_path):
        with pytest.raises(ValueError, match=r"file: expected a file of features, got .*x.csv \(no such file\)"):
            read_table(tmp_path / "x.csv")
        with pytest.raises(ValueError, match=r"\(a folder\)"):
            read_table(tmp_path)
        np.save(tmp_path / "a.npy", X)
        os.symlink(tmp_path / "a.npy", tmp_path / "latest")
        np.testing.assert_array_equal(read_table(tmp_path / "latest").features, X)

    def test_lines_longer_than_what_is_looked_at(self, tmp_path):
        names, values = [f"gene{n}" for n in range(30_000)], np.arange(90_000).reshape(3, -1) / 8
        rows = [",".join(map(str, row)) for row in values.tolist()]
        lines = ["tissue," + ",".join(names), *(f"t{n},{row}" for n, row in enumerate(rows))]
        table = read_table(written(tmp_path, "a.csv", "\n".join(lines)))
        np.testing.assert_array_equal(table.features, values)
        assert table.columns == tuple(names)
        assert table.ids.tolist() == ["t0", "t1", "t2"]

    @pytest.mark.parametrize("seed", range(8))
    def test_what_pandas_writes_comes_back(self, tmp_path, seed):
        """Random tables under random conventions, to the last digit."""
        generator = np.random.default_rng(seed)
        values = generator.normal(size=(generator.integers(2, 30), generator.integers(2, 6)))
        values *= 10.0 ** generator.integers(-300, 300, values.shape[1])
        frame = pd.DataFrame(values, columns=[f"name {n}" for n in range(values.shape[1])])
        separator, decimal = [(",", "."), (";", ","), ("\t", ","), ("|", "."), (";", "."), (" ", ".")][seed % 6]
        has_names, has_index = seed % 2 == 0, seed % 3 == 0
        encoding = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"][seed % 4]
        frame.to_csv(
            tmp_path / "a.csv",
            sep=separator,
            decimal=decimal,
            header=has_names,
            index=has_index,
            encoding=encoding,
            lineterminator=["\n", "\r\n"][seed % 2],
        )
        table = read_table(tmp_path / "a.csv", columns=None if has_names or not has_index else "2:")
        np.testing.assert_array_equal(table.features, values)
        assert table.columns == tuple(frame) or not has_names

    def test_any_text_is_a_table_or_one_sentence(self, tmp_path):
        """Random cells between random delimiters, with slips in every tenth row."""
        generator = np.random.default_rng(0)
        atoms = [
            "1",
            "2.5",
            "1,5",
            "1.234",
            "a",
            "id",
            "",
            "NA",
            "inf",
            "yes",
            "#",
            '"',
            '"x,y"',
            "12%",
            "\u00a0",
            "=1",
            "1:2",
        ]
        sentences, num_read = [], 0
        for _ in range(150):
            delimiter, width = generator.choice([",", ";", "\t", " ", "|"]), generator.integers(1, 5)
            kinds = [*generator.choice(atoms, 3), *map(str, generator.normal(size=20))]
            widths = np.where(generator.random(8) < 0.9, width, generator.integers(0, 6, 8))
            lines = [delimiter.join(generator.choice(kinds, size)) for size in widths]
            try:
                table = read_table(written(tmp_path, "a.csv", "\n".join(lines)))
            except ValueError as error:
                sentences.append(str(error))
            else:
                assert np.isfinite(table.features).all()
                assert len(table.columns) == table.features.shape[1]
                num_read += 1
        assert num_read > 3
        assert all(": expected " in sentence and "\n" not in sentence for sentence in sentences)


class TestStandardised:
    def test_is_what_scikit_learn_gives(self):
        from sklearn.preprocessing import StandardScaler

        values = np.column_stack([X, np.full(4, 0.1), X[:, 0] * 1e200, X[:, 1] * 1e-200, X[:, 2] + 1e6])
        made = standardised(values)
        np.testing.assert_allclose(made.features[:, :3], StandardScaler().fit_transform(X), rtol=1e-12)
        assert made.is_constant.tolist() == [False] * 3 + [True] + [False] * 3
        np.testing.assert_array_equal(made.features[:, 3], 0)
        np.testing.assert_allclose(made.features[:, [4, 5]], made.features[:, [0, 1]], rtol=1e-12)
        # Of 1e6 and a few, float64 keeps ten digits of the few.
        np.testing.assert_allclose(made.features[:, 6], made.features[:, 2], atol=1e-9)
        np.testing.assert_allclose(made.restored(made.features), values, rtol=1e-9)

    def test_demands_numbers(self):
        with pytest.raises(ValueError, match=r"features: expected finite numbers \[N, D\], got shape \(3,\)"):
            standardised(np.ones(3))


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_what_unpacks_to_more_than_the_machine_holds_is_refused(tmp_path, monkeypatch, suffix):
    """A kilobyte can hold gigabytes: it is unpacked piece by piece, and no further than there is room for a table."""
    text, file = b"1.5,2\n" * 400_000, tmp_path / f"a.csv{suffix}"
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    if suffix == ".zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", text)
    else:
        file.write_bytes(pack[suffix](text))
    assert len(file.read_bytes()) < 50_000
    assert read_table(file).features.shape == (400_000, 2)
    monkeypatch.setattr(decoding, "machine_memory", lambda: 4_000_000)
    with pytest.raises(ValueError, match="file: expected a table that fits into memory, got a.csv.* unpacks to over"):
        read_table(file)
