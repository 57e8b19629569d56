// Reads files as the page does, with the parser of web/story_files.js and without a browser.
//
// A line of JSON comes for each file: {name, data (base64)}. A line goes back: what came of it, its
// seconds of CPU and the memory that it took.
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

const source = readFileSync(process.argv[2], "utf-8").replaceAll(/^export /gm, "");
const constants = source.match(/^const [A-Z_]+ = .*$/gm).join("\n");
const functions = source.match(/^(?:async )?function \w+\([^)]*\) \{.*?^\}/gms).join("\n");
const arrows = (source.match(/^const [a-z]\w* = \(.*?;$/gms) ?? []).join("\n");
const reader = new Function(
  "app", "api", "LiteGraph",
  `${constants}\n${arrows}\n${functions}\nreturn { bytesOf, manifestIn, made };`,
)({}, {}, {});

async function read({ name, data }) {
  const bytes = Buffer.from(data, "base64");
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const file = {
    name,
    size: bytes.length,
    arrayBuffer: async () => copy,
    text: async () => new TextDecoder().decode(copy),
    slice: (from, to) => new Blob([copy.slice(from, to)]),
  };
  const manifest = await reader.manifestIn(await reader.bytesOf(file));
  if (!manifest) return "refused";
  const { workflow, prompt } = reader.made(manifest);
  JSON.stringify([workflow, prompt]);
  return "read";
}

const kilobytes = (name) =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync("/proc/self/status", "utf-8"))[1]);

for await (const line of createInterface({ input: process.stdin })) {
  writeFileSync("/proc/self/clear_refs", "5"); // the peak of memory is that of this file alone
  const before = kilobytes("VmRSS");
  const began = process.cpuUsage();
  let word, text = "";
  try {
    word = await read(JSON.parse(line));
  } catch (error) {
    // the page's own sentences are plain errors; what JavaScript says of its own is not
    word = error?.constructor === Error ? "refused" : "raw";
    const place = /^ +at (?:async )?(\w+)/m.exec(error?.stack ?? "")?.[1] ?? "";
    text = `${error?.name} in ${place}: ${error?.message}`;
  }
  const { user, system } = process.cpuUsage(began);
  const seconds = (user + system) / 1e6;
  const megabytes = Math.round((kilobytes("VmHWM") - before) / 1024);
  process.stdout.write(`${JSON.stringify({ word, text, seconds, megabytes })}\n`);
}
