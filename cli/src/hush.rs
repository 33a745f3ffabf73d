//! Keeps standard error for our own lines.
//!
//! wgpu asks for the surface extensions of every display system. Mesa's device-select layer takes that as a reason to look for
//! a Wayland display, and where there is none, libwayland writes "error: XDG_RUNTIME_DIR is invalid ..", which looks as if
//! we had failed. Only an environment variable switches the layer off, and a process cannot safely set its own.

/// Starts this program again with that layer off, where it would write; returns where it would not.
#[cfg(target_os = "linux")]
pub fn hush() {
    use std::os::unix::process::CommandExt;
    // With a session nothing is written, and who chooses a device through the layer wants it.
    let variables = ["XDG_RUNTIME_DIR", "NODEVICE_SELECT", "MESA_VK_DEVICE_SELECT"];
    if variables.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let mut args = std::env::args_os();
    if let (Ok(program), Some(name)) = (std::env::current_exe(), args.next()) {
        // It comes back only if it fails, and then the layer may write.
        let _ = std::process::Command::new(program).arg0(name).args(args).env("NODEVICE_SELECT", "1").exec();
    }
}

/// Other systems have no such layer.
#[cfg(not(target_os = "linux"))]
pub fn hush() {}
