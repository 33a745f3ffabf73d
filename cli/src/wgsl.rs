//! `wgformer wgsl`: the shaders as they are linked for this device.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgformer::{Caps, Error, kernel};

use crate::device;
use crate::output::{Failure, print};

/// The linked source of a kernel; without a name, the names of all kernels and whether this device can run them
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgformer wgsl
  wgformer wgsl matmul/baseline/rows-16+f32
  wgformer wgsl softmax             (lists the names that contain it)
  wgformer wgsl --output sources    (writes all of them, BODY.TIER.VARIANT.wgsl)

Names are BODY/TIER/VARIANT; the variant says in what a kernel departs from the plainest of its body.")]
pub struct Args {
    /// A kernel's name, or a part of one
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Writes every source whose name contains NAME to a folder, those that this device cannot run as well
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub fn run(device: &device::Args, args: Args) -> Result<ExitCode, Failure> {
    let opened = device.open()?;
    let caps = opened.gpu().map_or_else(Caps::baseline, |gpu| gpu.caps().clone());
    let all = kernel::linked(&caps);
    let wanted = args.name.unwrap_or_default();
    let named = || all.iter().filter(|linked| linked.name.contains(&wanted));
    if named().next().is_none() {
        return Err(Failure::new(format!("no kernel has {wanted:?} in its name; `wgformer wgsl` lists them")));
    }
    if let Some(folder) = args.output {
        write(&folder, named())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(linked) = all.iter().find(|linked| linked.name == wanted) {
        print(&linked.spec.source())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for linked in named() {
        let _ = match &linked.available {
            Ok(()) => writeln!(text, "{}", linked.name),
            Err(why) => writeln!(text, "{:<60} not on this device: {why}", linked.name),
        };
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn write<'a>(folder: &Path, all: impl Iterator<Item = &'a kernel::Linked>) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    for linked in all {
        let path = folder.join(format!("{}.wgsl", linked.name.replace('/', ".")));
        std::fs::write(&path, linked.spec.source()).map_err(|e| Error::io(&path, e))?;
    }
    Ok(())
}
