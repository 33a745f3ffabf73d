//! `wgformer wgsl`: the shaders as they are linked for this device.

use std::fmt::Write;
use std::process::ExitCode;

use wgformer::{Caps, kernel};

use crate::device;
use crate::output::{Failure, print};

/// The linked source of a kernel; without a name, the names of all kernels and whether this device can run them
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer wgsl
  wgformer wgsl matmul/baseline/f32
  wgformer wgsl softmax             (lists the names that contain it)

Names are BODY/TIER/VARIANT; the variant says in what a kernel departs from the plainest of its body.")]
pub struct Args {
    /// A kernel's name, or a part of one
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let opened = device.open()?;
    let caps = opened.gpu().map_or_else(Caps::baseline, |gpu| gpu.caps().clone());
    let all = kernel::linked(&caps);
    let wanted = args.name.unwrap_or_default();
    if let Some(linked) = all.iter().find(|linked| linked.name == wanted) {
        print(&linked.spec.source())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for linked in all.iter().filter(|linked| linked.name.contains(&wanted)) {
        let _ = match &linked.available {
            Ok(()) => writeln!(text, "{}", linked.name),
            Err(why) => writeln!(text, "{:<60} not on this device: {why}", linked.name),
        };
    }
    if text.is_empty() {
        return Err(Failure::new(format!("no kernel has {wanted:?} in its name; `wgformer wgsl` lists them")));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
