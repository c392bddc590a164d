// Bundles the page into one HTML file, and that into a C++ source with its content security policy and entity tag.
// Usage: node build.mjs FOLDER; writes FOLDER/page.html, FOLDER/page_data.cpp and FOLDER/LICENSE.web.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { cppSource } from "./cpp.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2];
if (!folder) {
  console.error("usage: node build.mjs FOLDER");
  process.exit(2);
}

async function bundle() {
  const result = await build({
    absWorkingDir: here,
    entryPoints: ["src/main.jsx"],
    outdir: "out",
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: "iife",
    target: ["chrome109", "firefox115", "safari16"],
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none", // the licences are in LICENSE.web
    logLevel: "warning",
  });
  const text = (end) => result.outputFiles.find((file) => file.path.endsWith(end)).text.trim();
  return { script: text(".js"), style: text(".css"), inputs: Object.keys(result.metafile.inputs) };
}

// In a script element, "<!--" and "</script" would end it or change how it ends. Both can be only in strings and
// regular expressions, where "\x3c" is the same.
function safeScript(script) {
  return script.replace(/<(?=!--|\/?script)/gi, "\\x3c");
}

const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

// Nothing but this script and this style: a mistake in what the model's words are made into can load or run nothing.
function policy(script, style) {
  return [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types dompurify",
  ].join("; ");
}

// The licences of the packages that the bundle holds.
function licences(inputs) {
  const packages = new Set();
  for (const input of inputs) {
    const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) packages.add(match[1]);
  }
  let text = "The page that hypura serve shows contains the following packages.\n";
  for (const name of [...packages].sort()) {
    const root = join(here, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const file = readdirSync(root).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
    if (!file) throw new Error(`${name} ${version} (${license}) has no licence file: look for its terms before it is bundled`);
    text += `\n${"=".repeat(80)}\n${name} ${version} (${license})\n\n${readFileSync(join(root, file), "utf8").trim()}\n`;
  }
  return text;
}

const { script: rawScript, style, inputs } = await bundle();
const script = safeScript(rawScript);
if (/<\/style/i.test(style)) throw new Error("the style sheet holds </style, which would end it early");
const html = readFileSync(join(here, "src/index.html"), "utf8")
  .replace("<!--style-->", () => `<style>${style}</style>`)
  .replace("<!--script-->", () => `<script>${script}</script>`);
const tag = `"${createHash("sha256").update(html).digest("hex").slice(0, 32)}"`;

mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "page.html"), html);
writeFileSync(join(folder, "page_data.cpp"), cppSource({ html, policy: policy(script, style), tag }));
writeFileSync(join(folder, "LICENSE.web"), licences(inputs));
