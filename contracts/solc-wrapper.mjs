#!/usr/bin/env node
// Lets forge compile without a network: answers `--version` and `--standard-json` as solc does, through the pinned npm solc.
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, relative } from "node:path";

const solc = createRequire(import.meta.url)("solc");

const print = (text) => {
  const bytes = Buffer.from(text);
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += writeSync(1, bytes, sent);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error; // a full pipe: forge reads on
    }
  }
};

// forge names files outside of its root now by relative, now by absolute path, and solc without files to read takes these for
// different ones: compile under relative names, answer under forge's own.
const renamed = (record, name) => Object.fromEntries(Object.entries(record ?? {}).map(([key, value]) => [name(key), value]));

const compile = (text) => {
  const input = JSON.parse(text);
  const base = process.argv[process.argv.indexOf("--base-path") + 1];
  const given = new Map();
  const inside = (name) => {
    const path = isAbsolute(name) ? relative(base, name) : name;
    given.set(path, name);
    return path;
  };
  input.sources = renamed(input.sources, inside);
  input.settings.outputSelection = renamed(input.settings.outputSelection, inside);
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  for (const part of ["sources", "contracts"]) output[part] = renamed(output[part], (name) => given.get(name) ?? name);
  return JSON.stringify(output);
};

if (process.argv.includes("--version")) {
  print(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (process.argv.includes("--standard-json")) {
  print(compile(readFileSync(0, "utf8")));
} else {
  process.stderr.write("solc-wrapper: only --version and --standard-json\n");
  process.exit(1);
}
