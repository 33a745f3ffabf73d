// Every kernel in Chromium's own WGSL compiler, which is stricter than naga about uniform control flow: `cargo xtask test
// --all` runs this.
//
//     npm install --prefix target/browser playwright-core@1.65.1
//     cargo run --release -- wgsl --output target/browser/wgsl
//     node tests/browser/compile.mjs target/browser/wgsl
//
// Each source becomes a module and a pipeline. Those of the software tier are for adapters that a browser does not tell
// of, so they are left out.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const out = new URL("../../target/browser/", import.meta.url);
const { chromium } = createRequire(out)("playwright-core");

/** In the page: name and source of each kernel; what the compiler says against each, by name. */
async function compile(sources) {
  const adapter = await navigator.gpu.requestAdapter();
  const can = adapter.features.has("subgroups");
  const device = await adapter.requestDevice({ requiredFeatures: can ? ["subgroups"] : [] });
  const wrong = {};
  let skipped = 0;
  for (const [name, code] of sources) {
    if (code.startsWith("enable subgroups;") && !can) {
      skipped++;
      continue;
    }
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    const said = messages.map(m => `${m.lineNum}: ${m.type}: ${m.message}: ${code.split("\n")[m.lineNum - 1]?.trim()}`);
    const compute = { module, entryPoint: "main" };
    if (!messages.some(m => m.type === "error"))
      await device.createComputePipelineAsync({ layout: "auto", compute }).catch(e => said.push(e.message));
    const error = await device.popErrorScope();
    if (error && !said.length) said.push(error.message);
    if (said.length) wrong[name] = said;
  }
  return { wrong, skipped, adapter: `${adapter.info.vendor} ${adapter.info.architecture}` };
}

const folder = process.argv[2];
const names = readdirSync(folder).filter(name => name.endsWith(".wgsl"));
const wanted = names.filter(name => !name.includes(".software."));
assert(wanted.some(name => name.includes(".subgroup.")) && wanted.length > 100, `too few sources in ${folder}`);
const args = ["--no-sandbox", "--disable-background-networking", "--disable-quic", "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan,WebGPU"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
try {
  const page = await browser.newPage();
  // WebGPU is there in secure contexts only.
  await page.goto(new URL("compile.html", import.meta.url).href);
  // The check can fail: a barrier that some invocations may not reach.
  const broken = "@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { if (i < 7u) { workgroupBarrier(); } }";
  assert((await page.evaluate(compile, [["broken", broken]])).wrong.broken, "what is not uniform was let through");
  // As the library does in a browser.
  const directive = name => name.includes(".subgroup.") ? "enable subgroups;\n" : "";
  const sources = wanted.map(name => [name, directive(name) + readFileSync(join(folder, name), "utf8")]);
  const { wrong, skipped, adapter } = await page.evaluate(compile, sources);
  for (const [name, said] of Object.entries(wrong)) console.error(`${name}\n  ${said.join("\n  ")}`);
  console.log(`${adapter}: ${wanted.length - skipped} kernels compile, ${skipped} skipped for want of subgroups, ` +
    `${names.length - wanted.length} left out (software tier)`);
  assert.deepEqual(Object.keys(wrong), []);
} finally {
  await browser.close();
}
