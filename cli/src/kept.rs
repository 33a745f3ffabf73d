//! Kernels that the driver has compiled, kept in the user's cache folder from run to run.
//!
//! Only time depends on them: where they cannot be read or written, nobody needs to know.

use std::path::PathBuf;
use std::sync::OnceLock;

use wgformer::Context;

use crate::output::note;

/// More than any driver makes of our kernels: such a file has grown over time, and is begun anew.
const MOST: u64 = 64 << 20;

/// What is kept when the program ends: the context, its file, and what that holds.
static KEPT: OnceLock<(Context, PathBuf, Option<Vec<u8>>)> = OnceLock::new();

/// A context with the kernels that an earlier run left; of several, the first.
pub fn context(device: &wgpu::Device, queue: &wgpu::Queue, quiet: bool) -> wgformer::Result<Context> {
    let path = file(&device.adapter_info()).filter(|_| KEPT.get().is_none());
    let Some(path) = path else { return Context::new(device, queue) };
    let is_small = std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= MOST);
    let saved = is_small.then(|| std::fs::read(&path).ok()).flatten();
    // SAFETY: the file is the user's own, as the program is.
    let (gpu, why) = unsafe { Context::with_pipeline_cache(device, queue, saved.as_deref()) }?;
    if let Some(why) = why {
        // Said once, also where nothing is compiled this time.
        let _ = std::fs::remove_file(&path);
        if !quiet {
            note(&format!(
                "note: the compiled kernels in {} are ignored, since {why}; they are made anew",
                path.display()
            ));
        }
    }
    // Nobody was faster: contexts are made one by one.
    let _ = KEPT.set((gpu.clone(), path, saved));
    Ok(gpu)
}

/// Writes what was compiled, if anything was.
pub fn save() {
    let Some((gpu, path, saved)) = KEPT.get() else { return };
    let Some(data) = gpu.pipeline_cache_data().filter(|data| gpu.pipelines() > 0 && Some(data) != saved.as_ref())
    else {
        return;
    };
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    if folder.and_then(|()| std::fs::write(&part, data)).and_then(|()| std::fs::rename(&part, path)).is_err() {
        let _ = std::fs::remove_file(&part);
    }
}

/// An adapter's file, where its backend has such a thing.
fn file(info: &wgpu::AdapterInfo) -> Option<PathBuf> {
    Some(user_cache()?.join("wgformer").join(wgpu::util::pipeline_cache_key(info)?))
}

/// The folder for what can be made again.
fn user_cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = std::env::home_dir();
    match std::env::consts::OS {
        "windows" => set("LOCALAPPDATA"),
        "macos" => Some(home?.join("Library/Caches")),
        // Relative ones are to be ignored, says the XDG specification.
        _ => set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| Some(home?.join(".cache"))),
    }
}
