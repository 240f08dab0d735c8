"""From file to Settings: what loads, what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.model.assets import Level
from monitor.model.codec import digest
from monitor.model.errors import ConfigurationError
from monitor.settings import load, load_journal
from monitor.settings_environment import config_path, operator_token
from monitor.settings_schema import json_schema
from tests.settings.settings_builders import GUARDIAN, KEY, RESPONDERS, SIGNERS, USER, VAULT, File, asset, text

ROOT = Path(__file__).parents[2]
EXAMPLE = {
    "NODE_A_URL": "wss://a",
    "NODE_B_URL": "wss://b",
    "SIGNER_URL": "https://signer",
    "LEDGER_URL": "postgresql://ledger/exchange",
    "LEDGER_KEY": "k" * 32,
    "ALICE_TOKEN": "a" * 32,
    "NIGHT_DESK_TOKEN": "b" * 32,
    "GRAFANA_TOKEN": "c" * 32,
    "TIGHTEN_PASSWORD": "p",
    "SLACK_URL": "slack://x/y/z",
}
INTERFACE = f"""
version: 1
mode: shadow                              # shadow | propose | enforce
store: sqlite:///drawbridge.db            # or postgresql://…
chains:
  - name: devnet
    chain_id: 31337                       # checked against the node
    rpc: [ "ws://127.0.0.1:8545", "http://127.0.0.1:8546" ]   # two or more make a quorum
    block_time_ms: 12000
    rpc_quorum: 2
    mempool: true
prices: {{ feeds: {{ }}, static: {{ }}, max_age_s: 3600 }}
ledgers: {{ }}
operators: [ ]
rules: [ ]
labels: [ ]
assets:
  - name: hot-1
    kind: hot_wallet
    chain: devnet
    address: "{USER}"
    value_usd: 25000000
    known_destinations: [ "{VAULT}" ]
    owner: treasury
    cold_address: "{GUARDIAN}"
    outage_usd_per_min: 800
    autonomy: {{ class_1: L3, class_2: L2 }}
  - name: vault
    kind: contract
    chain: devnet
    address: "{VAULT}"
    tokens: [ "{KEY}" ]
    pause: {{ via: guardian, guardian: "{GUARDIAN}" }}
    invariants: [ "totalAssets() >= totalSupply() * 999 / 1000" ]
    golden: [ {{ from: "{USER}", call: "repay(uint256)", args: [1], must: pass }} ]
detectors:
  outflow_velocity: {{ max_usd_per_hour: 500000 }}
responders:
  pause: {{ signer: guardian-key }}
signers:
  guardian-key: {{ keystore: "/path/key.json", password_env: GUARDIAN_PASSWORD }}
policy: default
notify: [ "env:SLACK" ]
exchange: {{ }}
safe: {{ }}
console: {{ host: 127.0.0.1, port: 8700 }}
bus: local
"""


def test_the_sample_of_the_interface_loads(file: File) -> None:
    settings = file.load(INTERFACE, environment={"GUARDIAN_PASSWORD": "x", "SLACK": "slack://a/b/c"})
    assert [a.name for a in settings.assets] == ["hot-1", "vault"]
    hot, vault = settings.assets
    assert hot.autonomy == (Level.AUTOMATIC, Level.AUTOMATIC, Level.WITH_APPROVAL, Level.RECOMMEND)
    assert vault.pause is not None
    assert vault.pause.signer == "guardian-key"
    assert len(vault.invariants[0].probes) == 2
    assert vault.golden[0].call.data[4:] == (1).to_bytes(32, "big")
    assert settings.detectors == {"outflow_velocity": {"max_usd_per_hour": 500000}}
    assert settings.rules[0].slot_s == 12
    assert settings.notify == ("slack://a/b/c",)


def test_the_shipped_example_loads_without_a_warning() -> None:
    assert load(str(ROOT / "config" / "example.yaml"), environment=EXAMPLE).warnings == ()


def test_every_fault_is_told_at_once_with_line_field_and_what_is_allowed(file: File) -> None:
    content = text(
        "modee: shadow",
        "assets:",
        asset(kind="valut"),
        asset("other", chain="mainnet", address='"0x1"'),
        asset("third", chain="mainnet", address=f'"{GUARDIAN}"', ledger="books"),
        'notify: ["env:NOT_SET"]',
        "operators: [ { name: x, role: boss } ]",
        chain='{ name: devnet, chain_id: 31337, rpc: ["ftp://a"], blok_time_ms: 1 }',
    )
    faults = file.faults(content)
    assert [fault.split(": ")[0] + " " + fault.split(": ")[1] for fault in faults] == [
        "3 chains.0.blok_time_ms",
        "3 chains.0.rpc.0",
        "4 modee",
        "6 assets.0.kind",
        "7 assets.1.address",
        "8 assets.2.chain",
        "8 assets.2.ledger",
        "9 notify.0",
        "10 operators.0.role",
    ]
    assert "did you mean block_time_ms? allowed: block_time_ms, chain_id" in faults[0]
    assert "did you mean mode?" in faults[2]
    assert "must be 'hot_wallet', 'contract'" in faults[3]
    assert "0x and 40 hex digits" in faults[4]
    assert "'mainnet' is not in `chains`; there: devnet" in faults[5]
    assert "NOT_SET is not set" in faults[7]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("assets: [{}]", "assets.0.name: is required"),
        ("labels:", "labels: is empty; write a value or remove the line"),
        ("rules: [ { a: 1 } ]", "rules: is not in this version"),
        ("policy: { prior_assets: 0.1 }", "policy: unknown: prior_assets"),
        ("policy: { prior_asset: 7 }", "policy: prior_asset must be between 0 and 1"),
        ("policy: absent.yaml", "policy: "),
        (f"signers: {{ k: {{ rpc: 'http://[::1', address: '{KEY}' }} }}", "signers.k.rpc: names no host"),
        (f"signers: {{ k: {{ rpc: 'http://', address: '{KEY}' }} }}", "signers.k.rpc: names no host"),
        (f"signers: {{ k: {{ rpc: 'http://x:99999', address: '{KEY}' }} }}", "signers.k.rpc: names no host"),
        ("store: mysql://x", "store: must be sqlite:///file.db or postgresql://"),
        ("prices: { static: { 'nochain:native': { usd: 1 } } }", "chain 'nochain' is not configured"),
        ("prices: { static: { 'devnet:0x12': { usd: 1 } } }", "write chain:0xtoken or chain:native"),
        ("prices: { static: { 'devnet:native': { usd: .nan } } }", "prices.static.devnet:native.usd"),
        ("ledgers: { main: { url: 'sqlite:///x.db', key_env: NONE } }", "environment variable NONE is not set"),
        ("labels: [ { path: absent.txt } ]", "labels.0.path: 'absent.txt' is no file"),
        ("labels: [ { url: 'https://x' } ]", "labels.0.url: is not in this version"),
        ("signers: { k: {} }", "signers.k: needs either keystore and password_env, or rpc and address"),
        ("signers: { k: { keystore: x } }", "signers.k: a keystore needs password_env"),
        ("signers: { k: { rpc: 'http://x' } }", "signers.k: a remote signer needs address"),
        ("signers: { k: { aws_kms: 'arn:x' } }", "signers.k.aws_kms: is not in this version"),
        ("responders: { pause: { signer: nobody } }", "responders.pause.signer: 'nobody' is not in `signers`: none"),
        ("operators: [ { name: x, role: viewer } ]", "needs token_env, token_sha256 or address"),
        ("operators: [ { name: x, role: viewer, token_env: NONE } ]", "operators.0.token_env: environment variable"),
        ("detectors: { 'a b': {} }", "a shipped one's name, or package.module:Class"),
        ("console: { port: 70000 }", "console.port: must be less than or equal to 65535, not 70000"),
    ],
)
def test_a_fault_says_what_is_allowed(file: File, line: str, said: str) -> None:
    faults = file.faults(text(line))
    assert any(said in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"address": '"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeb"'}, "its EIP-55 checksum is wrong"),
        ({"address": '"0x' + "0" * 40 + '"'}, "is the zero address"),
        ({"cold_address": f'"{VAULT}"'}, "cold_address: is the asset itself"),
        ({"invariants": '["totalAssets( >= 1"]'}, "assets.0.invariants.0"),
        ({"golden": f'[{{ from: "{USER}", call: "repay(uint256)" }}]'}, "as many args"),
        ({"golden": f'[{{ from: "{USER}", call: "repay" }}]'}, "write name(type,…)"),
        ({"pause": "{ via: safe }"}, "'safe' is not in this version"),
        ({"pause": "{ via: guardian }"}, "needs guardian"),
        ({"pause": "{ via: direct }"}, "names no signer; set responders.pause.signer"),
        ({"tighten": "{ signer: nobody }"}, "assets.0.tighten: 'nobody' is not in `signers`"),
    ],
)
def test_an_asset_that_cannot_be_meant_is_refused(file: File, fields: dict[str, str], said: str) -> None:
    faults = file.faults(text("assets:", asset(**fields)))
    assert any(said in fault for fault in faults), faults


def test_names_and_addresses_are_used_once(file: File) -> None:
    faults = file.faults(text("assets:", asset(), asset()))
    assert any("assets.1.name: 'vault' is used twice" in fault for fault in faults)
    assert any("assets.1.address: is 'vault' already" in fault for fault in faults)


def test_a_quorum_of_one_url_written_twice_is_no_quorum(file: File) -> None:
    faults = file.faults(text(chain='{ name: devnet, chain_id: 1, rpc: ["ws://a", "ws://a"] }'))
    assert "rpc_quorum: is 2, but 1 different node is named" in faults[0]


def test_a_single_node_is_warned_about_and_reaches_the_core_as_a_quorum_of_one(file: File) -> None:
    settings = file.load(text(chain='{ name: devnet, chain_id: 1, rpc: ["ws://a"], rpc_quorum: 1 }'))
    assert settings.rules[0].quorum == 1
    assert any("a single node decides" in warning for warning in settings.warnings)


ENFORCED = {"autonomy": "{ class_2: L3 }", "pause": f'{{ via: guardian, guardian: "{GUARDIAN}" }}'}


def test_enforce_mode_demands_what_a_decision_needs(file: File) -> None:
    content = text("assets:", asset(**ENFORCED), SIGNERS, RESPONDERS)
    assert file.load(content).mode == "shadow"
    faults = file.faults(content, mode="enforce")
    assert len(faults) == 2
    assert "golden: is required in enforce mode" in faults[0]
    assert "outage_usd_per_min: is required in enforce mode" in faults[1]


def test_enforce_mode_wants_a_ledger_for_an_automatic_pause_of_a_hot_wallet(file: File) -> None:
    wallet = asset(**(ENFORCED | {"kind": "hot_wallet", "outage_usd_per_min": "1"}))
    faults = file.faults(text("assets:", wallet, SIGNERS, RESPONDERS), mode="enforce")
    assert faults == [
        "5: assets.0.ledger: is required in enforce mode for automatic class 2 on a hot wallet",
    ]


def test_the_mode_of_the_command_line_goes_before_the_file(file: File) -> None:
    assert file.load(text("mode: enforce"), mode="shadow").mode == "shadow"


def test_no_message_and_no_repr_shows_a_secret(file: File) -> None:
    secret = "Zm9vYmFy-hunter2"
    content = text(
        "store: postgresql://me:${PASSWORD}@host/db",
        'notify: ["env:PASSWORD"]',
        "assets:",
        asset(address='"${PASSWORD}"', kind='"${PASSWORD}"'),
        chain='{ name: devnet, chain_id: 1, rpc: ["ftp://${PASSWORD}", "ftp://' + secret + '"] }',
    )
    assert secret not in "".join(file.faults(content, environment={"PASSWORD": secret}))
    fine = text(
        "store: postgresql://me:${PASSWORD}@host/db",
        "notify: ['env:PASSWORD']",
        chain='{ name: d, chain_id: 1, rpc: ["wss://${PASSWORD}"], rpc_quorum: 1 }',
    )
    settings = file.load(fine, environment={"PASSWORD": f"slack://{secret}"})
    assert secret not in repr(settings)
    assert secret.encode() not in settings.content


@pytest.mark.parametrize(
    "line",
    [
        "store: postgresql://me:pass@host/db",
        "notify: ['slack://tokenA/tokenB/tokenC']",
        "ledgers: { main: { url: 'postgresql://me:pass@host/db', key_env: KEY } }",
        f"signers: {{ k: {{ rpc: 'https://me:pass@host', address: '{KEY}' }} }}",
    ],
)
def test_a_secret_in_plain_text_is_a_warning(file: File, line: str) -> None:
    warnings = file.load(text(line), environment={"KEY": "k" * 16}).warnings
    assert any("plain text" in warning for warning in warnings)
    assert "pass@" not in "".join(warnings)
    assert "tokenA" not in "".join(warnings)


def test_a_node_key_in_plain_text_is_a_warning_and_one_from_the_environment_is_not(file: File) -> None:
    url = "wss://mainnet.example/v3/0123456789abcdef0123456789abcdef"
    plain = file.load(text(chain=f'{{ name: d, chain_id: 1, rpc: ["{url}", "ws://b"] }}'))
    assert any("chains.0.rpc.0: a key in plain text" in warning for warning in plain.warnings)
    read = file.load(text(chain='{ name: d, chain_id: 1, rpc: ["${URL}", "ws://b"] }'), environment={"URL": url})
    assert read.warnings == ("assets: none is configured: nothing is protected",)


def test_operators_keep_only_the_hash_of_a_token(file: File) -> None:
    token = "correct horse battery"
    settings = file.load(
        text("operators: [ { name: a, role: admin, token_env: T } ]"),
        environment={"T": token},
    )
    assert settings.operators[0].token_sha256 == digest(token.encode()).hex()
    assert token not in repr(settings.operators)


def test_short_and_shared_tokens_are_refused(file: File) -> None:
    two = text("operators: [ { name: a, role: admin, token_env: T }, { name: b, role: viewer, token_env: T } ]")
    assert "too short" in file.faults(two, environment={"T": "short"})[0]
    assert "the same token" in file.faults(two, environment={"T": "long enough to be good"})[0]


def test_paths_are_relative_to_the_configuration(file: File) -> None:
    folder = file.path.parent
    settings = file.load(text("store: sqlite:///data/j.db", SIGNERS))
    assert settings.store == f"sqlite:///{folder}/data/j.db"
    assert settings.anchor == f"{folder}/drawbridge.yaml.anchor"
    assert settings.kill_file == f"{folder}/drawbridge.yaml.disarmed"
    absolute = file.load(text("store: sqlite:////var/j.db", "anchor: ''", "kill_file: /run/stop"))
    assert (absolute.store, absolute.anchor, absolute.kill_file) == ("sqlite:////var/j.db", "", "/run/stop")
    assert any("anchor is switched off" in warning for warning in absolute.warnings)


def test_a_policy_comes_from_a_file_or_from_the_configuration(file: File) -> None:
    (file.path.parent / "mine.yaml").write_text("name: mine\nprior_asset: 0.001\n")
    assert file.load(text("policy: mine.yaml")).policy.prior_asset == 0.001
    assert file.load(text("policy: { dwell_s: 60 }")).policy.dwell_s == 60


def test_the_digest_covers_what_decides_and_nothing_else(file: File) -> None:
    one = file.load(text("assets:", asset()))
    assert one.digest == digest(one.content)
    assert file.load(text("assets:", asset(), "notify: ['json://x']")).digest == one.digest
    assert file.load(text("assets:", asset(value_usd="1"))).digest != one.digest
    assert file.load(text("policy: { dwell_s: 60 }", "assets:", asset())).digest != one.digest


def test_a_changed_label_file_is_another_configuration(file: File) -> None:
    labels = file.path.parent / "labels.txt"
    labels.write_text("0x" + "12" * 20)
    content = text("labels: [ { path: labels.txt } ]")
    first = file.load(content)
    labels.write_text("0x" + "13" * 20)
    assert file.load(content).digest != first.digest
    labels.write_text("0x" + "12" * 20)
    assert file.load(content).digest == first.digest


def test_a_journalled_configuration_comes_back_whole(file: File) -> None:
    settings = file.load(INTERFACE, environment={"GUARDIAN_PASSWORD": "x", "SLACK": "slack://a/b/c"})
    other = file.load(text())
    again = other.recorded(settings.content)
    assert again.content == settings.content
    assert again.assets == settings.assets
    assert again.rules == settings.rules


def test_who_reads_the_journal_needs_no_secrets(file: File) -> None:
    content = text(
        'notify: ["env:NOT_SET"]',
        "operators: [ { name: a, role: admin, token_env: NOT_SET } ]",
        chain='{ name: d, chain_id: 1, rpc: ["${NOT_SET}", "ws://b"] }',
    )
    assert file.load(content, secrets=False).operators[0].token_sha256 == ""
    assert len(file.faults(content)) == 3


def test_the_schema_describes_every_key_and_refuses_unknown_ones() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert {"version", "chains", "assets", "signers"} <= set(schema["properties"])
    undescribed = [
        f"{name}.{key}"
        for name, part in schema["$defs"].items()
        for key, field in part.get("properties", {}).items()
        if not part.get("description")
    ]
    assert undescribed == []


def test_the_configuration_is_found_by_flag_then_variable_then_name() -> None:
    assert config_path("a.yaml", {"DRAWBRIDGE_CONFIG": "b.yaml"}) == "a.yaml"
    assert config_path(None, {"DRAWBRIDGE_CONFIG": "b.yaml"}) == "b.yaml"
    assert config_path(None, {}) == "./drawbridge.yaml"
    assert operator_token({"DRAWBRIDGE_TOKEN": "t"}) == "t"
    assert operator_token({}) == ""


def test_wiring_can_name_the_line_of_what_only_it_can_judge(file: File) -> None:
    settings = file.load(text("detectors:", "  nonesuch: {}"))
    assert isinstance(settings.fault(("detectors", "nonesuch"), "no such detector"), ConfigurationError)
    assert str(settings.fault(("detectors", "nonesuch"), "x")) == f"{file.path}:5: detectors.nonesuch: x"


def test_the_shipped_local_example_loads_and_could_enforce() -> None:
    environment = {"VAULT": VAULT, "GUARDIAN": GUARDIAN, "DRAWBRIDGE_TOKEN": "t" * 32}
    path = str(ROOT / "config" / "local.yaml")
    assert load(path, environment=environment).mode == "shadow"
    assert load(path, environment=environment, mode="enforce").assets[0].name == "vault"


def test_the_journals_settings_load_whatever_else_is_wrong(file: File) -> None:
    file.path.write_text("version: 9\nstore: sqlite:///x.db\nassets: [ { name: 1 } ]\nchains: nonsense\n")
    settings = load_journal(str(file.path), environment={})
    assert settings.store.endswith("/x.db")
    assert settings.kill_file.endswith(".disarmed")
    file.path.write_text("store: mysql://x\noperators: [ { name: a } ]\n")
    with pytest.raises(ConfigurationError, match=r"operators\.0\.role: is required"):
        load_journal(str(file.path), environment={})
