// The library in a page: kernels against the reference, and a model against PyTorch. `cargo xtask test --all` runs this.
//
//     npm install --prefix target/browser playwright-core@1.65.1
//     (build the page as examples/browser/src/lib.rs says)
//     node tests/browser/run.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname } from "node:path";

const { chromium } = createRequire(new URL("../../target/browser/", import.meta.url))("playwright-core");
const root = new URL("../../", import.meta.url);
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

// Modules and WebAssembly want a server.
const server = createServer((request, response) => {
  try {
    const body = readFileSync(new URL(`.${new URL(request.url, "http://localhost").pathname}`, root));
    response.writeHead(200, { "content-type": TYPES[extname(request.url)] ?? "application/octet-stream" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise(resolve => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

/** In the page: the report of each op. */
async function verify(ops) {
  const reports = {};
  for (const op of ops) {
    const began = performance.now();
    const report = JSON.parse(await window.page.verify(op));
    reports[op] = { ...report.ops[0], adapter: report.adapter, seconds: (performance.now() - began) / 1000 };
  }
  return reports;
}

/** In the page: by how much the hidden states of a golden's batch are off, at most, beside the greatest of them. */
async function golden(folder) {
  const bytes = async name => new Uint8Array(await (await fetch(`${folder}/${name}`)).arrayBuffer());
  const file = await bytes("golden.safetensors");
  const view = new DataView(file.buffer);
  const start = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, start)));
  const tensor = (name, Type) => new Type(file.slice(...header[name].data_offsets.map(at => at + start)).buffer);
  const config = new TextDecoder().decode(await bytes("config.json"));
  const [ids, mask, types] = ["input_ids", "attention_mask", "token_type_ids"].map(name => tensor(name, BigInt64Array));
  const batch = header.input_ids.shape[0];
  const got = await window.page.encode(config, await bytes("model.safetensors"), batch, ids, mask, types);
  const expected = tensor("last_hidden_state", Float32Array);
  if (got.length !== expected.length) throw new Error(`${got.length} numbers, expected ${expected.length}`);
  const width = got.length / mask.length;
  let [off, greatest] = [0, 0];
  // A padded row is zeros here, and whatever it comes to in PyTorch.
  expected.forEach((value, i) => {
    if (mask[Math.floor(i / width)] === 0n) return;
    // `Math.max` keeps a NaN.
    off = Math.max(off, Math.abs(got[i] - value));
    greatest = Math.max(greatest, Math.abs(value));
  });
  return { off, greatest };
}

const args = ["--no-sandbox", "--disable-background-networking", "--disable-quic", "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan,WebGPU"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
try {
  const page = await browser.newPage();
  const said = [];
  page.on("pageerror", error => said.push(error.message));
  page.on("console", message => message.type() === "error" && said.push(message.text()));
  await page.goto(`${origin}/examples/browser/index.html`);
  await page.waitForFunction(() => document.getElementById("report").textContent !== "loading");
  assert.equal(await page.textContent("#report"), "ready");
  // As a visitor does.
  await page.selectOption("#op", "gate");
  await page.click("#run");
  await page.waitForFunction(() => !document.getElementById("run").disabled, null, { timeout: 120_000 });
  assert.match(await page.textContent("#report"), /"op": "gate"/);
  await page.evaluate(async () => {
    const { Page } = await import("/examples/browser/pkg/wgformer_browser.js");
    window.page = await Page.open();
  });
  for (const [op, report] of Object.entries(await page.evaluate(verify, ["matmul", "attention"]))) {
    const ran = report.kernels.filter(kernel => kernel.runs > 0);
    console.log(`${op}: ${report.cases} cases, ${report.failures} failures in ${report.seconds.toFixed(0)} s; ` +
      ran.map(kernel => `${kernel.name} ${kernel.runs}`).join(", "));
    assert.equal(report.failures, 0, JSON.stringify(report.first));
    assert(report.cases > 20 && ran.some(kernel => kernel.name === `${op} (baseline)`));
  }
  const { off, greatest } = await page.evaluate(golden, "/tests/golden/bert-tiny");
  console.log(`bert-tiny: off by ${off.toExponential(1)} at most, the greatest is ${greatest.toFixed(2)}`);
  assert(off <= 2e-4 && greatest > 1);
  assert.deepEqual(said, []);
} finally {
  await browser.close();
  server.close();
}
