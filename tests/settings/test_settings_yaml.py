"""YAML from outside: hostile, misspelt, enormous."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.model.errors import ConfigurationError
from monitor.settings_yaml import MAX_BYTES, Document
from tests.settings.settings_builders import File, text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [1, 2", "is not YAML"),
        ("a: 1\n\tb: 2", "is not YAML"),
        ("a: &x 1\nb: *x", "aliases are not allowed"),
        ("a: &x [1]\nb: {<<: *x}", "aliases are not allowed"),
        ("--- 1\n--- 2", "is not YAML"),
        ("a: \x00", "is not YAML"),
        ("[" * 900_000, "nested too deeply"),
        ("a: " + "[" * 40 + "]" * 40, "nested too deeply"),
        ("- " * 40 + "x", "nested too deeply"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(content: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        Document("d.yaml", content, {})
    assert caught.value.faults[0].startswith("d.yaml:")


def test_an_alias_is_named_with_the_line_where_it_stands() -> None:
    with pytest.raises(ConfigurationError, match=r"^d\.yaml:3: file"):
        Document("d.yaml", "a: 1\nb: 2\nc: &x 3\n", {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: 1\na: 2", "2: a: is written twice"),
        ("a: !!python/object:os.system x", "1: a: the tag"),
        ("a: !!binary aGk=", "1: a: the tag"),
        ("? [1]\n: 2", "a key must be a plain word"),
    ],
)
def test_what_is_yaml_and_still_not_plain_is_a_fault(content: str, said: str) -> None:
    assert any(said in fault for fault in Document("d.yaml", content, {}).faults.values())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0x" + "12" * 20, "0x" + "12" * 20),
        ("0123", "0123"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000_000", 1_000_000),
        ("-7", -7),
        ("0.5", 0.5),
        ("true", True),
        ("~", None),
        ("'7'", "7"),
    ],
)
def test_a_scalar_means_what_a_person_reads(written: str, meant: object) -> None:
    assert Document("d.yaml", f"a: {written}", {}).data == {"a": meant}


def test_a_variable_is_read_and_remembered_as_a_secret() -> None:
    document = Document("d.yaml", "a: [x, 'pre-${KEY}-post']\nb: 1", {"KEY": "s3cret"})
    assert document.data == {"a": ["x", "pre-s3cret-post"], "b": 1}
    assert document.from_environment(("a", 1))
    assert document.from_environment(("a",))
    assert not document.from_environment(("b",))


def test_without_secrets_a_variable_that_is_not_set_stays_as_it_is_written() -> None:
    document = Document("d.yaml", "a: ${KEY}", {}, secrets=False)
    assert document.data == {"a": "${KEY}"}
    assert not document.faults


def test_a_file_that_is_too_large_is_not_read_whole(file: File) -> None:
    file.path.write_bytes(b"#" * (MAX_BYTES + 10))
    with pytest.raises(ConfigurationError, match="larger than"):
        file.load("#" * (MAX_BYTES + 10))


def test_a_file_that_is_not_there_or_not_text_is_one_line(file: File) -> None:
    from monitor.settings import load

    with pytest.raises(ConfigurationError, match=r"absent\.yaml:1: file: cannot be read: No such file"):
        load(str(file.path.parent / "absent.yaml"), environment={})
    file.path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        load(str(file.path), environment={})


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_loads_or_is_a_configuration_error(file: File, content: str) -> None:
    with pytest.raises(ConfigurationError):
        file.load(content)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cut=st.integers(0, 200),
    put=st.sampled_from(["", "{", "]", ": ", "- ", "0", "~", "'", "\n", "!!x ", "${X}", "\u202e"]),
)
def test_a_damaged_configuration_loads_or_is_a_configuration_error(file: File, cut: int, put: str) -> None:
    good = text("operators: [ { name: a, role: admin, address: '0x" + "11" * 20 + "' } ]")
    with suppress(ConfigurationError):
        file.load(good[:cut] + put + good[cut:])
