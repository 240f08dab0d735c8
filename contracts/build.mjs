#!/usr/bin/env node
// Compiles every contract of src/ and rehearsal/ into out/<Name>.json, the artefacts that the Python side loads.
//   node contracts/build.mjs           write them
//   node contracts/build.mjs --check   exit 1, with one line, when out/ does not match the sources
// Each file is compiled by itself with its imports, so that a new contract never changes another's bytecode.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const solc = require("solc");

const root = dirname(fileURLToPath(import.meta.url));
const modules = join(root, "..", "node_modules");
const out = join(root, "out");
const folders = ["src", "rehearsal"];
const settings = {
  optimizer: { enabled: true, runs: 1000 },
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none" },
};
const quiet = "2394"; // "transient storage can break composability": said once per file that holds a re-entrancy guard
const selection = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"];
const compiler = {
  version: solc.version(),
  settings,
  openzeppelin: require("@openzeppelin/contracts/package.json").version,
};

const fail = (line) => {
  process.stderr.write(`build: ${line}\n`);
  process.exit(1);
};

const read = (name) => readFileSync(name.startsWith("@") ? join(modules, name) : join(root, name), "utf8");

/** The file and, through its import lines, all that it needs: a map from source name to content. */
const closure = (name, found = new Map()) => {
  if (found.has(name)) return found;
  const content = read(name);
  found.set(name, content);
  for (const [, path] of content.matchAll(/^\s*(?:import|\}\s*from)\b[^"';]*["']([^"']+)["']/gm)) {
    closure(path.startsWith(".") ? posix.join(posix.dirname(name), path) : path, found);
  }
  return found;
};

/** sha256 over "name NUL content NUL" of the file and all of its imports, in the order of their names. */
const hashOf = (sources) => {
  const hash = createHash("sha256");
  for (const name of [...sources.keys()].sort()) hash.update(`${name}\0${sources.get(name)}\0`);
  return hash.digest("hex");
};

const compile = (name) => {
  const sources = closure(name);
  const input = {
    language: "Solidity",
    sources: Object.fromEntries([...sources].map(([path, content]) => [path, { content }])),
    settings: { ...settings, outputSelection: { [name]: { "*": selection } } },
  };
  const result = JSON.parse(solc.compile(JSON.stringify(input)));
  for (const problem of result.errors ?? []) {
    if (problem.severity === "error") fail(problem.formattedMessage.trim());
    if (problem.errorCode !== quiet) process.stderr.write(problem.formattedMessage);
  }
  return Object.entries(result.contracts[name] ?? {}).map(([contractName, contract]) => ({
    contractName,
    abi: contract.abi,
    bytecode: `0x${contract.evm.bytecode.object}`,
    deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
    // Where deployedBytecode has zeros that the constructor fills in.
    immutableReferences: Object.values(contract.evm.deployedBytecode.immutableReferences ?? {})
      .flat()
      .sort((a, b) => a.start - b.start),
    source: `contracts/${name}`,
    sourceHash: hashOf(sources),
    compiler,
  }));
};

const built = new Map();
for (const folder of folders) {
  for (const file of readdirSync(join(root, folder)).filter((f) => f.endsWith(".sol")).sort()) {
    for (const artefact of compile(`${folder}/${file}`)) {
      const name = `${artefact.contractName}.json`;
      if (built.has(name)) fail(`two contracts are named ${artefact.contractName}`);
      built.set(name, `${JSON.stringify(artefact, null, 1)}\n`);
    }
  }
}

const present = existsSync(out) ? readdirSync(out).filter((f) => f.endsWith(".json")) : [];
const stale = present.filter((f) => !built.has(f));
const changed = [...built].filter(([f, text]) => !present.includes(f) || readFileSync(join(out, f), "utf8") !== text);

if (process.argv.includes("--check")) {
  const wrong = [...stale, ...changed.map(([f]) => f)].sort();
  if (wrong.length) fail(`out/ does not match the sources (run node contracts/build.mjs): ${wrong.join(", ")}`);
} else {
  mkdirSync(out, { recursive: true });
  for (const f of stale) rmSync(join(out, f));
  for (const [f, text] of changed) writeFileSync(join(out, f), text);
}
process.stdout.write(`build: ${built.size} contracts, ${changed.length} changed, ${stale.length} stale\n`);
