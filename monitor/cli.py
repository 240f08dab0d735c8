"""The verbs. Each says what it takes and hands over to a module of its own, imported only then: --help stays fast."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli_main import own_process
from monitor.cli_main import run as run_application
from monitor.settings_environment import config_path

app = typer.Typer(
    name="drawbridge",
    help="Closed-loop defence of on-chain funds: observe, score, rehearse on a fork, respond, verify, learn.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
audit_app = typer.Typer(help="Check the journal.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(audit_app, name="audit")

_FOUND = "else DRAWBRIDGE_CONFIG, else ./drawbridge.yaml"
ConfigArgument = Annotated[str | None, typer.Argument(metavar="CONFIG", help=f"Configuration file; {_FOUND}.")]
ConfigOption = Annotated[str | None, typer.Option("--config", metavar="FILE", help=f"Configuration file; {_FOUND}.")]
ModeOption = Annotated[str | None, typer.Option("--mode", metavar="MODE", help="shadow, propose or enforce.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Operator; needed where only the monitor can read the tokens."),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is journalled with your name.")]


def main() -> int:
    """Entry point of `drawbridge`."""
    own_process(sys.argv[1:])
    return run_application(app, sys.argv[1:])


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks of faults; may stand anywhere.")] = False,
) -> None:
    """--debug is taken out of the arguments by cli_main before this sees them."""


@app.command()
def check(config: ConfigArgument = None, mode: ModeOption = None, json: JsonOption = False) -> None:
    """Connect, read the chain id, and probe on a fork what each response key may and may not do.

    Exit 0 fine, 1 something is wrong, 2 the configuration is invalid.
    """
    from monitor.cli_check import check

    raise typer.Exit(check(config_path(config), mode=_mode(mode), json=json))


@app.command()
def run(
    config: ConfigArgument = None,
    for_: Annotated[float | None, typer.Option("--for", metavar="SECONDS", min=0, help="Stop by itself.")] = None,
    mode: ModeOption = None,
) -> None:
    """Run the loop. SIGTERM drains and stops within 10 s; SIGHUP loads the configuration anew.

    A valid reload drains the loop, journals the new configuration and goes on from the journal; an invalid one is
    refused, and the old one stays. Exit 0, 1 could not start, 2 configuration, 3 journal lost.
    """
    from monitor.cli_run import run

    raise typer.Exit(run(config_path(config), for_s=for_, mode=_mode(mode)))


@app.command()
def rehearse(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Scenarios; all without any.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the scenarios.")] = False,
    fork_url: Annotated[
        str | None, typer.Option("--fork-url", metavar="URL", help="Play on a fork of this node.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the report goes.")] = Path("reports"),
    json: JsonOption = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0)] = 1,
    mode: ModeOption = None,
    latency: Annotated[str, typer.Option("--latency", metavar="PROFILE", help="l1, base or loopback.")] = "l1",
    scenario: Annotated[
        str | None, typer.Option("--scenario", metavar="PATH", help="Your own, as package.module.Class.")
    ] = None,
) -> None:
    """Play incidents against a real chain that is started for it, with the defence and without.

    Exit 0 all contained, 1 one was not, 2 usage.
    """
    from monitor.cli_rehearse import Wanted, list_scenarios, rehearse

    if list_:
        raise typer.Exit(list_scenarios(json=json))
    wanted = Wanted(tuple(names or ()), out, seed, _mode(mode) or "enforce", latency, scenario, fork_url)
    raise typer.Exit(rehearse(wanted, json=json))


@app.command()
def replay(
    config: ConfigArgument = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="T", help="Compare from here on.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="T", help="Stop here.")] = None,
    with_: Annotated[str | None, typer.Option("--with", metavar="OTHER", help="Decide by this configuration.")] = None,
    incident: Annotated[
        str | None, typer.Option("--incident", metavar="ID", help="Compare this incident only.")
    ] = None,
) -> None:
    """Run the journal through the core again. T is RFC 3339 or a sequence number.

    Without --with every step must come out byte for byte the same. Exit 0 same, 1 different, 3 written by another code
    version.
    """
    from monitor.cli_replay import Range
    from monitor.cli_replay import run as replayed

    chosen = Range(from_, to, incident)
    raise typer.Exit(replayed(config_path(config), chosen, other=with_))


@app.command()
def incidents(
    incident_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One incident whole.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List incidents, or tell one whole: evidence, score by contribution, decisions, plans, simulations, outcomes."""
    from monitor.cli_incidents import list_incidents, tell_incident

    path = config_path(config)
    raise typer.Exit(tell_incident(path, incident_id, json=json) if incident_id else list_incidents(path, json=json))


@app.command()
def approve(
    action_id: Annotated[str, typer.Argument(metavar="ID")], as_: AsOption = None, config: ConfigOption = None
) -> None:
    """Approve an action that waits for a person. Needs DRAWBRIDGE_TOKEN of an approver.

    In this version the token is the proof; EIP-712 approvals by the operator's own key come later. Exit 0, or 1 refused
    and why.
    """
    from monitor.cli_people import Person, decide

    raise typer.Exit(decide("approve", Person(config_path(config), as_), action_id=action_id))


@app.command()
def reject(
    action_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: ReasonOption,
    as_: AsOption = None,
    config: ConfigOption = None,
) -> None:
    """Reject an action that waits for a person. Needs DRAWBRIDGE_TOKEN of an approver."""
    from monitor.cli_people import Person, decide

    raise typer.Exit(decide("reject", Person(config_path(config), as_), action_id=action_id, reason=reason))


@app.command()
def disarm(
    reason: Annotated[str, typer.Option("--reason", help="Why; it is journalled with your name.")] = "",
    as_: AsOption = None,
    config: ConfigOption = None,
) -> None:
    """Kill switch: no signature from now on, within 1 s. Observation goes on. Needs DRAWBRIDGE_TOKEN of an operator.

    Writes the kill file first, which alone is enough and needs no database, then tells the running monitor.
    """
    from monitor.cli_people import Person, disarm

    raise typer.Exit(disarm(Person(config_path(config), as_), reason=reason))


@app.command()
def arm(reason: ReasonOption, as_: AsOption = None, config: ConfigOption = None) -> None:
    """Let the running monitor act again, and remove the kill file. Needs DRAWBRIDGE_TOKEN of an operator."""
    from monitor.cli_people import Person, arm

    raise typer.Exit(arm(Person(config_path(config), as_), reason=reason))


@audit_app.command("verify")
def audit_verify(
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the journal as JSON lines.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="FILE", help="The anchor's, kept by you.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check the journal's hash chain and its anchors. Exit 0 intact, 1 broken: the first bad row is named."""
    from monitor.cli_audit import verify_journal

    raise typer.Exit(verify_journal(config_path(config), export=export, public_key=public_key, json=json))


@app.command()
def authority(config: ConfigArgument = None, json: JsonOption = False) -> None:
    """Which key can do what, on chain, now. Over-privilege is a finding. Exit 0, 1 with a finding."""
    from monitor.cli_authority import authority

    raise typer.Exit(authority(config_path(config), json=json))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    from monitor.cli_show import print_json
    from monitor.settings_schema import json_schema

    print_json(json_schema())


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None,
    json: JsonOption = False,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer runs: enough to see that it works.")] = False,
) -> None:
    """Measure the performance figures on this machine."""
    from monitor.cli_bench import bench

    raise typer.Exit(bench(tuple(names or ()), json=json, quick=quick))


@app.command()
def version() -> None:
    """Print the version, and the digest of the code that decides."""
    from monitor.version import CODE_VERSION

    typer.echo(f"drawbridge {CODE_VERSION}")


def _mode(given: str | None) -> str | None:
    if given not in (None, "shadow", "propose", "enforce"):
        raise typer.BadParameter(f"--mode {given!r}: must be shadow, propose or enforce")
    return given
