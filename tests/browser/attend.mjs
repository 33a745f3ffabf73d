// The page of `wgformer attend` in headless Chromium: `cargo xtask test --all` runs this.
//
//     npm install --prefix target/browser playwright-core@1.65.1
//     node tests/browser/attend.mjs [PAGE..]
//
// A page with made-up numbers is tested in full, then each PAGE that `attend --output` wrote. Screenshots go to target/browser.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = new URL("../../", import.meta.url);
const out = new URL("target/browser/", root);
mkdirSync(out, { recursive: true });
const { chromium } = createRequire(out)("playwright-core");

const EVIL = "</script><img src=x onerror=alert(1)>";
const source = ["▁the", "▁cat", EVIL, "猫", "."], target = ["▁le", "▁chat", "▁noir", "."];

/** Weights [2 layers, 3 heads, rows, columns], each its own; every row sums to 1. */
function made(kind, rows, columns) {
  const weight = (layer, head, row, column) => {
    const raw = c => 1 + ((7 * layer + 5 * head + 3 * row + 2 * c) % 6);
    return raw(column) / columns.reduce((sum, _, c) => sum + raw(c), 0);
  };
  const all = [];
  for (let l = 0; l < 2; l++) for (let h = 0; h < 3; h++)
    rows.forEach((_, r) => columns.forEach((_, c) => all.push(weight(l, h, r, c))));
  const weights = Buffer.from(new Float32Array(all).buffer).toString("base64");
  return { map: { kind, layers: 2, heads: 3, rows, columns, weights }, weight };
}
const maps = [made("encoder", source, source), made("decoder", target, target), made("cross", target, source)];
const cross = maps[2].weight;
const mean = (row, column) => [0, 1].flatMap(l => [0, 1, 2].map(h => cross(l, h, row, column))).reduce((a, b) => a + b) / 6;

function write() {
  const data = { title: `the <b>cat`, model: "made-up", layer: null, head: null, maps: maps.map(({ map }) => map) };
  const template = readFileSync(new URL("cli/src/attend/page.html", root), "utf8");
  const path = new URL("made-up.html", out);
  writeFileSync(path, template.replace("__DATA__", () => JSON.stringify(data).replaceAll("<", "\\u003c")));
  return path;
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

async function open(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 900, height: 700 }, ...options });
  const page = await context.newPage();
  page.on("request", request => assert.ok(request.url().startsWith("file:"), `the page asks for ${request.url()}`));
  page.on("console", message => assert.notEqual(message.type(), "error", message.text()));
  page.on("pageerror", error => assert.fail(error));
  page.on("dialog", () => assert.fail("a token ran as a script"));
  await page.goto(path.href);
  return page;
}
const token = (page, side, index) => page.locator(`#${side} button`).nth(index);
const lines = page => page.locator("path").evaluateAll(all => all.map(({ dataset: d }) => [+d.row, +d.column, +d.share]));
const said = page => page.locator("#said").textContent();
const focused = page => page.evaluate(() => [document.activeElement.dataset.side, +document.activeElement.dataset.index]);
const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-6, `${a} is not ${b}`);

/** The lines of one token are those of this function's numbers. */
async function expectRow(page, row, weight) {
  const all = await lines(page);
  assert.equal(all.length, source.length);
  for (const [r, column, share] of all) {
    assert.equal(r, row);
    close(share, weight(row, column));
  }
}

async function looks(path) {
  const page = await open(path);
  assert.equal(await page.title(), "Attention: the <b>cat");
  assert.equal(await page.locator("h1").textContent(), "the <b>cat");
  assert.deepEqual(await page.locator("#kinds label").allTextContents(), ["Encoder", "Decoder", "Cross"]);
  assert.ok(await page.getByRole("radio", { name: "Cross" }).isChecked());
  assert.deepEqual(await page.locator("#rows button").allTextContents(), target);
  assert.deepEqual(await page.locator("#columns button").allTextContents(), source);
  assert.equal(await page.locator("img").count(), 0);
  assert.equal((await lines(page)).length, source.length * target.length);
}

async function hovers(path) {
  const page = await open(path);
  await token(page, "rows", 1).hover();
  await expectRow(page, 1, mean);
  assert.match(await said(page), /^▁chat attends to .* \d+ %/);
  assert.equal(await page.locator("#columns small").first().textContent(), `${(100 * mean(1, 0)).toFixed(0)} %`);
  await token(page, "columns", 3).hover();
  const all = await lines(page);
  assert.deepEqual(all.map(([row]) => row).sort(), [0, 1, 2, 3]);
  all.forEach(([row, column, share]) => { assert.equal(column, 3); close(share, mean(row, 3)); });
  assert.match(await said(page), /^猫 is attended to by /);
  await page.mouse.move(5, 5);
  assert.equal(await said(page), "");
  assert.equal((await lines(page)).length, source.length * target.length);
  await token(page, "rows", 2).click();
  await page.mouse.move(5, 5);
  await expectRow(page, 2, mean);
  assert.equal(await token(page, "rows", 2).getAttribute("aria-pressed"), "true");
  await token(page, "rows", 2).click();
  await page.mouse.move(5, 5);
  assert.equal(await said(page), "");
}

async function chooses(path) {
  const page = await open(path);
  assert.deepEqual(await page.locator("#layer option").allTextContents(), ["mean", "0", "1"]);
  assert.deepEqual(await page.locator("#head option").allTextContents(), ["mean", "0", "1", "2"]);
  await token(page, "rows", 0).click();
  await page.getByLabel("Layer").selectOption("1");
  await expectRow(page, 0, (r, c) => (cross(1, 0, r, c) + cross(1, 1, r, c) + cross(1, 2, r, c)) / 3);
  await page.getByLabel("Head").selectOption("2");
  await expectRow(page, 0, (r, c) => cross(1, 2, r, c));
  await page.getByLabel("Layer").selectOption("mean");
  await expectRow(page, 0, (r, c) => (cross(0, 2, r, c) + cross(1, 2, r, c)) / 2);
  await page.getByText("Encoder", { exact: true }).click();
  assert.deepEqual(await page.locator("#rows button").allTextContents(), source);
  assert.equal(await page.getByLabel("Head").inputValue(), "2", "another kind keeps the head");
  await token(page, "columns", 4).hover();
  (await lines(page)).forEach(([row, column, share]) =>
    close(share, (maps[0].weight(0, 2, row, column) + maps[0].weight(1, 2, row, column)) / 2));
}

async function keyboard(path) {
  const page = await open(path);
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowLeft");
  assert.ok(await page.getByRole("radio", { name: "Decoder" }).isChecked());
  await page.keyboard.press("ArrowRight");
  assert.ok(await page.getByRole("radio", { name: "Cross" }).isChecked());
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.getByLabel("Layer").inputValue(), "0");
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowDown");
  const chosen = (r, c) => cross(0, 0, r, c);
  await page.keyboard.press("Tab");
  assert.deepEqual(await focused(page), ["rows", 0]);
  await expectRow(page, 0, chosen);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  assert.deepEqual(await focused(page), ["rows", 2]);
  await expectRow(page, 2, chosen);
  await page.keyboard.press("Enter");
  await page.keyboard.press("ArrowRight");
  assert.deepEqual(await focused(page), ["columns", 2]);
  assert.match(await said(page), /is attended to by/);
  await page.keyboard.press("End");
  assert.deepEqual(await focused(page), ["columns", 4]);
  await page.keyboard.press("ArrowDown");
  assert.deepEqual(await focused(page), ["columns", 4], "there is nothing below the last");
  await page.keyboard.press("ArrowLeft");
  assert.deepEqual(await focused(page), ["rows", 3], "a shorter list has no such place");
  await page.keyboard.press("Home");
  assert.deepEqual(await focused(page), ["rows", 0]);
  // Tab leads out, past the other list; what Enter kept is shown.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await expectRow(page, 2, chosen);
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Escape");
  assert.equal(await said(page), "");
}

/** Text against what is behind it, by WCAG's formula. */
const contrast = page => page.evaluate(() => {
  const light = color => {
    const [r, g, b] = color.match(/[\d.]+/g).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = light(getComputedStyle(document.body).backgroundColor);
  return ["body", "#model", "li button", "h2", "select"].map(selector => {
    const text = light(getComputedStyle(document.querySelector(selector)).color);
    return (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
  });
});

async function sizes(path, name) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [device, viewport] of [["desk", { width: 900, height: 700 }], ["phone", { width: 360, height: 740 }]]) {
      const page = await open(path, { colorScheme, viewport, hasTouch: device === "phone" });
      (await contrast(page)).forEach(ratio => assert.ok(ratio >= 4.5, `${colorScheme}: contrast ${ratio}`));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${device}: ${wide} pixels too wide`);
      const [left, right] = await Promise.all(["rows", "columns"].map(side => page.locator(`#${side}`).boundingBox()));
      assert.ok(right.x - left.x - left.width >= 60, "no room for lines");
      const row = token(page, "rows", 1);
      await (device === "phone" ? row.tap() : row.hover());
      assert.match(await said(page), /attends to/);
      await page.screenshot({ path: fileURLToPath(new URL(`${name}-${colorScheme}-${device}.png`, out)), fullPage: true });
    }
  }
}

/** A page of a real model: rows sum to 1. */
async function real(path) {
  const page = await open(path);
  const sums = await page.evaluate(() => data.maps.flatMap(({ rows, columns, layers, heads, weights }) => {
    if (weights.length !== layers * heads * rows.length * columns.length) throw Error("a wrong number of weights");
    return Array.from({ length: weights.length / columns.length }, (_, row) =>
      weights.subarray(row * columns.length, (row + 1) * columns.length).reduce((a, b) => a + b));
  }));
  assert.ok(sums.length > 0);
  sums.forEach(sum => assert.ok(Math.abs(sum - 1) < 1e-5, `a row sums to ${sum}`));
  await token(page, "rows", 1).hover();
  assert.ok((await lines(page)).length > 0);
}

try {
  const path = write();
  for (const test of [looks, hovers, chooses, keyboard]) {
    await test(path);
    console.log(`${test.name}: ok`);
  }
  await sizes(path, "made-up");
  for (const [i, arg] of process.argv.slice(2).entries()) {
    await real(pathToFileURL(arg));
    await sizes(pathToFileURL(arg), `page-${i}`);
    console.log(`${arg}: ok`);
  }
} finally {
  await browser.close();
}
