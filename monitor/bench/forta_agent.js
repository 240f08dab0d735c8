// A Forta bot that does what the bench's own side does: says when value leaves one wallet by an ERC-20 Transfer.
// It times itself from its initialisation, before the first block is fetched, to the end of its last transaction.
"use strict";

const fs = require("fs");
const path = require("path");
const bench = JSON.parse(fs.readFileSync(path.join(process.cwd(), "bench.json"), "utf8"));
const { Finding, FindingSeverity, FindingType } = require(bench.sdk);

const TRANSFER = "event Transfer(address indexed from, address indexed to, uint256 value)";
const wallet = bench.wallet.toLowerCase();
let began = 0n;
let ended = 0n;
let findings = 0;
let transactions = 0;

async function initialize() {
  began = process.hrtime.bigint();
}

async function handleTransaction(event) {
  const found = event
    .filterLog(TRANSFER, bench.token)
    .filter((log) => log.args.from.toLowerCase() === wallet)
    .map((log) =>
      Finding.fromObject({
        name: "Value leaves a watched wallet",
        description: `${log.args.value.toString()} to ${log.args.to}`,
        alertId: "BENCH-1",
        severity: FindingSeverity.Info,
        type: FindingType.Info,
        metadata: { to: log.args.to, value: log.args.value.toString() },
      }),
    );
  transactions += 1;
  findings += found.length;
  ended = process.hrtime.bigint();
  return found;
}

process.on("exit", () => {
  const seconds = Number(ended - began) / 1e9;
  fs.writeFileSync(bench.out, JSON.stringify({ seconds, findings, transactions }));
});

module.exports = { initialize, handleTransaction };
