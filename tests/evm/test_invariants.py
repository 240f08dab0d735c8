"""The owner's invariants: parsed with a position for each fault, evaluated exactly, never broken by what is unknown."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm.abi import encode_call, selector
from monitor.evm.invariants import after, before, described, evaluate, parse, views
from monitor.model.assets import Expression, Invariant, Operand, Operation
from monitor.model.chain import Probe, Reading, ether_probe
from monitor.model.codec import decode as decoded
from monitor.model.codec import encode as canonical
from monitor.model.errors import ConfigurationError
from monitor.model.units import address
from tests.evm.evm_builders import BOB, VAULT, shown, word

HEX = shown(BOB)
CHECKSUMMED = address("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed")
ASSETS, SUPPLY = Probe(VAULT, selector("totalAssets()")), Probe(VAULT, selector("totalSupply()"))


def holds(text: str, **values: int) -> bool | None:
    """Evaluate with views by name; those that are not given are unread."""
    return evaluate(
        parse(text, asset=VAULT), {Probe(VAULT, selector(f"{name}()")): word(n) for name, n in values.items()}
    )


def test_a_view_is_read_from_the_asset() -> None:
    invariant = parse("totalAssets() >= totalSupply()", asset=VAULT)
    assert invariant.probes == (ASSETS, SUPPLY)
    assert evaluate(invariant, {ASSETS: word(5), SUPPLY: word(5)}) is True
    assert evaluate(invariant, {ASSETS: word(4), SUPPLY: word(5)}) is False


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        (f"{HEX}.balanceOf(self)", Probe(BOB, encode_call("balanceOf(address)", VAULT))),
        (f"balanceOf({HEX})", Probe(VAULT, encode_call("balanceOf(address)", BOB))),
        ("self.f()", Probe(VAULT, selector("f()"))),
        ("f(5, true, false)", Probe(VAULT, encode_call("f(uint256,bool,bool)", 5, True, False))),
        ("f(-5)", Probe(VAULT, encode_call("f(int256)", -5))),
        ("f(uint80 5, int24 -7)", Probe(VAULT, encode_call("f(uint80,int24)", 5, -7))),
        (f"f(0x{'ab' * 32})", Probe(VAULT, encode_call("f(bytes32)", b"\xab" * 32))),
        ("f(bytes4 0x01020304)", Probe(VAULT, encode_call("f(bytes4)", b"\x01\x02\x03\x04"))),
        ("balance()", Probe(VAULT, selector("balance()"))),
        ("self.balance()", Probe(VAULT, selector("balance()"))),
        ("self.balance", ether_probe(VAULT)),
        (f"{HEX}.balance", ether_probe(BOB)),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed.f()", Probe(CHECKSUMMED, selector("f()"))),
    ],
)
def test_every_way_to_name_a_view_gives_its_probe(text: str, probe: Probe) -> None:
    invariant = parse(f"0 <= {text}", asset=VAULT)
    assert invariant.probes == (probe,)
    assert [view.text for view in views(invariant.tree)] == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1_000", 1000), ("5e17", 5 * 10**17), ("1.5e18", 15 * 10**17), ("1.50e1", 15), ("-3", -3), ("2e0", 2)],
)
def test_numbers_are_exact(text: str, value: int) -> None:
    tree = parse(f"{text} == 0", asset=VAULT).tree
    assert isinstance(tree, Operation)
    assert tree.left == Operand(value)


def test_a_signed_view_may_be_negative() -> None:
    assert holds("int(answer()) < 0", answer=-1) is True
    assert holds("answer() < 0", answer=-1) is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 == 7", True),
        ("(1 + 2) * 3 == 9", True),
        ("10 - 2 - 3 == 5", True),
        ("7 / 2 == 3 and -7 / 2 == -4", True),
        ("1 > 2 or 2 > 1 and 3 > 2", True),
        ("(1 > 2 or 2 > 1) and 3 != 3", False),
        ("-(2 + 3) < 0 and --1 == 1", True),
        ("1 >= 1 and 1 <= 1 and 1 == 1 and not_zero() > 0", True),
    ],
)
def test_operators_bind_as_everywhere(text: str, expected: bool) -> None:
    assert holds(text, not_zero=1) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gone() > 1", None),
        ("a() > gone()", None),
        ("a() > 1 and gone() > 1", False),
        ("gone() > 1 and a() > 1", False),
        ("a() == 1 and gone() > 1", None),
        ("a() == 1 or gone() > 1", True),
        ("gone() > 1 or a() == 1", True),
        ("a() > 1 or gone() > 1", None),
        ("a() / zero() > 1", None),
        ("zero() == 0 or a() / zero() > 1", True),
    ],
)
def test_what_is_unknown_is_never_broken_unless_it_cannot_matter(text: str, expected: bool | None) -> None:
    assert holds(text, a=1, zero=0) is expected


@pytest.mark.parametrize("raw", [None, b"", bytes(31)])
def test_a_view_that_reverted_or_returned_too_little_is_unknown(raw: bytes | None) -> None:
    invariant = parse("totalAssets() > 5", asset=VAULT)
    assert evaluate(invariant, {ASSETS: raw}) is None
    assert described(invariant, {ASSETS: raw}) == "totalAssets() = unknown"


def test_an_invariant_is_described_with_its_values() -> None:
    invariant = parse(" totalAssets()>=totalSupply( ) + totalAssets()", asset=VAULT)
    readings = (Reading(ASSETS, word(5), word(4)), Reading(SUPPLY, None, word(9)))
    assert described(invariant, before(readings)) == "totalAssets() = 5, totalSupply( ) = unknown"
    assert described(invariant, after(readings)) == "totalAssets() = 4, totalSupply( ) = 9"


@pytest.mark.parametrize(
    ("text", "position", "allowed"),
    [
        ("", 1, "a number, a view"),
        ("1", 1, "a comparison"),
        ("totalAssets()", 1, "a comparison"),
        ("1 and 2 > 1", 3, "comparisons on both sides"),
        ("1 < 2 < 3", 7, "numbers on both sides"),
        ("-(1 > 2) > 1", 1, "numbers on both sides"),
        ("foo > 1", 5, "( after foo"),
        ("1 > 2)", 6, "an operator or the end"),
        ("(1 > 2", 7, "an operator or )"),
        ("1 > and", 5, "a number, a view"),
        ("self > 1", 6, ". and the name"),
        ("self.5 > 1", 6, "a number, a view"),
        ("self.balance.x() > 1", 13, "an operator"),
        ("0x12.f() > 1", 1, "an address of 40 digits"),
        (f"{HEX} > 1", 44, ". and the name"),
        ("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed.f() > 1", 1, "EIP-55"),
        ("f(,) > 1", 3, "a literal"),
        ("f(1,) > 1", 5, "a literal"),
        ("f(1 > 1", 5, ", or )"),
        ("f(foo) > 1", 3, "a literal"),
        ("f(0x123) > 1", 3, "a literal"),
        ("f(-x) > 1", 4, "a number"),
        ("f(uint8 300) > 1", 1, "fit their types"),
        ("f(uint7 1) > 1", 1, "fit their types"),
        ("f(address 1) > 1", 1, "fit their types"),
        ("f(1,2,3,4,5,6,7,8,9) > 1", 20, "at most 8 arguments"),
        ("int(5) > 1", 5, "a number, a view"),
        ("int(f() > 1", 9, ")"),
        ("1.5 > 1", 1, "a whole number"),
        ("1e99 > 1", 1, "a whole number"),
        ("1 > $", 5, "a number, a view"),
        ("1 > 12ab", 5, "a number, a view"),
        ("(" * 20 + "1", 17, "16 levels"),
        ("+".join("1" * 20) + " > 1", 34, "16 operations"),
    ],
)
def test_a_fault_says_where_it_is_and_what_is_allowed(text: str, position: int, allowed: str) -> None:
    with pytest.raises(ConfigurationError) as fault:
        parse(text, asset=VAULT)
    assert f"position {position}: " in str(fault.value)
    assert allowed in str(fault.value).split("allowed: ")[1]
    assert "\n" not in str(fault.value)


def test_an_invariant_has_a_length() -> None:
    with pytest.raises(ConfigurationError, match="at most 512"):
        parse("1 > 2 or " * 100 + "1 > 2", asset=VAULT)


def shown_tree(tree: Expression) -> str:
    if isinstance(tree, Operation):
        return f"({shown_tree(tree.left)} {tree.operator} {shown_tree(tree.right)})"
    return str(tree.value) if isinstance(tree, Operand) else tree.text


NUMBERS = st.recursive(
    st.integers(-50, 10**30).map(str) | st.sampled_from(("a()", "b()", "int(c())")),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
    max_leaves=6,
)
CLAIMS = st.recursive(
    st.tuples(NUMBERS, st.sampled_from((">=", ">", "<=", "<", "==", "!=")), NUMBERS).map(" ".join),
    lambda inner: st.builds("({}) {} ({})".format, inner, st.sampled_from(("and", "or")), inner),
    max_leaves=3,
).filter(lambda text: len(text) <= 512)


@given(CLAIMS, st.integers(0, 9), st.integers(0, 2**256 - 1), st.integers(-(2**255), 2**255 - 1))
def test_any_expression_means_what_python_says_it_means(text: str, a: int, b: int, c: int) -> None:
    names: dict[str, Callable[..., int]] = {"a": lambda: a, "b": lambda: b, "c": lambda: c, "int": lambda value: value}
    found = holds(text, a=a, b=b, c=c)
    try:
        assert found is eval(text.replace("/", "//"), {"__builtins__": {}}, names)
    except ZeroDivisionError:
        assert found is None or " and " in text or " or " in text


@given(CLAIMS)
def test_a_tree_survives_text_and_the_codec(text: str) -> None:
    invariant = parse(text, asset=VAULT)
    assert parse(shown_tree(invariant.tree), asset=VAULT).tree == invariant.tree
    assert decoded(canonical(invariant), Invariant) == invariant


@given(st.text(alphabet="ab()<>=+-*/.,0x1 \n_e&", max_size=40) | st.text(max_size=20))
def test_any_text_is_an_invariant_or_a_configuration_error(text: str) -> None:
    with suppress(ConfigurationError):
        evaluate(parse(text, asset=VAULT), {})


def test_arguments_are_encoded_as_the_coder_does() -> None:
    (probe,) = parse(f"f({HEX}, 7) > 0", asset=VAULT).probes
    arguments: tuple[Any, ...] = (BOB, 7)
    assert probe.data[4:] == encode(["address", "uint256"], arguments)
